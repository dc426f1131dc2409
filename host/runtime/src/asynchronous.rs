//! The runtime for async programs: the same operations on tokio's threads for
//! blocking work. Netlink calls are short; what waits is the kernel and other
//! programs, and those are waited for there.

use std::{sync::Arc, time::Duration};

use wasm_cni_spec::{
    attachment::{Attachment, AttachmentId},
    error::{CniError, Effect, ErrorKind},
    network::Network,
};
use wasm_cni_state::deadline::Cancel;

use crate::{
    call::Call,
    options::CallOptions,
    runtime::{Added, Runtime},
};

/// A [`Runtime`] whose operations are futures. Dropping one cancels its
/// operation, so `tokio::time::timeout` works: a guest ends within 50 ms, a
/// native plugin is killed, and what an ADD had done is taken back, behind the
/// caller's back.
#[derive(Clone, Debug)]
pub struct AsyncRuntime {
    runtime: Arc<Runtime>,
}

/// A call with a time-out of its own; see [`AsyncRuntime::call`].
#[derive(Clone, Debug)]
#[must_use = "it does nothing until one of the operations is called"]
pub struct AsyncCall {
    runtime: Arc<Runtime>,
    options: CallOptions,
}

impl AsyncRuntime {
    /// Wraps a runtime.
    #[must_use]
    pub fn new(runtime: Runtime) -> Self {
        Self { runtime: Arc::new(runtime) }
    }

    /// The runtime, for what does not wait.
    #[must_use]
    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// A call with settings of its own.
    pub fn call(&self) -> AsyncCall {
        AsyncCall { runtime: Arc::clone(&self.runtime), options: CallOptions::default() }
    }
}

impl AsyncRuntime {
    /// See [`Runtime::add`].
    ///
    /// # Errors
    ///
    /// The same.
    pub async fn add(&self, network: &Network, at: &Attachment) -> Result<Added, CniError> {
        self.call().add(network, at).await
    }

    /// See [`Runtime::add_all`].
    ///
    /// # Errors
    ///
    /// The same.
    pub async fn add_all(&self, all: &[(Network, Attachment)]) -> Result<Vec<Added>, CniError> {
        self.call().add_all(all).await
    }

    /// See [`Runtime::add_in_order`].
    ///
    /// # Errors
    ///
    /// The same.
    pub async fn add_in_order(&self, all: &[(Network, Attachment)]) -> Result<Vec<Added>, CniError> {
        self.call().add_in_order(all).await
    }

    /// See [`Runtime::check`].
    ///
    /// # Errors
    ///
    /// The same.
    pub async fn check(&self, network: &Network, at: &Attachment) -> Result<(), CniError> {
        self.call().check(network, at).await
    }

    /// See [`Runtime::check_all`].
    ///
    /// # Errors
    ///
    /// The same.
    pub async fn check_all(&self, all: &[(Network, Attachment)]) -> Result<(), CniError> {
        self.call().check_all(all).await
    }

    /// See [`Runtime::del`].
    ///
    /// # Errors
    ///
    /// The same.
    pub async fn del(&self, network: &Network, at: &Attachment) -> Result<(), CniError> {
        self.call().del(network, at).await
    }

    /// See [`Runtime::del_all`].
    ///
    /// # Errors
    ///
    /// The same.
    pub async fn del_all(&self, all: &[(Network, Attachment)]) -> Result<(), CniError> {
        self.call().del_all(all).await
    }

    /// See [`Runtime::gc`].
    ///
    /// # Errors
    ///
    /// The same.
    pub async fn gc(&self, network: &Network, live: Option<&[AttachmentId]>) -> Result<(), CniError> {
        self.call().gc(network, live).await
    }

    /// See [`Runtime::status`].
    ///
    /// # Errors
    ///
    /// The same.
    pub async fn status(&self, network: &Network) -> Result<(), CniError> {
        self.call().status(network).await
    }
}

type AttachAll = fn(&Call<'_>, &[(Network, Attachment)]) -> Result<Vec<Added>, CniError>;

impl AsyncCall {
    /// Time for each operation; see [`Call::timeout`].
    pub fn timeout(mut self, time: Duration) -> Self {
        self.options.timeout = Some(time);
        self
    }

    /// See [`Call::provisional`].
    pub fn provisional(mut self) -> Self {
        self.options.provisional = true;
        self
    }

    /// See [`Runtime::add`].
    ///
    /// # Errors
    ///
    /// The same; also when the time is up.
    pub async fn add(&self, network: &Network, at: &Attachment) -> Result<Added, CniError> {
        let all = vec![(network.clone(), at.clone())];
        let mut added = self.attach(all, |call, all| call.add_in_order(all)).await?;
        added.pop().ok_or_else(|| CniError::internal("nothing was attached"))
    }

    /// See [`Runtime::add_all`].
    ///
    /// # Errors
    ///
    /// The same; also when the time is up.
    pub async fn add_all(&self, all: &[(Network, Attachment)]) -> Result<Vec<Added>, CniError> {
        self.attach(all.to_vec(), |call, all| call.add_all(all)).await
    }

    /// See [`Runtime::add_in_order`].
    ///
    /// # Errors
    ///
    /// The same; also when the time is up.
    pub async fn add_in_order(&self, all: &[(Network, Attachment)]) -> Result<Vec<Added>, CniError> {
        self.attach(all.to_vec(), |call, all| call.add_in_order(all)).await
    }

    /// See [`Runtime::check`].
    ///
    /// # Errors
    ///
    /// The same; also when the time is up.
    pub async fn check(&self, network: &Network, at: &Attachment) -> Result<(), CniError> {
        let (network, at) = (network.clone(), at.clone());
        self.start(move |call| call.check(&network, &at)).await
    }

    /// See [`Runtime::check_all`].
    ///
    /// # Errors
    ///
    /// The same; also when the time is up.
    pub async fn check_all(&self, all: &[(Network, Attachment)]) -> Result<(), CniError> {
        let all = all.to_vec();
        self.start(move |call| call.check_all(&all)).await
    }

    /// See [`Runtime::del`].
    ///
    /// # Errors
    ///
    /// The same; also when the time is up.
    pub async fn del(&self, network: &Network, at: &Attachment) -> Result<(), CniError> {
        let (network, at) = (network.clone(), at.clone());
        self.start(move |call| call.del(&network, &at)).await
    }

    /// See [`Runtime::del_all`].
    ///
    /// # Errors
    ///
    /// The same; also when the time is up.
    pub async fn del_all(&self, all: &[(Network, Attachment)]) -> Result<(), CniError> {
        let all = all.to_vec();
        self.start(move |call| call.del_all(&all)).await
    }

    /// See [`Runtime::gc`].
    ///
    /// # Errors
    ///
    /// The same; also when the time is up.
    pub async fn gc(&self, network: &Network, live: Option<&[AttachmentId]>) -> Result<(), CniError> {
        let (network, live) = (network.clone(), live.map(<[_]>::to_vec));
        self.start(move |call| call.gc(&network, live.as_deref())).await
    }

    /// See [`Runtime::status`].
    ///
    /// # Errors
    ///
    /// The same; also when the time is up.
    pub async fn status(&self, network: &Network) -> Result<(), CniError> {
        let network = network.clone();
        self.start(move |call| call.status(&network)).await
    }

    async fn attach(&self, all: Vec<(Network, Attachment)>, attach: AttachAll) -> Result<Vec<Added>, CniError> {
        let run = move |call: &Call<'_>| {
            let added = attach(call, &all)?;
            if call.options.cancel.is_cancelled() {
                // The future was dropped when it was all done: nobody knows of it.
                let failures = call.undo(all.iter().zip(added).collect::<Vec<_>>());
                let error = CniError::internal("it was cancelled").of_kind(ErrorKind::Cancelled);
                return Err(failures.iter().fold(error, |error, failure| error.note(&failure.to_string())));
            }
            Ok(added)
        };
        self.start(run).await
    }

    async fn start<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&Call<'_>) -> Result<T, CniError> + Send + 'static,
    ) -> Result<T, CniError> {
        let runtime = Arc::clone(&self.runtime);
        let cancel = Cancel::default();
        let options = CallOptions { cancel: cancel.clone(), ..self.options.clone() };
        let task = tokio::task::spawn_blocking(move || operation(&Call { runtime: &runtime, options }));
        let _dropped = CancelOnDrop(cancel);
        match task.await {
            Ok(result) => result,
            Err(e) => Err(CniError::internal(format!("the operation did not end: {e}")).leaving(Effect::Unknown)),
        }
    }
}

struct CancelOnDrop(Cancel);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}
