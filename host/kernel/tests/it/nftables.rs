//! nftables: transactions, and what is found of what they and others made.

use std::fs;
use std::process::Command;

use nix::errno::Errno;
use wasm_cni_kernel::{
    BaseChain, Batch, Chain, ChainKind, Family, Hook, IpMatch, ListedRule, Netns, Nftables, Policy, Rule, Statement,
};

use crate::sandbox::{Sandbox, isolated, sh, skip};

/// Whether a test's programs are there; says so if not.
pub(crate) fn have(test: &str, programs: &[&str]) -> bool {
    let missing = programs.iter().find(|program| Command::new(program).arg("--version").output().is_err());
    if let Some(program) = missing {
        skip(test, &format!("no `{program}` in the path"));
    }
    missing.is_none()
}

/// `nft -f` of a script.
pub(crate) fn nft(netns: &Netns, script: &str) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("script");
    fs::write(&path, script).unwrap();
    sh(netns, &format!("nft -f {}", path.display()));
}

pub(crate) fn base(name: &str, kind: ChainKind, hook: Hook, priority: i32, policy: Option<Policy>) -> Chain {
    Chain { name: name.to_owned(), base: Some(BaseChain { kind, hook, priority, policy }), comment: None }
}

pub(crate) fn chain(name: &str) -> Chain {
    Chain { name: name.to_owned(), base: None, comment: None }
}

pub(crate) fn rule(chain: &str, statements: impl Into<Vec<Statement>>, comment: &str) -> Rule {
    let comment = Some(comment.to_owned()).filter(|comment| !comment.is_empty());
    Rule { chain: chain.to_owned(), statements: statements.into(), comment }
}

pub(crate) fn from(net: &str) -> Statement {
    Statement::Source(IpMatch { net: net.parse().unwrap(), negated: false })
}

pub(crate) fn to(net: &str, negated: bool) -> Statement {
    Statement::Destination(IpMatch { net: net.parse().unwrap(), negated })
}

#[test]
fn rules_are_deleted_by_what_a_listing_says() {
    isolated(|Sandbox { container, .. }| {
        let mut nftables = container.nftables().unwrap();
        let mut batch = Batch::new(Family::Ip, "t");
        batch.add_table(None).add_chain(&chain("c")).add_chain(&chain("other"));
        for comment in ["one, a", "two, a", "one, b", ""] {
            batch.add_rule(&rule("c", [from("10.0.0.1/32"), Statement::Drop], comment));
        }
        batch.add_rule(&rule("other", [Statement::Drop], "one, c"));
        nftables.apply(&batch).unwrap();

        let comments = |nftables: &mut Nftables| -> Vec<_> {
            let rules = nftables.rules(Family::Ip, "t", "c").unwrap();
            rules.into_iter().map(|rule| rule.comment.unwrap_or_default()).collect()
        };
        assert_eq!(comments(&mut nftables), ["one, a", "two, a", "one, b", ""]);
        let mut batch = Batch::new(Family::Ip, "t");
        let rules = nftables.rules(Family::Ip, "t", "c").unwrap();
        for rule in rules.iter().filter(|rule| rule.comment.as_ref().is_some_and(|text| text.starts_with("one, "))) {
            batch.delete_rule("c", rule.handle);
        }
        nftables.apply(&batch).unwrap();
        assert_eq!(comments(&mut nftables), ["two, a", ""]);

        // Gone already, and then nothing of the batch is done.
        batch.flush_chain("c");
        let error = nftables.apply(&batch).unwrap_err();
        assert_eq!(error.to_string(), "nft delete-rule t c: no such file or directory");
        assert_eq!(error.errno(), Errno::ENOENT as i32);
        assert_eq!(comments(&mut nftables), ["two, a", ""]);
        assert_eq!(nftables.rules(Family::Ip, "t", "other").unwrap().len(), 1);
    });
}

#[test]
fn what_is_not_there_is_empty() {
    isolated(|Sandbox { host, container }| {
        let mut nftables = container.nftables().unwrap();
        let mut batch = Batch::new(Family::Ip, "t");
        nftables.apply(&batch).unwrap();
        batch.add_table(None).add_chain(&chain("c"));
        nftables.apply(&batch).unwrap();
        for (netns, family, table, chain) in [
            (&host, Family::Ip, "t", "c"),
            (&container, Family::Inet, "t", "c"),
            (&container, Family::Ip, "u", "c"),
            (&container, Family::Ip, "t", "d"),
        ] {
            let mut nftables = netns.nftables().unwrap();
            assert_eq!(nftables.rules(family, table, chain).unwrap(), []);
            assert!(!nftables.has_chain(family, table, chain).unwrap());
        }
        assert_eq!(nftables.chains(Family::Ip, "u").unwrap(), [""; 0]);
        assert_eq!(nftables.chains(Family::Inet, "t").unwrap(), [""; 0]);
        assert_eq!(nftables.chains(Family::Ip, "t").unwrap(), ["c"]);
        assert!(!nftables.has_table(Family::Ip, "u").unwrap());
        assert!(!nftables.has_table(Family::Ip6, "t").unwrap());
        assert!(nftables.has_table(Family::Ip, "t").unwrap());
        assert!(nftables.has_chain(Family::Ip, "t", "c").unwrap());
        assert_eq!(nftables.has_table(Family::Ip, "").unwrap_err().errno(), Errno::EINVAL as i32);
        let error = nftables.rules(Family::Ip, "t", "a\0b").unwrap_err();
        assert_eq!(error.errno(), Errno::EINVAL as i32);

        let mut batch = Batch::new(Family::Ip, "t");
        nftables.apply(batch.delete_table()).unwrap();
        assert!(!nftables.has_table(Family::Ip, "t").unwrap());
        let error = nftables.apply(&batch).unwrap_err();
        assert_eq!(error.to_string(), "nft delete-table t: no such file or directory");
    });
}

#[test]
fn a_batch_with_one_bad_message_leaves_nothing() {
    isolated(|Sandbox { container, .. }| {
        let mut nftables = container.nftables().unwrap();
        let mut batch = Batch::new(Family::Inet, "t");
        batch
            .add_table(None)
            .add_chain(&chain("c"))
            .add_rule(&rule("c", [Statement::Jump("nowhere".to_owned())], ""))
            .add_rule(&rule("d", [Statement::Drop], ""))
            .add_chain(&chain("e"));
        let error = nftables.apply(&batch).unwrap_err();
        assert_eq!(error.to_string(), "nft add-rule t c: no such file or directory");
        assert!(!nftables.has_table(Family::Inet, "t").unwrap());

        // Refused as a whole: chains that jump in a circle, and a bridge's NAT.
        let mut batch = Batch::new(Family::Inet, "t");
        batch.add_table(None).add_chain(&chain("a")).add_chain(&chain("b"));
        batch.add_chain(&base("input", ChainKind::Filter, Hook::Input, 0, None));
        for (here, there) in [("input", "a"), ("a", "b"), ("b", "a")] {
            batch.add_rule(&rule(here, [Statement::Jump(there.to_owned())], ""));
        }
        let error = nftables.apply(&batch).unwrap_err();
        assert!([Errno::ELOOP as i32, Errno::EMLINK as i32].contains(&error.errno()), "{error}");
        let mut batch = Batch::new(Family::Bridge, "t");
        batch.add_table(None).add_chain(&base("c", ChainKind::Nat, Hook::Prerouting, 0, None));
        assert!(nftables.apply(&batch).unwrap_err().to_string().starts_with("nft add-chain t c: "));
        for family in [Family::Inet, Family::Bridge] {
            assert!(!nftables.has_table(family, "t").unwrap());
        }
    });
}

#[test]
fn two_thousand_rules_are_one_batch() {
    isolated(|Sandbox { container, .. }| {
        let mut nftables = container.nftables().unwrap();
        let mut batch = Batch::new(Family::Inet, "t");
        batch.add_table(None).add_chain(&chain("c"));
        for index in 0..2000 {
            // Short: without privilege the send buffer has its limit.
            batch.add_rule(&rule("c", [Statement::Drop], &format!("number {index}")));
        }
        nftables.apply(&batch).unwrap();
        let rules = nftables.rules(Family::Inet, "t", "c").unwrap();
        assert_eq!(rules.len(), 2000);
        assert!(rules.is_sorted_by_key(|rule| rule.handle));
        assert_eq!(rules[1999].comment.as_deref(), Some("number 1999"));

        // As many errors: the first is told, and the socket is good for more.
        let mut bad = Batch::new(Family::Inet, "t");
        bad.flush_chain("c");
        for _ in 0..5000 {
            bad.delete_rule("d", 4711);
        }
        for _ in 0..3 {
            let error = nftables.apply(&bad).unwrap_err();
            assert_eq!(error.to_string(), "nft delete-rule t d: no such file or directory");
            assert_eq!(nftables.rules(Family::Inet, "t", "c").unwrap().len(), 2000);
        }
        let mut all = Batch::new(Family::Inet, "t");
        for rule in &rules {
            all.delete_rule("c", rule.handle);
        }
        nftables.apply(&all).unwrap();
        assert_eq!(nftables.rules(Family::Inet, "t", "c").unwrap(), []);
    });
}

#[test]
fn a_batch_is_sent_whole_or_not_at_all() {
    isolated(|Sandbox { container, .. }| {
        let mut nftables = container.nftables().unwrap();
        let mut batch = Batch::new(Family::Inet, "t");
        batch.add_table(None).add_chain(&chain("c"));
        let long = rule("c", [Statement::Drop], &"x".repeat(128));
        for _ in 0..50_000 {
            batch.add_rule(&long);
        }
        match nftables.apply(&batch) {
            // net.core.wmem_max is large here.
            Ok(()) => assert_eq!(nftables.rules(Family::Inet, "t", "c").unwrap().len(), 50_000),
            Err(error) => {
                assert_eq!(error.to_string(), "nft commit t: message too long");
                assert!(!nftables.has_table(Family::Inet, "t").unwrap());
            }
        }
    });
}

#[test]
fn rules_of_others_are_understood() {
    isolated(|Sandbox { host, container }| {
        if !have("rules_of_others_are_understood", &["nft", "iptables"]) {
            return;
        }
        nft(
            &host,
            "table inet t { chain there { }
               chain c {
                 iifname \"veth0\" jump there comment \"one\"
                 iifname != \"veth0\" goto there
                 iifname \"veth*\" accept
                 oifname \"veth0\" tcp dport { 80, 443 } counter drop
                 iif \"lo\" ct state new log prefix \"hm\" reject
               }
             }",
        );
        let mut nftables = host.nftables().unwrap();
        let found: Vec<_> = nftables.rules(Family::Inet, "t", "c").unwrap();
        let told = |rule: &ListedRule| (rule.comment.clone(), rule.input_interface.clone(), rule.jumps_to.clone());
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            found.iter().map(told).collect::<Vec<_>>(),
            [
                (some("one"), some("veth0"), some("there")),
                (None, None, some("there")),
                (None, None, None),
                (None, None, None),
                (None, None, None),
            ]
        );

        if !sh(&container, "iptables --version").contains("nf_tables") {
            return skip("rules_of_others_are_understood, iptables", "`iptables` is not iptables-nft");
        }
        // Its lock file is for root alone.
        sh(&container, "mount -t tmpfs tmpfs /run");
        sh(&container, "iptables -t nat -N CNI-x");
        sh(&container, "iptables -t nat -A POSTROUTING -s 10.1.0.2 -j CNI-x");
        sh(&container, "iptables -t nat -A POSTROUTING -s 10.1.0.3 -m comment --comment theirs -j MASQUERADE");
        sh(&container, "iptables -t nat -A PREROUTING -i veth0 -j CNI-x");
        sh(&container, "iptables -t nat -A PREROUTING -i veth+ -g CNI-x");
        let mut nftables = container.nftables().unwrap();
        assert!(nftables.chains(Family::Ip, "nat").unwrap().iter().any(|name| name == "CNI-x"));
        let mut rules =
            |chain: &str| -> Vec<_> { nftables.rules(Family::Ip, "nat", chain).unwrap().iter().map(told).collect() };
        assert_eq!(rules("POSTROUTING"), [(None, None, some("CNI-x")), (None, None, None)]);
        assert_eq!(rules("PREROUTING"), [(None, some("veth0"), some("CNI-x")), (None, None, some("CNI-x"))]);
    });
}
