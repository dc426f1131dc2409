//! CHECK: whether what ADD returned is still there.

use cni_plugin::{Call, Failure, Iface, Link, Netns, Tables, check, dummy, link};

/// Compares `prevResult` with the kernel. Routes are not looked at, as in the reference.
pub(crate) fn check(call: &Call, sandbox: &Netns) -> Result<(), Failure> {
    let prev = call.prev_result()?.ok_or("dummy: Required prevResult missing")?;
    let interface = check::entry(call, prev)?;
    let now = link::all(sandbox, Tables::LINKS | Tables::ADDRESSES | Tables::ROUTES)?;
    compare(interface, now.links.iter().find(|link| link.name == interface.name))?;
    check::addresses(&now, &interface.name, &prev.ips)
}

fn compare(interface: &Iface, link: Option<&Link>) -> Result<(), String> {
    let name = &interface.name;
    let link = link.ok_or_else(|| format!("Container Interface name in prevResult: {name} not found"))?;
    if link.kind != dummy::KIND {
        return Err(format!("Error: Container interface {name} not of type dummy"));
    }
    check::same_mac(interface, link)?;
    if link.flags & link::IFF_UP == 0 {
        return Err(format!("Interface {name} is down"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use cni_plugin::result;

    use super::*;

    #[test]
    fn what_is_compared_is_named() {
        let dummy = Link { kind: "dummy".into(), mac: vec![2, 0, 0, 0, 0, 1], flags: 1, ..Link::default() };
        let named = result::named("eth0", "/run/netns/c1");
        let entry = |mac: &str| Iface { mac: mac.into(), ..named.clone() };
        for (mac, link, text) in [
            ("02:00:00:00:00:01", Some(dummy.clone()), None),
            ("", Some(dummy.clone()), None),
            ("", None, Some("Container Interface name in prevResult: eth0 not found")),
            (
                "",
                Some(Link { kind: "veth".into(), ..dummy.clone() }),
                Some("Error: Container interface eth0 not of type dummy"),
            ),
            (
                "02:00:00:00:00:09",
                Some(dummy.clone()),
                Some("Interface eth0 Mac 02:00:00:00:00:09 doesn't match container Mac: 02:00:00:00:00:01"),
            ),
            ("", Some(Link { flags: 0, ..dummy.clone() }), Some("Interface eth0 is down")),
        ] {
            assert_eq!(compare(&entry(mac), link.as_ref()).err().as_deref(), text);
        }
    }
}
