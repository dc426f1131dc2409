//! What a plugin can and cannot do: each capability of its world says so, by its imports and its grants.

use wasm_cni_capabilities::{abilities::Abilities, grants::table::PluginTable, limits::Limits, table, world::World};

/// Two lists of ends of the sentence "it can ...", and of "it cannot ...".
pub(crate) fn abilities(
    world: World,
    grants: &PluginTable,
    imports: &[&str],
    limits: &Limits,
) -> (Vec<String>, Vec<String>) {
    let is_imported = |name: &str| imports.iter().any(|import| import.split('@').next() == name.split('@').next());
    // The same by way of WASI.
    let by_wasi = |name: &str| match name.split('@').next() {
        Some("wasm-cni:system/log") => is_imported("wasi:cli/stdout") || is_imported("wasi:cli/stderr"),
        Some("wasm-cni:system/random") => is_imported("wasi:random/random"),
        _ => false,
    };
    let mut abilities = Abilities::default();
    for capability in table::ALL.iter().filter(|capability| capability.worlds.contains(&world)) {
        let name = capability.interface;
        (capability.abilities)(grants, is_imported(name) || by_wasi(name), &mut abilities);
    }
    let Abilities { mut can, mut cannot } = abilities;
    let Limits { memory, time, host_calls, .. } = limits;
    let (memory, time) = (memory >> 20, time.as_secs_f32());
    can.push(format!("use {memory} MiB of memory, {time} s and {host_calls} host calls for an operation"));
    if world == World::Ipam {
        cannot.push("see a network namespace, or delegate".to_owned());
    }
    let never = match imports.iter().any(|import| import.starts_with("wasi:")) {
        false => "see files, sockets, processes, the environment or a clock: there is no such import",
        true => {
            "see files, sockets, processes or the environment (WASI: no files, no environment, no sockets; what it prints \
             goes to the log)"
        }
    };
    cannot.push(never.to_owned());
    (can, cannot)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(grants: &PluginTable, world: World, imports: &[&str]) -> (String, String) {
        let imports: Vec<_> = imports.iter().map(|name| format!("{name}@0.1.0")).collect();
        let imports: Vec<_> = imports.iter().map(String::as_str).collect();
        let (can, cannot) = abilities(world, grants, &imports, &Limits::default());
        (can.join("\n"), cannot.join("\n"))
    }

    fn table(text: &str) -> PluginTable {
        toml::from_str(text).unwrap()
    }

    const BRIDGE: &str = "namespaces = ['sandbox', 'host']\noperations = ['link-add', 'sysctl-set']\nhost-links = ['*']
        host-sysctls = ['net/ipv4/ip_forward']\nfilters = ['masquerade', 'spoof-check']";

    #[test]
    fn an_import_without_a_grant_is_nothing() {
        let imports = ["wasm-cni:net/net", "wasm-cni:filter/masquerade", "wasm-cni:cni/delegate"];
        let (can, cannot) = said(&PluginTable::default(), World::Interface, &imports);
        assert!(!can.contains("namespace") && !can.contains("masqueraded") && !can.contains("delegate"), "{can}");
        assert!(cannot.contains("reach the host's namespace") && cannot.contains("masqueraded"), "{cannot}");
        let (can, cannot) = said(&table(BRIDGE), World::Interface, &imports);
        assert!(can.contains("masqueraded") && can.contains("for ports and gateways, on bridges"), "{can}");
        assert!(can.contains("net/ipv4/ip_forward"), "{can}");
        assert!(cannot.contains("frames checked") && cannot.contains("move links"), "{cannot}");
    }

    #[test]
    fn a_grant_without_the_import_is_nothing() {
        let (can, cannot) = said(&table(BRIDGE), World::Interface, &[]);
        assert!(!can.contains("namespace") && !can.contains("masqueraded"), "{can}");
        assert!(cannot.contains("see or change links"), "{cannot}");
    }

    #[test]
    fn an_ipam_plugin_has_its_entries_and_no_namespace() {
        let imports = ["wasm-cni:store/store", "wasm-cni:system/resolver"];
        let (can, cannot) = said(&table("data-dirs = ['/']\nresolv-conf = ['*']"), World::Ipam, &imports);
        assert!(can.contains("keep entries of its own network") && can.contains("resolvConf"), "{can}");
        assert!(cannot.contains("see a network namespace") && cannot.contains("files, sockets"), "{cannot}");
    }
}
