//! Plugin directories, configurations and the policy.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::Result;

use super::Report;
use crate::{
    commands::install::directory::{COMPILER, Directory, PROGRAM, There},
    env::Env,
    version,
};

const DIRECTORY: &str = "plugins";
const CONFIGURATION: &str = "networks";

pub(super) fn look(report: &mut Report, env: &Env) -> Result<()> {
    for path in env.plugin_directories() {
        plugins(report, &Directory { path });
    }
    let runtime = env.runtime()?;
    // Inspecting a plugin loads it and reads the policy.
    match runtime.inspect("loopback") {
        Ok(_) => report.ok("policy", "valid, and plugins can be loaded"),
        Err(error) => report.fail("policy", error.to_string(), "fix it: no plugin runs until then"),
    }
    let directory = env.configurations();
    let networks = match wasm_cni::config::survey(&directory) {
        Ok(networks) => networks,
        Err(error) => {
            report.warn(CONFIGURATION, error.to_string(), "create the directory, or set NETCONFPATH");
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
                format!("{path}: plugins not found: {}", missing.join(", ")),
                "install them and set CNI_PATH",
            ),
        }
    }
    match good.is_empty() {
        true => {
            report.warn(CONFIGURATION, format!("no complete network in {}", directory.display()), "see examples/net.d")
        }
        false => report.ok(CONFIGURATION, good.join(", ")),
    }
    Ok(())
}

fn plugins(report: &mut Report, directory: &Directory) {
    let path = directory.path.display();
    let names = match directory.names() {
        Ok(names) if directory.path.is_dir() => names,
        Ok(_) => return report.warn(DIRECTORY, format!("{path} does not exist"), format!("wasm-cni install {path}")),
        Err(error) => {
            return report.warn(
                DIRECTORY,
                format!("cannot read {path}: {}", crate::reason(&error)),
                "run this as root",
            );
        }
    };
    if is_writable_by_all(&directory.path) {
        report.fail(
            DIRECTORY,
            format!("{path} is writable by every user: any of them can become root"),
            format!("chmod go-w {path}"),
        );
    }
    let mut ours = Vec::new();
    let before = report.0.len();
    for name in names.iter().filter(|name| !name.starts_with('.')) {
        match look_at(report, directory, name) {
            Ok(true) => ours.push(name.as_str()),
            Ok(false) => {}
            Err(error) => report.warn(
                DIRECTORY,
                format!("cannot read {path}/{name}: {}", crate::reason(&error)),
                "run this as root",
            ),
        }
    }
    if report.0.len() == before {
        let ours = if ours.is_empty() { "nothing from wasm-cni".to_owned() } else { ours.join(", ") };
        report.ok(DIRECTORY, format!("{path}: {ours}"));
    }
}

/// Whether the file is a plugin of this program.
fn look_at(report: &mut Report, directory: &Directory, name: &str) -> io::Result<bool> {
    let file = directory.file(name);
    let path = file.display();
    let bundled = wasm_cni_bundled::PLUGINS.iter().any(|plugin| plugin.name == name);
    let Ok(metadata) = fs::metadata(&file) else {
        report.fail(DIRECTORY, format!("{path} is a broken link"), "wasm-cni install, or remove it");
        return Ok(false);
    };
    if metadata.is_file() && is_writable_by_all(&file) {
        report.fail(
            DIRECTORY,
            format!("{path} is writable by every user: any of them can become root"),
            format!("chmod go-w {path}"),
        );
    }
    let component = file.extension().is_some_and(|extension| extension == "wasm" || extension == "cwasm");
    if component {
        return Ok(false);
    }
    if metadata.is_dir() || metadata.permissions().mode() & 0o111 == 0 {
        report.warn(DIRECTORY, format!("{path} is not a plugin"), "remove it, or make it executable");
        return Ok(false);
    }
    if !bundled && name != PROGRAM {
        return Ok(false);
    }
    match directory.there(name)? {
        There::Foreign => report.warn(
            DIRECTORY,
            format!("{path} is not from wasm-cni, and runtimes run it instead of the bundled plugin"),
            format!("wasm-cni install --replace {}", directory.path.display()),
        ),
        // The target of the link is examined by its own name.
        There::Link => return Ok(bundled),
        There::Ours(build) if build != version::build() => report.warn(
            DIRECTORY,
            format!("{path} is wasm-cni {build}, and this is {}", version::build()),
            format!("run `wasm-cni install {}` with the build to use", directory.path.display()),
        ),
        _ => return Ok(bundled),
    }
    Ok(false)
}

fn is_writable_by_all(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o002 != 0)
}

/// The compiler of third-party plugins, if it is next to this program.
pub(super) fn compiler() -> Option<PathBuf> {
    let beside = std::env::current_exe().ok()?.with_file_name(COMPILER);
    beside.is_file().then_some(beside)
}
