//! Addresses.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;
use serde_json::{Value, json};
use wasm_cni_kernel::{Address, Netns, VethPeer};

use crate::sandbox::{Sandbox, ip, isolated, veth};

fn shown(netns: &Netns, local: &str) -> Value {
    let of = |link: &Value| link["addr_info"].as_array().unwrap().clone();
    let all = ip(netns, "address show dev eth0").iter().flat_map(of).collect::<Vec<_>>();
    all.into_iter().find(|address| address["local"] == local).unwrap_or_default()
}

#[test]
fn addresses_come_and_go() {
    isolated(|Sandbox { host, container }| {
        let (mut outer, mut inner) = (host.connect().unwrap(), container.connect().unwrap());
        let netns = Some(container.as_fd().as_raw_fd());
        let peer = VethPeer { name: "eth0".to_owned(), netns, ..VethPeer::default() };
        let eth0 = veth(&mut outer, &mut inner, peer);
        let address = |ip: &str| Address { link: eth0, ip: ip.parse().unwrap(), flags: 0 };

        for ip in ["10.1.2.3/24", "10.9.0.1/31", "10.9.1.1/32", "fd00::5/64", "10.0.0.255/22"] {
            inner.address_add(&address(ip)).unwrap();
        }
        let v4 = shown(&container, "10.1.2.3");
        assert_eq!((&v4["prefixlen"], &v4["broadcast"]), (&json!(24), &json!("10.1.2.255")));
        assert_eq!(v4["label"], "eth0");
        assert_eq!(v4["scope"], "global");
        assert_eq!(shown(&container, "10.0.0.255")["broadcast"], "10.0.3.255");
        for none in ["10.9.0.1", "10.9.1.1"] {
            assert!(shown(&container, none)["broadcast"].is_null());
        }
        assert_eq!(shown(&container, "fd00::5")["prefixlen"], 64);

        let read = inner.addresses(Some(eth0)).unwrap();
        let ips: Vec<_> = read.iter().map(|address| address.ip.to_string()).collect();
        for ip in ["10.1.2.3/24", "10.9.0.1/31", "10.9.1.1/32", "fd00::5/64"] {
            assert!(ips.iter().any(|found| found == ip), "{ips:?}");
        }
        assert!(read.iter().all(|address| address.link == eth0));
        assert!(read[0].flags & 0x80 != 0, "IFA_F_PERMANENT");
        let lo = inner.addresses(Some(1)).unwrap();
        assert_eq!(lo, [], "lo is down");
        assert_eq!(inner.addresses(None).unwrap().len(), ips.len());

        let error = inner.address_add(&address("10.1.2.3/24")).unwrap_err();
        assert_eq!(error.to_string(), "addr-add 10.1.2.3/24: file exists");
        let error = inner.address_add(&address("fd00::5/64")).unwrap_err();
        assert_eq!(error.errno(), Errno::EEXIST as i32);

        for ip in ["10.1.2.3/24", "fd00::5/64"] {
            inner.address_del(&address(ip)).unwrap();
            let error = inner.address_del(&address(ip)).unwrap_err();
            assert_eq!(error.errno(), Errno::EADDRNOTAVAIL as i32, "{error}");
        }
        assert!(shown(&container, "10.1.2.3").is_null() && shown(&container, "fd00::5").is_null());
        let nowhere = Address { link: 4711, ..address("10.1.2.3/24") };
        assert_eq!(inner.address_add(&nowhere).unwrap_err().errno(), Errno::ENODEV as i32);
        assert_eq!(inner.address_del(&nowhere).unwrap_err().errno(), Errno::ENODEV as i32);
        assert_eq!(inner.addresses(Some(4711)).unwrap_err().errno(), Errno::ENODEV as i32);
    });
}

#[test]
fn flags_are_set_and_read() {
    isolated(|Sandbox { host, container }| {
        const IFA_F_NODAD: u32 = 0x02;
        let (mut outer, mut inner) = (host.connect().unwrap(), container.connect().unwrap());
        let netns = Some(container.as_fd().as_raw_fd());
        let peer = VethPeer { name: "eth0".to_owned(), netns, ..VethPeer::default() };
        let link = veth(&mut outer, &mut inner, peer);
        let address = Address { link, ip: "fd00::6/64".parse().unwrap(), flags: IFA_F_NODAD };
        inner.address_add(&address).unwrap();
        inner.address_add(&Address { ip: "10.1.2.3/24".parse().unwrap(), flags: 0, link }).unwrap();
        let found = inner.addresses(Some(link)).unwrap();
        let found = found.iter().find(|found| found.ip == address.ip).unwrap();
        assert_eq!(found.flags & 0xff, IFA_F_NODAD | 0x80);
        assert_eq!(shown(&container, "fd00::6")["nodad"], true);

        // What was read can be taken away and put back, as an undo does.
        let all = inner.addresses(None).unwrap();
        for address in &all {
            inner.address_del(address).unwrap();
        }
        assert_eq!(inner.addresses(None).unwrap(), []);
        for address in &all {
            inner.address_add(address).unwrap();
        }
        let ips = |found: &[Address]| found.iter().map(|one| one.ip).collect::<BTreeSet<_>>();
        assert_eq!(ips(&inner.addresses(None).unwrap()), ips(&all));
    });
}
