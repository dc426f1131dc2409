//! The JSON of a result in each version of the specification, with the keys in
//! the order in which the reference prints them.

use serde::Serialize;
use serde_json::Value;

use self::{
    current::{CurrentJson, current},
    legacy::{LegacyJson, legacy},
    versioned::{VersionedJson, listed},
};
use crate::{error::CniError, result::Success, version::Family};

mod current;
mod legacy;
mod parts;
mod versioned;

/// A result as JSON in the schema of one version.
///
/// # Errors
///
/// For a version that is not supported; 0.1.0 and 0.2.0 cannot say that there is
/// no address.
pub fn render_result(success: &Success, version: &str) -> Result<Value, CniError> {
    serde_json::to_value(&versioned(success, version)?).map_err(|e| CniError::internal(e.to_string()))
}

/// A result in the schema of one version, to be serialized.
///
/// # Errors
///
/// 0.1.0 and 0.2.0 cannot say that there is no address.
pub fn versioned<'a>(success: &'a Success, version: &'a str) -> Result<Rendered<'a>, CniError> {
    let version = if version.is_empty() { "0.1.0" } else { version };
    let json = match Family::of(version) {
        None => {
            let text = format!("no converter for CNI result version 1.1.0 to {version}");
            return Err(CniError::internal(text));
        }
        Some(Family::Legacy) => Schema::Legacy(legacy(success, version)?),
        Some(Family::Versioned) => Schema::Versioned(listed(success, version)),
        Some(Family::Current) => Schema::Current(current(success, version)),
    };
    Ok(Rendered(json))
}

#[derive(Serialize)]
#[serde(untagged)]
#[expect(clippy::large_enum_variant, reason = "there is one at a time, and most are the large one")]
enum Sorted<'a> {
    /// The newest schema's keys are.
    AsItIs(Schema<'a>),
    Anew(Value),
}

/// A result in the schema of one version, to be serialized.
#[derive(Serialize)]
#[serde(transparent)]
pub struct Rendered<'a>(Schema<'a>);

#[derive(Serialize)]
#[serde(untagged)]
enum Schema<'a> {
    Legacy(LegacyJson),
    Versioned(VersionedJson),
    Current(CurrentJson<'a>),
}

impl<'a> Rendered<'a> {
    /// The same with all keys in order, as Go writes a map.
    ///
    /// # Errors
    ///
    /// If it cannot be written as JSON.
    pub fn sorted(self) -> Result<impl Serialize + 'a, CniError> {
        if matches!(self.0, Schema::Current(_)) {
            return Ok(Sorted::AsItIs(self.0));
        }
        serde_json::to_value(&self).map(Sorted::Anew).map_err(|e| CniError::internal(e.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::result::parse;

    fn convert(json: &Value, version: &str) -> Result<Value, CniError> {
        let (success, _) = parse(json, "", None).map_err(CniError::internal)?;
        Ok(serde_json::to_value(versioned(&success, version)?).unwrap())
    }

    #[test]
    fn core_24_conversion_down_keeps_what_the_older_schema_can_say() {
        let current = json!({
            "cniVersion": "1.1.0",
            "interfaces": [{ "name": "eth0", "mtu": 1400, "socketPath": "/s", "pciID": "p" }],
            "ips": [
                { "address": "10.0.0.5/24", "gateway": "10.0.0.1" },
                { "address": "10.0.0.6/24" },
                { "address": "fd00::5/64" }
            ],
            "routes": [{ "dst": "0.0.0.0/0", "gw": "10.0.0.1", "mtu": 1, "table": 4 }]
        });
        assert_eq!(
            convert(&current, "0.4.0").unwrap(),
            json!({
                "cniVersion": "0.4.0",
                "interfaces": [{ "name": "eth0" }],
                "ips": [
                    { "version": "4", "address": "10.0.0.5/24", "gateway": "10.0.0.1" },
                    { "version": "4", "address": "10.0.0.6/24" },
                    { "version": "6", "address": "fd00::5/64" }
                ],
                "routes": [{ "dst": "0.0.0.0/0", "gw": "10.0.0.1", "mtu": 1, "table": 4 }],
                "dns": {}
            })
        );
        assert_eq!(
            convert(&current, "0.2.0").unwrap(),
            json!({
                "cniVersion": "0.2.0",
                "ip4": {
                    "ip": "10.0.0.5/24",
                    "gateway": "10.0.0.1",
                    "routes": [{ "dst": "0.0.0.0/0", "gw": "10.0.0.1" }]
                },
                "ip6": { "ip": "fd00::5/64" },
                "dns": {}
            })
        );
    }

    #[test]
    fn the_keys_of_a_cached_result_are_in_order() {
        let (interface, ip) = (
            json!({ "socketPath": "/s", "sandbox": "/n", "pciID": "p", "name": "eth0", "mtu": 1400, "mac": "0a:00:00:00:00:01" }),
            json!({ "interface": 0, "gateway": "10.0.0.1", "address": "10.0.0.5/24" }),
        );
        let route = json!({ "dst": "0.0.0.0/0", "gw": "10.0.0.1", "mtu": 1, "advmss": 2, "priority": 3, "table": 4, "scope": 5 });
        let dns = json!({ "nameservers": ["a"], "domain": "b", "search": ["c"], "options": ["d"] });
        let full =
            json!({ "cniVersion": "1.1.0", "interfaces": [interface], "ips": [ip], "routes": [route], "dns": dns });
        let (success, _) = parse(&full, "", None).unwrap();
        for version in ["0.2.0", "0.4.0", "1.0.0", "1.1.0"] {
            let in_order = render_result(&success, version).unwrap().to_string();
            assert_eq!(
                serde_json::to_string(&versioned(&success, version).unwrap().sorted().unwrap()).unwrap(),
                in_order
            );
        }
    }

    #[test]
    fn core_25_what_cannot_be_converted_says_so() {
        let empty = json!({ "cniVersion": "1.1.0" });
        assert_eq!(convert(&empty, "0.2.0").unwrap_err().msg, "cannot convert: no valid IP addresses");
        assert_eq!(convert(&empty, "1.2.0").unwrap_err().msg, "no converter for CNI result version 1.1.0 to 1.2.0");
    }

    #[test]
    fn the_current_schema_omits_what_is_empty_and_keeps_index_zero() {
        let old = json!({ "cniVersion": "0.3.1", "interfaces": [{ "name": "a" }],
            "ips": [{ "version": "4", "interface": 0, "address": "10.0.0.1/8" }], "dns": {} });
        assert_eq!(
            convert(&old, "1.0.0").unwrap(),
            json!({ "cniVersion": "1.0.0", "interfaces": [{ "name": "a" }],
                "ips": [{ "interface": 0, "address": "10.0.0.1/8" }] })
        );
    }

    #[test]
    fn a_result_of_another_family_is_refused_where_one_is_required() {
        let old = json!({ "cniVersion": "0.4.0" });
        let error = parse(&old, "1.0.0", Some(Family::Current)).unwrap_err();
        assert_eq!(error, "result type supports [1.0.0 1.1.0] but unmarshalled CNIVersion is \"0.4.0\"");
    }
}
