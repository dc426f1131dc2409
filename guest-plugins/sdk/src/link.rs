//! What links the kernel has now.

use crate::bindings::interface::wasm_cni::net::net;
use crate::{Batch, Code, Error, Failure, Link, LinkRef, Netns, Query, Snapshot, Tables, Tolerance, go};

/// `IFF_UP` (linux/if.h).
pub const IFF_UP: u32 = 1;
/// `IFF_PROMISC` (linux/if.h).
pub const IFF_PROMISC: u32 = 1 << 8;
/// `IF_OPER_UP` (RFC 2863).
pub const OPER_UP: u8 = 6;

/// A link and, with `tables`, what belongs to it; none if there is no such link.
pub fn find(ns: &Netns, link: LinkRef, tables: Tables) -> Result<Option<(Link, Snapshot)>, Error> {
    let query = Query { tables: tables | Tables::LINKS, link: Some(link) };
    match net::read(ns, &query) {
        Ok(mut snapshot) => Ok(snapshot.links.pop().map(|link| (link, snapshot))),
        Err(error) if error.code == Code::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The link of this name; none if there is none.
pub fn by_name(ns: &Netns, name: &str) -> Result<Option<Link>, Error> {
    let found = find(ns, LinkRef::Name(name.to_owned()), Tables::empty())?;
    Ok(found.map(|(link, _)| link))
}

/// Everything of these kinds that the namespace has.
pub fn all(ns: &Netns, tables: Tables) -> Result<Snapshot, Error> {
    net::read(ns, &Query { tables, link: None })
}

/// Deletes the link of this name, if there is one.
pub fn delete(ns: &Netns, name: &str) -> Result<(), Failure> {
    let mut batch = Batch::on(ns);
    batch
        .delete_link(LinkRef::Name(name.to_owned()))
        .tolerate(Tolerance::OkIfMissing)
        .context(|| format!("failed to delete {}", go::quoted(name)));
    batch.commit()?;
    Ok(())
}

/// Whether the kernel and the host take this as the name of a link; if not, why,
/// in the host's words.
pub fn check_name(name: &str) -> Result<(), &'static str> {
    let bad = |c: char| matches!(c, '/' | ':' | '%') || c.is_whitespace() || c.is_control();
    match name {
        name if name.is_empty() || name.len() > 15 => Err("an interface name has 1 to 15 bytes"),
        "." | ".." => Err("an interface name is not . or .."),
        "all" | "default" => Err("an interface name is not all or default, which name sysctls of every interface"),
        name if name.contains(bad) => Err("an interface name holds no /, :, % or white space"),
        _ => Ok(()),
    }
}

/// Operational states, as the reference names them.
pub fn operstate_name(state: u8) -> &'static str {
    match state {
        1 => "not-present",
        2 => "down",
        3 => "lower-layer-down",
        4 => "testing",
        5 => "dormant",
        OPER_UP => "up",
        _ => "unknown",
    }
}
