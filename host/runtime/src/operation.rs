//! Doing what a plan says: one attempt for all of its plugins, in a process that has given up what they do not need, within
//! its time, and with everything taken back if an ADD fails.

use std::{
    collections::BTreeSet,
    mem,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use wasm_cni_capabilities::{
    attempt::Attempt,
    call::{CallConfig, Labelled, Level, Verb},
    footprint::Footprint,
    record::attached::Attached,
};
use wasm_cni_kernel::Netns;
use wasm_cni_spec::{
    command::Command,
    error::{CniError, Effect, ErrorKind, code},
};
use wasm_cni_state::deadline::Deadline;

use crate::{
    attachments, confine, dead, dispatch,
    host::Host,
    judge,
    plan::{Plan, Step},
    plugins::Found,
    recover,
    released::Known,
    watchdog::Watchdog,
};

/// An operation that is under way.
pub(crate) struct Operation {
    host: Arc<Host>,
    plan: Plan,
    pub(crate) attempt: Arc<Attempt>,
    /// Is at the path of a DEL another container's namespace by now?
    is_elsewhere: bool,
    /// What an ADD of this attachment was that has been taken back before, without its effects.
    recovered: Option<Attached>,
    /// Has an executable of the list been run? What it did is on no record.
    native_ran: AtomicBool,
}

/// What an operation reaches beside its plugins: the result cache, namespaces of other attachments.
#[derive(Default)]
pub(crate) struct Reach {
    pub(crate) directory: Option<PathBuf>,
    pub(crate) namespaces: BTreeSet<PathBuf>,
}

impl Operation {
    /// Begins: recovers what killed ADDs have left, and confines the process, if it is one of a single call.
    ///
    /// # Errors
    ///
    /// What the kernel has, but refuses; a policy that cannot be read; that it was cancelled.
    pub(crate) fn begin(host: &Arc<Host>, plan: Plan, deadline: Deadline, reach: Reach) -> Result<Self, CniError> {
        if deadline.cancel.is_cancelled() {
            let text = format!("{} was cancelled before it began", plan.command);
            return Err(CniError::internal(text).of_kind(ErrorKind::Cancelled));
        }
        let changes = matches!(plan.command, Command::Add | Command::Del | Command::Gc);
        let recovered = match changes && plan.subject.rehearsal.is_none() {
            true => recover::recover(&host.context, &plan.subject.host),
            false => Vec::new(),
        };
        if plan.command == Command::Add && plan.subject.rehearsal.is_none() {
            dead::release(&host.context, &plan.subject);
        }
        let attempt = Attempt::new(Arc::clone(&host.context), plan.command, plan.subject.clone(), deadline);
        let owner = attempt.owner();
        let recovered = recovered.into_iter().find(|attached| attached.heading.owner() == owner);
        let is_elsewhere = plan.command == Command::Del && dead::look(&attempt, recovered.as_ref());
        let plugins = plan.steps.iter().map(|step| (step.found.clone(), &step.config.requested));
        confine::before_plugins(host, &attempt, plugins, reach.directory, reach.namespaces)?;
        Ok(Self { host: Arc::clone(host), plan, attempt, is_elsewhere, recovered, native_ran: AtomicBool::new(false) })
    }

    /// The container's namespace, opened by the caller.
    ///
    /// # Errors
    ///
    /// If it is the host's, and may not be.
    pub(crate) fn lend(&self, netns: Netns) -> Result<(), CniError> {
        dead::lend(&self.attempt, netns)
    }

    fn run(
        &self,
        attempt: &Arc<Attempt>,
        step: &Step,
        config: &Arc<CallConfig>,
        verb: Verb,
    ) -> Result<Option<Labelled>, CniError> {
        let level = Level::top(&self.host.context.limits);
        dispatch::run(&self.host, attempt, &step.kind, step.found.clone(), config, verb, level)
    }

    /// ADD: the plugins in order, each given the result of the one before. What `prepare` returns is held until
    /// the end; `finish` makes of the last result what the
    /// caller wants; if that fails, the ADD has failed.
    ///
    /// # Errors
    ///
    /// The plugin that failed and why. What was done has been taken back then.
    pub(crate) fn add<T, H>(
        self,
        provisional: bool,
        prepare: impl FnOnce(&Attempt) -> Result<H, CniError>,
        finish: impl FnOnce(&Attempt, Labelled) -> Result<T, CniError>,
    ) -> Result<(T, Footprint), CniError> {
        let watchdog = Watchdog::start(&self.host, &self.attempt.deadline);
        let done = prepare(&self.attempt).and_then(|_held| finish(&self.attempt, self.chain()?));
        self.end(watchdog, provisional, done)
    }

    fn chain(&self) -> Result<Labelled, CniError> {
        let mut last = None;
        for step in &self.plan.steps {
            let config = step.following(last.take());
            let result = self.run(&self.attempt, step, &config, Verb::Call(Command::Add));
            if step.is_native() {
                self.native_ran.store(true, Ordering::Relaxed);
            }
            last = result.map_err(|e| step.failed("add", e))?;
        }
        let network = &self.plan.subject.network;
        last.ok_or_else(|| CniError::new(code::CONFIG, format!("network {network:?} has no plugins")))
    }

    /// Ends it: what was done stays, or is taken back.
    fn end<T>(
        self,
        watchdog: Watchdog,
        provisional: bool,
        done: Result<T, CniError>,
    ) -> Result<(T, Footprint), CniError> {
        match done.and_then(|value| Ok((value, self.attempt.keep(provisional)?))) {
            Ok(kept) => {
                if self.host.context.own_process && self.attempt.plugin.is_some() {
                    // What is open ends with the process, and all at once.
                    mem::forget((Arc::clone(&self.attempt), watchdog));
                }
                Ok(kept)
            }
            Err(error) => {
                drop(watchdog);
                let native = if self.native_ran.into_inner() { Effect::Unknown } else { Effect::Nothing };
                let (left, effect) = self.attempt.roll_back();
                let error = error.leaving(native).leaving(effect);
                if left.is_empty() {
                    return Err(error);
                }
                Err(error.note(&format!("could not be undone: {}", left.join(", "))))
            }
        }
    }

    /// CHECK: every plugin in order.
    ///
    /// # Errors
    ///
    /// What is not as ADD left it.
    pub(crate) fn check(&self, previous: Option<Labelled>) -> Result<(), CniError> {
        let _watchdog = Watchdog::start(&self.host, &self.attempt.deadline);
        for step in &self.plan.steps {
            let config = step.following(previous.clone());
            self.run(&self.attempt, step, &config, Verb::Call(Command::Check))?;
        }
        Ok(())
    }

    /// DEL: the plugins in reverse, then what they have left. A plugin that fails does not keep the others from cleaning
    /// up. If all that components did is on record, and goes by that, a plugin's failure is a warning: something has
    /// changed since ADD. `was_native` says of a type that is gone whether it took part in ADD; that is on no record.
    ///
    /// # Errors
    ///
    /// The first failure, with the others in its details.
    pub(crate) fn del(&self, previous: Option<Labelled>, was_native: &dyn Fn(&str) -> bool) -> Result<(), CniError> {
        let mut attempt = Arc::clone(&self.attempt);
        let mut watchdog = Watchdog::start(&self.host, &attempt.deadline);
        let mut error: Option<CniError> = None;
        let mut is_on_record = true;
        for step in self.plan.steps.iter().rev() {
            let Deadline { time, cancel, .. } = &attempt.deadline;
            if attempt.deadline.passed() && !cancel.is_cancelled() {
                // One that used up its time has not used up the others'.
                let deadline = Deadline { cancel: cancel.clone(), ..Deadline::after(*time) };
                let context = Arc::clone(&self.host.context);
                attempt = Attempt::new(context, Command::Del, self.plan.subject.clone(), deadline);
                dead::look(&attempt, self.recovered.as_ref());
                watchdog = Watchdog::start(&self.host, &attempt.deadline);
            }
            let config = step.following(previous.clone());
            if let Err(e) = self.run(&attempt, step, &config, Verb::Call(Command::Del)) {
                is_on_record &= judge::may_be_of_a_change(&self.host, &attempt, step, &e)
                    && match &step.found {
                        Ok(found) => matches!(found, Found::Component(_)),
                        Err(_) => !was_native(&step.kind) || Known::of(&attempt).is_released(),
                    };
                let e = step.failed("delete", e);
                error = Some(match error {
                    None => e,
                    Some(first) => first.note(&e.to_string()),
                });
            }
        }
        drop(watchdog);
        self.finish(&attempt, error, is_on_record)
    }

    /// A DEL whose plugin cannot be called with what it was given: what is on record goes.
    ///
    /// # Errors
    ///
    /// Why it cannot be called, if nothing of this attachment is on record.
    pub(crate) fn release(&self, error: CniError) -> Result<(), CniError> {
        self.finish(&self.attempt, Some(error), true)
    }

    /// After the plugins of a DEL, and what failed of them: what they have left goes by the record.
    fn finish(&self, attempt: &Attempt, error: Option<CniError>, is_on_record: bool) -> Result<(), CniError> {
        if attempt.is_rehearsed() {
            return error.map_or(Ok(()), Err);
        }
        let known = match error.is_some() || self.is_elsewhere {
            true => Known::of(attempt),
            false => Known::default(),
        };
        let taken_back = self.recovered.as_ref().filter(|_| self.is_elsewhere && known.is_empty());
        let left = attachments::finish(attempt, error.is_some());
        match error {
            Some(error) if is_on_record && left.is_empty() && !known.is_empty() => {
                attempt.warn("", &format!("{error}; released by the record of ADD"));
            }
            Some(error) => return Err(error),
            None if left.is_empty() => {}
            None => return Err(CniError::internal(format!("could not be removed: {}", left.join(", ")))),
        }
        match (taken_back, attempt.record_path()) {
            (Some(taken_back), Ok(path)) => Known::that(path, taken_back).mark_as_released(),
            _ => known.mark_as_released(),
        }
        Ok(())
    }

    /// GC: what the records of stale attachments name, then the plugins in order. Returns the failures: one does not keep
    /// the rest from being done.
    pub(crate) fn gc(&self) -> Vec<CniError> {
        let mut errors = Vec::new();
        if let Some(live) = &self.plan.live {
            self.attempt.facts().set_live(live);
            errors.extend(attachments::collect(&self.attempt, live).into_iter().map(CniError::internal));
        }
        let _watchdog = Watchdog::start(&self.host, &self.attempt.deadline);
        for step in &self.plan.steps {
            let verb = Verb::Gc(self.plan.live.clone());
            let done = self.run(&self.attempt, step, &step.config, verb);
            let Err(error) = done else { continue };
            let cannot = judge::cannot_be_called(&self.host, &self.attempt, step, &error);
            let error = step.failed_to_collect(error);
            match cannot {
                true => self.attempt.warn(&step.kind, &error.to_string()),
                false => errors.push(error),
            }
        }
        errors
    }

    /// STATUS: the plugins in order.
    ///
    /// # Errors
    ///
    /// What the first that is not ready says.
    pub(crate) fn status(&self) -> Result<(), CniError> {
        let _watchdog = Watchdog::start(&self.host, &self.attempt.deadline);
        for step in &self.plan.steps {
            self.run(&self.attempt, step, &step.config, Verb::Status)?;
        }
        Ok(())
    }
}
