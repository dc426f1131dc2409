//! CHECK: whether what ADD returned is still there, as the container sees it.

use cni_plugin::{Call, Failure, Iface, Link, Netns, Output, check};

use crate::device::mac_of;

/// Compares `prev` with the kernel.
pub(crate) fn check(call: &Call, prev: &Output, sandbox: &Netns) -> Result<(), Failure> {
    check::interface(call, prev, sandbox, compare)
}

fn compare(interface: &Iface, link: Option<&Link>) -> Result<(), String> {
    let name = &interface.name;
    let link = link.ok_or_else(|| format!("Container Interface name in prevResult: {name} not found"))?;
    let now = mac_of(link);
    if !interface.mac.is_empty() && interface.mac != now {
        return Err(format!("Interface {name} Mac {} doesn't match container Mac: {now}", interface.mac));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use cni_plugin::result;

    use super::*;

    fn link(mac: [u8; 6]) -> Link {
        Link {
            index: 2,
            name: "eth0".into(),
            mac: mac.to_vec(),
            flags: 1,
            operstate: 6,
            alias: "d0".into(),
            ..Link::default()
        }
    }

    #[test]
    fn what_is_compared_is_named() {
        let named = result::named("eth0", "/run/netns/c1");
        let with = |mac: &str| Iface { mac: mac.into(), ..named.clone() };
        for (mac, link, text) in [
            ("02:00:00:00:00:01", Some(link([2, 0, 0, 0, 0, 1])), None),
            ("", Some(link([2, 0, 0, 0, 0, 1])), None),
            ("", None, Some("Container Interface name in prevResult: eth0 not found")),
            (
                "02:00:00:00:00:09",
                Some(link([2, 0, 0, 0, 0, 1])),
                Some("Interface eth0 Mac 02:00:00:00:00:09 doesn't match container Mac: 02:00:00:00:00:01"),
            ),
            (
                "00:00:00:00:00:00",
                Some(link([0; 6])),
                Some("Interface eth0 Mac 00:00:00:00:00:00 doesn't match container Mac: "),
            ),
        ] {
            assert_eq!(compare(&with(mac), link.as_ref()).err().as_deref(), text);
        }
    }
}
