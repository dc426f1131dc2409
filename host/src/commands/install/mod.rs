//! `install` and `uninstall`: the program, under the names of its plugins, in a
//! runtime's plugin directory.

mod apply;
pub(super) mod directory;
mod plan;

use std::{
    io::{self, Write as _},
    path::Path,
};

use anyhow::{Result, bail};
use serde_json::Value;

use self::{apply::Held, directory::Directory, plan::Step};
use crate::{
    args::{Format, Install, Uninstall},
    progress,
    table::{print, print_json},
};

pub(super) fn install(install: &Install) -> Result<u8> {
    let known: Vec<_> = wasm_cni_bundled::PLUGINS.iter().map(|plugin| plugin.name).collect();
    if let Some(unknown) = install.only.iter().find(|name| !known.contains(&name.as_str())) {
        bail!("{unknown:?} is not a bundled plugin; there are {}", known.join(", "));
    }
    let wanted = |name: &&str| install.only.is_empty() || install.only.iter().any(|only| only == name);
    let names: Vec<_> = known.into_iter().filter(wanted).collect();
    let plan = |directory: &Directory| match install.upgrade {
        true => plan::upgrade(directory, &names),
        false => plan::install(directory, &names, install.replace),
    };
    run(&install.dir, install.dry_run, install.output.output, plan)
}

pub(super) fn uninstall(uninstall: &Uninstall) -> Result<u8> {
    run(&uninstall.dir, uninstall.dry_run, uninstall.output.output, plan::uninstall)
}

fn run(path: &Path, dry_run: bool, format: Format, plan: impl FnOnce(&Directory) -> Result<Vec<Step>>) -> Result<u8> {
    let directory = Directory { path: path.to_owned() };
    let mut steps = Vec::new();
    if dry_run {
        steps = plan(&directory)?;
    } else {
        let mut held = Held::take(&directory)?;
        held.clean();
        let result = plan(&directory).and_then(|planned| {
            if planned.is_empty() {
                return Ok(());
            }
            for step in planned {
                progress::show(step.text().trim_end());
                held.apply(&step)?;
                steps.push(step);
            }
            held.finish()
        });
        progress::clear();
        if let Err(error) = result {
            // Shows the steps that were done.
            let done: String = steps.iter().map(Step::text).collect();
            let _ = io::stderr().write_all(done.as_bytes());
            return Err(error);
        }
    }
    match format {
        Format::Json => print_json(&steps.iter().map(Step::json).collect::<Value>())?,
        Format::Table if steps.is_empty() => 0,
        Format::Table => print(&steps.iter().map(Step::text).collect::<String>())?,
    };
    if steps.is_empty() {
        writeln!(io::stderr(), "nothing of wasm-cni is in {}", path.display())?;
    } else if dry_run {
        writeln!(io::stderr(), "nothing has been changed: --dry-run")?;
    }
    Ok(0)
}
