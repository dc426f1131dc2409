//! The steps, planned before the first one is done, so that a refusal changes nothing.

use std::{fs, io, os::unix::fs::PermissionsExt as _, path::PathBuf};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use super::directory::{COMPILER, Directory, PROGRAM, REPLACED, There};

/// One step, for one name in the directory.
pub(super) struct Step {
    pub(super) name: String,
    pub(super) action: Action,
}

pub(super) enum Action {
    MakeDirectory,
    /// Writes a copy of this file.
    Write {
        from: PathBuf,
        instead: Option<String>,
        keep: bool,
    },
    /// Makes the name a link to the program.
    Link {
        keep: bool,
    },
    UpToDate,
    Remove,
    /// Restores the kept file.
    Restore,
    /// Removes the kept file: the same file is in its place already.
    Forget,
    /// Does nothing, for this reason.
    Leave(&'static str),
}

impl Step {
    fn new(name: &str, action: Action) -> Self {
        Self { name: name.to_owned(), action }
    }

    /// The same text before and after the step is done.
    pub(super) fn text(&self) -> String {
        let keep = |keep: &bool| match keep {
            true => format!(", keep the existing file as {REPLACED}/{}", self.name),
            false => String::new(),
        };
        let what = match &self.action {
            Action::MakeDirectory => "create the directory".to_owned(),
            Action::Write { instead: Some(build), .. } if !build.is_empty() => {
                format!("write, replacing version {build}")
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
            Action::MakeDirectory => "create-directory",
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

/// Plans the installation of the program under these names.
pub(super) fn install(directory: &Directory, names: &[&str], replace: bool) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    if !directory.path.is_dir() {
        steps.push(Step::new(&directory.path.display().to_string(), Action::MakeDirectory));
    }
    // A name of a file that gets replaced would still be a name of the old file.
    let mut stays = false;
    let mut foreign = Vec::new();
    let mut blocked = Vec::new();
    let program = PathBuf::from("/proc/self/exe");
    let compiler = std::env::current_exe().unwrap_or_default().with_file_name(COMPILER);
    let files = [(PROGRAM, Some(program)), (COMPILER, Some(compiler).filter(|path| path.is_file()))];
    let all = files.into_iter().filter_map(|(name, from)| Some((name, Some(from?))));
    for (name, from) in all.chain(names.iter().map(|name| (*name, None))) {
        let there = directory.there(name).with_context(|| format!("cannot read {}", directory.file(name).display()))?;
        match there {
            There::Foreign => foreign.push(name),
            There::Directory => blocked.push(name),
            _ => {}
        }
        let keep = there == There::Foreign;
        let action = match (from, there) {
            (None, There::Ours(_)) if stays && directory.is_program(name) => Action::UpToDate,
            (None, _) => Action::Link { keep },
            (Some(from), There::Ours(_)) if is_same(&from, &directory.file(name))? => Action::UpToDate,
            (Some(from), There::Ours(build)) => Action::Write { from, instead: Some(build), keep },
            (Some(from), _) => Action::Write { from, instead: None, keep },
        };
        stays |= name == PROGRAM && matches!(action, Action::UpToDate);
        steps.push(Step::new(name, action));
    }
    let path = directory.path.display();
    if !blocked.is_empty() {
        bail!("in {path}, {} is a directory: move it out of the way", blocked.join(", "));
    }
    if !foreign.is_empty() && !replace {
        bail!(
            "{path} has files that are not from wasm-cni: {}\nhint: --replace moves them to {path}/{REPLACED}, and \
             `wasm-cni uninstall` restores them; --only installs other names",
            foreign.join(", ")
        );
    }
    Ok(steps)
}

/// Plans the replacement of another build, under the names that it has there.
pub(super) fn upgrade(directory: &Directory, names: &[&str]) -> Result<Vec<Step>> {
    if !is_installed(directory, PROGRAM) {
        return Ok(Vec::new());
    }
    let names: Vec<_> = names.iter().copied().filter(|name| is_installed(directory, name)).collect();
    install(directory, &names, false)
}

/// Whether `install` created this name, or it is a link to such a name. A link to a
/// program elsewhere does not count: that program is updated in its own place.
fn is_installed(directory: &Directory, name: &str) -> bool {
    let is_symlink = || fs::symlink_metadata(directory.file(name)).is_ok_and(|metadata| metadata.is_symlink());
    match directory.there(name) {
        Ok(There::Link) => true,
        Ok(There::Ours(_)) => !is_symlink(),
        _ => false,
    }
}

/// Plans the removal of everything from wasm-cni, and the return of what it replaced.
pub(super) fn uninstall(directory: &Directory) -> Result<Vec<Step>> {
    let read = || format!("cannot read {}", directory.path.display());
    if !directory.path.is_dir() {
        bail!("{} is not a directory", directory.path.display());
    }
    let mut names = directory.names().with_context(read)?;
    let kept = directory.kept().with_context(read)?;
    names.extend(kept.iter().filter(|name| !names.contains(name)).cloned().collect::<Vec<_>>());
    // The program goes last: links to it work until then.
    names.sort_by_key(|name| (name == PROGRAM, name == COMPILER, name.clone()));
    let bundled = |name: &str| wasm_cni_bundled::PLUGINS.iter().any(|plugin| plugin.name == name);
    let mut steps = Vec::new();
    for name in names {
        let is_kept = kept.contains(&name);
        if !is_kept && !bundled(&name) && ![PROGRAM, COMPILER].contains(&&*name) && !is_link(directory, &name) {
            continue;
        }
        let there = directory.there(&name).with_context(read)?;
        let elsewhere =
            fs::symlink_metadata(directory.file(&name)).is_ok_and(|m| m.is_symlink()) && there != There::Link;
        let action = match there {
            There::Ours(_) if elsewhere => Action::Leave("`wasm-cni install` did not create this link"),
            There::Link | There::Ours(_) | There::Nothing if is_kept => Action::Restore,
            There::Link | There::Ours(_) => Action::Remove,
            There::Nothing => continue,
            There::Foreign | There::Directory if is_kept && directory.is_kept_one(&name) => Action::Forget,
            There::Foreign | There::Directory if is_kept => {
                Action::Leave("it is not from wasm-cni any more; the file that it replaced stays kept")
            }
            There::Foreign | There::Directory => continue,
        };
        steps.push(Step::new(&name, action));
    }
    Ok(steps)
}

fn is_link(directory: &Directory, name: &str) -> bool {
    fs::symlink_metadata(directory.file(name)).is_ok_and(|metadata| metadata.is_symlink())
        && directory.there(name).is_ok_and(|there| there == There::Link)
}

/// Whether `to` is an executable regular file with the content of `from`.
fn is_same(from: &PathBuf, to: &PathBuf) -> io::Result<bool> {
    let metadata = fs::symlink_metadata(to)?;
    let plain = metadata.is_file() && metadata.permissions().mode() & 0o7777 == 0o755;
    Ok(plain && metadata.len() == fs::metadata(from)?.len() && fs::read(from)? == fs::read(to)?)
}
