//! What an effect is: plain data, written down before it happens, that knows how to take itself back.

use std::{any::Any, fmt, sync::Arc};

use serde::{Serialize, de::DeserializeOwned};

use super::scene::{Scene, Shared};
pub use super::undone::Undone;
use crate::needs::Needs;

/// One effect. Every function is required: what an effect leaves out here, a container that is gone would leave on the host.
pub trait Effect: Serialize + DeserializeOwned + fmt::Display + fmt::Debug + Clone + Send + Sync + 'static {
    /// Names it in the record's file. Files outlive builds: a tag never comes to mean something else.
    const TAG: &'static str;

    /// Whether it made a link: of all effects, links take the longest to take back.
    const IS_LINK: bool;

    /// Whether it is in the container's namespace: then the record says which that is.
    fn is_inside(&self) -> bool;

    /// Whether other attachments may use it too.
    fn shared(&self, scene: &Scene) -> Option<Shared<'_>>;

    /// When the record of an attachment takes it back.
    fn cleanup(&self) -> Cleanup;

    /// What taking it back needs of the system.
    fn needs(&self, needs: &mut Needs);

    /// Takes it back: exactly what it is, if it is there. What is gone already is no failure.
    ///
    /// # Errors
    ///
    /// Why that did not work, for people.
    fn take_back(&self, scene: &Scene) -> Result<Undone, String>;
}

/// When the record of an attachment, kept from ADD to DEL, takes an effect back, after the plugins have done their part.
/// A failed ADD takes back every effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cleanup {
    /// At DEL and at GC: it is the attachment's alone.
    Detach,
    /// At GC, and at a DEL whose plugins failed.
    DetachAfterFailure,
    /// At GC only: at DEL it is the caller's to decide.
    Collect,
    /// Never: it goes with the container's interface, or stays for others.
    Never,
}

/// An effect of whichever type.
pub trait Recorded: fmt::Display + fmt::Debug + Send + Sync {
    /// See [`Effect::TAG`].
    fn tag(&self) -> &'static str;
    /// See [`Effect::IS_LINK`].
    fn is_link(&self) -> bool;
    /// As it is in the file.
    ///
    /// # Errors
    ///
    /// If it cannot be written as JSON.
    fn json(&self) -> serde_json::Result<String>;
    /// See [`Effect::is_inside`].
    fn is_inside(&self) -> bool;
    /// See [`Effect::shared`].
    fn shared(&self, scene: &Scene) -> Option<Shared<'_>>;
    /// See [`Effect::cleanup`].
    fn cleanup(&self) -> Cleanup;
    /// See [`Effect::needs`].
    fn needs(&self, needs: &mut Needs);
    /// See [`Effect::take_back`].
    ///
    /// # Errors
    ///
    /// The same.
    fn take_back(&self, scene: &Scene) -> Result<Undone, String>;
    /// For those who look for effects of one type.
    fn as_any(&self) -> &dyn Any;
}

/// An effect on the record.
pub type Entry = Arc<dyn Recorded>;

impl<E: Effect> Recorded for E {
    fn tag(&self) -> &'static str {
        E::TAG
    }

    fn is_link(&self) -> bool {
        E::IS_LINK
    }

    fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string(self)
    }

    fn is_inside(&self) -> bool {
        Effect::is_inside(self)
    }

    fn shared(&self, scene: &Scene) -> Option<Shared<'_>> {
        Effect::shared(self, scene)
    }

    fn cleanup(&self) -> Cleanup {
        Effect::cleanup(self)
    }

    fn needs(&self, needs: &mut Needs) {
        Effect::needs(self, needs);
    }

    fn take_back(&self, scene: &Scene) -> Result<Undone, String> {
        Effect::take_back(self, scene)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
