//! The tables of nftables that attachments share.

use std::fmt;

use serde::{Deserialize, Serialize};
use wasm_cni_kernel::{Batch, Error, Family};

use crate::{
    needs::Needs,
    record::{
        effect::{Cleanup, Effect, Undone},
        scene::{Scene, Shared},
    },
    space::Space,
};

/// The table of masquerade, and its chain of attachments' rules.
pub(super) const MASQUERADE: &str = "cni_plugins_masquerade";
/// See [`MASQUERADE`].
pub(super) const MASQ_CHECKS: &str = "masq_checks";
/// See [`MASQUERADE`].
pub(super) const POSTROUTING: &str = "postrouting";
/// The table of spoof checks, and its chain of jumps.
pub(super) const NAT: &str = "nat";
/// See [`NAT`].
pub(super) const PREROUTING: &str = "PREROUTING";

/// A table that attachments share.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Table {
    /// `inet cni_plugins_masquerade`
    Masquerade,
    /// `bridge nat`
    SpoofCheck,
}

impl Table {
    fn id(self) -> (Family, &'static str) {
        match self {
            Self::Masquerade => (Family::Inet, MASQUERADE),
            Self::SpoofCheck => (Family::Bridge, NAT),
        }
    }

    /// Whether it is there.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn exists(self, space: &Space) -> Result<bool, Error> {
        let (family, table) = self.id();
        space.nftables(|nft| nft.has_table(family, table))
    }

    /// Removes it, unless it holds somebody's rules or chains.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn remove_if_unused(self, space: &Space) -> Result<(), Error> {
        let (family, table) = self.id();
        // The chains that it is made with, and the one of them that has attachments' rules.
        let (own, rules): (&[_], _) = match self {
            Self::Masquerade => (&[MASQ_CHECKS, POSTROUTING], MASQ_CHECKS),
            Self::SpoofCheck => (&[PREROUTING], PREROUTING),
        };
        let used = space.nftables(|nft| {
            Ok(nft.chains(family, table)?.iter().any(|chain| !own.contains(&&**chain))
                || !nft.rules(family, table, rules)?.is_empty())
        })?;
        if used || !self.exists(space)? {
            return Ok(());
        }
        let mut batch = Batch::new(family, table);
        batch.delete_table();
        space.nftables(|nft| nft.apply(&batch))
    }
}

/// A table that was made.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Made {
    table: Table,
}

impl Made {
    /// This table.
    #[must_use]
    pub fn of(table: Table) -> Self {
        Self { table }
    }
}

impl Effect for Made {
    const TAG: &'static str = "filter-table";
    const IS_LINK: bool = false;

    fn is_inside(&self) -> bool {
        false
    }

    fn shared(&self, _: &Scene) -> Option<Shared<'_>> {
        Some(Shared::Other)
    }

    fn cleanup(&self) -> Cleanup {
        Cleanup::Never
    }

    fn needs(&self, _: &mut Needs) {}

    fn take_back(&self, scene: &Scene) -> Result<Undone, String> {
        self.table.remove_if_unused(&scene.host).map(|()| Undone::All).map_err(|e| e.to_string())
    }
}

impl fmt::Display for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("table of packet filters")
    }
}
