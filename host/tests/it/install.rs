//! `install` and `uninstall`: nothing half-done at any moment, nothing of others
//! lost.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::machine::{Machine, PROGRAM, feed, installed, script, text};

const NAMES: [&str; 9] =
    ["bridge", "dummy", "host-device", "host-local", "loopback", "macvlan", "ptp", "sbr", "static"];

/// A plugin that is not ours, and that answers like one.
const FOREIGN: &str = "#!/bin/sh\n\
    cat >/dev/null; echo '{\"cniVersion\":\"1.1.0\",\"supportedVersions\":[\"1.0.0\"]}' # foreign\n";

fn run(arguments: &[&str], folder: &Path) -> Output {
    Command::new(PROGRAM).args(arguments).arg(folder).output().unwrap()
}

fn done(arguments: &[&str], folder: &Path) -> String {
    let output = run(arguments, folder);
    assert!(output.status.success(), "{arguments:?}: {}", text(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// Written by another process: one that this one starts at the same moment would
/// hold it open for writing, and nobody could execute it.
fn write(path: &Path, content: &str, mode: u32) {
    let mut command = Command::new("sh");
    command.args(["-euc", "cat >\"$1\"; chmod \"$2\" \"$1\"", "sh"]).arg(path).arg(format!("{mode:o}"));
    assert!(feed(command, content).status.success());
}

/// For the same reason.
fn shell(script: &str, folder: &Path) {
    assert!(Command::new("sh").args(["-euc", script]).current_dir(folder).status().unwrap().success());
}

/// Where a program says which build it is.
fn marked(program: &[u8]) -> usize {
    let mark = b"\x01wasm-cni program ";
    program.windows(mark.len()).position(|window| window == mark).unwrap() + mark.len()
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// VERSION, as a runtime asks for it.
fn version(plugin: &Path) -> Result<String, String> {
    let mut command = Command::new(plugin);
    command.env("CNI_COMMAND", "VERSION").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = command.spawn().and_then(|child| child.wait_with_output()).map_err(|e| e.to_string())?;
    let answer: Result<Value, _> = serde_json::from_slice(&output.stdout);
    match answer {
        Ok(answer) if answer["supportedVersions"].is_array() => Ok(answer.to_string()),
        _ => Err(text(&output)),
    }
}

#[test]
fn install_creates_a_directory_and_uninstall_empties_it() {
    let parent = TempDir::new().unwrap();
    let folder = parent.path().join("a/bin");
    let dry = run(&["install", "--dry-run"], &folder);
    assert!(!folder.exists(), "{}", text(&dry));
    let real = done(&["install"], &folder);
    assert_eq!(String::from_utf8(dry.stdout).unwrap(), real, "the same words");
    assert!(real.contains("bridge: link to wasm-cni\n"), "{real}");

    let mut expected: Vec<_> = NAMES.map(str::to_owned).into();
    expected.extend(["wasm-cni".to_owned(), "wasm-cni-compile".to_owned()]);
    assert_eq!(names(&folder), expected);
    let inode = |name: &str| fs::symlink_metadata(folder.join(name)).unwrap().ino();
    assert_eq!(inode("bridge"), inode("wasm-cni"));
    assert_eq!(fs::metadata(folder.join("wasm-cni")).unwrap().permissions().mode() & 0o7777, 0o755);
    assert!(fs::read(folder.join("wasm-cni")).unwrap() == fs::read(PROGRAM).unwrap());
    version(&folder.join("bridge")).unwrap();

    let again = done(&["install"], &folder);
    assert!(again.lines().all(|line| line.ends_with(": is up to date")), "{again}");
    // From itself.
    let from_itself = Command::new(folder.join("wasm-cni")).arg("install").arg(&folder).output().unwrap();
    assert_eq!(String::from_utf8(from_itself.stdout).unwrap(), again);

    let dry = done(&["uninstall", "--dry-run"], &folder);
    assert_eq!(names(&folder), expected);
    assert_eq!(done(&["uninstall"], &folder), dry);
    assert_eq!(names(&folder), [""; 0]);
    let nothing = run(&["uninstall"], &folder);
    assert!(nothing.status.success() && text(&nothing).contains("nothing of wasm-cni is in "), "{}", text(&nothing));
}

#[test]
fn only_some_names() {
    let folder = TempDir::new().unwrap();
    done(&["install", "--only", "bridge,ptp"], folder.path());
    assert_eq!(names(folder.path()), ["bridge", "ptp", "wasm-cni", "wasm-cni-compile"]);
    let unknown = run(&["install", "--only", "nope"], folder.path());
    assert!(text(&unknown).contains("\"nope\" is not a bundled plugin; there are bridge, "), "{}", text(&unknown));
}

#[test]
fn another_build_of_the_program_is_replaced() {
    let folder = TempDir::new().unwrap();
    let mut other = fs::read(PROGRAM).unwrap();
    let at = marked(&other);
    other[at..at + 5].copy_from_slice(b"0.0.9");
    fs::write(folder.path().join("wasm-cni"), other).unwrap();
    fs::hard_link(folder.path().join("wasm-cni"), folder.path().join("bridge")).unwrap();
    std::os::unix::fs::symlink("wasm-cni", folder.path().join("ptp")).unwrap();
    let out = done(&["install"], folder.path());
    assert!(out.contains("wasm-cni: write, replacing version 0.0.9 ("), "{out}");
    assert_eq!(out.matches(": link to wasm-cni\n").count(), NAMES.len(), "{out}");
    for name in ["wasm-cni", "bridge", "ptp"] {
        assert!(fs::read(folder.path().join(name)).unwrap() == fs::read(PROGRAM).unwrap(), "{name}");
    }
}

#[test]
fn an_upgrade_updates_only_what_is_installed() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    let nothing = |folder: &Path| {
        let output = run(&["install", "--upgrade"], folder);
        assert!(output.status.success() && output.stdout.is_empty(), "{}", text(&output));
        assert!(text(&output).contains("nothing of wasm-cni is in "), "{}", text(&output));
    };
    nothing(&path("nope"));
    assert!(!path("nope").exists());
    // Links to the program where it is: they are up to date by themselves.
    std::os::unix::fs::symlink(PROGRAM, path("bridge")).unwrap();
    nothing(folder.path());
    assert_eq!(names(folder.path()), ["bridge"]);
    assert_eq!(fs::read_link(path("bridge")).unwrap(), PathBuf::from(PROGRAM));
    fs::remove_file(path("bridge")).unwrap();

    let mut other = fs::read(PROGRAM).unwrap();
    let at = marked(&other);
    other[at..at + 5].copy_from_slice(b"0.0.9");
    fs::write(path("wasm-cni"), other).unwrap();
    shell("ln wasm-cni bridge; ln -s wasm-cni ptp; echo foreign >static", folder.path());
    let out = done(&["install", "--upgrade"], folder.path());
    assert!(out.contains("wasm-cni: write, replacing version 0.0.9 ("), "{out}");
    for name in ["wasm-cni", "bridge", "ptp"] {
        assert!(fs::read(path(name)).unwrap() == fs::read(PROGRAM).unwrap(), "{name}");
    }
    assert_eq!(names(folder.path()), ["bridge", "ptp", "static", "wasm-cni", "wasm-cni-compile"]);
    assert_eq!(fs::read_to_string(path("static")).unwrap(), "foreign\n");
    let again = done(&["install", "--upgrade"], folder.path());
    assert!(again.lines().count() == 4 && again.lines().all(|line| line.ends_with(": is up to date")), "{again}");
}

#[test]
fn foreign_files_are_refused_or_kept_and_restored_byte_for_byte() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    write(&path("bridge"), FOREIGN, 0o4711);
    write(&path("portmap"), FOREIGN, 0o755);
    write(&path("elsewhere"), "x", 0o600);
    std::os::unix::fs::symlink("elsewhere", path("ptp")).unwrap();
    let before = fs::metadata(path("bridge")).unwrap();

    let refused = run(&["install"], folder.path());
    assert_eq!(refused.status.code(), Some(1));
    let said = text(&refused);
    assert!(
        said.contains("has files that are not from wasm-cni: bridge, ptp\n") && said.contains("--replace"),
        "{said}"
    );
    assert_eq!(names(folder.path()), ["bridge", "elsewhere", "portmap", "ptp"], "nothing has changed");

    let out = done(&["install", "--replace"], folder.path());
    let line = "bridge: link to wasm-cni, keep the existing file as .wasm-cni-replaced/bridge\n";
    assert!(out.contains(line), "{out}");
    assert_eq!(names(&path(".wasm-cni-replaced")), ["bridge", "ptp"]);
    // The names are ours now: nothing is kept a second time.
    done(&["install", "--replace"], folder.path());
    assert_eq!(names(&path(".wasm-cni-replaced")), ["bridge", "ptp"]);

    let out = done(&["uninstall"], folder.path());
    assert!(out.contains("bridge: restore from .wasm-cni-replaced/bridge\n"), "{out}");
    assert_eq!(names(folder.path()), ["bridge", "elsewhere", "portmap", "ptp"]);
    assert_eq!(fs::read_to_string(path("bridge")).unwrap(), FOREIGN);
    let after = fs::metadata(path("bridge")).unwrap();
    assert_eq!(after.permissions().mode() & 0o7777, 0o4711);
    assert_eq!(after.modified().unwrap(), before.modified().unwrap());
    assert_eq!(fs::read_link(path("ptp")).unwrap(), PathBuf::from("elsewhere"));
}

#[test]
fn uninstall_keeps_files_that_others_installed_since() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    write(&path("bridge"), FOREIGN, 0o755);
    done(&["install", "--replace"], folder.path());
    // A package that puts its files there again.
    fs::remove_file(path("bridge")).unwrap();
    write(&path("bridge"), "newer", 0o755);
    std::os::unix::fs::symlink(PROGRAM, path("own")).unwrap();
    let out = done(&["uninstall"], folder.path());
    assert!(out.contains("bridge: leave: it is not from wasm-cni any more"), "{out}");
    assert_eq!(fs::read_to_string(path("bridge")).unwrap(), "newer");
    assert_eq!(names(&path(".wasm-cni-replaced")), ["bridge"]);
    assert_eq!(names(folder.path()), [".wasm-cni-replaced", "bridge", "own"]);

    let other = TempDir::new().unwrap();
    write(&other.path().join("wasm-cni"), "somebody else's", 0o755);
    done(&["uninstall"], other.path());
    assert_eq!(names(other.path()), ["wasm-cni"]);
    let missing = run(&["uninstall"], &other.path().join("nope"));
    assert!(missing.status.code() == Some(1) && text(&missing).contains("is not a directory"), "{}", text(&missing));
}

#[test]
fn leftovers_of_a_killed_install_are_removed() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    write(&path("bridge"), FOREIGN, 0o755);
    write(&path(".wasm-cni-new.wasm-cni"), "half", 0o600);
    // Killed between keeping and replacing: one file with two names.
    fs::create_dir(path(".wasm-cni-replaced")).unwrap();
    fs::hard_link(path("bridge"), path(".wasm-cni-replaced/bridge")).unwrap();
    fs::write(path(".wasm-cni-replaced/.wasm-cni-new.ptp"), "half").unwrap();
    done(&["install", "--replace"], folder.path());
    assert!(!names(folder.path()).iter().any(|name| name.starts_with(".wasm-cni-new")), "{:?}", names(folder.path()));
    assert_eq!(names(&path(".wasm-cni-replaced")), ["bridge"]);
    done(&["uninstall"], folder.path());
    assert_eq!(names(folder.path()), ["bridge"]);
    assert_eq!(fs::read_to_string(path("bridge")).unwrap(), FOREIGN);

    fs::create_dir(path(".wasm-cni-replaced")).unwrap();
    fs::hard_link(path("bridge"), path(".wasm-cni-replaced/bridge")).unwrap();
    done(&["uninstall"], folder.path());
    assert_eq!(names(folder.path()), ["bridge"]);
}

#[test]
fn an_install_that_is_killed_at_any_moment_leaves_whole_files() {
    let folder = TempDir::new().unwrap();
    let bridge = folder.path().join("bridge");
    write(&bridge, FOREIGN, 0o755);
    for milliseconds in (0..120).step_by(6) {
        let mut install = Command::new(PROGRAM);
        install.args(["install", "--replace"]).arg(folder.path()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = install.spawn().unwrap();
        thread::sleep(std::time::Duration::from_millis(milliseconds));
        child.kill().unwrap();
        child.wait().unwrap();
        version(&bridge).unwrap();
        done(&["uninstall"], folder.path());
        assert_eq!(names(folder.path()), ["bridge"]);
        assert_eq!(fs::read_to_string(&bridge).unwrap(), FOREIGN);
    }
}

#[test]
fn no_call_fails_while_plugins_are_replaced_and_put_back() {
    let folder = TempDir::new().unwrap();
    let bridge = folder.path().join("bridge");
    // No script: its interpreter opens it a second time, by its name.
    let mut foreign = fs::read(PROGRAM).unwrap();
    let at = marked(&foreign);
    foreign[at - 3..at].fill(b'x');
    fs::write(folder.path().join("x"), foreign).unwrap();
    shell("cp x bridge; chmod 755 bridge; rm x", folder.path());
    let (end, calls) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !end.load(Ordering::Relaxed) {
                    version(&bridge).unwrap();
                    calls.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        // A panic must not keep the others running.
        let rounds = thread::Builder::new().spawn_scoped(scope, || {
            for _ in 0..8 {
                done(&["install", "--replace"], folder.path());
                done(&["install"], folder.path());
                // Another build, so that the program itself is written under calls.
                shell("cp wasm-cni x; truncate -s 64M x; mv x wasm-cni", folder.path());
                assert!(done(&["install"], folder.path()).contains("wasm-cni: write, replacing version "));
                done(&["uninstall"], folder.path());
            }
        });
        let outcome = rounds.unwrap().join();
        end.store(true, Ordering::Relaxed);
        outcome.unwrap();
    });
    assert!(calls.into_inner() > 50);
    assert_eq!(names(folder.path()), ["bridge"]);
}

#[test]
fn without_the_right_to_write_it_says_what_to_do() {
    if !installed(&["setpriv"]) {
        return;
    }
    let machine = Machine::new();
    let folder = machine.folder().join("bin");
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o555)).unwrap();
    let mut command = machine.command("setpriv");
    command.args(["--bounding-set=-all", "--inh-caps=-all", PROGRAM, "install"]).arg(&folder);
    let output = command.output().unwrap();
    let said = text(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(": permission denied\nhint: run it as root, or name a directory"), "{said}");
    assert_eq!(names(&folder), [""; 0]);

    script(&machine, "mkdir /run/ro && mount -t tmpfs -o ro tmpfs /run/ro");
    let output = machine.wasm_cni(&["install", "/run/ro"]).output().unwrap();
    let said = text(&output);
    assert!(output.status.code() == Some(1) && said.contains("`plugin_dirs`"), "{said}");
}
