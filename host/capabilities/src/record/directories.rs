//! Directories that were made for something else, and the cached result.

use std::{fmt, path::PathBuf};

use serde::{Deserialize, Serialize};
use wasm_cni_state::{cache::Cache, files::remove_created};

use super::{
    effect::{Cleanup, Effect, Undone},
    scene::{Scene, Shared},
};
use crate::needs::Needs;

/// Directories that were made, outermost first.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Directories {
    /// Their paths.
    pub created: Vec<PathBuf>,
}

impl Effect for Directories {
    const TAG: &'static str = "folders";
    const IS_LINK: bool = false;

    fn is_inside(&self) -> bool {
        false
    }

    fn shared(&self, _: &Scene) -> Option<Shared<'_>> {
        Some(Shared::Other)
    }

    fn cleanup(&self) -> Cleanup {
        Cleanup::Never
    }

    fn needs(&self, _: &mut Needs) {}

    fn take_back(&self, _: &Scene) -> Result<Undone, String> {
        // Those that are not empty stay.
        remove_created(&self.created);
        Ok(Undone::All)
    }
}

impl fmt::Display for Directories {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.created.first() {
            Some(directory) => write!(f, "folder {}", directory.display()),
            None => f.write_str("folders"),
        }
    }
}

/// The cached result, where there was none before.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct CachedResult {
    /// The directory of cached results.
    pub directory: PathBuf,
}

impl Effect for CachedResult {
    const TAG: &'static str = "cached-result";
    const IS_LINK: bool = false;

    fn is_inside(&self) -> bool {
        false
    }

    fn shared(&self, _: &Scene) -> Option<Shared<'_>> {
        None
    }

    /// The cached result is the caller's to keep or to remove at DEL.
    fn cleanup(&self) -> Cleanup {
        Cleanup::Collect
    }

    fn needs(&self, _: &mut Needs) {}

    /// Nothing else than a cached result of this attachment is ever removed.
    fn take_back(&self, scene: &Scene) -> Result<Undone, String> {
        let cache = Cache::new(self.directory.clone());
        cache.remove_of(&scene.owner).map(|()| Undone::All).map_err(|e| e.to_string())
    }
}

impl fmt::Display for CachedResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cached result in {}", self.directory.display())
    }
}
