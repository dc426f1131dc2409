//! CHECK: whether what ADD returned is still there.

use cni_plugin::{Call, Context, Failure, Iface, Link, Netns, check, link, mac};

use crate::config::Config;

/// Compares `prevResult` with the kernel.
pub(crate) fn check(call: &Call, config: &Config, sandbox: &Netns, host: &Netns) -> Result<(), Failure> {
    let prev = call.required_prev_result()?;
    let ifname = &call.at.ifname;
    let mut of_bridge = None;
    let mut of_container = None;
    for interface in &prev.interfaces {
        if interface.name == config.bridge {
            of_bridge = Some(interface);
        } else if interface.name == *ifname && interface.sandbox == call.netns {
            of_container = Some(interface);
        }
    }
    let of_bridge = of_bridge.ok_or("Interface name missing ")?;
    let bridge = on_host(of_bridge, host)?;
    compare_bridge(of_bridge, &bridge, config)?;
    // The reference names the sandbox that it found, which is none.
    let Some(of_container) = of_container else {
        return Err(Failure::plain(format!("Sandbox in prevResult  doesn't match configured netns: {}", call.netns)));
    };
    let now = check::now(sandbox, prev)?;
    let container = now.links.iter().find(|link| link.name == *ifname);
    let container = container.ok_or_else(|| format!("Interface name {ifname} not found"))?;
    compare_container(of_container, container)?;
    let mut has_port = false;
    for interface in &prev.interfaces {
        let is_other = interface.name != config.bridge && interface.name != *ifname;
        if is_other && is_port(interface, &on_host(interface, host)?, &bridge, container)? {
            has_port = true;
            break;
        }
    }
    if !has_port {
        return Err(Failure::plain(format!("CNI veth created for bridge {} was not found", config.bridge)));
    }
    check::addresses(&now, ifname, &prev.ips)?;
    check::routes(&now, &prev.routes)
}

fn compare_bridge(interface: &Iface, link: &Link, config: &Config) -> Result<(), String> {
    let name = &interface.name;
    if link.kind != "bridge" {
        return Err(format!("Interface {name} does not have link type of bridge"));
    }
    if is_other_mac(interface, link) {
        let mac = &interface.mac;
        return Err(format!("Bridge interface {name} Mac doesn't match: {mac}"));
    }
    let promisc = link.promiscuity != 0;
    if promisc != config.promisc {
        return Err(format!(
            "Bridge interface {name} configured Promisc Mode {} \
             doesn't match current state: {promisc} ",
            config.promisc
        ));
    }
    Ok(())
}

fn compare_container(interface: &Iface, link: &Link) -> Result<(), String> {
    let name = &interface.name;
    if link.kind != "veth" {
        return Err(format!("Error: Container interface {name} not of type veth"));
    }
    check::same_mac(interface, link)
}

/// Whether an interface is the other end of the container's, and a port of the
/// bridge. Anything else was not made by this plugin.
fn is_port(interface: &Iface, link: &Link, bridge: &Link, container: &Link) -> Result<bool, String> {
    let is_peer = link.index == container.parent && link.parent == container.index;
    if link.kind != "veth" || !is_peer || link.master != bridge.index {
        return Ok(false);
    }
    if is_other_mac(interface, link) {
        let Iface { name, mac, .. } = interface;
        return Err(format!("Interface {name} Mac doesn't match: {mac} not found"));
    }
    Ok(true)
}

fn on_host(interface: &Iface, host: &Netns) -> Result<Link, Failure> {
    let name = &interface.name;
    if name.is_empty() {
        return Err("Interface name missing ".into());
    }
    let link = link::by_name(host, name).context(|| format!("Interface name {name}"))?;
    let link = link.ok_or_else(|| format!("Interface name {name} not found"))?;
    if !interface.sandbox.is_empty() {
        let text = format!("Interface {name} should not be in sandbox");
        return Err(Failure::plain(text));
    }
    Ok(link)
}

fn is_other_mac(interface: &Iface, link: &Link) -> bool {
    !interface.mac.is_empty() && interface.mac != mac::format(&link.mac)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cni_plugin::result;

    fn link(kind: &str, index: u32, parent: u32, master: u32) -> Link {
        Link {
            index,
            name: format!("link{index}"),
            kind: kind.into(),
            mac: vec![2, 0, 0, 0, 0, index as u8],
            flags: 1,
            operstate: 6,
            master,
            parent,
            ..Link::default()
        }
    }

    fn entry(name: &str, mac: &str) -> Iface {
        Iface { mac: mac.into(), ..result::named(name, "") }
    }

    #[test]
    fn a_bridge_is_compared_by_kind_mac_and_mode() {
        let config = |text| Config::parse(text, "").unwrap();
        let bridge = link("bridge", 3, 0, 0);
        let compare = |entry: &Iface, link: &Link, text| compare_bridge(entry, link, &config(text));
        assert_eq!(compare(&entry("br", "02:00:00:00:00:03"), &bridge, "{}"), Ok(()));
        assert_eq!(compare(&entry("br", ""), &bridge, "{}"), Ok(()));
        for (entry, link, conf, text) in [
            (entry("br", ""), &link("veth", 3, 0, 0), "{}", "Interface br does not have link type of bridge"),
            (
                entry("br", "02:00:00:00:00:04"),
                &bridge,
                "{}",
                "Bridge interface br Mac doesn't match: 02:00:00:00:00:04",
            ),
            (
                entry("br", ""),
                &bridge,
                r#"{"promiscMode":true}"#,
                "Bridge interface br configured Promisc Mode true \
                 doesn't match current state: false ",
            ),
        ] {
            assert_eq!(compare(&entry, link, conf).unwrap_err(), text);
        }
    }

    #[test]
    fn the_container_s_interface_is_compared_by_kind_and_mac() {
        let veth = link("veth", 2, 7, 0);
        assert_eq!(compare_container(&entry("eth0", "02:00:00:00:00:02"), &veth), Ok(()));
        assert_eq!(
            compare_container(&entry("eth0", ""), &link("", 2, 0, 0)).unwrap_err(),
            "Error: Container interface eth0 not of type veth"
        );
        assert_eq!(
            compare_container(&entry("eth0", "a"), &veth).unwrap_err(),
            "Interface eth0 Mac a doesn't match container Mac: 02:00:00:00:00:02"
        );
    }

    #[test]
    fn a_port_is_the_container_s_peer_in_the_bridge() {
        let (bridge, container) = (link("bridge", 3, 0, 0), link("veth", 2, 7, 0));
        let is_port = |mac, link: Link| is_port(&entry("v", mac), &link, &bridge, &container);
        assert_eq!(is_port("", link("veth", 7, 2, 3)), Ok(true));
        for other in [link("veth", 7, 2, 0), link("veth", 7, 9, 3), link("veth", 8, 2, 3), link("macvlan", 7, 2, 3)] {
            assert_eq!(is_port("", other), Ok(false));
        }
        assert_eq!(is_port("b", link("veth", 7, 2, 3)).unwrap_err(), "Interface v Mac doesn't match: b not found");
    }
}
