//! Documents followed to the letter: the commands of their ```console blocks, in
//! their order, in one shell.

use std::{
    ffi::OsString,
    path::PathBuf,
    process::{Command, Stdio},
};

use crate::machine::{PROGRAM, variable};

/// Said behind a command that is to fail.
const FAILS: &str = "  # fails";

/// A command, and what it printed.
pub(crate) struct Ran {
    pub(crate) command: String,
    pub(crate) output: String,
}

/// The commands of a document: lines that begin with `$ `, in blocks of a console;
/// one that ends with `\`, or in a text in quotes, goes on in the next.
pub(crate) fn commands(document: &str) -> Vec<String> {
    let mut commands: Vec<String> = Vec::new();
    let (mut console, mut goes_on) = (false, false);
    for line in document.lines() {
        if line.starts_with("```") {
            (console, goes_on) = (line == "```console", false);
            continue;
        }
        match line.strip_prefix("$ ") {
            _ if !console => {}
            Some(command) => commands.push(command.to_owned()),
            None if goes_on => *commands.last_mut().unwrap() += &format!("\n{line}"),
            None => {}
        }
        let open = |command: &String| command.ends_with('\\') || command.matches('\'').count() % 2 == 1;
        goes_on = console && commands.last().is_some_and(open);
    }
    commands
}

/// Runs a document's commands in the shell that `shell` is to start. Each has to
/// succeed, if it is not said to fail.
pub(crate) fn follow(what: &str, document: &str, mut shell: Command) -> Vec<Ran> {
    let commands = commands(document);
    assert!(!commands.is_empty(), "{what} has no commands");
    let mut script = "exec 2>&1\n".to_owned();
    for command in &commands {
        script += &format!("{command}\nprintf '\\036%d\\036' $?\n");
    }
    let output = shell.args(["-c", &script]).env("PATH", path()).stdin(Stdio::null()).output().unwrap();
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut parts = out.split('\u{1e}');
    let mut ran = Vec::new();
    for command in commands {
        let (printed, status) = (parts.next().unwrap_or_default(), parts.next());
        let status = status.unwrap_or_else(|| panic!("{what}: `{command}` ended the shell: {printed}"));
        let failed = status != "0";
        assert_eq!(failed, command.ends_with(FAILS), "{what}: `{command}` gave {status}: {printed}");
        ran.push(Ran { command, output: printed.to_owned() });
    }
    ran
}

/// PATH with the programs that were built, under the names that documents have for
/// them.
pub(crate) fn path() -> OsString {
    let folder = PathBuf::from(PROGRAM).parent().unwrap().to_owned();
    let path = variable("PATH").unwrap_or_default();
    std::env::join_paths(std::iter::once(folder).chain(std::env::split_paths(&path))).unwrap()
}

/// What the one command with these words printed.
pub(crate) fn printed<'a>(ran: &'a [Ran], words: &str) -> &'a str {
    let mut found = ran.iter().filter(|ran| ran.command.contains(words));
    let first = found.next().unwrap_or_else(|| panic!("no command has {words:?}"));
    assert!(found.next().is_none(), "{words:?} is not of one command");
    &first.output
}

#[test]
fn commands_are_lines_with_a_prompt_in_blocks_of_a_console() {
    let document =
        "$ not this\n```console\n$ one \\\n    'more\n'\nprinted\n$ two  # fails\n```\n```sh\n$ nor this\n```\n";
    assert_eq!(commands(document), ["one \\\n    'more\n'", "two  # fails"]);
}
