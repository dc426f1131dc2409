//! Configuration, decoded by the rules of Go's `encoding/json`, whose texts
//! operators know: keys match in any case, the last of two wins, what is
//! unknown is ignored, `null` is absent.
//!
//! Getters never fail: they note what is wrong and give a default, and
//! [`Document::finish`] reports what Go would have. So a plugin reads its
//! configuration as a list of fields, with one `?` at the end.
//!
//! ```
//! use cni_plugin::decode::Document;
//!
//! let document = Document::parse(r#"{ "BRIDGE": "br0", "mtu": "big" }"#).unwrap();
//! let conf = document.root("NetConf");
//! assert_eq!(conf.text("bridge"), Some("br0".to_owned()));
//! assert_eq!(conf.int("mtu"), None);
//! assert_eq!(
//!     document.finish().unwrap_err(),
//!     "json: cannot unmarshal string into Go struct field NetConf.mtu of type int"
//! );
//! ```

mod value;

use std::cell::RefCell;

use crate::Failure;
use crate::fault::{Fault, FaultKind, Faults};
use crate::json::Json;
use crate::keys::Keys;

pub use value::Value;

/// A configuration, and what was found wrong in it.
#[derive(Debug)]
pub struct Document {
    pub(crate) root: Json,
    pub(crate) faults: Faults,
    /// The keys that were looked for: [`validate`](crate::validate) finds the others.
    pub(crate) keys: Option<RefCell<Keys>>,
}

impl Document {
    /// Parses a configuration; the error is `serde_json`'s.
    pub fn parse(text: &str) -> Result<Self, String> {
        Ok(Self {
            root: serde_json::from_str(text).map_err(|error| error.to_string())?,
            faults: Faults::default(),
            keys: None,
        })
    }

    /// Reads a configuration as ADD does: the first fault of decoding is an error, with
    /// `prefix` in front, and then the first value that was rejected.
    pub fn decode<T>(text: &str, prefix: &str, read: impl FnOnce(&Self) -> T) -> Result<T, Failure> {
        let failed = |text: String| Failure::plain(prefix.to_owned() + &text);
        let document = Self::parse(text).map_err(failed)?;
        let value = read(&document);
        document.finish().map_err(failed)?;
        document.accepted()?;
        Ok(value)
    }

    /// The top level, decoded into the Go struct of this name.
    pub fn root(&self, go_name: &'static str) -> Object<'_> {
        let members = match &self.root {
            Json::Object(members) => members.iter().enumerate().collect(),
            Json::Null => Vec::new(),
            other => {
                let text = format!("json: cannot unmarshal {} into Go value of type {go_name}", other.kind());
                self.note(FaultKind::WrongType, &[], other, None, text);
                Vec::new()
            }
        };
        let (json, shared) = (&self.root, false);
        Object { document: self, go_name, path: String::new(), order: Vec::new(), members, json, shared }
    }

    /// What Go would say: the first value that its own parser refused, or else
    /// the first of a wrong type.
    pub fn finish(&self) -> Result<(), String> {
        self.faults.of_decoding().map_or(Ok(()), Err)
    }

    /// The first value that was [rejected](Object::reject), for after
    /// [`finish`](Self::finish): as in Go, checks come when all is decoded.
    pub fn accepted(&self) -> Result<(), String> {
        self.faults.rejected().map_or(Ok(()), Err)
    }

    fn note(&self, kind: FaultKind, order: &[usize], place: *const Json, missing: Option<&str>, text: String) {
        let missing = missing.map(str::to_owned);
        self.faults.note(Fault { kind, order: order.to_vec(), text, place, missing });
    }
}

/// An object, decoded into a Go struct.
#[derive(Clone, Debug)]
pub struct Object<'d> {
    document: &'d Document,
    go_name: &'static str,
    path: String,
    order: Vec<usize>,
    members: Vec<(usize, &'d (String, Json))>,
    json: &'d Json,
    shared: bool,
}

impl<'d> Object<'d> {
    /// A `string`.
    pub fn text(&self, key: &str) -> Option<String> {
        self.last(key, |value| value.text())
    }

    /// A `bool`; absent is false.
    pub fn flag(&self, key: &str) -> bool {
        self.last(key, Value::flag).unwrap_or(false)
    }

    /// An `int`.
    pub fn int(&self, key: &str) -> Option<i64> {
        self.last(key, Value::int)
    }

    /// A `uint32`.
    pub fn uint32(&self, key: &str) -> Option<u32> {
        self.last(key, Value::uint32)
    }

    /// A string that `parse` understands. `go_type` is what messages call the
    /// Go type: `net.IP`.
    pub fn parsed<T>(&self, key: &str, go_type: &str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        self.last(key, |value| value.parsed(go_type, &parse))
    }

    /// A list, in the Go type `go_type`.
    pub fn list(&self, key: &str, go_type: &str) -> Option<Vec<Value<'d>>> {
        self.last(key, |value| value.list(go_type))
    }

    /// A `[]string`.
    pub fn texts(&self, key: &str) -> Vec<String> {
        let list = self.list(key, "[]string").unwrap_or_default();
        list.iter().filter_map(Value::text).collect()
    }

    /// An object, in the Go type `go_type`; `go_name` is that type's name
    /// without its package, empty if it has none. Two objects under one key
    /// merge, as in Go.
    pub fn object(&self, key: &str, go_type: &str, go_name: &'static str) -> Option<Object<'d>> {
        let objects = self.all(key).filter(|value| *value.json != Json::Null);
        objects.filter_map(|value| value.object(go_type, go_name)).reduce(|mut merged, object| {
            merged.members.extend(object.members);
            merged
        })
    }

    /// The members whose key is exactly this, and the others: where two fields of a Go struct
    /// differ in nothing but the case of a letter, that decides.
    pub fn apart(&self, key: &str) -> (Self, Self) {
        let (exact, others) = self.members.iter().partition(|(_, (name, _))| name == key);
        (Object { members: exact, ..self.clone() }, Object { members: others, ..self.clone() })
    }

    /// The same members, seen as an embedded Go struct of that name: messages
    /// have it in the path.
    pub fn embedded(&self, name: &str) -> Object<'d> {
        Object { path: join(&self.path, name), ..self.clone() }
    }

    /// The same, with keys that are for others to know: none of them is a mistake.
    pub fn shared(self) -> Self {
        Self { shared: true, ..self }
    }

    /// Looks for keys that are known and of no use.
    pub fn ignore(&self, keys: &[&str]) {
        keys.iter().for_each(|key| self.look_for(key));
    }

    /// Whether there is no such key, or only `null`.
    pub fn is_absent(&self, key: &str) -> bool {
        self.all(key).all(|value| *value.json == Json::Null)
    }

    /// Notes what the getters can't see: that the value of `key` is well-formed and wrong,
    /// or missing. In Go it is this object's own parser that refuses it.
    pub fn refuse(&self, key: &str, why: impl Into<String>) {
        let (place, missing) = self.all(key).last().map_or((self.json, Some(key)), |value| (value.json, None));
        self.document.note(FaultKind::Refused, &self.order, place, missing, why.into());
    }

    /// Notes what is wrong with the value of `key`, or with there being none: for
    /// checks that come after decoding (see [`Document::accepted`]).
    pub fn reject(&self, key: &str, why: impl Into<String>) {
        match self.all(key).last() {
            Some(value) => value.reject(why),
            None => self.document.note(FaultKind::Rejected, &self.order, self.json, Some(key), why.into()),
        }
    }

    fn look_for(&self, key: &str) {
        if let Some(keys) = &self.document.keys
            && !self.shared
        {
            keys.borrow_mut().look_for(key, self.members.iter().map(|(_, member)| *member));
        }
    }

    fn last<T>(&self, key: &str, get: impl Fn(&Value<'d>) -> Option<T>) -> Option<T> {
        self.all(key).filter(|value| *value.json != Json::Null).filter_map(|value| get(&value)).last()
    }

    fn all(&self, key: &str) -> impl Iterator<Item = Value<'d>> {
        self.look_for(key);
        self.members.iter().filter(move |(_, (name, _))| name.eq_ignore_ascii_case(key)).map(move |(at, (_, json))| {
            Value {
                document: self.document,
                go_name: self.go_name,
                path: join(&self.path, key),
                order: with(&self.order, *at),
                json,
            }
        })
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { [path, ".", key].concat() }
}

fn with(order: &[usize], at: usize) -> Vec<usize> {
    [order, &[at]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault_of(text: &str, read: impl Fn(&Object<'_>)) -> String {
        let document = Document::parse(text).unwrap();
        read(&document.root("NetConf"));
        document.finish().unwrap_err()
    }

    #[test]
    fn keys_match_in_any_case_and_the_last_wins() {
        let document = Document::parse(r#"{"Mtu":1,"MTU":2,"mtu":null}"#).unwrap();
        assert_eq!(document.root("NetConf").int("mtu"), Some(2));
        assert_eq!(document.finish(), Ok(()));
    }

    #[test]
    fn an_earlier_duplicate_of_a_wrong_type_is_a_fault_all_the_same() {
        let fault = fault_of(r#"{"MTU":"x","mtu":3}"#, |conf| {
            assert_eq!(conf.int("mtu"), Some(3));
        });
        assert!(fault.ends_with("string into Go struct field NetConf.mtu of type int"));
    }

    #[test]
    fn the_first_fault_of_the_text_is_reported_whatever_is_read_first() {
        let fault = fault_of(r#"{"a":3,"mtu":"x"}"#, |conf| {
            conf.int("mtu");
            conf.text("a");
        });
        assert!(fault.contains("NetConf.a of type string"), "{fault}");
    }

    #[test]
    fn a_refused_text_outdoes_a_wrong_type() {
        let fault = fault_of(r#"{"a":3,"ip":"x"}"#, |conf| {
            conf.text("a");
            conf.parsed::<()>("ip", "net.IP", |text| Err(format!("no {text}")));
        });
        assert_eq!(fault, "no x");
    }

    #[test]
    fn only_integers_name_the_number() {
        let fault = fault_of(r#"{"mtu":1.5}"#, |conf| {
            conf.int("mtu");
        });
        assert!(fault.starts_with("json: cannot unmarshal number 1.5 into"));
        let fault = fault_of(r#"{"length":-1}"#, |conf| {
            conf.uint32("length");
        });
        assert_eq!(fault, "json: cannot unmarshal number -1 into Go struct field NetConf.length of type uint32");
        let fault = fault_of(r#"{"mtu":1.5}"#, |conf| {
            conf.text("mtu");
        });
        assert!(fault.starts_with("json: cannot unmarshal number into"));
    }

    #[test]
    fn nested_structs_have_their_name_and_the_whole_path() {
        let fault = fault_of(r#"{"dns":{"nameservers":[3]}}"#, |conf| {
            let dns = conf.embedded("NetConf").object("dns", "types.DNS", "DNS");
            dns.unwrap().texts("nameservers");
        });
        assert_eq!(
            fault,
            "json: cannot unmarshal number into Go struct field \
             DNS.NetConf.dns.nameservers of type string"
        );
    }

    #[test]
    fn two_objects_under_one_key_merge() {
        let document = Document::parse(r#"{"o":{"a":"1"},"O":{"b":"2"}}"#).unwrap();
        let object = document.root("NetConf").object("o", "T", "T").unwrap();
        assert_eq!(object.text("a").as_deref(), Some("1"));
        assert_eq!(object.text("b").as_deref(), Some("2"));
    }

    #[test]
    fn a_field_that_differs_in_case_only_has_its_exact_key() {
        let document = Document::parse(r#"{"Address":"A","address":"b","ADDRESS":"c"}"#).unwrap();
        let (exact, others) = document.root("T").apart("Address");
        assert_eq!((exact.text("Address").as_deref(), others.text("address").as_deref()), (Some("A"), Some("c")));
    }

    #[test]
    fn trailing_data_is_an_error() {
        assert!(Document::parse("{} {}").is_err());
    }
}
