//! What a plugin can do, in words: an import without a grant is nothing, nor is a
//! grant without the import.

use crate::{
    host::describe::case_name,
    inspect::Interface,
    limits::Limits,
    plugin::World,
    policy::{Filter, Namespace, Operation, PluginTable, Sysctl},
};

/// Two lists of ends of the sentence "it can ...".
#[derive(Debug, Default)]
pub(crate) struct Abilities {
    pub(crate) can: Vec<String>,
    pub(crate) cannot: Vec<String>,
}

impl Abilities {
    pub(crate) fn of(world: World, grants: PluginTable, imports: &[Interface], limits: &Limits) -> Self {
        let imported = |name: &str| imports.iter().any(|import| import.name.split('@').next() == Some(name));
        let mut abilities = Self::default();
        match world {
            World::Interface => abilities.interface(&grants, &imported),
            World::Ipam => abilities.ipam(&grants, &imported),
        }
        let prints = imported("wasi:cli/stdout") || imported("wasi:cli/stderr");
        abilities.say(imported("wasm-cni:system/random") || imported("wasi:random/random"), "get random bytes");
        abilities.say(imported("wasm-cni:system/log") || prints, "write lines to the log");
        let Limits { memory, time, host_calls, .. } = limits;
        let (memory, time) = (memory >> 20, time.as_secs_f32());
        abilities
            .can
            .push(format!("use {memory} MiB of memory, {time} s and {host_calls} host calls for an operation"));
        let wasi = imports.iter().any(|import| import.name.starts_with("wasi:"));
        let never = match wasi {
            false => "see files, sockets, processes, the environment or a clock: there is no such import",
            true => {
                "see files, sockets, processes or the environment (WASI: no files, no environment, no sockets; what it \
                 prints goes to the log)"
            }
        };
        abilities.cannot.push(never.to_owned());
        abilities
    }

    fn say(&mut self, can: bool, what: impl Into<String>) {
        if can { &mut self.can } else { &mut self.cannot }.push(what.into());
    }

    fn interface(&mut self, grants: &PluginTable, imported: &dyn Fn(&str) -> bool) {
        let has = |namespace| grants.namespaces.as_ref().is_some_and(|granted| granted.contains(&namespace));
        let (sandbox, host) = (has(Namespace::Sandbox), has(Namespace::Host));
        if imported("wasm-cni:net/net") {
            self.namespaces(grants, sandbox, host);
        } else {
            self.cannot.push("see or change links, addresses, routes and sysctls".to_owned());
        }
        let filters = |filter| host && grants.filters.as_ref().is_some_and(|granted| granted.contains(&filter));
        let masquerade = imported("wasm-cni:filter/masquerade") && filters(Filter::Masquerade);
        self.say(masquerade, "have its own container's traffic masqueraded");
        let spoof_check = imported("wasm-cni:filter/spoof-check") && filters(Filter::SpoofCheck);
        self.say(spoof_check, "have the source of its own container's frames checked");
        self.cannot.push("touch other packet filters".to_owned());
        let devices = imported("wasm-cni:system/devices") && grants.devices.unwrap_or_default();
        self.say(devices, "look up in sysfs which network devices belong to which hardware");
        let delegates = grants.delegates.as_deref().unwrap_or_default();
        let delegate = imported("wasm-cni:cni/delegate") && !delegates.is_empty();
        let to = "delegate to the IPAM plugin that its configuration names";
        self.say(
            delegate,
            if delegate { format!("{to}{}", named(", one of", delegates)) } else { "delegate".to_owned() },
        );
    }

    fn namespaces(&mut self, grants: &PluginTable, sandbox: bool, host: bool) {
        let changes = match &grants.operations {
            None => "links, addresses, routes, VLANs".to_owned(),
            Some(operations) if operations.is_empty() => "nothing".to_owned(),
            Some(operations) => operations.iter().map(case_name).collect::<Vec<_>>().join(", "),
        };
        let writes = grants.operations.as_ref().is_none_or(|granted| granted.contains(&Operation::SysctlSet));
        if sandbox {
            self.can.push(format!("see the container's namespace, and change there: {changes}"));
            self.sysctls(&grants.sandbox_sysctls, writes, "container's");
        } else {
            self.cannot.push("reach the container's namespace".to_owned());
        }
        if !host {
            self.cannot.push("reach the host's namespace".to_owned());
            return;
        }
        let bridges = grants.host_links.as_deref().unwrap_or_default();
        let on = match bridges.is_empty() {
            true => String::new(),
            false => format!(" and, for ports and gateways, on bridges{}", named(" named", bridges)),
        };
        let on = format!("on links that it made{on}");
        self.can.push(format!("see the host's namespace, and change there, {on}: {changes}"));
        self.cannot.push("change other links of the host".to_owned());
        self.sysctls(&grants.host_sysctls, writes, "host's");
        let links = grants.move_links.as_deref().unwrap_or_default();
        let which = named(" named", links);
        self.say(!links.is_empty(), format!("move links{which} between host and container, and rename them for it"));
    }

    fn sysctls(&mut self, granted: &Option<Vec<Sysctl>>, writes: bool, whose: &str) {
        let keys: Vec<_> = granted.iter().flatten().map(|Sysctl(key)| &**key).collect();
        let verb = if writes { "read and write" } else { "read" };
        match keys.is_empty() {
            true => self.cannot.push(format!("read or write sysctls of the {whose} namespace")),
            false => self.can.push(format!("{verb} sysctls of the {whose} namespace: {}", keys.join(", "))),
        }
    }

    fn ipam(&mut self, grants: &PluginTable, imported: &dyn Fn(&str) -> bool) {
        let folders: Vec<_> = grants.data_dirs.iter().flatten().map(|folder| folder.display().to_string()).collect();
        let store = imported("wasm-cni:store/store") && !folders.is_empty();
        let below = match folders.iter().any(|folder| folder == "/") {
            true => String::new(),
            false => format!(", below {}", folders.join(" or ")),
        };
        let what = "keep entries of its own network in the folder of leases";
        self.say(store, if store { format!("{what} (`dataDir`{below})") } else { what.to_owned() });
        let files = grants.resolv_conf.as_deref().unwrap_or_default();
        let resolver = imported("wasm-cni:system/resolver") && !files.is_empty();
        let what = "read the file that `resolvConf` names";
        self.say(resolver, if resolver { format!("{what}{}", named(", one of", files)) } else { what.to_owned() });
        self.cannot.push("see a network namespace, or delegate".to_owned());
    }
}

/// Nothing if it is any.
fn named(how: &str, patterns: &[String]) -> String {
    if patterns.is_empty() || patterns.iter().any(|pattern| pattern == "*") {
        return String::new();
    }
    format!("{how} {}", patterns.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grants::bundled;

    fn abilities(grants: PluginTable, world: World, imports: &[&str]) -> (String, String) {
        let import = |name: &&str| Interface { name: format!("{name}@0.1.0"), functions: Vec::new(), offered: true };
        let imports: Vec<_> = imports.iter().map(import).collect();
        let Abilities { can, cannot } = Abilities::of(world, grants, &imports, &Limits::default());
        (can.join("\n"), cannot.join("\n"))
    }

    #[test]
    fn an_import_without_a_grant_is_nothing() {
        let imports = ["wasm-cni:net/net", "wasm-cni:filter/masquerade", "wasm-cni:cni/delegate"];
        let (can, cannot) = abilities(PluginTable::default(), World::Interface, &imports);
        assert!(!can.contains("namespace") && !can.contains("masqueraded") && !can.contains("delegate"), "{can}");
        assert!(cannot.contains("reach the host's namespace") && cannot.contains("masqueraded"), "{cannot}");
        let (can, cannot) = abilities(bundled("bridge"), World::Interface, &imports);
        assert!(can.contains("masqueraded") && can.contains("for ports and gateways, on bridges"), "{can}");
        assert!(can.contains("net/ipv4/ip_forward"), "{can}");
        assert!(cannot.contains("frames checked") && cannot.contains("move links"), "{cannot}");
    }

    #[test]
    fn a_grant_without_the_import_is_nothing() {
        let (can, cannot) = abilities(bundled("bridge"), World::Interface, &[]);
        assert!(!can.contains("namespace") && !can.contains("masqueraded"), "{can}");
        assert!(cannot.contains("see or change links"), "{cannot}");
    }

    #[test]
    fn an_ipam_plugin_has_its_entries_and_no_namespace() {
        let imports = ["wasm-cni:store/store", "wasm-cni:system/resolver"];
        let (can, cannot) = abilities(bundled("host-local"), World::Ipam, &imports);
        assert!(can.contains("keep entries of its own network") && can.contains("resolvConf"), "{can}");
        assert!(cannot.contains("see a network namespace") && cannot.contains("files, sockets"), "{cannot}");
    }
}
