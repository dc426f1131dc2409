//! Neighbours.

use nix::errno::Errno;
use serde_json::{Value, json};
use wasm_cni_kernel::{Neighbour, Netns};

use crate::sandbox::{Sandbox, eth0, ip, isolated};

const NUD_PERMANENT: u16 = 0x80;
const NUD_STALE: u16 = 0x04;
const NTF_PROXY: u8 = 0x08;

fn neighbour(link: u32, ip: &str, mac: u8) -> Neighbour {
    Neighbour { link, ip: ip.parse().unwrap(), mac: vec![2, 0, 0, 0, 0, mac], state: NUD_PERMANENT, flags: 0 }
}

fn shown(netns: &Netns, question: &str) -> Value {
    ip(netns, question).first().cloned().unwrap_or_default()
}

#[test]
fn neighbours_are_added_replaced_and_deleted() {
    isolated(|Sandbox { host, container }| {
        let (mut inner, link) = eth0(&host, &container);
        for (address, question) in [("10.1.0.1", "neigh show 10.1.0.1"), ("fd00::1", "neigh show fd00::1")] {
            inner.neighbour_add(&neighbour(link, address, 7)).unwrap();
            let found = shown(&container, question);
            assert_eq!((&found["lladdr"], &found["dev"]), (&json!("02:00:00:00:00:07"), &json!("eth0")));
            assert_eq!(found["state"], json!(["PERMANENT"]));

            let other = Neighbour { state: NUD_STALE, ..neighbour(link, address, 9) };
            inner.neighbour_add(&other).unwrap();
            let found = shown(&container, question);
            assert_eq!((&found["lladdr"], &found["state"]), (&json!("02:00:00:00:00:09"), &json!(["STALE"])));
            assert!(inner.neighbours(Some(link)).unwrap().contains(&other));
            assert!(inner.neighbours(None).unwrap().contains(&other));
            assert!(!inner.neighbours(Some(1)).unwrap().contains(&other));

            inner.neighbour_del(&other).unwrap();
            assert_eq!(inner.neighbour_del(&other).unwrap_err().errno(), Errno::ENOENT as i32);
            assert_eq!(shown(&container, question), Value::Null);
        }
        assert_eq!(inner.neighbours(Some(4711)).unwrap(), []);
    });
}

#[test]
fn a_link_answers_for_others_addresses() {
    isolated(|Sandbox { host, container }| {
        let (mut inner, link) = eth0(&host, &container);
        for address in ["10.1.0.77", "fd00::77"] {
            let proxy = Neighbour { mac: Vec::new(), state: 0, flags: NTF_PROXY, ..neighbour(link, address, 0) };
            inner.neighbour_add(&proxy).unwrap();
            assert_eq!(shown(&container, &format!("neigh show proxy {address}"))["dst"], address);
            assert!(inner.neighbours(Some(link)).unwrap().contains(&proxy));
            let plain = Neighbour { flags: 0, ..proxy.clone() };
            assert_eq!(inner.neighbour_del(&plain).unwrap_err().errno(), Errno::ENOENT as i32);
            inner.neighbour_del(&proxy).unwrap();
            assert_eq!(inner.neighbour_del(&proxy).unwrap_err().errno(), Errno::ENOENT as i32);
        }
    });
}

#[test]
fn invalid_neighbours_are_refused() {
    isolated(|Sandbox { host, container }| {
        let (mut inner, link) = eth0(&host, &container);
        let nowhere = neighbour(4711, "10.1.0.1", 7);
        let error = inner.neighbour_add(&nowhere).unwrap_err();
        assert_eq!(error.to_string(), "neighbour-add 10.1.0.1: no such device");
        assert_eq!(inner.neighbour_del(&nowhere).unwrap_err().errno(), Errno::ENODEV as i32);
        let short = Neighbour { mac: vec![2, 0, 0], ..neighbour(link, "10.1.0.1", 7) };
        assert_eq!(inner.neighbour_add(&short).unwrap_err().errno(), Errno::EINVAL as i32);
        let none = Neighbour { mac: Vec::new(), ..short };
        assert_eq!(inner.neighbour_add(&none).unwrap_err().errno(), Errno::EINVAL as i32);
        assert_eq!(shown(&container, "neigh show 10.1.0.1"), Value::Null);
    });
}
