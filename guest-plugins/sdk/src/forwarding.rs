//! Forwarding between interfaces: switched on, never off again.

use crate::bindings::interface::wasm_cni::net::net::sysctl_get;
use crate::{Batch, Context as _, Failure, Netns};

/// Lists what it takes to forward IPv4 or IPv6: nothing if that is on already. `words` go in
/// front of a failure.
pub fn enable(batch: &mut Batch<'_>, ns: &Netns, v4: bool, v6: bool, words: &'static str) -> Result<(), Failure> {
    let wanted = [(v4, "net/ipv4/ip_forward"), (v6, "net/ipv6/conf/all/forwarding")];
    let keys: Vec<String> = wanted.iter().filter(|(wanted, _)| *wanted).map(|(_, key)| (*key).to_owned()).collect();
    if keys.is_empty() {
        return Ok(());
    }
    let values = sysctl_get(ns, &keys).context(|| words.to_owned())?;
    for (key, value) in keys.iter().zip(values) {
        if value.as_deref() != Some("1") {
            batch.sysctl(key, "1").context(|| words.to_owned());
        }
    }
    Ok(())
}
