//! JSON as a tree that keeps what Go's decoder looks at: the order of members
//! and members that occur twice. Parsing itself is `serde_json`'s.

use std::fmt;

use serde_core::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// A JSON value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    Int(i64),
    /// A number that is not an `i64`, as it is written.
    Number(String),
    String(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    /// Shows every value below this one to `visit`: the path to it as people write it
    /// (`ipam.ranges[0][1].subnet`), and its key if it is a member.
    pub(crate) fn walk(&self, path: &mut String, visit: &mut dyn FnMut(&str, Option<&str>, &Self)) {
        let end = path.len();
        match self {
            Self::Array(elements) => {
                for (at, element) in elements.iter().enumerate() {
                    path.push_str(&format!("[{at}]"));
                    visit(path, None, element);
                    element.walk(path, visit);
                    path.truncate(end);
                }
            }
            Self::Object(members) => {
                for (key, value) in members {
                    path.push_str(if end == 0 { "" } else { "." });
                    path.push_str(key);
                    visit(path, Some(key), value);
                    value.walk(path, visit);
                    path.truncate(end);
                }
            }
            _ => {}
        }
    }

    /// What the value is, as Go's decoder says it.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "bool",
            Self::Int(_) | Self::Number(_) => "number",
            Self::String(_) => "string",
            Self::Array(_) => "array",
            Self::Object(_) => "object",
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Tree)
    }
}

struct Tree;

impl<'de> Visitor<'de> for Tree {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Int(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(i64::try_from(value).map_or_else(|_| Json::Number(value.to_string()), Json::Int))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(Json::Number(format!("{value:?}")))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Json, E> {
        Ok(Json::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Json, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = access.next_element()? {
            elements.push(element);
        }
        Ok(Json::Array(elements))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Json, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = access.next_entry()? {
            members.push(member);
        }
        Ok(Json::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_keep_their_order_and_duplicates() {
        let json: Json = serde_json::from_str(r#"{"b":1,"a":2,"b":null}"#).unwrap();
        let Json::Object(members) = json else {
            panic!("{json:?}");
        };
        let keys: Vec<_> = members.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, ["b", "a", "b"]);
    }

    #[test]
    fn numbers_beyond_i64_keep_their_words() {
        let json: Json = serde_json::from_str("[1.5, 2.0, 18446744073709551615, -3]").unwrap();
        let number = |text: &str| Json::Number(text.into());
        assert_eq!(
            json,
            Json::Array(vec![number("1.5"), number("2.0"), number("18446744073709551615"), Json::Int(-3)])
        );
    }
}
