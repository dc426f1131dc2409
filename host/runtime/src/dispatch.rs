//! Running a plugin of any kind: a component in an instance, or an executable in a process.

use std::{ffi::OsString, path::Path, sync::Arc};

use serde_json::{Map, Value, json};
use wasm_cni_capabilities::{
    attempt::Attempt,
    bindings::cni::Attachment,
    call::{CallConfig, Labelled, Level, Plugins, Verb},
    exec::{self, ExecCall},
    record::{attached::attached, component::Component, delegated::Delegated, effect::Entry},
    trace::Watched,
    world::World,
};
use wasm_cni_spec::{
    command::Command,
    error::{CniError, ErrorKind, code},
    result, version,
};

use crate::{attachments, host::Host, instance, plugins::Found};

/// Finds and runs plugins, for the operation and for plugins that delegate.
pub(crate) struct Dispatch(pub(crate) Arc<Host>);

impl Plugins for Dispatch {
    fn run(
        &self,
        attempt: &Arc<Attempt>,
        kind: &str,
        config: &Arc<CallConfig>,
        verb: Verb,
        level: Level,
    ) -> Result<Option<Labelled>, CniError> {
        run(&self.0, attempt, kind, self.0.find(kind), config, verb, level)
    }

    fn undo_delegation(
        &self,
        attempt: &Arc<Attempt>,
        kind: &str,
        config: &CallConfig,
    ) -> Result<Option<Delegated>, CniError> {
        let Found::Native(_) = self.0.find(kind)? else { return Ok(None) };
        let (kind, args) = (kind.to_owned(), attempt.args.clone());
        Ok(Some(Delegated { kind, args, stdin: config.stdin()? }))
    }

    fn kept(&self, attempt: &Attempt) -> Option<Vec<Entry>> {
        let records: Vec<_> = attachments::of(attempt).iter().filter_map(|path| attached(path)).collect();
        (!records.is_empty()).then(|| records.into_iter().flat_map(|record| record.entries).collect())
    }
}

/// Runs a plugin that was found, or not. ADD gives a result, the others give none.
///
/// # Errors
///
/// Why there is no such plugin; what it refused, or how it ended.
pub(crate) fn run(
    host: &Arc<Host>,
    attempt: &Arc<Attempt>,
    kind: &str,
    found: Result<Found, CniError>,
    config: &Arc<CallConfig>,
    verb: Verb,
    level: Level,
) -> Result<Option<Labelled>, CniError> {
    run_found(host, attempt, kind, found, config, verb, level).map_err(|error| error.in_plugin(kind))
}

fn run_found(
    host: &Arc<Host>,
    attempt: &Arc<Attempt>,
    kind: &str,
    found: Result<Found, CniError>,
    config: &Arc<CallConfig>,
    verb: Verb,
    level: Level,
) -> Result<Option<Labelled>, CniError> {
    let found = match (found, &verb) {
        (Err(error), Verb::Call(Command::Del)) if attachments::has_run(attempt, kind) => {
            // What it did is on the record, and goes by that.
            attempt.warn(kind, &format!("{error}; its recorded effects are removed anyway"));
            return Ok(None);
        }
        (found, _) => found?,
    };
    match found {
        Found::Component(plugin) => {
            version::reconcile(&config.version)?;
            if let (Some(digest), Verb::Call(Command::Add)) = (&plugin.digest, &verb) {
                let took_part = Component { kind: kind.to_owned(), digest: digest.clone() };
                let noted = attempt.note(took_part);
                noted.map_err(|e| CniError::new(code::IO, format!("cannot note an effect: {e}")).caused_by(e))?;
            }
            let world = plugin.world;
            let request = instance::Request { plugin, config: Arc::clone(config), verb, level };
            let result = instance::run(host, Arc::new(Dispatch(Arc::clone(host))), attempt, request)?;
            // What else a component says of addresses, it says of itself.
            if let (World::Ipam, Some(success)) = (world, &result) {
                attempt.facts().record_addresses(kind, &success.ips);
            }
            Ok(result.map(|success| Labelled { success, version: config.version.clone() }))
        }
        Found::Native(_) if attempt.is_rehearsed() => {
            let text =
                format!("cannot plan beyond native plugin {kind:?}: what an executable does is not known beforehand");
            Err(CniError::internal(text))
        }
        Found::Native(path) => {
            let call = exec_call(attempt, kind, &path, config, &verb)?;
            let context = &attempt.context;
            let who = attempt.who(kind, level.depth);
            let exec = Watched { exec: &*context.exec, trace: &context.trace, who };
            let output = context.trace.plugin(who, verb.command(), || in_host(attempt, || exec::run(&exec, &call)))?;
            if !output.stderr.is_empty() {
                (context.stderr)(&output.stderr);
            }
            match verb {
                Verb::Call(Command::Add) => {
                    let result = native_result(&output.stdout, &config.version)?;
                    attempt.facts().record_addresses(kind, &result.success.ips);
                    Ok(Some(result))
                }
                _ => Ok(None),
            }
        }
    }
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
        ("CNI_PATH", attempt.context.plugin_path.clone()),
    ];
    let mut stdin = config.stdin()?;
    if let Verb::Gc(Some(live)) = verb {
        stdin = with_attachments(&stdin, live)?;
    }
    Ok(ExecCall {
        kind: kind.to_owned(),
        path: path.to_owned(),
        env: exec::environment(&attempt.context.env, ours),
        stdin,
        timeout: attempt.deadline.remaining(),
        cancel: attempt.deadline.cancel.clone(),
    })
}

/// The configuration of GC, under the key of the specification and the older one.
fn with_attachments(config: &[u8], live: &[Attachment]) -> Result<Vec<u8>, CniError> {
    let mut config: Map<String, Value> =
        serde_json::from_slice(config).map_err(|e| CniError::internal(e.to_string()))?;
    let attachment = |a: &Attachment| json!({ "containerID": a.container_id, "ifname": a.ifname });
    let live: Value = live.iter().map(attachment).collect();
    config.insert("cni.dev/valid-attachments".to_owned(), live.clone());
    config.insert("cni.dev/attachments".to_owned(), live);
    Ok(Value::Object(config).to_string().into_bytes())
}

/// Processes start in the namespace of the thread that starts them.
fn in_host<T: Send>(attempt: &Attempt, f: impl FnOnce() -> Result<T, CniError> + Send) -> Result<T, CniError> {
    let failed = |e: wasm_cni_kernel::Error| {
        CniError::internal(e.to_string()).of_kind(ErrorKind::Kernel(e.errno())).caused_by(e)
    };
    attempt.host.netns.run(f).map_err(failed)?
}

/// What an executable printed for ADD.
fn native_result(stdout: &[u8], version: &str) -> Result<Labelled, CniError> {
    let invalid = |text: String| CniError::internal(text).of_kind(ErrorKind::Crashed);
    let failed = |text: &str| invalid(format!("failed to unmarshal raw result: {text}"));
    if stdout.trim_ascii().is_empty() {
        return Err(failed("unexpected end of JSON input"));
    }
    let json = match serde_json::from_slice(stdout).map_err(|e| failed(&e.to_string()))? {
        Value::Null => json!({}),
        json @ Value::Object(_) => json,
        _ => return Err(failed("it is no JSON object")),
    };
    let (success, version) = result::parse(&json, version, None).map_err(invalid)?;
    Ok(Labelled { success, version })
}

#[cfg(test)]
mod tests {
    use wasm_cni_capabilities::grants::requested::Requested;
    use wasm_cni_spec::result::Success;

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
            text_has_prev_result: false,
            requested: Requested::default(),
        };
        let stdin: Value = serde_json::from_slice(&config.stdin().unwrap()).unwrap();
        assert_eq!(stdin["prevResult"], json!({ "cniVersion": "1.0.0", "interfaces": [{ "name": "e" }] }));
    }
}
