//! CHECK: whether what ADD returned is still there, as the container sees it.

use cni_plugin::{Call, Failure, Iface, Link, Netns, check};

/// Compares `prevResult` with the kernel.
pub(crate) fn check(call: &Call, sandbox: &Netns) -> Result<(), Failure> {
    let prev = call.prev_result()?.ok_or("ptp: Required prevResult missing")?;
    check::interface(call, prev, sandbox, compare)
}

fn compare(interface: &Iface, link: Option<&Link>) -> Result<(), String> {
    let name = &interface.name;
    let link = link.ok_or_else(|| format!("ptp: Container Interface name in prevResult: {name} not found"))?;
    if link.kind != "veth" {
        return Err(format!("Error: Container interface {name} not of type veth/p2p"));
    }
    check::same_mac(interface, link).map_err(|text| format!("ptp: {text}"))
}

#[cfg(test)]
mod tests {
    use cni_plugin::result;

    use super::*;

    fn link(kind: &str) -> Link {
        Link {
            index: 2,
            name: "eth0".into(),
            kind: kind.into(),
            mac: vec![2, 0, 0, 0, 0, 1],
            flags: 1,
            operstate: 6,
            parent: 7,
            ..Link::default()
        }
    }

    #[test]
    fn what_is_compared_is_named() {
        let interface = Iface { mac: "02:00:00:00:00:01".into(), ..result::named("eth0", "/run/netns/c1") };
        assert_eq!(compare(&interface, Some(&link("veth"))), Ok(()));
        for (interface, link, text) in [
            (interface.clone(), None, "ptp: Container Interface name in prevResult: eth0 not found"),
            (interface.clone(), Some(link("bridge")), "Error: Container interface eth0 not of type veth/p2p"),
            (
                Iface { mac: "02:00:00:00:00:09".into(), ..interface.clone() },
                Some(link("veth")),
                "ptp: Interface eth0 Mac 02:00:00:00:00:09 doesn't match container Mac: 02:00:00:00:00:01",
            ),
        ] {
            assert_eq!(compare(&interface, link.as_ref()), Err(text.to_owned()));
        }
    }
}
