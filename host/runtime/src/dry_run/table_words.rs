//! Changes to routes of every kind, rules and neighbours, in words.

use serde_json::{Map, Value};

use super::phrases::{destination, link, text};

/// None for other changes.
pub(super) fn of(name: &str, fields: &Map<String, Value>, place: &str) -> Option<String> {
    Some(match name {
        "route-add" if !fields.contains_key("link") => format!("add {}{place}", route(fields)),
        "route-set" => format!("set {}{place}", route(fields)),
        "route-del" if !fields.contains_key("link") => format!("remove {}{place}", route(fields)),
        "rule-add" => format!("add {}{place}", rule(fields)),
        "rule-del" => format!("remove {}{place}", rule(fields)),
        "neighbour-add" => match fields.get("mac") {
            Some(_) => format!("set {} to {}{place}", neighbour(fields), text(fields, "mac")),
            None => format!("set {}{place}", neighbour(fields)),
        },
        "neighbour-del" => format!("remove {}{place}", neighbour(fields)),
        _ => return None,
    })
}

fn route(fields: &Map<String, Value>) -> String {
    let kind = fields.get("kind").and_then(Value::as_str).map(|kind| format!(" ({kind})")).unwrap_or_default();
    let hops = fields.get("hops").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object);
    let hops: Vec<_> = hops.map(hop).collect();
    format!("{}{kind}{}", destination(fields), hops.join(" and"))
}

fn hop(fields: &Map<String, Value>) -> String {
    let via = fields.get("gateway").and_then(Value::as_str).map(|gateway| format!(" via {gateway}"));
    let through = fields.get("link").map(|value| format!(" through {}", link(value)));
    via.into_iter().chain(through).collect()
}

fn rule(fields: &Map<String, Value>) -> String {
    let mut words = "the rule".to_owned();
    for (key, before) in [("src", "from"), ("dst", "to"), ("iif", "that enter by"), ("oif", "that leave by")] {
        if fields.contains_key(key) {
            words += &format!(" {before} {}", text(fields, key));
        }
    }
    let mark = fields.get("mark").and_then(Value::as_str).map(|mark| format!(" marked {mark}")).unwrap_or_default();
    let table = fields.get("table").and_then(Value::as_u64).unwrap_or_default();
    format!("{words}{mark}: table {table}")
}

fn neighbour(fields: &Map<String, Value>) -> String {
    let link = fields.get("link").map(link).unwrap_or_default();
    format!("neighbour {} of {link}", text(fields, "ip"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tables_in_words() {
        for (name, fields, words) in [
            (
                "route-add",
                json!({ "dst": "0.0.0.0/0", "how": "create",
                        "hops": [{ "gateway": "10.1.0.1" }, { "gateway": "10.2.0.1", "link": "eth1" }] }),
                r#"add the IPv4 default route via 10.1.0.1 and via 10.2.0.1 through "eth1" in the container"#,
            ),
            (
                "route-set",
                json!({ "dst": "10.9.0.0/16", "kind": "blackhole" }),
                "set a route to 10.9.0.0/16 (blackhole) in the container",
            ),
            (
                "rule-add",
                json!({ "family": "inet", "src": "10.1.0.2/32", "table": 100 }),
                "add the rule from 10.1.0.2/32: table 100 in the container",
            ),
            (
                "neighbour-add",
                json!({ "link": "eth0", "ip": "10.1.0.1", "mac": "02:00:00:00:00:01" }),
                r#"set neighbour 10.1.0.1 of "eth0" to 02:00:00:00:00:01 in the container"#,
            ),
        ] {
            assert_eq!(of(name, fields.as_object().unwrap(), " in the container").unwrap(), words);
        }
        let simple = json!({ "dst": "10.9.0.0/16", "link": "eth0" });
        assert_eq!(of("route-add", simple.as_object().unwrap(), ""), None);
    }
}
