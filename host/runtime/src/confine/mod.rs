//! What the process gives up before it runs the first plugin: should a plugin
//! ever get out of its sandbox, it is in a process that can do little more than
//! the plugins' work.
//!
//! For good, and for the whole process, so only a process that serves one call
//! does it; see [`Builder::own_process`](crate::Builder::own_process). How much
//! depends on what the call has to run beside components: nothing is kept from a
//! native plugin, which is root with everything anyway.

mod files;
mod syscalls;

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
};

use rustix::thread::{CapabilitySet, capabilities, set_capabilities, set_no_new_privs};

use crate::{
    attempt::Attempt,
    boot,
    error::CniError,
    grants::Asked,
    host::filter::iptables::Iptables,
    instance, journal,
    plugin::{Command, Found, Plugin, World},
    records,
    trace::Who,
    undo::Undo,
};

/// Netlink in all namespaces, entering them, ARP and neighbour announcements; and
/// the operator's folders, whoever owns them.
const CAPABILITIES: CapabilitySet = CapabilitySet::NET_ADMIN
    .union(CapabilitySet::NET_RAW)
    .union(CapabilitySet::SYS_ADMIN)
    .union(CapabilitySet::DAC_OVERRIDE);

/// What the plugins of an operation will need of the system.
#[derive(Debug, Default)]
struct Needs {
    processes: Processes,
    /// Folders to write in, there or yet to be made.
    folders: BTreeSet<PathBuf>,
    /// Files to read.
    files: BTreeSet<PathBuf>,
    /// Folders of namespaces that are yet to be opened.
    namespaces: BTreeSet<PathBuf>,
    /// Entries that bear a mark of this boot.
    stores: bool,
    /// sysfs.
    devices: bool,
}

/// What will be executed; the later, the more has to be left to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Processes {
    #[default]
    None,
    Iptables,
    Native,
}

/// Gives up what these plugins, called with these configurations, do not need.
/// They are loaded by then: their code cannot be any more.
///
/// # Errors
///
/// Why one of them cannot be found or loaded; what the kernel has, but refuses.
pub(crate) fn before_plugins<'a>(
    attempt: &Attempt,
    plugins: impl IntoIterator<Item = (Found, &'a Asked)>,
    folder: Option<PathBuf>,
    namespaces: BTreeSet<PathBuf>,
) -> Result<(), CniError> {
    static DONE: AtomicBool = AtomicBool::new(false);
    if !attempt.runtime.own_process || DONE.swap(true, Ordering::Relaxed) {
        return Ok(());
    }
    let mut needs = Needs { namespaces, ..Needs::default() };
    needs.folders.extend(folder);
    needs.folders.insert(attempt.runtime.under_root("/run/wasm-cni"));
    for (found, asked) in plugins {
        needs.plugin(attempt, found, asked)?;
    }
    needs.records(attempt);
    let refused = |what: &str, e: &dyn std::fmt::Display| {
        CniError::internal(format!("cannot give up what running plugins does not need: {what}: {e}"))
    };
    if needs.processes == Processes::Native {
        return Ok(());
    }
    if attempt.command == Command::Add && needs.stores {
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
    files::restrict(&needs).map_err(|e| refused("Landlock", &e))?;
    // What else another program may call is not for us to say.
    if needs.processes == Processes::None {
        syscalls::restrict().map_err(|e| refused("seccomp", &e))?;
    }
    Ok(())
}

impl Needs {
    fn plugin(&mut self, attempt: &Attempt, found: Found, asked: &Asked) -> Result<(), CniError> {
        let Found::Component(plugin) = found else {
            self.processes = Processes::Native;
            return Ok(());
        };
        let delegates = self.component(attempt, &plugin, asked)?;
        for kind in delegates.into_iter().filter(|kind| *kind != plugin.name) {
            match attempt.runtime.find(&kind) {
                Ok(Found::Component(plugin)) => drop(self.component(attempt, &plugin, asked)?),
                Ok(Found::Native(_)) => self.processes = Processes::Native,
                // Whoever delegates to it will say so.
                Err(_) => {}
            }
        }
        Ok(())
    }

    /// One plugin's, without its delegates, which it gives.
    fn component(&mut self, attempt: &Attempt, plugin: &Plugin, asked: &Asked) -> Result<Vec<String>, CniError> {
        let grants = instance::grants(attempt, plugin, asked)?;
        self.devices |= grants.devices;
        self.stores |= grants.store.is_some();
        self.folders.extend(grants.store);
        self.files.extend(grants.resolver);
        if grants.masquerade && plugin.world == World::Interface && self.processes == Processes::None {
            let iptables = Iptables::new(&attempt.runtime, &attempt.host, Who::default());
            // What costs least first.
            let used = match attempt.command {
                Command::Add | Command::Check | Command::Status => {
                    asked.masquerades_by_iptables() && iptables.is_installed()
                }
                // Whatever the configuration says by now.
                _ => iptables.is_installed() && iptables.has_rules(),
            };
            if used {
                self.processes = Processes::Iptables;
            }
        }
        Ok(grants.delegates)
    }

    /// What earlier ADDs are to be taken back by.
    fn records(&mut self, attempt: &Attempt) {
        let is_native = |undo: &Undo| matches!(undo, Undo::Delegated { .. });
        let folders = |undo: &Undo| match undo {
            Undo::EntryCreated { folder, .. } | Undo::EntriesFolder { folder, .. } => Some(folder.clone()),
            _ => None,
        };
        let records = match attempt.command {
            Command::Del => vec![records::path(attempt)],
            Command::Gc => records::all(attempt),
            _ => Vec::new(),
        };
        for attached in records.iter().filter_map(|path| journal::attached(path)) {
            if attached.entries.iter().any(is_native) {
                self.processes = Processes::Native;
            }
            self.folders.extend(attached.entries.iter().filter_map(folders));
        }
    }
}
