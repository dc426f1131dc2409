//! Source NAT: a container's traffic to the world under the host's address.

use ipnet::IpNet;

use crate::bindings::interface::wasm_cni::filter::masquerade::{self, Backend};
use crate::{Attachment, Call, Failure, Mistake, Netns, Output, Tables, go, ip, link};

/// `ipMasq` and `ipMasqBackend` of a configuration that asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Masquerade {
    backend: Option<Backend>,
}

impl Masquerade {
    /// From the two keys; none if it is not asked for.
    pub fn from_keys(ip_masq: bool, backend: Option<&str>) -> Result<Option<Self>, Failure> {
        if !ip_masq {
            return Ok(None);
        }
        let backend = match backend {
            None => None,
            Some("iptables") => Some(Backend::Iptables),
            Some("nftables") => Some(Backend::Nftables),
            Some(other) => return Err(Failure::plain(format!("unknown ipmasq backend {}", go::quoted(other)))),
        };
        Ok(Some(Self { backend }))
    }

    /// What is wrong with the two keys: without masquerade it does no harm.
    pub fn mistake(ip_masq: bool, backend: Option<&str>) -> Option<Mistake> {
        let failure = Self::from_keys(true, backend).err()?;
        Some(Mistake { harmless: !ip_masq, ..Mistake::new("ipMasqBackend", failure.msg) })
    }

    /// The rules for the addresses of a result.
    pub fn add(self, host: &Netns, output: &Output) -> Result<(), Failure> {
        let addresses: Vec<_> = output.ips.iter().map(|ip| ip.address).collect();
        masquerade::add(host, &addresses, self.backend)?;
        Ok(())
    }

    /// Whether [`add`](Self::add) would find its backend usable.
    pub fn status(self, host: &Netns) -> Result<(), Failure> {
        masquerade::status(host, self.backend)?;
        Ok(())
    }
}

/// Removes this attachment's rules, wherever they are. `addresses` are those
/// that it had, as far as they are known.
pub fn remove(host: &Netns, addresses: &[IpNet]) -> Result<(), Failure> {
    let addresses: Vec<_> = addresses.iter().map(|address| (*address).into()).collect();
    masquerade::remove(host, &addresses)?;
    Ok(())
}

/// Removes the rules of all attachments of the network but `live`.
pub fn gc(host: &Netns, live: &[Attachment]) -> Result<(), Failure> {
    masquerade::gc(host, live)?;
    Ok(())
}

/// The addresses of the interface that a DEL is about: those that it has and
/// those that the result of its ADD says.
pub fn addresses(call: &Call, sandbox: Option<&Netns>) -> Vec<IpNet> {
    let name = crate::LinkRef::Name(call.at.ifname.clone());
    let found = sandbox.and_then(|sandbox| link::find(sandbox, name, Tables::ADDRESSES).ok().flatten());
    let found = found.into_iter().flat_map(|(_, now)| now.addresses).map(|address| address.ip);
    let said = call.prev.as_ref().ok().and_then(Option::as_ref);
    let said = said.into_iter().flat_map(|result| &result.ips).map(|ip| ip.address);
    let mut addresses: Vec<IpNet> = found
        .chain(said)
        .filter_map(|ip| IpNet::try_from(ip).ok())
        .filter(|ip| ip::is_global_unicast(ip.addr()))
        .collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backend_matters_only_with_masquerade() {
        assert_eq!(Masquerade::from_keys(false, Some("foo")).unwrap(), None);
        assert_eq!(Masquerade::from_keys(true, None).unwrap(), Some(Masquerade { backend: None }));
        let failure = Masquerade::from_keys(true, Some("foo")).unwrap_err();
        assert_eq!(failure.msg, "unknown ipmasq backend \"foo\"");
        assert_eq!(Masquerade::from_keys(true, Some("")).unwrap_err().msg, "unknown ipmasq backend \"\"");
    }
}
