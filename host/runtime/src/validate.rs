//! Which versions a plugin speaks, and whether a network can be used at all
//! (VERSION; libcni's `ValidateNetworkList`).

use std::time::Duration;

use serde_json::Value;

use wasm_cni_capabilities::{
    exec::{self, ExecCall},
    trace::{Watched, Who},
};
use wasm_cni_spec::{
    error::{CniError, code},
    network::Network,
    version::SUPPORTED,
};
use wasm_cni_state::deadline::Cancel;

use crate::{plugins::Location, runtime::Runtime};

/// Time for one answer.
const TIME: Duration = Duration::from_secs(10);

/// What a plugin says that was made before VERSION was.
const TOO_OLD: &str = "unknown CNI_COMMAND: VERSION";

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
