//! The changes of a dry run, read off its trace: what is planned is what the trace of the real call shows.

use serde_json::{Map, Value};
use wasm_cni_capabilities::record::effect::Entry;

use super::{link::MADE_UP, words, world::World};

/// One change that would be made.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct PlannedStep {
    /// The plugin that makes it; empty for the host itself.
    pub plugin: String,
    /// The host function: `net.commit`, or `undo` for what the record takes back.
    pub function: String,
    /// As the trace shows it: an operation of `net.commit`, a change of `store.apply`, or the arguments of the function.
    pub change: Value,
    /// The same in words.
    pub text: String,
}

impl PlannedStep {
    pub(super) fn undo(entry: &Entry) -> Self {
        let text = format!("remove what is left of {entry}");
        Self { plugin: String::new(), function: "undo".to_owned(), change: entry.to_string().into(), text }
    }

    /// As JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        let Self { plugin, function, change, text } = self;
        serde_json::json!({ "plugin": plugin, "function": function, "change": change, "text": text })
    }
}

/// Functions that change something, and the argument that lists the changes.
const CHANGING: &[(&str, Option<&str>)] = &[
    ("net.commit", Some("ops")),
    ("store.apply", Some("changes")),
    ("masquerade.add", None),
    ("masquerade.remove", None),
    ("spoof-check.add", None),
    ("spoof-check.remove", None),
    ("memo.put", None),
    ("memo.forget", None),
];

/// The changes of the calls on a trace, as far as they came: of a list that failed, those before the one that did.
pub(super) fn of(lines: &[String], world: &World) -> Vec<PlannedStep> {
    let lines = lines.iter().filter_map(|line| serde_json::from_str::<Map<String, Value>>(line).ok());
    lines.flat_map(|line| of_line(&line, world)).collect()
}

fn of_line(line: &Map<String, Value>, world: &World) -> Vec<PlannedStep> {
    let text = |key: &str| line.get(key).and_then(Value::as_str).unwrap_or_default();
    let (plugin, function) = (text("plugin"), text("function"));
    let Some((_, list)) = CHANGING.iter().find(|(name, _)| *name == function) else { return Vec::new() };
    let failed = line.get("error").map(|error| error.get("at").and_then(Value::as_u64).unwrap_or(0));
    let arguments = line.get("arguments").cloned().unwrap_or_default();
    let changes = match list {
        Some(list) => arguments.get(*list).and_then(Value::as_array).cloned().unwrap_or_default(),
        None => vec![arguments],
    };
    let done = failed.map_or(changes.len(), |at| usize::try_from(at).unwrap_or(usize::MAX));
    let names: Vec<_> = changes.iter().map(made_name).collect();
    let step = |mut change: Value| {
        mark(&mut change);
        let mut named = change.clone();
        name(&mut named, &names);
        name_by_index(&mut named, world);
        let text = words::of(function, &named);
        PlannedStep { plugin: plugin.to_owned(), function: function.to_owned(), change, text }
    };
    changes.into_iter().take(done).map(step).collect()
}

/// The name of the link that an operation makes.
fn made_name(operation: &Value) -> Option<Value> {
    let fields = operation.as_object()?.values().find(|value| value.get("kind").is_some())?;
    fields.get("name").cloned()
}

/// Names links that other operations of the list have made.
fn name(value: &mut Value, names: &[Option<Value>]) {
    let made = value.get("made").and_then(Value::as_u64).and_then(|made| usize::try_from(made).ok());
    if let Some(Some(name)) = made.and_then(|made| names.get(made)) {
        value.clone_from(name);
        return;
    }
    match value {
        Value::Array(list) => list.iter_mut().for_each(|value| name(value, names)),
        Value::Object(object) => object.values_mut().for_each(|value| name(value, names)),
        _ => {}
    }
}

/// Names links that an operation has by their index in its namespace. A parent can be in another one.
fn name_by_index(operation: &mut Value, world: &World) {
    let Some(operation) = operation.as_object_mut() else { return };
    let ns = operation.get("ns").and_then(Value::as_str).unwrap_or_default().to_owned();
    let put = |value: &mut Value, ns: &str| {
        let index = value.as_u64().and_then(|index| u32::try_from(index).ok());
        if let Some(name) = index.and_then(|index| world.name(ns, index)) {
            *value = name.into();
        }
    };
    for value in operation.values_mut() {
        put(value, &ns);
        let Some(fields) = value.as_object_mut() else { continue };
        let parents = fields.get("parent-ns").and_then(Value::as_str).unwrap_or(&ns).to_owned();
        for (key, ns) in [("link", &ns), ("master", &ns), ("parent", &parents)] {
            if let Some(value) = fields.get_mut(key) {
                put(value, ns);
            }
        }
    }
}

/// Says of MAC addresses that were made up that the kernel chooses them.
fn mark(value: &mut Value) {
    let start = MADE_UP.map(|byte| format!("{byte:02x}")).join(":");
    match value {
        Value::String(text) if text.starts_with(&start) => "chosen by the kernel".clone_into(text),
        Value::Array(list) => list.iter_mut().for_each(mark),
        Value::Object(object) => object.values_mut().for_each(mark),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn of_a_list_that_failed_the_part_that_was_done_is_planned() {
        let ops = json!([{ "ns": "host", "link-del": "a" }, { "ns": "host", "link-del": "b" }]);
        let line =
            json!({ "plugin": "p", "function": "net.commit", "arguments": { "ops": ops }, "error": { "at": 1 } });
        let steps = of(
            &[line.to_string(), json!({ "function": "net.read" }).to_string(), "no JSON".to_owned()],
            &World::default(),
        );
        assert_eq!(steps.len(), 1);
        assert_eq!((&*steps[0].plugin, &steps[0].change["link-del"]), ("p", &json!("a")));
    }

    #[test]
    fn what_the_kernel_would_choose_is_said_to_be_so() {
        let mut change = json!({ "link-add": { "mac": "ee:ee:ee:00:00:07", "peer": ["02:ee:ee:ee:00:01"] } });
        mark(&mut change);
        let expected = json!({ "link-add": { "mac": "chosen by the kernel", "peer": ["02:ee:ee:ee:00:01"] } });
        assert_eq!(change, expected);
    }
}
