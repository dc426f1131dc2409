//! Veth pairs between the host and a container.

use crate::bindings::interface::wasm_cni::system::random;
use crate::{Batch, Call, Code, CommitFailed, Failure, Iface, LinkRef, Mistake, Netns, Tolerance, go, link, mac};

/// What a failure to make a pair is called.
pub const MAKE_PAIR: &str = "failed to make veth pair";
/// The key of a configuration that names the host's end. The reference has no such key.
pub const HOST_INTERFACE_NAME: &str = "hostInterfaceName";

/// How often a name at random may turn out to be taken.
const ATTEMPTS: usize = 10;

/// A name for a host's end: `veth` and eight hexadecimal digits, at random.
pub fn random_name() -> String {
    let mut name = String::from("veth");
    name.extend(random::bytes(4).into_iter().flat_map(mac::hex));
    name
}

/// Makes a pair with the end `peer_name` in `peer_namespace`: `make` gets a name
/// for the host's end, at random unless one is `wanted`, and is asked again if
/// that is taken. Gives the name with what `make` gave.
pub fn make<T>(
    peer_namespace: &Netns,
    peer_name: &str,
    wanted: Option<&str>,
    make: impl Fn(&str) -> Result<T, CommitFailed>,
) -> Result<(String, T), Failure> {
    if let Some(name) = wanted {
        return make_named(peer_namespace, peer_name, name, make);
    }
    let mut attempt = 1;
    loop {
        let name = random_name();
        match make(&name) {
            Ok(made) => return Ok((name, made)),
            Err(failed) if failed.cause.code != Code::Exists => return Err(failed.into()),
            Err(_) => {}
        }
        let taken = link::by_name(peer_namespace, peer_name)?.is_some();
        if taken || attempt == ATTEMPTS {
            return Err(already_exists(peer_name, &name));
        }
        attempt += 1;
    }
}

/// Somebody chose the name: it is this one, and no other link's.
fn make_named<T>(
    peer_namespace: &Netns,
    peer_name: &str,
    name: &str,
    make: impl Fn(&str) -> Result<T, CommitFailed>,
) -> Result<(String, T), Failure> {
    match make(name) {
        Ok(made) => Ok((name.to_owned(), made)),
        Err(failed) if failed.cause.code != Code::Exists => Err(failed.into()),
        Err(_) if link::by_name(peer_namespace, peer_name)?.is_some() => Err(already_exists(peer_name, name)),
        Err(_) => {
            let text =
                format!("{MAKE_PAIR}: {HOST_INTERFACE_NAME} {}: the host has a link of this name", go::quoted(name));
            Err(Failure::plain(text))
        }
    }
}

fn already_exists(peer_name: &str, name: &str) -> Failure {
    let (peer_name, name) = (go::quoted(peer_name), go::quoted(name));
    Failure::plain(format!("container veth name ({peer_name}) peer provided ({name}) already exists"))
}

/// What ADD would say of a name for the host's end that no link can have.
pub fn mistake_of_name(name: Option<&str>) -> Option<Mistake> {
    let why = link::check_name(name?).err()?;
    Some(Mistake::new(HOST_INTERFACE_NAME, format!("{MAKE_PAIR}: {why}")))
}

/// Deletes the host's end of the pair that the result of the ADD names, if it is
/// still there: the container's end may be out of reach, its namespace's path
/// gone and the namespace kept by somebody. `is_end` tells the pair's end from
/// the other interfaces of the host.
pub fn delete_host_end(host: &Netns, call: &Call, is_end: impl Fn(&Iface) -> bool) -> Result<(), Failure> {
    let Ok(Some(result)) = &call.prev else { return Ok(()) };
    for interface in result.interfaces.iter().filter(|interface| interface.sandbox.is_empty() && is_end(interface)) {
        let Some(link) = link::by_name(host, &interface.name)? else { continue };
        // A name at random may come again.
        if link.kind == "veth" && mac::format(&link.mac) == interface.mac {
            let mut batch = Batch::on(host);
            batch.delete_link(LinkRef::Index(link.index)).tolerate(Tolerance::OkIfMissing);
            batch.commit()?;
        }
    }
    Ok(())
}
