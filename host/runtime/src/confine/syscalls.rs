//! Which system calls there are: a seccomp(2) filter. What is not on the list is
//! answered as by a kernel that has no such call, so that nothing ends half-way.

use std::collections::BTreeMap;

use nix::libc;
use seccompiler::{
    BackendError, BpfProgram, Error, SeccompAction,
    SeccompCmpArgLen::{Dword, Qword},
    SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

/// With any arguments.
const ALLOWED: &[libc::c_long] = &[
    // Files. Which ones is for Landlock to say.
    libc::SYS_close,
    libc::SYS_dup,
    libc::SYS_faccessat,
    libc::SYS_fadvise64,
    libc::SYS_fchmod,
    libc::SYS_fcntl,
    libc::SYS_fdatasync,
    libc::SYS_fgetxattr,
    libc::SYS_flock,
    libc::SYS_fsetxattr,
    libc::SYS_fstat,
    libc::SYS_fstatfs,
    libc::SYS_fsync,
    libc::SYS_ftruncate,
    libc::SYS_getcwd,
    libc::SYS_getdents64,
    libc::SYS_lgetxattr,
    libc::SYS_linkat,
    libc::SYS_lseek,
    libc::SYS_lsetxattr,
    libc::SYS_mkdirat,
    libc::SYS_newfstatat,
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_read,
    libc::SYS_readlinkat,
    libc::SYS_readv,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_statfs,
    libc::SYS_statx,
    libc::SYS_umask,
    libc::SYS_unlinkat,
    libc::SYS_write,
    libc::SYS_writev,
    // Sockets that are open.
    libc::SYS_bind,
    libc::SYS_getsockname,
    libc::SYS_getsockopt,
    libc::SYS_ppoll,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_sendmsg,
    libc::SYS_sendto,
    libc::SYS_setsockopt,
    // Memory; see below for code.
    libc::SYS_brk,
    libc::SYS_madvise,
    libc::SYS_memfd_create,
    libc::SYS_mremap,
    libc::SYS_munmap,
    // Threads, signals, time.
    libc::SYS_clock_getres,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_futex,
    libc::SYS_getegid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_gettid,
    libc::SYS_getuid,
    libc::SYS_nanosleep,
    libc::SYS_restart_syscall,
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigtimedwait,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_set_robust_list,
    libc::SYS_sigaltstack,
    libc::SYS_timer_create,
    libc::SYS_timer_delete,
    libc::SYS_timer_settime,
    libc::SYS_uname,
];

/// The same calls under their older names.
#[cfg(target_arch = "x86_64")]
const OLDER: &[libc::c_long] = &[
    libc::SYS_access,
    libc::SYS_getdents,
    libc::SYS_link,
    libc::SYS_lstat,
    libc::SYS_mkdir,
    libc::SYS_open,
    libc::SYS_poll,
    libc::SYS_readlink,
    libc::SYS_rename,
    libc::SYS_rmdir,
    libc::SYS_stat,
    libc::SYS_time,
    libc::SYS_unlink,
];
#[cfg(not(target_arch = "x86_64"))]
const OLDER: &[libc::c_long] = &[];

/// `PR_SET_NAME` of linux/prctl.h: names of threads.
const PR_SET_NAME: u64 = 15;

pub(super) fn restrict() -> Result<(), Error> {
    seccompiler::apply_filter(&program()?)
}

fn program() -> Result<BpfProgram, BackendError> {
    let mut rules: BTreeMap<_, _> = ALLOWED.iter().chain(OLDER).map(|call| (*call, Vec::new())).collect();
    let new_namespaces = libc::CLONE_NEWCGROUP
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWNET
        | libc::CLONE_NEWNS
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWUSER
        | libc::CLONE_NEWUTS;
    rules.extend([
        // Threads, and no processes. clone3(2) keeps its flags in memory, where
        // nobody can look; without it libc takes clone(2).
        (libc::SYS_clone, vec![masked(0, libc::CLONE_THREAD | new_namespaces, libc::CLONE_THREAD)?]),
        (libc::SYS_setns, vec![equal(1, libc::CLONE_NEWNET)?]),
        // And what neighbour advertisements go out by.
        (libc::SYS_socket, vec![equal(0, libc::AF_NETLINK)?, icmpv6()?]),
        // The code that there is is all the code there will be.
        (libc::SYS_mmap, vec![masked(2, libc::PROT_EXEC, 0)?]),
        (libc::SYS_mprotect, vec![masked(2, libc::PROT_EXEC, 0)?]),
        // Reading limits: without new ones.
        (libc::SYS_prlimit64, vec![SeccompRule::new(vec![SeccompCondition::new(2, Qword, SeccompCmpOp::Eq, 0)?])?]),
        (libc::SYS_prctl, vec![rule(0, SeccompCmpOp::Eq, PR_SET_NAME)?]),
        // Of this process.
        (libc::SYS_kill, vec![own_process()?]),
        (libc::SYS_tgkill, vec![own_process()?]),
    ]);
    let denied = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
    let arch = std::env::consts::ARCH.try_into()?;
    SeccompFilter::new(rules, denied, SeccompAction::Allow, arch)?.try_into()
}

fn icmpv6() -> Result<SeccompRule, BackendError> {
    let equal =
        |argument, value: i32| SeccompCondition::new(argument, Dword, SeccompCmpOp::Eq, value.unsigned_abs().into());
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
    SeccompRule::new(vec![equal(0, libc::AF_INET6)?, equal(1, kind)?, equal(2, libc::IPPROTO_ICMPV6)?])
}

fn own_process() -> Result<SeccompRule, BackendError> {
    rule(0, SeccompCmpOp::Eq, std::process::id().into())
}

fn equal(argument: u8, value: i32) -> Result<SeccompRule, BackendError> {
    rule(argument, SeccompCmpOp::Eq, value.unsigned_abs().into())
}

fn masked(argument: u8, mask: i32, value: i32) -> Result<SeccompRule, BackendError> {
    rule(argument, SeccompCmpOp::MaskedEq(mask.unsigned_abs().into()), value.unsigned_abs().into())
}

fn rule(argument: u8, operator: SeccompCmpOp, value: u64) -> Result<SeccompRule, BackendError> {
    SeccompRule::new(vec![SeccompCondition::new(argument, Dword, operator, value)?])
}

#[cfg(test)]
mod tests {
    use std::{fs, net::UdpSocket, process::Command, thread};

    use nix::{
        errno::Errno,
        sched::{CloneFlags, unshare},
        sys::{
            prctl::set_no_new_privs,
            ptrace,
            signal::{Signal, kill},
            socket::{AddressFamily, SockFlag, SockType, socket},
        },
        unistd::getppid,
    };

    use super::*;

    /// A filter is a thread's, and that of the threads that it starts.
    fn confined(f: impl FnOnce() + Send + 'static) {
        let confined = || {
            set_no_new_privs().unwrap();
            restrict().unwrap();
            f();
        };
        thread::spawn(confined).join().unwrap();
    }

    #[test]
    fn what_plugins_need_is_there() {
        confined(|| {
            let folder = tempfile::tempdir().unwrap();
            let (one, other) = (folder.path().join("1"), folder.path().join("2"));
            fs::create_dir(folder.path().join("d")).unwrap();
            fs::write(&one, "text").unwrap();
            fs::rename(&one, &other).unwrap();
            assert_eq!(fs::read_to_string(&other).unwrap(), "text");
            assert_eq!(thread::spawn(|| 7).join().unwrap(), 7);
            thread::sleep(std::time::Duration::from_millis(1));
            socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, None).unwrap();
        });
    }

    #[test]
    fn and_nothing_to_leave_the_sandbox_with() {
        confined(|| {
            let unknown = |errno: Option<i32>, what: &str| assert_eq!(errno, Some(libc::ENOSYS), "{what}");
            unknown(UdpSocket::bind("127.0.0.1:0").unwrap_err().raw_os_error(), "a socket of IPv4");
            unknown(Command::new("/bin/true").spawn().unwrap_err().raw_os_error(), "a process");
            assert_eq!(unshare(CloneFlags::CLONE_NEWUSER), Err(Errno::ENOSYS));
            assert_eq!(kill(getppid(), None::<Signal>), Err(Errno::ENOSYS));
            assert_eq!(ptrace::attach(getppid()), Err(Errno::ENOSYS));
            assert_eq!(nix::unistd::chroot("/"), Err(Errno::ENOSYS));
            let memory = rustix::process::getrlimit(rustix::process::Resource::Nofile);
            let raised = rustix::process::setrlimit(rustix::process::Resource::Nofile, memory);
            assert_eq!(raised, Err(rustix::io::Errno::NOSYS));
        });
    }

    #[test]
    #[expect(unsafe_code, reason = "mmap(2), which a safe function cannot offer")]
    fn nor_new_code() {
        confined(|| {
            let code = libc::PROT_READ | libc::PROT_EXEC;
            // SAFETY: a new mapping, which is given back unused.
            unsafe {
                let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
                let data = libc::mmap(std::ptr::null_mut(), 4096, libc::PROT_READ, flags, -1, 0);
                assert_ne!(data, libc::MAP_FAILED);
                assert_eq!((libc::mprotect(data, 4096, code), Errno::last()), (-1, Errno::ENOSYS));
                assert_eq!(libc::munmap(data, 4096), 0);
                assert_eq!(libc::mmap(std::ptr::null_mut(), 4096, code, flags, -1, 0), libc::MAP_FAILED);
            }
            assert_eq!(Errno::last(), Errno::ENOSYS);
        });
    }
}
