//! What the plugins of an operation, and taking effects back, will need of the system. The process gives up everything
//! else before the first plugin runs.

use std::{collections::BTreeSet, path::PathBuf};

/// What an operation needs beyond netlink.
#[derive(Debug, Default)]
pub struct Needs {
    /// Programs that will be executed.
    pub processes: Processes,
    /// Directories to write in: what of them is not there is made for an ADD, and is not needed by anything else.
    pub directories: BTreeSet<PathBuf>,
    /// Such directories of an IPAM plugin's entries.
    pub stores: BTreeSet<PathBuf>,
    /// Plugins whose memos are to be taken back, by their types.
    pub memos: BTreeSet<String>,
    /// Files to read.
    pub files: BTreeSet<PathBuf>,
    /// Directories of namespaces that are yet to be opened.
    pub namespaces: BTreeSet<PathBuf>,
    /// Entries are written that bear a mark of this boot.
    pub boot_marks: bool,
    /// sysfs.
    pub devices: bool,
}

/// What will be executed; the later, the more has to be left to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Processes {
    /// Nothing.
    #[default]
    None,
    /// iptables(8).
    Iptables,
    /// Native plugins.
    Native,
}

impl Needs {
    /// These processes too.
    pub fn process(&mut self, processes: Processes) {
        self.processes = self.processes.max(processes);
    }
}
