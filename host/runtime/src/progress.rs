//! Work that may take long, told to whoever waits for it.

use std::sync::Arc;

use wasm_cni_spec::attachment::Attachment;

/// What an operation is at; see [`crate::Builder::progress`].
#[derive(Debug)]
#[non_exhaustive]
pub enum Progress<'a> {
    /// Native code is made of this plugin.
    Compiling {
        /// Its type.
        plugin: &'a str,
    },
    /// GC detaches this container.
    Detaching {
        /// The container and its interface.
        attachment: &'a Attachment,
        /// Which of them it is, from 1 on.
        number: usize,
        /// How many there are.
        of: usize,
    },
    /// What a call has left that was killed is taken back.
    TakingBack {
        /// The container.
        container_id: &'a str,
        /// Which of them it is, from 1 on.
        number: usize,
        /// How many there are.
        of: usize,
    },
    /// It is done, or has failed.
    Over,
}

/// Where it goes.
pub(crate) type ProgressSink = Arc<dyn Fn(&Progress<'_>) + Send + Sync>;
