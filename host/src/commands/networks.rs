//! `networks` and `which`: the configured networks, and the file behind a name.

use std::{
    io::{self, Write as _},
    path::Path,
};

use anyhow::{Result, bail};
use serde_json::{Value, json};
use wasm_cni::{Network, config::Surveyed};

use super::{is_path, places};
use crate::{
    args::{Format, Output, Which},
    env::Env,
    table::{BAD, Cell, GOOD, NOTICE, Table, print, print_json, print_table},
};

/// What becomes of a configuration file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Used,
    /// Another file with the same network name comes first.
    Shadowed,
    /// The file has a mistake.
    Skipped,
}

impl Verdict {
    fn name(self) -> &'static str {
        match self {
            Self::Used => "used",
            Self::Shadowed => "shadowed",
            Self::Skipped => "skipped",
        }
    }
}

/// Each file with its verdict, in the order in which networks are looked up.
fn judge(files: &[Surveyed]) -> Vec<(&Surveyed, Verdict)> {
    let mut names: Vec<&str> = Vec::new();
    let verdict = |file: &Surveyed, names: &[&str]| match &file.network {
        Err(_) => Verdict::Skipped,
        Ok(network) if names.contains(&network.name.as_str()) => Verdict::Shadowed,
        Ok(_) => Verdict::Used,
    };
    let mut judged = Vec::new();
    for file in files {
        judged.push((file, verdict(file, &names)));
        names.extend(file.network.as_ref().ok().map(|network| network.name.as_str()));
    }
    judged
}

/// Returns 1 if a file cannot be used.
pub(crate) fn networks(output: &Output, env: &Env) -> Result<u8> {
    let files = wasm_cni::config::survey(&env.configurations())?;
    let judged = judge(&files);
    let status = u8::from(judged.iter().any(|(_, verdict)| *verdict == Verdict::Skipped));
    if output.output == Format::Json {
        print_json(&judged.iter().map(|(file, verdict)| network_json(file, *verdict)).collect::<Value>())?;
        return Ok(status);
    }
    let mut table = Table::new(&["NETWORK", "VERSION", "PLUGINS", "FILE", "STATE"]);
    for (Surveyed { path, network, .. }, verdict) in judged {
        let path = path.display().to_string();
        let row = match network {
            Ok(network) => {
                let style = if verdict == Verdict::Used { GOOD } else { NOTICE };
                let (version, kinds) = (network.cni_version.as_str(), kinds(network).join(", "));
                [
                    network.name.as_str().into(),
                    version.into(),
                    kinds.into(),
                    path.into(),
                    Cell::new(verdict.name(), style),
                ]
            }
            Err(error) => {
                let state = Cell::new(format!("{}: {error}", verdict.name()), BAD);
                ["-".into(), "-".into(), "-".into(), path.into(), state]
            }
        };
        table.add(row);
    }
    print_table(&table)?;
    Ok(status)
}

fn kinds(network: &Network) -> Vec<&str> {
    network.plugins.iter().map(|plugin| plugin.kind.as_str()).collect()
}

fn network_json(file: &Surveyed, verdict: Verdict) -> Value {
    let network = file.network.as_ref().ok();
    json!({
        "name": network.map(|network| &network.name),
        "cniVersion": network.map(|network| &network.cni_version),
        "plugins": network.map(kinds),
        "path": file.path,
        "verdict": verdict.name(),
        "error": file.network.as_ref().err().map(ToString::to_string),
    })
}

/// A file that was considered, what became of it, and why.
struct Considered<'a> {
    path: &'a Path,
    verdict: Verdict,
    why: String,
}

pub(crate) fn which(which: &Which, env: &Env) -> Result<u8> {
    let name = &which.network.network;
    let (given, files);
    let (considered, chosen) = if is_path(name) {
        given = wasm_cni::config::load(Path::new(name))?;
        let why = "the argument is its path".to_owned();
        (vec![Considered { path: Path::new(name), verdict: Verdict::Used, why }], Some(&given))
    } else {
        files = wasm_cni::config::survey(&env.configurations())?;
        consider(name, &files)
    };
    let line = |c: &Considered<'_>| format!("{}: {}: {}\n", c.path.display(), c.verdict.name(), c.why);
    let lines: String = considered.iter().map(line).collect();
    let Some(chosen) = chosen else {
        let _ = io::stderr().write_all(lines.as_bytes());
        bail!("no net configuration with name {name:?} in {}", env.configurations().display());
    };
    let runtime = env.runtime()?;
    let located = kinds(chosen).into_iter().map(|kind| (kind, runtime.locate(kind)));
    if which.output.output == Format::Json {
        let file = |c: &Considered<'_>| json!({ "path": c.path, "verdict": c.verdict.name(), "why": c.why });
        let plugin = |(kind, location): (&str, Result<_, wasm_cni::CniError>)| match location {
            Ok(location) => json!({ "type": kind, "source": places::json(&location) }),
            Err(error) => json!({ "type": kind, "missing": error.to_string() }),
        };
        let files: Value = considered.iter().map(file).collect();
        let plugins: Value = located.map(plugin).collect();
        return print_json(&json!({ "network": chosen.name, "files": files, "plugins": plugins }));
    }
    let source = |(kind, location): (&str, Result<_, wasm_cni::CniError>)| match location {
        Ok(location) => format!("  {kind}: {}\n", places::text(&location)),
        Err(error) => format!("  {kind}: missing: {error}\n"),
    };
    print(&(lines + &located.map(source).collect::<String>()))
}

/// The files that could hold a network of this name, and the network that is used.
fn consider<'a>(name: &str, files: &'a [Surveyed]) -> (Vec<Considered<'a>>, Option<&'a Network>) {
    let mut chosen = None;
    let mut considered = Vec::new();
    for (Surveyed { path, network, .. }, verdict) in judge(files) {
        let why = match network {
            Err(error) => error.to_string(),
            Ok(network) if network.name != name => continue,
            Ok(network) if verdict == Verdict::Used => {
                chosen = Some(network);
                "the first file with this name; .conflist files come before .conf and .json, each sorted by file name"
                    .to_owned()
            }
            Ok(_) => "an earlier file has this name".to_owned(),
        };
        considered.push(Considered { path, verdict, why });
    }
    (considered, chosen)
}
