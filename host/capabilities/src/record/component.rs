//! That a third-party component took part, which may have been removed by the time of the DEL.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{
    effect::{Cleanup, Effect, Undone},
    scene::{Scene, Shared},
};
use crate::needs::Needs;

/// A third-party component that took part. There is nothing to take back.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Component {
    /// Its type.
    pub kind: String,
    /// SHA-256 of its file.
    pub digest: String,
}

impl Effect for Component {
    const TAG: &'static str = "component";
    const IS_LINK: bool = false;

    fn is_inside(&self) -> bool {
        false
    }

    fn shared(&self, _: &Scene) -> Option<Shared<'_>> {
        None
    }

    fn cleanup(&self) -> Cleanup {
        Cleanup::Never
    }

    fn needs(&self, _: &mut Needs) {}

    fn take_back(&self, _: &Scene) -> Result<Undone, String> {
        Ok(Undone::All)
    }
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "plugin {:?} (sha256:{})", self.kind, self.digest)
    }
}
