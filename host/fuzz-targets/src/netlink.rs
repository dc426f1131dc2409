//! What the kernel answers: links, addresses, routes, rules, neighbours, VLANs, chains and rules of nftables, errors.

/// Any datagram is read, as far as it can be. Returns what was found in it, for people.
pub fn netlink(bytes: &[u8]) -> Vec<String> {
    wasm_cni_kernel::fuzz::objects(bytes)
}
