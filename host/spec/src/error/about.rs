//! What programs can match on in an error: its kind, the plugin, what is left, the source. None of it is part of the JSON.

use std::{error::Error, sync::Arc};

use super::code;

/// What went wrong, for programs; see [`CniError::kind`](super::CniError::kind).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A network configuration, a policy, a version or a cached result is not valid.
    Config,
    /// A parameter is not valid: container ID, interface name, variable.
    Argument,
    /// There is no plugin of this type, or it cannot be loaded.
    NoPlugin,
    /// The network namespace does not exist, is not one, or cannot be entered.
    Netns,
    /// The interface, or something else that is to be created, exists already.
    Exists,
    /// The plugin ran and returned an error of its own: see the code.
    Refused,
    /// The plugin ended without an answer: it trapped, or returned something invalid.
    Crashed,
    /// The plugin used up its memory, its host calls or its depth of delegation.
    Limit,
    /// The time is up.
    TimedOut,
    /// The caller cancelled it, or dropped its future.
    Cancelled,
    /// A grant is missing: the policy does not allow it.
    Denied,
    /// A file cannot be read or written, or a process cannot be started.
    Io,
    /// The kernel refused. The number is its errno (errno(3)).
    Kernel(i32),
    /// Anything else.
    Other,
}

impl ErrorKind {
    /// The kind of an error that has only its code.
    pub(super) fn of_code(code: u32) -> Self {
        match code {
            code::VERSION | code::UNSUPPORTED_FIELD | code::DECODE | code::CONFIG => Self::Config,
            code::CONTAINER | code::ENVIRONMENT => Self::Argument,
            code::IO => Self::Io,
            code::NETNS => Self::Netns,
            _ => Self::Other,
        }
    }
}

/// What a failed ADD left behind; see [`CniError::effect`](super::CniError::effect). Ordered from nothing to the worst.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Effect {
    /// Nothing: it did nothing, or all of it was undone.
    #[default]
    Nothing,
    /// Something inside the container's namespace. It goes with the namespace.
    ContainerOnly,
    /// Something on the host. The next ADD, DEL or GC tries again to undo it.
    Host,
    /// Not known: a native plugin took part, and only its DEL can undo what it did.
    Unknown,
}

/// What is known of an error beside its texts.
#[derive(Clone, Debug, Default)]
pub(super) struct About {
    /// None: what the code says.
    pub(super) kind: Option<ErrorKind>,
    pub(super) plugin: Option<Box<str>>,
    pub(super) effect: Effect,
    pub(super) hint: Option<Box<str>>,
    pub(super) source: Option<Arc<dyn Error + Send + Sync>>,
}

impl About {
    /// Of an error that was read: whoever wrote it may have left anything.
    pub(super) fn unknown() -> Self {
        Self { effect: Effect::Unknown, ..Self::default() }
    }
}
