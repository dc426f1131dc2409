//! What a plugin can do in the namespaces that it is lent, in words.

use crate::{
    abilities::{Abilities, named},
    grants::table::{Namespace, Operation, PluginTable, Sysctl},
};

/// See [`crate::capability::Capability::abilities`].
pub(super) fn abilities(grants: &PluginTable, imported: bool, abilities: &mut Abilities) {
    if !imported {
        abilities.say(false, "see or change links, addresses, routes and sysctls");
        return;
    }
    let has = |namespace| grants.namespaces.as_ref().is_some_and(|granted| granted.contains(&namespace));
    namespaces(abilities, grants, has(Namespace::Sandbox), has(Namespace::Host));
}

fn namespaces(abilities: &mut Abilities, grants: &PluginTable, sandbox: bool, host: bool) {
    let operations = grants.operations.as_deref().unwrap_or_default();
    let changes = match operations.is_empty() {
        true => "nothing".to_owned(),
        false => operations.iter().map(|operation| operation.name()).collect::<Vec<_>>().join(", "),
    };
    let writes = operations.contains(&Operation::SysctlSet);
    if sandbox {
        abilities.can.push(format!("see the container's namespace, and change there: {changes}"));
        sysctls(abilities, &grants.sandbox_sysctls, writes, "container's");
    } else {
        abilities.cannot.push("reach the container's namespace".to_owned());
    }
    if !host {
        abilities.cannot.push("reach the host's namespace".to_owned());
        return;
    }
    let bridges = grants.host_links.as_deref().unwrap_or_default();
    let on = match bridges.is_empty() {
        true => String::new(),
        false => format!(" and, for ports and gateways, on bridges{}", named(" named", bridges)),
    };
    let on = format!("on links that it made{on}");
    abilities.can.push(format!("see the host's namespace, and change there, {on}: {changes}"));
    abilities.cannot.push("change other links of the host".to_owned());
    sysctls(abilities, &grants.host_sysctls, writes, "host's");
    let links = grants.move_links.as_deref().unwrap_or_default();
    let which = named(" named", links);
    abilities.say(!links.is_empty(), format!("move links{which} between host and container, and rename them for it"));
}

fn sysctls(abilities: &mut Abilities, granted: &Option<Vec<Sysctl>>, writes: bool, whose: &str) {
    let keys: Vec<_> = granted.iter().flatten().map(|Sysctl(key)| &**key).collect();
    let verb = if writes { "read and write" } else { "read" };
    match keys.is_empty() {
        true => abilities.cannot.push(format!("read or write sysctls of the {whose} namespace")),
        false => abilities.can.push(format!("{verb} sysctls of the {whose} namespace: {}", keys.join(", "))),
    }
}
