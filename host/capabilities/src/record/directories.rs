//! Directories that were made for something else, and files that the host wrote.

use std::{fmt, fs, io, path::PathBuf};

use serde::{Deserialize, Serialize};
use wasm_cni_state::files::remove_created;

use super::{
    effect::{Cleanup, Effect},
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

    fn take_back(&self, _: &Scene) -> Result<(), String> {
        // Those that are not empty stay.
        remove_created(&self.created);
        Ok(())
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

/// A file that was written, the cached result.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct File {
    /// Its path.
    pub path: PathBuf,
}

impl Effect for File {
    const TAG: &'static str = "file";
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

    fn take_back(&self, _: &Scene) -> Result<(), String> {
        match fs::remove_file(&self.path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e.to_string()),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())
    }
}
