//! `completions` and `man`: shell completions and manual pages, generated from the
//! definition of the arguments.

use std::{
    fs,
    io::{self, Write as _},
    path::Path,
};

use anyhow::{Context as _, Result};
use clap_mangen::Man;

use crate::args::{self, Completions, ManPages};

pub(super) fn completions(completions: &Completions) -> Result<u8> {
    let mut script = Vec::new();
    clap_complete::generate(completions.shell, &mut args::command(), "wasm-cni", &mut script);
    io::stdout().write_all(&script)?;
    Ok(0)
}

pub(super) fn man(pages: &ManPages) -> Result<u8> {
    let mut command = args::command();
    // Gives each page its whole name.
    command.build();
    let Some(directory) = &pages.dir else {
        io::stdout().write_all(&page(command)?)?;
        return Ok(0);
    };
    fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))?;
    for command in std::iter::once(&command).chain(command.get_subcommands()) {
        let name = command.get_display_name().unwrap_or(command.get_name()).to_owned();
        if command.is_hide_set() || command.get_name() == "help" {
            continue;
        }
        write(directory, &name, &page(command.clone())?)?;
    }
    Ok(0)
}

/// As clap_mangen renders a page, but with the usage as SYNOPSIS: it names the
/// values of options, and the commands.
fn page(mut command: clap::Command) -> io::Result<Vec<u8>> {
    let usage = command.render_usage().to_string().trim_start_matches("Usage: ").to_owned();
    let man = Man::new(command.clone().override_usage(usage));
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
        let environment = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let environment = environment.trim_start_matches("Environment:\n").replace('-', "\\-");
        write!(page, ".SH ENVIRONMENT\n.nf\n{environment}\n.fi\n")?;
    } else if command.get_arguments().any(|arg| arg.get_help_heading().is_some()) {
        page.extend(b".SH ENVIRONMENT\nwasm\\-cni(1) lists the variables.\n");
    }
    if command.get_version().is_some() {
        man.render_version_section(&mut page)?;
    }
    Ok(page)
}

fn write(directory: &Path, name: &str, page: &[u8]) -> Result<()> {
    let path = directory.join(format!("{name}.1"));
    fs::write(&path, page).with_context(|| format!("cannot write {}", path.display()))
}
