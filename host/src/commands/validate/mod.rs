//! `validate`: mistakes in a directory of configurations, with file, line and column.

mod files;

use std::{
    collections::HashMap,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use anyhow::Result;
use json_spanned_value::{ErrorExt as _, Settings, spanned};
use serde_json::{Map, Value, json};
use wasm_cni::{Runtime, result::SUPPORTED_VERSIONS};

use super::key_path;
use crate::{
    args::{Format, Validate},
    env::Env,
    table::print_json,
};

pub(crate) fn validate(validate: &Validate, env: &Env) -> Result<u8> {
    let path = validate.path.clone().unwrap_or_else(|| env.configurations());
    let runtime = env.runtime()?;
    let mut findings = Vec::new();
    let mut names: HashMap<String, PathBuf> = HashMap::new();
    let files = files::configurations(&path)?;
    for file in &files {
        let text = match files::text(file) {
            Ok(text) => text,
            Err(files::Unusable { before, why }) => {
                Check { file, text: &before, findings: &mut findings, runtime: &runtime }.at(before.len(), &why);
                continue;
            }
        };
        let first = findings.len();
        let mut check = Check { file, text: &text, findings: &mut findings, runtime: &runtime };
        let found = check.file();
        check.loaded(first);
        check.findings[first..].sort_by_key(|finding| (finding.line, finding.column));
        if let Some(name) = found
            && let Some(other) = names.insert(name.clone(), file.clone())
        {
            check.at(0, &format!("network {name:?} is in {} too, which is used if it goes first", other.display()));
        }
    }
    if validate.output.output == Format::Json {
        print_json(&findings.iter().map(Finding::json).collect::<Value>())?;
        return Ok(u8::from(findings.iter().any(|finding| !finding.harmless)));
    }
    let mut stdout = io::stdout().lock();
    for Finding { file, line, column, text, harmless } in &findings {
        let kind = if *harmless { "warning: " } else { "" };
        writeln!(stdout, "{}:{line}:{column}: {kind}{text}", file.display())?;
    }
    let (warnings, mistakes): (Vec<_>, Vec<_>) = findings.iter().partition(|finding| finding.harmless);
    let count = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    let warnings = match warnings.len() {
        0 => String::new(),
        n => format!(", {}", count(n, "warning")),
    };
    writeln!(io::stderr(), "{}, {}{warnings}", count(files.len(), "file"), count(mistakes.len(), "mistake"))?;
    Ok(u8::from(!mistakes.is_empty()))
}

/// Something wrong, and where.
struct Finding {
    file: PathBuf,
    line: usize,
    column: usize,
    text: String,
    /// It is only worth a warning: ADD would go on regardless.
    harmless: bool,
}

impl Finding {
    fn json(&self) -> Value {
        let Self { file, line, column, text, harmless } = self;
        json!({ "file": file, "line": line, "column": column, "message": text, "harmless": harmless })
    }
}

struct Check<'a> {
    file: &'a Path,
    text: &'a str,
    findings: &'a mut Vec<Finding>,
    runtime: &'a Runtime,
}

impl Check<'_> {
    /// Adds a finding at a byte offset.
    fn at(&mut self, offset: usize, text: &str) {
        self.found(offset, text, false);
    }

    fn found(&mut self, offset: usize, text: &str, harmless: bool) {
        let before = &self.text[..offset.min(self.text.len())];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        let (file, text) = (self.file.to_owned(), text.to_owned());
        self.findings.push(Finding { file, line, column, text, harmless });
    }

    /// What ADD says of the whole file, if nothing before says why: a list in a `.conf`, for instance.
    fn loaded(&mut self, first: usize) {
        if self.findings[first..].iter().all(|finding| finding.harmless)
            && let Err(error) = wasm_cni::config::load(self.file)
        {
            let why = match self.file.extension().and_then(|ending| ending.to_str()) {
                Some("conf") if self.text.contains("\"plugins\"") => ": a list belongs into a .conflist file",
                Some("conflist") if self.text.contains("\"type\"") => ": a single plugin belongs into a .conf file",
                _ => "",
            };
            self.at(0, &format!("{}{why}", error.msg));
        }
    }

    /// The plugins in the directory of the network's name, which ADD calls after those of the list.
    fn directory(&mut self, name: &str, given: &Map<String, Value>) {
        let directory = self.file.with_file_name(name);
        if !directory.is_dir() {
            return;
        }
        let plugins = match files::named(&directory, &["conf"]) {
            Ok(plugins) => plugins,
            Err(error) => return self.at(0, &crate::chain(&error)),
        };
        for file in plugins {
            let text = match files::text(&file) {
                Ok(text) => text,
                Err(files::Unusable { why, .. }) => {
                    self.at(0, &format!("{}: {why}", file.display()));
                    continue;
                }
            };
            let mut check = Check { file: &file, text: &text, findings: &mut *self.findings, runtime: self.runtime };
            if let Some(value) = check.parsed() {
                check.plugin(&value, given);
            }
        }
    }

    /// Its JSON, if it is any.
    fn parsed(&mut self) -> Option<spanned::Value> {
        let parsed: Result<spanned::Value, _> =
            json_spanned_value::from_str_with_settings(self.text, &Settings::default());
        parsed
            .map_err(|error| {
                let offset = error.offset_within(self.text).unwrap_or(0);
                // The place is in front already.
                let text = error.to_string();
                self.at(offset, text.split(" at line ").next().unwrap_or(&text));
            })
            .ok()
    }

    /// The network's name, if there is one.
    fn file(&mut self) -> Option<String> {
        let value = self.parsed()?;
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
        // What every plugin of a list is given.
        let mut given = Map::new();
        if list {
            for key in ["name", "cniVersion"] {
                given.extend(object.get(key).map(|value| (key.to_owned(), self.plain(value))));
            }
        }
        if !list {
            self.plugin(&value, &given);
            return name;
        }
        match object.get("plugins") {
            None => {}
            Some(plugins) => match plugins.as_span_array() {
                Some(plugins) if plugins.is_empty() => self.at(plugins.start(), "`plugins` is empty"),
                Some(plugins) => {
                    for plugin in plugins.iter() {
                        self.plugin(plugin, &given);
                    }
                }
                None => self.at(plugins.start(), "`plugins` is not a list"),
            },
        }
        let only_inlined = object.get("loadOnlyInlinedPlugins").and_then(|flag| flag.as_bool()) == Some(true);
        if let Some(name) = name.as_deref().filter(|name| !only_inlined && is_name(name)) {
            self.directory(name, &given);
        }
        name
    }

    fn name(&mut self, name: &spanned::Value) -> Option<String> {
        let Some(text) = name.as_string() else {
            self.at(name.start(), "`name` is not text");
            return None;
        };
        if !is_name(text) {
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

    fn plugin(&mut self, plugin: &spanned::Value, given: &Map<String, Value>) {
        let Some(object) = plugin.as_span_object() else {
            self.at(plugin.start(), "a plugin's configuration is a JSON object");
            return;
        };
        match object.get("type") {
            None => self.at(plugin.start(), "`type` is missing"),
            Some(kind) => {
                self.kind(kind);
                if let Some(kind) = kind.as_string() {
                    self.settings(kind, plugin, given);
                }
            }
        }
        if let Some(ipam) = object.get("ipam").filter(|ipam| !ipam.is_null()) {
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

    /// A value without its places.
    fn plain(&self, value: &spanned::Value) -> Value {
        self.text.get(value.start()..value.end()).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    }

    /// What the plugin itself says is wrong, where it is a component. That it cannot be found is said elsewhere.
    fn settings(&mut self, kind: &str, plugin: &spanned::Value, given: &Map<String, Value>) {
        let Value::Object(mut config) = self.plain(plugin) else { return };
        config.extend(given.clone());
        match self.runtime.mistakes(kind, &Value::Object(config).to_string()) {
            Ok(mistakes) => {
                for mistake in mistakes {
                    let key = if mistake.key.is_empty() { String::new() } else { format!("`{}`: ", mistake.key) };
                    let offset = key_path::find(plugin, &mistake.key);
                    self.found(offset, &format!("{key}{}", mistake.msg), mistake.harmless);
                }
            }
            Err(error) if self.runtime.locate(kind).is_ok() => self.at(plugin.start(), &error.to_string()),
            Err(_) => {}
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

/// Whether a network may be called so.
fn is_name(text: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(legal)
}
