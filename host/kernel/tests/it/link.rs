//! Links: what is made, what is refused, and that nothing is left over.

use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use nix::errno::Errno;
use serde_json::json;
use wasm_cni_kernel::{LinkAttrs, LinkKind, LinkRef, Netlink, NewLink, VethPeer};

use crate::sandbox::{Sandbox, devices, ip, isolated, sh};

fn bridge(name: &str, attrs: LinkAttrs) -> NewLink {
    NewLink { name: name.to_owned(), kind: LinkKind::Bridge { vlan_filtering: false }, attrs }
}

fn pair(name: &str, peer: &str, attrs: LinkAttrs) -> NewLink {
    let peer = VethPeer { name: peer.to_owned(), ..VethPeer::default() };
    NewLink { name: name.to_owned(), kind: LinkKind::Veth(peer), attrs }
}

fn refused(host: &mut Netlink, link: &NewLink, errno: Errno) {
    let error = host.link_add(link).unwrap_err();
    assert_eq!(error.errno(), errno as i32, "{error}");
}

#[test]
fn a_veth_pair_is_made_across_namespaces_in_one_message() {
    isolated(|Sandbox { host: ns, container }| {
        let mut host = ns.connect().unwrap();
        let br = host.link_add(&bridge("br0", LinkAttrs::default())).unwrap();
        let index = host
            .link_add(&NewLink {
                name: "veth1a2b3c4d".to_owned(),
                kind: LinkKind::Veth(VethPeer {
                    name: "eth0".to_owned(),
                    netns: Some(container.as_fd().as_raw_fd()),
                    mac: Some(vec![2, 0, 0, 0, 0, 7]),
                    mtu: Some(1400),
                }),
                attrs: LinkAttrs {
                    up: Some(true),
                    mtu: Some(1450),
                    mac: Some(vec![2, 0, 0, 0, 0, 9]),
                    master: Some(br),
                    hairpin: Some(true),
                    isolated: Some(true),
                    ..LinkAttrs::default()
                },
            })
            .unwrap();

        let outer = &ip(&ns, "link show veth1a2b3c4d")[0];
        assert_eq!(outer["ifindex"], index);
        assert_eq!(outer["address"], "02:00:00:00:00:09");
        assert_eq!((&outer["mtu"], &outer["master"]), (&json!(1450), &json!("br0")));
        assert!(outer["flags"].as_array().unwrap().contains(&json!("UP")));
        let port = &outer["linkinfo"]["info_slave_data"];
        assert_eq!((&port["hairpin"], &port["isolated"]), (&json!(true), &json!(true)));

        let inner = &ip(&container, "link show eth0")[0];
        assert_eq!(inner["address"], "02:00:00:00:00:07");
        assert_eq!((&inner["mtu"], &inner["operstate"]), (&json!(1400), &json!("DOWN")));
        assert_eq!(inner["link_index"], index);
        assert_eq!(devices(&container), ["eth0", "lo"]);

        let mut inside = container.connect().unwrap();
        let eth0 = inside.link_get(LinkRef::Name("eth0")).unwrap();
        assert_eq!((eth0.parent, eth0.kind.as_str(), eth0.mtu), (index, "veth", 1400));
        let outer = host.link_get(LinkRef::Index(index)).unwrap();
        assert_eq!((outer.parent, outer.master), (eth0.index, br));
        assert_eq!((outer.name.as_str(), outer.mac[5]), ("veth1a2b3c4d", 9));
        assert_eq!(outer.operstate, 3, "lower layer down");

        inside.link_set(eth0.index, &LinkAttrs { up: Some(true), ..LinkAttrs::default() }).unwrap();
        assert_eq!(ip(&container, "link show eth0")[0]["operstate"], "UP");
        inside.link_del(eth0.index).unwrap();
        assert_eq!(devices(&ns), ["br0", "lo"]);
        assert_eq!(inside.link_del(eth0.index).unwrap_err().errno(), Errno::ENODEV as i32);
    });
}

#[test]
fn a_bridge_starts_as_it_was_asked_for() {
    isolated(|Sandbox { host: ns, .. }| {
        let mut host = ns.connect().unwrap();
        let attrs = LinkAttrs {
            up: Some(true),
            mtu: Some(1400),
            mac: Some(vec![2, 0, 0, 0, 0, 1]),
            promisc: Some(true),
            ..LinkAttrs::default()
        };
        let index = host.link_add(&bridge("cni0", attrs)).unwrap();

        let cni0 = &ip(&ns, "link show cni0")[0];
        assert_eq!(cni0["linkinfo"]["info_kind"], "bridge");
        assert_eq!((&cni0["mtu"], &cni0["address"]), (&json!(1400), &json!("02:00:00:00:00:01")));
        assert_eq!(cni0["promiscuity"], 1);
        for flag in ["UP", "PROMISC"] {
            assert!(cni0["flags"].as_array().unwrap().contains(&json!(flag)), "{cni0}");
        }

        let off = LinkAttrs {
            up: Some(false),
            promisc: Some(false),
            mac: Some(vec![2, 0, 0, 0, 0, 2]),
            mtu: Some(1300),
            ..LinkAttrs::default()
        };
        host.link_set(index, &off).unwrap();
        let cni0 = &ip(&ns, "link show cni0")[0];
        assert_eq!((&cni0["mtu"], &cni0["address"]), (&json!(1300), &json!("02:00:00:00:00:02")));
        assert_eq!(cni0["flags"], json!(["BROADCAST", "MULTICAST"]));
        let read = host.link_get(LinkRef::Name("cni0")).unwrap();
        assert_eq!((read.index, read.kind.as_str(), read.promiscuity), (index, "bridge", 0));
        assert_eq!((read.mtu, read.master, read.parent), (1300, 0, 0));
        // Nothing asked, nothing done.
        host.link_set(index, &LinkAttrs::default()).unwrap();
    });
}

#[test]
fn a_taken_name_is_refused_and_what_has_it_stays() {
    isolated(|Sandbox { host: ns, container }| {
        let mut host = ns.connect().unwrap();
        let index = host.link_add(&bridge("br0", LinkAttrs::default())).unwrap();

        let error = host.link_add(&bridge("br0", LinkAttrs::default())).unwrap_err();
        assert_eq!(error.errno(), Errno::EEXIST as i32);
        assert_eq!(error.to_string(), "link-add br0: file exists");
        refused(&mut host, &pair("a", "br0", LinkAttrs::default()), Errno::EEXIST);
        // The peer's name is free here, but not where the peer goes.
        let away = NewLink {
            kind: LinkKind::Veth(VethPeer {
                name: "lo".to_owned(),
                netns: Some(container.as_fd().as_raw_fd()),
                ..VethPeer::default()
            }),
            ..pair("a", "lo", LinkAttrs::default())
        };
        refused(&mut host, &away, Errno::EEXIST);
        assert_eq!(devices(&ns), ["br0", "lo"]);
        assert_eq!(ip(&ns, "link show br0")[0]["ifindex"], index);
    });
}

#[test]
fn bad_arguments_never_become_a_link() {
    isolated(|Sandbox { host: ns, .. }| {
        let mut host = ns.connect().unwrap();
        let plain = LinkAttrs::default;
        for (name, errno) in [
            ("sixteen-bytes-xx", Errno::ERANGE),
            ("", Errno::EINVAL),
            ("veth%d", Errno::EINVAL),
            ("a\0b", Errno::EINVAL),
            ("a/b", Errno::EINVAL),
            (".", Errno::EINVAL),
        ] {
            refused(&mut host, &bridge(name, plain()), errno);
            refused(&mut host, &pair("a", name, plain()), errno);
        }
        let error = host.link_get(LinkRef::Name("sixteen-bytes-xx")).unwrap_err();
        assert_eq!(error.reason(), "numerical result out of range");
        for (mac, errno) in [
            (vec![2, 0, 0, 0, 0], Errno::EINVAL),
            (vec![2; 7], Errno::EINVAL),
            (vec![], Errno::EINVAL),
            (vec![0; 6], Errno::EADDRNOTAVAIL),
            (vec![1, 0, 0, 0, 0, 1], Errno::EADDRNOTAVAIL),
        ] {
            let attrs = LinkAttrs { mac: Some(mac.clone()), ..plain() };
            refused(&mut host, &bridge("br0", attrs), errno);
            let peer = VethPeer { name: "b".to_owned(), mac: Some(mac), ..VethPeer::default() };
            let link = NewLink { kind: LinkKind::Veth(peer), ..pair("a", "b", plain()) };
            refused(&mut host, &link, errno);
        }
        let attrs = LinkAttrs { master: Some(4711), ..plain() };
        assert!(host.link_add(&pair("a", "b", attrs)).is_err());
        // The second message fails: the link that the first one made goes again.
        let attrs = LinkAttrs { hairpin: Some(true), ..plain() };
        refused(&mut host, &pair("a", "b", attrs), Errno::EOPNOTSUPP);
        assert_eq!(devices(&ns), ["lo"]);
    });
}

#[test]
fn a_port_enters_and_leaves_a_bridge() {
    isolated(|Sandbox { host: ns, .. }| {
        let mut host = ns.connect().unwrap();
        let br = host.link_add(&bridge("br0", LinkAttrs::default())).unwrap();
        let port = host.link_add(&pair("a", "b", LinkAttrs::default())).unwrap();
        let attrs = LinkAttrs { master: Some(br), hairpin: Some(true), ..LinkAttrs::default() };
        host.link_set(port, &attrs).unwrap();
        let slave = || ip(&ns, "link show a")[0]["linkinfo"]["info_slave_data"].clone();
        assert_eq!((&slave()["hairpin"], &slave()["isolated"]), (&json!(true), &json!(false)));

        let attrs = LinkAttrs { hairpin: Some(false), isolated: Some(true), ..LinkAttrs::default() };
        host.link_set(port, &attrs).unwrap();
        assert_eq!((&slave()["hairpin"], &slave()["isolated"]), (&json!(false), &json!(true)));

        host.link_set(port, &LinkAttrs { master: Some(0), ..LinkAttrs::default() }).unwrap();
        assert!(ip(&ns, "link show a")[0]["master"].is_null());
    });
}

#[test]
fn the_kernels_own_words_are_kept() {
    isolated(|Sandbox { host: ns, .. }| {
        let mut host = ns.connect().unwrap();
        let br = host.link_add(&bridge("br0", LinkAttrs::default())).unwrap();
        let attrs = LinkAttrs { master: Some(br), ..LinkAttrs::default() };
        let error = host.link_add(&bridge("br1", attrs)).unwrap_err();
        assert_eq!(error.errno(), Errno::ELOOP as i32);
        assert_eq!(error.kernel_says(), Some("Can not enslave a bridge to a bridge"));
        assert_eq!(error.to_string(), "link-add br1: too many levels of symbolic links");
        assert_eq!(devices(&ns), ["br0", "lo"]);
        assert_eq!(host.link_get(LinkRef::Name("br1")).unwrap_err().kernel_says(), None);
    });
}

#[test]
fn a_long_list_is_complete_while_it_changes() {
    isolated(|Sandbox { host: ns, .. }| {
        for number in 0..150 {
            sh(&ns, &format!("ip link add many{number} type veth peer name peer{number}"));
        }
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut other = ns.connect().unwrap();
                while !over.load(Ordering::Relaxed) {
                    let index = other.link_add(&bridge("churn", LinkAttrs::default())).unwrap();
                    other.link_del(index).unwrap();
                }
            });
            let mut host = ns.connect().unwrap();
            for _ in 0..50 {
                let links = host.links().unwrap();
                let many = |name: &&str| name.starts_with("many") || name.starts_with("peer");
                let found = links.iter().map(|link| link.name.as_str()).filter(many).count();
                assert_eq!(found, 300);
            }
            over.store(true, Ordering::Relaxed);
        });
    });
}

#[test]
fn ports_are_those_of_one_bridge() {
    isolated(|Sandbox { host: ns, .. }| {
        let mut host = ns.connect().unwrap();
        let [br0, br1] = ["br0", "br1"].map(|name| host.link_add(&bridge(name, LinkAttrs::default())).unwrap());
        let port = LinkAttrs { master: Some(br0), ..LinkAttrs::default() };
        host.link_add(&pair("port", "peer", port)).unwrap();
        // Neither name nor alias of other links matters.
        sh(&ns, "ip link set peer alias B\u{fc}ro");
        let names: Vec<_> = host.ports(br0).unwrap().into_iter().map(|link| link.name).collect();
        assert_eq!((names, host.ports(br1).unwrap().len()), (vec!["port".to_owned()], 0));
    });
}
