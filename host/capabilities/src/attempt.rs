//! One operation on one attachment: what its plugins share, and the record of
//! their effects.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use wasm_cni_kernel::{self as kernel, Netns};
use wasm_cni_spec::{
    attachment::Owner,
    command::Command,
    error::{CniError, Effect as Left, ErrorKind, code},
};
use wasm_cni_state::{
    deadline::Deadline,
    files::{Failure, create_directories},
};

use crate::{
    context::{Context, LogLine},
    facts::Facts,
    faults,
    footprint::Footprint,
    record::{
        self,
        directories::Directories,
        effect::{Effect, Entry},
        format::{self, Heading},
        journal::Journal,
        lock::{Held, lock_exclusive, lock_shared},
        scene::Scene,
        undo,
    },
    rehearsal::Rehearsal,
    space::{SANDBOX, Space},
    trace::Who,
};

/// Longest that an ADD waits for others' tidying up.
const TIDYING: Duration = Duration::from_secs(1);

/// Shared by every instance that takes part in the operation.
pub struct Attempt {
    /// The runtime's settings and sinks.
    pub context: Arc<Context>,
    /// What is done.
    pub command: Command,
    /// The network's name.
    pub network: String,
    /// The container.
    pub container_id: String,
    /// The interface inside the container.
    pub ifname: String,
    /// CNI_NETNS as the caller wrote it.
    pub netns: String,
    /// CNI_ARGS as the caller wrote it.
    pub args: String,
    /// Opened when the first component needs it; none if it is gone.
    sandbox: OnceLock<Option<Arc<Space>>>,
    /// May the container be in the host's namespace?
    allow_host_netns: bool,
    /// The host's namespace.
    pub host: Arc<Space>,
    /// The plugin that was called by its name; none for a list of them.
    pub plugin: Option<String>,
    /// What stands in for the kernel and the disk, in a dry run.
    pub rehearsal: Option<Arc<dyn Rehearsal>>,
    /// When it has to be over.
    pub deadline: Deadline,
    journal: Mutex<Journal>,
    facts: Mutex<Facts>,
    /// Held while attaching, so that nobody takes a bridge for unused meanwhile.
    attaching: Mutex<Option<Held>>,
}

/// What an [`Attempt`] is about.
#[derive(Clone)]
pub struct Subject {
    /// The network's name.
    pub network: String,
    /// The container.
    pub container_id: String,
    /// The interface inside the container.
    pub ifname: String,
    /// CNI_NETNS as the caller wrote it.
    pub netns: String,
    /// CNI_ARGS as the caller wrote it.
    pub args: String,
    /// May the container be in the host's namespace?
    pub allow_host_netns: bool,
    /// The plugin that was called by its name; none for a list of them.
    pub plugin: Option<String>,
    /// The host's namespace.
    pub host: Arc<Space>,
    /// What stands in for the kernel and the disk, in a dry run.
    pub rehearsal: Option<Arc<dyn Rehearsal>>,
}

impl Attempt {
    /// Begins one. An ADD keeps bridges from being taken for unused meanwhile.
    pub fn new(context: Arc<Context>, command: Command, subject: Subject, deadline: Deadline) -> Arc<Self> {
        let host = subject.host;
        let mut attaching = match command {
            Command::Add if subject.rehearsal.is_none() => {
                lock_shared(&context, &host.netns, &Deadline::after(TIDYING.min(deadline.remaining())))
            }
            _ => None,
        };
        let mut journal = Journal::default();
        journal.made(attaching.as_mut().map(Held::take_created).unwrap_or_default());
        Arc::new(Self {
            context,
            command,
            network: subject.network,
            container_id: subject.container_id,
            ifname: subject.ifname,
            netns: subject.netns,
            args: subject.args,
            sandbox: OnceLock::new(),
            allow_host_netns: subject.allow_host_netns,
            plugin: subject.plugin,
            host,
            rehearsal: subject.rehearsal,
            deadline,
            journal: Mutex::new(journal),
            facts: Mutex::default(),
            attaching: Mutex::new(attaching),
        })
    }

    /// The container's namespace; none for a DEL whose namespace is gone.
    ///
    /// # Errors
    ///
    /// The reference's texts. A container may not be in the host's namespace,
    /// unless the caller allows it.
    pub fn sandbox(&self) -> Result<Option<Arc<Space>>, CniError> {
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
    pub fn lend(&self, netns: Netns) -> Result<(), CniError> {
        let sandbox = self.as_sandbox(netns)?;
        self.sandbox.get_or_init(|| Some(sandbox));
        Ok(())
    }

    /// The container's namespace is gone, whatever is at its path.
    pub fn lose_sandbox(&self) {
        self.sandbox.get_or_init(|| None);
    }

    fn as_sandbox(&self, netns: Netns) -> Result<Arc<Space>, CniError> {
        if !self.allow_host_netns && netns.is_same(&self.host.netns) {
            let text = "plugin's netns and netns from CNI_NETNS should not be the same";
            return Err(CniError::new(code::NETNS, text));
        }
        Ok(Arc::new(match &self.rehearsal {
            Some(rehearsal) => rehearsal.space(SANDBOX, netns),
            None => Space::new(SANDBOX, netns),
        }))
    }

    fn open_sandbox(&self) -> Result<Option<Arc<Space>>, CniError> {
        let path = &self.netns;
        if path.is_empty() && self.command == Command::Del {
            return Ok(None);
        }
        match Netns::open(Path::new(path)) {
            Ok(netns) => self.as_sandbox(netns).map(Some),
            Err(e) if self.command == Command::Del && e.is_gone() => Ok(None),
            Err(e) => Err(CniError::internal(e.to_string()).of_kind(ErrorKind::Netns).caused_by(e)),
        }
    }

    /// Is what it does taken back when it fails? What a DEL did is wanted, and a dry run does nothing.
    pub fn undoes(&self) -> bool {
        matches!(self.command, Command::Add) && self.rehearsal.is_none()
    }

    /// Whether nothing is really done.
    #[must_use]
    pub fn is_rehearsed(&self) -> bool {
        self.rehearsal.is_some()
    }

    /// Notes what is about to be done, so that it can be taken back, by this
    /// process or, should it be killed, by another.
    ///
    /// # Errors
    ///
    /// If it could not be noted: then it must not be done.
    pub fn note(&self, effect: impl Effect) -> io::Result<Note> {
        if !self.undoes() {
            return Ok(Note(None));
        }
        let failed = |e: kernel::Error| io::Error::from_raw_os_error(e.errno());
        let sandbox = self.sandbox.get().and_then(Option::as_ref).map(|space| space.netns.id());
        let sandbox = sandbox.transpose().map_err(failed)?;
        let host = self.host.netns.id().map_err(failed)?;
        let heading = || Heading {
            version: format::VERSION,
            network: self.network.clone(),
            container_id: self.container_id.clone(),
            ifname: self.ifname.clone(),
            netns: self.netns.clone(),
            host,
        };
        let directory = format::directory(&self.context);
        self.journal().note(&directory, heading, sandbox, Arc::new(effect)).map(|number| Note(Some(number)))
    }

    /// Makes a directory of this user's alone, if it is not there.
    ///
    /// # Errors
    ///
    /// If it cannot be made.
    pub fn make_directory(&self, path: &Path) -> Result<(), Failure> {
        let created = create_directories(path, 0o700)?;
        if !created.is_empty() {
            let _ = self.note(Directories { created });
        }
        Ok(())
    }

    /// Counts an effect that goes with another, which is on the record.
    ///
    /// # Errors
    ///
    /// `EDQUOT` if there are too many.
    pub fn count(&self) -> io::Result<Note> {
        if self.undoes() {
            self.journal().count()?;
        }
        Ok(Note(None))
    }

    /// It was not done after all.
    pub fn strike(&self, note: Note) {
        if let Some(number) = note.0 {
            self.journal().strike(number);
        }
    }

    /// The effect has come about, and this is what is known of it now: the index of a link, say.
    pub fn done(&self, note: Note, effect: impl Effect) {
        if let Some(number) = note.0 {
            self.journal().done(number, Arc::new(effect));
        }
    }

    /// Whose doing it is, of this plugin's call.
    pub fn who<'a>(&'a self, plugin: &'a str, depth: u32) -> Who<'a> {
        let Self { container_id, ifname, network, .. } = self;
        Who { container_id, ifname, network, plugin, depth }
    }

    /// Tells the operator.
    pub fn warn(&self, plugin: &str, message: &str) {
        let Self { container_id, network, .. } = self;
        (self.context.log)(&LogLine { level: "warn", plugin, network, container_id, message });
    }

    /// What it has learned. Not to be held while something is asked of it again.
    pub fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().expect("no panic with the lock held")
    }

    fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().expect("no panic with the lock held")
    }

    /// Whose effects they are.
    #[must_use]
    pub fn owner(&self) -> Owner {
        let Self { network, container_id, ifname, .. } = self;
        Owner { network: network.clone(), container_id: container_id.clone(), ifname: ifname.clone() }
    }

    fn scene(&self) -> Scene {
        let sandbox = self.sandbox.get().cloned().flatten();
        Scene {
            host: Arc::clone(&self.host),
            sandbox,
            context: Arc::clone(&self.context),
            owner: self.owner(),
            netns: self.netns.clone(),
        }
    }

    /// Ends it: everything that was done is taken back. What could not be is
    /// named, and where it is.
    pub fn roll_back(&self) -> (Vec<String>, Left) {
        let mut journal = std::mem::take(&mut *self.journal());
        let scene = self.scene();
        // Others' roll-backs wait for it, and this one too.
        drop(self.attaching.lock().unwrap_or_else(PoisonError::into_inner).take());
        let failures = undo::undo(journal.entries(), &scene);
        let left = where_left(journal.entries(), &failures);
        // What is left is for `recover` to try again.
        if failures.is_empty() {
            // The directories, too, if nobody else is in one of them.
            match lock_exclusive(&self.context, &self.host.netns, &Deadline::after(Duration::ZERO)) {
                Some(_alone) => journal.vanish(),
                None => drop(journal.close()),
            }
        } else {
            journal.leave();
        }
        (failures, left)
    }

    /// What this attempt has recorded so far.
    #[must_use]
    pub fn recorded(&self) -> Vec<Entry> {
        self.journal().entries().cloned().collect()
    }

    /// Where the record of its attachment is kept.
    ///
    /// # Errors
    ///
    /// If the kernel cannot say which namespace the host's is.
    pub fn record_path(&self) -> Result<PathBuf, kernel::Error> {
        let name = format!("{}{}", record::prefix(self.plugin.as_deref()), record::name(&self.owner()));
        Ok(record::attachments(&self.context, &self.host.netns)?.join(name))
    }

    /// Everything that was done stays; with `provisional`, as long as the footprint and this process do.
    ///
    /// # Errors
    ///
    /// If the record of the attachment cannot be kept: then it is to be rolled back.
    pub fn keep(&self, provisional: bool) -> Result<Footprint, CniError> {
        let _ = faults::at_host_call();
        let mut journal = self.journal();
        let entries = match provisional {
            true => journal.all(),
            false => self
                .record_path()
                .map_err(|e| unkept(&e))
                .and_then(|path| journal.keep(&path).map_err(|e| unkept(&e)))?,
        };
        Ok(Footprint::new(entries, self.scene(), std::mem::take(&mut *journal)))
    }
}

fn unkept(e: &dyn std::fmt::Display) -> CniError {
    CniError::new(code::IO, format!("cannot keep the record of the attachment: {e}"))
}

/// Where the effects are that these failures are about, each of which starts with its effect's text.
fn where_left<'a>(entries: impl Iterator<Item = &'a Entry>, failures: &[String]) -> Left {
    if failures.is_empty() {
        return Left::Nothing;
    }
    let entries: Vec<_> = entries.map(|entry| (entry.is_inside(), entry.to_string())).collect();
    let is_inside = |failure: &String| {
        let mut about = entries.iter().filter(|(_, text)| failure.starts_with(text)).peekable();
        // What is about none of them may be anywhere.
        about.peek().is_some() && about.all(|(inside, _)| *inside)
    };
    if failures.iter().all(is_inside) { Left::ContainerOnly } else { Left::Host }
}

/// The number of a note, if it was made.
#[derive(Clone, Copy, Debug)]
pub struct Note(Option<usize>);
