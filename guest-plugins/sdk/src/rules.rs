//! Routing rules: which table a packet's route is looked up in.
//!
//! ```no_run
//! # use cni_plugin::*;
//! # use cni_plugin::rules::Rule;
//! # fn example(sandbox: &Netns, source: IpNet) -> Result<(), Failure> {
//! let mut batch = Batch::on(sandbox);
//! batch.other(rules::add(&Rule::from_source(source, 100)));
//! batch.commit()?;
//! # Ok(()) }
//! ```

pub use crate::bindings::interface::wasm_cni::route::rules::{Family, Rule, list};
use crate::bindings::interface::wasm_cni::route::rules::{add as add_rule, del as delete_rule};
use crate::{IpNet, OtherChange};

/// Adds a rule; for [`Batch::other`](crate::Batch::other).
pub fn add(rule: &Rule) -> OtherChange {
    add_rule(rule)
}

/// Deletes the rule that agrees in all that is given; for
/// [`Batch::other`](crate::Batch::other).
pub fn delete(rule: &Rule) -> OtherChange {
    delete_rule(rule)
}

impl Rule {
    /// All packets of a family go by this table.
    pub fn all(family: Family, table: u32) -> Self {
        Self { family, priority: None, src: None, dst: None, iif: String::new(), oif: String::new(), mark: None, table }
    }

    /// Packets from this network go by this table.
    pub fn from_source(source: IpNet, table: u32) -> Self {
        let family = if source.addr().is_ipv4() { Family::Inet } else { Family::Inet6 };
        Self { src: Some(source.into()), ..Self::all(family, table) }
    }
}
