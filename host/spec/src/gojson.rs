//! JSON as Go's encoder writes it, byte for byte, so that output can be
//! compared with the reference's as text.

use serde::Serialize;
use serde_json::ser::{PrettyFormatter, Serializer};

/// With an indent of four spaces and no final newline: results and errors.
pub fn pretty(value: &impl Serialize) -> String {
    let mut bytes = Vec::new();
    let formatter = PrettyFormatter::with_indent(b"    ");
    let mut serializer = Serializer::with_formatter(&mut bytes, formatter);
    value.serialize(&mut serializer).expect("our types have string keys only");
    escape(String::from_utf8(bytes).expect("JSON is UTF-8"))
}

/// On one line.
pub fn compact(value: &impl Serialize) -> String {
    escape(serde_json::to_string(value).expect("our types have string keys only"))
}

/// A text between quotes as Go's `%q` writes it.
pub fn go_quote(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{b}' => quoted.push_str("\\v"),
            '\u{c}' => quoted.push_str("\\f"),
            c if c < ' ' || c == '\u{7f}' => quoted.push_str(&format!("\\x{:02x}", u32::from(c))),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// Go escapes what HTML and JavaScript could stumble over. Outside of strings
/// none of these characters occurs in JSON.
fn escape(json: String) -> String {
    // The last two begin with this octet.
    if !json.bytes().any(|byte| matches!(byte, b'<' | b'>' | b'&' | 0xe2)) {
        return json;
    }
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                escaped.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn go_style_escapes_and_indent() {
        assert_eq!(pretty(&json!({ "a": ["<&>"] })), "{\n    \"a\": [\n        \"\\u003c\\u0026\\u003e\"\n    ]\n}");
        assert_eq!(compact(&json!({ "a": "\u{2028}" })), "{\"a\":\"\\u2028\"}");
    }

    #[test]
    fn empty_objects_stay_on_one_line() {
        assert_eq!(pretty(&json!({ "dns": {} })), "{\n    \"dns\": {}\n}");
    }
}
