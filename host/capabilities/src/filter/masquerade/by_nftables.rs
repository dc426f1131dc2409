//! Masquerade in nftables' own table, `inet cni_plugins_masquerade`.

use std::collections::HashSet;

use ipnet::IpNet;
use wasm_cni_kernel::{Batch, Chain, ChainKind, Error, Family, Hook, IpMatch, Statement};
use wasm_cni_spec::attachment::Owner;

use crate::{
    filter::{
        intent::patiently,
        names::hashed,
        nft::{base_chain, comments, rule},
        table::{MASQ_CHECKS, MASQUERADE, POSTROUTING},
    },
    space::Space,
};

const TABLE_COMMENT: &str = "Masquerading for plugins from github.com/containernetworking/plugins";
const CHAIN_COMMENT: &str = "Masquerade traffic from certain IPs to any (non-multicast) IP outside their subnet";
/// `NFT_COMMENT_MAXLEN` of knftables, the reference's library, bytes.
const COMMENT_LEN: usize = 128;
/// `NF_IP_PRI_NAT_SRC` (linux/netfilter_ipv4.h).
const PRIORITY_NAT_SRC: i32 = 100;

/// Is all there that masquerade rules need: both chains, and the rules that lead
/// from one to the other? To say so once more would change nothing, but leave the
/// kernel with things to free, and whoever closes the socket waits for that: an RCU
/// grace period, which is longer than all the rest of an ADD.
pub fn is_ready_to_masquerade(space: &Space) -> Result<bool, Error> {
    let rules = space.nftables(|nft| nft.rules(Family::Inet, MASQUERADE, POSTROUTING))?;
    let leads_to: Vec<_> = rules.iter().map(|rule| rule.jumps_to.as_deref()).collect();
    Ok(leads_to == [None, None, Some(MASQ_CHECKS)])
}

/// Puts the masquerade rules of an attachment in place of those that it has.
/// `ready` is what [`is_ready_to_masquerade`] has said.
pub fn masquerade(space: &Space, owner: &Owner, addresses: &[IpNet], ready: bool) -> Result<(), Error> {
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
pub fn unmasquerade(space: &Space, owner: &Owner) -> Result<(), Error> {
    let instance = instance(owner);
    delete(space, || handles(space, &instance))
}

/// Removes the masquerade rules of a network's attachments other than `live`.
pub fn retain_masquerade(space: &Space, network: &str, live: &[Owner]) -> Result<(), Error> {
    let network = format!("{}-", hashed("", network, 16));
    let live: HashSet<String> = live.iter().map(instance).collect();
    delete(space, || {
        let stale = |comment: &str| {
            let instance = comment.split_once(',').map_or(comment, |(instance, _)| instance);
            comment.starts_with(&network) && !live.contains(instance)
        };
        let rules = comments(space, Family::Inet, MASQUERADE, MASQ_CHECKS)?;
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
    let rules = comments(space, Family::Inet, MASQUERADE, MASQ_CHECKS)?;
    Ok(rules.into_iter().filter(|(_, comment)| comment.starts_with(instance)).map(|(handle, _)| handle).collect())
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
