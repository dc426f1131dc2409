//! What the compiler gives up before it reads what others wrote: a component that takes it over by a bug in the compiler can
//! compute, and write an answer that is not believed either.

use anyhow::{Context as _, Result};
use nix::libc;
use nix::sys::prctl::{set_dumpable, set_no_new_privs};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};

/// All that compiling from standard input to standard output needs.
const ALLOWED: &[libc::c_long] = &[
    libc::SYS_brk,
    libc::SYS_clock_gettime,
    libc::SYS_close,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_fstat,
    libc::SYS_futex,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_gettid,
    libc::SYS_lseek,
    libc::SYS_madvise,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_restart_syscall,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_yield,
    libc::SYS_sigaltstack,
    libc::SYS_tgkill,
    libc::SYS_tkill,
    libc::SYS_write,
    libc::SYS_writev,
];

/// Nobody else may look into this process or write into it. (`PR_SET_DUMPABLE`)
pub(crate) fn hide() -> Result<()> {
    set_dumpable(false).context("cannot hide the process from others")
}

/// No call of the kernel but those of a program that computes: no file is opened, no process started.
pub(crate) fn restrict() -> Result<()> {
    set_no_new_privs().context("cannot give up new privileges")?;
    let rules = ALLOWED.iter().map(|call| (*call, Vec::new())).collect();
    let denied = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let filter = SeccompFilter::new(rules, denied, SeccompAction::Allow, std::env::consts::ARCH.try_into()?)?;
    let program: BpfProgram = filter.try_into()?;
    apply_filter(&program).context("cannot restrict system calls")
}
