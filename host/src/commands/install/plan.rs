//! What there is to do, before anything is done: a refusal changes nothing.

use std::{fs, io, os::unix::fs::PermissionsExt as _, path::PathBuf};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use super::folder::{COMPILER, Folder, PROGRAM, REPLACED, There};

/// Something to do about a name in the folder.
pub(super) struct Step {
    pub(super) name: String,
    pub(super) action: Action,
}

pub(super) enum Action {
    MakeFolder,
    /// Write a copy of this file.
    Write {
        from: PathBuf,
        instead: Option<String>,
        keep: bool,
    },
    /// Make the name a link to the program.
    Link {
        keep: bool,
    },
    UpToDate,
    Remove,
    /// Put back what is kept.
    Restore,
    /// What is kept is what is there: it need not be kept.
    Forget,
    /// Nothing, and why.
    Leave(&'static str),
}

impl Step {
    fn new(name: &str, action: Action) -> Self {
        Self { name: name.to_owned(), action }
    }

    /// The same for what will be done and for what has been done.
    pub(super) fn text(&self) -> String {
        let keep = |keep: &bool| match keep {
            true => format!(", keep the file that is there as {REPLACED}/{}", self.name),
            false => String::new(),
        };
        let what = match &self.action {
            Action::MakeFolder => "make the folder".to_owned(),
            Action::Write { instead: Some(build), .. } if !build.is_empty() => {
                format!("write, in place of version {build}")
            }
            Action::Write { keep: kept, .. } => format!("write{}", keep(kept)),
            Action::Link { keep: kept } => format!("link to {PROGRAM}{}", keep(kept)),
            Action::UpToDate => "is up to date".to_owned(),
            Action::Remove => "remove".to_owned(),
            Action::Restore => format!("restore from {REPLACED}/{}", self.name),
            Action::Forget => format!("remove {REPLACED}/{}, the same file", self.name),
            Action::Leave(why) => format!("leave: {why}"),
        };
        format!("{}: {what}\n", self.name)
    }

    pub(super) fn json(&self) -> Value {
        let action = match &self.action {
            Action::MakeFolder => "make-folder",
            Action::Write { .. } => "write",
            Action::Link { .. } => "link",
            Action::UpToDate => "up-to-date",
            Action::Remove => "remove",
            Action::Restore => "restore",
            Action::Forget => "forget",
            Action::Leave(_) => "leave",
        };
        let keeps = matches!(self.action, Action::Write { keep: true, .. } | Action::Link { keep: true });
        json!({ "name": self.name, "action": action, "keepsForeign": keeps, "text": self.text().trim_end() })
    }
}

/// What puts the program and these names into the folder.
pub(super) fn install(folder: &Folder, names: &[&str], replace: bool) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    if !folder.path.is_dir() {
        steps.push(Step::new(&folder.path.display().to_string(), Action::MakeFolder));
    }
    // Names of a file that is to be replaced would be names of the old one.
    let mut stays = false;
    let mut foreign = Vec::new();
    let mut blocked = Vec::new();
    let program = PathBuf::from("/proc/self/exe");
    let compiler = std::env::current_exe().unwrap_or_default().with_file_name(COMPILER);
    let files = [(PROGRAM, Some(program)), (COMPILER, Some(compiler).filter(|path| path.is_file()))];
    let all = files.into_iter().filter_map(|(name, from)| Some((name, Some(from?))));
    for (name, from) in all.chain(names.iter().map(|name| (*name, None))) {
        let there = folder.there(name).with_context(|| format!("cannot read {}", folder.file(name).display()))?;
        match there {
            There::Foreign => foreign.push(name),
            There::Folder => blocked.push(name),
            _ => {}
        }
        let keep = there == There::Foreign;
        let action = match (from, there) {
            (None, There::Ours(_)) if stays && folder.is_program(name) => Action::UpToDate,
            (None, _) => Action::Link { keep },
            (Some(from), There::Ours(_)) if is_same(&from, &folder.file(name))? => Action::UpToDate,
            (Some(from), There::Ours(build)) => Action::Write { from, instead: Some(build), keep },
            (Some(from), _) => Action::Write { from, instead: None, keep },
        };
        stays |= name == PROGRAM && matches!(action, Action::UpToDate);
        steps.push(Step::new(name, action));
    }
    let path = folder.path.display();
    if !blocked.is_empty() {
        bail!("in {path}, {} is a folder: move it out of the way", blocked.join(", "));
    }
    if !foreign.is_empty() && !replace {
        bail!(
            "{path} has files that are not wasm-cni's: {}\nhint: with --replace they are kept in {path}/{REPLACED}, and \
             `wasm-cni uninstall` puts them back; with --only other names can be installed",
            foreign.join(", ")
        );
    }
    Ok(steps)
}

/// What puts this build in place of another one, under the names that it has there.
pub(super) fn upgrade(folder: &Folder, names: &[&str]) -> Result<Vec<Step>> {
    if !is_installed(folder, PROGRAM) {
        return Ok(Vec::new());
    }
    let names: Vec<_> = names.iter().copied().filter(|name| is_installed(folder, name)).collect();
    install(folder, &names, false)
}

/// Is it a name that `install` has made, or a link to one? Not one that leads to a
/// program elsewhere: that one is brought up to date there.
fn is_installed(folder: &Folder, name: &str) -> bool {
    let is_symlink = || fs::symlink_metadata(folder.file(name)).is_ok_and(|metadata| metadata.is_symlink());
    match folder.there(name) {
        Ok(There::Link) => true,
        Ok(There::Ours(_)) => !is_symlink(),
        _ => false,
    }
}

/// What takes out all that is ours, and puts back what was replaced.
pub(super) fn uninstall(folder: &Folder) -> Result<Vec<Step>> {
    let read = || format!("cannot read {}", folder.path.display());
    if !folder.path.is_dir() {
        bail!("{} is no folder", folder.path.display());
    }
    let mut names = folder.names().with_context(read)?;
    let kept = folder.kept().with_context(read)?;
    names.extend(kept.iter().filter(|name| !names.contains(name)).cloned().collect::<Vec<_>>());
    // The program is the last: until then links to it work.
    names.sort_by_key(|name| (name == PROGRAM, name == COMPILER, name.clone()));
    let bundled = |name: &str| wasm_cni_bundled::PLUGINS.iter().any(|plugin| plugin.name == name);
    let mut steps = Vec::new();
    for name in names {
        let is_kept = kept.contains(&name);
        if !is_kept && !bundled(&name) && ![PROGRAM, COMPILER].contains(&&*name) && !is_link(folder, &name) {
            continue;
        }
        let there = folder.there(&name).with_context(read)?;
        let elsewhere = fs::symlink_metadata(folder.file(&name)).is_ok_and(|m| m.is_symlink()) && there != There::Link;
        let action = match there {
            There::Ours(_) if elsewhere => Action::Leave("a link that was not made by `wasm-cni install`"),
            There::Link | There::Ours(_) | There::Nothing if is_kept => Action::Restore,
            There::Link | There::Ours(_) => Action::Remove,
            There::Nothing => continue,
            There::Foreign | There::Folder if is_kept && folder.is_kept_one(&name) => Action::Forget,
            There::Foreign | There::Folder if is_kept => {
                Action::Leave("it is not wasm-cni's any more; what it took the place of stays kept")
            }
            There::Foreign | There::Folder => continue,
        };
        steps.push(Step::new(&name, action));
    }
    Ok(steps)
}

fn is_link(folder: &Folder, name: &str) -> bool {
    fs::symlink_metadata(folder.file(name)).is_ok_and(|metadata| metadata.is_symlink())
        && folder.there(name).is_ok_and(|there| there == There::Link)
}

/// The same content in a file of its own that can be executed.
fn is_same(from: &PathBuf, to: &PathBuf) -> io::Result<bool> {
    let metadata = fs::symlink_metadata(to)?;
    let plain = metadata.is_file() && metadata.permissions().mode() & 0o7777 == 0o755;
    Ok(plain && metadata.len() == fs::metadata(from)?.len() && fs::read(from)? == fs::read(to)?)
}
