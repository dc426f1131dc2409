//! Spoof checks in nftables' table `bridge nat`.

use std::collections::HashSet;

use wasm_cni_kernel::{Batch, Chain, ChainKind, Error, Family, Hook, Statement};
use wasm_cni_spec::attachment::Owner;

use crate::{
    filter::{
        intent::patiently,
        nft::{base_chain, rule},
        table::{NAT, PREROUTING},
    },
    space::Space,
};

/// `NF_BR_PRI_NAT_DST_BRIDGED` (linux/netfilter_bridge.h).
const PRIORITY_NAT_DST_BRIDGED: i32 = -300;

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
pub(super) fn check_spoofing(space: &Space, owner: &Owner, port: &str, mac: [u8; 6]) -> Result<(), Error> {
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
pub(super) fn uncheck_spoofing(space: &Space, owner: &Owner) -> Result<(), Error> {
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
pub(super) fn retain_spoof_checks(space: &Space, live: &[Owner]) -> Result<(), Error> {
    let rules = space.nftables(|nft| nft.rules(Family::Bridge, NAT, PREROUTING))?;
    if rules.is_empty() {
        return Ok(());
    }
    let live: HashSet<String> = live.iter().map(|owner| SpoofCheck::of(owner).comment).collect();
    let ports: HashSet<String> = space.netlink(|netlink| netlink.links())?.into_iter().map(|link| link.name).collect();
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
