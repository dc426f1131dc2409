//! One call of one plugin: what it is called with, what is asked of it, and where it is in the tree of plugins that call
//! each other.

use std::sync::Arc;

use serde_json::{Map, Value};
use wasm_cni_spec::{command::Command, error::CniError, result::Success, schema};

use crate::{
    attempt::Attempt,
    bindings::cni::Attachment,
    grants::requested::Requested,
    limits::{Allowance, Limits},
    record::{delegated::Delegated, effect::Entry},
};

/// A result, and the version that its plugin gave it in.
#[derive(Clone, Debug)]
pub struct Labelled {
    /// The result.
    pub success: Success,
    /// The version.
    pub version: String,
}

impl Labelled {
    /// As JSON, in its own version.
    ///
    /// # Errors
    ///
    /// If that version cannot say it.
    pub fn json(&self) -> Result<Value, CniError> {
        schema::render_result(&self.success, &self.version)
    }
}

/// What a plugin is called with.
#[derive(Debug)]
pub struct CallConfig {
    /// The configuration, JSON.
    pub text: Arc<str>,
    /// Its `cniVersion`.
    pub version: String,
    /// The previous result, or why it cannot be read.
    pub previous: Result<Option<Labelled>, String>,
    /// Is the previous result in `text` too?
    pub text_has_prev_result: bool,
    /// What `text` says that grants go by.
    pub requested: Requested,
}

impl CallConfig {
    /// For standard input: all of it.
    ///
    /// # Errors
    ///
    /// If the previous result cannot be written in its version.
    pub fn stdin(&self) -> Result<Vec<u8>, CniError> {
        let Ok(Some(previous)) = &self.previous else { return Ok(self.text.as_bytes().to_vec()) };
        if self.text_has_prev_result {
            return Ok(self.text.as_bytes().to_vec());
        }
        let mut config: Map<String, Value> =
            serde_json::from_str(&self.text).map_err(|e| CniError::internal(e.to_string()))?;
        config.insert("prevResult".to_owned(), previous.json()?);
        Ok(Value::Object(config).to_string().into_bytes())
    }
}

/// What to ask of a plugin.
#[derive(Clone, Debug)]
pub enum Verb {
    /// ADD, DEL or CHECK of the attempt's attachment.
    Call(Command),
    /// STATUS.
    Status,
    /// GC, with the attachments that are to stay; none if that was not said.
    Gc(Option<Vec<Attachment>>),
}

impl Verb {
    /// As CNI_COMMAND has it.
    #[must_use]
    pub fn command(&self) -> Command {
        match self {
            Self::Call(command) => *command,
            Self::Status => Command::Status,
            Self::Gc(_) => Command::Gc,
        }
    }
}

/// Where a plugin is in the tree of those that call each other.
#[derive(Debug)]
pub struct Level {
    /// Delegations above it.
    pub depth: u32,
    /// What all of the tree may use up.
    pub allowance: Arc<Allowance>,
}

impl Level {
    /// Of a plugin that the caller named.
    #[must_use]
    pub fn top(limits: &Limits) -> Self {
        Self { depth: 0, allowance: Allowance::new(limits) }
    }
}

/// How plugins that a plugin delegates to are found and run: what is above the host functions.
pub trait Plugins: Send + Sync {
    /// Runs a plugin. ADD gives a result, the others give none.
    ///
    /// # Errors
    ///
    /// If there is no such plugin; what it refused, or how it ended.
    fn run(
        &self,
        attempt: &Arc<Attempt>,
        kind: &str,
        config: &Arc<CallConfig>,
        verb: Verb,
        level: Level,
    ) -> Result<Option<Labelled>, CniError>;

    /// How to take back an ADD of a plugin that is an executable: its DEL. What a component does is on the record by
    /// itself.
    ///
    /// # Errors
    ///
    /// If there is no such plugin.
    fn undo_delegation(
        &self,
        attempt: &Arc<Attempt>,
        kind: &str,
        config: &CallConfig,
    ) -> Result<Option<Delegated>, CniError>;

    /// What the ADDs of this attachment have recorded that were kept; none if there is no record of any.
    fn kept(&self, attempt: &Attempt) -> Option<Vec<Entry>>;
}
