//! Plugins that are native executables, run as libcni's `pkg/invoke` runs them.

use std::{
    ffi::OsString,
    io::{self, Write as _},
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    path::{Path, PathBuf},
    process::{Command as Process, ExitStatus, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use serde_json::Value;

use wasm_cni_spec::{
    error::{CniError, ErrorKind, code},
    gojson,
};
use wasm_cni_state::{deadline::Cancel, files::reason};

use crate::tied::tie;

/// Attempts while the file is being replaced ("text file busy").
const ATTEMPTS: u32 = 6;

/// Pause after the first of them; it doubles each time.
const PAUSE: Duration = Duration::from_millis(50);

/// How often to look whether a call has been cancelled.
const GLANCE: Duration = Duration::from_millis(20);

/// One call of an executable.
#[derive(Clone, Debug)]
pub struct ExecCall {
    /// The plugin's type.
    pub kind: String,
    /// The file.
    pub path: PathBuf,
    /// The whole environment.
    pub env: Vec<(OsString, OsString)>,
    /// Standard input: the configuration.
    pub stdin: Vec<u8>,
    /// Time limit; the process is killed after it.
    pub timeout: Duration,
    /// Kills the process when cancelled.
    pub cancel: Cancel,
}

/// How an executable ended.
#[derive(Clone, Debug)]
pub struct ExecOutput {
    /// Exit status 0, or what happened instead: `exit status 3`.
    pub status: Result<(), String>,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
}

/// How native plugins are found and run: the extension point for running executables differently, in tests for instance.
/// Where native plugins are preferred it is asked for every plugin, otherwise for those that are not components.
pub trait Exec: Send + Sync {
    /// The plugin's file; none if there is none.
    fn find(&self, kind: &str, directories: &[PathBuf]) -> Option<PathBuf>;

    /// Runs it to its end.
    ///
    /// # Errors
    ///
    /// If it could not be started or did not end in time.
    fn run(&self, call: &ExecCall) -> io::Result<ExecOutput>;
}

/// Regular files, and processes of the thread that asks.
#[derive(Debug, Default)]
pub struct Processes;

impl Exec for Processes {
    fn find(&self, kind: &str, directories: &[PathBuf]) -> Option<PathBuf> {
        // Without an absolute directory the kernel would look elsewhere.
        let directories =
            directories.iter().filter(|directory| !directory.as_os_str().is_empty() && *directory != Path::new("."));
        directories.map(|directory| directory.join(kind)).find(|path| path.is_file())
    }

    fn run(&self, call: &ExecCall) -> io::Result<ExecOutput> {
        Self::run_with(call, &[])
    }
}

impl Processes {
    /// Runs a program that is no plugin, with arguments.
    ///
    /// # Errors
    ///
    /// If it could not be started or did not end in time.
    pub fn run_with(call: &ExecCall, arguments: &[&str]) -> io::Result<ExecOutput> {
        let mut process = Process::new(&call.path);
        process.args(arguments).env_clear().envs(call.env.iter().map(|(key, value)| (key, value)));
        // A group of its own, so that what it starts ends with it.
        process.process_group(0);
        tie(&mut process);
        process.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut pause = PAUSE;
        let mut attempt = 1;
        let mut child = loop {
            match process.spawn() {
                Err(e) if e.raw_os_error() == Some(Errno::ETXTBSY as i32) && attempt < ATTEMPTS => {
                    std::thread::sleep(pause);
                    pause *= 2;
                    attempt += 1;
                }
                spawned => break spawned?,
            }
        };
        let id = Pid::from_raw(i32::try_from(child.id()).map_err(io::Error::other)?);
        let mut stdin = child.stdin.take().expect("piped above");
        let (ended, end) = mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                // It need not read it.
                let _ = stdin.write_all(&call.stdin);
            });
            scope.spawn(move || ended.send(child.wait_with_output()));
            let deadline = Instant::now() + call.timeout;
            while !call.cancel.is_cancelled() && Instant::now() < deadline {
                let time = deadline.saturating_duration_since(Instant::now()).min(GLANCE);
                if let Ok(output) = end.recv_timeout(time) {
                    return output.map(|output| ExecOutput {
                        status: status(output.status),
                        stdout: output.stdout,
                        stderr: output.stderr,
                    });
                }
            }
            let _ = killpg(id, Signal::SIGKILL);
            Err(Errno::ETIMEDOUT.into())
        })
    }
}

/// As Go prints it.
pub fn status(status: ExitStatus) -> Result<(), String> {
    match (status.code(), status.signal()) {
        (Some(0), _) => Ok(()),
        (Some(code), _) => Err(format!("exit status {code}")),
        (None, Some(signal)) => {
            let name = Signal::try_from(signal).map_or_else(|_| signal.to_string(), signal_text);
            Err(format!("signal: {name}"))
        }
        (None, None) => Err(status.to_string()),
    }
}

fn signal_text(signal: Signal) -> String {
    match signal {
        Signal::SIGKILL => "killed",
        Signal::SIGTERM => "terminated",
        Signal::SIGINT => "interrupt",
        Signal::SIGSEGV => "segmentation fault",
        Signal::SIGABRT => "aborted",
        Signal::SIGPIPE => "broken pipe",
        Signal::SIGHUP => "hangup",
        other => return other.as_str().to_lowercase(),
    }
    .to_owned()
}

/// What is inherited, with these variables in place of what it has for them.
pub fn environment(
    inherited: &[(OsString, OsString)],
    ours: impl IntoIterator<Item = (&'static str, OsString)>,
) -> Vec<(OsString, OsString)> {
    let ours: Vec<_> = ours.into_iter().map(|(name, value)| (OsString::from(name), value)).collect();
    let kept = inherited.iter().filter(|(key, _)| ours.iter().all(|(name, _)| key != name));
    kept.chain(&ours).cloned().collect()
}

/// Runs an executable: what it printed, or its error.
///
/// # Errors
///
/// The reference's texts for each way to fail.
pub fn run(exec: &dyn Exec, call: &ExecCall) -> Result<ExecOutput, CniError> {
    let output = match exec.run(call) {
        Ok(output) => output,
        Err(e) if e.raw_os_error() == Some(Errno::ETIMEDOUT as i32) => {
            let (why, kind) = match call.cancel.is_cancelled() {
                true => ("was cancelled", ErrorKind::Cancelled),
                false => ("ran longer than it may", ErrorKind::TimedOut),
            };
            let text = format!("plugin {:?} was stopped: {} {why}", call.kind, call.path.display());
            return Err(CniError::internal(text).of_kind(kind).in_plugin(&call.kind));
        }
        Err(e) => {
            let status = format!("fork/exec {}: {}", call.path.display(), reason(&e));
            let text = format!("netplugin failed with no error message: {status}");
            let error = CniError::new(code::UNKNOWN, text).of_kind(ErrorKind::Io).caused_by(e);
            return Err(error.in_plugin(&call.kind));
        }
    };
    match &output.status {
        Ok(()) => Ok(output),
        Err(status) => Err(failure(&output, status).of_kind(ErrorKind::Refused).in_plugin(&call.kind)),
    }
}

fn failure(output: &ExecOutput, status: &str) -> CniError {
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    match (stdout.is_empty(), stderr.is_empty()) {
        (true, true) => {
            return CniError::new(code::UNKNOWN, format!("netplugin failed with no error message: {status}"));
        }
        (true, false) => {
            let text = format!("netplugin failed: {}: {status}", gojson::go_quote(&stderr));
            return CniError::new(code::UNKNOWN, text);
        }
        _ => {}
    }
    let unreadable = |why: String| {
        let text = gojson::go_quote(&stdout);
        let text = format!("netplugin failed but error parsing its diagnostic message {text}: {why}");
        CniError::new(code::UNKNOWN, text)
    };
    match serde_json::from_str::<Value>(&stdout) {
        Err(e) => unreadable(e.to_string()),
        Ok(Value::Null) => CniError::new(code::UNKNOWN, ""),
        Ok(Value::Object(object)) => {
            let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
            let number = object.get("code").and_then(Value::as_u64).and_then(|code| u32::try_from(code).ok());
            CniError::new(number.unwrap_or(code::UNKNOWN), text("msg")).details(text("details"))
        }
        Ok(_) => unreadable("it is no JSON object".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(stdout: &str, stderr: &str) -> CniError {
        let output = ExecOutput { status: Err(String::new()), stdout: stdout.into(), stderr: stderr.into() };
        failure(&output, "exit status 2")
    }

    fn call(path: &Path, timeout: Duration) -> ExecCall {
        ExecCall {
            kind: "p".to_owned(),
            path: path.to_owned(),
            env: Vec::new(),
            stdin: vec![b'x'; 1 << 20],
            timeout,
            cancel: Cancel::default(),
        }
    }

    fn script(directory: &Path, text: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt as _;
        let path = directory.join("p");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    #[test]
    fn a_file_that_is_being_replaced_is_tried_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("p");
        std::fs::copy("/bin/true", &path).unwrap();
        let writer = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
        let busy = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(120));
            drop(writer);
        });
        let output = run(&Processes, &call(&path, Duration::from_secs(10))).unwrap();
        assert!(output.stdout.is_empty());
        busy.join().unwrap();

        let _writer = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
        let error = run(&Processes, &call(&path, Duration::from_secs(10))).unwrap_err();
        let text = format!("netplugin failed with no error message: fork/exec {}: text file busy", path.display());
        assert_eq!(error.msg, text);
    }

    #[test]
    fn what_does_not_end_is_ended_with_all_that_it_started() {
        let directory = tempfile::tempdir().unwrap();
        let path = script(directory.path(), "#!/bin/sh\nsleep 60 &\nsleep 60\n");
        let started = Instant::now();
        let error = run(&Processes, &call(&path, Duration::from_millis(200))).unwrap_err();
        assert!(error.msg.contains("ran longer than it may"), "{error}");
        assert!(started.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn what_cannot_be_started_says_why() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("p");
        std::fs::write(&path, "").unwrap();
        let error = run(&Processes, &call(&path, Duration::from_secs(1))).unwrap_err();
        let text = format!("netplugin failed with no error message: fork/exec {}: permission denied", path.display());
        assert_eq!(error.msg, text);
    }

    #[test]
    fn core_32_every_way_to_fail_has_its_text() {
        let json = r#"{"code":7,"msg":"bad","details":"det"}"#;
        assert_eq!(failed(json, "x"), CniError::new(7, "bad").details("det"));
        assert_eq!(failed("", "boom\n").msg, "netplugin failed: \"boom\\n\": exit status 2");
        assert_eq!(failed("", "").msg, "netplugin failed with no error message: exit status 2");
        let prefix = "netplugin failed but error parsing its diagnostic message \"not json\": ";
        assert!(failed("not json", "").msg.starts_with(prefix));
        assert_eq!(failed("null", "x"), CniError::new(0, ""));
    }
}
