//! Which files may be reached: Landlock (landlock(7)), as far as the kernel has
//! it.

use std::{fs::File, path::Path};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, PathBeneath, Ruleset, RulesetAttr as _, RulesetCreated,
    RulesetCreatedAttr as _, RulesetError, Scope,
};
use nix::fcntl::OFlag;
use wasm_cni_capabilities::needs::{Needs, Processes};
use wasm_cni_kernel::open;

/// The newest whose rights are named here; an older kernel does what it can.
const KNOWN: ABI = ABI::V6;

/// What iptables(8) locks (`XT_LOCK_NAME` of iptables/xshared.h).
const XTABLES_LOCK: &str = "/run/xtables.lock";

/// `made` is told of a directory that is not there, and whether it is one of an IPAM plugin's entries; is it there now?
/// Nothing is ever allowed in what is above it, but to remove an empty directory.
pub(super) fn restrict(needs: &Needs, made: &dyn Fn(&Path, bool) -> bool) -> Result<(), RulesetError> {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let write = AccessFs::from_all(KNOWN) & !BitFlags::from(AccessFs::Execute);
    let ruleset = Ruleset::default()
        .handle_access(AccessFs::from_all(KNOWN))?
        .handle_access(AccessNet::from_all(KNOWN))?
        .scope(Scope::from_all(KNOWN))?
        .create()?;
    // Sysctls are the calling thread's namespace's.
    let mut rules = Rules { ruleset }.allow("/proc", read)?.allow("/proc/sys/net", read | AccessFs::WriteFile)?;
    if needs.devices {
        rules = rules.allow("/sys", read)?;
    }
    if needs.processes == Processes::Iptables {
        // iptables(8), its libraries, and the lock of its older variant, which is made here: nothing else of `/run` is its.
        make_lock();
        rules = rules.allow("/", read | AccessFs::Execute)?.allow(XTABLES_LOCK, AccessFs::from_file(KNOWN) & write)?;
    }
    for file in needs.files.iter().filter(|file| file.is_file()) {
        rules = rules.allow(file, AccessFs::ReadFile.into())?;
    }
    for directory in &needs.namespaces {
        rules = rules.allow(directory, AccessFs::ReadFile.into())?;
    }
    let directories = needs.directories.iter().map(|directory| (directory, false));
    for (directory, is_store) in directories.chain(needs.stores.iter().map(|directory| (directory, true))) {
        let mut found = place(directory);
        if found.is_none() {
            let above = directory.ancestors().find_map(place);
            found = made(directory, is_store).then(|| place(directory)).flatten();
            // To take away what was made, if the ADD fails.
            if let (Some(_), Some(above)) = (&found, above) {
                rules = rules.allow_open(above, AccessFs::RemoveDir.into())?;
            }
        }
        if let Some(found) = found {
            rules = rules.allow_open(found, write)?;
        }
    }
    // The caller has seen to it, whether or not there is Landlock.
    rules.ruleset.no_new_privs(false).restrict_self().map(drop)
}

/// As iptables(8) makes it.
fn make_lock() {
    let _ = open(Path::new(XTABLES_LOCK), OFlag::O_RDONLY | OFlag::O_CREAT | OFlag::O_NOFOLLOW, 0o600);
}

/// A path, as a rule takes it, if it is there.
fn place(path: &Path) -> Option<File> {
    open(path, OFlag::O_PATH, 0).ok()
}

struct Rules {
    ruleset: RulesetCreated,
}

impl Rules {
    /// What is not there needs no rule.
    fn allow(self, path: impl AsRef<Path>, access: BitFlags<AccessFs>) -> Result<Self, RulesetError> {
        match place(path.as_ref()) {
            Some(file) => self.allow_open(file, access),
            None => Ok(self),
        }
    }

    fn allow_open(self, file: File, access: BitFlags<AccessFs>) -> Result<Self, RulesetError> {
        let ruleset = self.ruleset.add_rule(PathBeneath::new(file, access))?;
        Ok(Self { ruleset })
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, io::ErrorKind, path::PathBuf, process::Command, thread};

    use super::*;

    fn has_landlock() -> bool {
        // It counts in the kernel's list of security modules; the file is
        // securityfs's, which not every machine has mounted.
        let status = thread::spawn(|| Ruleset::default().handle_access(AccessFs::Execute)?.create()?.restrict_self());
        let status = status.join().unwrap().unwrap();
        let has = status.ruleset == landlock::RulesetStatus::FullyEnforced;
        if !has {
            eprintln!("skipped: this kernel has no Landlock");
        }
        has
    }

    fn set(paths: &[&Path]) -> BTreeSet<PathBuf> {
        paths.iter().map(|path| path.to_path_buf()).collect()
    }

    #[test]
    fn only_what_is_needed_is_within_reach() {
        if !has_landlock() {
            return;
        }
        // It goes with this thread, which may still remove it.
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_owned();
        let file = move |name: &str| path.join(name);
        fs::create_dir(file("leases")).unwrap();
        for name in ["secret", "resolv.conf"] {
            fs::write(file(name), "text").unwrap();
        }
        let needs = Needs {
            directories: set(&[&file("none")]),
            stores: set(&[&file("leases").join("net/deep"), &file("leases").join("other")]),
            files: set(&[&file("resolv.conf"), &file("missing")]),
            ..Needs::default()
        };
        let confined = move || {
            rustix::thread::set_no_new_privs(true).unwrap();
            let made = |path: &Path, is_store| path.ends_with("deep") && is_store && fs::create_dir_all(path).is_ok();
            restrict(&needs, &made).unwrap();
            fs::write(file("leases/net/deep/1"), "c1").unwrap();
            fs::rename(file("leases/net/deep/1"), file("leases/net/deep/2")).unwrap();
            assert_eq!(fs::read_to_string(file("leases/net/deep/2")).unwrap(), "c1");
            assert_eq!(fs::read_to_string(file("resolv.conf")).unwrap(), "text");
            fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap();

            let refused =
                |result: std::io::Result<()>| assert_eq!(result.unwrap_err().kind(), ErrorKind::PermissionDenied);
            refused(fs::read_to_string(file("secret")).map(drop));
            refused(fs::write(file("resolv.conf"), ""));
            refused(fs::write(file("new"), ""));
            // A directory that was not made allows nothing in the one above it.
            refused(fs::create_dir(file("none")));
            refused(fs::create_dir(file("leases/other")));
            refused(fs::write(file("leases/1"), ""));
            refused(fs::write(file("leases/net/1"), ""));
            // What was made can be taken away again.
            fs::remove_file(file("leases/net/deep/2")).unwrap();
            fs::remove_dir(file("leases/net/deep")).unwrap();
            fs::remove_dir(file("leases/net")).unwrap();
            refused(fs::remove_file(file("secret")));
            refused(fs::read_dir("/etc").map(drop));
            refused(fs::write("/proc/self/comm", "x"));
            refused(Command::new("/bin/true").spawn().map(drop));
            refused(std::net::TcpStream::connect("127.0.0.1:9").map(drop));
        };
        thread::spawn(confined).join().unwrap();
    }

    #[test]
    fn iptables_can_be_run_and_writes_no_more() {
        if !has_landlock() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let needs = Needs { processes: Processes::Iptables, ..Needs::default() };
        let path = folder.path().join("file");
        let confined = move || {
            rustix::thread::set_no_new_privs(true).unwrap();
            restrict(&needs, &|_, _| false).unwrap();
            assert!(Command::new("/bin/true").status().unwrap().success());
            assert_eq!(fs::write(path, "").unwrap_err().kind(), ErrorKind::PermissionDenied);
        };
        thread::spawn(confined).join().unwrap();
    }
}
