//! Which versions a plugin speaks, and whether a network can be used at all
//! (VERSION; libcni's `ValidateNetworkList`).

use std::{sync::Arc, time::Duration};

use serde_json::{Map, Value};

use wasm_cni_capabilities::{
    attempt::{Attempt, Subject},
    bindings::cni,
    call::CallConfig,
    exec::{self, ExecCall},
    grants::requested::Requested,
    trace::{Watched, Who},
};
use wasm_cni_spec::{
    command::Command,
    error::{CniError, code},
    network::{Network, field},
    version::SUPPORTED,
};
use wasm_cni_state::deadline::{Cancel, Deadline};

use crate::{
    judge,
    plugins::{Found, Location},
    runtime::Runtime,
    watchdog::Watchdog,
};

/// Time for one answer.
const TIME: Duration = Duration::from_secs(10);

/// What a plugin says that was made before VERSION was.
const TOO_OLD: &str = "unknown CNI_COMMAND: VERSION";

/// Something wrong with a plugin's configuration; see [`Runtime::mistakes`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mistake {
    /// The plugin that says so.
    pub plugin: String,
    /// The key, as `ipam.ranges[0][1].subnet`; empty for the whole.
    pub key: String,
    /// What ADD would say of it.
    pub msg: String,
    /// ADD would go on regardless: a key that nobody reads, say.
    pub harmless: bool,
}

impl Runtime {
    /// The versions that a plugin speaks.
    ///
    /// # Errors
    ///
    /// If there is no such plugin, or its answer cannot be understood.
    pub fn versions(&self, kind: &str) -> Result<Vec<String>, CniError> {
        let Location::Native(path) = self.locate(kind)? else {
            return Ok(SUPPORTED.map(str::to_owned).to_vec());
        };
        let ours = [
            ("CNI_COMMAND", "VERSION"),
            ("CNI_CONTAINERID", ""),
            // The oldest plugins want these before they say that they are old.
            ("CNI_NETNS", "dummy"),
            ("CNI_IFNAME", "dummy"),
            ("CNI_PATH", "dummy"),
            ("CNI_ARGS", ""),
        ];
        let call = ExecCall {
            kind: kind.to_owned(),
            path,
            env: exec::environment(&self.host.context.env, ours.map(|(name, value)| (name, value.into()))),
            stdin: br#"{"cniVersion":"1.1.0"}"#.to_vec(),
            timeout: TIME,
            cancel: Cancel::default(),
        };
        let context = &self.host.context;
        let exec = Watched { exec: &*context.exec, trace: &context.trace, who: Who::plugin(kind) };
        match exec::run(&exec, &call) {
            Ok(output) => understood(kind, &output.stdout),
            Err(error) if error.msg == TOO_OLD => Ok(vec!["0.1.0".to_owned()]),
            Err(error) => Err(error),
        }
    }

    /// What a plugin says is wrong with a configuration: its own `validate`, then that of the IPAM plugin that the
    /// configuration names. `config` is the plugin's object with the network's `name` and `cniVersion`, JSON. Nothing is
    /// changed, and neither plugin can reach anything. Native plugins have no such function and say nothing.
    ///
    /// # Errors
    ///
    /// If a plugin cannot be found or loaded, or does not come to an end.
    pub fn mistakes(&self, kind: &str, config: &str) -> Result<Vec<Mistake>, CniError> {
        let object: Map<String, Value> = serde_json::from_str(config)
            .map_err(|e| CniError::new(code::DECODE, format!("error parsing configuration: {e}")))?;
        let mut all = self.judge(kind, &object, config)?;
        if let Some(ipam) = judge::ipam_of(&object, kind) {
            all.extend(self.judge(ipam, &object, config)?);
        }
        Ok(all)
    }

    fn judge(&self, kind: &str, object: &Map<String, Value>, config: &str) -> Result<Vec<Mistake>, CniError> {
        let Found::Component(plugin) = self.host.find(kind)? else { return Ok(Vec::new()) };
        let subject = Subject {
            network: field(object, "name").and_then(Value::as_str).unwrap_or_default().to_owned(),
            container_id: String::new(),
            ifname: String::new(),
            netns: String::new(),
            args: String::new(),
            allow_host_netns: false,
            plugin: None,
            host: self.host_space()?,
            rehearsal: None,
        };
        let deadline = Deadline::after(self.host.context.limits.time);
        let attempt = Attempt::new(Arc::clone(&self.host.context), Command::Version, subject, deadline);
        let config = CallConfig {
            text: config.into(),
            version: field(object, "cniVersion").and_then(Value::as_str).unwrap_or_default().to_owned(),
            previous: Ok(None),
            text_has_prev_result: false,
            requested: Requested::default(),
        };
        let _watchdog = Watchdog::start(&self.host, &attempt.deadline);
        let mistakes = judge::mistakes(&self.host, &attempt, plugin, Arc::new(config))?;
        let mistake = |cni::Mistake { key, msg, harmless }| Mistake { plugin: kind.to_owned(), key, msg, harmless };
        Ok(mistakes.into_iter().map(mistake).collect())
    }

    /// That every plugin of a network is there and speaks its version. Gives the
    /// capabilities that they declare.
    ///
    /// # Errors
    ///
    /// Every plugin that is not there or does not, a line each.
    pub fn validate(&self, network: &Network) -> Result<Vec<String>, CniError> {
        let version = if network.cni_version.is_empty() { "0.1.0" } else { &network.cni_version };
        let mut errors = Vec::new();
        let mut capabilities = Vec::new();
        for plugin in &network.plugins {
            match self.versions(&plugin.kind) {
                Ok(versions) if versions.iter().any(|v| v == version) => {}
                Ok(_) => errors.push(format!("plugin {} does not support config version {version:?}", plugin.kind)),
                Err(error) => errors.push(error.to_string()),
            }
            let declared = plugin.object.get("capabilities").and_then(Value::as_object);
            let on = declared.into_iter().flatten().filter(|(_, value)| **value == Value::Bool(true));
            capabilities.extend(on.map(|(name, _)| name.clone()));
        }
        capabilities.sort();
        capabilities.dedup();
        if errors.is_empty() { Ok(capabilities) } else { Err(CniError::new(code::CONFIG, errors.join("\n"))) }
    }
}

fn understood(kind: &str, stdout: &[u8]) -> Result<Vec<String>, CniError> {
    let failed = |text: &str| Err(CniError::internal(format!("decoding version info of plugin {kind:?}: {text}")));
    let answer: Value = match serde_json::from_slice(stdout) {
        Ok(answer) => answer,
        Err(e) => return failed(&e.to_string()),
    };
    let Some(version) = answer.get("cniVersion").and_then(Value::as_str).filter(|v| !v.is_empty()) else {
        return failed("missing field cniVersion");
    };
    match answer.get("supportedVersions").and_then(Value::as_array) {
        Some(list) if !list.is_empty() => {
            let texts: Option<Vec<_>> = list.iter().map(|v| v.as_str().map(str::to_owned)).collect();
            texts.map_or_else(|| failed("supportedVersions holds something else than text"), Ok)
        }
        // It named its only version before it could list them.
        _ if version == "0.2.0" => Ok(vec!["0.1.0".to_owned(), "0.2.0".to_owned()]),
        _ => failed("missing field supportedVersions"),
    }
}

#[cfg(test)]
mod tests {
    use super::understood;

    #[test]
    fn answers_of_old_and_new_plugins() {
        let versions = |answer: &str| understood("p", answer.as_bytes());
        assert_eq!(versions(r#"{"cniVersion":"0.2.0"}"#).unwrap(), ["0.1.0", "0.2.0"]);
        assert_eq!(versions(r#"{"cniVersion":"1.0.0","supportedVersions":["1.0.0"]}"#).unwrap(), ["1.0.0"]);
        for wrong in ["", "{}", r#"{"cniVersion":"1.0.0"}"#, r#"{"cniVersion":"1.0.0","supportedVersions":[1]}"#] {
            assert!(versions(wrong).is_err(), "{wrong}");
        }
    }
}
