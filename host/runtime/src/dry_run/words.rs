//! Changes in words.

use serde_json::{Map, Value};

use super::{
    phrases::{destination, link, plain, text},
    table_words,
};

/// One change, as the trace shows it, in words.
pub(super) fn of(function: &str, change: &Value) -> String {
    let nothing = Map::new();
    let object = change.as_object().unwrap_or(&nothing);
    match function {
        "net.commit" => operation(object),
        "store.apply" => entry(object),
        "masquerade.add" => format!("masquerade traffic from {}", list(object.get("addresses"))),
        "masquerade.remove" => "remove the masquerade rules".to_owned(),
        "spoof-check.add" => {
            format!("drop frames on port {} that do not come from {}", text(object, "port"), text(object, "mac"))
        }
        "spoof-check.remove" => "remove the spoof check".to_owned(),
        "memo.put" => "keep a value for the attachment".to_owned(),
        "memo.forget" => "forget the value that was kept for the attachment".to_owned(),
        other => format!("{other} {change}"),
    }
}

fn operation(object: &Map<String, Value>) -> String {
    let place = match object.get("ns").and_then(Value::as_str) {
        Some("host") => " on the host".to_owned(),
        Some("sandbox") => " in the container".to_owned(),
        _ => String::new(),
    };
    let known = |key: &&String| !["ns", "tolerate"].contains(&key.as_str());
    let Some(name) = object.keys().find(known) else { return "nothing".to_owned() };
    let value = &object[name];
    let nothing = Map::new();
    let fields = value.as_object().unwrap_or(&nothing);
    let link = || link(fields.get("link").unwrap_or(value));
    if let Some(words) = table_words::of(name, fields, &place) {
        return words;
    }
    match name.as_str() {
        "link-set" => format!("set {}{place}: {}", link(), attributes(fields)),
        "link-del" => format!("delete {}{place}", link()),
        "addr-add" => format!("add address {} to {}{place}", text(fields, "ip"), link()),
        "addr-del" => format!("remove address {} from {}{place}", text(fields, "ip"), link()),
        "route-add" => format!("add {} through {}{place}", route(fields), link()),
        "route-del" => format!("remove {} through {}{place}", route(fields), link()),
        "vlan-add" => format!("add {} to {}{place}", vlans(fields), link()),
        "vlan-del" => format!("remove {} from {}{place}", vlans(fields), link()),
        "sysctl-set" => format!("set sysctl {} to {}{place}", text(fields, "key"), text(fields, "value")),
        "announce" => format!("announce the addresses of {}{place}", link()),
        add if add.ends_with("-add") && fields.contains_key("kind") => created(fields, &place),
        other => format!("{other} {value}{place}"),
    }
}

/// A link that is made.
fn created(fields: &Map<String, Value>, place: &str) -> String {
    let mut words = format!("create {} {:?}{place}", text(fields, "kind"), text(fields, "name"));
    if let Some(peer) = fields.get("peer").and_then(Value::as_object) {
        words += &format!(", with its other end {:?}", text(peer, "name"));
        words += match text(peer, "ns").as_str() {
            "sandbox" => " in the container",
            "host" => " on the host",
            _ => "",
        };
    }
    if let Some(parent) = fields.get("parent") {
        words += &format!(", on {}", link(parent));
    }
    let is_on = |value: &Value| *value != Value::Bool(false);
    let fields =
        fields.iter().filter(|(_, value)| is_on(value)).map(|(key, value)| (key.clone(), value.clone())).collect();
    let more = attributes(&fields);
    if more.is_empty() { words } else { format!("{words}, with {more}") }
}

/// `mtu 1500, up`, of those that are attributes.
fn attributes(fields: &Map<String, Value>) -> String {
    let structure = ["name", "kind", "peer", "parent", "parent-ns", "link"];
    let attributes = fields.iter().filter(|(key, _)| !structure.contains(&key.as_str()));
    let words = attributes.map(|(key, value)| match (key.as_str(), value) {
        (key, Value::Bool(true)) => key.to_owned(),
        (key, Value::Bool(false)) => format!("not {key}"),
        ("master", Value::Null) => "no master".to_owned(),
        ("master", value) => format!("master {}", link(value)),
        (key, value) => format!("{key} {}", plain(value)),
    });
    words.collect::<Vec<_>>().join(", ")
}

fn route(fields: &Map<String, Value>) -> String {
    let dst = destination(fields);
    match fields.get("gateway") {
        Some(gateway) => format!("{dst} via {}", plain(gateway)),
        None => dst,
    }
}

fn vlans(fields: &Map<String, Value>) -> String {
    match (text(fields, "first"), text(fields, "last")) {
        (first, last) if first == last => format!("VLAN {first}"),
        (first, last) => format!("VLANs {first} to {last}"),
    }
}

fn entry(object: &Map<String, Value>) -> String {
    if let Some(entry) = object.get("create").and_then(Value::as_object) {
        return format!("lease {}", text(entry, "key"));
    }
    if let Some(entry) = object.get("put").and_then(Value::as_object) {
        return format!("write entry {}", text(entry, "key"));
    }
    format!("release {}", text(object, "delete"))
}

fn list(value: Option<&Value>) -> String {
    let texts = value.and_then(Value::as_array).into_iter().flatten().map(plain);
    texts.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::of;

    #[test]
    fn changes_read_as_an_operator_would_say_them() {
        let link = json!({ "name": "veth1", "kind": "veth", "up": true, "master": "cni0",
            "peer": { "name": "eth0", "ns": "sandbox" } });
        for (function, change, words) in [
            (
                "net.commit",
                json!({ "ns": "host", "link-add": link }),
                "create veth \"veth1\" on the host, with its other end \"eth0\" in the container, with master \"cni0\", up",
            ),
            (
                "net.commit",
                json!({ "ns": "sandbox", "addr-add": { "link": "eth0", "ip": "10.1.0.2/24" } }),
                "add address 10.1.0.2/24 to \"eth0\" in the container",
            ),
            (
                "net.commit",
                json!({ "ns": "sandbox", "route-add": { "link": 2, "dst": "0.0.0.0/0", "gateway": "10.1.0.1" } }),
                "add the IPv4 default route via 10.1.0.1 through link 2 in the container",
            ),
            ("net.commit", json!({ "ns": "host", "link-del": "veth1" }), "delete \"veth1\" on the host"),
            ("store.apply", json!({ "create": { "key": "10.1.0.2", "value": "c1" } }), "lease 10.1.0.2"),
            ("masquerade.add", json!({ "addresses": ["10.1.0.2/24"] }), "masquerade traffic from 10.1.0.2/24"),
        ] {
            assert_eq!(of(function, &change), words);
        }
    }
}
