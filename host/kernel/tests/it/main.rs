//! The crate against the kernel, in private namespaces; what it did is asked
//! from iproute2. Must not know: the crate's insides.

mod address;
mod bridge_vlan;
mod link;
mod netns;
mod route;
mod sandbox;
mod sysctl;
mod wait;
