//! `validate`: mistakes in a directory of configurations, with file, line and column.

use std::{
    collections::HashMap,
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use json_spanned_value::{ErrorExt as _, Settings, spanned};
use wasm_cni::{Runtime, result::SUPPORTED_VERSIONS};

use crate::{args::Validate, env::Env};

pub(crate) fn validate(validate: &Validate, env: &Env) -> Result<u8> {
    let path = validate.path.clone().unwrap_or_else(|| env.configurations());
    let runtime = env.runtime()?;
    let mut findings = Vec::new();
    let mut names: HashMap<String, PathBuf> = HashMap::new();
    let files = files(&path)?;
    for file in &files {
        let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        let mut check = Check { file, text: &text, findings: &mut findings, runtime: &runtime };
        if let Some(name) = check.file()
            && let Some(first) = names.insert(name.clone(), file.clone())
        {
            check.at(0, &format!("network {name:?} is in {} too, which is used if it goes first", first.display()));
        }
    }
    let mut stdout = io::stdout().lock();
    for finding in &findings {
        writeln!(stdout, "{finding}")?;
    }
    let count = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    writeln!(io::stderr(), "{}, {}", count(files.len(), "file"), count(findings.len(), "mistake"))?;
    Ok(u8::from(!findings.is_empty()))
}

fn files(path: &Path) -> Result<Vec<PathBuf>> {
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = fs::read_dir(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut files: Vec<_> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
    files.retain(|file| {
        let kinds = ["conflist", "conf", "json"];
        file.is_file() && file.extension().is_some_and(|e| kinds.iter().any(|kind| e == *kind))
    });
    files.sort();
    Ok(files)
}

struct Check<'a> {
    file: &'a Path,
    text: &'a str,
    findings: &'a mut Vec<String>,
    runtime: &'a Runtime,
}

impl Check<'_> {
    /// Adds a finding at a byte offset.
    fn at(&mut self, offset: usize, text: &str) {
        let before = &self.text[..offset.min(self.text.len())];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        self.findings.push(format!("{}:{line}:{column}: {text}", self.file.display()));
    }

    /// The network's name, if there is one.
    fn file(&mut self) -> Option<String> {
        let parsed: Result<spanned::Value, _> =
            json_spanned_value::from_str_with_settings(self.text, &Settings::default());
        let value = match parsed {
            Ok(value) => value,
            Err(error) => {
                let offset = error.offset_within(self.text).unwrap_or(0);
                // The place is in front already.
                let text = error.to_string();
                self.at(offset, text.split(" at line ").next().unwrap_or(&text));
                return None;
            }
        };
        let Some(object) = value.as_span_object() else {
            self.at(value.start(), "a network configuration is a JSON object");
            return None;
        };
        let name = match object.get("name") {
            None => {
                self.at(value.start(), "`name` is missing");
                None
            }
            Some(name) => self.name(name),
        };
        match object.get("cniVersion") {
            None => self.at(value.start(), "`cniVersion` is missing: 0.1.0 is assumed"),
            Some(version) => self.version(version),
        }
        for key in ["disableCheck", "disableGC", "loadOnlyInlinedPlugins"] {
            if let Some(flag) = object.get(key) {
                self.flag(key, flag);
            }
        }
        let list = self.file.extension().is_some_and(|e| e == "conflist") || object.contains_key("plugins");
        if !list {
            self.plugin(&value);
            return name;
        }
        match object.get("plugins") {
            None => {}
            Some(plugins) => match plugins.as_span_array() {
                Some(plugins) if plugins.is_empty() => self.at(plugins.start(), "`plugins` is empty"),
                Some(plugins) => {
                    for plugin in plugins.iter() {
                        self.plugin(plugin);
                    }
                }
                None => self.at(plugins.start(), "`plugins` is not a list"),
            },
        }
        name
    }

    fn name(&mut self, name: &spanned::Value) -> Option<String> {
        let Some(text) = name.as_string() else {
            self.at(name.start(), "`name` is not text");
            return None;
        };
        let legal = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        if !text.starts_with(|c: char| c.is_ascii_alphanumeric()) || !text.chars().all(legal) {
            self.at(
                name.start(),
                "a network's name is made of letters, digits, `_`, `.` and `-`, and starts with one of the first two",
            );
        }
        Some(text.to_owned())
    }

    fn version(&mut self, version: &spanned::Value) {
        match version.as_string() {
            Some(text) if SUPPORTED_VERSIONS.contains(&text) => {}
            Some(text) => {
                let known = SUPPORTED_VERSIONS.join(", ");
                self.at(version.start(), &format!("version {text:?} of CNI is not one of {known}"));
            }
            None => self.at(version.start(), "`cniVersion` is not text"),
        }
    }

    fn flag(&mut self, key: &str, flag: &spanned::Value) {
        let text = flag.as_string().is_some_and(|text| ["true", "false"].iter().any(|t| text.eq_ignore_ascii_case(t)));
        if flag.as_bool().is_none() && !text {
            self.at(flag.start(), &format!("`{key}` is neither true nor false"));
        }
    }

    fn plugin(&mut self, plugin: &spanned::Value) {
        let Some(object) = plugin.as_span_object() else {
            self.at(plugin.start(), "a plugin's configuration is a JSON object");
            return;
        };
        match object.get("type") {
            None => self.at(plugin.start(), "`type` is missing"),
            Some(kind) => self.kind(kind),
        }
        if let Some(ipam) = object.get("ipam") {
            match ipam.as_span_object() {
                None => self.at(ipam.start(), "`ipam` is not a JSON object"),
                Some(ipam) => {
                    if let Some(kind) = ipam.get("type") {
                        self.kind(kind);
                    }
                }
            }
        }
        if let Some(capabilities) = object.get("capabilities") {
            match capabilities.as_span_object() {
                None => self.at(capabilities.start(), "`capabilities` is not a JSON object"),
                Some(capabilities) => {
                    for (name, value) in capabilities.iter() {
                        if value.as_bool().is_none() {
                            self.at(
                                value.start(),
                                &format!("capability `{}` is neither true nor false", name.get_ref()),
                            );
                        }
                    }
                }
            }
        }
    }

    fn kind(&mut self, kind: &spanned::Value) {
        match kind.as_string() {
            None => self.at(kind.start(), "`type` is not text"),
            Some(text) => {
                if let Err(error) = self.runtime.locate(text) {
                    self.at(kind.start(), &error.to_string());
                }
            }
        }
    }
}
