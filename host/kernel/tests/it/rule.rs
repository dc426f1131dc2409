//! Routing rules.

use nix::errno::Errno;
use serde_json::json;
use wasm_cni_kernel::{IpFamily, RoutingRule};

use crate::sandbox::{Sandbox, ip, isolated, sh, skip, try_sh};

fn rule(family: IpFamily, table: u32) -> RoutingRule {
    RoutingRule {
        family,
        priority: None,
        src: None,
        dst: None,
        iif: String::new(),
        oif: String::new(),
        mark: None,
        table,
    }
}

#[test]
fn rules_are_added_read_and_deleted() {
    isolated(|Sandbox { container: ns, .. }| {
        if let Err(reason) = try_sh(&ns, "ip rule show") {
            return skip("rules_are_added_read_and_deleted", &reason);
        }
        let mut socket = ns.connect().unwrap();
        let all = [
            RoutingRule {
                priority: Some(100),
                src: Some("10.1.0.2/32".parse().unwrap()),
                dst: Some("10.5.0.0/16".parse().unwrap()),
                ..rule(IpFamily::Inet, 100)
            },
            RoutingRule {
                priority: Some(200),
                iif: "eth0".to_owned(),
                mark: Some((0x10, 0xff)),
                ..rule(IpFamily::Inet, 1000)
            },
            RoutingRule {
                priority: Some(150),
                src: Some("fd00::2/128".parse().unwrap()),
                oif: "eth1".to_owned(),
                ..rule(IpFamily::Inet6, 7)
            },
        ];
        for rule in &all {
            socket.rule_add(rule).unwrap();
            assert_eq!(socket.rule_add(rule).unwrap_err().errno(), Errno::EEXIST as i32);
        }
        let shown = &ip(&ns, "rule show priority 100")[0];
        assert_eq!((&shown["src"], &shown["table"]), (&json!("10.1.0.2"), &json!("100")));
        assert_eq!((&shown["dst"], &shown["dstlen"]), (&json!("10.5.0.0"), &json!(16)));
        let shown = &ip(&ns, "rule show priority 200")[0];
        assert_eq!((&shown["iif"], &shown["table"]), (&json!("eth0"), &json!("1000")));
        assert_eq!((&shown["fwmark"], &shown["fwmask"]), (&json!("0x10"), &json!("0xff")));
        let shown = &ip(&ns, "-6 rule show priority 150")[0];
        assert_eq!((&shown["src"], &shown["oif"]), (&json!("fd00::2"), &json!("eth1")));

        let read = socket.rules(None).unwrap();
        let priorities: Vec<_> = read.iter().map(|rule| rule.priority.unwrap()).collect();
        assert_eq!(priorities, [0, 0, 100, 150, 200, 32766, 32766, 32767]);
        assert!(all.iter().all(|rule| read.contains(rule)), "{read:#?}");
        let v6 = socket.rules(Some(IpFamily::Inet6)).unwrap();
        assert!(v6.iter().all(|rule| rule.family == IpFamily::Inet6) && v6.contains(&all[2]));
        assert!(read.contains(&RoutingRule { priority: Some(0), ..rule(IpFamily::Inet, 255) }));

        for rule in &all {
            socket.rule_del(rule).unwrap();
            assert_eq!(socket.rule_del(rule).unwrap_err().errno(), Errno::ENOENT as i32);
        }
        assert_eq!(socket.rules(None).unwrap().len(), 5);
    });
}

#[test]
fn the_kernel_chooses_a_priority() {
    isolated(|Sandbox { container: ns, .. }| {
        let mut socket = ns.connect().unwrap();
        let new = RoutingRule { src: Some("10.1.0.0/24".parse().unwrap()), ..rule(IpFamily::Inet, 0) };
        socket.rule_add(&new).unwrap();
        let read = socket.rules(Some(IpFamily::Inet)).unwrap();
        let made = read.iter().find(|rule| rule.src == new.src).unwrap();
        assert_eq!((made.priority, made.table), (Some(32765), 254));
        // The same once more is another rule, as it gets another priority.
        socket.rule_add(&new).unwrap();
        let again = RoutingRule { priority: Some(32764), ..new.clone() };
        let error = socket.rule_add(&again).unwrap_err();
        assert_eq!(error.to_string(), "rule-add 32764 table 0: file exists");
        for left in [4, 3] {
            socket.rule_del(&new).unwrap();
            assert_eq!(socket.rules(Some(IpFamily::Inet)).unwrap().len(), left);
        }
        assert_eq!(socket.rule_del(&new).unwrap_err().to_string(), "rule-del table 0: no such file or directory");
    });
}

#[test]
fn rules_that_say_more_are_left_out() {
    isolated(|Sandbox { container: ns, .. }| {
        let mut socket = ns.connect().unwrap();
        let before = socket.rules(None).unwrap();
        for more in [
            "not from 10.1.0.0/24 table 100",
            "from 10.1.0.0/24 tos 0x10 table 100",
            "from 10.1.0.0/24 ipproto tcp table 100",
            "from 10.1.0.0/24 uidrange 0-0 table 100",
            "from 10.1.0.0/24 table 100 suppress_prefixlength 0",
            "from 10.1.0.0/24 blackhole",
            "from 10.1.0.0/24 goto 32766",
        ] {
            sh(&ns, &format!("ip rule add {more}"));
            assert_eq!(socket.rules(None).unwrap(), before, "{more}");
        }
    });
}

#[test]
fn contradictions_are_refused() {
    isolated(|Sandbox { container: ns, .. }| {
        let mut socket = ns.connect().unwrap();
        let before = socket.rules(None).unwrap();
        let mut wrong = |rule: RoutingRule, errno: Errno| {
            let error = socket.rule_add(&rule).unwrap_err();
            assert_eq!(error.errno(), errno as i32, "{error}");
        };
        wrong(RoutingRule { src: Some("fd00::/64".parse().unwrap()), ..rule(IpFamily::Inet, 7) }, Errno::EINVAL);
        wrong(RoutingRule { dst: Some("10.1.0.0/16".parse().unwrap()), ..rule(IpFamily::Inet6, 7) }, Errno::EINVAL);
        wrong(RoutingRule { iif: "sixteen-bytes-xx".to_owned(), ..rule(IpFamily::Inet, 7) }, Errno::ERANGE);
        wrong(RoutingRule { oif: "a\0b".to_owned(), ..rule(IpFamily::Inet, 7) }, Errno::EINVAL);
        assert_eq!(socket.rules(None).unwrap(), before);
    });
}
