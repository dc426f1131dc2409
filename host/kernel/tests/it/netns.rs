//! Namespaces: what opens, what doesn't, and where code runs.

use std::fs::{self, File};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::{process, thread};

use wasm_cni_kernel::{Netns, NetnsId, OpenError};

use crate::sandbox::{Sandbox, devices, isolated, sh};

fn path_of(netns: &Netns) -> PathBuf {
    format!("/proc/{}/fd/{}", process::id(), netns.as_fd().as_raw_fd()).into()
}

/// What a link in `/proc` says of it.
fn file(netns: &Netns) -> String {
    fs::read_link(path_of(netns)).unwrap().display().to_string()
}

/// As the kernel gives inode numbers again, a namespace that comes later may be in the
/// same file by its number.
#[test]
fn a_namespace_is_not_known_by_its_file() {
    isolated(|Sandbox { .. }| {
        let ids: Vec<_> = (0..64).map(|_| Netns::create().unwrap().id().unwrap()).collect();
        if matches!(ids[0], NetnsId::File(..)) {
            eprintln!("skipped: this kernel has no SO_NETNS_COOKIE");
            return;
        }
        let mut different = ids.clone();
        different.sort();
        different.dedup();
        assert_eq!(different.len(), ids.len());
    });
}

#[test]
fn the_same_namespace_is_recognised_by_whatever_path() {
    isolated(|Sandbox { host, container }| {
        assert!(!host.is_same(&container));
        assert!(host.is_same(&Netns::open(Path::new("/proc/self/ns/net")).unwrap()));
        let again = Netns::open(&path_of(&container)).unwrap();
        assert!(container.is_same(&again));
        assert_eq!(container.id().unwrap(), again.id().unwrap());
        assert_ne!(container.id().unwrap(), host.id().unwrap());
        assert_eq!(devices(&container), ["lo"]);
    });
}

#[test]
fn code_runs_inside_and_the_thread_comes_back() {
    isolated(|Sandbox { host, container }| {
        let here = thread::current().id();
        let link = |_| fs::read_link("/proc/thread-self/ns/net").unwrap().display().to_string();

        let inside = file(&container);
        let outside = file(&host);

        assert_eq!(container.run(|| (thread::current().id(), link(()))).unwrap(), (here, inside.clone()));
        assert_eq!(link(()), outside);
        assert!(container.run(|| Netns::current().unwrap().is_same(&container)).unwrap());
        assert_eq!(host.run(|| link(())).unwrap(), outside);
        // One in the other, and back in the right order.
        let nested = container.run(|| (host.run(|| link(())).unwrap(), link(()))).unwrap();
        assert_eq!(nested, (outside.clone(), inside.clone()));
        // A panic does not leave it inside.
        let panicked = std::panic::catch_unwind(|| container.run(|| panic!("on purpose")).unwrap());
        assert!(panicked.is_err());
        assert_eq!(link(()), outside);

        let (there, apart) = container.run_apart(|| (thread::current().id(), link(()))).unwrap();
        assert_ne!(there, here);
        assert_eq!(apart, inside);
    });
}

#[test]
fn a_mounted_namespace_outlives_its_path() {
    isolated(|Sandbox { host, container }| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ns");
        File::create(&path).unwrap();
        sh(&host, &format!("mount --bind {} {}", path_of(&container).display(), path.display()));
        // The mount alone keeps it now.
        let id = container.id().unwrap();
        drop(container);
        let opened = Netns::open(&path).unwrap();
        assert_eq!(opened.id().unwrap(), id);
        sh(&host, &format!("umount --lazy {}", path.display()));
        assert_eq!(devices(&opened), ["lo"]);
        assert_eq!(opened.connect().unwrap().links().unwrap().len(), 1);
    });
}

#[test]
fn what_is_no_network_namespace_is_refused() {
    isolated(|_| {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        File::create(at("file")).unwrap();
        symlink("nowhere", at("dangling")).unwrap();
        symlink("loop", at("loop")).unwrap();
        nix::unistd::mkfifo(&at("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let refused = |path: &Path| Netns::open(path).unwrap_err();

        for missing in [at("none"), at("dangling"), at("none/deeper")] {
            let error = refused(&missing);
            assert!(matches!(error, OpenError::Missing { .. }), "{error:?}");
            let text = format!("failed to Statfs {missing:?}: no such file or directory");
            assert_eq!(error.to_string(), text);
        }
        for (path, reason) in
            [(at("file/deeper"), "not a directory"), (at("loop"), "too many levels of symbolic links")]
        {
            let error = refused(&path);
            assert!(matches!(error, OpenError::Other { .. }), "{error:?}");
            assert_eq!(error.to_string(), format!("failed to Statfs {path:?}: {reason}"));
        }
        for path in [at("file"), at("fifo"), at(""), "/dev/null".into(), "/proc/self/status".into()] {
            let error = refused(&path);
            assert!(matches!(error, OpenError::NotANamespace { .. }), "{error:?}");
        }
        let status = refused(Path::new("/proc/self/status"));
        assert_eq!(status.to_string(), r#"unknown FS magic on "/proc/self/status": 9fa0"#);
        for kind in ["mnt", "pid", "user", "uts"] {
            let path = PathBuf::from(format!("/proc/self/ns/{kind}"));
            let error = refused(&path);
            assert!(matches!(error, OpenError::NotNetwork { .. }), "{error:?}");
            assert_eq!(error.to_string(), format!("{path:?} is not a network namespace"));
        }
    });
}

#[test]
fn a_namespace_that_may_not_be_entered_may_be_compared() {
    isolated(|Sandbox { host, .. }| {
        let machine = Netns::open(Path::new("/proc/self/fd/0")).unwrap();
        assert!(!machine.is_same(&host));
        let error = machine.connect().unwrap_err();
        assert_eq!(error.to_string(), "netns-enter: operation not permitted");
    });
}
