//! Of the other interfaces: entries, results, attachments.

use serde_json::{Value, json};

use super::{Describe, Scribe, at, case, object};
use crate::{
    bindings::{devices, log, masquerade, store},
    wire,
};

impl Describe for store::Entry {
    fn describe(&self, scribe: &mut Scribe<'_>) -> Value {
        json!({ "key": scribe.text(&self.key), "value": self.value.describe(scribe) })
    }
}

impl Describe for store::Change {
    fn describe(&self, scribe: &mut Scribe<'_>) -> Value {
        match self {
            Self::Put(entry) => json!({ "put": entry.describe(scribe) }),
            Self::Create(entry) => json!({ "create": entry.describe(scribe) }),
            Self::Delete(key) => json!({ "delete": scribe.text(key) }),
        }
    }
}

impl Describe for store::ChangeError {
    fn describe(&self, scribe: &mut Scribe<'_>) -> Value {
        at(self.at, &self.cause, scribe)
    }
}

/// As results have it, in short.
impl Describe for wire::Output {
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

impl Describe for wire::Failure {
    fn describe(&self, scribe: &mut Scribe<'_>) -> Value {
        let (msg, details) = (scribe.text(&self.msg), scribe.text(&self.details));
        json!({ "code": self.code, "msg": msg, "details": details })
    }
}

impl Describe for wire::Attachment {
    fn describe(&self, scribe: &mut Scribe<'_>) -> Value {
        json!({ "containerID": scribe.text(&self.container_id), "ifname": scribe.text(&self.ifname) })
    }
}

impl Describe for masquerade::Backend {
    fn describe(&self, _: &mut Scribe<'_>) -> Value {
        case(self)
    }
}

impl Describe for devices::Bus {
    fn describe(&self, _: &mut Scribe<'_>) -> Value {
        case(self)
    }
}

impl Describe for log::Level {
    fn describe(&self, _: &mut Scribe<'_>) -> Value {
        case(self)
    }
}
