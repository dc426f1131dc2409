//! What the trace says of values that a guest made up.

use super::*;
use crate::{
    bindings::{net, store},
    net::actions::Operations,
};

fn text(value: &dyn Describe) -> Value {
    value.describe(&mut Scribe::new(&ResourceTable::new(), false))
}

fn network(address: &str) -> types::IpNet {
    convert::wit_net(address.parse().unwrap())
}

#[test]
fn operations_are_named_as_the_kernel_and_iproute2_name_them() {
    let veth =
        net::Veth { peer_name: "eth0".into(), peer_ns: 1, peer_mac: Some(vec![2, 0, 0, 0, 0, 1]), peer_mtu: None };
    let attrs = vec![net::LinkAttr::Up(true), net::LinkAttr::Master(net::LinkRef::Name("br0".into()))];
    let link = net::LinkNew { name: "veth1".into(), kind: net::LinkKind::Veth(veth), attrs };
    let address = net::Address { link: net::LinkRef::Made(0), ip: network("10.1.0.2/24"), flags: 0 };
    let sysctl = net::Sysctl { key: "net/ipv4/ip_forward".into(), value: "1".into() };
    let op = |act, tolerate| net::Op { ns: 0, act, tolerate };
    let ops = [
        op(net::Action::LinkAdd(link), net::Tolerance::OkIfExists),
        op(net::Action::AddrAdd(address), net::Tolerance::Strict),
        op(net::Action::SysctlSet(sysctl), net::Tolerance::BestEffort),
    ];
    let described = text(&Operations(&[], &ops));
    let link = json!({ "name": "veth1", "kind": "veth", "up": true, "master": "br0",
        "peer": { "name": "eth0", "ns": 1, "mac": "02:00:00:00:00:01" } });
    assert_eq!(described[0], json!({ "ns": 0, "link-add": link, "tolerate": "ok-if-exists" }));
    assert_eq!(described[1], json!({ "ns": 0, "addr-add": { "link": { "made": 0 }, "ip": "10.1.0.2/24" } }));
    let sysctl = json!({ "key": "net/ipv4/ip_forward", "value": "1" });
    assert_eq!(described[2], json!({ "ns": 0, "sysctl-set": sysctl, "tolerate": "best-effort" }));
}

#[test]
fn errors_have_the_code_of_the_wit_and_their_place() {
    let cause = types::Error {
        code: types::Code::NotFound,
        errno: 19,
        what: "link-del 3".into(),
        msg: "no such device".into(),
    };
    let described = text(&net::CommitError { at: 2, cause });
    let expected = json!({ "at": 2, "code": "not-found", "errno": 19, "what": "link-del 3", "msg": "no such device" });
    assert_eq!(described, expected);
}

#[test]
fn routes_and_addresses_are_text_and_leave_out_what_there_is_not() {
    let route = net::Route {
        link: net::LinkRef::Index(7),
        dst: network("::/0"),
        gateway: Some(convert::wit_ip("fd00::1".parse().unwrap())),
        src: None,
        table: 0,
        metric: 0,
        scope: 0,
        protocol: 3,
    };
    assert_eq!(text(&route), json!({ "link": 7, "dst": "::/0", "gateway": "fd00::1", "protocol": 3 }));
    // No such prefix; it is shown as it was said.
    let nonsense = types::IpNet { prefix: 200, ..network("10.0.0.1/8") };
    assert_eq!(text(&nonsense), json!("10.0.0.1/200"));
}

#[test]
fn entries_are_text_where_they_can_be() {
    let entry = |value: &[u8]| store::Entry { key: "10.1.0.2".into(), value: value.into() };
    assert_eq!(text(&store::Change::Create(entry(b"c1\r\neth0")))["create"]["value"], "c1\r\neth0");
    assert_eq!(text(&store::Change::Put(entry(b"\xff\xfe")))["put"]["value"], "2 bytes");
    assert_eq!(text(&Hidden(vec![0; 8])), json!("8 bytes"));
}

#[test]
fn long_texts_and_lists_are_cut_and_no_line_is_huge() {
    let long = "x".repeat(8 << 20);
    assert_eq!(cut(&long), format!("{}… (8388608 bytes)", "x".repeat(256)));
    assert_eq!(cut(&"ä".repeat(200)).chars().filter(|c| *c == 'ä').count(), 128);

    let many: Vec<String> = (0..1000).map(|i| i.to_string()).collect();
    let described = text(&many);
    assert_eq!(described.as_array().unwrap().len(), MAX_ITEMS + 1);
    assert_eq!(described[MAX_ITEMS], "… (936 more)");

    let nested: Vec<Vec<String>> = vec![vec!["\0".repeat(1 << 10); 100]; 100];
    let length = text(&nested).to_string().len();
    assert!(length < 16 << 10, "{length} bytes");
}

#[test]
fn what_terminals_obey_is_escaped() {
    let line = json!(cut("a\nb\x1b[2J\u{9b}31m\x7f")).to_string();
    assert_eq!(line, r#""a\nb\u001b[2J\\u{9b}31m\\u{7f}""#);
}
