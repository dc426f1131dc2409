//! `--version`, `--help`, `completions` and `man`.

use std::{collections::BTreeSet, fs, process::Command};

use crate::machine::{PROGRAM, installed, text};

fn run(arguments: &[&str]) -> String {
    let output = Command::new(PROGRAM).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_version_names_the_build_and_what_is_in_it() {
    let short = run(&["-V"]);
    assert!(short.starts_with("wasm-cni 0.") && short.lines().count() == 1, "{short}");
    let long = run(&["--version"]);
    assert!(long.starts_with(&short), "{long}");
    let profile = if cfg!(debug_assertions) { ", debug\n" } else { ", release\n" };
    for expected in
        ["\nengine   wasmtime ", "\ntarget   ", "-linux-", profile, "\nrustc    1.", "\nplugin   bridge       sha256:"]
    {
        assert!(long.contains(expected), "{expected:?} is not in\n{long}");
    }
}

#[test]
fn every_command_has_a_page_and_completions() {
    let parent = tempfile::tempdir().unwrap();
    // It is created.
    let folder = parent.path().join("share/man1");
    run(&["man", folder.to_str().unwrap()]);
    let pages: BTreeSet<_> =
        fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let help = run(&["--help"]);
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let commands: Vec<_> = commands
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|command| *command != "help")
        .collect();
    assert!(commands.contains(&"install") && commands.len() > 15, "{commands:?}");
    for command in &commands {
        assert!(pages.contains(&format!("wasm-cni-{command}.1")), "{command} is not in {pages:?}");
    }
    assert_eq!(pages.len(), commands.len() + 1, "{pages:?}");
    let page = fs::read_to_string(folder.join("wasm-cni-leases.1")).unwrap();
    assert!(page.contains("\\-\\-prune") && page.contains(".TH wasm-cni-leases 1"), "{page}");
    assert!(page.contains("[NETWORK]") && page.contains("--dry\\-run") || page.contains("\\-\\-dry\\-run"), "{page}");
    let page = run(&["man"]);
    assert!(
        page.contains(".TH wasm-cni 1") && page.contains("\nWASM_CNI_TIMEOUT") | page.contains("  WASM_CNI_TIMEOUT"),
        "{page}"
    );

    for shell in ["bash", "zsh", "fish"] {
        let script = run(&["completions", shell]);
        assert!(commands.iter().all(|command| script.contains(command)), "{shell}");
    }
    if installed(&["bash"]) {
        let path = folder.join("completions");
        fs::write(&path, run(&["completions", "bash"])).unwrap();
        let ask = ". \"$1\"; complete=$(complete -p wasm-cni); complete=${complete#*-F }; \
                   COMP_WORDS=(wasm-cni unin); COMP_CWORD=1; ${complete%% *} wasm-cni unin wasm-cni; \
                   echo \"${COMPREPLY[@]}\"";
        let output = Command::new("bash").args(["-c", ask, "bash"]).arg(path).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "uninstall\n", "{}", text(&output));
    }
}

#[test]
fn help_has_global_options_where_they_have_an_effect() {
    let options = |command: &str| {
        let help = run(&[command, "--help"]);
        let global = help.split_once("\nGlobal options:\n").map_or("", |(_, global)| global).to_owned();
        let names = global.split_whitespace().filter(|word| word.starts_with("--"));
        names.map(str::to_owned).collect::<Vec<_>>()
    };
    for command in ["install", "uninstall", "completions", "man"] {
        assert_eq!(options(command), [""; 0], "{command}");
        let output = Command::new(PROGRAM).args(["--root", "/nowhere", command, "bash"]).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", text(&output));
        assert!(text(&output).contains(&format!("`{command}` takes no global options")), "{}", text(&output));
    }
    assert_eq!(options("validate"), ["--conf-dir", "--plugin-path", "--prefer-native"]);
    assert_eq!(options("add").len(), 10);
    assert!(!run(&["gc", "--help"]).contains("[NETNS]"));
    assert!(run(&["add", "--help"]).starts_with("Attach a network namespace to a network"));
    let help = run(&["--help"]);
    for variable in ["NETCONFPATH", "CNI_PATH", "WASM_CNI_ROOT", "WASM_CNI_TIMEOUT", "WASM_CNI_COMPILER"] {
        assert!(help.contains(variable), "{variable} is not in\n{help}");
    }
}
