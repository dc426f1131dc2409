//! What plugins say and are told, as JSON for the trace: addresses as text,
//! namespaces by their labels, numbers and texts as they are. What is long is
//! cut: a guest decides how much there is.

use std::fmt::Debug;

use serde_json::{Value, json};
use wasmtime::component::{Resource, ResourceTable};

use crate::{
    bindings::{cni, types},
    convert,
    handles::{Namespace, Pending, Transaction},
    text::{case_name, cut},
};

/// Most entries of a list.
const MAX_ITEMS: usize = 64;
/// What one side of a call may take in all: bytes of text, and these for each
/// entry of a list.
const BUDGET: usize = 8 << 10;
const ITEM: usize = 64;

/// Renders values within a size budget and resolves namespace handles to labels.
pub struct Scribe<'a> {
    /// The guest's handles.
    pub table: &'a ResourceTable,
    left: usize,
    whole: bool,
}

impl<'a> Scribe<'a> {
    /// With room for what a trace shows; all the room there is if it shows values `whole`.
    #[must_use]
    pub fn new(table: &'a ResourceTable, whole: bool) -> Self {
        Self { table, left: if whole { usize::MAX } else { BUDGET }, whole }
    }

    /// A call's arguments, an object.
    pub fn arguments(mut self, arguments: &[(&str, &dyn Describe)]) -> Value {
        if arguments.is_empty() {
            return Value::Null;
        }
        let described = arguments.iter().map(|(name, value)| (*name, value.describe(&mut self)));
        object(described)
    }

    /// A text, as much of it as there is room for.
    pub fn text(&mut self, text: &str) -> Value {
        if self.left == 0 && !text.is_empty() {
            return json!(format!("… ({} bytes)", text.len()));
        }
        if self.whole {
            return text.into();
        }
        let shown = cut(text);
        // As JSON has it: `\u0000`.
        let octets = |c: char| if c.is_control() { 6 } else { c.len_utf8() };
        self.left = self.left.saturating_sub(shown.chars().map(octets).sum());
        shown.into()
    }

    /// A list, as much of it as there is room for.
    pub fn list<T>(&mut self, items: &[T], describe: impl Fn(&T, &mut Self) -> Value) -> Value {
        let mut list = Vec::new();
        let most = if self.whole { usize::MAX } else { MAX_ITEMS };
        for item in items.iter().take(most) {
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
pub trait Describe {
    /// As the trace shows it.
    fn describe(&self, scribe: &mut Scribe<'_>) -> Value;
}

/// Builds an object, leaving out null fields.
pub fn object<'a>(fields: impl IntoIterator<Item = (&'a str, Value)>) -> Value {
    let fields = fields.into_iter().filter(|(_, value)| !value.is_null());
    Value::Object(fields.map(|(name, value)| (name.to_owned(), value)).collect())
}

/// A case of an enum as the WIT writes it: `NotFound` is `not-found`.
pub fn case(case: impl Debug) -> Value {
    case_name(case).into()
}

/// None for 0, where that stands for none.
pub fn number(number: u32) -> Value {
    if number == 0 { Value::Null } else { number.into() }
}

/// A link-layer address, as text.
pub fn mac(mac: &[u8], scribe: &mut Scribe<'_>) -> Value {
    scribe.text(&convert::mac_text(&mac[..mac.len().min(32)]))
}

/// Secret bytes; only their length is shown.
#[derive(Debug)]
pub struct Hidden(pub Vec<u8>);

impl Describe for Hidden {
    fn describe(&self, _: &mut Scribe<'_>) -> Value {
        json!(format!("{} bytes", self.0.len()))
    }
}

/// A link-layer address.
#[derive(Debug)]
pub struct Mac<'a>(pub &'a [u8]);

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
            Err(_) => json!(format!("{} bytes", self.len())),
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

impl Describe for Resource<Namespace> {
    fn describe(&self, scribe: &mut Scribe<'_>) -> Value {
        scribe.table.get(self).map_or_else(|_| "no such handle".into(), |namespace| namespace.space.label.into())
    }
}

/// A commit shows it, when it is done.
impl Describe for Resource<Pending> {
    fn describe(&self, _: &mut Scribe<'_>) -> Value {
        Value::Null
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
pub fn at(at: u32, cause: &types::Error, scribe: &mut Scribe<'_>) -> Value {
    let mut error = cause.describe(scribe);
    error["at"] = at.into();
    error
}

/// As results have it, in short.
impl Describe for cni::Output {
    fn describe(&self, scribe: &mut Scribe<'_>) -> Value {
        let interfaces = scribe.list(&self.interfaces, |iface, scribe| {
            json!({ "name": scribe.text(&iface.name), "mac": scribe.text(&iface.mac), "sandbox": scribe.text(&iface.sandbox) })
        });
        let ips = scribe.list(&self.ips, |ip, scribe| {
            object([("address", ip.address.describe(scribe)), ("gateway", ip.gateway.describe(scribe))])
        });
        let routes = scribe.list(&self.routes, |route, scribe| {
            object([("dst", route.dst.describe(scribe)), ("gw", route.gw.describe(scribe))])
        });
        json!({ "interfaces": interfaces, "ips": ips, "routes": routes })
    }
}

impl Describe for cni::Failure {
    fn describe(&self, scribe: &mut Scribe<'_>) -> Value {
        let (msg, details) = (scribe.text(&self.msg), scribe.text(&self.details));
        json!({ "code": self.code, "msg": msg, "details": details })
    }
}

impl Describe for cni::Attachment {
    fn describe(&self, scribe: &mut Scribe<'_>) -> Value {
        json!({ "containerID": scribe.text(&self.container_id), "ifname": scribe.text(&self.ifname) })
    }
}

#[cfg(test)]
mod tests;
