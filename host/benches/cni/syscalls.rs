//! System calls, processes, threads and peak memory of one call, counted with
//! ptrace(2), which is slow and never used in a timed round.

use std::{
    collections::{BTreeMap, HashSet},
    fs,
    os::unix::process::CommandExt as _,
};

use anyhow::{Result, bail, ensure};
use nix::{
    errno::Errno,
    sys::{
        ptrace::{self, Event, Options},
        signal::Signal,
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};

use crate::{process::Call, report::Resources, subject::Who};

/// `PTRACE_SYSCALL_INFO_ENTRY`: entering the kernel.
const ENTRY: u8 = 1;

#[derive(Default)]
struct Counts {
    calls: BTreeMap<u64, u64>,
    processes: u64,
    threads: u64,
    peak_memory: u64,
    peak_together: u64,
    /// Processes that have called exec; before, a process may share its parent's memory.
    there: HashSet<Pid>,
}

/// Runs the call, and counts for it and its children.
#[expect(unsafe_code, reason = "a child that asks to be traced")]
pub(crate) fn count(call: &Call, by: Who) -> Result<Resources> {
    let mut command = call.command()?;
    // SAFETY: this is the only system call between fork and exec.
    unsafe { command.pre_exec(|| Ok(ptrace::traceme()?)) };
    let child = Pid::from_raw(command.spawn()?.id().cast_signed());
    // It has stopped at the first instruction of the new program.
    waitpid(child, None)?;
    let options = Options::PTRACE_O_TRACESYSGOOD
        | Options::PTRACE_O_TRACECLONE
        | Options::PTRACE_O_TRACEFORK
        | Options::PTRACE_O_TRACEVFORK
        | Options::PTRACE_O_TRACEEXEC
        | Options::PTRACE_O_TRACEEXIT
        | Options::PTRACE_O_EXITKILL;
    ptrace::setoptions(child, options)?;
    go_on(child, None)?;

    let mut counts = Counts { processes: 1, there: HashSet::from([child]), ..Counts::default() };
    let status = follow(child, &mut counts)?;
    ensure!(status == 0, call.failure());
    let mut by_name: Vec<_> = counts.calls.iter().map(|(&number, &count)| (name(number), count)).collect();
    by_name.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    Ok(Resources {
        by,
        system_calls: counts.calls.values().sum(),
        processes: counts.processes,
        threads: counts.threads,
        peak_memory: counts.peak_memory,
        peak_together: counts.peak_together,
        by_name,
    })
}

/// Traces until all processes have ended. Returns the first process's status.
fn follow(first: Pid, counts: &mut Counts) -> Result<i32> {
    let (mut known, mut status) = (HashSet::from([first]), -1);
    loop {
        let event = match waitpid(None, Some(WaitPidFlag::__WALL)) {
            Err(Errno::ECHILD) => return Ok(status),
            event => event?,
        };
        match event {
            WaitStatus::PtraceSyscall(pid) => {
                if let Some(number) = entered(pid) {
                    *counts.calls.entry(number).or_default() += 1;
                }
                go_on(pid, None)?;
            }
            WaitStatus::PtraceEvent(pid, _, event) => {
                match event {
                    _ if event == Event::PTRACE_EVENT_CLONE as i32 => counts.threads += 1,
                    _ if event == Event::PTRACE_EVENT_FORK as i32 || event == Event::PTRACE_EVENT_VFORK as i32 => {
                        counts.processes += 1;
                    }
                    _ if event == Event::PTRACE_EVENT_EXIT as i32 => {
                        counts.peak_memory = counts.peak_memory.max(memory(pid, "VmHWM:"));
                        let together = counts.there.iter().map(|pid| memory(*pid, "VmRSS:")).sum();
                        counts.peak_together = counts.peak_together.max(together);
                    }
                    _ if event == Event::PTRACE_EVENT_EXEC as i32 => drop(counts.there.insert(pid)),
                    _ => {}
                }
                go_on(pid, None)?;
            }
            // A new process stops once; other signals are delivered.
            WaitStatus::Stopped(pid, Signal::SIGSTOP) if known.insert(pid) => go_on(pid, None)?,
            WaitStatus::Stopped(pid, signal) => go_on(pid, Some(signal))?,
            WaitStatus::Exited(pid, code) => {
                counts.there.remove(&pid);
                if pid == first {
                    status = code;
                }
            }
            WaitStatus::Signaled(pid, signal, _) if pid == first => bail!("killed by {signal}"),
            _ => {}
        }
    }
}

fn go_on(pid: Pid, signal: Option<Signal>) -> Result<()> {
    match ptrace::syscall(pid, signal) {
        // It was killed in the meantime.
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// The number of the system call that a thread is about to make.
#[expect(unsafe_code, reason = "a union")]
fn entered(pid: Pid) -> Option<u64> {
    let info = ptrace::syscall_info(pid).ok()?;
    // SAFETY: `op` says that the kernel has written this member.
    if info.op == ENTRY { Some(unsafe { info.u.entry.nr }) } else { None }
}

/// Bytes, from proc_pid_status(5). The value of wait4(2) is at least that of the parent
/// at the start of the process, which is this program.
fn memory(pid: Pid, field: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    let kilo = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kilo.unwrap_or_default() * 1024
}

/// The name of a common system call, or the number.
fn name(number: u64) -> String {
    macro_rules! table {
        ($($name:ident)*) => {
            [$((libc::$name, stringify!($name))),*]
        };
    }
    #[rustfmt::skip]
    let table = table![
        SYS_accept4 SYS_bind SYS_brk SYS_capget SYS_clock_gettime SYS_clock_nanosleep SYS_clone SYS_clone3 SYS_close
        SYS_close_range SYS_connect SYS_dup SYS_dup3 SYS_epoll_create1 SYS_epoll_ctl SYS_epoll_pwait SYS_eventfd2
        SYS_execve SYS_exit SYS_exit_group SYS_faccessat SYS_faccessat2 SYS_fchdir SYS_fcntl SYS_fdatasync SYS_flock
        SYS_fstat SYS_fstatfs SYS_fsync SYS_ftruncate SYS_futex SYS_getcwd SYS_getdents64 SYS_getegid SYS_geteuid
        SYS_getgid SYS_getpid SYS_getppid SYS_getrandom SYS_getsockname SYS_getsockopt SYS_gettid SYS_getuid SYS_ioctl
        SYS_kill SYS_linkat SYS_listen SYS_lseek SYS_madvise SYS_membarrier SYS_memfd_create SYS_mincore SYS_mkdirat
        SYS_mmap SYS_mprotect SYS_mremap SYS_munmap SYS_nanosleep SYS_newfstatat SYS_openat SYS_openat2
        SYS_pidfd_open SYS_pidfd_send_signal SYS_pipe2 SYS_ppoll SYS_prctl SYS_pread64 SYS_prlimit64 SYS_pwrite64
        SYS_read SYS_readlinkat SYS_readv SYS_recvfrom SYS_recvmsg SYS_renameat SYS_renameat2 SYS_restart_syscall
        SYS_rseq SYS_rt_sigaction SYS_rt_sigprocmask SYS_rt_sigreturn SYS_sched_getaffinity SYS_sched_yield SYS_sendmsg
        SYS_sendto SYS_set_robust_list SYS_set_tid_address SYS_setns SYS_setsockopt SYS_sigaltstack SYS_socket
        SYS_socketpair SYS_statfs SYS_statx SYS_symlinkat SYS_tgkill SYS_timerfd_create SYS_timerfd_settime
        SYS_umask SYS_uname SYS_unlinkat SYS_unshare SYS_utimensat SYS_wait4 SYS_waitid SYS_write SYS_writev
    ];
    // System calls that newer architectures lack.
    #[cfg(target_arch = "x86_64")]
    #[rustfmt::skip]
    let old = table![
        SYS_access SYS_arch_prctl SYS_dup2 SYS_epoll_create SYS_epoll_wait SYS_fork SYS_getdents SYS_getrlimit SYS_link
        SYS_lstat SYS_mkdir SYS_open SYS_pipe SYS_poll SYS_readlink SYS_rename SYS_rmdir SYS_select SYS_stat
        SYS_symlink SYS_unlink SYS_vfork
    ];
    #[cfg(not(target_arch = "x86_64"))]
    let old: [(libc::c_long, &str); 0] = [];
    let found = table.iter().chain(&old).find(|(known, _)| u64::try_from(*known) == Ok(number));
    found.map_or_else(|| number.to_string(), |(_, name)| name.trim_start_matches("SYS_").to_owned())
}
