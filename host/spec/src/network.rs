//! Network configurations: a list of plugins under a name. Pure: it knows no
//! file, no namespace and no engine.

use std::{borrow::Cow, collections::BTreeMap};

use serde_json::{Map, Value};

use crate::{
    error::{CniError, code},
    version,
};

/// A network: what a `.conflist` holds.
#[derive(Clone, Debug)]
pub struct Network {
    /// Name.
    pub name: String,
    /// The version that plugins are called with; may be empty (0.1.0).
    pub cni_version: String,
    /// CHECK does nothing.
    pub disable_check: bool,
    /// GC does nothing.
    pub disable_gc: bool,
    /// No plugins are added from the directory of the network's name.
    pub only_inlined: bool,
    /// In the order in which ADD calls them.
    pub plugins: Vec<PluginConfig>,
    /// The bytes that it was made from, for the result cache.
    pub source: Vec<u8>,
}

/// One plugin of a network.
#[derive(Clone, Debug)]
pub struct PluginConfig {
    /// `type`: which plugin.
    pub kind: String,
    /// The whole object.
    pub object: Map<String, Value>,
}

impl Network {
    /// Reads a network configuration list (specification, section 1).
    ///
    /// # Errors
    ///
    /// Code 6 or 7, in the reference's words.
    pub fn parse_list(source: &[u8]) -> Result<Self, CniError> {
        let list: Map<String, Value> = serde_json::from_slice(source)
            .map_err(|e| CniError::new(code::DECODE, format!("error parsing configuration list: {e}")))?;
        let name = match list.get("name") {
            None => return Err(list_error("no name")),
            Some(Value::String(name)) => name.clone(),
            Some(other) => return Err(list_error(&format!("invalid name type {}", go_type(other)))),
        };
        let plain = match list.get("cniVersion") {
            None => String::new(),
            Some(Value::String(version)) => version.clone(),
            Some(other) => return Err(list_error(&format!("invalid cniVersion type {}", go_type(other)))),
        };
        let cni_version = negotiate(&plain, list.get("cniVersions"))?;
        let plugins = match list.get("plugins") {
            Some(Value::Array(plugins)) if plugins.is_empty() => return Err(list_error("no plugins in list")),
            Some(Value::Array(plugins)) => plugins,
            None if flag(&list, "loadOnlyInlinedPlugins")? => {
                return Err(list_error("`loadOnlyInlinedPlugins` is true, and no 'plugins' key"));
            }
            // They may be in the folder of the network's name.
            None => &Vec::new(),
            Some(other) => return Err(list_error(&format!("invalid 'plugins' type {}", go_type(other)))),
        };
        let plugin = |(i, entry): (usize, &Value)| {
            PluginConfig::new(entry).map_err(|e| e.reword(|msg| format!("failed to parse plugin config {i}: {msg}")))
        };
        Ok(Self {
            name,
            cni_version,
            disable_check: flag(&list, "disableCheck")?,
            disable_gc: flag(&list, "disableGC")?,
            only_inlined: flag(&list, "loadOnlyInlinedPlugins")?,
            plugins: plugins.iter().enumerate().map(plugin).collect::<Result<_, _>>()?,
            source: source.to_owned(),
        })
    }

    /// A network with nothing but `loopback`, which sets `lo` up: for the interface `lo` of a container.
    #[must_use]
    pub fn loopback() -> Self {
        let list = br#"{"cniVersion":"1.1.0","name":"cni-loopback","plugins":[{"type":"loopback"}]}"#;
        Self::parse_list(list).expect("it is valid")
    }

    /// Reads the configuration of a single plugin (`.conf`, `.json`) as a list of one.
    ///
    /// # Errors
    ///
    /// Code 6 or 7, in the reference's words.
    pub fn parse_single(source: &[u8]) -> Result<Self, CniError> {
        let value: Value = serde_json::from_slice(source)
            .map_err(|e| CniError::new(code::DECODE, format!("error parsing configuration: {e}")))?;
        // The list, which the result cache keeps, is read again to a depth of 127, of which it uses two.
        if !is_within(&value, 125) {
            return Err(CniError::new(code::DECODE, "error parsing configuration: recursion limit exceeded"));
        }
        let plugin = PluginConfig::new(&value)?;
        let text = |key: &str| match field(&plugin.object, key) {
            None => Ok(String::new()),
            Some(Value::String(text)) => Ok(text.clone()),
            Some(other) => {
                let text = format!("error parsing configuration: invalid {key} type {}", go_type(other));
                Err(CniError::new(code::CONFIG, text))
            }
        };
        let (name, cni_version) = (text("name")?, text("cniVersion")?);
        let list = serde_json::json!({ "name": name, "cniVersion": cni_version, "plugins": [value] });
        let source = serde_json::to_vec(&list).expect("a JSON value is serializable");
        Ok(Self {
            name,
            cni_version,
            disable_check: false,
            disable_gc: false,
            only_inlined: true,
            plugins: vec![plugin],
            source,
        })
    }
}

impl PluginConfig {
    /// Reads the configuration of one plugin.
    ///
    /// # Errors
    ///
    /// Code 6 or 7, in the reference's words.
    pub fn parse(source: &[u8]) -> Result<Self, CniError> {
        let value = serde_json::from_slice(source)
            .map_err(|e| CniError::new(code::DECODE, format!("error parsing configuration: {e}")))?;
        Self::new(&value)
    }

    fn new(value: &Value) -> Result<Self, CniError> {
        let error = |text: &str| Err(CniError::new(code::CONFIG, format!("error parsing configuration: {text}")));
        let Value::Object(object) = value else {
            return error(&format!("a plugin must be an object, not {}", go_type(value)));
        };
        match field(object, "type") {
            None => error("missing 'type'"),
            Some(Value::String(kind)) if kind.is_empty() => error("missing 'type'"),
            Some(Value::String(kind)) => Ok(Self { kind: kind.clone(), object: object.clone() }),
            Some(other) => error(&format!("invalid 'type' type {}", go_type(other))),
        }
    }

    /// The plugin's own object with what the runtime adds: the network's name
    /// and version, and the capability arguments that it declares
    /// (specification, "Deriving request configuration").
    #[must_use]
    pub fn derive(&self, network: &Network, capabilities: &Map<String, Value>) -> Value {
        let members = self.derived(network, capabilities).into_iter();
        members.map(|(key, value)| (key.to_owned(), value.into_owned())).collect::<Map<_, _>>().into()
    }

    /// The same as JSON.
    pub fn text(&self, network: &Network, capabilities: &Map<String, Value>) -> String {
        serde_json::to_string(&self.derived(network, capabilities)).expect("keys are texts")
    }

    fn derived(&self, network: &Network, capabilities: &Map<String, Value>) -> BTreeMap<&str, Cow<'_, Value>> {
        let mut members: BTreeMap<_, _> =
            self.object.iter().map(|(key, value)| (key.as_str(), go_numbers(value))).collect();
        members.insert("name", Cow::Owned(network.name.clone().into()));
        members.insert("cniVersion", Cow::Owned(network.cni_version.clone().into()));
        let declared = self.object.get("capabilities").and_then(Value::as_object);
        let wanted: Map<_, _> = capabilities
            .iter()
            .filter(|(key, _)| declared.and_then(|d| d.get(*key)) == Some(&Value::Bool(true)))
            .map(|(key, value)| (key.clone(), go_numbers(value).into_owned()))
            .collect();
        if !wanted.is_empty() {
            members.insert("runtimeConfig", Cow::Owned(wanted.into()));
        }
        members
    }
}

/// The value of a key as Go's decoder finds it: without regard to case, the
/// exact key first; `null` is absent.
#[must_use]
pub fn field<'a>(object: &'a Map<String, Value>, key: &str) -> Option<&'a Value> {
    let folded = || object.iter().find(|(k, _)| k.eq_ignore_ascii_case(key)).map(|(_, value)| value);
    object.get(key).or_else(folded).filter(|value| !value.is_null())
}

/// Whether lists and objects are in each other no deeper than this.
fn is_within(value: &Value, depth: usize) -> bool {
    match value {
        Value::Array(list) => depth > 0 && list.iter().all(|value| is_within(value, depth - 1)),
        Value::Object(object) => depth > 0 && object.values().all(|value| is_within(value, depth - 1)),
        _ => true,
    }
}

/// Numbers as they are after a passage through Go's float64: `1e3` is 1000.
fn go_numbers(value: &Value) -> Cow<'_, Value> {
    fn has_float(value: &Value) -> bool {
        match value {
            Value::Number(number) => number.is_f64(),
            Value::Array(list) => list.iter().any(has_float),
            Value::Object(object) => object.values().any(has_float),
            _ => false,
        }
    }
    fn change(value: &mut Value) {
        /// Up to here every integer is a float64.
        const EXACT: f64 = 9_007_199_254_740_992.0;
        match value {
            #[expect(clippy::cast_possible_truncation, reason = "it is integral and below 2^53")]
            Value::Number(number) => match number.as_f64() {
                Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() <= EXACT => {
                    *number = (float as i64).into();
                }
                _ => {}
            },
            Value::Array(list) => list.iter_mut().for_each(change),
            Value::Object(object) => object.values_mut().for_each(change),
            _ => {}
        }
    }
    if !has_float(value) {
        return Cow::Borrowed(value);
    }
    let mut value = value.clone();
    change(&mut value);
    Cow::Owned(value)
}

/// The newest version that both sides speak, if the list offers a choice.
fn negotiate(plain: &str, offered: Option<&Value>) -> Result<String, CniError> {
    let Some(offered) = offered else { return Ok(plain.to_owned()) };
    let Value::Array(offered) = offered else {
        return Err(list_error(&format!("invalid type for cniVersions: {}", go_type(offered))));
    };
    let newest = version::parse(version::SUPPORTED[version::SUPPORTED.len() - 1]).expect("our own version");
    let mut best: Option<([u32; 3], &str)> = None;
    let texts = offered.iter().map(Value::as_str);
    for text in texts.chain((!plain.is_empty()).then_some(Some(plain))) {
        let Some(text) = text else { return Err(list_error("cniVersions holds something else than text")) };
        let number = version::parse(text).map_err(|e| list_error(&e))?;
        if number <= newest && best.is_none_or(|(b, _)| number > b) {
            best = Some((number, text));
        }
    }
    Ok(best.map_or(plain, |(_, text)| text).to_owned())
}

/// `true`, `false`, or either as text in any case.
fn flag(list: &Map<String, Value>, key: &str) -> Result<bool, CniError> {
    match list.get(key) {
        None => Ok(false),
        Some(Value::Bool(value)) => Ok(*value),
        Some(Value::String(text)) if text.eq_ignore_ascii_case("true") => Ok(true),
        Some(Value::String(text)) if text.eq_ignore_ascii_case("false") => Ok(false),
        Some(Value::String(text)) => Err(list_error(&format!("invalid value {text:?} for {key}"))),
        Some(other) => Err(list_error(&format!("invalid type {} for {key}", go_type(other)))),
    }
}

fn list_error(text: &str) -> CniError {
    CniError::new(code::CONFIG, format!("error parsing configuration list: {text}"))
}

/// What Go calls the type that its decoder makes of a value.
fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(_) => "float64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn error_of(list: &Value) -> String {
        Network::parse_list(list.to_string().as_bytes()).unwrap_err().msg
    }

    #[test]
    fn a_list_is_refused_in_the_references_words() {
        let prefix = "error parsing configuration list: ";
        for (list, text) in [
            (json!({ "plugins": [] }), "no name"),
            (json!({ "name": 1 }), "invalid name type float64"),
            (json!({ "name": "n", "cniVersion": 1 }), "invalid cniVersion type float64"),
            (json!({ "name": "n", "plugins": [] }), "no plugins in list"),
            (json!({ "name": "n", "plugins": null }), "invalid 'plugins' type <nil>"),
            (
                json!({ "name": "n", "disableCheck": "v", "plugins": [{ "type": "t" }] }),
                "invalid value \"v\" for disableCheck",
            ),
        ] {
            assert_eq!(error_of(&list), format!("{prefix}{text}"));
        }
        assert_eq!(
            error_of(&json!({ "name": "n", "plugins": [{}] })),
            "failed to parse plugin config 0: error parsing configuration: missing 'type'"
        );
    }

    #[test]
    fn a_single_plugin_is_no_deeper_than_its_list_can_be_read() {
        let single = |depth: usize| {
            let lists = ["[".repeat(depth), "]".repeat(depth)].concat();
            Network::parse_single(format!("{{\"type\":\"t\",\"a\":{lists}}}").as_bytes())
        };
        assert!(Network::parse_list(&single(124).unwrap().source).is_ok());
        assert_eq!(single(125).unwrap_err().msg, "error parsing configuration: recursion limit exceeded");
    }

    #[test]
    fn core_39_the_newest_common_version_is_chosen() {
        let version = |plain: &str, offered: Value| {
            let list =
                json!({ "name": "n", "cniVersion": plain, "cniVersions": offered, "plugins": [{ "type": "t" }] });
            Network::parse_list(list.to_string().as_bytes()).unwrap().cni_version
        };
        assert_eq!(version("0.4.0", json!(["0.3.1", "1.0.0", "1.1.5", "2.0.0"])), "1.0.0");
        assert_eq!(version("3.0.0", json!(["2.0.0"])), "3.0.0");
    }

    #[test]
    fn core_27_what_a_plugin_gets_on_standard_input() {
        let list = json!({ "name": "neta", "cniVersion": "1.1.0", "plugins": [
            { "type": "t", "name": "own", "cniVersion": "0.2.0", "capabilities": { "mac": true, "bandwidth": false },
                "e": 1e3, "f": 2.0 }] });
        let network = Network::parse_list(list.to_string().as_bytes()).unwrap();
        let arguments = json!({ "mac": "m", "bandwidth": {}, "other": 1 });
        let derived = network.plugins[0].derive(&network, arguments.as_object().unwrap());
        assert_eq!(
            derived,
            json!({ "type": "t", "name": "neta", "cniVersion": "1.1.0",
                "capabilities": { "mac": true, "bandwidth": false }, "runtimeConfig": { "mac": "m" }, "e": 1000, "f": 2 })
        );
    }
}
