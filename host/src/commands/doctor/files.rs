//! Folders of plugins, configurations, the policy.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::Result;

use super::Report;
use crate::{
    commands::install::folder::{COMPILER, Folder, PROGRAM, There},
    env::Env,
    version,
};

const FOLDER: &str = "plugins";
const CONFIGURATION: &str = "networks";

pub(super) fn look(report: &mut Report, env: &Env) -> Result<()> {
    for path in env.plugin_folders() {
        plugins(report, &Folder { path });
    }
    let runtime = env.runtime()?;
    // To look at one it is loaded, and the policy is asked.
    match runtime.inspect("loopback") {
        Ok(_) => report.ok("policy", "it can be read, and plugins can be loaded"),
        Err(error) => report.fail("policy", error.to_string(), "no plugin runs until this is mended"),
    }
    let folder = env.configurations();
    let networks = match wasm_cni::survey_networks(&folder) {
        Ok(networks) => networks,
        Err(error) => {
            report.warn(CONFIGURATION, error.to_string(), "make the folder, or name another one: NETCONFPATH");
            return Ok(());
        }
    };
    let mut good = Vec::new();
    for file in networks {
        let path = file.path.display();
        let network = match file.network {
            Ok(network) => network,
            Err(error) => {
                report.fail(CONFIGURATION, error.to_string(), format!("wasm-cni validate {path}"));
                continue;
            }
        };
        let missing = |kind: &&str| runtime.locate(kind).is_err();
        let missing: Vec<_> = network.plugins.iter().map(|plugin| plugin.kind.as_str()).filter(missing).collect();
        match missing.is_empty() {
            true => good.push(network.name),
            false => report.fail(
                CONFIGURATION,
                format!("{path}: there is no plugin {}", missing.join(", ")),
                "put it into a folder of CNI_PATH",
            ),
        }
    }
    match good.is_empty() {
        true => {
            report.warn(CONFIGURATION, format!("none that is complete in {}", folder.display()), "see examples/net.d")
        }
        false => report.ok(CONFIGURATION, good.join(", ")),
    }
    Ok(())
}

fn plugins(report: &mut Report, folder: &Folder) {
    let path = folder.path.display();
    let names = match folder.names() {
        Ok(names) if folder.path.is_dir() => names,
        Ok(_) => return report.warn(FOLDER, format!("there is no {path}"), format!("wasm-cni install {path}")),
        Err(error) => return report.warn(FOLDER, format!("cannot read {path}: {error}"), "run this as root"),
    };
    if is_writable_by_all(&folder.path) {
        report.fail(FOLDER, format!("everybody can write to {path}: who does is root"), format!("chmod go-w {path}"));
    }
    let mut ours = Vec::new();
    let before = report.0.len();
    for name in names.iter().filter(|name| !name.starts_with('.')) {
        match look_at(report, folder, name) {
            Ok(true) => ours.push(name.as_str()),
            Ok(false) => {}
            Err(error) => report.warn(FOLDER, format!("cannot read {path}/{name}: {error}"), "run this as root"),
        }
    }
    if report.0.len() == before {
        let ours = if ours.is_empty() { "nothing of wasm-cni".to_owned() } else { ours.join(", ") };
        report.ok(FOLDER, format!("{path}: {ours}"));
    }
}

/// Whether it is a plugin of this program.
fn look_at(report: &mut Report, folder: &Folder, name: &str) -> io::Result<bool> {
    let file = folder.file(name);
    let path = file.display();
    let bundled = wasm_cni_bundled::PLUGINS.iter().any(|plugin| plugin.name == name);
    let Ok(metadata) = fs::metadata(&file) else {
        report.fail(FOLDER, format!("{path} is a link to nowhere"), "wasm-cni install, or remove it");
        return Ok(false);
    };
    if metadata.is_file() && is_writable_by_all(&file) {
        report.fail(FOLDER, format!("everybody can write to {path}: who does is root"), format!("chmod go-w {path}"));
    }
    let component = file.extension().is_some_and(|extension| extension == "wasm" || extension == "cwasm");
    if component {
        return Ok(false);
    }
    if metadata.is_dir() || metadata.permissions().mode() & 0o111 == 0 {
        report.warn(FOLDER, format!("{path} is no plugin"), "remove it, or make it executable");
        return Ok(false);
    }
    if !bundled && name != PROGRAM {
        return Ok(false);
    }
    match folder.there(name)? {
        There::Foreign => report.warn(
            FOLDER,
            format!("{path} is not wasm-cni's, and runtimes run it in place of the bundled one"),
            format!("wasm-cni install --replace {}", folder.path.display()),
        ),
        // What the link leads to is looked at as itself.
        There::Link => return Ok(bundled),
        There::Ours(build) if build != version::build() => report.warn(
            FOLDER,
            format!("{path} is wasm-cni {build}, and this is {}", version::build()),
            format!("wasm-cni install {}, with the one that is to be used", folder.path.display()),
        ),
        _ => return Ok(bundled),
    }
    Ok(false)
}

fn is_writable_by_all(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o002 != 0)
}

/// The program that compiles components, if it is where it is looked for.
pub(super) fn compiler() -> Option<PathBuf> {
    let beside = std::env::current_exe().ok()?.with_file_name(COMPILER);
    beside.is_file().then_some(beside)
}
