//! The runtime for async programs: the same operations on tokio's threads for
//! blocking work. Netlink calls are short; what waits is the kernel and other
//! programs, and those are waited for there.

use std::{sync::Arc, time::Duration};

use wasm_cni_spec::{
    attachment::{Attachment, AttachmentId},
    error::{CniError, Effect},
    network::Network,
};
use wasm_cni_state::deadline::Cancel;

use crate::{
    options::CallOptions,
    runtime::{Added, Runtime},
};

/// A [`Runtime`] whose operations are futures. Dropping one cancels its
/// operation: a guest ends within 50 ms, a native plugin is killed, and what an
/// ADD had done is taken back, behind the caller's back.
#[derive(Clone, Debug)]
pub struct AsyncRuntime {
    runtime: Arc<Runtime>,
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

    /// See [`Runtime::add`]. `timeout` goes before the runtime's limit.
    ///
    /// # Errors
    ///
    /// The same; also when the time is up.
    pub async fn add(&self, network: &Network, at: &Attachment, timeout: Option<Duration>) -> Result<Added, CniError> {
        self.start_add(network, at, timeout).end().await
    }

    /// See [`Runtime::check`].
    ///
    /// # Errors
    ///
    /// The same; also when the time is up.
    pub async fn check(&self, network: &Network, at: &Attachment, timeout: Option<Duration>) -> Result<(), CniError> {
        let (network, at) = (network.clone(), at.clone());
        self.run(timeout, move |runtime, options| runtime.check_with(&network, &at, options)).await
    }

    /// See [`Runtime::del`].
    ///
    /// # Errors
    ///
    /// The same; also when the time is up.
    pub async fn del(&self, network: &Network, at: &Attachment, timeout: Option<Duration>) -> Result<(), CniError> {
        let (network, at) = (network.clone(), at.clone());
        self.run(timeout, move |runtime, options| runtime.del_with(&network, &at, options)).await
    }

    /// See [`Runtime::gc`].
    ///
    /// # Errors
    ///
    /// The same.
    pub async fn gc(&self, network: &Network, live: Option<Vec<AttachmentId>>) -> Result<(), CniError> {
        let network = network.clone();
        self.run(None, move |runtime, _| runtime.gc(&network, live.as_deref())).await
    }

    /// See [`Runtime::status`].
    ///
    /// # Errors
    ///
    /// The same.
    pub async fn status(&self, network: &Network) -> Result<(), CniError> {
        let network = network.clone();
        self.run(None, move |runtime, _| runtime.status(&network)).await
    }

    /// Attaches one container to several networks at the same time. If one
    /// fails, the container is detached from the others again.
    ///
    /// # Errors
    ///
    /// The first failure in the order of `all`, with the others in its details.
    pub async fn add_all(
        &self,
        all: &[(Network, Attachment)],
        timeout: Option<Duration>,
    ) -> Result<Vec<Added>, CniError> {
        // All are under way before the first is waited for.
        let running: Vec<_> = all.iter().map(|(network, at)| self.start_add(network, at, timeout)).collect();
        let mut results = Vec::with_capacity(all.len());
        for add in running {
            results.push(add.end().await);
        }
        self.all_or_none(all, results).await
    }

    /// Attaches one container to several networks, one after the other. If one
    /// fails the rest is not tried, and the container is detached from those
    /// before it again.
    ///
    /// # Errors
    ///
    /// The failure.
    pub async fn add_in_order(
        &self,
        all: &[(Network, Attachment)],
        timeout: Option<Duration>,
    ) -> Result<Vec<Added>, CniError> {
        let mut results = Vec::with_capacity(all.len());
        for (network, at) in all {
            let result = self.add(network, at, timeout).await;
            let failed = result.is_err();
            results.push(result);
            if failed {
                break;
            }
        }
        self.all_or_none(all, results).await
    }

    async fn all_or_none(
        &self,
        all: &[(Network, Attachment)],
        results: Vec<Result<Added, CniError>>,
    ) -> Result<Vec<Added>, CniError> {
        if results.iter().all(Result::is_ok) {
            return results.into_iter().collect();
        }
        let mut error: Option<CniError> = None;
        let mut also = |e: CniError| {
            error = Some(match error.take() {
                None => e,
                Some(first) => first.note(&e.to_string()),
            });
        };
        for ((network, at), result) in all.iter().zip(results) {
            match result {
                Err(e) => also(e),
                Ok(_) => {
                    if let Err(e) = self.del(network, at, None).await {
                        also(e);
                    }
                }
            }
        }
        Err(error.unwrap_or_else(|| CniError::internal("nothing failed")))
    }

    fn start_add(&self, network: &Network, at: &Attachment, timeout: Option<Duration>) -> Operation<Added> {
        let (network, at) = (network.clone(), at.clone());
        self.start(timeout, move |runtime, options| runtime.add_with(&network, &at, options))
    }

    async fn run<T: Send + 'static>(
        &self,
        timeout: Option<Duration>,
        operation: impl FnOnce(&Runtime, &CallOptions) -> Result<T, CniError> + Send + 'static,
    ) -> Result<T, CniError> {
        self.start(timeout, operation).end().await
    }

    fn start<T: Send + 'static>(
        &self,
        timeout: Option<Duration>,
        operation: impl FnOnce(&Runtime, &CallOptions) -> Result<T, CniError> + Send + 'static,
    ) -> Operation<T> {
        let runtime = Arc::clone(&self.runtime);
        let cancel = Cancel::default();
        let options = CallOptions { timeout, cancel: cancel.clone(), ..CallOptions::default() };
        let task = tokio::task::spawn_blocking(move || operation(&runtime, &options));
        Operation { task, cancel }
    }
}

/// One that is under way; cancelled when dropped.
struct Operation<T> {
    task: tokio::task::JoinHandle<Result<T, CniError>>,
    cancel: Cancel,
}

impl<T> Operation<T> {
    async fn end(mut self) -> Result<T, CniError> {
        match (&mut self.task).await {
            Ok(result) => result,
            Err(e) => Err(CniError::internal(format!("the operation did not end: {e}")).leaving(Effect::Unknown)),
        }
    }
}

impl<T> Drop for Operation<T> {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}
