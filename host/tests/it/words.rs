//! `--version`, `completions`, `man`: what the program says of itself.

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
    let folder = tempfile::tempdir().unwrap();
    run(&["man", folder.path().to_str().unwrap()]);
    let pages: BTreeSet<_> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
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
    let page = fs::read_to_string(folder.path().join("wasm-cni-leases.1")).unwrap();
    assert!(page.contains("\\-\\-prune") && page.contains(".TH wasm-cni-leases 1"), "{page}");
    assert!(run(&["man"]).contains(".TH wasm-cni 1"));

    for shell in ["bash", "zsh", "fish"] {
        let script = run(&["completions", shell]);
        assert!(commands.iter().all(|command| script.contains(command)), "{shell}");
    }
    if installed(&["bash"]) {
        let path = folder.path().join("completions");
        fs::write(&path, run(&["completions", "bash"])).unwrap();
        let ask = ". \"$1\"; complete=$(complete -p wasm-cni); complete=${complete#*-F }; \
                   COMP_WORDS=(wasm-cni unin); COMP_CWORD=1; ${complete%% *} wasm-cni unin wasm-cni; \
                   echo \"${COMPREPLY[@]}\"";
        let output = Command::new("bash").args(["-c", ask, "bash"]).arg(path).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "uninstall\n", "{}", text(&output));
    }
}
