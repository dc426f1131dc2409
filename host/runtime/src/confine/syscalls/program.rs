//! A filter as classic BPF, made when this program is built. Before the kernel takes one it tries it with every call
//! that there is and translates it, so that its path and its length are time at each
//! start: calls are looked up by halving, where general compilers compare with each
//! of them.

use std::mem::offset_of;

use nix::libc::{
    self, BPF_ABS, BPF_ALU, BPF_AND, BPF_JEQ, BPF_JGE, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W, SECCOMP_RET_ALLOW,
    SECCOMP_RET_ERRNO, seccomp_data,
};
use seccompiler::{BpfProgram, sock_filter};

/// `AUDIT_ARCH_*` of linux/audit.h.
#[cfg(target_arch = "x86_64")]
const ARCH: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCH: u32 = 0xc000_00b7;

/// What is answered to all else.
const DENY: u32 = SECCOMP_RET_ERRNO | libc::ENOSYS.unsigned_abs();

/// Most instructions, calls and steps: a jump leads no further.
const SIZE: usize = 256;

/// A condition on one argument of a call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Argument {
    number: usize,
    mask: u32,
    value: u32,
    /// Does its upper half count, which has to be 0 then?
    whole: bool,
    /// Is the value the number of the process, which is put in when it is known?
    own: bool,
}

impl Argument {
    pub(super) const fn equal(number: usize, value: i32) -> Self {
        Self::masked(number, -1, value)
    }

    /// These bits of it have this value.
    pub(super) const fn masked(number: usize, mask: i32, value: i32) -> Self {
        Self { number, mask: mask.cast_unsigned(), value: value.cast_unsigned(), whole: false, own: false }
    }

    /// It is a null pointer.
    pub(super) const fn null(number: usize) -> Self {
        Self { whole: true, ..Self::equal(number, 0) }
    }

    /// It is the process itself.
    pub(super) const fn own_process(number: usize) -> Self {
        Self { own: true, ..Self::equal(number, 0) }
    }
}

/// A call that is allowed with such arguments: all conditions of one of these lists.
pub(super) type Rule<'a> = (libc::c_long, &'a [&'a [Argument]]);

/// A filter, but for the number of the process.
pub(super) struct Program {
    instructions: [sock_filter; SIZE],
    length: usize,
    /// Which instructions compare with the number of the process.
    own: [usize; SIZE],
    owns: usize,
}

/// Where a jump of the search leads: an answer, or the conditions that bear this number, counted from [`RULES`].
type Target = usize;
const DENIED: Target = 0;
const ALLOWED: Target = 1;
const RULES: Target = 2;

/// From each number on, to that of the next, the answer is the same.
struct Steps {
    all: [(u32, Target); SIZE],
    length: usize,
}

/// Is the call's number this one or a higher one?
#[derive(Clone, Copy)]
struct Step {
    number: u32,
    then: Jump,
    or_else: Jump,
}

#[derive(Clone, Copy)]
enum Jump {
    To(Target),
    /// A place in the search.
    At(usize),
}

struct Search {
    all: [Step; SIZE],
    length: usize,
}

impl Program {
    /// One that allows the calls of these lists with any arguments, and those of the rules with theirs. Each has one place.
    pub(super) const fn new(allowed: &[&[libc::c_long]], rules: &[Rule<'_>]) -> Self {
        let steps = Steps::new(allowed, rules);
        let nowhere = Step { number: 0, then: Jump::At(0), or_else: Jump::At(0) };
        let mut search = Search { all: [nowhere; SIZE], length: 0 };
        halve(&steps.all, 0, steps.length, &mut search);

        let mut program = Self { instructions: [const { give(DENY) }; SIZE], length: 0, own: [0; SIZE], owns: 0 };
        program.push(load(offset_of!(seccomp_data, arch)));
        program.push(jump(BPF_JEQ, ARCH, 1, 0));
        program.push(give(DENY));
        program.push(load(offset_of!(seccomp_data, nr)));
        // Behind the search come the conditions, and behind them the answers.
        let first = program.length;
        program.length += search.length;
        let mut starts = [0; SIZE];
        let mut rule = 0;
        while rule < rules.len() {
            starts[rule] = program.length;
            program.check(rules[rule].1);
            rule += 1;
        }
        let answers = program.length;
        program.push(give(DENY));
        program.push(give(SECCOMP_RET_ALLOW));
        let mut at = 0;
        while at < search.length {
            let Step { number, then, or_else } = search.all[at];
            let from = first + at + 1;
            let then = distance(place(then, first, answers, &starts) - from);
            let or_else = distance(place(or_else, first, answers, &starts) - from);
            program.instructions[first + at] = jump(BPF_JGE, number, then, or_else);
            at += 1;
        }
        program
    }

    /// As it is for this process.
    pub(super) fn of_process(&self, number: u32) -> BpfProgram {
        let mut program = self.instructions[..self.length].to_vec();
        self.own[..self.owns].iter().for_each(|at| program[*at].k = number);
        program
    }

    const fn push(&mut self, instruction: sock_filter) {
        self.instructions[self.length] = instruction;
        self.length += 1;
    }

    /// Allows what meets all of one's conditions, and nothing else.
    const fn check(&mut self, either: &[&[Argument]]) {
        let mut one = 0;
        while one < either.len() {
            let start = self.length;
            let mut i = 0;
            while i < either[one].len() {
                let argument = either[one][i];
                let low = offset_of!(seccomp_data, args) + argument.number * 8;
                if argument.whole {
                    self.push(load(low + 4));
                    self.push(jump(BPF_JEQ, 0, 0, 0));
                }
                self.push(load(low));
                if argument.mask != u32::MAX {
                    self.push(sock_filter { code: code(BPF_ALU | BPF_AND | BPF_K), jt: 0, jf: 0, k: argument.mask });
                }
                if argument.own {
                    self.own[self.owns] = self.length;
                    self.owns += 1;
                }
                self.push(jump(BPF_JEQ, argument.value, 0, 0));
                i += 1;
            }
            // What does not hold leads past the permission.
            let mut at = start;
            while at < self.length {
                if self.instructions[at].code == code(BPF_JMP | BPF_JEQ | BPF_K) {
                    self.instructions[at].jf = distance(self.length - at);
                }
                at += 1;
            }
            self.push(give(SECCOMP_RET_ALLOW));
            one += 1;
        }
        self.push(give(DENY));
    }
}

impl Steps {
    const fn new(allowed: &[&[libc::c_long]], rules: &[Rule<'_>]) -> Self {
        let mut calls = Self { all: [(0, DENIED); SIZE], length: 0 };
        let mut list = 0;
        while list < allowed.len() {
            let mut at = 0;
            while at < allowed[list].len() {
                calls.insert(allowed[list][at], ALLOWED);
                at += 1;
            }
            list += 1;
        }
        let mut rule = 0;
        while rule < rules.len() {
            calls.insert(rules[rule].0, RULES + rule);
            rule += 1;
        }
        let mut steps = Self { all: [(0, DENIED); SIZE], length: 1 };
        let mut at = 0;
        while at < calls.length {
            let (number, target) = calls.all[at];
            steps.turn(number, target);
            steps.turn(number + 1, DENIED);
            at += 1;
        }
        steps
    }

    /// In the order of their numbers.
    const fn insert(&mut self, call: libc::c_long, target: Target) {
        assert!(call >= 0 && call < 4096, "a system call");
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it has been compared")]
        let number = call as u32;
        let mut at = self.length;
        while at > 0 && self.all[at - 1].0 >= number {
            assert!(self.all[at - 1].0 != number, "a call is named twice");
            self.all[at] = self.all[at - 1];
            at -= 1;
        }
        self.all[at] = (number, target);
        self.length += 1;
    }

    /// From this number on it is this.
    const fn turn(&mut self, number: u32, target: Target) {
        if self.all[self.length - 1].0 == number {
            self.length -= 1;
        }
        if self.length == 0 || self.all[self.length - 1].1 != target {
            self.all[self.length] = (number, target);
            self.length += 1;
        }
    }
}

/// Searches for the last of these steps that the number reaches; where that begins.
const fn halve(steps: &[(u32, Target)], from: usize, to: usize, search: &mut Search) -> Jump {
    if to - from == 1 {
        return Jump::To(steps[from].1);
    }
    let middle = from + (to - from) / 2;
    let place = search.length;
    search.length += 1;
    let or_else = halve(steps, from, middle, search);
    let then = halve(steps, middle, to, search);
    search.all[place] = Step { number: steps[middle].0, then, or_else };
    Jump::At(place)
}

/// Where that is in the program.
const fn place(jump: Jump, first: usize, answers: usize, starts: &[usize; SIZE]) -> usize {
    match jump {
        Jump::At(place) => first + place,
        Jump::To(DENIED) => answers,
        Jump::To(ALLOWED) => answers + 1,
        Jump::To(rule) => starts[rule - RULES],
    }
}

/// Within a program that is as short as ours.
const fn distance(instructions: usize) -> u8 {
    assert!(instructions < 256, "fewer than 256 instructions");
    instructions.to_le_bytes()[0]
}

const fn load(offset: usize) -> sock_filter {
    assert!(offset < 64, "within the structure");
    #[expect(clippy::cast_possible_truncation, reason = "it has been compared")]
    let k = offset as u32;
    sock_filter { code: code(BPF_LD | BPF_W | BPF_ABS), jt: 0, jf: 0, k }
}

const fn jump(condition: u32, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code: code(BPF_JMP | condition | BPF_K), jt, jf, k }
}

const fn give(k: u32) -> sock_filter {
    sock_filter { code: code(BPF_RET | BPF_K), jt: 0, jf: 0, k }
}

const fn code(code: u32) -> u16 {
    let [low, high, 0, 0] = code.to_le_bytes() else { panic!("an operation of BPF") };
    u16::from_le_bytes([low, high])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel would do with a call.
    fn run(program: &BpfProgram, number: u32, arch: u32, arguments: [u64; 6]) -> u32 {
        let mut data = Vec::new();
        data.extend(number.to_le_bytes());
        data.extend(arch.to_le_bytes());
        data.extend([0; 8]);
        data.extend(arguments.iter().flat_map(|argument| argument.to_le_bytes()));
        let (mut accumulator, mut at) = (0_u32, 0_usize);
        loop {
            let (code, k) = (u32::from(program[at].code), program[at].k);
            let (jt, jf) = (usize::from(program[at].jt), usize::from(program[at].jf));
            at += 1;
            let mut jump = |condition: bool| at += if condition { jt } else { jf };
            if code == BPF_LD | BPF_W | BPF_ABS {
                let from = usize::try_from(k).unwrap();
                accumulator = u32::from_le_bytes(data[from..from + 4].try_into().unwrap());
            } else if code == BPF_ALU | BPF_AND | BPF_K {
                accumulator &= k;
            } else if code == BPF_JMP | BPF_JEQ | BPF_K {
                jump(accumulator == k);
            } else if code == BPF_JMP | BPF_JGE | BPF_K {
                jump(accumulator >= k);
            } else {
                assert_eq!(code, BPF_RET | BPF_K);
                return k;
            }
        }
    }

    #[test]
    fn calls_are_found_among_ranges() {
        let allowed = [3, 5, 6, 7, 9, 200];
        let program = Program::new(&[&allowed[..2], &allowed[2..]], &[]).of_process(1);
        for number in 0..300 {
            let expected = if allowed.contains(&number.into()) { SECCOMP_RET_ALLOW } else { DENY };
            assert_eq!(run(&program, number, ARCH, [0; 6]), expected, "{number}");
            assert_eq!(run(&program, number, ARCH + 1, [0; 6]), DENY);
        }
        assert_eq!(run(&program, 0x4000_0005, ARCH, [0; 6]), DENY, "of another ABI");
    }

    #[test]
    fn conditions_hold_for_their_call_alone() {
        let either = [Argument::equal(0, 10), Argument::equal(1, 3), Argument::equal(2, -1)];
        let rules: &[Rule<'_>] = &[
            (10, &[&[Argument::masked(1, 0b110, 0b010)]]),
            (11, &[&[Argument::equal(0, 16)], &either]),
            (13, &[&[Argument::null(2), Argument::masked(0, 1, 1)]]),
            (15, &[&[Argument::own_process(0)]]),
        ];
        let program = Program::new(&[&[12, 1, 2]], rules).of_process(77);
        let allows = |number, arguments: &[u64]| {
            let mut all = [0; 6];
            all[..arguments.len()].copy_from_slice(arguments);
            run(&program, number, ARCH, all) == SECCOMP_RET_ALLOW
        };
        assert!(allows(1, &[]) && allows(2, &[9, 9]) && allows(12, &[]) && !allows(0, &[]) && !allows(14, &[]));
        assert!(allows(15, &[77]) && !allows(15, &[78]) && !allows(15, &[0]));
        assert!(
            allows(10, &[0, 0b010]) && allows(10, &[7, 0b1010]) && !allows(10, &[0, 0b110]) && !allows(10, &[2, 0])
        );
        assert!(allows(11, &[16]) && allows(11, &[16, 5]) && allows(11, &[10, 3, 0xffff_ffff]));
        assert!(!allows(11, &[10, 3, 1]) && !allows(11, &[10, 4, 0xffff_ffff]) && !allows(11, &[9, 3, 0xffff_ffff]));
        assert!(
            allows(13, &[1, 0, 0]) && !allows(13, &[1, 0, 1 << 40]) && !allows(13, &[1, 0, 1]) && !allows(13, &[0])
        );
    }
}
