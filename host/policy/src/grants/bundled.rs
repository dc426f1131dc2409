//! The grants that a bundled plugin has by itself: its own `policy.toml`, which the build has made constants of. Read by
//! hand: every call of a plugin does it.

use wasm_cni_engine::{Bundled, Grant};

use super::table::{Filter, Namespace, Operation, PluginTable, Sysctl};

/// The table of a bundled plugin. What is not understood grants nothing; a test reads those of every bundled plugin.
#[must_use]
pub fn table(plugin: &Bundled) -> PluginTable {
    let mut table = PluginTable::default();
    for (key, grant) in plugin.grants {
        set(&mut table, key, *grant);
    }
    table
}

fn set(table: &mut PluginTable, key: &str, grant: Grant) {
    let flag = || match grant {
        Grant::Flag(flag) => Some(flag),
        Grant::Texts(_) => None,
    };
    let texts: &'static [&'static str] = match grant {
        Grant::Flag(_) => &[],
        Grant::Texts(texts) => texts,
    };
    let owned = || Some(texts.iter().map(|text| (*text).to_owned()).collect());
    let sysctls = || Some(texts.iter().map(|text| Sysctl((*text).into())).collect());
    match key {
        "namespaces" => table.namespaces = Some(texts.iter().filter_map(|text| Namespace::of(text)).collect()),
        "operations" => table.operations = Some(texts.iter().filter_map(|text| Operation::of(text)).collect()),
        "filters" => table.filters = Some(texts.iter().filter_map(|text| Filter::of(text)).collect()),
        "host-links" => table.host_links = owned(),
        "links" => table.links = owned(),
        "parent-links" => table.parent_links = owned(),
        "move-links" => table.move_links = owned(),
        "sandbox-sysctls" => table.sandbox_sysctls = sysctls(),
        "host-sysctls" => table.host_sysctls = sysctls(),
        "devices" => table.devices = flag(),
        "memo" => table.memo = flag(),
        "delegates" => table.delegates = owned(),
        "data-dirs" => table.data_dirs = Some(texts.iter().map(Into::into).collect()),
        "resolv-conf" => table.resolv_conf = owned(),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The keys of a policy, each with something in it.
    const ALL: &str = r#"
        namespaces = ["sandbox", "host"]
        operations = ["link-add", "link-set", "link-del", "addr-add", "addr-del", "route-add", "route-set", "route-del",
            "rule-add", "rule-del", "neighbour-add", "neighbour-del", "vlan-add", "vlan-del", "sysctl-set", "announce"]
        host-links = ["a"]
        links = ["b"]
        parent-links = ["c"]
        move-links = ["d"]
        sandbox-sysctls = ["net/ipv4/conf/*/arp_notify"]
        host-sysctls = ["net/ipv4/ip_forward"]
        filters = ["masquerade", "spoof-check"]
        devices = true
        memo = true
        delegates = ["e"]
        data-dirs = ["/f"]
        resolv-conf = ["g"]
    "#;

    fn leak<T>(values: Vec<T>) -> &'static [T] {
        Box::leak(values.into_boxed_slice())
    }

    #[test]
    fn a_constant_says_what_the_file_says() {
        let read: PluginTable = toml::from_str(ALL).unwrap();
        let text = |value: &toml::Value| &*Box::leak(value.as_str().unwrap().to_owned().into_boxed_str());
        let grants = ALL.parse::<toml::Table>().unwrap().into_iter().map(|(key, value)| {
            let grant = match value {
                toml::Value::Boolean(flag) => Grant::Flag(flag),
                value => Grant::Texts(leak(value.as_array().unwrap().iter().map(text).collect())),
            };
            (&*Box::leak(key.into_boxed_str()), grant)
        });
        let grants = leak(grants.collect());
        let plugin = Bundled { name: "p", digest: "", size: 0, native: &[], grants, bare_netns_errors: false };
        assert_eq!(table(&plugin), read);
        // No key is left out of this test.
        assert!(!format!("{read:?}").contains("None"), "{read:?}");
    }
}
