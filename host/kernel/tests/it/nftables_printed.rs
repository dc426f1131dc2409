//! nftables as nft prints it: what we made beside what nft made.

use std::fmt::Write as _;

use nix::errno::Errno;
use serde_json::Value;
use wasm_cni_kernel::{Batch, Chain, ChainKind, Family, Hook, ListedRule, Netns, Policy, Rule, Statement};

use crate::nftables::{base, chain, from, have, nft, rule, to};
use crate::sandbox::{Sandbox, isolated, sh};

const MASQUERADE: &str = "cni_plugins_masquerade";

/// `nft -j list ruleset`, without what differs from one ruleset to the next.
fn shown(netns: &Netns) -> Value {
    fn strip(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                fields.remove("handle");
                fields.values_mut().for_each(strip);
            }
            Value::Array(values) => values.iter_mut().for_each(strip),
            _ => {}
        }
    }
    let mut ruleset = serde_json::from_str(&sh(netns, "nft -j list ruleset")).unwrap();
    strip(&mut ruleset);
    ruleset
}

/// What was made with nft and with us looks the same, as JSON and as text.
fn assert_same(ours: &Netns, theirs: &Netns) {
    let (ours_shown, theirs_shown) = (shown(ours), shown(theirs));
    assert_eq!(ours_shown, theirs_shown, "{}", sh(ours, "nft list ruleset"));
    assert_eq!(sh(ours, "nft list ruleset"), sh(theirs, "nft list ruleset"));
}

#[test]
fn masquerading_looks_as_if_nft_had_set_it_up() {
    const TABLE_COMMENT: &str = "Masquerading for plugins from github.com/containernetworking/plugins";
    const CHAIN_COMMENT: &str = "Masquerade traffic from certain IPs to any (non-multicast) IP outside their subnet";
    isolated(|Sandbox { host, container }| {
        if !have("masquerading_looks_as_if_nft_had_set_it_up", &["nft"]) {
            return;
        }
        let comment = "9937ea8cc9b806ce-b2e2d81a686723be, net: n1, if: eth0, id: c1";
        let addresses = [
            ("ip", "10.1.0.2", "10.1.0.0/24"),
            ("ip", "10.2.0.2", "10.2.0.0/20"),
            ("ip", "10.3.0.2", "10.3.0.0/30"),
            ("ip", "10.4.0.2", "10.4.0.2/32"),
            ("ip", "10.5.0.2", "10.0.0.0/8"),
            ("ip", "10.6.0.2", "0.0.0.0/1"),
            ("ip6", "fd00::2", "fd00::/64"),
            ("ip6", "fd00:0:0:8::2", "fd00:0:0:8::/61"),
            ("ip6", "fd01::2", "fd01::2/128"),
            ("ip6", "fd02::2", "::/0"),
        ];
        let mut rules = String::new();
        let mut batch = Batch::new(Family::Inet, MASQUERADE);
        batch
            .add_table(Some(TABLE_COMMENT))
            .add_chain(&Chain { comment: Some(CHAIN_COMMENT.to_owned()), ..chain("masq_checks") })
            .add_chain(&base("postrouting", ChainKind::Nat, Hook::Postrouting, 100, Some(Policy::Accept)))
            .flush_chain("postrouting")
            .add_rule(&rule("postrouting", [to("224.0.0.0/4", false), Statement::Return], ""))
            .add_rule(&rule("postrouting", [to("ff00::/8", false), Statement::Return], ""))
            .add_rule(&rule("postrouting", [Statement::Goto("masq_checks".to_owned())], ""));
        for (family, address, net) in addresses {
            let whole = if family == "ip" { 32 } else { 128 };
            let statements = [from(&format!("{address}/{whole}")), to(net, true), Statement::Masquerade];
            batch.add_rule(&rule("masq_checks", statements, comment));
            writeln!(rules, "{family} saddr {address} {family} daddr != {net} masquerade comment \"{comment}\"")
                .unwrap();
        }
        let mut nftables = container.nftables().unwrap();
        nftables.apply(&batch).unwrap();
        nft(
            &host,
            &format!(
                "table inet {MASQUERADE} {{
                   comment \"{TABLE_COMMENT}\"
                   chain masq_checks {{
                     comment \"{CHAIN_COMMENT}\"
                     {rules}
                   }}
                   chain postrouting {{
                     type nat hook postrouting priority 100; policy accept;
                     ip daddr 224.0.0.0/4 return
                     ip6 daddr ff00::/8 return
                     goto masq_checks
                   }}
                 }}"
            ),
        );
        assert_same(&container, &host);

        // What is there already is no obstacle, in whoever's batch it is.
        batch.flush_chain("masq_checks");
        nftables.apply(&batch).unwrap();
        host.nftables().unwrap().apply(&batch).unwrap();
        assert_same(&container, &host);
    });
}

#[test]
fn spoof_checks_look_as_if_nft_had_set_them_up() {
    isolated(|Sandbox { host, container }| {
        if !have("spoof_checks_look_as_if_nft_had_set_them_up", &["nft"]) {
            return;
        }
        let id = "0123456789abcdef".repeat(4);
        let (interface, mac) = (format!("cni-br-iface-{id}-eth0"), format!("cni-br-iface-{id}-eth0-mac"));
        let comment = format!("macspoofchk-{id}-eth0");
        let mut batch = Batch::new(Family::Bridge, "nat");
        batch
            .add_table(None)
            .add_chain(&base("PREROUTING", ChainKind::Filter, Hook::Prerouting, -300, None))
            .add_chain(&chain(&interface))
            .add_chain(&chain(&mac))
            .add_rule(&rule(
                "PREROUTING",
                [Statement::InputInterface("veth1a2b3c4d".to_owned()), Statement::Jump(interface.clone())],
                &comment,
            ))
            .add_rule(&rule(&interface, [Statement::Jump(mac.clone())], &comment))
            .add_rule(&rule(
                &mac,
                [Statement::EtherSource([0x02, 0x11, 0x22, 0x33, 0x44, 0x55]), Statement::Return],
                &comment,
            ))
            .add_rule(&rule(&mac, [Statement::Drop], &comment));
        let mut nftables = container.nftables().unwrap();
        nftables.apply(&batch).unwrap();
        nft(
            &host,
            &format!(
                "add table bridge nat
                 add chain bridge nat PREROUTING {{ type filter hook prerouting priority -300; policy accept; }}
                 add chain bridge nat {interface}
                 add chain bridge nat {mac}
                 add rule bridge nat PREROUTING iifname \"veth1a2b3c4d\" jump {interface} comment \"{comment}\"
                 add rule bridge nat {interface} jump {mac} comment \"{comment}\"
                 add rule bridge nat {mac} ether saddr 02:11:22:33:44:55 return comment \"{comment}\"
                 add rule bridge nat {mac} drop comment \"{comment}\""
            ),
        );
        assert_same(&container, &host);

        for netns in [&host, &container] {
            let listed = netns.nftables().unwrap().rules(Family::Bridge, "nat", "PREROUTING").unwrap();
            let [ListedRule { handle, comment: found, input_interface, jumps_to }] = &listed[..] else {
                panic!("{listed:?}")
            };
            assert!(*handle > 0);
            assert_eq!(found.as_deref(), Some(comment.as_str()));
            assert_eq!(input_interface.as_deref(), Some("veth1a2b3c4d"));
            assert_eq!(jumps_to.as_deref(), Some(interface.as_str()));
        }
        let mut chains = nftables.chains(Family::Bridge, "nat").unwrap();
        chains.sort();
        assert_eq!(chains, ["PREROUTING".to_owned(), interface.clone(), mac.clone()]);

        // A chain that is jumped to stays; without the rule it goes.
        let mut gone = Batch::new(Family::Bridge, "nat");
        gone.delete_chain(&mac);
        assert_eq!(nftables.apply(&gone).unwrap_err().errno(), Errno::EBUSY as i32);
        let mut gone = Batch::new(Family::Bridge, "nat");
        gone.flush_chain("PREROUTING").flush_chain(&interface).delete_chain(&interface).delete_chain(&mac);
        nftables.apply(&gone).unwrap();
        assert_eq!(nftables.chains(Family::Bridge, "nat").unwrap(), ["PREROUTING"]);
    });
}

#[test]
fn every_family_says_what_it_compares_as_nft_does() {
    isolated(|Sandbox { host, container }| {
        if !have("every_family_says_what_it_compares_as_nft_does", &["nft"]) {
            return;
        }
        let mut nftables = container.nftables().unwrap();
        let lo = || Statement::InputInterface("lo".to_owned());
        let ether = || Statement::EtherSource([2, 0, 0, 0, 0, 1]);
        let (name, comment) = ("n".repeat(255), "c".repeat(128));
        let mut script = String::new();
        for (family, called) in
            [(Family::Inet, "inet"), (Family::Ip, "ip"), (Family::Ip6, "ip6"), (Family::Bridge, "bridge")]
        {
            let mut batch = Batch::new(family, &*name);
            let input = base("input", ChainKind::Filter, Hook::Input, -5, Some(Policy::Drop));
            batch.add_table(Some(&comment)).add_chain(&chain(&name)).add_chain(&input);
            let commented = Rule { comment: Some(comment.clone()), ..rule("input", [Statement::Accept], "") };
            batch.add_rule(&commented).add_rule(&rule("input", [Statement::Jump(name.clone())], ""));
            write!(
                script,
                "add table {called} {name} {{ comment \"{comment}\"; }}
                 add chain {called} {name} {name}
                 add chain {called} {name} input {{ type filter hook input priority -5; policy drop; }}
                 add rule {called} {name} input accept comment \"{comment}\"
                 add rule {called} {name} input jump {name}\n"
            )
            .unwrap();
            if family != Family::Ip6 {
                let statements = [from("10.0.0.0/9"), to("10.1.0.1/32", true), ether(), lo(), Statement::Accept];
                batch.add_rule(&rule("input", statements, ""));
                writeln!(
                    script,
                    "add rule {called} {name} input ip saddr 10.0.0.0/9 ip daddr != 10.1.0.1 \
                     ether saddr 02:00:00:00:00:01 iifname \"lo\" accept"
                )
                .unwrap();
            }
            if family != Family::Ip {
                batch.add_rule(&rule("input", [lo(), from("fd00::/16"), to("::/0", false), Statement::Return], ""));
                let statements = "iifname \"lo\" ip6 saddr fd00::/16 ip6 daddr ::/0 return";
                writeln!(script, "add rule {called} {name} input {statements}").unwrap();
            }
            nftables.apply(&batch).unwrap();
        }
        nft(&host, &script);
        assert_same(&container, &host);
        assert_eq!(nftables.rules(Family::Ip, &name, "input").unwrap()[0].comment, Some(comment));
    });
}
