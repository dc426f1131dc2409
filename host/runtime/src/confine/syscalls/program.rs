//! A filter as classic BPF. Before the kernel takes one it tries it with every call
//! that there is and translates it, so that its path and its length are time at each
//! start: calls are looked up by halving, where general compilers compare with each
//! of them.

use std::{collections::BTreeMap, mem::offset_of};

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

/// A condition on one argument of a call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Argument {
    number: u8,
    mask: u32,
    value: u32,
    /// Does its upper half count, which has to be 0 then?
    whole: bool,
}

impl Argument {
    pub(super) fn equal(number: u8, value: i32) -> Self {
        Self::masked(number, -1, value)
    }

    /// These bits of it have this value.
    pub(super) fn masked(number: u8, mask: i32, value: i32) -> Self {
        Self { number, mask: mask.cast_unsigned(), value: value.cast_unsigned(), whole: false }
    }

    /// It is a null pointer.
    pub(super) fn null(number: u8) -> Self {
        Self { number, mask: u32::MAX, value: 0, whole: true }
    }
}

/// A filter that is being made.
pub(super) struct Program {
    /// Calls that are allowed, and with what.
    calls: BTreeMap<u32, Allowed>,
}

/// The arguments that a call may have.
enum Allowed {
    Any,
    /// All conditions of one of these.
    Either(Vec<Vec<Argument>>),
}

/// Where a jump leads.
#[derive(Clone, Copy, PartialEq)]
enum Target {
    Deny,
    Allow,
    /// The conditions that bear this number.
    Conditions(usize),
}

impl Program {
    /// One that allows these calls, with any arguments.
    pub(super) fn new(allowed: impl Iterator<Item = libc::c_long>) -> Self {
        let numbers = allowed.filter_map(|number| u32::try_from(number).ok());
        Self { calls: numbers.map(|number| (number, Allowed::Any)).collect() }
    }

    /// Allows a call with such arguments; a call that is named twice, with either.
    pub(super) fn allow_if(&mut self, call: libc::c_long, arguments: &[Argument]) {
        let Ok(number) = u32::try_from(call) else { return };
        if let Allowed::Either(either) = self.calls.entry(number).or_insert_with(|| Allowed::Either(Vec::new())) {
            either.push(arguments.to_vec());
        }
    }

    pub(super) fn finish(self) -> BpfProgram {
        let mut conditions = Vec::new();
        // From each number on, to that of the next, the answer is the same.
        let mut steps = vec![(0, Target::Deny)];
        for (number, allowed) in self.calls {
            let target = match allowed {
                Allowed::Any => Target::Allow,
                Allowed::Either(either) => {
                    conditions.push(checks(&either));
                    Target::Conditions(conditions.len() - 1)
                }
            };
            for step in [(number, target), (number + 1, Target::Deny)] {
                match steps.last_mut() {
                    Some(last) if last.0 == step.0 => last.1 = step.1,
                    _ => steps.push(step),
                }
            }
        }
        steps.dedup_by_key(|step| step.1);

        let mut search = Vec::new();
        halve(&steps, &mut search);
        // Behind the search come the conditions, and behind them the answers.
        let mut at = search.len();
        let mut starts = Vec::new();
        for checks in &conditions {
            starts.push(at);
            at += checks.len();
        }
        let place = |jump: Jump| match jump {
            Jump::To(Target::Conditions(i)) => starts[i],
            Jump::To(Target::Deny) => at,
            Jump::To(Target::Allow) => at + 1,
            Jump::At(place) => place,
        };
        let mut program = vec![
            load(offset_of!(seccomp_data, arch)),
            jump(BPF_JEQ, ARCH, 1, 0),
            give(DENY),
            load(offset_of!(seccomp_data, nr)),
        ];
        for (i, Step { number, then, or_else }) in search.into_iter().enumerate() {
            program.push(jump(BPF_JGE, number, distance(place(then) - i - 1), distance(place(or_else) - i - 1)));
        }
        program.extend(conditions.into_iter().flatten());
        program.extend([give(DENY), give(SECCOMP_RET_ALLOW)]);
        program
    }
}

/// Is the call's number this one or a higher one?
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

/// Searches for the last of the steps that the number reaches; where that begins.
fn halve(steps: &[(u32, Target)], search: &mut Vec<Step>) -> Jump {
    let [_, .., _] = steps else { return Jump::To(steps[0].1) };
    let (low, high) = steps.split_at(steps.len() / 2);
    let place = search.len();
    search.push(Step { number: high[0].0, then: Jump::At(0), or_else: Jump::At(0) });
    search[place].or_else = halve(low, search);
    search[place].then = halve(high, search);
    Jump::At(place)
}

/// Allows what meets all of one's conditions, and nothing else.
fn checks(either: &[Vec<Argument>]) -> BpfProgram {
    let mut all = Vec::new();
    for arguments in either {
        let mut checks = Vec::new();
        for argument in arguments {
            let low = offset_of!(seccomp_data, args) + usize::from(argument.number) * 8;
            if argument.whole {
                checks.extend([load(low + 4), jump(BPF_JEQ, 0, 0, 0)]);
            }
            checks.push(load(low));
            if argument.mask != u32::MAX {
                checks.push(sock_filter { code: code(BPF_ALU | BPF_AND | BPF_K), jt: 0, jf: 0, k: argument.mask });
            }
            checks.push(jump(BPF_JEQ, argument.value, 0, 0));
        }
        // What does not hold leads past the permission.
        let end = checks.len();
        for (at, check) in checks.iter_mut().enumerate() {
            if check.code == code(BPF_JMP | BPF_JEQ | BPF_K) {
                check.jf = distance(end - at);
            }
        }
        checks.push(give(SECCOMP_RET_ALLOW));
        all.extend(checks);
    }
    all.push(give(DENY));
    all
}

/// Within a program that is as short as ours.
fn distance(instructions: usize) -> u8 {
    u8::try_from(instructions).expect("fewer than 256 instructions")
}

fn load(offset: usize) -> sock_filter {
    let k = u32::try_from(offset).expect("within a small structure");
    sock_filter { code: code(BPF_LD | BPF_W | BPF_ABS), jt: 0, jf: 0, k }
}

fn jump(condition: u32, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code: code(BPF_JMP | condition | BPF_K), jt, jf, k }
}

fn give(k: u32) -> sock_filter {
    sock_filter { code: code(BPF_RET | BPF_K), jt: 0, jf: 0, k }
}

fn code(code: u32) -> u16 {
    u16::try_from(code).expect("an operation of BPF")
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
        let program = Program::new(allowed.into_iter()).finish();
        for number in 0..300 {
            let expected = if allowed.contains(&number.into()) { SECCOMP_RET_ALLOW } else { DENY };
            assert_eq!(run(&program, number, ARCH, [0; 6]), expected, "{number}");
            assert_eq!(run(&program, number, ARCH + 1, [0; 6]), DENY);
        }
        assert_eq!(run(&program, 0x4000_0005, ARCH, [0; 6]), DENY, "of another ABI");
    }

    #[test]
    fn conditions_hold_for_their_call_alone() {
        let mut program = Program::new([1, 2, 12].into_iter());
        program.allow_if(10, &[Argument::masked(1, 0b110, 0b010)]);
        program.allow_if(11, &[Argument::equal(0, 16)]);
        program.allow_if(11, &[Argument::equal(0, 10), Argument::equal(1, 3), Argument::equal(2, -1)]);
        program.allow_if(13, &[Argument::null(2), Argument::masked(0, 1, 1)]);
        let program = program.finish();
        let allows = |number, arguments: &[u64]| {
            let mut all = [0; 6];
            all[..arguments.len()].copy_from_slice(arguments);
            run(&program, number, ARCH, all) == SECCOMP_RET_ALLOW
        };
        assert!(allows(1, &[]) && allows(2, &[9, 9]) && allows(12, &[]) && !allows(0, &[]) && !allows(14, &[]));
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
