//! Announcements, by what they change in another's neighbour cache.

use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use serde_json::Value;
use wasm_cni_kernel::{LinkRef, Netns, VethPeer};

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
        let addresses = ["10.1.0.2", "10.1.0.3", "fd00::2", "fd00::3"];
        for address in addresses {
            sh(&host, &format!("ip neigh replace {address} lladdr 02:00:00:00:00:99 nud stale dev host"));
        }

        // The namespace is not the caller's, and the last address is not ours.
        let ours: Vec<IpAddr> = ["10.1.0.2", "10.1.0.3", "fd00::2"].map(|ip| ip.parse().unwrap()).into();
        container.announce(eth0, &MAC, &ours).unwrap();
        for address in &addresses[..3] {
            let corrected = || neighbour(&host, address)["lladdr"] == "02:00:00:00:00:07";
            assert!(eventually(corrected), "{}", neighbour(&host, address));
        }
        assert_eq!(neighbour(&host, "fd00::3")["lladdr"], "02:00:00:00:00:99");
        container.announce(eth0, &MAC, &[]).unwrap();
    });
}

#[test]
fn what_cannot_be_announced_on_is_refused() {
    isolated(|Sandbox { host, container }| {
        let (mut outer, mut inner) = (host.connect().unwrap(), container.connect().unwrap());
        let netns = Some(container.as_fd().as_raw_fd());
        let eth0 = veth(&mut outer, &mut inner, VethPeer { name: "eth0".to_owned(), netns, ..VethPeer::default() });
        let address = ["10.1.0.2".parse().unwrap()];
        let refused = |link, mac: &[u8]| container.announce(link, mac, &address).unwrap_err();

        let error = refused(4711, &MAC);
        assert_eq!(error.errno(), Errno::ENODEV as i32);
        assert_eq!(error.to_string(), "announce index 4711: no such device");
        assert_eq!(refused(eth0, &MAC[..5]).errno(), Errno::EINVAL as i32);
        let lo = inner.link_get(LinkRef::Name("lo")).unwrap().index;
        assert_eq!(refused(lo, &MAC).errno(), Errno::EINVAL as i32);
        sh(&container, "ip link set eth0 down");
        assert_eq!(refused(eth0, &MAC).errno(), Errno::ENETDOWN as i32);
    });
}
