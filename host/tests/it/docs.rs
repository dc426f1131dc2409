//! Every command of `docs/` is run, file by file, on a machine that has nothing of
//! the project but its programs in the path. `performance.md` is made by the
//! benchmark, which is run as a test of its own.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    console::{Ran, commands, follow, printed},
    machine::{Machine, PROGRAM, installed, text, variable},
};

/// Folders of the machine's own: nothing of the real ones is written to.
const FOLDERS: &str = "\
    mkdir \"$1/etc\"; cp -r /etc/. \"$1/etc\" 2>/dev/null || true
    mount --bind \"$1/etc\" /etc; rm -rf /etc/cni /etc/wasm-cni
    for folder in /opt /var/lib /var/cache /var/log /usr/local/share; do
        case \"$2\" in $folder/*) continue;; esac
        mount -t tmpfs tmpfs $folder
    done";

/// A node with native plugins, and a container that they have attached.
const NATIVE: &str = r#"
    mkdir -p /etc/cni/net.d /opt/cni/bin
    cp "$1"/* /opt/cni/bin
    echo '{ "cniVersion": "1.0.0", "name": "old", "plugins": [{ "type": "bridge", "bridge": "old0", "isGateway": true,
        "ipam": { "type": "host-local", "subnet": "10.72.0.0/24" } }] }' >/etc/cni/net.d/20-old.conflist
    ip netns add old
    wasm-cni --prefer-native --plugin-path /opt/cni/bin add old /run/netns/old
    sha256sum /opt/cni/bin/* >before"#;

/// The same files, and a container that they still know.
const NATIVE_AGAIN: &str = "\
    sha256sum --quiet -c before
    [ ! -e /opt/cni/bin/.wasm-cni-replaced ] && [ ! -e /opt/cni/bin/wasm-cni ]
    for verb in check del; do
        wasm-cni --prefer-native --plugin-path /opt/cni/bin $verb old /run/netns/old
    done
    ip netns delete old";

/// Made by `tests/clean-root/run`: the root folder of a system that has nothing of
/// the project but its programs.
const CLEAN_ROOT: &str = "CNI_CLEAN_ROOT";

fn documents() -> Vec<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| {
        path.extension().is_some_and(|extension| extension == "md") && !path.ends_with("performance.md")
    });
    files.sort();
    files
}

fn document(name: &str) -> PathBuf {
    documents().into_iter().find(|path| path.ends_with(name)).unwrap()
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

/// A shell on a machine whose folders can be written to, in a folder of its own.
fn shell(machine: &Machine) -> Command {
    let home = machine.folder().join("home");
    if !home.exists() {
        let mut setup = machine.command("sh");
        let setup = setup.args(["-euc", FOLDERS, "sh"]).arg(machine.folder()).arg(PROGRAM).output().unwrap();
        assert!(setup.status.success(), "{}", text(&setup));
        fs::create_dir(&home).unwrap();
    }
    // Who enters a mount namespace is at its root.
    let mut shell = machine.command("env");
    shell.arg("-C").arg(home).arg("sh").env_remove("NETCONFPATH").env_remove("WASM_CNI_ROOT");
    shell
}

/// Follows one of the documents.
fn follow_document(path: &Path, shell: Command) {
    let ran = follow(&name(path), &fs::read_to_string(path).unwrap(), shell);
    if path.ends_with("operators.md") {
        operated(&ran);
    }
}

/// What the operator is to see.
fn operated(ran: &[Ran]) {
    let see = |words: &str, expected: &str| {
        let seen = printed(ran, words);
        assert!(seen.contains(expected), "{words}: {expected:?} is not in {seen}");
    };
    see("wasm-cni install --dry-run", "bridge: link to wasm-cni\n");
    see("CNI_COMMAND=VERSION", "\"supportedVersions\"");
    see("\"alive\"", "10.71.0.");
    see("wasm-cni run lan -- ip", "eth0");
    see("wasm-cni check lan /run/netns/c1  # fails", "eth0");
    see("wasm-cni uninstall --dry-run", "bridge: remove\n");
    let all: Vec<_> = ran.iter().filter(|ran| ran.command == "wasm-cni list").collect();
    let [.., stale, none] = &all[..] else { panic!("`list` is not there three times") };
    assert!(stale.output.contains("stale") && none.output.lines().count() == 1, "{}{}", stale.output, none.output);
}

/// `operators.md` from native plugins and back, with native plugins that are in use.
fn migrate(shell: &dyn Fn() -> Command, native: &Path) {
    let run = |script: &str| {
        let mut command = shell();
        command.args(["-euc", script, "sh"]).arg(native).env("PATH", crate::console::path());
        let output = command.output().unwrap();
        assert!(output.status.success(), "{script}: {}", text(&output));
    };
    let document = fs::read_to_string(document("operators.md")).unwrap();
    let at = document.find("\n## From native plugins, and back").unwrap();
    run(NATIVE);
    let ran = follow("from native plugins", &document[at..], shell());
    let kept = "bridge: link to wasm-cni, keep the existing file as .wasm-cni-replaced/bridge\n";
    assert!(printed(&ran, "install --replace --dry-run").contains(kept), "{}", printed(&ran, "--dry-run"));
    assert!(printed(&ran, "uninstall --dry-run").contains("bridge: restore from .wasm-cni-replaced/bridge\n"));
    run(NATIVE_AGAIN);
}

/// The folder of reference plugins, if there is one.
fn native() -> Option<PathBuf> {
    let folder = variable("CNI_REFERENCE_PLUGINS").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("skipped: from native plugins and back: CNI_REFERENCE_PLUGINS names no folder");
    }
    folder
}

/// What a document links to, but for other machines and places in itself.
fn links(text: &str) -> Vec<&str> {
    let targets = text.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0));
    let files = targets.map(|target| target.split_once('#').map_or(target, |(file, _)| file));
    files.filter(|file| !file.is_empty() && !file.contains("://")).collect()
}

#[test]
fn every_link_of_the_documents_leads_to_a_file() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut count = 0;
    for folder in [root.clone(), root.join("docs"), root.join("examples/hello-plugin")] {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "md") {
                continue;
            }
            for link in links(&fs::read_to_string(&path).unwrap()) {
                count += 1;
                assert!(folder.join(link).exists(), "{} links to {link}", path.display());
            }
        }
    }
    assert!(count > 10, "{count}");
}

/// The paths in the repository that a document names in backticks, without patterns.
fn paths(text: &str) -> Vec<&str> {
    let tops = ["host/", "guest-plugins/", "docs/", "tests/", "wit/", "packaging/", "examples/", "fuzz/", ".ci/"];
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "/._-".contains(c);
    let quoted = text.split('`').skip(1).step_by(2).filter_map(|words| words.split_whitespace().next());
    quoted.filter(|path| tops.iter().any(|top| path.starts_with(top)) && path.chars().all(plain)).collect()
}

#[test]
fn every_file_that_a_document_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut files: Vec<_> = ["README.md", "CONTRIBUTING.md", "SECURITY.md"].map(|name| root.join(name)).into();
    files.extend(documents());
    let mut count = 0;
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        // A block of code would be taken for a word in backticks.
        let prose: String = text.split("```").step_by(2).collect();
        for path in paths(&prose) {
            count += 1;
            assert!(root.join(path).exists(), "{} names {path}", file.display());
        }
    }
    assert!(count > 10, "{count}");
}

#[test]
fn the_tables_of_bundled_plugins_are_where_contributing_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let text = fs::read_to_string(root.join("CONTRIBUTING.md")).unwrap();
    let (_, rest) = text.split_once("in the table of a component, ").unwrap();
    let paths = rest.split('`').skip(1).step_by(2).take(3);
    let tables: String = paths.map(|path| fs::read_to_string(root.join(path)).unwrap()).collect();
    // `loopback` is a component by itself.
    for plugin in wasm_cni_bundled::PLUGINS.iter().filter(|plugin| plugin.name != "loopback") {
        assert!(tables.contains(&format!("    \"{}\" => ", plugin.name)), "{}", plugin.name);
    }
}

/// The sources of these tests, below a directory.
fn sources(directory: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] }).collect()
}

#[test]
fn every_test_that_the_threats_name_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("../SECURITY.md")).unwrap();
    let (_, threats) = text.split_once("\n| threat | defence | test |\n").unwrap();
    let sources = sources(&root.join("tests/it"));
    let code: String = sources.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    let mut count = 0;
    for row in threats.lines().skip(1).take_while(|line| line.starts_with("| ")) {
        let tests = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
        for test in tests.split('`').skip(1).step_by(2).filter(|test| !test.contains('/')) {
            count += 1;
            let name = test.rsplit("::").next().unwrap();
            let is_module = sources.iter().any(|path| path.file_stem().is_some_and(|stem| stem == name));
            assert!(is_module || code.contains(&format!("fn {name}()")), "there is no test {test}");
        }
    }
    assert!(count > 30, "{count}");
}

#[test]
fn every_command_of_the_documents_is_run() {
    if !installed(&["ip", "jq"]) {
        return;
    }
    let mut followed = 0;
    for path in documents() {
        if commands(&fs::read_to_string(&path).unwrap()).is_empty() {
            continue;
        }
        let machine = Machine::new();
        follow_document(&path, shell(&machine));
        followed += 1;
    }
    assert!(followed > 0);
}

#[test]
fn native_plugins_are_replaced_and_put_back_as_the_document_says() {
    if !installed(&["ip"]) {
        return;
    }
    if let Some(native) = native() {
        let machine = Machine::new();
        migrate(&|| shell(&machine), &native);
    }
}

#[test]
fn the_documents_are_followed_in_a_clean_root() {
    let Some(root) = variable(CLEAN_ROOT).map(PathBuf::from) else {
        eprintln!("skipped: {CLEAN_ROOT} is not set; tests/clean-root/run makes one");
        return;
    };
    let shell = || {
        let mut shell = Command::new("chroot");
        let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        shell.arg(&root).args(["env", "-i", "-C", "/root", "HOME=/root", path, "sh"]);
        shell
    };
    // Those that need no more than the programs: of packages others take care.
    for name in ["operators.md", "plugin-authors.md"] {
        follow_document(&document(name), shell());
    }
    let inside = Path::new("/native");
    match root.join("native").is_dir() {
        true => migrate(&shell, inside),
        false => eprintln!("skipped: from native plugins and back: there is no folder of reference plugins"),
    }
}
