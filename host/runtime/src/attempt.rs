//! One operation on one attachment: what its plugins share, and the record of
//! their effects.

use std::{
    fs::File,
    io,
    os::fd::AsFd as _,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use nix::fcntl::{Flock, FlockArg};
use wasm_cni_kernel::{Netns, OpenError};

use crate::{
    directory::lock_file,
    error::{CniError, code},
    faults,
    host::{
        filter::Owner,
        space::{HOST, SANDBOX, Space},
    },
    journal::{self, Heading, Journal},
    known::Known,
    limits::Deadline,
    plugin::{Command, Inner, LogLine},
    records, recover,
    trace::Who,
    undo::{self, Scene, Undo},
};

/// Longest that an ADD waits for others' tidying up.
const TIDYING: Duration = Duration::from_secs(1);

/// Shared by every instance that takes part in the operation.
pub(crate) struct Attempt {
    pub(crate) runtime: Arc<Inner>,
    pub(crate) command: Command,
    pub(crate) network: String,
    pub(crate) container_id: String,
    pub(crate) ifname: String,
    /// CNI_NETNS as the caller wrote it.
    pub(crate) netns: String,
    /// CNI_ARGS as the caller wrote it.
    pub(crate) args: String,
    /// Opened when the first component needs it; none if it is gone.
    sandbox: OnceLock<Option<Arc<Space>>>,
    /// May the container be in the host's namespace?
    own_netns: bool,
    pub(crate) host: Arc<Space>,
    /// The plugin that was called by its name; none for a list of them.
    pub(crate) plugin: Option<String>,
    pub(crate) deadline: Deadline,
    journal: Mutex<Journal>,
    known: Mutex<Known>,
    /// Held while attaching, so that nobody takes a bridge for unused meanwhile.
    attaching: Mutex<Option<Flock<File>>>,
}

/// What an [`Attempt`] is about.
pub(crate) struct Subject {
    pub(crate) network: String,
    pub(crate) container_id: String,
    pub(crate) ifname: String,
    pub(crate) netns: String,
    pub(crate) args: String,
    /// May the container be in the host's namespace?
    pub(crate) own_netns: bool,
    /// The plugin that was called by its name; none for a list of them.
    pub(crate) plugin: Option<String>,
    pub(crate) host: Netns,
}

impl Attempt {
    pub(crate) fn new(runtime: Arc<Inner>, command: Command, subject: Subject, deadline: Deadline) -> Arc<Self> {
        let host = Arc::new(Space::new(HOST, subject.host));
        if matches!(command, Command::Add | Command::Del | Command::Gc) {
            recover::recover(&runtime, &host);
        }
        let attaching = match command {
            Command::Add => lock_namespace(&host.netns, FlockArg::LockSharedNonblock, &Deadline::after(TIDYING)),
            _ => None,
        };
        Arc::new(Self {
            runtime,
            command,
            network: subject.network,
            container_id: subject.container_id,
            ifname: subject.ifname,
            netns: subject.netns,
            args: subject.args,
            sandbox: OnceLock::new(),
            own_netns: subject.own_netns,
            plugin: subject.plugin,
            host,
            deadline,
            journal: Mutex::default(),
            known: Mutex::default(),
            attaching: Mutex::new(attaching),
        })
    }

    /// The container's namespace; none for a DEL whose namespace is gone.
    ///
    /// # Errors
    ///
    /// The reference's texts. A container may not be in the host's namespace,
    /// unless the caller allows it.
    pub(crate) fn sandbox(&self) -> Result<Option<Arc<Space>>, CniError> {
        if let Some(sandbox) = self.sandbox.get() {
            return Ok(sandbox.clone());
        }
        let sandbox = self.open_sandbox()?;
        Ok(self.sandbox.get_or_init(|| sandbox).clone())
    }

    /// The container's namespace, opened by the caller.
    ///
    /// # Errors
    ///
    /// If it is the host's, and may not be.
    pub(crate) fn lend(&self, netns: Netns) -> Result<(), CniError> {
        let sandbox = self.as_sandbox(netns)?;
        self.sandbox.get_or_init(|| Some(sandbox));
        Ok(())
    }

    fn as_sandbox(&self, netns: Netns) -> Result<Arc<Space>, CniError> {
        if !self.own_netns && netns.is_same(&self.host.netns) {
            let text = "plugin's netns and netns from CNI_NETNS should not be the same";
            return Err(CniError::new(code::NETNS, text));
        }
        Ok(Arc::new(Space::new(SANDBOX, netns)))
    }

    fn open_sandbox(&self) -> Result<Option<Arc<Space>>, CniError> {
        let path = &self.netns;
        if path.is_empty() && self.command == Command::Del {
            return Ok(None);
        }
        match Netns::open(Path::new(path)) {
            Ok(netns) => self.as_sandbox(netns).map(Some),
            Err(OpenError::Missing { .. }) if self.command == Command::Del => Ok(None),
            Err(e) => Err(CniError::internal(e.to_string())),
        }
    }

    /// Is what it does taken back when it fails? What a DEL did is wanted.
    pub(crate) fn undoes(&self) -> bool {
        matches!(self.command, Command::Add)
    }

    /// Notes what is about to be done, so that it can be taken back, by this
    /// process or, should it be killed, by another.
    ///
    /// # Errors
    ///
    /// If it could not be noted: then it must not be done.
    pub(crate) fn note(&self, undo: Undo) -> io::Result<Note> {
        if !self.undoes() {
            return Ok(Note(None));
        }
        let sandbox = self.sandbox.get().and_then(Option::as_ref).map(|space| space.netns.id());
        let heading = || Heading {
            version: Heading::VERSION,
            network: self.network.clone(),
            container_id: self.container_id.clone(),
            ifname: self.ifname.clone(),
            netns: self.netns.clone(),
            host: self.host.netns.id(),
        };
        let folder = journal::folder(&self.runtime);
        self.journal().note(&folder, heading, sandbox, undo).map(|number| Note(Some(number)))
    }

    /// Counts an effect that goes with another, which is on the record.
    ///
    /// # Errors
    ///
    /// `EDQUOT` if there are too many.
    pub(crate) fn count(&self) -> io::Result<Note> {
        if self.undoes() {
            self.journal().count()?;
        }
        Ok(Note(None))
    }

    /// It was not done after all.
    pub(crate) fn strike(&self, note: Note) {
        if let Some(number) = note.0 {
            self.journal().strike(number);
        }
    }

    /// The link that it was about has been made, with this index.
    pub(crate) fn has_made(&self, note: Note, link: u32) {
        if let Some(number) = note.0 {
            self.journal().has_made(number, link);
        }
    }

    /// Whose doing it is, of this plugin's call.
    pub(crate) fn who<'a>(&'a self, plugin: &'a str, depth: u32) -> Who<'a> {
        let Self { container_id, ifname, network, .. } = self;
        Who { container_id, ifname, network, plugin, depth }
    }

    /// Tells the operator.
    pub(crate) fn warn(&self, plugin: &str, message: &str) {
        let Self { container_id, network, .. } = self;
        (self.runtime.log)(&LogLine { level: "warn", plugin, network, container_id, message });
    }

    /// What it has learned. Not to be held while something is asked of it again.
    pub(crate) fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().expect("no panic with the lock held")
    }

    fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().expect("no panic with the lock held")
    }

    fn scene(&self) -> Scene {
        let sandbox = self.sandbox.get().cloned().flatten();
        Scene { host: Arc::clone(&self.host), sandbox, runtime: Arc::clone(&self.runtime), owner: Owner::of(self) }
    }

    /// Ends it: everything that was done is taken back. What could not be is
    /// named.
    pub(crate) fn roll_back(self: Arc<Self>) -> Vec<String> {
        let mut journal = std::mem::take(&mut *self.journal());
        let scene = self.scene();
        // Others' roll-backs wait for it, and this one too.
        drop(self.attaching.lock().unwrap_or_else(PoisonError::into_inner).take());
        let failures = undo::undo(journal.entries(), &scene);
        // What is left is for `recover` to try again.
        if failures.is_empty() {
            journal.vanish();
        } else {
            journal.leave()
        }
        failures
    }

    /// Ends it: everything that was done stays; with `provisional`, as long as
    /// the footprint and this process do.
    pub(crate) fn keep(self: Arc<Self>, provisional: bool) -> Footprint {
        let _ = faults::at_host_call();
        let mut journal = std::mem::take(&mut *self.journal());
        let entries = if provisional { journal.all() } else { journal.keep(&records::path(&self)) };
        Footprint { entries, scene: self.scene(), journal: Mutex::new(journal) }
    }
}

/// The number of a note, if it was made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Note(Option<usize>);

/// What an ADD did, for [`crate::Runtime::tidy`].
#[derive(Debug)]
pub struct Footprint {
    pub(crate) entries: Vec<Undo>,
    pub(crate) scene: Scene,
    /// Open for as long as it is provisional.
    journal: Mutex<Journal>,
}

impl Footprint {
    /// Its attachment has been detached: there is nothing to take back any more.
    pub(crate) fn settle(&self) {
        self.journal.lock().expect("no panic with the lock held").close();
    }
}

/// Exclusive: no ADD is under way in this namespace.
pub(crate) fn lock_exclusive(netns: &Netns, deadline: &Deadline) -> Option<Flock<File>> {
    lock_namespace(netns, FlockArg::LockExclusiveNonblock, deadline)
}

/// The lock is on the namespace itself, which all processes that work in it
/// have in common, so there is no lock file to leave behind. If it is not to be
/// had, ADDs go on without: only tidying up afterwards depends on it.
fn lock_namespace(netns: &Netns, how: FlockArg, deadline: &Deadline) -> Option<Flock<File>> {
    // An open of its own: duplicates of a descriptor share their lock.
    use std::os::fd::AsRawFd as _;
    let file = File::open(format!("/proc/self/fd/{}", netns.as_fd().as_raw_fd())).ok()?;
    lock_file(file, how, deadline).ok()
}
