//! The trace: a line of JSON for each call of a plugin, each call that it makes
//! of the host, each process that is started and each effect that is taken back.
//! Must not know: where the lines go.
//!
//! Without a sink every function here is one branch. Nothing of the environment
//! and of standard input is ever in a line.

use std::{
    io,
    path::Path,
    sync::Arc,
    time::{Instant, SystemTime},
};

use serde::Serialize;
use serde_json::{Value, json};

use wasm_cni_spec::{command::Command, error::CniError};

use crate::{
    exec::{Exec, ExecCall, ExecOutput},
    text::cut,
};

/// Where the lines go, each with its newline.
pub type TraceSink = Arc<dyn Fn(&str) + Send + Sync>;

/// Most arguments of a process in a line.
const MAX_ARGUMENTS: usize = 64;

/// The trace of a runtime, if it was asked for.
#[derive(Clone, Default)]
pub struct Trace {
    sink: Option<TraceSink>,
    /// Whether values are shown whole, however long they are.
    whole: bool,
}

/// Whose doing it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Who<'a> {
    /// The container.
    pub container_id: &'a str,
    /// The interface inside the container.
    pub ifname: &'a str,
    /// The network's name.
    pub network: &'a str,
    /// The plugin; empty for the host itself.
    pub plugin: &'a str,
    /// Delegations above the plugin.
    pub depth: u32,
}

impl<'a> Who<'a> {
    /// What is done for a plugin, and for no container.
    pub fn plugin(plugin: &'a str) -> Self {
        Self { plugin, ..Self::default() }
    }
}

/// When it began.
#[derive(Clone, Copy, Debug)]
pub struct Begun {
    at: SystemTime,
    since: Instant,
}

impl Begun {
    /// Now.
    pub fn now() -> Self {
        Self { at: SystemTime::now(), since: Instant::now() }
    }
}

/// In the order in which people want to read it.
#[derive(Default, Serialize)]
struct Line<'a> {
    time: String,
    container: &'a str,
    interface: &'a str,
    network: &'a str,
    plugin: &'a str,
    depth: u32,
    event: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    function: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    program: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    effect: Option<String>,
    #[serde(skip_serializing_if = "Value::is_null")]
    arguments: Value,
    #[serde(skip_serializing_if = "Value::is_null")]
    result: Value,
    #[serde(skip_serializing_if = "Value::is_null")]
    error: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    microseconds: Option<u64>,
}

impl<'a> Line<'a> {
    fn of(who: Who<'a>, event: &'a str, begun: Begun) -> Self {
        let Who { container_id: container, ifname: interface, network, plugin, depth } = who;
        Self { time: rfc3339(begun.at), container, interface, network, plugin, depth, event, ..Self::default() }
    }

    /// It is over.
    fn ended(self, outcome: Result<Value, Value>, begun: Begun) -> Self {
        let (result, error) = outcome.map_or_else(|error| (Value::Null, error), |result| (result, Value::Null));
        let microseconds = u64::try_from(begun.since.elapsed().as_micros()).ok();
        Self { result, error, microseconds, ..self }
    }
}

impl Trace {
    /// A trace that goes to this sink.
    pub fn to(sink: TraceSink) -> Self {
        Self { sink: Some(sink), whole: false }
    }

    /// The same, with values whole, however long they are: for a program that reads them.
    #[must_use]
    pub fn whole(sink: TraceSink) -> Self {
        Self { sink: Some(sink), whole: true }
    }

    /// Whether values are shown whole.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.whole
    }

    /// Whether lines are written.
    pub fn is_on(&self) -> bool {
        self.sink.is_some()
    }

    fn write(&self, line: &Line<'_>) {
        let (Some(sink), Ok(mut text)) = (&self.sink, serde_json::to_string(line)) else { return };
        text.push('\n');
        sink(&text);
    }

    /// A plugin's call of the host has come back.
    pub fn called(&self, who: Who<'_>, begun: Begun, function: &str, arguments: Value, outcome: Result<Value, Value>) {
        self.write(&Line { function: Some(function), arguments, ..Line::of(who, "call", begun).ended(outcome, begun) });
    }

    /// One call of a plugin of any kind: a line for its begin, one for its end.
    pub fn plugin<T>(
        &self,
        who: Who<'_>,
        command: Command,
        run: impl FnOnce() -> Result<T, CniError>,
    ) -> Result<T, CniError> {
        if !self.is_on() {
            return run();
        }
        let begun = Begun::now();
        let command = Some(command.name());
        self.write(&Line { command, ..Line::of(who, "begin", begun) });
        let done = run();
        let outcome = done.as_ref().map(|_| json!("ok")).map_err(error_json);
        self.write(&Line { command, ..Line::of(who, "end", Begun::now()).ended(outcome, begun) });
        done
    }

    /// One process. `status` is how it ended, if it could be started.
    pub fn process<T>(
        &self,
        who: Who<'_>,
        program: &Path,
        arguments: &[&str],
        run: impl FnOnce() -> io::Result<T>,
        status: impl FnOnce(&T) -> Result<(), String>,
    ) -> io::Result<T> {
        if !self.is_on() {
            return run();
        }
        let begun = Begun::now();
        let done = run();
        let outcome = match &done {
            Ok(output) => status(output).map(|()| json!("exit status 0")).map_err(|text| cut(&text).into()),
            Err(e) => Err(cut(&e.to_string()).into()),
        };
        self.write(&Line {
            program: Some(cut(&program.display().to_string())),
            arguments: arguments.iter().take(MAX_ARGUMENTS).map(|argument| cut(argument)).collect(),
            ..Line::of(who, "process", begun).ended(outcome, begun)
        });
        done
    }

    /// An effect that is taken back.
    pub fn undo<T>(
        &self,
        who: Who<'_>,
        effect: &dyn std::fmt::Display,
        run: impl FnOnce() -> Result<T, String>,
    ) -> Result<T, String> {
        if !self.is_on() {
            return run();
        }
        let begun = Begun::now();
        let done = run();
        let outcome = done.as_ref().map(|_| json!("ok")).map_err(|text| cut(text).into());
        let effect = Some(cut(&effect.to_string()));
        self.write(&Line { effect, ..Line::of(who, "undo", begun).ended(outcome, begun) });
        done
    }
}

fn error_json(error: &CniError) -> Value {
    json!({ "code": error.code, "msg": cut(&error.msg), "details": cut(&error.details) })
}

/// Runs executables and says so.
pub struct Watched<'a> {
    /// What runs them.
    pub exec: &'a dyn Exec,
    /// Where the lines go.
    pub trace: &'a Trace,
    /// Whose doing it is.
    pub who: Who<'a>,
}

impl Exec for Watched<'_> {
    fn find(&self, kind: &str, directories: &[std::path::PathBuf]) -> Option<std::path::PathBuf> {
        self.exec.find(kind, directories)
    }

    fn run(&self, call: &ExecCall) -> io::Result<ExecOutput> {
        let status = |output: &ExecOutput| output.status.clone();
        self.trace.process(self.who, &call.path, &[], || self.exec.run(call), status)
    }
}

/// In UTC, with microseconds.
fn rfc3339(time: SystemTime) -> String {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let (days, seconds) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    // Days since 0000-03-01, so that a leap day is the last of its year.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let micros = since.subsec_micros();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
}

#[cfg(test)]
mod tests {
    use std::{sync::Mutex, time::Duration};

    use super::*;

    #[test]
    fn times_are_utc_with_microseconds() {
        for (seconds, micros, text) in [
            (0, 0, "1970-01-01T00:00:00.000000Z"),
            (951_782_399, 999_999, "2000-02-28T23:59:59.999999Z"),
            (951_782_400, 1, "2000-02-29T00:00:00.000001Z"),
            (951_868_800, 0, "2000-03-01T00:00:00.000000Z"),
            (1_767_225_599, 500_000, "2025-12-31T23:59:59.500000Z"),
            (4_107_542_400, 0, "2100-03-01T00:00:00.000000Z"),
        ] {
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds) + Duration::from_micros(micros);
            assert_eq!(rfc3339(time), text);
        }
    }

    fn lines(act: impl FnOnce(&Trace)) -> Vec<Value> {
        let text = Arc::new(Mutex::new(String::new()));
        let sink = Arc::clone(&text);
        act(&Trace::to(Arc::new(move |line| sink.lock().unwrap().push_str(line))));
        let text = text.lock().unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn a_call_has_a_begin_and_an_end() {
        let who = Who { container_id: "c1", network: "n1", ..Who::plugin("bridge") };
        let lines = lines(|trace| {
            let refused = trace.plugin(who, Command::Add, || Err::<(), _>(CniError::new(7, "no\nway")));
            assert_eq!(refused.unwrap_err().code, 7);
        });
        assert_eq!((&lines[0]["event"], &lines[0]["command"]), (&json!("begin"), &json!("ADD")));
        assert_eq!(lines[1]["error"], json!({ "code": 7, "msg": "no\nway", "details": "" }));
        assert_eq!((&lines[1]["container"], &lines[1]["plugin"]), (&json!("c1"), &json!("bridge")));
        assert!(lines[1]["microseconds"].is_u64());
    }

    #[test]
    fn a_process_has_its_status_and_nothing_of_its_environment() {
        let lines = lines(|trace| {
            let run = |status: Result<(), String>| {
                let program = Path::new("/sbin/iptables-save");
                trace.process(Who::plugin("bridge"), program, &["-t", "nat"], || Ok(status), Clone::clone).unwrap()
            };
            run(Ok(())).unwrap();
            run(Err("exit status 3".to_owned())).unwrap_err();
        });
        assert_eq!(
            (&lines[0]["program"], &lines[0]["arguments"]),
            (&json!("/sbin/iptables-save"), &json!(["-t", "nat"]))
        );
        assert_eq!((&lines[0]["result"], &lines[1]["error"]), (&json!("exit status 0"), &json!("exit status 3")));
    }
}
