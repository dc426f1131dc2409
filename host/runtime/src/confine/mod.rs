//! What the process gives up before it runs the first plugin: should a plugin
//! ever get out of its sandbox, it is in a process that can do little more than
//! the plugins' work.
//!
//! For good, and for the whole process, so only a process that serves one call
//! does it; see [`crate::Builder::own_process`]. How much
//! depends on what the call has to run beside components: nothing is kept from a
//! native plugin, which is root with everything anyway.

mod files;
mod syscalls;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use rustix::thread::{CapabilitySet, capabilities, set_capabilities, set_no_new_privs};

use wasm_cni_capabilities::{
    attempt::Attempt,
    filter::{iptables::Iptables, masquerade::by_iptables},
    grants::{requested::Requested, resolve::MEMOS},
    needs::{Needs, Processes},
    record::attached::attached,
    store, table,
    trace::Who,
    world::World,
};
use wasm_cni_spec::{command::Command, error::CniError, names::is_name};
use wasm_cni_state::boot;

use crate::{
    attachments, grants,
    host::Host,
    plugins::{Found, Plugin},
};

/// Netlink in all namespaces, entering them, ARP and neighbour announcements; and
/// the operator's folders, whoever owns them.
const CAPABILITIES: CapabilitySet = CapabilitySet::NET_ADMIN
    .union(CapabilitySet::NET_RAW)
    .union(CapabilitySet::SYS_ADMIN)
    .union(CapabilitySet::DAC_OVERRIDE);

/// Gives up what these plugins, called with these configurations, do not need.
/// They are loaded by then: their code cannot be any more.
///
/// # Errors
///
/// Why one of them cannot be found or loaded; what the kernel has, but refuses.
pub(crate) fn before_plugins<'a>(
    host: &Host,
    attempt: &Attempt,
    plugins: impl IntoIterator<Item = (Result<Found, CniError>, &'a Requested)>,
    directory: Option<PathBuf>,
    namespaces: BTreeSet<PathBuf>,
) -> Result<(), CniError> {
    static DONE: AtomicBool = AtomicBool::new(false);
    if !host.context.own_process || DONE.swap(true, Ordering::Relaxed) {
        return Ok(());
    }
    let mut needs = Needs { namespaces, ..Needs::default() };
    needs.directories.extend(directory);
    needs.directories.insert(host.context.under_root("/run/wasm-cni"));
    for (found, requested) in plugins {
        // Whoever calls what cannot be found will say so.
        if let Ok(found) = found {
            plugin(host, attempt, &mut needs, found, requested)?;
        }
    }
    records(attempt, &mut needs);
    let refused =
        |what: &str, e: &dyn std::fmt::Display| CniError::internal(format!("cannot drop privileges ({what}): {e}"));
    if needs.processes == Processes::Native {
        return Ok(());
    }
    if attempt.command == Command::Add && needs.boot_marks {
        boot::remember();
    }
    // Its path may lead through another process, which takes a privilege.
    let _ = attempt.sandbox();
    let mut sets = capabilities(None).map_err(|e| refused("capget", &e))?;
    sets.effective &= CAPABILITIES;
    sets.permitted &= CAPABILITIES;
    sets.inheritable = CapabilitySet::empty();
    set_capabilities(None, sets).map_err(|e| refused("capset", &e))?;
    set_no_new_privs(true).map_err(|e| refused("no_new_privs", &e))?;
    let made = |directory: &Path, is_store: bool| {
        attempt.undoes()
            && match is_store {
                true => store::make(attempt, directory).is_ok(),
                false => attempt.make_directory(directory).is_ok(),
            }
    };
    files::restrict(&needs, &made).map_err(|e| refused("Landlock", &e))?;
    // What else another program may call is not for us to say.
    if needs.processes == Processes::None {
        syscalls::restrict().map_err(|e| refused("seccomp", &e))?;
    }
    Ok(())
}

fn plugin(
    host: &Host,
    attempt: &Attempt,
    needs: &mut Needs,
    found: Found,
    requested: &Requested,
) -> Result<(), CniError> {
    let Found::Component(plugin) = found else {
        needs.process(Processes::Native);
        return Ok(());
    };
    let delegates = component(host, attempt, needs, &plugin, requested)?;
    for kind in delegates.into_iter().filter(|kind| *kind != plugin.name) {
        match host.find(&kind) {
            Ok(Found::Component(plugin)) => drop(component(host, attempt, needs, &plugin, requested)?),
            Ok(Found::Native(_)) => needs.process(Processes::Native),
            // Whoever delegates to it will say so.
            Err(_) => {}
        }
    }
    Ok(())
}

/// One plugin's, without its delegates, which it gives.
fn component(
    host: &Host,
    attempt: &Attempt,
    needs: &mut Needs,
    plugin: &Plugin,
    requested: &Requested,
) -> Result<Vec<String>, CniError> {
    let grants = grants::grants(host, attempt, plugin, requested)?;
    for capability in table::ALL.iter().filter(|capability| capability.worlds.contains(&plugin.world)) {
        (capability.needs)(&grants, needs);
    }
    if grants.masquerade && plugin.world == World::Interface && needs.processes == Processes::None {
        let iptables = Iptables::new(&attempt.context, &attempt.host, Who::default());
        // What costs least first.
        let used = match attempt.command {
            Command::Add | Command::Check | Command::Status => {
                requested.masquerades_by_iptables() && iptables.is_installed()
            }
            // Whatever the configuration says by now.
            _ => iptables.is_installed() && by_iptables::has_rules(&iptables),
        };
        if used {
            needs.process(Processes::Iptables);
        }
    }
    Ok(grants.delegates)
}

/// What earlier ADDs are to be taken back by.
fn records(attempt: &Attempt, needs: &mut Needs) {
    let records = match attempt.command {
        Command::Del => attempt.record_path().into_iter().collect(),
        Command::Gc => attachments::all(attempt),
        _ => Vec::new(),
    };
    for attached in records.iter().filter_map(|path| attached(path)) {
        attached.entries.iter().for_each(|entry| entry.needs(needs));
    }
    let memos = needs.memos.iter().filter(|plugin| is_name(plugin));
    needs.directories.extend(memos.map(|plugin| attempt.context.under_root(MEMOS).join(plugin)));
}

#[cfg(test)]
mod tests {
    use wasm_cni_policy::grants::bundled;

    use super::*;

    /// What the process of a call of this bundled plugin keeps.
    fn needs(kind: &str, world: World) -> Needs {
        let plugin = wasm_cni_bundled::PLUGINS.iter().find(|plugin| plugin.name == kind).unwrap();
        let grants = bundled::table(plugin).grants(kind, world, &Requested::default(), "n1");
        let mut needs = Needs::default();
        for capability in table::ALL.iter().filter(|capability| capability.worlds.contains(&world)) {
            (capability.needs)(&grants, &mut needs);
        }
        needs
    }

    #[test]
    fn a_plugin_keeps_what_its_grants_name_and_nothing_of_those_in_its_component() {
        let nothing = format!("{:?}", Needs::default());
        for kind in ["loopback", "dummy", "macvlan", "ptp", "bridge", "sbr"] {
            assert_eq!(format!("{:?}", needs(kind, World::Interface)), nothing, "{kind}");
        }
        assert!(needs("host-device", World::Interface).devices);
        assert_eq!(format!("{:?}", needs("static", World::Ipam)), nothing);
        let store = needs("host-local", World::Ipam);
        assert!(store.boot_marks && store.stores.len() == 1 && store.directories.is_empty(), "{store:?}");
    }
}
