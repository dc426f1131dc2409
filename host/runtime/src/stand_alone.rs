//! The plugin's side of the protocol: being called under a plugin's name, with
//! parameters in the environment and the configuration on standard input.

use std::{
    io::{self, Read},
    mem,
    sync::Arc,
};

use serde_json::{Map, Value, json};
use wasm_cni_capabilities::{
    attempt::Subject,
    bindings::cni::Attachment as Live,
    call::{CallConfig, Labelled},
    grants::requested::Requested,
};
use wasm_cni_spec::{
    command::Command,
    error::{CniError, code},
    gojson,
    names::{check_container_id, check_ifname, check_network_name},
    network::field,
    result, schema,
    version::{self, Family},
};
use wasm_cni_state::{conf_dir::MAX_CONFIG, deadline::Deadline, files::reason};

use crate::{
    list::undelivered,
    operation::{Operation, Reach},
    plan::{Plan, Step},
    plugins::Found,
    runtime::Runtime,
};

/// What VERSION answers.
const NEWEST: &str = version::SUPPORTED[version::SUPPORTED.len() - 1];

/// What to print on standard error, and how to end.
#[derive(Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reply {
    /// For standard error.
    pub stderr: String,
    /// Exit status.
    pub status: u8,
}

/// Writes to standard output.
pub type Output<'a> = dyn FnMut(&[u8]) -> io::Result<()> + 'a;

/// Answers a call of a bundled plugin.
///
/// `runtime` is asked for when it is needed: not for VERSION, nor for what is
/// wrong with the parameters. An ADD whose result cannot be written to `stdout` is undone.
pub fn answer(
    plugin: &str,
    env: &dyn Fn(&str) -> String,
    stdin: &mut dyn Read,
    stdout: &mut Output<'_>,
    runtime: &dyn Fn() -> Result<Runtime, CniError>,
) -> Reply {
    match serve(plugin, env, stdin, stdout, runtime) {
        Ok(reply) => reply,
        Err(error) => {
            // Nobody can be told that the reader is gone.
            let _ = stdout(error.to_json().as_bytes());
            Reply { status: 1, ..Reply::default() }
        }
    }
}

fn serve(
    plugin: &str,
    env: &dyn Fn(&str) -> String,
    stdin: &mut dyn Read,
    stdout: &mut Output<'_>,
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
        let answer = json!({ "cniVersion": NEWEST, "supportedVersions": version::SUPPORTED });
        let _ = stdout((gojson::compact(&answer) + "\n").as_bytes());
        return Ok(Reply::default());
    }
    let config = read_config(stdin)?;
    let Some(command) = command else {
        return Err(CniError::new(code::ENVIRONMENT, format!("unknown CNI_COMMAND: {name}")));
    };
    let version = match check_version(command, &config.object) {
        // Whatever it was changed to since ADD.
        Err(error) if error.code == code::VERSION && matches!(command, Command::Del) => Err(error),
        version => Ok(version?),
    };
    let runtime = runtime()?;
    let text = version.as_deref().unwrap_or(NEWEST);
    let call = Call { runtime: &runtime, plugin, command, version: text, config: &config, env };
    let done = match &version {
        Ok(_) => call.run(stdout),
        Err(error) => call.release(error),
    };
    if runtime.host.context.own_process {
        // The kernel is faster.
        mem::forget(runtime);
    }
    done.map(|()| Reply::default())
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
        .map_err(|e| CniError::new(code::IO, format!("error reading from stdin: {}", reason(&e))))?;
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
    check_network_name(&network)?;
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
    /// The result of an ADD goes to standard output.
    fn run(&self, stdout: &mut Output<'_>) -> Result<(), CniError> {
        let host = &self.runtime.host;
        let deadline = Deadline::after(host.context.limits.time);
        let config = self.config();
        // The runtime's word, which no plugin of this call has touched.
        let given = match (&config.previous, self.command) {
            (Ok(Some(previous)), Command::Add) => previous.success.ips.clone(),
            _ => Vec::new(),
        };
        let live = if self.command == Command::Gc { live_attachments(&self.config.object)? } else { None };
        let found = Found::Component(host.part_of_program(self.plugin)?);
        let steps = vec![Step::alone(self.plugin, found, config)];
        let plan = Plan { command: self.command, subject: self.subject()?, steps, live };
        let operation = Operation::begin(host, plan, deadline, Reach::default())?;
        operation.attempt.facts().record_addresses("", &given);
        match self.command {
            Command::Add => {
                let mut print = |last: Labelled| {
                    let result = gojson::pretty(&schema::versioned(&last.success, self.version)?);
                    stdout(result.as_bytes()).map_err(|e| undelivered(&e))
                };
                operation.add(false, |_| Ok(()), |_, last| print(last)).map(drop)
            }
            Command::Check => operation.check(None),
            Command::Del => operation.del(None, &|_| false),
            Command::Status => operation.status(),
            Command::Gc => {
                let mut errors = operation.gc();
                match errors.len() {
                    1 => Err(errors.remove(0)),
                    _ => CniError::all_of(errors).map_or(Ok(()), Err),
                }
            }
            _ => Ok(()),
        }
    }

    /// A DEL whose plugin cannot be called.
    fn release(&self, error: &CniError) -> Result<(), CniError> {
        let host = &self.runtime.host;
        let plan = Plan { command: self.command, subject: self.subject()?, steps: Vec::new(), live: None };
        let operation = Operation::begin(host, plan, Deadline::after(host.context.limits.time), Reach::default())?;
        operation.release(error.clone())
    }

    fn subject(&self) -> Result<Subject, CniError> {
        let allowed = (self.env)("CNI_NETNS_OVERRIDE");
        Ok(Subject {
            network: self.config.network.clone(),
            container_id: (self.env)("CNI_CONTAINERID"),
            ifname: (self.env)("CNI_IFNAME"),
            netns: (self.env)("CNI_NETNS"),
            args: (self.env)("CNI_ARGS"),
            allow_host_netns: allowed == "1" || allowed.eq_ignore_ascii_case("true"),
            plugin: Some(self.plugin.to_owned()),
            host: self.runtime.host_space()?,
            rehearsal: None,
        })
    }

    fn config(&self) -> CallConfig {
        CallConfig {
            text: Arc::clone(&self.config.text),
            version: self.version.to_owned(),
            previous: self.previous(),
            text_has_prev_result: true,
            requested: Requested::of(&self.config.object),
        }
    }

    fn previous(&self) -> Result<Option<Labelled>, String> {
        let Some(previous) = field(&self.config.object, "prevResult") else { return Ok(None) };
        result::parse(previous, self.version, Family::of(self.version))
            .map(|(success, version)| Some(Labelled { success, version }))
            .map_err(|e| format!("could not parse prevResult: {e}"))
    }
}

/// `cni.dev/valid-attachments`, or the older name of it.
fn live_attachments(config: &Map<String, Value>) -> Result<Option<Vec<Live>>, CniError> {
    let keys = ["cni.dev/valid-attachments", "cni.dev/attachments"];
    let Some((key, value)) = keys.iter().find_map(|key| Some((key, field(config, key)?))) else { return Ok(None) };
    let attachment = |value: &Value| {
        let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
        Some(Live { container_id: text("containerID")?, ifname: text("ifname")? })
    };
    let all: Option<Vec<_>> = value.as_array().and_then(|list| list.iter().map(attachment).collect());
    all.map(Some).ok_or_else(|| {
        let text = format!("{key} is not a list of objects with containerID and ifname");
        CniError::new(code::DECODE, text)
    })
}

#[cfg(test)]
mod tests;
