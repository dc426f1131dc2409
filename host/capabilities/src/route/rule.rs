//! Routing rules: `ip rule add`, `ip rule del`.

use std::{fmt, sync::Arc};

use nix::libc::{EEXIST, ENOENT};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use wasm_cni_kernel::{Error, IpFamily, RoutingRule};

use super::rule_check::checked;
use crate::{
    bindings::{net, rules, types},
    describe::{Describe, Scribe},
    failure::kernel_error,
    grants::table::Operation,
    needs::Needs,
    net::{
        change::{Change, Labels},
        commit::Commit,
        inside,
    },
    record::{
        effect::{Cleanup, Effect, Undone},
        scene::{Scene, Shared},
    },
    space::{Place, RouteSocket, Space},
};

/// The priority of the first rule of all that is given none.
const FIRST: u32 = 32_765;

/// `RTM_NEWRULE`.
pub(super) struct Add(pub(super) rules::Rule);

impl Change for Add {
    fn name(&self) -> &'static str {
        "rule-add"
    }

    fn operation(&self) -> Operation {
        Operation::RuleAdd
    }

    fn apply(&self, commit: &mut Commit<'_>, at: &Arc<Space>) -> Result<Option<net::Made>, types::Error> {
        inside::check(commit, at, self.name())?;
        let mut rule = checked(&self.0, self.name())?;
        if rule.priority.is_none() {
            rule.priority = Some(below(&there(at, rule.family)?));
        }
        let is_there = |netlink: &mut dyn RouteSocket, added: &Added| {
            Ok(netlink.rules(Some(added.rule.family))?.iter().any(|rule| agrees(rule, &added.rule)))
        };
        let effect = Added { at: at.place(), rule };
        commit.note_unless_so(at, effect, is_there, |netlink, added| netlink.rule_add(&added.rule))?;
        Ok(None)
    }

    fn describe(&self, _: &Labels<'_>, scribe: &mut Scribe<'_>) -> Value {
        self.0.describe(scribe)
    }
}

/// `RTM_DELRULE`.
pub(super) struct Delete(pub(super) rules::Rule);

impl Change for Delete {
    fn name(&self) -> &'static str {
        "rule-del"
    }

    fn operation(&self) -> Operation {
        Operation::RuleDel
    }

    fn apply(&self, commit: &mut Commit<'_>, at: &Arc<Space>) -> Result<Option<net::Made>, types::Error> {
        inside::check(commit, at, self.name())?;
        let given = checked(&self.0, self.name())?;
        let there = there(at, given.family)?;
        let Some(rule) = there.into_iter().find(|rule| agrees(rule, &given)) else {
            let missing = Error::of_errno(format!("rule-del table {}", given.table), ENOENT);
            commit.tolerated::<()>(Err(kernel_error(&missing)))?;
            return Ok(None);
        };
        let note = commit.state.note(Removed { at: at.place(), rule: rule.clone() })?;
        commit.noted(at, note, |netlink| netlink.rule_del(&rule))?;
        Ok(None)
    }

    fn describe(&self, _: &Labels<'_>, scribe: &mut Scribe<'_>) -> Value {
        self.0.describe(scribe)
    }
}

fn there(at: &Space, family: IpFamily) -> Result<Vec<RoutingRule>, types::Error> {
    at.netlink(|netlink| netlink.rules(Some(family))).map_err(|e| kernel_error(&e))
}

/// The priority that the kernel would give a rule: one before all others, but the one of priority 0. It is given here, so
/// that it is known what to take back.
fn below(there: &[RoutingRule]) -> u32 {
    let lowest = there.iter().filter_map(|rule| rule.priority).filter(|priority| *priority != 0).min();
    lowest.map_or(FIRST, |lowest| lowest - 1)
}

/// Whether a rule agrees in all that is given.
fn agrees(rule: &RoutingRule, given: &RoutingRule) -> bool {
    fn any<T: PartialEq>(given: &Option<T>, has: &Option<T>) -> bool {
        given.is_none() || given == has
    }
    (given.family, given.table) == (rule.family, rule.table)
        && any(&given.priority, &rule.priority)
        && any(&given.src, &rule.src)
        && any(&given.dst, &rule.dst)
        && any(&given.mark, &rule.mark)
        && (given.iif.is_empty() || given.iif == rule.iif)
        && (given.oif.is_empty() || given.oif == rule.oif)
}

/// A rule that was added.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Added {
    at: Place,
    rule: RoutingRule,
}

impl Effect for Added {
    const TAG: &'static str = "rule-added";
    const IS_LINK: bool = false;

    fn is_inside(&self) -> bool {
        self.at == Place::Sandbox
    }

    fn shared(&self, _: &Scene) -> Option<Shared<'_>> {
        None
    }

    /// There is no link that it would go with.
    fn cleanup(&self) -> Cleanup {
        Cleanup::Detach
    }

    fn needs(&self, _: &mut Needs) {}

    fn take_back(&self, scene: &Scene) -> Result<Undone, String> {
        scene.netlink(self.at, |netlink| netlink.rule_del(&self.rule))
    }
}

impl fmt::Display for Added {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rule for table {} in the {} namespace", self.rule.table, self.at)
    }
}

/// A rule that was removed.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Removed {
    at: Place,
    rule: RoutingRule,
}

impl Effect for Removed {
    const TAG: &'static str = "rule-removed";
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
        scene.netlink(self.at, |netlink| match netlink.rule_add(&self.rule) {
            // Somebody else has put it back.
            Err(e) if e.errno() == EEXIST => Ok(()),
            done => done,
        })
    }
}

impl fmt::Display for Removed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "removal of the rule for table {} in the {} namespace", self.rule.table, self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(priority: u32, table: u32) -> RoutingRule {
        RoutingRule {
            family: IpFamily::Inet,
            priority: Some(priority),
            src: None,
            dst: None,
            iif: String::new(),
            oif: String::new(),
            mark: None,
            table,
        }
    }

    #[test]
    fn a_rule_without_a_priority_comes_before_all_but_the_first() {
        assert_eq!(below(&[rule(0, 255), rule(32_766, 254), rule(32_767, 253)]), 32_765);
        assert_eq!(below(&[rule(0, 255), rule(100, 7), rule(32_766, 254)]), 99);
        assert_eq!(below(&[rule(0, 255), rule(1, 7)]), 0);
        assert_eq!(below(&[]), FIRST);
    }

    #[test]
    fn what_is_not_given_agrees_with_anything() {
        let there = RoutingRule { src: Some("10.1.0.2/32".parse().unwrap()), iif: "eth0".into(), ..rule(100, 7) };
        let given = RoutingRule { priority: None, ..rule(0, 7) };
        assert!(agrees(&there, &given) && agrees(&there, &there));
        for other in [
            RoutingRule { table: 8, ..given.clone() },
            RoutingRule { priority: Some(99), ..given.clone() },
            RoutingRule { oif: "eth0".into(), ..given.clone() },
            RoutingRule { dst: Some("10.1.0.2/32".parse().unwrap()), ..given.clone() },
            RoutingRule { mark: Some((1, 1)), ..given.clone() },
            RoutingRule { family: IpFamily::Inet6, ..given },
        ] {
            assert!(!agrees(&there, &other), "{other:?}");
        }
    }
}
