//! `link`: kinds of links, an interface and a file for each.

pub mod dummy;
pub mod macvlan;

use crate::{
    bindings::types,
    net::commit::Commit,
    space::{HOST, Space},
};

/// Whether a link of this kind may be made here: in the container, if the grants name the kind.
fn check_kind(commit: &Commit<'_>, at: &Space, kind: &str, what: &str) -> Result<(), types::Error> {
    let state = commit.state;
    if !state.grants.links.iter().any(|granted| granted == kind) {
        let text = format!("for links of this kind: add {kind:?} to `links` of [plugins.{}]", state.plugin);
        return state.deny(what, &text);
    }
    match at.label {
        HOST => state.deny(what, "for links of this kind in the host's namespace"),
        _ => Ok(()),
    }
}
