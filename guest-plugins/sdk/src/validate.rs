//! Every mistake of a configuration at once, where ADD would stop at the first one.
//!
//! A plugin that reads its configuration by [`decode`](crate::decode) has [`every`] find
//! values of wrong types, values that were refused, and keys that nobody reads; one that
//! uses `serde` has [`with_serde`]. Checks that a plugin makes by itself are an iterator
//! of [`Mistake`]s: ADD takes the [`first`], `validate` all of them.

use serde_core::de::DeserializeOwned;

use crate::decode::Document;
use crate::fault::{Fault, FaultKind};
use crate::json::Json;
use crate::{Failure, Mistake};

/// The members that the specification and libcni know in the configuration of any plugin.
const SPECIFIED: [&str; 12] = [
    "cniVersion",
    "name",
    "type",
    "capabilities",
    "args",
    "runtimeConfig",
    "prevResult",
    "ipMasq",
    "ipam",
    "dns",
    "cni.dev/valid-attachments",
    "cni.dev/attachments",
];

impl Mistake {
    /// ADD would fail with `msg` on account of `key`, as `ipam.ranges[0][1].subnet`.
    pub fn new(key: impl Into<String>, msg: impl Into<String>) -> Self {
        Self { key: key.into(), msg: msg.into(), harmless: false }
    }

    /// ADD would go on regardless.
    pub fn harmless(key: impl Into<String>, msg: impl Into<String>) -> Self {
        Self { harmless: true, ..Self::new(key, msg) }
    }
}

impl From<Mistake> for Failure {
    fn from(mistake: Mistake) -> Self {
        Self::plain(mistake.msg)
    }
}

/// What ADD does with a plugin's own checks: it fails by the first mistake that is not
/// harmless.
pub fn first(mistakes: impl IntoIterator<Item = Mistake>) -> Result<(), Failure> {
    mistakes.into_iter().find(|mistake| !mistake.harmless).map_or(Ok(()), |mistake| Err(mistake.into()))
}

/// Every mistake of a configuration. `read` is what ADD decodes it by; it also gives the
/// mistakes that only show when values are put together. `prefix` is what ADD puts in
/// front of faults of decoding.
///
/// ```
/// use cni_plugin::validate;
///
/// let config = r#"{ "type": "x", "mtu": "big", "isGatway": true }"#;
/// let mistakes = validate::every(config, "failed to load netconf: ", |document| {
///     let conf = document.root("NetConf");
///     conf.int("mtu");
///     conf.flag("isGateway");
///     Vec::new()
/// });
/// assert_eq!((mistakes[0].key.as_str(), mistakes[0].harmless), ("mtu", false));
/// assert_eq!(mistakes[1].msg, "unknown key: did you mean isGateway?");
/// ```
pub fn every(config: &str, prefix: &str, read: impl FnOnce(&Document) -> Vec<Mistake>) -> Vec<Mistake> {
    let mut document = match Document::parse(config) {
        Ok(document) => document,
        Err(text) => return vec![Mistake::new("", format!("{prefix}{text}"))],
    };
    document.keys = Some(Default::default());
    let put_together = read(&document);
    let mut mistakes = faults(&document, prefix);
    mistakes.extend(put_together);
    mistakes.extend(unknown(&document));
    mistakes
}

/// The keys of a configuration that nobody reads: neither a plugin that knows `keys`,
/// exactly as written, nor the specification.
pub fn unknown_keys(config: &str, keys: &[&str]) -> Vec<Mistake> {
    match serde_json::from_str(config) {
        Ok(Json::Object(members)) => {
            let unknown = members.into_iter().map(|(key, _)| key).filter(|key| !is_any(key, keys));
            unknown.map(|key| unread(&key, &key, keys)).collect()
        }
        Ok(other) => vec![Mistake::new("", format!("the configuration is not an object but of type {}", other.kind()))],
        Err(error) => vec![Failure::from(error).into()],
    }
}

/// Every mistake of a configuration that is decoded into `T` by `serde`, which has the
/// members `keys`: each is tried alone, so none may be required (`#[serde(default)]`).
/// To be judged, a value that is out of bounds has to be an error of decoding.
pub fn with_serde<T: DeserializeOwned>(config: &str, keys: &[&str]) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    if let Ok(serde_json::Value::Object(members)) = serde_json::from_str(config) {
        for (key, value) in members.into_iter().filter(|(key, _)| keys.contains(&key.as_str())) {
            let alone = serde_json::Map::from_iter([(key.clone(), value)]);
            if let Err(error) = T::deserialize(serde_json::Value::Object(alone)) {
                mistakes.push(Mistake::new(key, Failure::from(error).msg));
            }
        }
    }
    mistakes.extend(unknown_keys(config, keys));
    mistakes
}

impl From<Failure> for Mistake {
    fn from(failure: Failure) -> Self {
        Self::new("", failure.msg)
    }
}

/// What the getters of the document have noted, in the order in which ADD would say it.
fn faults(document: &Document, prefix: &str) -> Vec<Mistake> {
    let mut mistakes: Vec<Mistake> = Vec::new();
    for Fault { kind, text, place, missing, .. } in document.faults.sorted() {
        let path = path_of(document, place);
        let key = match missing {
            Some(key) if path.is_empty() => key,
            Some(key) => format!("{path}.{key}"),
            None => path,
        };
        let prefix = if kind == FaultKind::Rejected { "" } else { prefix };
        let mistake = Mistake::new(key, format!("{prefix}{text}"));
        // What has been read twice is wrong once.
        if !mistakes.contains(&mistake) {
            mistakes.push(mistake);
        }
    }
    mistakes
}

fn path_of(document: &Document, place: *const Json) -> String {
    let mut found = String::new();
    document.root.walk(&mut String::new(), &mut |path, _, value| {
        if std::ptr::from_ref(value) == place {
            path.clone_into(&mut found);
        }
    });
    found
}

fn unknown(document: &Document) -> Vec<Mistake> {
    let Some(keys) = &document.keys else { return Vec::new() };
    let keys = keys.borrow();
    let mut mistakes = Vec::new();
    document.root.walk(&mut String::new(), &mut |path, key, value| {
        let Some(key) = key else { return };
        let known = keys.beside(value);
        let is_read = known.iter().any(|known| known.eq_ignore_ascii_case(key));
        // The rest of a member that nobody looks into is for others.
        let of_root = path == key;
        if known.is_empty() || is_read || (of_root && is_specified(key)) {
            return;
        }
        mistakes.push(unread(path, key, &known));
    });
    mistakes
}

fn is_any(key: &str, keys: &[&str]) -> bool {
    keys.contains(&key) || SPECIFIED.contains(&key)
}

fn is_specified(key: &str) -> bool {
    SPECIFIED.iter().any(|specified| specified.eq_ignore_ascii_case(key))
}

fn unread(path: &str, key: &str, known: &[&str]) -> Mistake {
    let specified = if path == key { &SPECIFIED[..] } else { &[] };
    // Nobody means a key of ours by one that is longer than any of them.
    let candidates = known.iter().chain(specified).filter(|_| key.len() <= 64);
    let distances = candidates.map(|known| (distance(key, known), *known));
    let nearest = distances.min_by_key(|(distance, _)| *distance);
    let msg = match nearest.filter(|(distance, _)| *distance <= (key.len() / 3).max(1)) {
        Some((_, nearest)) => format!("unknown key: did you mean {nearest}?"),
        None => "unknown key".to_owned(),
    };
    Mistake::harmless(path, msg)
}

/// How many letters have to be added, removed, replaced or swapped with the next one,
/// whatever their case (optimal string alignment).
fn distance(one: &str, other: &str) -> usize {
    let [one, other] = [one, other].map(|text| text.to_ascii_lowercase().into_bytes());
    let mut rows = vec![(0..=other.len()).collect::<Vec<_>>()];
    for i in 1..=one.len() {
        let mut row = vec![i];
        for j in 1..=other.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(one[i - 1] != other[j - 1]);
            let mut least = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && one[i - 1] == other[j - 2] && one[i - 2] == other[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[one.len()][other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(mistakes: Vec<Mistake>) -> Vec<String> {
        let line =
            |Mistake { key, msg, harmless }| format!("{key}: {msg}{}", if harmless { " (harmless)" } else { "" });
        mistakes.into_iter().map(line).collect()
    }

    fn found(config: &str) -> Vec<String> {
        lines(every(config, "failed: ", |document| {
            let conf = document.root("NetConf");
            conf.int("mtu");
            conf.flag("isGateway");
            conf.object("ipam", "types.IPAM", "IPAM").map(|ipam| ipam.shared().text("type"));
            for (at, range) in conf.list("ranges", "[]Range").unwrap_or_default().iter().enumerate() {
                let Some(range) = range.object("Range", "Range") else { continue };
                if range.parsed("subnet", "string", crate::ip::parse_cidr).is_none() && range.is_absent("subnet") {
                    range.reject("subnet", format!("range {at} lacks a subnet"));
                }
            }
            Vec::new()
        }))
    }

    #[test]
    fn every_mistake_is_found_with_its_path() {
        let config = r#"{"type":"x","ranges":[{"subnet":"10.0.0.0/33"},{},{"subnets":3}],"MTU":"x","isgatway":true,
            "ipam":{"type":3,"subnet":"of the IPAM plugin"},"args":{"what":"ever"},"x y":1}"#;
        let json = "failed: json: cannot unmarshal";
        assert_eq!(
            found(config),
            [
                "ranges[0].subnet: failed: invalid CIDR address: 10.0.0.0/33".to_owned(),
                format!("MTU: {json} string into Go struct field NetConf.mtu of type int"),
                format!("ipam.type: {json} number into Go struct field IPAM.ipam.type of type string"),
                "ranges[1].subnet: range 1 lacks a subnet".to_owned(),
                "ranges[2].subnet: range 2 lacks a subnet".to_owned(),
                "ranges[2].subnets: unknown key: did you mean subnet? (harmless)".to_owned(),
                "isgatway: unknown key: did you mean isGateway? (harmless)".to_owned(),
                "x y: unknown key (harmless)".to_owned(),
            ]
        );
    }

    #[test]
    fn what_is_not_json_is_one_mistake() {
        assert!(found("{")[0].starts_with(": failed: EOF while parsing"));
        assert_eq!(found("3"), [": failed: json: cannot unmarshal number into Go value of type NetConf"]);
    }

    #[test]
    fn a_mistake_in_one_of_two_objects_under_one_key_is_found_there() {
        assert_eq!(
            found(r#"{"ipam":{"type":"x"},"IPAM":{"type":3}}"#),
            ["IPAM.type: failed: json: cannot unmarshal number into Go struct field IPAM.ipam.type of type string"]
        );
    }

    #[test]
    fn a_serde_configuration_has_each_member_judged() {
        #[derive(Debug)]
        struct Config;
        impl<'de> serde_core::Deserialize<'de> for Config {
            fn deserialize<D: serde_core::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let members = std::collections::BTreeMap::<String, u32>::deserialize(deserializer)?;
                members.into_iter().next().map_or(Ok(Self), |_| Ok(Self))
            }
        }
        let config = r#"{"type":"x","mtu":"big","ttl":-1,"tos":7,"Mtu":1}"#;
        let decode = "cannot decode the configuration: invalid";
        assert_eq!(
            lines(with_serde::<Config>(config, &["mtu", "ttl", "tos"])),
            [
                format!("mtu: {decode} type: string \"big\", expected u32"),
                format!("ttl: {decode} value: integer `-1`, expected u32"),
                "Mtu: unknown key: did you mean mtu? (harmless)".to_owned(),
            ]
        );
        assert_eq!(lines(unknown_keys("[]", &[])), [": the configuration is not an object but of type array"]);
    }

    #[test]
    fn add_fails_by_the_first_that_matters() {
        assert_eq!(first([Mistake::harmless("a", "a")]), Ok(()));
        let mistakes = [Mistake::harmless("a", "a"), Mistake::new("b", "b"), Mistake::new("c", "c")];
        assert_eq!(first(mistakes).unwrap_err().msg, "b");
    }

    #[test]
    fn distances_count_edits() {
        for (one, other, expected) in [("isGatway", "isGateway", 1), ("mtu", "MTU", 0), ("", "ab", 2), ("ab", "ba", 1)]
        {
            assert_eq!(distance(one, other), expected, "{one} {other}");
        }
    }
}
