//! What a plugin implements. One trait for each of the two worlds.

use crate::{Attachment, Call, Failure, Mistake, Netns, Output};

/// A plugin that makes or changes interfaces. `host` is there if the plugin's
/// grants name it; see [`require_host`].
pub trait InterfacePlugin {
    /// ADD. What it did is undone by the host if it fails.
    fn add(call: &Call, sandbox: &Netns, host: Option<&Netns>) -> Result<Output, Failure>;

    /// DEL. `sandbox` is none when the namespace is gone. Runs any number of
    /// times, also without an ADD before, and does as much as it can.
    fn del(call: &Call, sandbox: Option<&Netns>, host: Option<&Netns>) -> Result<(), Failure>;

    /// CHECK. Changes nothing.
    fn check(call: &Call, sandbox: &Netns, host: Option<&Netns>) -> Result<(), Failure>;

    /// STATUS: whether an ADD could succeed.
    fn status(_config: &str, _host: Option<&Netns>) -> Result<(), Failure> {
        Ok(())
    }

    /// GC: removes what belongs to attachments other than `live`.
    fn gc(_config: &str, _live: &[Attachment], _host: Option<&Netns>) -> Result<(), Failure> {
        Ok(())
    }

    /// Every mistake of a configuration that does not depend on the machine, with
    /// the text that ADD would give: see [`validate`](crate::validate). Keys below
    /// `ipam` are the IPAM plugin's to judge.
    fn validate(config: &str) -> Vec<Mistake>;
}

/// A plugin that hands out addresses. It sees no namespace.
pub trait IpamPlugin {
    /// ADD. What it stored is removed by the host if it fails.
    fn add(call: &Call) -> Result<Output, Failure>;

    /// DEL. Runs any number of times, also without an ADD before.
    fn del(call: &Call) -> Result<(), Failure>;

    /// CHECK. Changes nothing.
    fn check(call: &Call) -> Result<(), Failure>;

    /// STATUS: whether an ADD could succeed.
    fn status(_config: &str) -> Result<(), Failure> {
        Ok(())
    }

    /// GC: removes what belongs to attachments other than `live`.
    fn gc(_config: &str, _live: &[Attachment]) -> Result<(), Failure> {
        Ok(())
    }

    /// Every mistake in what the plugin reads, mostly below `ipam`, that does not
    /// depend on the machine, with the text that ADD would give: see
    /// [`validate`](crate::validate).
    fn validate(config: &str) -> Vec<Mistake>;
}

/// The host's namespace, for a plugin that can't do without.
pub fn require_host(host: Option<&Netns>) -> Result<&Netns, Failure> {
    host.ok_or_else(|| Failure::plain("the plugin's grants do not name the host's network namespace"))
}

impl Call {
    /// `prevResult`, for a plugin that reads it: whether it can be read does
    /// not matter to the others.
    pub fn prev_result(&self) -> Result<Option<&Output>, Failure> {
        match &self.prev {
            Ok(prev) => Ok(prev.as_ref()),
            Err(why) => Err(Failure::plain(why.as_str())),
        }
    }

    /// `prevResult`, for a plugin that needs it.
    pub fn required_prev_result(&self) -> Result<&Output, Failure> {
        self.prev_result()?.ok_or_else(|| Failure::plain("Required prevResult missing"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(prev: Result<Option<Output>, String>) -> Call {
        Call { prev, ..Call::default() }
    }

    #[test]
    fn an_unreadable_prev_result_matters_to_those_who_read_it() {
        let unreadable = call(Err("could not parse prevResult: x".into()));
        let failure = unreadable.required_prev_result().unwrap_err();
        assert_eq!(failure, Failure::plain("could not parse prevResult: x"));
        let missing = call(Ok(None));
        let failure = missing.required_prev_result().unwrap_err();
        assert_eq!(failure.msg, "Required prevResult missing");
        assert!(call(Ok(Some(Output::default()))).required_prev_result().is_ok());
    }
}
