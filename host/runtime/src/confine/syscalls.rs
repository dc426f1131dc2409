//! Which system calls there are: a seccomp(2) filter. What is not on the list is
//! answered as by a kernel that has no such call, so that nothing ends half-way.

mod program;

use nix::libc;
use seccompiler::Error;

use self::program::{Argument, Program, Rule};

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
    libc::SYS_utimensat,
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
const PR_SET_NAME: i32 = 15;

/// Flags of clone(2).
const NEW_NAMESPACES: i32 = libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWUTS;

const NO_CODE: Argument = Argument::masked(2, libc::PROT_EXEC, 0);

/// With some arguments.
const RULES: &[Rule<'_>] = &[
    // Threads, and no processes. clone3(2) keeps its flags in memory, where nobody
    // can look; without it libc takes clone(2).
    (libc::SYS_clone, &[&[Argument::masked(0, libc::CLONE_THREAD | NEW_NAMESPACES, libc::CLONE_THREAD)]]),
    (libc::SYS_setns, &[&[Argument::equal(1, libc::CLONE_NEWNET)]]),
    // Packets are what announcements go out by.
    (libc::SYS_socket, &[&[Argument::equal(0, libc::AF_NETLINK)], &[Argument::equal(0, libc::AF_PACKET)]]),
    // The code that there is is all the code there will be.
    (libc::SYS_mmap, &[&[NO_CODE]]),
    (libc::SYS_mprotect, &[&[NO_CODE]]),
    // Reading limits: without new ones.
    (libc::SYS_prlimit64, &[&[Argument::null(2)]]),
    (libc::SYS_prctl, &[&[Argument::equal(0, PR_SET_NAME)]]),
    (libc::SYS_kill, &[&[Argument::own_process(0)]]),
    (libc::SYS_tgkill, &[&[Argument::own_process(0)]]),
];

static PROGRAM: Program = Program::new(&[ALLOWED, OLDER], RULES);

pub(super) fn restrict() -> Result<(), Error> {
    seccompiler::apply_filter(&PROGRAM.of_process(std::process::id()))
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
