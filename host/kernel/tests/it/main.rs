//! Tests against the kernel, in private namespaces. They ask iproute2 and nft for
//! the results. Must not know: the crate's internals.

mod address;
mod announce;
mod bridge_vlan;
mod full_route;
mod link;
mod macvlan;
mod neighbour;
mod netns;
mod nftables;
mod nftables_printed;
mod route;
mod rule;
mod sandbox;
mod sysctl;
mod wait;
