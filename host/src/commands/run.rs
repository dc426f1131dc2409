//! `run`: a command in a new namespace that is attached to a network while the
//! command runs.

use std::{
    io::{self, Read as _, Write as _},
    os::unix::process::ExitStatusExt as _,
    process::{Child, Command, ExitStatus},
};

use anyhow::{Context as _, Result};
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
    sys::{
        signal::{SigSet, Signal, kill},
        signalfd::{SfdFlags, SignalFd},
    },
    unistd::Pid,
};
use wasm_cni::{
    Netns,
    sandbox::{Sandbox, set_up_loopback},
    settings::LogLine,
};

use super::{attachment, find_network};
use crate::{
    args::Run,
    env::{Env, print_log},
};

/// Signals that ask the process to end. They are handled between two steps, never
/// in the middle of one.
const ENDING: [Signal; 4] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT];

/// Exit statuses of shells: the command was not found, or could not be run.
const NOT_FOUND: u8 = 127;
const NOT_EXECUTABLE: u8 = 126;

pub(crate) fn run(args: &Run, mut env: Env) -> Result<u8> {
    // The isolated view may have another file at this path.
    let network = find_network(&args.network, &env)?;
    let signals = Signals::hold()?;
    if args.isolated {
        env.set("WASM_CNI_ROOT", Sandbox::enter()?.root());
        // Not the default, so that the machine does not change.
        env.set("WASM_CNI_CACHE_DIR", "");
    }
    if args.isolated || env.text("WASM_CNI_HOST_NETNS").is_empty() {
        env.set("WASM_CNI_HOST_NETNS", format!("/proc/{}/ns/net", std::process::id()));
    }
    let netns = Netns::create().context("cannot make a network namespace (without root, use --isolated)")?;
    set_up_loopback(&netns)?;
    let path = netns.path();
    let at = attachment(&env, container_id()?, args.ifname.as_deref(), &path)?;

    // The command gets the caller's privileges.
    env.go_on();
    let runtime = env.runtime()?;
    // If this process is killed, the next call undoes the attachment.
    let added = runtime.call().provisional().add(&network, &at)?;
    let status = match signals.pending()? {
        Some(signal) => Ok(signal_status(signal)),
        None => run_command(args, &env, &netns, &signals),
    };
    let deleted = runtime.del(&network, &at);
    // If that failed, the next call tries to undo it.
    let left = if deleted.is_ok() { runtime.tidy(&added.footprint) } else { Vec::new() };
    for left in left {
        let message = &*format!("could not be removed: {left}");
        let (network, container_id) = (&*network.name, &*at.container_id);
        print_log(&LogLine::warning("", network, container_id, message));
    }
    let status = status?;
    deleted.context("the command has ended, but its network could not be removed")?;
    Ok(status)
}

fn run_command(args: &Run, env: &Env, netns: &Netns, signals: &Signals) -> Result<u8> {
    let mut command = Command::new(&args.command[0]);
    command.args(&args.command[1..]).env_clear().envs(env.variables());
    release_signals(&mut command);
    // The child starts in the namespaces of the thread that creates it.
    let spawned = netns.run_apart(|| {
        // Tools that read /sys/class/net see this namespace's devices, where
        // the kernel lets us mount it.
        let _ = private_sysfs();
        command.spawn()
    })?;
    match spawned {
        Ok(child) => Ok(exit_status(signals.wait(child)?)),
        Err(error) => {
            let _ =
                writeln!(io::stderr(), "Error: cannot run {}: {}", args.command[0].display(), crate::reason(&error));
            Ok(if error.kind() == io::ErrorKind::NotFound { NOT_FOUND } else { NOT_EXECUTABLE })
        }
    }
}

/// Unblocks signals for the command.
#[expect(unsafe_code, reason = "a hook between fork and exec, see below")]
fn release_signals(command: &mut Command) {
    use std::os::unix::process::CommandExt as _;
    // SAFETY: the hook makes one system call and allocates nothing.
    unsafe { command.pre_exec(|| SigSet::empty().thread_set_mask().map_err(io::Error::from)) };
}

fn private_sysfs() -> nix::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_SLAVE, None::<&str>)?;
    mount(Some("sysfs"), "/sys", Some("sysfs"), MsFlags::empty(), None::<&str>)
}

/// An ID that no other run has used.
fn container_id() -> Result<String> {
    let mut bytes = [0; 8];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(format!("run-{:016x}", u64::from_ne_bytes(bytes)))
}

fn exit_status(status: ExitStatus) -> u8 {
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    code.unwrap_or_else(|| 128_u8.wrapping_add(u8::try_from(status.signal().unwrap_or(0)).unwrap_or(0)))
}

fn signal_status(signal: Signal) -> u8 {
    128 + u8::try_from(signal as i32).unwrap_or(0)
}

/// Signals of this process, blocked and received one by one.
struct Signals {
    fd: SignalFd,
}

impl Signals {
    /// Blocks them in this thread and in all threads that it starts. The command
    /// gets them as usual.
    fn hold() -> Result<Self> {
        let mut held = SigSet::from_iter(ENDING);
        held.add(Signal::SIGCHLD);
        held.thread_block().context("cannot block signals")?;
        let fd = SignalFd::with_flags(&held, SfdFlags::SFD_CLOEXEC).context("cannot receive signals")?;
        Ok(Self { fd })
    }

    /// A request to end that has arrived.
    fn pending(&self) -> Result<Option<Signal>> {
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let fd = SignalFd::with_flags(&SigSet::from_iter(ENDING), flags)?;
        let signal = fd.read_signal().context("cannot receive signals")?;
        Ok(signal.and_then(|info| Signal::try_from(info.ssi_signo as i32).ok()))
    }

    /// Waits for the command and forwards requests to end. Ctrl-C is not forwarded:
    /// the terminal sends it to both.
    fn wait(&self, mut child: Child) -> Result<ExitStatus> {
        loop {
            if let Some(status) = child.try_wait().context("cannot wait for the command")? {
                return Ok(status);
            }
            let Some(info) = self.fd.read_signal().context("cannot receive signals")? else { continue };
            let signal = Signal::try_from(info.ssi_signo as i32).unwrap_or(Signal::SIGCHLD);
            let from_terminal = info.ssi_code == SI_KERNEL;
            if signal != Signal::SIGCHLD && !from_terminal {
                let _ = kill(Pid::from_raw(i32::try_from(child.id())?), signal);
            }
        }
    }
}

/// `si_code` of a signal that the kernel sent (sigaction(2)).
const SI_KERNEL: i32 = 0x80;
