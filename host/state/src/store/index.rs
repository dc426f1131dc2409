//! Which keys have a value, without reading every entry: a hash table in a file
//! below `/run`, beside the directory and never instead of it.
//!
//! Other programs change the directory too, and know nothing of this. So whoever
//! changes both gives the directory a modification time that nobody else would,
//! and notes it here: any change by others makes it another one, and the
//! table is made anew. What it finds is looked at in the directory all the same;
//! what it does not find is not there, unless somebody has written into an entry
//! in place. All of it under the directory's lock.

use std::{
    fs::{self, File, Metadata},
    io,
    os::unix::fs::{FileExt as _, MetadataExt as _},
    path::{Path, PathBuf},
};

use nix::fcntl::OFlag;
use rustix::{
    fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_OMIT, utimensat},
    rand::{GetRandomFlags, getrandom},
};
use sha2::{Digest as _, Sha256};
use wasm_cni_kernel::open;

use crate::files::create_directories;

/// Of this format.
const MAGIC: [u8; 8] = *b"wcni-ix1";

/// Fewer entries are faster read than indexed.
pub(super) const WORTH_IT: usize = 48;

/// Octets of the header, and of a slot: the hash of a value, the length of a key,
/// the key.
const HEADER: usize = 64;
const SLOT: usize = 64;
const MAX_KEY: usize = SLOT - 9;

/// Lengths that stand for a slot that was never used, and for one that is free
/// again.
const UNUSED: u8 = 0;
const FREED: u8 = u8::MAX;

/// Slots that are read at once.
const WINDOW: u64 = 32;

/// A modification time of the directory. All zeros is none.
type Stamp = [u8; 16];

/// The table of one directory.
#[derive(Debug)]
pub(super) struct Index {
    file: File,
    directory: PathBuf,
    /// A power of two.
    slots: u64,
    /// Slots that have been used, with those that are free again.
    used: u64,
    /// Does the file still say that it is valid?
    is_valid: bool,
}

impl Index {
    /// The table, if there is one and nobody else has changed the directory.
    pub(super) fn open(folder: &Path, directory: &Path) -> Option<Self> {
        let metadata = fs::metadata(directory).ok()?;
        let file = open(&path(folder, &metadata), OFlag::O_RDWR | OFlag::O_NOFOLLOW, 0).ok()?;
        let mut header = [0; HEADER];
        file.read_exact_at(&mut header, 0).ok()?;
        let number = |at: usize| u64::from_le_bytes(header[at..at + 8].try_into().expect("eight octets"));
        let (slots, used) = (number(24), number(32));
        let stamp = stamp_of(&metadata);
        let valid = header[..8] == MAGIC && header[8..24] == stamp && slots.is_power_of_two() && used <= slots;
        valid.then(|| Self { file, directory: directory.to_owned(), slots, used, is_valid: true })
    }

    /// Makes the table anew, from all that the directory holds. None if a key is
    /// too long, or there can be none.
    pub(super) fn build<'a>(
        folder: &Path,
        directory: &Path,
        entries: impl ExactSizeIterator<Item = (&'a str, &'a [u8])>,
    ) -> Option<Self> {
        let slots = (entries.len() as u64 * 4).next_power_of_two().max(WINDOW * 4);
        let mut table = vec![0; HEADER + usize::try_from(slots).ok()? * SLOT];
        let mut used = 0;
        for (key, value) in entries {
            let slot = encode(key, value)?;
            let mut at = place(value, slots);
            while table[offset(at)..][8] != UNUSED {
                at = (at + 1) % slots;
            }
            table[offset(at)..][..SLOT].copy_from_slice(&slot);
            used += 1;
        }
        let path = path(folder, &fs::metadata(directory).ok()?);
        if !folder.is_dir() {
            create_directories(folder, 0o700).ok()?;
        }
        let _ = fs::remove_file(&path);
        let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW;
        let file = open(&path, flags, 0o600).ok()?;
        let mut index = Self { file, directory: directory.to_owned(), slots, used, is_valid: false };
        let written = index.file.write_all_at(&table, 0).and_then(|()| index.seal());
        if written.is_err() {
            let _ = fs::remove_file(path);
            return None;
        }
        Some(index)
    }

    /// The keys whose value may be this one.
    pub(super) fn find(&self, value: &[u8]) -> io::Result<Vec<String>> {
        let mut found = Vec::new();
        self.probe(value, |_, slot| {
            if slot[..8] == hash(value) {
                found.extend(decode(slot));
            }
            false
        })?;
        Ok(found)
    }

    pub(super) fn is_valid(&self) -> bool {
        self.is_valid
    }

    /// Before the directory is changed: whoever finds the table from now on finds
    /// it invalid, until [`Index::seal`].
    pub(super) fn unseal(&mut self) -> io::Result<()> {
        if self.is_valid {
            self.file.write_all_at(&[0; 16], 8)?;
            self.is_valid = false;
        }
        Ok(())
    }

    /// An entry has been added. False if there is no room for it.
    pub(super) fn added(&mut self, key: &str, value: &[u8]) -> io::Result<bool> {
        let Some(slot) = encode(key, value) else { return Ok(false) };
        // A table that is nearly full is slow.
        if self.used >= self.slots / 4 * 3 {
            return Ok(false);
        }
        let mut free = None;
        let end = self.probe(value, |at, slot| {
            free = (slot[8] == FREED).then_some(at);
            free.is_some()
        })?;
        let Some(at) = free.or(end) else { return Ok(false) };
        self.file.write_all_at(&slot, offset(at) as u64)?;
        self.used += u64::from(free.is_none());
        Ok(true)
    }

    /// An entry has been removed.
    pub(super) fn removed(&mut self, key: &str, value: &[u8]) -> io::Result<()> {
        let Some(wanted) = encode(key, value) else { return Ok(()) };
        let mut found = None;
        self.probe(value, |at, slot| {
            found = (slot == wanted).then_some(at);
            found.is_some()
        })?;
        if let Some(at) = found {
            self.file.write_all_at(&[FREED], offset(at) as u64 + 8)?;
        }
        Ok(())
    }

    /// The table says what the directory holds as it is now.
    pub(super) fn seal(&mut self) -> io::Result<()> {
        let mut unique = [0; 4];
        getrandom(&mut unique, GetRandomFlags::empty())?;
        // The seconds are those of now; the kernel's own nanoseconds are those of a
        // clock that ticks, and hardly ever these.
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let time = Timespec {
            tv_sec: now.as_secs().try_into().map_err(io::Error::other)?,
            tv_nsec: (u32::from_ne_bytes(unique) % 999_999_999 + 1).into(),
        };
        let omit = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
        let times = Timestamps { last_access: omit, last_modification: time };
        utimensat(CWD, &self.directory, &times, AtFlags::empty())?;
        let stamp = stamp_of(&fs::metadata(&self.directory)?);
        // A file system that keeps no nanoseconds cannot tell.
        if stamp[8..] != time.tv_nsec.to_le_bytes() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let mut header = [0; HEADER];
        header[..8].copy_from_slice(&MAGIC);
        header[8..24].copy_from_slice(&stamp);
        header[24..32].copy_from_slice(&self.slots.to_le_bytes());
        header[32..40].copy_from_slice(&self.used.to_le_bytes());
        self.file.write_all_at(&header, 0)?;
        self.is_valid = true;
        Ok(())
    }

    /// Looks at the slots where the value would be, until `stop` says so or one
    /// was never used: that one's number comes back.
    fn probe(&self, value: &[u8], mut stop: impl FnMut(u64, &[u8]) -> bool) -> io::Result<Option<u64>> {
        let first = place(value, self.slots);
        let mut looked_at = 0;
        let mut window = vec![0; usize::try_from(WINDOW).expect("small") * SLOT];
        while looked_at < self.slots {
            let at = (first + looked_at) % self.slots;
            let count = WINDOW.min(self.slots - at);
            let octets = usize::try_from(count).expect("small") * SLOT;
            self.file.read_exact_at(&mut window[..octets], offset(at) as u64)?;
            for (number, slot) in (at..).zip(window[..octets].chunks_exact(SLOT)) {
                if slot[8] == UNUSED {
                    return Ok(Some(number));
                }
                if stop(number, slot) {
                    return Ok(None);
                }
            }
            looked_at += count;
        }
        Ok(None)
    }
}

/// Where a directory's table is: by what the directory is, whatever its path.
fn path(folder: &Path, directory: &Metadata) -> PathBuf {
    folder.join(format!("{:x}-{}", directory.dev(), directory.ino()))
}

fn stamp_of(directory: &Metadata) -> Stamp {
    let mut stamp = [0; 16];
    stamp[..8].copy_from_slice(&directory.mtime().to_le_bytes());
    stamp[8..].copy_from_slice(&directory.mtime_nsec().to_le_bytes());
    stamp
}

fn offset(slot: u64) -> usize {
    HEADER + usize::try_from(slot).expect("the table fits into memory") * SLOT
}

fn hash(value: &[u8]) -> [u8; 8] {
    Sha256::digest(value.trim_ascii())[..8].try_into().expect("a digest is longer")
}

fn place(value: &[u8], slots: u64) -> u64 {
    u64::from_le_bytes(hash(value)) % slots
}

fn encode(key: &str, value: &[u8]) -> Option<[u8; SLOT]> {
    let length = u8::try_from(key.len()).ok().filter(|length| (1..=MAX_KEY).contains(&usize::from(*length)))?;
    let mut slot = [0; SLOT];
    slot[..8].copy_from_slice(&hash(value));
    slot[8] = length;
    slot[9..9 + key.len()].copy_from_slice(key.as_bytes());
    Some(slot)
}

fn decode(slot: &[u8]) -> Option<String> {
    let key = slot.get(9..9 + usize::from(slot[8]).min(MAX_KEY))?;
    (slot[8] != FREED).then(|| String::from_utf8(key.to_vec()).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Scene {
        folder: tempfile::TempDir,
    }

    impl Scene {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            fs::create_dir(folder.path().join("n1")).unwrap();
            Self { folder }
        }

        fn directory(&self) -> PathBuf {
            self.folder.path().join("n1")
        }

        fn tables(&self) -> PathBuf {
            self.folder.path().join("index")
        }

        fn build(&self, entries: &[(String, Vec<u8>)]) -> Option<Index> {
            let entries = entries.iter().map(|(key, value)| (key.as_str(), value.as_slice()));
            Index::build(&self.tables(), &self.directory(), entries)
        }

        fn open(&self) -> Option<Index> {
            Index::open(&self.tables(), &self.directory())
        }
    }

    fn entries(count: usize) -> Vec<(String, Vec<u8>)> {
        (0..count).map(|i| (format!("10.0.{}.{}", i / 256, i % 256), format!("c{i}\r\neth0").into_bytes())).collect()
    }

    #[test]
    fn every_entry_is_found_and_nothing_else() {
        let scene = Scene::new();
        let entries = entries(3000);
        drop(scene.build(&entries).unwrap());
        let index = scene.open().unwrap();
        for (key, value) in &entries {
            assert_eq!(index.find(value).unwrap(), std::slice::from_ref(key));
        }
        assert!(index.find(b"c3000\r\neth0").unwrap().is_empty());
    }

    #[test]
    fn what_others_change_makes_it_invalid() {
        let scene = Scene::new();
        drop(scene.build(&entries(100)).unwrap());
        assert!(scene.open().is_some());
        // At once, within the same tick of the clock.
        fs::write(scene.directory().join("10.0.9.9"), "x").unwrap();
        assert!(scene.open().is_none());
        drop(scene.build(&entries(100)).unwrap());
        fs::remove_file(scene.directory().join("10.0.9.9")).unwrap();
        assert!(scene.open().is_none());
    }

    #[test]
    fn half_a_change_makes_it_invalid() {
        let scene = Scene::new();
        drop(scene.build(&entries(100)).unwrap());
        let mut index = scene.open().unwrap();
        index.unseal().unwrap();
        assert!(index.added("10.1.0.1", b"new").unwrap());
        drop(index);
        assert!(scene.open().is_none());
    }

    #[test]
    fn it_follows_what_is_added_and_removed_until_it_is_full() {
        let scene = Scene::new();
        let mut known = entries(50);
        drop(scene.build(&known).unwrap());
        let mut full = false;
        for i in 0..400_usize {
            let mut index = scene.open().unwrap();
            index.unseal().unwrap();
            let (key, value) = (format!("10.9.{}.{}", i / 256, i % 256), format!("n{}", i % 7).into_bytes());
            full = !index.added(&key, &value).unwrap();
            if full {
                break;
            }
            known.push((key, value));
            if i % 3 == 0 {
                let (key, value) = known.remove(i % known.len());
                index.removed(&key, &value).unwrap();
            }
            index.seal().unwrap();
            drop(index);
            let index = scene.open().unwrap();
            for (_, value) in &known {
                let mut expected: Vec<_> = known.iter().filter(|(_, v)| v == value).map(|(key, _)| key).collect();
                let mut found = index.find(value).unwrap();
                expected.sort();
                found.sort();
                assert_eq!(found.iter().collect::<Vec<_>>(), expected);
            }
        }
        assert!(full);
    }

    #[test]
    fn a_key_that_is_too_long_has_no_table() {
        let scene = Scene::new();
        assert!(scene.build(&[("x".repeat(MAX_KEY), b"v".to_vec())]).is_some());
        assert!(scene.build(&[("x".repeat(MAX_KEY + 1), b"v".to_vec())]).is_none());
    }
}
