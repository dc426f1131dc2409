//! Masquerade by iptables(8): the chains, hashes and comments of the reference.

use ipnet::IpNet;
use wasm_cni_spec::attachment::Owner;

use crate::filter::{
    iptables::{Iptables, Outcome, PROTOCOLS, Protocol},
    names::hashed,
};

const POSTROUTING: &str = "POSTROUTING";
/// What the names of our chains start with.
const CHAIN_PREFIX: &str = "CNI-";
/// Bytes of a chain's name (`XT_EXTENSION_MAXNAMELEN` less the NUL).
const CHAIN_LEN: usize = 28;

/// Makes the attachment's rules, or those of them that are missing.
pub fn add(iptables: &Iptables<'_>, owner: &Owner, addresses: &[IpNet]) -> Outcome {
    for protocol in PROTOCOLS {
        let addresses: Vec<_> = of_family(protocol, addresses).collect();
        if addresses.is_empty() {
            continue;
        }
        let chain = chain(owner);
        let saved =
            if iptables.may_have(protocol, |name| name == chain) { iptables.save(protocol)? } else { Vec::new() };
        iptables.restore(protocol, &additions(protocol, owner, &addresses, &saved))?;
    }
    Ok(())
}

/// Removes the attachment's rules. A chain is the container's: another
/// interface's rules stay if `addresses` are known.
pub fn remove(iptables: &Iptables<'_>, owner: &Owner, addresses: &[IpNet]) -> Outcome {
    let chain = chain(owner);
    let remove = |protocol| {
        // It does all or nothing: if it fails, these were not the chain's rules, or not all
        // that jump to it.
        let expected = reversals(protocol, owner, addresses);
        if !expected.is_empty() && iptables.restore(protocol, &expected).is_ok() {
            return Ok(());
        }
        iptables.change(protocol, |saved| removals(&chain, addresses, saved))
    };
    iptables.where_there_may_be(|name| name == chain, remove)
}

/// Removes the rules of the network's attachments other than `live`.
pub fn retain(iptables: &Iptables<'_>, network: &str, live: &[Owner]) -> Outcome {
    let live: Vec<String> = live.iter().map(chain).collect();
    let stale = |saved: &[String]| -> Vec<String> {
        let ours = format!("--comment {}", quoted(&format!("name: \"{network}\" id: \"")));
        // Up to where the id begins.
        let ours = ours.trim_end_matches('"');
        let mut chains: Vec<&str> = saved
            .iter()
            .filter(|line| line.contains(ours))
            .filter_map(|line| line.split(' ').find(|word| word.starts_with(CHAIN_PREFIX)))
            .filter(|chain| !live.iter().any(|live| live == chain))
            .collect();
        chains.sort_unstable();
        chains.dedup();
        chains.iter().flat_map(|chain| removals(chain, &[], saved)).collect()
    };
    iptables.where_there_may_be(|name| name.starts_with(CHAIN_PREFIX), |protocol| iptables.change(protocol, stale))
}

/// Whether there may be rules of ours, or of the reference's.
pub fn has_rules(iptables: &Iptables<'_>) -> bool {
    PROTOCOLS.iter().any(|protocol| iptables.may_have(*protocol, |name| name.starts_with(CHAIN_PREFIX)))
}

fn chain(owner: &Owner) -> String {
    hashed(CHAIN_PREFIX, &format!("{}{}", owner.network, owner.container_id), CHAIN_LEN)
}

/// What `iptables-restore` is to do for the rules that are not among `saved`.
fn additions(protocol: Protocol, owner: &Owner, addresses: &[IpNet], saved: &[String]) -> Vec<String> {
    let chain = chain(owner);
    let comment = quoted(&format!("name: {:?} id: {:?}", owner.network, owner.container_id));
    let comment = format!("-m comment --comment {comment}");
    let mut lines = Vec::new();
    if !saved.iter().any(|line| line.starts_with(&format!(":{chain} "))) {
        lines.push(format!(":{chain} - [0:0]"));
    }
    let mut add = |rule: String| {
        if !saved.contains(&rule) && !lines.contains(&rule) {
            lines.push(rule);
        }
    };
    for address in addresses {
        let host = IpNet::from(address.addr());
        add(format!("-A {chain} -d {} {comment} -j ACCEPT", address.trunc()));
        add(format!("-A {chain} ! -d {} {comment} -j MASQUERADE", protocol.multicast()));
        add(format!("-A {POSTROUTING} -s {host} {comment} -j {chain}"));
    }
    lines
}

/// What `iptables-restore` is to do if the chain and its jumps are as [`additions`] for
/// these addresses left them; nothing if none is of this family.
fn reversals(protocol: Protocol, owner: &Owner, addresses: &[IpNet]) -> Vec<String> {
    let addresses: Vec<_> = of_family(protocol, addresses).collect();
    if addresses.is_empty() {
        return Vec::new();
    }
    removals(&chain(owner), &[], &additions(protocol, owner, &addresses, &[]))
}

fn of_family(protocol: Protocol, addresses: &[IpNet]) -> impl Iterator<Item = IpNet> {
    addresses.iter().copied().filter(move |address| Protocol::of(address.addr()) == protocol)
}

/// What `iptables-restore` is to do to be rid of a chain and what jumps to it:
/// of the jumps only those for `addresses`, if they are known, and then of the
/// chain only if no jump is left.
fn removals(chain: &str, addresses: &[IpNet], saved: &[String]) -> Vec<String> {
    let jumps: Vec<&String> = saved
        .iter()
        .filter(|line| line.starts_with(&format!("-A {POSTROUTING} ")) && line.ends_with(&format!(" -j {chain}")))
        .collect();
    // Older versions of the reference had the whole network there.
    let sources: Vec<String> = addresses
        .iter()
        .flat_map(|address| [IpNet::from(address.addr()), address.trunc()])
        .map(|source| format!(" -s {source} "))
        .collect();
    let is_ours = |jump: &&&String| sources.is_empty() || sources.iter().any(|source| jump.contains(source));
    let ours: Vec<_> = jumps.iter().filter(is_ours).collect();
    let mut lines: Vec<String> = ours.iter().map(|jump| jump.replacen("-A", "-D", 1)).collect();
    if ours.len() == jumps.len() && saved.iter().any(|line| line.starts_with(&format!(":{chain} "))) {
        lines.extend([format!("-F {chain}"), format!("-X {chain}")]);
    }
    lines
}

/// As `iptables-save` prints an argument with spaces.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(ifname: &str) -> Owner {
        Owner { network: "n1".to_owned(), container_id: "c1".to_owned(), ifname: ifname.to_owned() }
    }

    fn nets(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    /// What `iptables-save` prints once `lines` are done.
    fn saved(lines: &[String]) -> Vec<String> {
        lines.to_vec()
    }

    #[test]
    fn an_attachment_has_a_chain_and_three_rules_for_an_address() {
        let lines = additions(Protocol::V4, &owner("eth0"), &nets(&["10.1.0.2/24"]), &[]);
        let chain = chain(&owner("eth0"));
        let comment = r#"-m comment --comment "name: \"n1\" id: \"c1\"""#;
        assert_eq!(
            lines,
            [
                format!(":{chain} - [0:0]"),
                format!("-A {chain} -d 10.1.0.0/24 {comment} -j ACCEPT"),
                format!("-A {chain} ! -d 224.0.0.0/4 {comment} -j MASQUERADE"),
                format!("-A POSTROUTING -s 10.1.0.2/32 {comment} -j {chain}"),
            ]
        );
        assert!(additions(Protocol::V4, &owner("eth0"), &nets(&["10.1.0.2/24"]), &saved(&lines)).is_empty());
    }

    #[test]
    fn what_an_add_has_made_is_undone_without_a_look_at_it() {
        let addresses = nets(&["10.1.0.2/24", "10.2.0.2/24", "fd00::2/64"]);
        let chain = chain(&owner("eth0"));
        let comment = r#"-m comment --comment "name: \"n1\" id: \"c1\"""#;
        assert_eq!(
            reversals(Protocol::V4, &owner("eth0"), &addresses),
            [
                format!("-D POSTROUTING -s 10.1.0.2/32 {comment} -j {chain}"),
                format!("-D POSTROUTING -s 10.2.0.2/32 {comment} -j {chain}"),
                format!("-F {chain}"),
                format!("-X {chain}"),
            ]
        );
        assert_eq!(reversals(Protocol::V6, &owner("eth0"), &addresses).len(), 3);
        assert!(reversals(Protocol::V6, &owner("eth0"), &addresses[..2]).is_empty());
    }

    #[test]
    fn of_two_interfaces_only_the_one_that_goes_loses_its_rules() {
        let both = additions(Protocol::V4, &owner("eth0"), &nets(&["10.1.0.2/24", "10.1.0.3/24"]), &[]);
        let chain = chain(&owner("eth0"));
        let first = removals(&chain, &nets(&["10.1.0.2/24"]), &saved(&both));
        assert_eq!(first.len(), 1, "{first:?}");
        assert!(first[0].starts_with("-D POSTROUTING -s 10.1.0.2/32 "));
        let last = removals(&chain, &nets(&["10.1.0.2/24", "10.1.0.3/24"]), &saved(&both));
        assert_eq!(last[2..], [format!("-F {chain}"), format!("-X {chain}")]);
        let unknown = removals(&chain, &[], &saved(&both));
        assert_eq!(unknown, last);
    }

    #[test]
    fn nothing_is_done_where_nothing_is() {
        assert!(removals("CNI-x", &[], &[]).is_empty());
    }
}
