//! `completions` and `man`: what shells and man(1) are to know of the arguments,
//! made of their definition.

use std::{
    fs,
    io::{self, Write as _},
    path::Path,
};

use anyhow::{Context as _, Result};
use clap::CommandFactory as _;
use clap_mangen::Man;

use crate::args::{Args, Completions, ManPages};

pub(super) fn completions(completions: &Completions) -> Result<u8> {
    let mut script = Vec::new();
    clap_complete::generate(completions.shell, &mut Args::command(), "wasm-cni", &mut script);
    io::stdout().write_all(&script)?;
    Ok(0)
}

pub(super) fn man(pages: &ManPages) -> Result<u8> {
    let mut command = Args::command();
    // With the global flags in every page, and each by its whole name.
    command.build();
    let Some(folder) = &pages.dir else {
        io::stdout().write_all(&page(command)?)?;
        return Ok(0);
    };
    for command in std::iter::once(&command).chain(command.get_subcommands()) {
        let name = command.get_display_name().unwrap_or(command.get_name()).to_owned();
        if command.is_hide_set() || command.get_name() == "help" {
            continue;
        }
        write(folder, &name, &page(command.clone())?)?;
    }
    Ok(0)
}

fn page(command: clap::Command) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    Man::new(command).render(&mut page)?;
    Ok(page)
}

fn write(folder: &Path, name: &str, page: &[u8]) -> Result<()> {
    let path = folder.join(format!("{name}.1"));
    fs::write(&path, page).with_context(|| format!("cannot write {}", path.display()))
}
