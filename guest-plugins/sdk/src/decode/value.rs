//! A value of a configuration, and what Go says of one of the wrong type.

use super::{Document, Object, with};
use crate::fault::FaultKind;
use crate::json::Json;

/// A value, and where it stands.
#[derive(Clone, Debug)]
pub struct Value<'d> {
    pub(super) document: &'d Document,
    pub(super) go_name: &'static str,
    pub(super) path: String,
    pub(super) order: Vec<usize>,
    pub(super) json: &'d Json,
}

impl<'d> Value<'d> {
    /// A `string`; `null` is empty.
    pub fn text(&self) -> Option<String> {
        match self.json {
            Json::Null => Some(String::new()),
            Json::String(text) => Some(text.clone()),
            _ => self.mismatch("string"),
        }
    }

    /// A string that `parse` understands; `null` is absent.
    pub fn parsed<T>(&self, go_type: &str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        match self.json {
            Json::Null => None,
            Json::String(text) => match parse(text) {
                Ok(value) => Some(value),
                Err(text) => self.fault(FaultKind::Refused, text),
            },
            _ => self.mismatch(go_type),
        }
    }

    /// A list, in the Go type `go_type`; `null` is empty.
    pub fn list(&self, go_type: &str) -> Option<Vec<Value<'d>>> {
        let elements = match self.json {
            Json::Null => return Some(Vec::new()),
            Json::Array(elements) => elements,
            _ => return self.mismatch(go_type),
        };
        let element = |(at, json)| Value { path: self.path.clone(), order: with(&self.order, at), json, ..*self };
        Some(elements.iter().enumerate().map(element).collect())
    }

    /// An object, in the Go type `go_type` with that name; `null` is empty.
    pub fn object(&self, go_type: &str, go_name: &'static str) -> Option<Object<'d>> {
        let members = match self.json {
            Json::Null => Vec::new(),
            Json::Object(members) => members.iter().enumerate().collect(),
            _ => return self.mismatch(go_type),
        };
        let (path, order) = (self.path.clone(), self.order.clone());
        Some(Object { document: self.document, go_name, path, order, members, json: self.json, shared: false })
    }

    /// An object whose Go type has a parser of its own: messages go on naming
    /// the struct around it.
    pub fn opaque(&self, go_type: &str) -> Option<Object<'d>> {
        self.object(go_type, self.go_name)
    }

    pub(super) fn flag(&self) -> Option<bool> {
        match self.json {
            Json::Bool(flag) => Some(*flag),
            _ => self.mismatch("bool"),
        }
    }

    pub(super) fn int(&self) -> Option<i64> {
        match self.json {
            Json::Int(number) => Some(*number),
            _ => self.mismatch("int"),
        }
    }

    pub(super) fn uint32(&self) -> Option<u32> {
        let fits = if let Json::Int(number) = self.json { u32::try_from(*number).ok() } else { None };
        fits.or_else(|| self.mismatch("uint32"))
    }

    fn mismatch<T>(&self, go_type: &str) -> Option<T> {
        let is_integer = matches!(go_type, "int" | "uint32");
        let kind = match self.json {
            Json::Number(words) if is_integer => format!("number {words}"),
            Json::Int(number) if is_integer => format!("number {number}"),
            json => json.kind().to_owned(),
        };
        let (name, path) = (self.go_name, &self.path);
        let field = format!("Go struct field {name}.{path}");
        self.fault(FaultKind::WrongType, format!("json: cannot unmarshal {kind} into {field} of type {go_type}"))
    }

    /// Notes that this element of a list is rejected, as [`Object::reject`] does.
    pub fn reject(&self, why: impl Into<String>) {
        self.document.note(FaultKind::Rejected, &self.order, self.json, None, why.into());
    }

    fn fault<T>(&self, kind: FaultKind, text: String) -> Option<T> {
        self.document.note(kind, &self.order, self.json, None, text);
        None
    }
}
