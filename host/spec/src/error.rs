//! The error of the CNI specification: a code, a message, details. What programs match on is beside them, in `about`.

mod about;
pub mod code;

use std::{error::Error, fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use self::about::About;
pub use self::about::{Effect, ErrorKind};

/// A failed operation, as CNI reports it: `{"code", "msg", "details"}`.
///
/// Texts are for people. Programs match on [`CniError::kind`], and after a failed ADD ask [`CniError::effect`] what is
/// left. Errors are equal if code and texts are.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CniError {
    /// See [`code`].
    pub code: u32,
    /// What failed.
    pub msg: String,
    /// More about it; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub details: String,
    #[serde(skip, default = "About::unknown")]
    about: About,
}

impl CniError {
    /// An error without details, of the kind that the code implies.
    pub fn new(code: u32, msg: impl Into<String>) -> Self {
        Self { code, msg: msg.into(), details: String::new(), about: About::default() }
    }

    /// An error of no particular code.
    pub fn internal(msg: impl Into<String>) -> Self {
        Self::new(code::INTERNAL, msg)
    }

    /// As a plugin prints it, without a final newline.
    #[must_use]
    pub fn to_json(&self) -> String {
        crate::gojson::pretty(self)
    }

    /// The same error with these details.
    #[must_use]
    pub fn details(mut self, details: impl Into<String>) -> Self {
        self.details = details.into();
        self
    }

    /// The same error with a further sentence in its details.
    #[must_use]
    pub fn note(mut self, note: &str) -> Self {
        if !self.details.is_empty() {
            self.details.push_str("; ");
        }
        self.details.push_str(note);
        self
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.about.kind.unwrap_or_else(|| ErrorKind::of_code(self.code))
    }

    /// The type of the plugin that failed, or that was not found. Of plugins that delegate to each other, the last.
    #[must_use]
    pub fn plugin(&self) -> Option<&str> {
        self.about.plugin.as_deref()
    }

    /// What a failed ADD left behind. [`Effect::Nothing`] for an operation that undoes nothing.
    #[must_use]
    pub fn effect(&self) -> Effect {
        self.about.effect
    }

    /// What may help, for people: `did you mean "bridge"?`. Not part of the text, which may have to be the reference's.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.about.hint.as_deref()
    }

    /// The same error with this hint.
    #[must_use]
    pub fn hinting(mut self, hint: &str) -> Self {
        self.about.hint = Some(hint.into());
        self
    }

    /// The same error, of this kind.
    #[must_use]
    pub fn of_kind(mut self, kind: ErrorKind) -> Self {
        self.about.kind = Some(kind);
        self
    }

    /// The same error of this plugin, unless it names one already.
    #[must_use]
    pub fn in_plugin(mut self, plugin: &str) -> Self {
        self.about.plugin.get_or_insert_with(|| plugin.into());
        self
    }

    /// The same error, which left at least this behind.
    #[must_use]
    pub fn leaving(mut self, effect: Effect) -> Self {
        self.about.effect = self.about.effect.max(effect);
        self
    }

    /// The same error with its cause, for [`Error::source`].
    #[must_use]
    pub fn caused_by(mut self, source: impl Error + Send + Sync + 'static) -> Self {
        self.about.source = Some(Arc::new(source));
        self
    }

    /// The same error in other words.
    #[must_use]
    pub fn reword(mut self, msg: impl FnOnce(&str) -> String) -> Self {
        self.msg = msg(&self.msg);
        self
    }

    /// An error of no particular code that says more about this one: its kind, plugin, effect and source stay.
    #[must_use]
    pub fn told_as(self, msg: impl Into<String>) -> Self {
        Self { about: self.about, ..Self::internal(msg) }
    }

    /// Several failures as one error of no particular code, a line each; about the first. None if there are none.
    #[must_use]
    pub fn all_of(errors: Vec<Self>) -> Option<Self> {
        let lines: Vec<_> = errors.iter().map(ToString::to_string).collect();
        let effect = errors.iter().map(Self::effect).max()?;
        Some(errors.into_iter().next()?.told_as(lines.join("\n")).leaving(effect))
    }
}

impl PartialEq for CniError {
    fn eq(&self, other: &Self) -> bool {
        (self.code, &self.msg, &self.details) == (other.code, &other.msg, &other.details)
    }
}

impl Eq for CniError {}

impl fmt::Display for CniError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.msg)?;
        if !self.details.is_empty() {
            write!(f, "; {}", self.details)?;
        }
        Ok(())
    }
}

impl Error for CniError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.about.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_is_code_and_texts_and_nothing_else() {
        let error = CniError::internal("m").of_kind(ErrorKind::Exists).in_plugin("p").leaving(Effect::Host);
        assert_eq!(serde_json::to_string(&error).unwrap(), r#"{"code":999,"msg":"m"}"#);
        assert_eq!(error, CniError::internal("m"), "equal by what is printed");
        let read: CniError = serde_json::from_str(r#"{"code":7,"msg":"m"}"#).unwrap();
        assert_eq!((read.kind(), read.plugin(), read.effect()), (ErrorKind::Config, None, Effect::Unknown));
    }

    #[test]
    fn the_first_plugin_and_the_worst_effect_stay() {
        let error = CniError::internal("m").in_plugin("host-local").in_plugin("bridge");
        let error = error.leaving(Effect::Unknown).leaving(Effect::Host).told_as("more");
        assert_eq!((error.plugin(), error.effect(), &*error.msg), (Some("host-local"), Effect::Unknown, "more"));
    }

    #[test]
    fn the_cause_can_be_asked_for() {
        let error = CniError::new(code::IO, "m").caused_by(std::io::Error::from_raw_os_error(2));
        let source = error.source().and_then(|source| source.downcast_ref::<std::io::Error>());
        assert_eq!(source.and_then(std::io::Error::raw_os_error), Some(2));
    }
}
