//! Every command of `docs/` is run, file by file, on a machine that has nothing of
//! the project but its programs in the path. `performance.md` is made by the
//! benchmark, which is run as a test of its own.

use std::{fs, path::PathBuf};

use crate::{
    console::{commands, follow},
    machine::{Machine, PROGRAM, installed},
};

/// Folders of the machine's own: nothing of the real ones is written to.
const FOLDERS: &str = "\
    mkdir \"$1/etc\"; cp -r /etc/. \"$1/etc\" 2>/dev/null || true
    mount --bind \"$1/etc\" /etc; rm -rf /etc/cni /etc/wasm-cni
    for folder in /opt /var/lib /var/cache /var/log; do
        case \"$2\" in $folder/*) continue;; esac
        mount -t tmpfs tmpfs $folder
    done
    ip netns add c1; ip netns add c2";

#[test]
fn every_command_of_the_documents_is_run() {
    if !installed(&["ip", "jq"]) {
        return;
    }
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| {
        path.extension().is_some_and(|extension| extension == "md") && !path.ends_with("performance.md")
    });
    files.sort();
    let mut followed = 0;
    for path in files {
        let document = fs::read_to_string(&path).unwrap();
        if commands(&document).is_empty() {
            continue;
        }
        let machine = Machine::new();
        let mut setup = machine.command("sh");
        let setup = setup.args(["-euc", FOLDERS, "sh"]).arg(machine.folder()).arg(PROGRAM).output().unwrap();
        assert!(setup.status.success(), "{}", crate::machine::text(&setup));
        // Who enters a mount namespace is at its root.
        let home = machine.folder().join("home");
        fs::create_dir(&home).unwrap();
        let mut shell = machine.command("env");
        shell.arg("-C").arg(home).arg("sh").env_remove("NETCONFPATH").env_remove("WASM_CNI_ROOT");
        follow(&path.file_name().unwrap().to_string_lossy(), &document, shell);
        followed += 1;
    }
    assert!(followed > 0);
}
