//! One call of a runtime, with a time-out and a cancellation of its own.

use std::{io, time::Duration};

use wasm_cni_spec::{
    attachment::{Attachment, AttachmentId},
    error::CniError,
    network::Network,
};
use wasm_cni_state::deadline::Cancel;

use crate::{
    options::CallOptions,
    runtime::{Added, Runtime},
};

/// A call that differs from the runtime's settings; see [`Runtime::call`].
///
/// ```no_run
/// # use std::{io, time::Duration};
/// # use wasm_cni::{Attachment, Cancel, CniError, Network, Runtime};
/// # fn add(runtime: &Runtime, network: &Network, at: &Attachment, stop: &Cancel) -> Result<(), CniError> {
/// runtime.call().timeout(Duration::from_secs(5)).cancel(stop).add(network, at)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "it does nothing until one of the operations is called"]
pub struct Call<'a> {
    pub(crate) runtime: &'a Runtime,
    pub(crate) options: CallOptions,
}

impl Runtime {
    /// A call with a time-out, a cancellation or both.
    pub fn call(&self) -> Call<'_> {
        Call { runtime: self, options: CallOptions::default() }
    }

    /// Attaches a container: the plugins of the network in order, each given
    /// the result of the one before.
    ///
    /// # Errors
    ///
    /// The plugin that failed and why. What components did has been taken back
    /// then, and what could not be is named in the details; native plugins of
    /// the list that had succeeded are left for [`Runtime::del`], as by libcni.
    /// [`CniError::effect`] tells the cases apart.
    pub fn add(&self, network: &Network, at: &Attachment) -> Result<Added, CniError> {
        self.call().add(network, at)
    }

    /// Asks every plugin whether the attachment is as ADD left it.
    ///
    /// # Errors
    ///
    /// What is not.
    pub fn check(&self, network: &Network, at: &Attachment) -> Result<(), CniError> {
        self.call().check(network, at)
    }

    /// Detaches a container: the plugins in reverse. A plugin that fails does
    /// not keep the others from cleaning up.
    ///
    /// # Errors
    ///
    /// The first failure, with the others in its details. The cached result
    /// stays then.
    pub fn del(&self, network: &Network, at: &Attachment) -> Result<(), CniError> {
        self.call().del(network, at)
    }

    /// Detaches every cached attachment of the network that is not in `live`
    /// and, from CNI 1.1.0 on, tells the plugins which are. `None` says that
    /// none is; plugins are not told that.
    ///
    /// # Errors
    ///
    /// All failures, a line each: one does not keep the rest from being done.
    pub fn gc(&self, network: &Network, live: Option<&[AttachmentId]>) -> Result<(), CniError> {
        self.call().gc(network, live)
    }

    /// Asks the plugins, in order, whether they are ready for ADD. Before CNI
    /// 1.1.0 there is nothing to ask.
    ///
    /// # Errors
    ///
    /// What the first that is not ready says.
    pub fn status(&self, network: &Network) -> Result<(), CniError> {
        self.call().status(network)
    }
}

impl Call<'_> {
    /// Time for each operation, instead of the runtime's. A call on several networks has it for each of them, and GC for
    /// each DEL.
    pub fn timeout(mut self, time: Duration) -> Self {
        self.options.timeout = Some(time);
        self
    }

    /// Ends the call early when `cancel` is: a guest within 50 ms, a native plugin at once. An ADD is undone then.
    pub fn cancel(mut self, cancel: &Cancel) -> Self {
        self.options.cancel = cancel.clone();
        self
    }

    /// What an ADD does lasts only as long as this process, for a caller that attaches a container only once. If the
    /// process ends before [`Runtime::tidy`], the next operation of any process undoes it.
    pub fn provisional(mut self) -> Self {
        self.options.provisional = true;
        self
    }

    /// See [`Runtime::add`].
    ///
    /// # Errors
    ///
    /// The same; also when the time is up or the call is cancelled.
    pub fn add(&self, network: &Network, at: &Attachment) -> Result<Added, CniError> {
        self.runtime.attach(network, at, &self.options, |_| Ok(()))
    }

    /// [`Call::add`] for a process that has to hand on the result, as JSON, before it ends: the attachment is one when
    /// `deliver` has returned. If it fails, or the process is killed before, the ADD is undone.
    ///
    /// # Errors
    ///
    /// As [`Call::add`]; also if the result cannot be delivered.
    pub fn add_delivering(
        &self,
        network: &Network,
        at: &Attachment,
        deliver: impl FnOnce(&str) -> io::Result<()>,
    ) -> Result<Added, CniError> {
        self.runtime.attach(network, at, &self.options, deliver)
    }

    /// See [`Runtime::check`].
    ///
    /// # Errors
    ///
    /// The same; also when the time is up or the call is cancelled.
    pub fn check(&self, network: &Network, at: &Attachment) -> Result<(), CniError> {
        self.runtime.examine(network, at, &self.options)
    }

    /// See [`Runtime::del`].
    ///
    /// # Errors
    ///
    /// The same; also when the time is up or the call is cancelled.
    pub fn del(&self, network: &Network, at: &Attachment) -> Result<(), CniError> {
        self.runtime.detach(network, at, &self.options)
    }

    /// See [`Runtime::gc`].
    ///
    /// # Errors
    ///
    /// The same; also when the time is up or the call is cancelled.
    pub fn gc(&self, network: &Network, live: Option<&[AttachmentId]>) -> Result<(), CniError> {
        self.runtime.collect(network, live, &self.options)
    }

    /// See [`Runtime::status`].
    ///
    /// # Errors
    ///
    /// The same; also when the time is up or the call is cancelled.
    pub fn status(&self, network: &Network) -> Result<(), CniError> {
        self.runtime.ask(network, &self.options)
    }
}
