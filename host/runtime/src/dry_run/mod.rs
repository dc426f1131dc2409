//! A dry run: the plugins run against a recording of the real state, and what they would change is told, and not done.
//!
//! What they read is what there is, with the changes that they would have made by then. What only the kernel could choose, a
//! MAC address, is made up, and marked in what is told.

mod entries;
mod link;
mod model;
mod phrases;
mod steps;
mod table_words;
mod words;
mod world;

use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, Mutex},
};

use wasm_cni_capabilities::{
    call::Labelled, context::Context, record::attached::attached, record::effect::Cleanup, rehearsal::Rehearsal,
    space::Space, trace::Trace,
};
use wasm_cni_kernel::Netns;
use wasm_cni_spec::{attachment::Attachment, command::Command, error::CniError, network::Network, result::Success};
use wasm_cni_state::store;

pub use self::steps::PlannedStep;
use self::{entries::Entries, model::Model, world::World};
use crate::{host::Host, operation::Operation, options::CallOptions, runtime::Runtime};

/// What an ADD or a DEL would do; see [`Runtime::plan_add`].
#[derive(Debug)]
#[non_exhaustive]
pub struct Planned {
    /// The changes, in their order.
    pub steps: Vec<PlannedStep>,
    /// The result that the ADD would print, if it came to its end. MAC addresses that the kernel would choose are empty.
    pub result: Option<Success>,
    /// Why it would fail; the steps before that would be taken back.
    pub error: Option<CniError>,
}

impl Runtime {
    /// What [`Runtime::add`] would do: the plugins run against a recording of the real state, and nothing is changed,
    /// neither in the kernel nor on disk.
    ///
    /// # Errors
    ///
    /// If it cannot be planned: the host's namespace cannot be opened, or a native plugin would have to be run, whose doing
    /// nobody can foresee. That the ADD would fail is no error but part of the plan.
    pub fn plan_add(&self, network: &Network, at: &Attachment) -> Result<Planned, CniError> {
        self.rehearse(Command::Add, network, at, |operation, planned| {
            let nothing = |_: &_| Ok(());
            match operation.add(false, nothing, |_, last: Labelled| Ok(last.success)) {
                Ok((success, _)) => planned.result = Some(success),
                Err(error) => planned.error = Some(error),
            }
        })
    }

    /// What [`Runtime::del`] would do; see [`Runtime::plan_add`].
    ///
    /// # Errors
    ///
    /// The same.
    pub fn plan_del(&self, network: &Network, at: &Attachment) -> Result<Planned, CniError> {
        let previous = self.cached_result(network, at).unwrap_or_default();
        self.rehearse(Command::Del, network, at, |operation, planned| {
            let record = operation.attempt.record_path().ok();
            planned.error = operation.del(previous, &|_| true).err();
            // What the record takes back after the plugins.
            let entries = record.and_then(|path| attached(&path)).map(|attached| attached.entries).unwrap_or_default();
            let goes = entries.iter().rev().filter(|entry| entry.cleanup() == Cleanup::Detach);
            planned.steps.extend(goes.map(PlannedStep::undo));
        })
    }

    fn rehearse(
        &self,
        command: Command,
        network: &Network,
        at: &Attachment,
        run: impl FnOnce(Operation, &mut Planned),
    ) -> Result<Planned, CniError> {
        let lines: Arc<Mutex<Vec<String>>> = Arc::default();
        let sink = Arc::clone(&lines);
        let sink = move |line: &str| sink.lock().expect("no panic with the lock held").push(line.to_owned());
        let trace = Trace::whole(Arc::new(sink));
        let context = Context { trace, ..(*self.host.context).clone() };
        let host = Arc::new(Host {
            context: Arc::new(context),
            engine: self.host.engine.clone(),
            bundled: self.host.bundled,
            plugin_dirs: self.host.plugin_dirs.clone(),
            compiler: self.host.compiler.clone(),
            compile_time: self.host.compile_time,
            allow_host: self.host.allow_host.clone(),
            policy: self.host.policy.clone(),
            progress: Arc::clone(&self.host.progress),
            prefer_native: self.host.prefer_native,
            loaded: Mutex::new(HashMap::new()),
        });
        let world: Arc<Mutex<World>> = Arc::default();
        let rehearsal: Arc<dyn Rehearsal> = Arc::new(DryRun { world: Arc::clone(&world), ..DryRun::default() });
        let mut plan = self.plan(command, network, at, &CallOptions::default())?;
        plan.subject.host = Arc::new(rehearsal.space(wasm_cni_capabilities::space::HOST, self.host_netns()?));
        plan.subject.rehearsal = Some(rehearsal);
        let deadline = CallOptions::default().deadline(host.context.limits.time);
        let operation = Operation::begin(&host, plan, deadline, Default::default())?;
        let mut planned = Planned { steps: Vec::new(), result: None, error: None };
        let mut after = Planned { steps: Vec::new(), result: None, error: None };
        run(operation, &mut after);
        planned.steps = {
            let world = world.lock().expect("no panic with the lock held");
            steps::of(&lines.lock().expect("no panic with the lock held"), &world)
        };
        planned.steps.append(&mut after.steps);
        (planned.result, planned.error) = (after.result, after.error);
        Ok(planned)
    }
}

/// The recordings of a dry run: one of both namespaces, one of each directory of entries.
#[derive(Default)]
struct DryRun {
    world: Arc<Mutex<World>>,
    entries: Mutex<HashMap<std::path::PathBuf, Entries>>,
}

impl Rehearsal for DryRun {
    fn space(&self, label: &'static str, netns: Netns) -> Space {
        let model = Model::of(&self.world, label, &netns);
        Space::recorded(label, netns, Box::new(model))
    }

    fn entries(&self, directory: &Path) -> Box<dyn store::Transaction> {
        let mut all = self.entries.lock().expect("no panic with the lock held");
        Box::new(all.entry(directory.to_owned()).or_insert_with(|| Entries::of(directory)).clone())
    }
}
