//! The one place where a guest's operations become effects: in their order, each by its file, with what the kernel's
//! failures are tolerated for.

use std::sync::Arc;

use wasmtime::component::Resource;

use super::{
    actions::with_change,
    change::{self, Change},
    commit::{Commit, Failed},
    sysctl,
};
use crate::{
    bindings::{net, types},
    failure::refuse,
    handles::Pending,
    space::Space,
    state::State,
};

/// Does the operations in their order; see `net.commit`.
///
/// # Errors
///
/// The first operation that failed, and why.
pub(super) fn commit(
    state: &mut State,
    spaces: &[Arc<Space>],
    operations: &[net::Op],
) -> Result<Vec<Option<net::Made>>, Failed> {
    // Whatever becomes of the list, changes are spent by it.
    let mut others = Vec::with_capacity(operations.len());
    for (at, operation) in operations.iter().enumerate() {
        others.push(match &operation.act {
            net::Action::Other(change) => Some(spend(state, change).map_err(|e| (at, e))?),
            _ => None,
        });
    }
    let made = Vec::with_capacity(operations.len());
    let mut commit = Commit { state, spaces, made, tolerance: net::Tolerance::Strict };
    let mut at = 0;
    while let Some(operation) = operations.get(at) {
        if commit.state.attempt.deadline.passed() {
            return Err((at, refuse(types::Code::Timeout, "commit", "the time of this call is up")));
        }
        // A run of sysctls costs one visit to the namespace.
        let run = sysctl::run(&operations[at..]);
        if run > 0 {
            sysctl::set(&mut commit, &operations[at..at + run]).map_err(|(i, e)| (at + i, e))?;
            at += run;
        } else {
            one(&mut commit, operation, others[at].as_ref()).map_err(|e| (at, e))?;
            at += 1;
        }
    }
    Ok(commit.made)
}

fn spend(state: &mut State, change: &Resource<Pending>) -> Result<Pending, types::Error> {
    let change = state.table.delete(Resource::<Pending>::new_own(change.rep()));
    change.map_err(|_| refuse(types::Code::Invalid, "commit", "a change of this commit has been done already"))
}

fn one(commit: &mut Commit<'_>, operation: &net::Op, other: Option<&Pending>) -> Result<(), types::Error> {
    commit.tolerance = operation.tolerate;
    let mut apply = |change: &dyn Change| {
        commit.may_do(change.operation(), change.name())?;
        let space = commit.space(operation.ns, "commit")?;
        change.apply(commit, &space)
    };
    let done = with_change(&operation.act, other.and_then(change::described), &mut apply);
    let unknown = || Err(refuse(types::Code::Invalid, "commit", "there is no such change"));
    let made = done.unwrap_or_else(unknown)?;
    commit.made.push(made);
    Ok(())
}
