//! `reached FUNCTIONS OUT PROGRAM [ARGUMENT...]`: finds the functions that a call of a
//! program reaches, for `packaging/program`, which places them together. FUNCTIONS is a
//! file with a line for each function: the linker's address in hexadecimal, and the
//! name. Appends the names of reached functions to the file OUT, in the order in which
//! they are first reached. Input, output and status are the program's.
//!
//! The first byte of each function becomes a breakpoint, which is removed when it is
//! reached, so a function that is called a thousand times stops once. Only for programs
//! with one thread.

use std::{
    collections::BTreeMap,
    env,
    fs::{self, OpenOptions},
    io::Write as _,
    os::unix::{fs::FileExt as _, process::CommandExt as _},
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result, bail};
use nix::{
    sys::{
        ptrace::{self, Options},
        signal::Signal,
        wait::{WaitStatus, waitpid},
    },
    unistd::Pid,
};

/// `int3`.
const BREAKPOINT: u8 = 0xcc;

fn main() -> Result<ExitCode> {
    let mut arguments = env::args_os().skip(1);
    let (Some(functions), Some(out), Some(program)) = (arguments.next(), arguments.next(), arguments.next()) else {
        bail!("usage: reached FUNCTIONS OUT PROGRAM [ARGUMENT...]");
    };
    let text = fs::read_to_string(&functions).with_context(|| format!("cannot read {}", functions.display()))?;
    let functions = parse(&text)?;
    let mut command = Command::new(program);
    command.args(arguments);
    let (reached, status) = trace(command, functions.keys().copied())?;
    let mut out = OpenOptions::new().create(true).append(true).open(out)?;
    for address in reached {
        writeln!(out, "{}", functions[&address])?;
    }
    Ok(ExitCode::from(status))
}

/// Names by address.
fn parse(text: &str) -> Result<BTreeMap<u64, &str>> {
    let function = |line| -> Result<(u64, &str)> {
        let (address, name) = str::split_once(line, ' ').with_context(|| format!("no address and name: {line:?}"))?;
        Ok((u64::from_str_radix(address, 16).with_context(|| format!("no address: {line:?}"))?, name))
    };
    text.lines().map(function).collect()
}

/// Runs the command. Returns the functions that it reached, and its status.
#[expect(unsafe_code, reason = "a child that asks to be traced")]
fn trace(mut command: Command, functions: impl Iterator<Item = u64>) -> Result<(Vec<u64>, u8)> {
    // SAFETY: this is the only system call between fork and exec.
    unsafe { command.pre_exec(|| Ok(ptrace::traceme()?)) };
    let child = command.spawn().with_context(|| format!("cannot run {}", command.get_program().display()))?;
    let pid = Pid::from_raw(child.id().cast_signed());
    // It has stopped at the first instruction of the new program.
    waitpid(pid, None)?;
    ptrace::setoptions(pid, Options::PTRACE_O_EXITKILL)?;
    let base = base(pid)?;
    let memory = OpenOptions::new().read(true).write(true).open(format!("/proc/{pid}/mem"))?;
    let mut breakpoints = BTreeMap::new();
    for address in functions {
        let mut byte = [0];
        memory.read_exact_at(&mut byte, base + address)?;
        memory.write_all_at(&[BREAKPOINT], base + address)?;
        breakpoints.insert(address, byte[0]);
    }
    let mut reached = Vec::new();
    let mut signal = None;
    loop {
        ptrace::cont(pid, signal)?;
        signal = match waitpid(pid, None)? {
            WaitStatus::Stopped(_, Signal::SIGTRAP) => {
                let address = step_back(pid, base)?;
                let byte = breakpoints.remove(&address).with_context(|| format!("no breakpoint at {address:x}"))?;
                memory.write_all_at(&[byte], base + address)?;
                reached.push(address);
                None
            }
            WaitStatus::Stopped(_, other) => Some(other),
            WaitStatus::Exited(_, status) => return Ok((reached, u8::try_from(status)?)),
            other => bail!("it ended by {other:?}"),
        };
    }
}

/// The address of the program in memory.
fn base(pid: Pid) -> Result<u64> {
    let program = fs::read_link(format!("/proc/{pid}/exe"))?;
    let maps = fs::read_to_string(format!("/proc/{pid}/maps"))?;
    let first = maps.lines().find(|line| line.ends_with(&*program.to_string_lossy()));
    let address = first.and_then(|line| line.split('-').next()).context("the program is not in its own memory")?;
    Ok(u64::from_str_radix(address, 16)?)
}

/// Continues with the instruction that the breakpoint replaced. Returns the function's
/// address.
#[cfg(target_arch = "x86_64")]
fn step_back(pid: Pid, base: u64) -> Result<u64> {
    let mut registers = ptrace::getregs(pid)?;
    registers.rip -= 1;
    ptrace::setregs(pid, registers)?;
    Ok(registers.rip.wrapping_sub(base))
}

#[cfg(not(target_arch = "x86_64"))]
fn step_back(_: Pid, _: u64) -> Result<u64> {
    bail!("breakpoints are known for x86_64 only")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `e_entry` of an ELF file of 64 bits (elf(5)), for a program that may lie
    /// anywhere in memory.
    fn entry(program: &str) -> Option<u64> {
        let elf = fs::read(program).ok()?;
        let word = |at: usize| Some(u64::from_le_bytes(elf.get(at..at + 8)?.try_into().ok()?));
        (elf.get(16) == Some(&3)).then(|| word(24)).flatten()
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn a_program_reaches_its_first_instruction_and_ends_as_it_would() {
        for (program, ends) in [("/bin/true", 0), ("/bin/false", 1)] {
            let Some(entry) = entry(program) else {
                eprintln!("skipped: {program} has its place in memory");
                return;
            };
            let (reached, status) = trace(Command::new(program), [entry].into_iter()).unwrap();
            assert_eq!((reached, status), (vec![entry], ends), "{program}");
        }
    }

    #[test]
    fn a_function_is_an_address_and_a_name() {
        let functions = parse("1040 .text.main\n10a0 .text.exit\n").unwrap();
        assert_eq!(functions.into_iter().collect::<Vec<_>>(), [(0x1040, ".text.main"), (0x10a0, ".text.exit")]);
        for odd in ["1040", "main 1040", ""] {
            assert!(parse(&format!("{odd}\n")).is_err(), "{odd:?}");
        }
    }
}
