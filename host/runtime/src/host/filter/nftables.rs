//! The rules in nftables' own tables: masquerade in `inet cni_plugins_masquerade`,
//! spoof checks in `bridge nat`.

use std::collections::HashSet;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use wasm_cni_kernel::{BaseChain, Batch, Chain, ChainKind, Error, Family, Hook, IpMatch, Rule, Statement};

use super::{Owner, hashed, patiently};
use crate::host::space::Space;

/// A table that attachments share.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Table {
    Masquerade,
    SpoofCheck,
}

impl Table {
    fn id(self) -> (Family, &'static str) {
        match self {
            Self::Masquerade => (Family::Inet, MASQUERADE),
            Self::SpoofCheck => (Family::Bridge, NAT),
        }
    }

    /// Is it there?
    pub(crate) fn exists(self, space: &Space) -> Result<bool, Error> {
        let (family, table) = self.id();
        space.nftables(|nft| nft.has_table(family, table))
    }

    /// Removes it, unless it holds somebody's rules.
    pub(crate) fn remove_if_unused(self, space: &Space) -> Result<(), Error> {
        let (family, table) = self.id();
        let used = match self {
            Self::Masquerade => !listed(space, MASQ_CHECKS)?.is_empty(),
            Self::SpoofCheck => space.nftables(|nft| {
                Ok(nft.chains(family, table)?.iter().any(|chain| chain != PREROUTING)
                    || !nft.rules(family, table, PREROUTING)?.is_empty())
            })?,
        };
        if used || !self.exists(space)? {
            return Ok(());
        }
        let mut batch = Batch::new(family, table);
        batch.delete_table();
        space.nftables(|nft| nft.apply(&batch))
    }
}

const MASQUERADE: &str = "cni_plugins_masquerade";
const MASQ_CHECKS: &str = "masq_checks";
const POSTROUTING: &str = "postrouting";
const TABLE_COMMENT: &str = "Masquerading for plugins from github.com/containernetworking/plugins";
const CHAIN_COMMENT: &str = "Masquerade traffic from certain IPs to any (non-multicast) IP outside their subnet";
/// `NFT_COMMENT_MAXLEN` of knftables, the reference's library, octets.
const COMMENT_LEN: usize = 128;

const NAT: &str = "nat";
const PREROUTING: &str = "PREROUTING";
/// `NF_BR_PRI_NAT_DST_BRIDGED` (linux/netfilter_bridge.h).
const PRIORITY_NAT_DST_BRIDGED: i32 = -300;
/// `NF_IP_PRI_NAT_SRC` (linux/netfilter_ipv4.h).
const PRIORITY_NAT_SRC: i32 = 100;

/// Is all there that masquerade rules need: both chains, and the rules that lead
/// from one to the other? To say so once more would change nothing, but leave the
/// kernel with things to free, and whoever closes the socket waits for that: an RCU
/// grace period, which is longer than all the rest of an ADD.
pub(crate) fn is_ready_to_masquerade(space: &Space) -> Result<bool, Error> {
    let rules = space.nftables(|nft| nft.rules(Family::Inet, MASQUERADE, POSTROUTING))?;
    let leads_to: Vec<_> = rules.iter().map(|rule| rule.jumps_to.as_deref()).collect();
    Ok(leads_to == [None, None, Some(MASQ_CHECKS)])
}

/// Puts the masquerade rules of an attachment in place of those that it has.
/// `ready` is what [`is_ready_to_masquerade`] has said.
pub(crate) fn masquerade(space: &Space, owner: &Owner, addresses: &[IpNet], ready: bool) -> Result<(), Error> {
    let comment = comment(owner);
    let mut said = Some(ready);
    patiently(|| {
        let old = handles(space, &instance(owner))?;
        let mut batch = Batch::new(Family::Inet, MASQUERADE);
        if !said.take().map_or_else(|| is_ready_to_masquerade(space), Ok)? {
            prepare_to_masquerade(&mut batch);
        }
        for handle in old {
            batch.delete_rule(MASQ_CHECKS, handle);
        }
        for address in addresses {
            let from = Statement::Source(IpMatch { net: address.addr().into(), negated: false });
            let elsewhere = Statement::Destination(IpMatch { net: address.trunc(), negated: true });
            batch.add_rule(&rule(MASQ_CHECKS, [from, elsewhere, Statement::Masquerade], Some(&comment)));
        }
        space.nftables(|nft| nft.apply(&batch))
    })
}

fn prepare_to_masquerade(batch: &mut Batch) {
    batch.add_table(Some(TABLE_COMMENT));
    batch.add_chain(&Chain { name: MASQ_CHECKS.to_owned(), base: None, comment: Some(CHAIN_COMMENT.to_owned()) });
    batch.add_chain(&base_chain(POSTROUTING, ChainKind::Nat, Hook::Postrouting, PRIORITY_NAT_SRC));
    batch.flush_chain(POSTROUTING);
    for multicast in [IpNet::V4("224.0.0.0/4".parse().expect("valid")), IpNet::V6("ff00::/8".parse().expect("valid"))] {
        let to = Statement::Destination(IpMatch { net: multicast, negated: false });
        batch.add_rule(&rule(POSTROUTING, [to, Statement::Return], None));
    }
    batch.add_rule(&rule(POSTROUTING, [Statement::Goto(MASQ_CHECKS.to_owned())], None));
}

/// Removes an attachment's masquerade rules.
pub(crate) fn unmasquerade(space: &Space, owner: &Owner) -> Result<(), Error> {
    let instance = instance(owner);
    delete(space, || handles(space, &instance))
}

/// Removes the masquerade rules of a network's attachments other than `live`.
pub(crate) fn retain_masquerade(space: &Space, network: &str, live: &[Owner]) -> Result<(), Error> {
    let network = format!("{}-", hashed("", network, 16));
    let live: HashSet<String> = live.iter().map(instance).collect();
    delete(space, || {
        let stale = |comment: &str| {
            let instance = comment.split_once(',').map_or(comment, |(instance, _)| instance);
            comment.starts_with(&network) && !live.contains(instance)
        };
        let rules = listed(space, MASQ_CHECKS)?;
        Ok(rules.into_iter().filter(|(_, comment)| stale(comment)).map(|(handle, _)| handle).collect())
    })
}

fn delete(space: &Space, stale: impl Fn() -> Result<Vec<u64>, Error>) -> Result<(), Error> {
    patiently(|| {
        let stale = stale()?;
        if stale.is_empty() {
            return Ok(());
        }
        let mut batch = Batch::new(Family::Inet, MASQUERADE);
        for handle in stale {
            batch.delete_rule(MASQ_CHECKS, handle);
        }
        space.nftables(|nft| nft.apply(&batch))
    })
}

/// The handles of an instance's rules.
fn handles(space: &Space, instance: &str) -> Result<Vec<u64>, Error> {
    let rules = listed(space, MASQ_CHECKS)?;
    Ok(rules.into_iter().filter(|(_, comment)| comment.starts_with(instance)).map(|(handle, _)| handle).collect())
}

/// The rules with a comment of a chain of masquerade's table.
fn listed(space: &Space, chain: &str) -> Result<Vec<(u64, String)>, Error> {
    let rules = space.nftables(|nft| nft.rules(Family::Inet, MASQUERADE, chain))?;
    Ok(rules.into_iter().map(|rule| (rule.handle, rule.comment.unwrap_or_default())).collect())
}

fn instance(owner: &Owner) -> String {
    let interface = format!("{}:{}", owner.ifname, owner.container_id);
    format!("{}-{}", hashed("", &owner.network, 16), hashed("", &interface, 16))
}

fn comment(owner: &Owner) -> String {
    let Owner { network, container_id, ifname } = owner;
    let text = format!("{}, net: {network}, if: {ifname}, id: {container_id}", instance(owner));
    let mut text = text.replace('"', "");
    text.truncate(text.floor_char_boundary(COMMENT_LEN));
    text
}

/// Names of an attachment's spoof check.
struct SpoofCheck {
    comment: String,
    interface_chain: String,
    mac_chain: String,
}

impl SpoofCheck {
    fn of(owner: &Owner) -> Self {
        Self::named(&format!("{}-{}", owner.container_id, owner.ifname))
    }

    fn named(id: &str) -> Self {
        let interface_chain = format!("cni-br-iface-{id}");
        Self { comment: format!("{COMMENT}{id}"), mac_chain: format!("{interface_chain}-mac"), interface_chain }
    }
}

const COMMENT: &str = "macspoofchk-";

/// Puts an attachment's spoof check in place of the one that it has.
pub(crate) fn check_spoofing(space: &Space, owner: &Owner, port: &str, mac: [u8; 6]) -> Result<(), Error> {
    let names = SpoofCheck::of(owner);
    let SpoofCheck { comment, interface_chain, mac_chain } = &names;
    patiently(|| {
        let old = space.nftables(|nft| nft.rules(Family::Bridge, NAT, PREROUTING))?;
        let mut batch = Batch::new(Family::Bridge, NAT);
        // Where there are rules there is a chain; and see `is_ready_to_masquerade`.
        if old.is_empty() {
            batch.add_table(None);
            batch.add_chain(&base_chain(PREROUTING, ChainKind::Filter, Hook::Prerouting, PRIORITY_NAT_DST_BRIDGED));
        }
        for name in [interface_chain, mac_chain] {
            batch.add_chain(&Chain { name: name.clone(), base: None, comment: None });
            batch.flush_chain(name);
        }
        for rule in old.iter().filter(|rule| rule.comment.as_ref() == Some(comment)) {
            batch.delete_rule(PREROUTING, rule.handle);
        }
        let from_port = Statement::InputInterface(port.to_owned());
        let statements = [from_port, Statement::Jump(interface_chain.clone())];
        batch.add_rule(&rule(PREROUTING, statements, Some(comment)));
        batch.add_rule(&rule(interface_chain, [Statement::Jump(mac_chain.clone())], Some(comment)));
        batch.add_rule(&rule(mac_chain, [Statement::EtherSource(mac), Statement::Return], Some(comment)));
        batch.add_rule(&rule(mac_chain, [Statement::Drop], Some(comment)));
        space.nftables(|nft| nft.apply(&batch))
    })
}

/// Removes an attachment's spoof check.
pub(crate) fn uncheck_spoofing(space: &Space, owner: &Owner) -> Result<(), Error> {
    uncheck(space, &SpoofCheck::of(owner))
}

fn uncheck(space: &Space, names: &SpoofCheck) -> Result<(), Error> {
    patiently(|| {
        let mut batch = Batch::new(Family::Bridge, NAT);
        let mut is_empty = true;
        let rules = space.nftables(|nft| nft.rules(Family::Bridge, NAT, PREROUTING))?;
        for rule in rules.iter().filter(|rule| rule.comment.as_ref() == Some(&names.comment)) {
            batch.delete_rule(PREROUTING, rule.handle);
            is_empty = false;
        }
        // What a chain jumps to goes after the jump.
        for chain in [&names.interface_chain, &names.mac_chain] {
            if space.nftables(|nft| nft.has_chain(Family::Bridge, NAT, chain))? {
                batch.delete_chain(chain);
                is_empty = false;
            }
        }
        if is_empty { Ok(()) } else { space.nftables(|nft| nft.apply(&batch)) }
    })
}

/// Removes the checks of ports that are gone, but not those of `live`.
pub(crate) fn retain_spoof_checks(space: &Space, live: &[Owner]) -> Result<(), Error> {
    let rules = space.nftables(|nft| nft.rules(Family::Bridge, NAT, PREROUTING))?;
    if rules.is_empty() {
        return Ok(());
    }
    let live: HashSet<String> = live.iter().map(|owner| SpoofCheck::of(owner).comment).collect();
    let ports: HashSet<String> =
        space.netlink(wasm_cni_kernel::Netlink::links)?.into_iter().map(|link| link.name).collect();
    for rule in rules {
        let (Some(comment), Some(port)) = (rule.comment, rule.input_interface) else { continue };
        if let Some(id) = comment.strip_prefix(COMMENT)
            && !live.contains(&comment)
            && !ports.contains(&port)
        {
            uncheck(space, &SpoofCheck::named(id))?;
        }
    }
    Ok(())
}

fn base_chain(name: &str, kind: ChainKind, hook: Hook, priority: i32) -> Chain {
    Chain { name: name.to_owned(), base: Some(BaseChain { kind, hook, priority, policy: None }), comment: None }
}

fn rule<const N: usize>(chain: &str, statements: [Statement; N], comment: Option<&str>) -> Rule {
    Rule { chain: chain.to_owned(), statements: statements.into(), comment: comment.map(str::to_owned) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_is_cut_and_loses_its_quotes() {
        let owner =
            |id: &str| Owner { network: "n\"1".to_owned(), container_id: id.to_owned(), ifname: "eth0".to_owned() };
        let short = comment(&owner("c1"));
        assert!(short.ends_with(", net: n1, if: eth0, id: c1"), "{short}");
        assert_eq!(short.find(','), Some(33));
        let long = comment(&owner(&"0123456789abcdef".repeat(6)));
        assert_eq!(long.len(), COMMENT_LEN);
        assert!(long.starts_with(&instance(&owner(&"0123456789abcdef".repeat(6)))));
    }
}
