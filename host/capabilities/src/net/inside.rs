//! What the interfaces for tables of the kernel (routes, rules, neighbours) have in common: their changes are for the
//! container's namespace, and what they list is bounded.

use super::commit::Commit;
use crate::{
    bindings::types,
    failure::refuse,
    space::{HOST, Space},
};

/// Most entries that a guest is told of at once. In a guest they take a fraction of the memory that it may have.
const MAX_LISTED: usize = 16_384;

/// Whether a change that is for the container only may be made here.
///
/// # Errors
///
/// `denied` on the host.
pub fn check(commit: &Commit<'_>, at: &Space, what: &str) -> Result<(), types::Error> {
    match at.label {
        HOST => commit.state.deny(what, "for changes of this kind in the host's namespace"),
        _ => Ok(()),
    }
}

/// What a guest is told of.
///
/// # Errors
///
/// `limit`, if that is too much.
pub fn listed<T, W>(found: Vec<T>, what: &str, wit: impl FnMut(T) -> W) -> Result<Vec<W>, types::Error> {
    if found.len() > MAX_LISTED {
        let text = format!("there are {} entries, more than {MAX_LISTED}", found.len());
        return Err(refuse(types::Code::Limit, what, text));
    }
    Ok(found.into_iter().map(wit).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_whole_or_a_failure() {
        assert_eq!(listed(vec![1; MAX_LISTED], "list", |n| n).unwrap().len(), MAX_LISTED);
        let error = listed(vec![1; MAX_LISTED + 1], "list", |n| n).unwrap_err();
        assert_eq!((error.code, error.msg.as_str()), (types::Code::Limit, "there are 16385 entries, more than 16384"));
    }
}
