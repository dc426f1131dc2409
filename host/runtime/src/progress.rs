//! Work that may take long, told to whoever waits for it.

use crate::{plugin::Inner, runtime::Attachment};

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
pub(crate) type ProgressSink = Box<dyn Fn(&Progress<'_>) + Send + Sync>;

impl Inner {
    /// Does something of which this is said until it is over.
    pub(crate) fn saying<T>(&self, progress: &Progress<'_>, work: impl FnOnce() -> T) -> T {
        (self.progress)(progress);
        let done = work();
        (self.progress)(&Progress::Over);
        done
    }
}
