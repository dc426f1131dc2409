//! The crate against the kernel, in private namespaces; what it did is asked
//! from iproute2 and nft. Must not know: the crate's insides.

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
