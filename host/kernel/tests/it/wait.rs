//! Waiting.

use std::os::fd::{AsFd, AsRawFd};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use wasm_cni_kernel::{Address, Condition, LinkAttrs, LinkRef, VethPeer};

use crate::sandbox::{Sandbox, ip, isolated, sh, veth};

fn soon(millis: u64) -> Instant {
    Instant::now() + Duration::from_millis(millis)
}

fn peer_in(container: &wasm_cni_kernel::Netns) -> VethPeer {
    let netns = Some(container.as_fd().as_raw_fd());
    VethPeer { name: "eth0".to_owned(), netns, ..VethPeer::default() }
}

#[test]
fn a_link_is_up_when_its_peer_is() {
    isolated(|Sandbox { host, container }| {
        let (mut outer, mut inner) = (host.connect().unwrap(), container.connect().unwrap());
        let eth0 = veth(&mut outer, &mut inner, peer_in(&container));
        assert!(container.wait(eth0, Condition::OperUp, soon(5000)).unwrap());
        assert_eq!(ip(&container, "link show eth0")[0]["operstate"], "UP");
        // A deadline in the past: the state is looked at all the same.
        assert!(container.wait(eth0, Condition::OperUp, Instant::now()).unwrap());

        let down = LinkAttrs { up: Some(false), ..LinkAttrs::default() };
        let other = outer.link_get(LinkRef::Name("host")).unwrap().index;
        outer.link_set(other, &down).unwrap();
        let begin = Instant::now();
        assert!(!container.wait(eth0, Condition::OperUp, soon(200)).unwrap());
        assert!(begin.elapsed() >= Duration::from_millis(200));

        thread::scope(|scope| {
            let begin = Instant::now();
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(100));
                sh(&host, "ip link set host up");
            });
            assert!(container.wait(eth0, Condition::OperUp, soon(5000)).unwrap());
            let took = begin.elapsed();
            assert!(took >= Duration::from_millis(100) && took < Duration::from_secs(3), "{took:?}");
        });
    });
}

#[test]
fn a_link_that_goes_ends_the_wait() {
    isolated(|Sandbox { host, container }| {
        let (mut outer, mut inner) = (host.connect().unwrap(), container.connect().unwrap());
        let eth0 = veth(&mut outer, &mut inner, peer_in(&container));
        sh(&host, "ip link set host down");
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(100));
                sh(&host, "ip link delete host");
            });
            let error = container.wait(eth0, Condition::OperUp, soon(5000)).unwrap_err();
            assert_eq!(error.errno(), Errno::ENODEV as i32, "{error}");
        });
        for until in [Condition::OperUp, Condition::AddressesSettled] {
            let error = container.wait(4711, until, soon(0)).unwrap_err();
            assert_eq!(error.errno(), Errno::ENODEV as i32, "{error}");
        }
    });
}

#[test]
fn addresses_settle_when_they_are_known_to_be_unique() {
    isolated(|Sandbox { host, container }| {
        let (mut outer, mut inner) = (host.connect().unwrap(), container.connect().unwrap());
        let link = veth(&mut outer, &mut inner, peer_in(&container));
        inner.address_add(&Address { link, ip: "fd00::2/64".parse().unwrap(), flags: 0 }).unwrap();
        assert!(!container.wait(link, Condition::AddressesSettled, soon(0)).unwrap());
        let begin = Instant::now();
        assert!(container.wait(link, Condition::AddressesSettled, soon(8000)).unwrap());
        assert!(begin.elapsed() < Duration::from_secs(7));
        let shown = sh(&container, "ip -6 address show dev eth0");
        assert!(shown.contains("fd00::2/64") && !shown.contains("tentative"), "{shown}");
    });
}

#[test]
fn an_address_that_another_has_is_settled_too() {
    isolated(|Sandbox { host, container }| {
        let (mut outer, mut inner) = (host.connect().unwrap(), container.connect().unwrap());
        let link = veth(&mut outer, &mut inner, peer_in(&container));
        sh(&host, "ip address add fd00::2/64 dev host nodad");
        inner.address_add(&Address { link, ip: "fd00::2/64".parse().unwrap(), flags: 0 }).unwrap();
        assert!(container.wait(link, Condition::AddressesSettled, soon(8000)).unwrap());
        let shown = sh(&container, "ip -6 address show dev eth0");
        assert!(shown.contains("dadfailed"), "{shown}");
    });
}

#[test]
fn waiting_sleeps() {
    isolated(|Sandbox { host, container }| {
        let (mut outer, mut inner) = (host.connect().unwrap(), container.connect().unwrap());
        let eth0 = veth(&mut outer, &mut inner, peer_in(&container));
        sh(&host, "ip link set host down");
        let used = || std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
        let nanos = |text: String| text.split(' ').next().unwrap().parse::<u64>().unwrap();
        let before = nanos(used());
        assert!(!container.wait(eth0, Condition::OperUp, soon(1000)).unwrap());
        let spent = Duration::from_nanos(nanos(used()) - before);
        assert!(spent < Duration::from_millis(50), "{spent:?} of processor time");
    });
}
