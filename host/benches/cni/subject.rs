//! The subjects, and the calls of each. Must not know: which calls make a case.

use std::{
    ffi::OsString,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

use crate::{
    namespaces::{self, DIRECTORY},
    process::Call,
};

/// The bundled plugins, under whose names the program is linked.
pub(crate) const PLUGINS: [&str; 6] = ["bridge", "host-device", "host-local", "loopback", "ptp", "static"];

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Who {
    WasmCni,
    Reference,
    Floor,
}

impl Who {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::WasmCni => "wasm-cni",
            Self::Reference => "reference",
            Self::Floor => "floor",
        }
    }

    /// Distinguishes their devices and subnets.
    pub(crate) fn number(self) -> u8 {
        self as u8 + 1
    }
}

pub(crate) struct Subject {
    pub(crate) who: Who,
    /// The plugin directory; for the floor, its program.
    pub(crate) plugins: PathBuf,
    /// The program wasm-cni, which also calls the reference in chains.
    pub(crate) program: PathBuf,
    /// A directory for its configurations and replies.
    pub(crate) directory: PathBuf,
    /// The namespace that stands for the container.
    pub(crate) netns: PathBuf,
}

impl Subject {
    pub(crate) fn ours(program: &Path) -> Result<Self> {
        let plugins = Path::new(DIRECTORY).join("plugins");
        fs::create_dir_all(&plugins)?;
        let program = program.canonicalize().with_context(|| program.display().to_string())?;
        for name in PLUGINS {
            symlink(&program, plugins.join(name))?;
        }
        Self::new(Who::WasmCni, plugins, &program)
    }

    pub(crate) fn reference(plugins: &Path, program: &Path) -> Result<Self> {
        let plugins = plugins.canonicalize().with_context(|| plugins.display().to_string())?;
        ensure!(plugins.join("bridge").exists(), "no bridge plugin in {}", plugins.display());
        Self::new(Who::Reference, plugins, program)
    }

    pub(crate) fn floor(program: PathBuf) -> Result<Self> {
        Self::new(Who::Floor, program, Path::new(""))
    }

    fn new(who: Who, plugins: PathBuf, program: &Path) -> Result<Self> {
        let directory = Path::new(DIRECTORY).join(who.name());
        fs::create_dir_all(directory.join("net.d"))?;
        let netns = namespaces::container(who.name())?;
        Ok(Self { who, plugins, program: program.to_owned(), directory, netns })
    }

    /// A call of a plugin with the configuration of this name.
    pub(crate) fn plugin(&self, plugin: &str, verb: &str, config: &str) -> Call {
        Call {
            program: self.plugins.join(plugin),
            arguments: Vec::new(),
            env: vec![
                ("CNI_COMMAND", verb.into()),
                ("CNI_CONTAINERID", "c1".into()),
                ("CNI_NETNS", self.netns.clone().into()),
                ("CNI_IFNAME", if plugin == "loopback" { "lo" } else { "eth0" }.into()),
                ("CNI_PATH", self.plugins.clone().into()),
            ],
            input: Some(self.config(config)),
            reply: self.directory.join("reply"),
        }
    }

    /// A call of the command wasm-cni.
    pub(crate) fn command(&self, verb: &str, network: &str) -> Call {
        let mut arguments: Vec<OsString> = vec![verb.into(), network.into(), self.netns.clone().into()];
        if self.who == Who::Reference {
            arguments.push("--prefer-native".into());
        }
        Call {
            program: self.program.clone(),
            arguments,
            env: vec![("CNI_PATH", self.plugins.clone().into()), ("NETCONFPATH", self.networks().into())],
            input: None,
            reply: self.directory.join("reply"),
        }
    }

    /// A call of the floor's program.
    pub(crate) fn floor_call(&self, arguments: Vec<OsString>) -> Call {
        Call {
            program: self.plugins.clone(),
            arguments,
            env: Vec::new(),
            input: None,
            reply: self.directory.join("reply"),
        }
    }

    /// The path of the plugin configuration with this name.
    pub(crate) fn config(&self, name: &str) -> PathBuf {
        self.directory.join(name).with_extension("json")
    }

    /// The directory of lists only, because a look-up reads all files.
    pub(crate) fn networks(&self) -> PathBuf {
        self.directory.join("net.d")
    }

    /// Its name and version.
    pub(crate) fn version(&self) -> String {
        let output = match self.who {
            Who::WasmCni => Command::new(&self.program).arg("--version").output(),
            Who::Reference => Command::new(self.plugins.join("bridge")).env_remove("CNI_COMMAND").output(),
            Who::Floor => return "netlink messages only".to_owned(),
        };
        let Ok(output) = output else { return String::new() };
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        // The name, and the target if it reports one.
        let target = text.lines().find_map(|line| line.strip_prefix("target "));
        let parts = text.lines().next().into_iter().chain(target).map(str::trim);
        parts.collect::<Vec<_>>().join(", ")
    }
}
