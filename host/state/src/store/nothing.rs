//! The entries of a directory that is not there: none, and none to add. Only an ADD makes one.

use std::io;

use nix::libc;

use super::Transaction;
use crate::files::Failure;

/// No entries.
#[derive(Debug)]
pub struct Nothing;

fn read_only() -> Failure {
    Failure { what: "write".to_owned(), source: io::Error::from_raw_os_error(libc::EROFS) }
}

impl Transaction for Nothing {
    fn get(&self, _: &str) -> Result<Option<Vec<u8>>, Failure> {
        Ok(None)
    }

    fn find(&self, _: &[u8]) -> Result<Vec<String>, Failure> {
        Ok(Vec::new())
    }

    fn keys(&self) -> Result<Vec<String>, Failure> {
        Ok(Vec::new())
    }

    fn is_stale(&self, _: &str) -> bool {
        false
    }

    fn create(&self, _: &str, _: &[u8]) -> Result<(), Failure> {
        Err(read_only())
    }

    fn put(&self, _: &str, _: &[u8]) -> Result<(), Failure> {
        Err(read_only())
    }

    fn delete(&self, _: &str) -> Result<(), Failure> {
        Ok(())
    }
}
