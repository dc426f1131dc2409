use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn soon() -> Deadline {
    Deadline::after(Duration::from_millis(50))
}

#[test]
fn entries_are_files_in_the_references_format() {
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("networks/n1");
    let directory = Directory::open(&path, None).unwrap();
    assert!(directory.is_new());
    let lock = directory.lock(&soon()).unwrap();
    lock.create("fd00:10::2", b"c1\r\neth0").unwrap();
    lock.put("last_reserved_ip.0", b"fd00:10::2").unwrap();

    assert_eq!(fs::read(path.join("fd00:10::2")).unwrap(), b"c1\r\neth0");
    let mode = |name: &str| fs::metadata(path.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("fd00:10::2"), 0o600);
    assert_eq!(mode("lock") & 0o700, 0o700);
    assert_eq!(lock.keys().unwrap(), ["fd00:10::2", "last_reserved_ip.0"]);
    assert_eq!(lock.create("fd00:10::2", b"x").unwrap_err().errno(), libc::EEXIST);
    assert_eq!(fs::read_dir(&path).unwrap().count(), 3, "nothing temporary is left");
}

#[test]
fn a_lock_that_is_held_is_waited_for_until_the_deadline() {
    let temporary = tempfile::tempdir().unwrap();
    let directory = Directory::open(temporary.path(), None).unwrap();
    let held = directory.lock(&soon()).unwrap();
    assert_eq!(directory.lock(&soon()).unwrap_err().errno(), libc::ETIMEDOUT);
    drop(held);
    directory.lock(&soon()).unwrap();
}

#[test]
fn a_directory_goes_with_its_last_entry_and_not_before() {
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("a/b");
    let directory = Directory::open(&path, None).unwrap();
    directory.lock(&soon()).unwrap().create("10.0.0.2", b"c1").unwrap();
    directory.remove_if_unused().unwrap();
    assert!(path.join("10.0.0.2").exists());
    directory.lock(&soon()).unwrap().delete("10.0.0.2").unwrap();
    directory.remove_if_unused().unwrap();
    assert!(!temporary.path().join("a").exists());
    assert!(temporary.path().exists());
}

#[test]
fn who_comes_as_the_last_one_leaves_gets_a_lock_that_locks() {
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("a/b");
    std::thread::scope(|scope| {
        for i in 0..8 {
            let path = &path;
            scope.spawn(move || {
                for round in 0..50 {
                    let directory = Directory::open(path, None).unwrap();
                    let key = format!("{i}-{round}");
                    directory.lock(&Deadline::after(Duration::from_secs(10))).unwrap().create(&key, b"x").unwrap();
                    let lock = directory.lock(&Deadline::after(Duration::from_secs(10))).unwrap();
                    assert!(lock.get(&key).unwrap().is_some(), "{key} is gone");
                    lock.delete(&key).unwrap();
                    drop(lock);
                    directory.remove_if_unused().unwrap();
                }
            });
        }
    });
}

#[test]
fn a_failure_names_operation_file_and_reason() {
    let temporary = tempfile::tempdir().unwrap();
    let file = temporary.path().join("file");
    fs::write(&file, "").unwrap();
    let error = Directory::open(&file.join("n1"), None).unwrap_err();
    assert_eq!(error.to_string(), format!("mkdir {}: not a directory", file.display()));
}
