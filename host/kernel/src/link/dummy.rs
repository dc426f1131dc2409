//! Devices that drop what they are sent (drivers/net/dummy.c).

use netlink_packet_route::link::LinkMessage;
use rtnetlink::LinkDummy;

pub(super) fn message(name: &str) -> LinkMessage {
    LinkDummy::new(name).build()
}
