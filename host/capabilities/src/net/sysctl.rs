//! Sysctls of a namespace: `sysctl net.ipv4.ip_forward=1`. Several in a row are one visit to the namespace.

use std::{collections::BTreeMap, fmt, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use wasm_cni_kernel::{self as kernel, Link};

use super::{
    change::{Change, Labels},
    commit::{Commit, Failed},
};
use crate::{
    bindings::{net, types},
    convert,
    describe::Scribe,
    failure::{kernel_error, refuse},
    grants::{
        pattern::{matches_any, sysctl_matches, sysctl_stars},
        table::{Operation, Sysctl},
    },
    needs::Needs,
    record::{
        effect::{Cleanup, Effect, Undone},
        scene::{Scene, Shared, tolerate_gone},
    },
    space::{HOST, Place, SANDBOX, Space},
    state::State,
};

/// Other attachments rely on these: they are switched on, and never off.
const FORWARDING: [&str; 2] = ["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"];

/// A write to a file below /proc/sys.
pub(super) struct Set<'a>(pub(super) &'a net::Sysctl);

impl Change for Set<'_> {
    fn name(&self) -> &'static str {
        "sysctl-set"
    }

    fn operation(&self) -> Operation {
        Operation::SysctlSet
    }

    /// See [`set`], which does all that stand in a row.
    fn apply(&self, _: &mut Commit<'_>, _: &Arc<Space>) -> Result<Option<net::Made>, types::Error> {
        unreachable!("a commit takes these in runs")
    }

    fn describe(&self, _: &Labels<'_>, scribe: &mut Scribe<'_>) -> Value {
        json!({ "key": scribe.text(&self.0.key), "value": scribe.text(&self.0.value) })
    }
}

/// How many of these operations, from the first on, set sysctls in one namespace.
pub(super) fn run(operations: &[net::Op]) -> usize {
    let same = |operation: &&net::Op| operation.ns == operations[0].ns && sysctl(operation).is_some();
    operations.iter().take_while(same).count()
}

fn sysctl(operation: &net::Op) -> Option<&net::Sysctl> {
    match &operation.act {
        net::Action::SysctlSet(sysctl) => Some(sysctl),
        _ => None,
    }
}

/// Does a [`run`] of them.
///
/// # Errors
///
/// The first that failed in a way that is not tolerated, by its place in the run.
pub(super) fn set(commit: &mut Commit<'_>, run: &[net::Op]) -> Result<(), Failed> {
    let space = commit.space(run[0].ns, "sysctl-set").map_err(|e| (0, e))?;
    let mut pairs = Vec::with_capacity(run.len());
    for (i, operation) in run.iter().enumerate() {
        let sysctl = sysctl(operation).expect("a run holds only these");
        let checked = commit
            .may_do(Operation::SysctlSet, Set(sysctl).name())
            .and_then(|()| commit.may_set_sysctl(&space, sysctl));
        checked.and_then(|()| convert::sysctl_value(&sysctl.value, &sysctl.key)).map_err(|e| (i, e))?;
        pairs.push((sysctl.key.as_str(), sysctl.value.as_str()));
    }
    let failed = |e: &kernel::Error| (0, kernel_error(e));
    // Those of a link of our own go with the link.
    let undoes = |key: &&str| commit.state.attempt.undoes() && !commit.is_of_own_link(&space, key);
    let keys: Vec<&str> = pairs.iter().map(|(key, _)| *key).filter(undoes).collect();
    let old = if keys.is_empty() { Vec::new() } else { space.sysctls_get(&keys).map_err(|e| failed(&e))? };
    let mut old: BTreeMap<&str, Option<String>> = keys.into_iter().zip(old).collect();
    // What is so already need not be said again.
    if pairs.iter().all(|(key, value)| old.get(key).and_then(Option::as_deref) == Some(*value)) {
        commit.made.extend(run.iter().map(|_| None));
        return Ok(());
    }
    let mut notes = Vec::with_capacity(pairs.len());
    for (key, _) in &pairs {
        let effect = old.remove(key).flatten().and_then(|old| Changed::of(space.place(), key, old));
        let note = effect.map(|effect| commit.state.note(effect)).transpose();
        notes.push(note.and_then(|note| note.map_or_else(|| commit.state.count(), Ok)).map_err(|e| (0, e))?);
    }
    let results = commit.write_sysctls(&space, &pairs).map_err(|e| failed(&e))?;
    for (i, (result, operation)) in results.into_iter().zip(run).enumerate() {
        if result.is_err() {
            commit.state.attempt.strike(notes[i]);
        }
        commit.tolerance = operation.tolerate;
        commit.tolerated(result.map_err(|e| kernel_error(&e))).map_err(|e| (i, e))?;
        commit.made.push(None);
    }
    Ok(())
}

impl Commit<'_> {
    /// By netlink what it has a message for; the rest by files.
    fn write_sysctls(
        &self,
        space: &Space,
        pairs: &[(&str, &str)],
    ) -> Result<Vec<Result<(), kernel::Error>>, kernel::Error> {
        let by_netlink = |(key, value): &(&str, &str)| {
            let name = key.strip_prefix("net/ipv4/conf/")?.strip_suffix("/arp_notify").filter(|_| *value == "1")?;
            let (index, _) = self.facts().own_named(space.place(), name)?;
            space.netlink(|netlink| netlink.link_notify_by_arp(index)).ok()
        };
        let done: Vec<_> = pairs.iter().map(|pair| by_netlink(pair).is_some()).collect();
        let rest: Vec<_> = pairs.iter().zip(&done).filter(|(_, done)| !**done).map(|(pair, _)| *pair).collect();
        let deadline = &self.state.attempt.deadline;
        let rest = match rest.is_empty() {
            true => Vec::new(),
            false => space.sysctls_set(&rest, &|| !deadline.passed())?,
        };
        let mut rest = rest.into_iter();
        Ok(done.into_iter().map(|done| if done { Ok(()) } else { rest.next().expect("one for each") }).collect())
    }

    /// Is it a sysctl of such a link?
    fn is_of_own_link(&self, space: &Space, key: &str) -> bool {
        let of_link = ["net/ipv4/conf/", "net/ipv6/conf/"].iter().find_map(|folder| key.strip_prefix(folder));
        let name = of_link.and_then(|rest| rest.split('/').next());
        let facts = self.facts();
        let named = name.and_then(|name| facts.own_named(space.place(), name));
        named.is_some_and(|(_, own)| own.is_alone())
    }

    /// A star in a grant for the host stands for a link that the attempt made, or
    /// for a bridge that is not to listen to routers; forwarding is never
    /// switched off.
    fn may_set_sysctl(&self, space: &Space, sysctl: &net::Sysctl) -> Result<(), types::Error> {
        let net::Sysctl { key, value } = sysctl;
        self.state.check_sysctl(space, key)?;
        if space.label != HOST {
            return Ok(());
        }
        let what = format!("sysctl {key:?}");
        if FORWARDING.contains(&key.as_str()) && value != "1" {
            return self.state.deny(&what, "to switch forwarding off for the whole host");
        }
        let granted = self.state.grants.host_sysctls.iter();
        let mut granted = granted.filter(|Sysctl(pattern)| sysctl_matches(pattern, key));
        let is_ours = |name: &str| {
            let facts = self.facts();
            let quiet = || key.ends_with("/accept_ra") && value == "0";
            let named = |link: &Link| matches_any(&self.state.grants.host_links, &link.name);
            facts.own_named(Place::Host, name).is_some() || (quiet() && facts.bridge_named(name).is_some_and(named))
        };
        if granted.any(|Sysctl(pattern)| sysctl_stars(pattern, key).all(is_ours)) {
            return Ok(());
        }
        self.state.deny(&what, "to set it for links of the host that this attempt did not make")
    }
}

impl State {
    /// Do the grants name this sysctl in this namespace?
    ///
    /// # Errors
    ///
    /// `denied`, with what to add to the policy.
    pub fn check_sysctl(&self, space: &Space, key: &str) -> Result<(), types::Error> {
        let (granted, list) = match space.label {
            SANDBOX => (&self.grants.sandbox_sysctls, "sandbox-sysctls"),
            _ => (&self.grants.host_sysctls, "host-sysctls"),
        };
        if granted.iter().any(|Sysctl(pattern)| sysctl_matches(pattern, key)) {
            return Ok(());
        }
        let (plugin, label) = (&self.plugin, space.label);
        let text = format!(
            "plugin {plugin:?} has no grant for this sysctl in the {label} namespace: `{list}` of [plugins.{plugin}] does not name it"
        );
        Err(refuse(types::Code::Denied, format!("sysctl {key:?}"), text))
    }
}

/// A sysctl that was changed.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Changed {
    at: Place,
    key: String,
    old: String,
}

impl Changed {
    /// None for forwarding: other attachments may have come to rely on it.
    fn of(at: Place, key: &str, old: String) -> Option<Self> {
        (!FORWARDING.contains(&key)).then(|| Self { at, key: key.to_owned(), old })
    }
}

impl Effect for Changed {
    const TAG: &'static str = "sysctl";
    const IS_LINK: bool = false;

    fn is_inside(&self) -> bool {
        self.at == Place::Sandbox
    }

    fn shared(&self, _: &Scene) -> Option<Shared<'_>> {
        None
    }

    fn cleanup(&self) -> Cleanup {
        Cleanup::Never
    }

    fn needs(&self, _: &mut Needs) {}

    fn take_back(&self, scene: &Scene) -> Result<Undone, String> {
        scene.at(self.at).map_or(Ok(Undone::All), |space| {
            let set = space.sysctls_set(&[(&self.key, &self.old)], &|| true);
            tolerate_gone(set.and_then(|results| results.into_iter().collect::<Result<(), _>>()))
        })
    }
}

impl fmt::Display for Changed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sysctl {} in the {} namespace", self.key, self.at)
    }
}
