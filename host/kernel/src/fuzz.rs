//! Reads datagrams as if they were the kernel's answers. For fuzzing: not part of the interface.

use std::fmt::Debug;

use netlink_packet_core::{NLMSG_DONE, NLMSG_ERROR};
use netlink_packet_route::AddressFamily;

use crate::answer::{Reply, acknowledged, dumped, messages};
use crate::{Error, IpFamily, address, bridge_vlan, link, neighbour, nftables, route, rule};

/// The table and the chain whose rules are read.
const TABLE: &str = "t";
const CHAIN: &str = "c";

/// Gives a datagram to every reader, and returns what they found in it, for people.
pub fn objects(datagram: &[u8]) -> Vec<String> {
    let mut objects = Vec::new();
    for message in messages(datagram) {
        let Ok(message) = message else { break };
        match message.message_type() {
            NLMSG_ERROR => objects.extend(acknowledged(&message).err().map(|error| format!("{error:?}"))),
            NLMSG_DONE => objects.extend(dumped(&message).err().map(|error| format!("{error:?}"))),
            _ => read(&Reply::new(&message), &mut objects),
        }
    }
    objects
}

fn read(reply: &Reply, objects: &mut Vec<String>) {
    add(objects, link::read::link(reply).transpose());
    let kind = link::read::kind(reply).map_err(Error::from_decode);
    if let Ok((_, data)) = &kind {
        add(objects, link::read_macvlan_mode(data).map_err(Error::from_decode));
    }
    // `ifi_index` of `struct ifinfomsg`: the VLANs of this very link.
    let index = reply.payload.get(4..8).and_then(|index| index.try_into().ok()).map_or(0, u32::from_ne_bytes);
    let vlans = bridge_vlan::read(&reply.payload, index).map_err(Error::from_decode);
    add(objects, vlans.map(|vlans| (!vlans.is_empty()).then_some(vlans)));
    add(objects, address::read(reply, None).transpose());
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        add(objects, route::read::route(reply, family));
    }
    for family in [IpFamily::Inet, IpFamily::Inet6] {
        add(objects, rule::read(reply, family).map_err(Error::from_decode));
    }
    add(objects, neighbour::read(reply, None).map_err(Error::from_decode));
    add(objects, nftables::read::chain(reply, TABLE).map_err(Error::from_decode));
    add(objects, nftables::read::rule(reply, TABLE, CHAIN).map_err(Error::from_decode));
}

/// Adds an object. The text of an error is made too: users would read it.
fn add(objects: &mut Vec<String>, found: Result<Option<impl Debug>, Error>) {
    match found {
        Ok(Some(object)) => objects.push(format!("{object:?}")),
        Ok(None) => {}
        Err(error) => drop(error.to_string()),
    }
}
