//! Running a plugin of any kind: a component in an instance, or an executable
//! in a process.

use std::{ffi::OsString, path::Path, sync::Arc};

use serde_json::{Map, Value, json};

use crate::{
    attempt::Attempt,
    error::{CniError, code},
    grants::Asked,
    instance,
    limits::Allowance,
    native::{self, ExecCall},
    plugin::{Command, Found, Inner, World},
    records,
    result::{self, Success},
    schema,
    trace::Watched,
    undo::Undo,
    version, wire,
};

/// A result, and the version that its plugin gave it in.
#[derive(Clone, Debug)]
pub(crate) struct Labelled {
    pub(crate) success: Success,
    pub(crate) version: String,
}

impl Labelled {
    /// As JSON, in its own version.
    pub(crate) fn json(&self) -> Result<Value, CniError> {
        schema::render_result(&self.success, &self.version)
    }
}

/// What a plugin is called with.
#[derive(Debug)]
pub(crate) struct CallConfig {
    /// The configuration, JSON.
    pub(crate) text: Arc<str>,
    /// Its `cniVersion`.
    pub(crate) version: String,
    /// The previous result, or why it cannot be read.
    pub(crate) previous: Result<Option<Labelled>, String>,
    /// Is the previous result in `text` too?
    pub(crate) whole: bool,
    /// What `text` says that grants go by.
    pub(crate) asked: Asked,
}

impl CallConfig {
    /// For standard input: all of it.
    fn stdin(&self) -> Result<Vec<u8>, CniError> {
        let Ok(Some(previous)) = &self.previous else { return Ok(self.text.as_bytes().to_vec()) };
        if self.whole {
            return Ok(self.text.as_bytes().to_vec());
        }
        let mut config: Map<String, Value> =
            serde_json::from_str(&self.text).map_err(|e| CniError::internal(e.to_string()))?;
        config.insert("prevResult".to_owned(), previous.json()?);
        Ok(Value::Object(config).to_string().into_bytes())
    }
}

/// What to ask of a plugin.
#[derive(Clone)]
pub(crate) enum Verb {
    /// ADD, DEL or CHECK of the attempt's attachment.
    Call(Command),
    Status,
    /// With the attachments that are to stay; none if that was not said.
    Gc(Option<Vec<wire::Attachment>>),
}

impl Verb {
    pub(crate) fn command(&self) -> Command {
        match self {
            Self::Call(command) => *command,
            Self::Status => Command::Status,
            Self::Gc(_) => Command::Gc,
        }
    }
}

/// Where a plugin is in the tree of those that call each other.
pub(crate) struct Level {
    /// Delegations above it.
    pub(crate) depth: u32,
    /// What all of the tree may use up.
    pub(crate) allowance: Arc<Allowance>,
}

impl Level {
    /// Of a plugin that the caller named.
    pub(crate) fn top(attempt: &Attempt) -> Self {
        Self { depth: 0, allowance: Allowance::new(&attempt.runtime.limits) }
    }
}

/// Runs a plugin. ADD gives a result, the others give none.
///
/// # Errors
///
/// If there is no such plugin; what it refused, or how it ended.
pub(crate) fn run(
    attempt: &Arc<Attempt>,
    kind: &str,
    config: &Arc<CallConfig>,
    verb: Verb,
    level: Level,
) -> Result<Option<Labelled>, CniError> {
    let found = match (attempt.runtime.find(kind), &verb) {
        (Err(error), Verb::Call(Command::Del)) if records::has_run(attempt, kind) => {
            // What it did is on the record, and goes by that.
            attempt.warn(kind, &format!("{error}; what it did is removed all the same"));
            return Ok(None);
        }
        (found, _) => found?,
    };
    match found {
        Found::Component(plugin) => {
            version::reconcile(&config.version)?;
            if let (Some(digest), Verb::Call(Command::Add)) = (&plugin.digest, &verb) {
                let undo = Undo::Component { kind: kind.to_owned(), digest: digest.clone() };
                attempt.note(undo).map_err(|e| CniError::new(code::IO, format!("cannot note an effect: {e}")))?;
            }
            let world = plugin.world;
            let request = instance::Request { plugin, config: Arc::clone(config), verb, level };
            let result = instance::run(attempt, request)?;
            // What else a component says of addresses, it says of itself.
            if let (World::Ipam, Some(success)) = (world, &result) {
                attempt.known().given(&success.ips);
            }
            Ok(result.map(|success| Labelled { success, version: config.version.clone() }))
        }
        Found::Native(path) => {
            let call = exec_call(attempt, kind, &path, config, &verb)?;
            let Inner { exec, trace, .. } = &*attempt.runtime;
            let who = attempt.who(kind, level.depth);
            let exec = Watched { exec: &**exec, trace, who };
            let output = trace.plugin(who, verb.command(), || in_host(attempt, || native::run(&exec, &call)))?;
            if !output.stderr.is_empty() {
                (attempt.runtime.stderr)(&output.stderr);
            }
            match verb {
                Verb::Call(Command::Add) => {
                    let result = native_result(&output.stdout, &config.version)?;
                    attempt.known().given(&result.success.ips);
                    Ok(Some(result))
                }
                _ => Ok(None),
            }
        }
    }
}

/// How to take back an ADD of an IPAM plugin that is an executable: its DEL.
/// What a component does is on the record by itself.
pub(crate) fn undo_delegation(
    attempt: &Arc<Attempt>,
    kind: &str,
    config: &CallConfig,
) -> Result<Option<Undo>, CniError> {
    let Found::Native(path) = attempt.runtime.find(kind)? else { return Ok(None) };
    let call = exec_call(attempt, kind, &path, config, &Verb::Call(Command::Del))?;
    Ok(Some(Undo::delegated(call)))
}

/// The call of an executable, with the environment of the specification.
fn exec_call(
    attempt: &Attempt,
    kind: &str,
    path: &Path,
    config: &CallConfig,
    verb: &Verb,
) -> Result<ExecCall, CniError> {
    let attached = matches!(verb, Verb::Call(_));
    let of_attachment = |value: &str| if attached { OsString::from(value) } else { OsString::new() };
    let ours = [
        ("CNI_COMMAND", verb.command().name().into()),
        ("CNI_CONTAINERID", of_attachment(&attempt.container_id)),
        ("CNI_NETNS", of_attachment(&attempt.netns)),
        ("CNI_ARGS", of_attachment(&attempt.args)),
        ("CNI_IFNAME", of_attachment(&attempt.ifname)),
        ("CNI_PATH", attempt.runtime.plugin_path.clone()),
    ];
    let mut stdin = config.stdin()?;
    if let Verb::Gc(Some(live)) = verb {
        stdin = with_attachments(&stdin, live)?;
    }
    Ok(ExecCall {
        kind: kind.to_owned(),
        path: path.to_owned(),
        env: native::environment(&attempt.runtime.env, ours),
        stdin,
        timeout: attempt.deadline.remaining(),
        cancel: attempt.deadline.cancel.clone(),
    })
}

/// The configuration of GC, under the key of the specification and the older one.
fn with_attachments(config: &[u8], live: &[wire::Attachment]) -> Result<Vec<u8>, CniError> {
    let mut config: Map<String, Value> =
        serde_json::from_slice(config).map_err(|e| CniError::internal(e.to_string()))?;
    let attachment = |a: &wire::Attachment| json!({ "containerID": a.container_id, "ifname": a.ifname });
    let live: Value = live.iter().map(attachment).collect();
    config.insert("cni.dev/valid-attachments".to_owned(), live.clone());
    config.insert("cni.dev/attachments".to_owned(), live);
    Ok(Value::Object(config).to_string().into_bytes())
}

/// Processes start in the namespace of the thread that starts them.
fn in_host<T: Send>(attempt: &Attempt, f: impl FnOnce() -> Result<T, CniError> + Send) -> Result<T, CniError> {
    attempt.host.netns.run(f).map_err(|e| CniError::internal(e.to_string()))?
}

/// What an executable printed for ADD.
fn native_result(stdout: &[u8], version: &str) -> Result<Labelled, CniError> {
    let failed = |text: &str| CniError::internal(format!("failed to unmarshal raw result: {text}"));
    if stdout.trim_ascii().is_empty() {
        return Err(failed("unexpected end of JSON input"));
    }
    let json = match serde_json::from_slice(stdout).map_err(|e| failed(&e.to_string()))? {
        Value::Null => json!({}),
        json @ Value::Object(_) => json,
        _ => return Err(failed("it is no JSON object")),
    };
    let (success, version) = result::parse(&json, version, None).map_err(CniError::internal)?;
    Ok(Labelled { success, version })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn core_33_what_an_executable_may_print() {
        let text = |stdout: &str| native_result(stdout.as_bytes(), "1.0.0").unwrap_err().msg;
        assert_eq!(text(""), "failed to unmarshal raw result: unexpected end of JSON input");
        assert!(text("{} {}").starts_with("failed to unmarshal raw result: "));
        assert_eq!(text(r#"{"cniVersion":"9.9.9"}"#), "unsupported CNI result version \"9.9.9\"");
        let empty = native_result(b"null", "1.0.0").unwrap();
        assert_eq!((empty.success, empty.version.as_str()), (Success::default(), "1.0.0"));
    }

    #[test]
    fn core_28_the_previous_result_keeps_its_version_and_loses_unknown_keys() {
        let printed = br#"{"cniVersion":"1.0.0","extra":1,"interfaces":[{"name":"e"}]}"#;
        let config = CallConfig {
            text: r#"{"cniVersion":"1.1.0","type":"rec2"}"#.into(),
            version: "1.1.0".to_owned(),
            previous: Ok(Some(native_result(printed, "1.1.0").unwrap())),
            whole: false,
            asked: Asked::default(),
        };
        let stdin: Value = serde_json::from_slice(&config.stdin().unwrap()).unwrap();
        assert_eq!(stdin["prevResult"], json!({ "cniVersion": "1.0.0", "interfaces": [{ "name": "e" }] }));
    }
}
