//! What plugins say and are told, as JSON for the trace: addresses as text,
//! namespaces by their labels, numbers and texts as they are. What is long is
//! cut: a guest decides how much there is.

mod net;
mod others;

use std::fmt::{Debug, Write as _};

use serde_json::{Value, json};
use wasmtime::component::{Resource, ResourceTable};

use super::{convert, net::Namespace, store::Transaction};
use crate::bindings::types;

pub(super) use net::Operations;

/// Longest text, octets.
const MAX_TEXT: usize = 256;
/// Most entries of a list.
const MAX_ITEMS: usize = 64;
/// What one side of a call may take in all: octets of text, and these for each
/// entry of a list.
const BUDGET: usize = 8 << 10;
const ITEM: usize = 64;

/// The text, or its begin and how much there is of it.
pub(crate) fn cut(text: &str) -> String {
    let end = text.floor_char_boundary(MAX_TEXT.min(text.len()));
    let mut shown = String::with_capacity(end);
    for c in text[..end].chars() {
        // JSON leaves these as they are, and terminals obey them.
        if c >= '\x7f' && c.is_control() {
            let _ = write!(shown, "{}", c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    if end < text.len() {
        let _ = write!(shown, "… ({} octets)", text.len());
    }
    shown
}

/// What it costs, and the namespaces behind handles.
pub(super) struct Scribe<'a> {
    table: &'a ResourceTable,
    left: usize,
}

impl<'a> Scribe<'a> {
    pub(super) fn new(table: &'a ResourceTable) -> Self {
        Self { table, left: BUDGET }
    }

    pub(super) fn arguments(mut self, arguments: &[(&str, &dyn Describe)]) -> Value {
        if arguments.is_empty() {
            return Value::Null;
        }
        let described = arguments.iter().map(|(name, value)| (*name, value.describe(&mut self)));
        object(described)
    }

    fn text(&mut self, text: &str) -> Value {
        if self.left == 0 && !text.is_empty() {
            return json!(format!("… ({} octets)", text.len()));
        }
        let shown = cut(text);
        // As JSON has it: `\u0000`.
        let octets = |c: char| if c.is_control() { 6 } else { c.len_utf8() };
        self.left = self.left.saturating_sub(shown.chars().map(octets).sum());
        shown.into()
    }

    fn list<T>(&mut self, items: &[T], describe: impl Fn(&T, &mut Self) -> Value) -> Value {
        let mut list = Vec::new();
        for item in items.iter().take(MAX_ITEMS) {
            if self.left == 0 {
                break;
            }
            self.left = self.left.saturating_sub(ITEM);
            list.push(describe(item, self));
        }
        if list.len() < items.len() {
            list.push(json!(format!("… ({} more)", items.len() - list.len())));
        }
        list.into()
    }
}

/// A value of the WIT as JSON.
pub(super) trait Describe {
    fn describe(&self, scribe: &mut Scribe<'_>) -> Value;

    /// Is it what a call failed with?
    fn is_error(&self) -> bool {
        false
    }
}

/// Without what there is not.
fn object<'a>(fields: impl IntoIterator<Item = (&'a str, Value)>) -> Value {
    let fields = fields.into_iter().filter(|(_, value)| !value.is_null());
    Value::Object(fields.map(|(name, value)| (name.to_owned(), value)).collect())
}

/// A case of an enum as the WIT writes it: `NotFound` is `not-found`.
fn case(case: impl Debug) -> Value {
    case_name(case).into()
}

/// The same as text.
pub(crate) fn case_name(case: impl Debug) -> String {
    let text = format!("{case:?}");
    let mut name = String::new();
    for c in text.rsplit("::").next().unwrap_or_default().chars() {
        if c.is_ascii_uppercase() && !name.is_empty() {
            name.push('-');
        }
        name.push(c.to_ascii_lowercase());
    }
    name
}

/// None for 0, where that stands for none.
fn number(number: u32) -> Value {
    if number == 0 { Value::Null } else { number.into() }
}

fn mac(mac: &[u8], scribe: &mut Scribe<'_>) -> Value {
    scribe.text(&convert::mac_text(&mac[..mac.len().min(32)]))
}

/// What is nobody's business: how much there is of it.
pub(super) struct Hidden(pub(super) Vec<u8>);

impl Describe for Hidden {
    fn describe(&self, _: &mut Scribe<'_>) -> Value {
        json!(format!("{} octets", self.0.len()))
    }
}

/// A link-layer address.
pub(super) struct Mac<'a>(pub(super) &'a [u8]);

impl Describe for Mac<'_> {
    fn describe(&self, scribe: &mut Scribe<'_>) -> Value {
        mac(self.0, scribe)
    }
}

impl Describe for () {
    fn describe(&self, _: &mut Scribe<'_>) -> Value {
        Value::Null
    }
}

impl Describe for bool {
    fn describe(&self, _: &mut Scribe<'_>) -> Value {
        (*self).into()
    }
}

impl Describe for u32 {
    fn describe(&self, _: &mut Scribe<'_>) -> Value {
        (*self).into()
    }
}

impl Describe for String {
    fn describe(&self, scribe: &mut Scribe<'_>) -> Value {
        scribe.text(self)
    }
}

/// A value of the store, which is text as a rule.
impl Describe for Vec<u8> {
    fn describe(&self, scribe: &mut Scribe<'_>) -> Value {
        match std::str::from_utf8(self) {
            Ok(text) => scribe.text(text),
            Err(_) => json!(format!("{} octets", self.len())),
        }
    }
}

impl<T: Describe> Describe for Vec<T> {
    fn describe(&self, scribe: &mut Scribe<'_>) -> Value {
        scribe.list(self, T::describe)
    }
}

impl<T: Describe> Describe for Option<T> {
    fn describe(&self, scribe: &mut Scribe<'_>) -> Value {
        self.as_ref().map_or(Value::Null, |value| value.describe(scribe))
    }
}

impl<T: Describe, E: Describe> Describe for Result<T, E> {
    fn describe(&self, scribe: &mut Scribe<'_>) -> Value {
        match self {
            Ok(value) => value.describe(scribe),
            Err(error) => error.describe(scribe),
        }
    }

    fn is_error(&self) -> bool {
        self.is_err()
    }
}

impl Describe for Resource<Namespace> {
    fn describe(&self, scribe: &mut Scribe<'_>) -> Value {
        scribe.table.get(self).map_or_else(|_| "no such handle".into(), |namespace| namespace.space.label.into())
    }
}

/// There is one of a call.
impl Describe for Resource<Transaction> {
    fn describe(&self, _: &mut Scribe<'_>) -> Value {
        Value::Null
    }
}

impl Describe for types::IpAddr {
    fn describe(&self, _: &mut Scribe<'_>) -> Value {
        convert::ip(self).to_string().into()
    }
}

impl Describe for types::IpNet {
    fn describe(&self, _: &mut Scribe<'_>) -> Value {
        // Also where the prefix is too long.
        format!("{}/{}", convert::ip(&self.addr), self.prefix).into()
    }
}

impl Describe for types::Error {
    fn describe(&self, scribe: &mut Scribe<'_>) -> Value {
        let (what, msg) = (scribe.text(&self.what), scribe.text(&self.msg));
        object([("code", case(self.code)), ("errno", number(self.errno)), ("what", what), ("msg", msg)])
    }
}

/// A failure in a list, with its place there.
fn at(at: u32, cause: &types::Error, scribe: &mut Scribe<'_>) -> Value {
    let mut error = cause.describe(scribe);
    error["at"] = at.into();
    error
}

#[cfg(test)]
mod tests;
