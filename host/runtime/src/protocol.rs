//! The plugin's side of the protocol: being called under a plugin's name, with
//! parameters in the environment and the configuration on standard input.

use std::{collections::BTreeSet, io::Read, mem, sync::Arc};

use serde_json::{Map, Value, json};

use crate::{
    attempt::{Attempt, Subject},
    config::field,
    confine,
    dispatch::{CallConfig, Labelled, Level, Verb},
    error::{CniError, code},
    grants::Asked,
    instance,
    limits::Deadline,
    plugin::{Command, Found},
    records, render, result,
    runtime::{Runtime, roll_back},
    schema,
    version::{self, Family},
    watchdog::Watchdog,
    wire,
};

/// Largest configuration, octets.
const MAX_CONFIG: u64 = 8 << 20;

/// What to print, and how to end.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// For standard output, as it is.
    pub stdout: String,
    /// For standard error.
    pub stderr: String,
    /// Exit status.
    pub status: u8,
}

/// Answers a call of a bundled plugin.
///
/// `runtime` is asked for when it is needed: not for VERSION, nor for what is
/// wrong with the parameters.
pub fn answer(
    plugin: &str,
    env: &dyn Fn(&str) -> String,
    stdin: &mut dyn Read,
    runtime: &dyn Fn() -> Result<Runtime, CniError>,
) -> Reply {
    match serve(plugin, env, stdin, runtime) {
        Ok(reply) => reply,
        Err(error) => Reply { stdout: error.to_json(), status: 1, ..Reply::default() },
    }
}

fn serve(
    plugin: &str,
    env: &dyn Fn(&str) -> String,
    stdin: &mut dyn Read,
    runtime: &dyn Fn() -> Result<Runtime, CniError>,
) -> Result<Reply, CniError> {
    let name = env("CNI_COMMAND");
    let missing = check_environment(&name, env)?;
    if name.is_empty() && missing == ["CNI_COMMAND"] {
        let about = format!("CNI {plugin} plugin v{} (wasm-cni)", env!("CARGO_PKG_VERSION"));
        let versions = version::SUPPORTED.join(", ");
        let stderr = format!("{about}\nCNI protocol versions supported: {versions}\n");
        return Ok(Reply { stderr, ..Reply::default() });
    }
    if !missing.is_empty() {
        let text = format!("required env variables [{}] missing", missing.join(","));
        return Err(CniError::new(code::ENVIRONMENT, text));
    }
    let command = Command::parse(&name);
    if command == Some(Command::Version) {
        let newest = version::SUPPORTED[version::SUPPORTED.len() - 1];
        let answer = json!({ "cniVersion": newest, "supportedVersions": version::SUPPORTED });
        return Ok(Reply { stdout: render::compact(&answer) + "\n", ..Reply::default() });
    }
    let config = read_config(stdin)?;
    let Some(command) = command else {
        return Err(CniError::new(code::ENVIRONMENT, format!("unknown CNI_COMMAND: {name}")));
    };
    let version = check_version(command, &config.object)?;
    let runtime = runtime()?;
    let call = Call { runtime: &runtime, plugin, command, version: &version, config: &config, env };
    let stdout = call.run();
    if runtime.inner.own_process {
        // The kernel is faster.
        mem::forget(runtime);
    }
    Ok(Reply { stdout: stdout?, ..Reply::default() })
}

/// The variables that are required and missing.
fn check_environment(command: &str, env: &dyn Fn(&str) -> String) -> Result<Vec<&'static str>, CniError> {
    let attaching = ["ADD", "CHECK", "DEL"].contains(&command);
    let required = [
        ("CNI_COMMAND", true),
        ("CNI_CONTAINERID", attaching),
        ("CNI_NETNS", attaching && command != "DEL"),
        ("CNI_IFNAME", attaching),
        ("CNI_PATH", attaching || ["GC", "STATUS"].contains(&command)),
    ];
    let mut missing = Vec::new();
    for (variable, required) in required {
        let value = env(variable);
        match variable {
            _ if !required => {}
            _ if value.is_empty() => missing.push(variable),
            "CNI_CONTAINERID" => check_container_id(&value)?,
            "CNI_IFNAME" => check_ifname(&value)?,
            _ => {}
        }
    }
    Ok(missing)
}

struct Config {
    text: Arc<str>,
    object: Map<String, Value>,
    network: String,
}

fn read_config(stdin: &mut dyn Read) -> Result<Config, CniError> {
    let mut text = Vec::new();
    stdin
        .take(MAX_CONFIG + 1)
        .read_to_end(&mut text)
        .map_err(|e| CniError::new(code::IO, format!("error reading from stdin: {}", crate::folder::reason(&e))))?;
    if text.len() as u64 > MAX_CONFIG {
        return Err(CniError::new(code::IO, "error reading from stdin: the configuration is larger than 8 MiB"));
    }
    let undecodable = |text: &str| CniError::new(code::DECODE, format!("error unmarshall network config: {text}"));
    let text = String::from_utf8_lossy(&text).into_owned();
    let value: Value = serde_json::from_str(&text).map_err(|e| {
        if e.is_eof() { undecodable("unexpected end of JSON input") } else { undecodable(&e.to_string()) }
    })?;
    let object = match value {
        Value::Object(object) => object,
        // Go leaves the structure empty.
        Value::Null => Map::new(),
        _ => return Err(undecodable("the configuration is not a JSON object")),
    };
    let network = match field(&object, "name") {
        None => String::new(),
        Some(Value::String(name)) => name.clone(),
        Some(other) => {
            let kind = json_kind(other);
            let text = format!("json: cannot unmarshal {kind} into Go struct field .name of type string");
            return Err(undecodable(&text));
        }
    };
    check_name(&network)?;
    Ok(Config { text: text.into(), object, network })
}

/// What Go calls the kind of a value in its errors.
fn json_kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// The configuration's version, if it allows the command.
fn check_version(command: Command, config: &Map<String, Value>) -> Result<String, CniError> {
    let version = match field(config, "cniVersion") {
        None => "0.1.0".to_owned(),
        Some(Value::String(version)) if version.is_empty() => "0.1.0".to_owned(),
        Some(Value::String(version)) => version.clone(),
        Some(_) => {
            let text = "decoding version from network config: cniVersion is not a string";
            return Err(CniError::new(code::DECODE, text));
        }
    };
    let least = match command {
        Command::Check => Some([0, 4, 0]),
        Command::Gc | Command::Status => Some([1, 1, 0]),
        _ => None,
    };
    if let Some(least) = least {
        let number = version::parse(&version).map_err(|e| CniError::new(code::DECODE, e))?;
        if number < least {
            return Err(CniError::new(code::VERSION, format!("config version does not allow {command}")));
        }
        if number > [1, 1, 0] {
            return Err(CniError::new(code::VERSION, format!("plugin version does not allow {command}")));
        }
    }
    version::reconcile(&version)?;
    Ok(version)
}

struct Call<'a> {
    runtime: &'a Runtime,
    plugin: &'a str,
    command: Command,
    version: &'a str,
    config: &'a Config,
    env: &'a dyn Fn(&str) -> String,
}

impl Call<'_> {
    /// What goes to standard output.
    fn run(&self) -> Result<String, CniError> {
        let attempt = self.attempt()?;
        let plugin = self.runtime.inner.bundled(self.plugin)?;
        let asked = Asked::of(&self.config.object);
        confine::before_plugins(&attempt, [(Found::Component(Arc::clone(&plugin)), &asked)], None, BTreeSet::new())?;
        let watchdog = Watchdog::start(&self.runtime.inner, &attempt.deadline);
        let mut left = Vec::new();
        let verb = match self.command {
            Command::Gc => {
                let live = live_attachments(&self.config.object)?;
                if let Some(live) = &live {
                    attempt.known().lives(live);
                    left = records::collect(&attempt, live);
                }
                Verb::Gc(live)
            }
            Command::Status => Verb::Status,
            command => Verb::Call(command),
        };
        let config = Arc::new(CallConfig {
            text: Arc::clone(&self.config.text),
            version: self.version.to_owned(),
            previous: self.previous(),
            whole: true,
            asked,
        });
        // The runtime's word, which no plugin of this call has touched.
        if let (Command::Add, Ok(Some(previous))) = (self.command, &config.previous) {
            attempt.known().given(&previous.success.ips);
        }
        let request = instance::Request { plugin, config, verb, level: Level::top(&attempt) };
        let done = instance::run(&attempt, request);
        if self.command == Command::Del {
            left = records::finish(&attempt, done.is_err());
        }
        let done = done.and_then(|result| {
            if !left.is_empty() {
                return Err(CniError::internal(left.join("\n")));
            }
            let Some(result) = result else { return Ok(String::new()) };
            Ok(render::pretty(&schema::versioned(&result, self.version)?))
        });
        match done {
            Ok(stdout) => {
                if self.runtime.inner.own_process {
                    // What is open ends with the process, and all at once.
                    mem::forget((Arc::clone(&attempt), watchdog));
                }
                attempt.keep(false);
                Ok(stdout)
            }
            Err(error) => Err(roll_back(attempt, error)),
        }
    }

    fn attempt(&self) -> Result<Arc<Attempt>, CniError> {
        let host = self.runtime.host()?;
        let allowed = (self.env)("CNI_NETNS_OVERRIDE");
        let subject = Subject {
            network: self.config.network.clone(),
            container_id: (self.env)("CNI_CONTAINERID"),
            ifname: (self.env)("CNI_IFNAME"),
            netns: (self.env)("CNI_NETNS"),
            args: (self.env)("CNI_ARGS"),
            own_netns: allowed == "1" || allowed.eq_ignore_ascii_case("true"),
            plugin: Some(self.plugin.to_owned()),
            host,
        };
        let deadline = Deadline::after(self.runtime.inner.limits.time);
        Ok(Attempt::new(Arc::clone(&self.runtime.inner), self.command, subject, deadline))
    }

    fn previous(&self) -> Result<Option<Labelled>, String> {
        let Some(previous) = field(&self.config.object, "prevResult") else { return Ok(None) };
        result::parse(previous, self.version, Family::of(self.version))
            .map(|(success, version)| Some(Labelled { success, version }))
            .map_err(|e| format!("could not parse prevResult: {e}"))
    }
}

/// `cni.dev/valid-attachments`, or the older name of it.
fn live_attachments(config: &Map<String, Value>) -> Result<Option<Vec<wire::Attachment>>, CniError> {
    let keys = ["cni.dev/valid-attachments", "cni.dev/attachments"];
    let Some((key, value)) = keys.iter().find_map(|key| Some((key, field(config, key)?))) else { return Ok(None) };
    let attachment = |value: &Value| {
        let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
        Some(wire::Attachment { container_id: text("containerID")?, ifname: text("ifname")? })
    };
    let all: Option<Vec<_>> = value.as_array().and_then(|list| list.iter().map(attachment).collect());
    all.map(Some).ok_or_else(|| {
        let text = format!("{key} is not a list of objects with containerID and ifname");
        CniError::new(code::DECODE, text)
    })
}

/// That it is what the specification calls an alphanumeric name.
pub(crate) fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
}

/// # Errors
///
/// Code 7 in the reference's words.
pub(crate) fn check_name(name: &str) -> Result<(), CniError> {
    if name.is_empty() {
        return Err(CniError::new(code::CONFIG, "missing network name"));
    }
    if !is_name(name) {
        return Err(CniError::new(code::CONFIG, "invalid characters found in network name").details(name));
    }
    Ok(())
}

/// # Errors
///
/// Code 3 or 4 in the reference's words.
pub(crate) fn check_container_id(id: &str) -> Result<(), CniError> {
    if id.is_empty() {
        return Err(CniError::new(code::CONTAINER, "missing containerID"));
    }
    if !is_name(id) {
        return Err(CniError::new(code::ENVIRONMENT, "invalid characters in containerID").details(id));
    }
    Ok(())
}

/// # Errors
///
/// Code 4 in the reference's words.
pub(crate) fn check_ifname(name: &str) -> Result<(), CniError> {
    let error = |text: &str| Err(CniError::new(code::ENVIRONMENT, text));
    if name.is_empty() {
        return error("interface name is empty");
    }
    if name.len() > 15 {
        let error = CniError::new(code::ENVIRONMENT, "interface name is too long");
        return Err(error.details("interface name should be less than 16 characters"));
    }
    if name == "." || name == ".." {
        return error("interface name is . or ..");
    }
    if name.contains(|c: char| c == '/' || c == ':' || c.is_whitespace()) {
        return error("interface name contains / or : or whitespace characters");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
