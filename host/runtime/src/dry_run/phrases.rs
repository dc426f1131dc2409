//! Parts of sentences about changes.

use serde_json::{Map, Value};

/// Where a route leads.
pub(super) fn destination(fields: &Map<String, Value>) -> String {
    match text(fields, "dst").as_str() {
        "0.0.0.0/0" => "the IPv4 default route".to_owned(),
        "::/0" => "the IPv6 default route".to_owned(),
        dst => format!("a route to {dst}"),
    }
}

/// How an operation names a link.
pub(super) fn link(value: &Value) -> String {
    match value {
        Value::String(name) => format!("{name:?}"),
        Value::Number(index) => format!("link {index}"),
        Value::Object(made) => {
            format!("the link that operation {} makes", made.get("made").map_or_else(String::new, plain))
        }
        _ => "a link".to_owned(),
    }
}

/// A field as a text; empty if it is absent.
pub(super) fn text(object: &Map<String, Value>, key: &str) -> String {
    object.get(key).map(plain).unwrap_or_default()
}

/// A value without quotes.
pub(super) fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
