//! VLANs of bridge ports.

use std::collections::BTreeSet;

use cni_plugin::decode::{Object, Value};
use cni_plugin::{Batch, BridgeVlan, Code, Context, Failure, LinkRef, Netns, Tables, go, link};

/// The VLAN that an untagged frame is in, where nothing else is said.
const NATIVE: u16 = 1;

/// What the configuration says about VLANs.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Vlans {
    /// The VLAN of untagged frames; 0 for none.
    pub(crate) access: u16,
    /// The VLANs of tagged frames, in order; none if the port is not a trunk.
    pub(crate) trunk: Option<Vec<u16>>,
    /// Leave the port in the bridge's default VLAN.
    pub(crate) keep_default: bool,
}

impl Vlans {
    /// From the keys of a configuration.
    pub(crate) fn read(conf: &Object<'_>) -> Self {
        let access = conf.int("vlan").unwrap_or(0);
        let id = u16::try_from(access).ok().filter(|id| *id <= 4094);
        if id.is_none() {
            conf.reject("vlan", format!("invalid VLAN ID {access} (must be between 0 and 4094)"));
        }
        Self {
            access: id.unwrap_or(0),
            trunk: conf.list("vlanTrunk", "[]*main.VlanTrunk").map(|items| trunk(&items)),
            keep_default: conf.flag("preserveDefaultVlan"),
        }
    }

    /// Whether the bridge has to look at VLANs at all.
    pub(crate) fn is_filtering(&self) -> bool {
        self.access != 0 || self.trunk.is_some()
    }

    /// Puts a port into its VLANs.
    pub(crate) fn set_up(&self, host: &Netns, port: u32, name: &str) -> Result<(), Failure> {
        if !self.is_filtering() {
            return Ok(());
        }
        let mut batch = Batch::on(host);
        if !self.keep_default {
            let words = || format!("failed to remove default vlan on interface {}", go::quoted(name));
            for vlan in vlans_of(host, port).context(words)? {
                batch.delete_vlans(vlan).context(words);
            }
        }
        for vlan in self.wanted(port) {
            let is_native = self.access == 0 && vlan.pvid;
            let which = if is_native { "default native vlan" } else { "vlan" };
            batch
                .add_vlans(vlan)
                .context(move || format!("failed to setup {which} tag on interface {}", go::quoted(name)));
        }
        batch.commit()?;
        Ok(())
    }

    /// In the reference's order: an ID that is given twice ends up as it was
    /// set last.
    fn wanted(&self, port: u32) -> Vec<BridgeVlan> {
        let vlan =
            |first, last, untagged| BridgeVlan { link: LinkRef::Index(port), first, last, pvid: untagged, untagged };
        let mut wanted = Vec::new();
        if self.access != 0 {
            wanted.push(vlan(self.access, self.access, true));
        }
        let Some(trunk) = &self.trunk else {
            return wanted;
        };
        wanted.extend(ranges(trunk).into_iter().map(|(first, last)| vlan(first, last, false)));
        if self.access == 0 {
            wanted.push(vlan(NATIVE, NATIVE, true));
        }
        wanted
    }
}

/// The IDs of `vlanTrunk`, in order, each once.
fn trunk(items: &[Value<'_>]) -> Vec<u16> {
    let mut ids = BTreeSet::new();
    for item in items {
        let Some(item) = item.object("main.VlanTrunk", "VlanTrunk") else {
            continue; // Of a wrong type: reported as that.
        };
        let id = |key: &str, number: i64| {
            let id = u16::try_from(number).ok().filter(|id| (1..=4094).contains(id));
            if id.is_none() {
                item.reject(key, format!("incorrect trunk {key} parameter"));
            }
            id
        };
        let missing = |key| {
            let text = format!("minID and maxID should be configured simultaneously, {key} is missing");
            item.reject(key, text);
        };
        match (item.int("minID"), item.int("maxID")) {
            (Some(min), Some(max)) => match (id("minID", min), id("maxID", max)) {
                (Some(min), Some(max)) if min > max => {
                    item.reject("minID", "minID is greater than maxID in trunk parameter");
                }
                (Some(min), Some(max)) => ids.extend(min..=max),
                _ => {}
            },
            (None, Some(_)) => missing("minID"),
            (Some(_), None) => missing("maxID"),
            (None, None) => {}
        }
        ids.extend(item.int("id").and_then(|number| id("id", number)));
    }
    ids.into_iter().collect()
}

fn vlans_of(host: &Netns, port: u32) -> Result<Vec<BridgeVlan>, cni_plugin::Error> {
    match link::find(host, LinkRef::Index(port), Tables::BRIDGE_VLANS) {
        Ok(found) => Ok(found.map_or_else(Vec::new, |(_, snapshot)| snapshot.bridge_vlans)),
        // Without VLAN filtering in the kernel there are none; adding will say so.
        Err(error) if error.code == Code::Unsupported => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// IDs in order as ranges: a trunk of 4094 VLANs is one message, not 4094.
fn ranges(ids: &[u16]) -> Vec<(u16, u16)> {
    let mut ranges: Vec<(u16, u16)> = Vec::new();
    for id in ids {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == *id => *last = *id,
            _ => ranges.push((*id, *id)),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;
    use cni_plugin::decode::Document;

    fn trunk_of(json: &str) -> Result<Vec<u16>, String> {
        let document = Document::parse(&format!(r#"{{"vlanTrunk":{json}}}"#)).unwrap();
        let trunk = Vlans::read(&document.root("NetConf")).trunk;
        document.accepted().map(|()| trunk.unwrap())
    }

    fn wanted(access: u16, trunk: Option<&[u16]>) -> Vec<(u16, u16, bool)> {
        let vlans = Vlans { access, trunk: trunk.map(<[u16]>::to_vec), keep_default: false };
        let wanted = vlans.wanted(7);
        wanted.iter().map(|vlan| (vlan.first, vlan.last, vlan.pvid)).collect()
    }

    #[test]
    fn a_trunk_is_a_sorted_set() {
        assert_eq!(trunk_of(r#"[{"id":9},{"minID":3,"maxID":5,"id":4},{"id":9},{},null]"#), Ok(vec![3, 4, 5, 9]));
        assert_eq!(trunk_of("[]"), Ok(vec![]));
    }

    #[test]
    fn bad_trunks_have_the_reference_s_texts() {
        for (json, text) in [
            (r#"[{"minID":0,"maxID":3}]"#, "incorrect trunk minID parameter"),
            (r#"[{"minID":1,"maxID":4095}]"#, "incorrect trunk maxID parameter"),
            (r#"[{"id":4095}]"#, "incorrect trunk id parameter"),
            (r#"[{"id":0}]"#, "incorrect trunk id parameter"),
            (r#"[{"minID":5,"maxID":3}]"#, "minID is greater than maxID in trunk parameter"),
            (r#"[{"minID":-1}]"#, "minID and maxID should be configured simultaneously, maxID is missing"),
            (r#"[{"maxID":1}]"#, "minID and maxID should be configured simultaneously, minID is missing"),
        ] {
            assert_eq!(trunk_of(json), Err(text.to_owned()), "{json}");
        }
    }

    #[test]
    fn an_access_port_is_untagged_in_its_vlan() {
        assert_eq!(wanted(100, None), [(100, 100, true)]);
        assert!(wanted(0, None).is_empty());
    }

    #[test]
    fn a_trunk_without_an_access_vlan_keeps_the_native_one() {
        assert_eq!(wanted(0, Some(&[])), [(1, 1, true)]);
        assert_eq!(wanted(0, Some(&[3, 4, 9])), [(3, 4, false), (9, 9, false), (1, 1, true)]);
        assert_eq!(wanted(5, Some(&[3])), [(5, 5, true), (3, 3, false)]);
    }
}
