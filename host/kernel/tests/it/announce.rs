//! Announcements, by what they change in another's neighbour cache.

use std::os::fd::{AsFd, AsRawFd};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use serde_json::Value;
use wasm_cni_kernel::{Link, LinkRef, Netns, VethPeer};

use crate::sandbox::{Sandbox, ip, isolated, sh, veth};

const MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 7];

fn neighbour(netns: &Netns, address: &str) -> Value {
    ip(netns, &format!("neigh show {address} dev host")).first().cloned().unwrap_or_default()
}

/// Frames arrive in their own time.
fn eventually(holds: impl Fn() -> bool) -> bool {
    let deadline = Instant::now() + Duration::from_secs(5);
    while Instant::now() < deadline {
        if holds() {
            return true;
        }
        thread::sleep(Duration::from_millis(20));
    }
    false
}

#[test]
fn neighbours_correct_what_they_had_cached() {
    isolated(|Sandbox { host, container }| {
        let (mut outer, mut inner) = (host.connect().unwrap(), container.connect().unwrap());
        let netns = Some(container.as_fd().as_raw_fd());
        let peer = VethPeer { name: "eth0".to_owned(), netns, mac: Some(MAC.to_vec()), ..VethPeer::default() };
        let eth0 = veth(&mut outer, &mut inner, peer);
        sh(&host, "ip address add 10.1.0.1/24 dev host");
        sh(&host, "ip address add fd00::1/64 dev host nodad");
        for (address, prefix) in [("10.1.0.2", "24"), ("10.1.0.3", "24"), ("fd00::2", "64"), ("fd00::3", "64")] {
            sh(&container, &format!("ip address add {address}/{prefix} dev eth0 {}", nodad(address)));
            sh(&host, &format!("ip neigh replace {address} lladdr 02:00:00:00:00:99 nud stale dev host"));
        }
        let link = inner.link_get(LinkRef::Index(eth0)).unwrap();
        let corrected = |address: &str| neighbour(&host, address)["lladdr"] == "02:00:00:00:00:07";

        // The namespace is not the caller's.
        container.announce(&mut inner, &link, false, &["fd00::2".parse().unwrap()]).unwrap();
        assert!(eventually(|| corrected("fd00::2")), "{}", neighbour(&host, "fd00::2"));
        assert!(!["10.1.0.2", "10.1.0.3", "fd00::3"].into_iter().any(corrected));
        container.announce(&mut inner, &link, true, &[]).unwrap();
        for address in ["10.1.0.2", "10.1.0.3"] {
            assert!(eventually(|| corrected(address)), "{}", neighbour(&host, address));
        }
        assert!(!corrected("fd00::3"));
        // It is as it was.
        let notify = container.sysctls_get(&["net/ipv4/conf/eth0/arp_notify"]).unwrap();
        assert_eq!(notify, [Some("0".to_owned())]);
    });
}

fn nodad(address: &str) -> &str {
    if address.contains(':') { "nodad" } else { "" }
}

#[test]
fn what_cannot_be_announced_is_refused() {
    isolated(|Sandbox { host, container }| {
        let (mut outer, mut inner) = (host.connect().unwrap(), container.connect().unwrap());
        let netns = Some(container.as_fd().as_raw_fd());
        let eth0 = veth(&mut outer, &mut inner, VethPeer { name: "eth0".to_owned(), netns, ..VethPeer::default() });
        sh(&container, "ip address add fd00::2/64 dev eth0 nodad");
        let link = inner.link_get(LinkRef::Index(eth0)).unwrap();
        let error = container.announce(&mut inner, &link, false, &["fd00::9".parse().unwrap()]).unwrap_err();
        assert_eq!(error.errno(), Errno::EADDRNOTAVAIL as i32);
        assert_eq!(error.to_string(), format!("announce index {eth0}: cannot assign requested address"));
        let odd = Link { mac: vec![2, 0, 0], ..link };
        assert_eq!(container.announce(&mut inner, &odd, true, &[]).unwrap_err().errno(), Errno::EINVAL as i32);
    });
}
