//! Macvlan and dummy links.

use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;
use serde_json::json;
use wasm_cni_kernel::{LinkAttrs, LinkKind, LinkRef, Macvlan, MacvlanMode, Netlink, Netns, NewLink, VethPeer};

use crate::sandbox::{Sandbox, devices, ip, isolated, sh, skip, try_sh};

fn macvlan(name: &str, parent: u32, mode: MacvlanMode) -> NewLink {
    let kind = LinkKind::Macvlan(Macvlan { parent, mode, bc_queue_len: None });
    NewLink { name: name.to_owned(), kind, attrs: LinkAttrs::default() }
}

/// Makes `parent`, up. Fails with the reason if the kernel has no macvlan.
fn parent(ns: &Netns, socket: &mut Netlink) -> Result<u32, String> {
    let kind = LinkKind::Veth(VethPeer { name: "other".to_owned(), ..VethPeer::default() });
    let attrs = LinkAttrs { up: Some(true), ..LinkAttrs::default() };
    let parent = socket.link_add(&NewLink { name: "parent".to_owned(), kind, attrs }).unwrap();
    sh(ns, "ip link set other up");
    try_sh(ns, "ip link add probe link parent type macvlan")?;
    sh(ns, "ip link delete probe");
    Ok(parent)
}

#[test]
fn a_macvlan_is_made_in_the_namespace_of_its_parent() {
    isolated(|Sandbox { host: ns, .. }| {
        let mut host = ns.connect().unwrap();
        let parent = match parent(&ns, &mut host) {
            Ok(parent) => parent,
            Err(reason) => return skip("a_macvlan_is_made_in_the_namespace_of_its_parent", &reason),
        };
        for (name, mode, shown) in [
            ("private0", MacvlanMode::Private, "private"),
            ("vepa0", MacvlanMode::Vepa, "vepa"),
            ("bridge0", MacvlanMode::Bridge, "bridge"),
        ] {
            let made = host.link_new(&macvlan(name, parent, mode)).unwrap();
            assert_eq!((made.name.as_str(), made.kind.as_str(), made.parent), (name, "macvlan", parent));
            let link = &ip(&ns, &format!("link show {name}"))[0];
            assert_eq!((&link["ifindex"], &link["link"]), (&json!(made.index), &json!("parent")));
            assert_eq!(link["linkinfo"]["info_data"]["mode"], shown);
            assert_eq!(host.macvlan_mode(made.index).unwrap(), mode);
        }
        let second = host.link_add(&macvlan("passthru0", parent, MacvlanMode::Passthru)).unwrap_err();
        assert_eq!(second.errno(), Errno::EINVAL as i32, "{second}");
        sh(&ns, "ip link delete private0");
        sh(&ns, "ip link delete vepa0");
        sh(&ns, "ip link delete bridge0");
        let only = host.link_add(&macvlan("passthru0", parent, MacvlanMode::Passthru)).unwrap();
        assert_eq!(host.macvlan_mode(only).unwrap(), MacvlanMode::Passthru);
        host.link_del(only).unwrap();

        let kind = LinkKind::Macvlan(Macvlan { parent, mode: MacvlanMode::Bridge, bc_queue_len: Some(2000) });
        let attrs =
            LinkAttrs { up: Some(true), mtu: Some(1400), mac: Some(vec![2, 0, 0, 0, 0, 9]), ..LinkAttrs::default() };
        host.link_add(&NewLink { name: "queue0".to_owned(), kind, attrs }).unwrap();
        let queue0 = &ip(&ns, "link show queue0")[0];
        assert_eq!((&queue0["mtu"], &queue0["address"]), (&json!(1400), &json!("02:00:00:00:00:09")));
        assert!(queue0["flags"].as_array().unwrap().contains(&json!("UP")));
        // iproute2 6.1 prints no `bcqueuelen` as JSON.
        assert!(sh(&ns, "ip -details link show queue0").contains("bcqueuelen 2000"));

        sh(&ns, "ip link add source0 link parent type macvlan mode source");
        let source = host.link_get(LinkRef::Name("source0")).unwrap().index;
        assert_eq!(host.macvlan_mode(source).unwrap_err().errno(), Errno::EOPNOTSUPP as i32);
        let other = host.macvlan_mode(parent).unwrap_err();
        assert_eq!(other.to_string(), format!("macvlan-mode index {parent}: invalid argument"));
        assert_eq!(host.macvlan_mode(4711).unwrap_err().errno(), Errno::ENODEV as i32);
        assert_eq!(host.macvlan_mode(1).unwrap_err().errno(), Errno::EINVAL as i32);
    });
}

#[test]
fn a_macvlan_is_made_in_another_namespace_under_its_final_name() {
    isolated(|Sandbox { host: ns, container }| {
        let (mut host, mut inside) = (ns.connect().unwrap(), container.connect().unwrap());
        let parent = match parent(&ns, &mut host) {
            Ok(parent) => parent,
            Err(reason) => return skip("a_macvlan_is_made_in_another_namespace_under_its_final_name", &reason),
        };
        let before = devices(&ns);
        let mut new = macvlan("eth0", parent, MacvlanMode::Bridge);
        new.attrs.mac = Some(vec![2, 0, 0, 0, 0, 9]);
        new.attrs.up = Some(true);
        let eth0 = host.link_new_in(&new, container.as_fd(), &mut inside).unwrap();
        assert_eq!((eth0.name.as_str(), eth0.kind.as_str(), eth0.parent), ("eth0", "macvlan", parent));
        assert_eq!(eth0.mac, [2, 0, 0, 0, 0, 9]);
        let shown = &ip(&container, "link show eth0")[0];
        assert_eq!((&shown["ifindex"], &shown["link_index"]), (&json!(eth0.index), &json!(parent)));
        assert_eq!((&shown["address"], &shown["operstate"]), (&json!("02:00:00:00:00:09"), &json!("UP")));
        assert_eq!(inside.macvlan_mode(eth0.index).unwrap(), MacvlanMode::Bridge);
        assert_eq!(devices(&ns), before);

        // A name that is taken here is free there; one that is taken there is refused.
        host.link_new_in(&macvlan("parent", parent, MacvlanMode::Bridge), container.as_fd(), &mut inside).unwrap();
        let taken = host.link_new_in(&new, container.as_fd(), &mut inside).unwrap_err();
        assert_eq!(taken.to_string(), "link-add eth0: file exists");
        let nowhere = macvlan("eth1", 4711, MacvlanMode::Bridge);
        let error = host.link_new_in(&nowhere, container.as_fd(), &mut inside).unwrap_err();
        assert_eq!(error.errno(), Errno::ENODEV as i32, "{error}");
        // If an attribute can't be set, the link is deleted again.
        let mut port = macvlan("eth1", parent, MacvlanMode::Bridge);
        port.attrs.hairpin = Some(true);
        let error = host.link_new_in(&port, container.as_fd(), &mut inside).unwrap_err();
        assert_eq!(error.errno(), Errno::EOPNOTSUPP as i32, "{error}");
        assert_eq!(devices(&container), ["eth0", "lo", "parent"]);
        assert_eq!(devices(&ns), before);

        // Links are deleted with their parent.
        host.link_del(parent).unwrap();
        assert_eq!(devices(&container), ["lo"]);
    });
}

#[test]
fn a_link_is_not_made_and_moved_in_one() {
    isolated(|Sandbox { host: ns, container }| {
        let mut host = ns.connect().unwrap();
        let attrs = LinkAttrs { netns: Some(container.as_fd().as_raw_fd()), ..LinkAttrs::default() };
        let link = NewLink { name: "br0".to_owned(), kind: LinkKind::Bridge { vlan_filtering: false }, attrs };
        assert_eq!(host.link_add(&link).unwrap_err().errno(), Errno::EINVAL as i32);
        assert_eq!((devices(&ns), devices(&container)), (vec!["lo".to_owned()], vec!["lo".to_owned()]));
    });
}

#[test]
fn a_dummy_is_made() {
    isolated(|Sandbox { host: ns, container }| {
        let (mut host, mut inside) = (ns.connect().unwrap(), container.connect().unwrap());
        let attrs = LinkAttrs { up: Some(true), mtu: Some(1400), ..LinkAttrs::default() };
        let dummy = NewLink { name: "dummy7".to_owned(), kind: LinkKind::Dummy, attrs };
        if let Err(reason) = try_sh(&ns, "ip link add probe type dummy") {
            let error = host.link_add(&dummy).unwrap_err();
            assert_eq!(error.errno(), Errno::EOPNOTSUPP as i32, "{error}");
            assert_eq!(devices(&ns), ["lo"]);
            return skip("a_dummy_is_made", &reason);
        }
        sh(&ns, "ip link delete probe");
        let index = host.link_add(&dummy).unwrap();
        let shown = &ip(&ns, "link show dummy7")[0];
        assert_eq!((&shown["ifindex"], &shown["mtu"]), (&json!(index), &json!(1400)));
        assert_eq!(shown["linkinfo"]["info_kind"], "dummy");
        let there = host.link_new_in(&dummy, container.as_fd(), &mut inside).unwrap();
        assert_eq!(ip(&container, "link show dummy7")[0]["ifindex"], there.index);
    });
}
