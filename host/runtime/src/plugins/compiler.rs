//! Running `wasm-cni-compile`: a process without privileges, within the call's time. That a component cannot be compiled
//! is remembered for a while, as every call would try it again.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant, SystemTime},
};

use nix::{
    errno::Errno,
    sys::signal::{Signal, kill},
    unistd::{Pid, geteuid},
};
use wasm_cni_capabilities::{exec, tied::tie, trace::Who};
use wasm_cni_state::files::{reason, replace};

use crate::{host::Host, options::CallOptions};

/// What it may take if nobody has set a time. It ends by itself before that, by its processor time.
const LONGEST: Duration = Duration::from_secs(600);

/// What it may take however short the call is: it is done once, for all that follow.
const LEAST: Duration = Duration::from_secs(6);

/// How long a failure is remembered.
const MEMORY: Duration = Duration::from_secs(600);

/// How often to look whether a call has been cancelled.
const GLANCE: Duration = Duration::from_millis(20);

/// Why there is no native code.
pub(super) struct Failure {
    text: String,
    /// It would fail again, given this time.
    again: Option<Duration>,
}

/// Turns a component into native code. `memory` is the file that remembers a failure.
///
/// # Errors
///
/// Why that did not work, now or a short time ago.
pub(super) fn compile(
    host: &Host,
    kind: &str,
    wasm: &[u8],
    options: &CallOptions,
    memory: &Path,
) -> Result<Vec<u8>, String> {
    let time = options.timeout.or(host.compile_time).unwrap_or(LONGEST).max(LEAST);
    if let Some(text) = remembered(memory, time) {
        return Err(text);
    }
    run(host, kind, wasm, options, time).map_err(|failure| {
        if let Some(time) = failure.again {
            // To remember it only saves time.
            let _ = replace(memory, format!("{}\n{}", time.as_millis(), failure.text).as_bytes(), false);
        }
        failure.text
    })
}

/// What was wrong a short time ago, when there was as much time as now.
fn remembered(memory: &Path, time: Duration) -> Option<String> {
    let age = SystemTime::now().duration_since(fs::metadata(memory).ok()?.modified().ok()?).ok()?;
    let text = fs::read_to_string(memory).ok()?;
    let (given, text) = text.split_once('\n')?;
    let given = Duration::from_millis(given.parse().ok()?);
    let path = memory.display();
    (age < MEMORY && time <= given).then(|| format!("{text} ({}s ago; remove {path} to try it again)", age.as_secs()))
}

fn run(host: &Host, kind: &str, wasm: &[u8], options: &CallOptions, time: Duration) -> Result<Vec<u8>, Failure> {
    let failed = |text: String| Failure { text, again: None };
    let compiler = compiler(host).map_err(failed)?;
    let user = nobodys_user();
    let command = |unprivileged: bool| {
        let mut command = Command::new(&compiler);
        command.args(["-", "-"]).env_clear().current_dir("/");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if unprivileged {
            command.uid(user).gid(user);
        }
        tie(&mut command);
        command
    };
    let root = geteuid().is_root();
    // In a user namespace without a mapping for it there is no way to become it.
    let run = || {
        let child = command(root).spawn().or_else(|e| if root { command(false).spawn() } else { Err(e) })?;
        end(child, wasm, options, time)
    };
    let status = |output: &Output| exec::status(output.status);
    let output = host.context.trace.process(Who::plugin(kind), &compiler, &["-", "-"], run, status);
    let output = output.map_err(|e| match e.raw_os_error() {
        Some(errno) if errno == Errno::ETIMEDOUT as i32 => {
            let text = format!(
                "it was not compiled within {}s: compile it before it is needed, with `wasm-cni inspect {kind}`",
                time.as_secs_f32()
            );
            Failure { text, again: Some(time) }
        }
        Some(errno) if errno == Errno::ECANCELED as i32 => {
            failed("the call was cancelled while it was compiled".to_owned())
        }
        _ => failed(format!("cannot run {}: {}", compiler.display(), reason(&e))),
    })?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let text = format!("{} failed ({}): {}", compiler.display(), output.status, text.trim());
    // What ends it otherwise says nothing of the component.
    let is_its_own = output.status.code().is_some() || output.status.signal() == Some(Signal::SIGXCPU as i32);
    Err(Failure { text, again: is_its_own.then_some(LONGEST) })
}

/// A user that no other process is: `nobody` is many a daemon, and each of them could write into the compiler's process what
/// it is to answer. systemd leaves this range of 2^28 users to nobody (systemd.io, Users, Groups, UIDs and GIDs).
fn nobodys_user() -> u32 {
    0x7000_0000 | wasm_cni_kernel::random_index() & 0x0fff_ffff
}

/// Gives it its input, and waits for its end.
fn end(mut child: Child, wasm: &[u8], options: &CallOptions, time: Duration) -> io::Result<Output> {
    let id = Pid::from_raw(i32::try_from(child.id()).map_err(io::Error::other)?);
    let mut stdin = child.stdin.take().expect("piped above");
    let (ended, end) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(move || {
            // If it ends early its error says why.
            let _ = stdin.write_all(wasm);
        });
        scope.spawn(move || ended.send(child.wait_with_output()));
        let deadline = Instant::now() + time;
        while !options.cancel.is_cancelled() && Instant::now() < deadline {
            let time = deadline.saturating_duration_since(Instant::now()).min(GLANCE);
            if let Ok(output) = end.recv_timeout(time) {
                return output;
            }
        }
        // Nobody has waited for it, so that it is still the one with this number, or has ended this very moment.
        let _ = kill(id, Signal::SIGKILL);
        let errno = if options.cancel.is_cancelled() { Errno::ECANCELED } else { Errno::ETIMEDOUT };
        Err(errno.into())
    })
}

/// The compiler that was set, else the one beside this program, else the one
/// of the distribution.
fn compiler(host: &Host) -> Result<PathBuf, String> {
    const NAME: &str = "wasm-cni-compile";
    if let Some(path) = &host.compiler {
        return Ok(path.clone());
    }
    let here = std::env::current_exe().ok().and_then(|program| Some(program.parent()?.join(NAME)));
    let there = Path::new("/usr/libexec/wasm-cni").join(NAME);
    let found = here.into_iter().chain([there]).find(|path| path.is_file());
    found.ok_or_else(|| format!("not compiled yet, and `{NAME}` was not found next to this program"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_remembered_for_as_much_time_as_there_was() {
        let directory = tempfile::tempdir().unwrap();
        let memory = directory.path().join("failed");
        let seconds = Duration::from_secs;
        assert_eq!(remembered(&memory, seconds(3)), None);
        fs::write(&memory, "3000\nit was too slow").unwrap();
        assert!(remembered(&memory, seconds(3)).unwrap().starts_with("it was too slow ("));
        assert_eq!(remembered(&memory, seconds(4)), None, "now there is more");
        let old = SystemTime::now() - MEMORY - seconds(1);
        fs::File::options().write(true).open(&memory).unwrap().set_modified(old).unwrap();
        assert_eq!(remembered(&memory, seconds(3)), None);
    }
}
