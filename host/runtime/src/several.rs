//! Several networks of one container in one call: all of them or none.

use std::thread;

use wasm_cni_spec::{
    attachment::Attachment,
    error::{CniError, Effect, code},
    network::Network,
};

use crate::{
    call::Call,
    runtime::{Added, Runtime},
};

impl Runtime {
    /// Attaches a container to several networks at the same time, each in a thread. If one fails, the others are undone.
    ///
    /// # Errors
    ///
    /// The first failure in the order of `all`, with the others in its details.
    pub fn add_all(&self, all: &[(Network, Attachment)]) -> Result<Vec<Added>, CniError> {
        self.call().add_all(all)
    }

    /// Attaches a container to several networks, one after the other, so that the first gets the default routes. If one
    /// fails, the rest is not tried and those before it are undone.
    ///
    /// # Errors
    ///
    /// The failure.
    pub fn add_in_order(&self, all: &[(Network, Attachment)]) -> Result<Vec<Added>, CniError> {
        self.call().add_in_order(all)
    }

    /// Detaches a container from several networks, the last first. One that fails does not keep the others from being
    /// detached.
    ///
    /// # Errors
    ///
    /// The first failure, with the others in its details.
    pub fn del_all(&self, all: &[(Network, Attachment)]) -> Result<(), CniError> {
        self.call().del_all(all)
    }

    /// Checks the attachments to several networks, all of them.
    ///
    /// # Errors
    ///
    /// The first failure, with the others in its details.
    pub fn check_all(&self, all: &[(Network, Attachment)]) -> Result<(), CniError> {
        self.call().check_all(all)
    }
}

impl Call<'_> {
    /// See [`Runtime::add_all`].
    ///
    /// # Errors
    ///
    /// The same; also when the time is up or the call is cancelled.
    pub fn add_all(&self, all: &[(Network, Attachment)]) -> Result<Vec<Added>, CniError> {
        let results = thread::scope(|scope| {
            let start = |(network, at)| thread::Builder::new().spawn_scoped(scope, move || self.add(network, at));
            // All are under way before the first is waited for.
            let started: Vec<_> = all.iter().map(|(network, at)| start((network, at))).collect();
            let end = |thread: std::io::Result<thread::ScopedJoinHandle<'_, _>>| match thread {
                Ok(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
                Err(e) => Err(CniError::new(code::IO, format!("cannot start a thread: {e}")).caused_by(e)),
            };
            started.into_iter().map(end).collect()
        });
        self.all_or_none(all, results)
    }

    /// See [`Runtime::add_in_order`].
    ///
    /// # Errors
    ///
    /// The same; also when the time is up or the call is cancelled.
    pub fn add_in_order(&self, all: &[(Network, Attachment)]) -> Result<Vec<Added>, CniError> {
        let mut results = Vec::with_capacity(all.len());
        for (network, at) in all {
            let result = self.add(network, at);
            let failed = result.is_err();
            results.push(result);
            if failed {
                break;
            }
        }
        self.all_or_none(all, results)
    }

    /// See [`Runtime::del_all`].
    ///
    /// # Errors
    ///
    /// The same; also when the time is up or the call is cancelled.
    pub fn del_all(&self, all: &[(Network, Attachment)]) -> Result<(), CniError> {
        first(all.iter().rev().filter_map(|(network, at)| self.del(network, at).err()))
    }

    /// See [`Runtime::check_all`].
    ///
    /// # Errors
    ///
    /// The same; also when the time is up or the call is cancelled.
    pub fn check_all(&self, all: &[(Network, Attachment)]) -> Result<(), CniError> {
        first(all.iter().filter_map(|(network, at)| self.check(network, at).err()))
    }

    fn all_or_none(
        &self,
        all: &[(Network, Attachment)],
        results: Vec<Result<Added, CniError>>,
    ) -> Result<Vec<Added>, CniError> {
        let (mut added, mut errors) = (Vec::new(), Vec::new());
        for (pair, result) in all.iter().zip(results) {
            match result {
                Ok(one) => added.push((pair, one)),
                Err(error) => errors.push(error),
            }
        }
        if !errors.is_empty() {
            errors.extend(self.undo(added));
            first(errors)?;
            return Ok(Vec::new());
        }
        Ok(added.into_iter().map(|(_, one)| one).collect())
    }

    /// Detaches again, with the runtime's own time: the call's may be up. What the ADDs created for it goes too. Returns
    /// the failures.
    pub(crate) fn undo<'n>(
        &self,
        added: impl IntoIterator<Item = (&'n (Network, Attachment), Added), IntoIter: DoubleEndedIterator>,
    ) -> Vec<CniError> {
        let undo = |((network, at), one): (&(Network, Attachment), Added)| {
            let error = self.runtime.del(network, at).err();
            if error.is_none() {
                self.runtime.tidy(&one.footprint);
            }
            error.map(|error| error.leaving(Effect::Unknown))
        };
        added.into_iter().rev().filter_map(undo).collect()
    }
}

/// The first failure, with the others in its details.
fn first(errors: impl IntoIterator<Item = CniError>) -> Result<(), CniError> {
    let first = errors.into_iter().reduce(|first, other| first.note(&other.to_string()).leaving(other.effect()));
    first.map_or(Ok(()), Err)
}
