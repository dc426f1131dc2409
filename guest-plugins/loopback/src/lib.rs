//! `loopback`: the container's own `lo`, up. The host is none of its business.

use cni_plugin::decode::Document;
use cni_plugin::netconf::NetConf;
use cni_plugin::{
    Address, Batch, Call, Failure, InterfacePlugin, IpConfig, IpNet, LinkAttr, LinkRef, Mistake, Netns, Output, Tables,
    Tolerance, go, link, result, validate,
};

/// The device, whatever CNI_IFNAME says.
const LO: &str = "lo";
/// What stands in front of faults of decoding.
const FAILED: &str = "failed to parse network config: ";
/// `IFF_UP` (linux/if.h).
const IFF_UP: u32 = 1;

/// The plugin.
#[derive(Debug)]
pub struct Loopback;

cni_plugin::export_interface_plugin!(Loopback);

impl InterfacePlugin for Loopback {
    fn add(call: &Call, sandbox: &Netns, _: Option<&Netns>) -> Result<Output, Failure> {
        parse(&call.config)?;
        let previous = call.prev_result()?;
        set(sandbox, true, Tolerance::Strict)?;
        let Some((lo, now)) = link::find(sandbox, LinkRef::Name(LO.into()), Tables::LINKS | Tables::ADDRESSES)? else {
            return Err(Failure::plain("Link not found"));
        };
        let addresses = loopback_addresses(&now.addresses)?;
        if let Some(previous) = previous {
            return Ok(previous.clone());
        }
        let mut interface = result::interface(&lo, &call.netns);
        interface.mac = "00:00:00:00:00:00".into();
        let ip = |address: IpNet| IpConfig { address: address.into(), gateway: None, iface: Some(0) };
        let ips = addresses.into_iter().map(ip).collect();
        Ok(Output { interfaces: vec![interface], ips, ..Output::default() })
    }

    fn del(call: &Call, sandbox: Option<&Netns>, _: Option<&Netns>) -> Result<(), Failure> {
        parse(&call.config)?;
        sandbox.map_or(Ok(()), |sandbox| set(sandbox, false, Tolerance::OkIfMissing))
    }

    fn check(call: &Call, sandbox: &Netns, _: Option<&Netns>) -> Result<(), Failure> {
        parse(&call.config)?;
        match link::by_name(sandbox, LO)? {
            Some(lo) if lo.flags & IFF_UP != 0 => Ok(()),
            Some(_) => Err(Failure::plain("loopback interface is down")),
            None => Err(Failure::plain("Link not found")),
        }
    }

    fn validate(config: &str) -> Vec<Mistake> {
        validate::every(config, FAILED, |document| {
            read(document);
            Vec::new()
        })
    }
}

/// The first address of each family, if all are what a loopback device has.
fn loopback_addresses(addresses: &[Address]) -> Result<Vec<IpNet>, Failure> {
    let mut first: [Option<IpNet>; 2] = [None, None];
    for address in addresses {
        let Ok(ip) = IpNet::try_from(address.ip) else { continue };
        if !ip.addr().is_loopback() {
            let text = go::quoted(&ip.addr().to_string());
            return Err(Failure::plain(format!("loopback interface found with non-loopback address {text}")));
        }
        first[usize::from(ip.addr().is_ipv6())].get_or_insert(ip);
    }
    Ok(first.into_iter().flatten().collect())
}

fn set(sandbox: &Netns, up: bool, tolerance: Tolerance) -> Result<(), Failure> {
    let mut batch = Batch::on(sandbox);
    batch.set_link(LinkRef::Name(LO.into()), [LinkAttr::Up(up)]).tolerate(tolerance);
    batch.commit()?;
    Ok(())
}

/// It has no keys of its own, but those of every configuration have types.
fn parse(config: &str) -> Result<(), Failure> {
    Document::decode(config, FAILED, read)
}

fn read(document: &Document) {
    NetConf::read(&document.root("NetConf"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(list: &[&str]) -> Result<Vec<String>, Failure> {
        let address =
            |text: &&str| Address { link: LinkRef::Index(1), ip: text.parse::<IpNet>().unwrap().into(), flags: 0 };
        let all: Vec<_> = list.iter().map(address).collect();
        loopback_addresses(&all).map(|ips| ips.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn the_first_address_of_each_family_counts() {
        assert_eq!(addresses(&["::1/128", "127.0.0.1/8", "127.0.0.2/8"]).unwrap(), ["127.0.0.1/8", "::1/128"]);
        assert!(addresses(&[]).unwrap().is_empty());
    }

    #[test]
    fn any_other_address_is_an_error() {
        let failure = addresses(&["127.0.0.1/8", "10.0.0.1/8"]).unwrap_err();
        assert_eq!(failure.msg, "loopback interface found with non-loopback address \"10.0.0.1\"");
    }

    #[test]
    fn a_wrong_type_is_named() {
        let failure = parse(r#"{"name":"n","type":1}"#).unwrap_err();
        assert!(
            failure.msg.starts_with("failed to parse network config: json: cannot unmarshal number"),
            "{}",
            failure.msg
        );
    }

    #[test]
    fn every_mistake_is_found_at_once() {
        let mistakes = Loopback::validate(r#"{"type":1,"dns":{"search":"x"},"mtu":1}"#);
        let found: Vec<_> = mistakes.iter().map(|mistake| (mistake.key.as_str(), mistake.harmless)).collect();
        assert_eq!(found, [("type", false), ("dns.search", false), ("mtu", true)]);
        assert!(Loopback::validate(r#"{"cniVersion":"1.1.0","name":"lo","type":"loopback"}"#).is_empty());
    }
}
