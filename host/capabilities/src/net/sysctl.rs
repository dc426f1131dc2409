//! Sysctls of a namespace: `sysctl net.ipv4.ip_forward=1`. Several in a row are one visit to the namespace.

use std::{collections::BTreeMap, fmt, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use wasm_cni_kernel::{self as kernel, Link, LinkRef};

use super::{
    change::{Change, Labels},
    commit::{Commit, Failed},
    explain,
};
use crate::{
    bindings::{net, types},
    convert,
    describe::Scribe,
    failure::{kernel_error, refuse},
    grants::{
        pattern::{matches_any, sysctl_link, sysctl_matches, sysctl_names, sysctl_star},
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
    let mut meant = Vec::new();
    for (i, operation) in run.iter().enumerate() {
        let sysctl = sysctl(operation).expect("a run holds only these");
        let link = commit
            .may_do(Operation::SysctlSet, Set(sysctl).name())
            .and_then(|()| commit.may_set_sysctl(&space, sysctl))
            .and_then(|link| convert::sysctl_value(&sysctl.value, &sysctl.key).map(|()| link))
            .map_err(|e| (i, e))?;
        meant.extend(link.map(|link| (i, link)));
        pairs.push((sysctl.key.as_str(), commit.value(&space, sysctl)));
    }
    let failed = |e: &kernel::Error| (0, explain::sysctl(&space, e));
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
        let effect = old.remove(key).flatten().and_then(|old| Changed::of(&space, key, old));
        let note = effect.map(|effect| commit.state.note(effect)).transpose();
        notes.push(note.and_then(|note| note.map_or_else(|| commit.state.count(), Ok)).map_err(|e| (0, e))?);
    }
    commit.are_still_called(&space, &meant)?;
    let results = commit.write_sysctls(&space, &pairs).map_err(|e| failed(&e))?;
    let is_so = are_so(&space, &pairs, &results);
    for (i, (result, operation)) in results.into_iter().zip(run).enumerate() {
        if result.is_err() {
            commit.state.attempt.strike(notes[i]);
        }
        commit.tolerance = operation.tolerate;
        let result = if is_so[i] { Ok(()) } else { result.map_err(|e| explain::sysctl(&space, &e)) };
        commit.tolerated(result).map_err(|e| (i, e))?;
        commit.made.push(None);
    }
    Ok(())
}

/// Which of the keys that could not be written have their value already: /proc/sys may be read-only.
fn are_so(space: &Space, pairs: &[(&str, &str)], results: &[Result<(), kernel::Error>]) -> Vec<bool> {
    let is_so = |(key, value): &(&str, &str)| {
        let has = space.sysctls_get(&[*key]);
        has.is_ok_and(|has| has.first().and_then(Option::as_deref) == Some(*value))
    };
    pairs.iter().zip(results).map(|(pair, result)| result.is_err() && is_so(pair)).collect()
}

/// The link that a star stands for, by its name in the key and by its index.
type Meant<'a> = (&'a str, u32);

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
        let facts = self.facts();
        let named = sysctl_link(key).and_then(|name| facts.own_named(space.place(), name));
        named.is_some_and(|(_, own)| own.is_alone())
    }

    /// What is written: that a link of the attempt's own on the host does not listen to routers is not the plugin's to
    /// change. It is told that it may, as plugins may have been compiled that try.
    fn value<'s>(&self, space: &Space, sysctl: &'s net::Sysctl) -> &'s str {
        let net::Sysctl { key, value } = sysctl;
        let name = key.strip_prefix("net/ipv6/conf/").and_then(|rest| rest.strip_suffix("/accept_ra"));
        let is_own = |name| self.facts().own_named(Place::Host, name).is_some();
        if value == "0" || space.label != HOST || !name.is_some_and(is_own) {
            return value;
        }
        let text = format!("sysctl {key} stays 0: links that are made on the host do not listen to routers");
        self.state.attempt.warn(&self.state.plugin, &text);
        "0"
    }

    /// A star in a grant for the host stands for a link that the attempt made, or
    /// for a bridge that is not to listen to routers, which is given; forwarding is never
    /// switched off.
    fn may_set_sysctl<'s>(&self, space: &Space, sysctl: &'s net::Sysctl) -> Result<Option<Meant<'s>>, types::Error> {
        let net::Sysctl { key, value } = sysctl;
        self.state.check_sysctl(space, key)?;
        if space.label != HOST {
            return Ok(None);
        }
        let what = format!("sysctl {key:?}");
        if FORWARDING.contains(&key.as_str()) && value != "1" {
            return self.state.deny(&what, "to switch forwarding off for the whole host");
        }
        let granted = &self.state.grants.host_sysctls;
        if granted.iter().any(|Sysctl(pattern)| sysctl_names(pattern, key)) {
            return Ok(None);
        }
        let star = granted.iter().find_map(|Sysctl(pattern)| sysctl_star(pattern, key));
        let meant = star.and_then(|name| Some((name, self.meant(name, key.ends_with("/accept_ra") && value == "0")?)));
        match meant {
            Some(meant) => Ok(Some(meant)),
            None => self.state.deny(&what, "to set it for links of the host that this attempt did not make"),
        }
    }

    /// The index of a link that a star may stand for; `quiet` if it is only not to listen to routers.
    fn meant(&self, name: &str, quiet: bool) -> Option<u32> {
        let facts = self.facts();
        let own = facts.own_named(Place::Host, name).map(|(index, _)| index);
        let named = |link: &&Link| quiet && matches_any(&self.state.grants.host_links, &link.name);
        own.or_else(|| facts.bridge_named(name).filter(named).map(|link| link.index))
    }

    /// A link may have been given another name, and its own to another link, since it was made or seen.
    fn are_still_called(&self, space: &Space, meant: &[(usize, Meant<'_>)]) -> Result<(), Failed> {
        let mut known = None;
        for (i, (name, index)) in meant {
            if known == Some((name, index)) {
                continue;
            }
            let link = space.netlink(|netlink| netlink.link_get(LinkRef::Index(*index)));
            if link.map_err(|e| (*i, kernel_error(&e)))?.name != **name {
                let text = format!("for {name:?}, which is another link of the host by now");
                return self.state.deny(&format!("sysctl of link {index}"), &text).map_err(|e| (*i, e));
            }
            known = Some((name, index));
        }
        Ok(())
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
    /// The link that it is about: its name may come to be another's.
    #[serde(default)]
    link: Option<u32>,
}

impl Changed {
    /// None for forwarding: other attachments may have come to rely on it.
    fn of(space: &Space, key: &str, old: String) -> Option<Self> {
        if FORWARDING.contains(&key) {
            return None;
        }
        let index = |name| space.netlink(|netlink| Ok(netlink.link_get(LinkRef::Name(name))?.index)).ok();
        Some(Self { at: space.place(), key: key.to_owned(), old, link: sysctl_link(key).and_then(index) })
    }

    fn is_of_its_link(&self, space: &Space) -> bool {
        let name = |index| space.netlink(|netlink| Ok(netlink.link_get(LinkRef::Index(index))?.name)).ok();
        self.link.is_none_or(|index| name(index).as_deref() == sysctl_link(&self.key))
    }
}

impl Effect for Changed {
    const TAG: &'static str = "sysctl";
    const IS_LINK: bool = false;

    fn is_inside(&self) -> bool {
        self.at == Place::Sandbox
    }

    /// A bridge's is for all that are on it.
    fn shared(&self, scene: &Scene) -> Option<Shared<'_>> {
        scene.shared_bridge(self.at, self.link?)
    }

    fn cleanup(&self) -> Cleanup {
        Cleanup::Never
    }

    fn needs(&self, _: &mut Needs) {}

    fn take_back(&self, scene: &Scene) -> Result<Undone, String> {
        scene.at(self.at).filter(|space| self.is_of_its_link(space)).map_or(Ok(Undone::All), |space| {
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
