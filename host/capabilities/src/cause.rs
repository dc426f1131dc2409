//! What the error of a plugin is about, for programs: a guest's error has only texts, but the host knows which of its own
//! refusals came before.

use wasm_cni_spec::error::{CniError, ErrorKind};

use crate::bindings::types;

/// The last operation of the host that failed.
#[derive(Debug, Default)]
pub struct LastFailure {
    /// For people: operation and reason.
    pub summary: Option<String>,
    /// What an error of the guest is about, if it comes from this.
    pub cause: Option<Cause>,
}

/// A refusal by the host, or the error of a plugin that was delegated to.
#[derive(Clone, Debug)]
pub struct Cause {
    /// What errors that come from it contain.
    text: String,
    kind: ErrorKind,
    plugin: Option<String>,
}

impl Cause {
    /// Of a host function that failed.
    #[must_use]
    pub fn of_refusal(error: &types::Error) -> Self {
        let kind = match (error.code, i32::try_from(error.errno)) {
            (types::Code::Exists, _) => ErrorKind::Exists,
            (types::Code::Denied, Ok(0)) => ErrorKind::Denied,
            (types::Code::Limit, Ok(0)) => ErrorKind::Limit,
            (_, Ok(errno @ 1..)) => ErrorKind::Kernel(errno),
            _ => ErrorKind::Refused,
        };
        Self { text: error.msg.clone(), kind, plugin: None }
    }

    /// Of a plugin that was delegated to.
    #[must_use]
    pub fn of_delegate(error: &CniError) -> Self {
        Self { text: error.msg.clone(), kind: error.kind(), plugin: error.plugin().map(str::to_owned) }
    }

    /// The guest's error, of this kind if it comes from this.
    #[must_use]
    pub fn explain(&self, error: CniError) -> CniError {
        let has = |text: &str| !text.is_empty() && (error.msg.contains(text) || error.details.contains(text));
        // The reference has words of its own for an interface that exists.
        let is_from_this = has(&self.text) || (self.kind == ErrorKind::Exists && has("already exists"));
        if !is_from_this {
            return error;
        }
        let error = error.of_kind(self.kind);
        match &self.plugin {
            Some(plugin) => error.in_plugin(plugin),
            None => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(code: types::Code, errno: u32, msg: &str) -> Cause {
        Cause::of_refusal(&types::Error { code, errno, what: "link-add x".to_owned(), msg: msg.to_owned() })
    }

    #[test]
    fn an_error_is_of_the_kind_of_the_refusal_that_it_quotes() {
        let kind = |cause: &Cause, text: &str| cause.explain(CniError::internal(text)).kind();
        let busy = refusal(types::Code::Busy, 16, "device or resource busy");
        assert_eq!(kind(&busy, "cannot: device or resource busy"), ErrorKind::Kernel(16));
        assert_eq!(kind(&busy, "the bridge has another MTU"), ErrorKind::Other);
        let exists = refusal(types::Code::Exists, 17, "file exists");
        assert_eq!(kind(&exists, "container veth name (\"eth0\") already exists"), ErrorKind::Exists);
        let denied = refusal(types::Code::Denied, 0, "plugin \"x\" has no grant");
        assert_eq!(kind(&denied, "link-add x: plugin \"x\" has no grant"), ErrorKind::Denied);
        assert_eq!(kind(&refusal(types::Code::Denied, 1, "operation not permitted"), "no"), ErrorKind::Other);
    }
}
