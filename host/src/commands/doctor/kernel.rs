//! The kernel's features, tested in a namespace that ends with this process.

use wasm_cni::sandbox::Sandbox;
use wasm_cni_kernel::{
    BaseChain, Batch, Chain, ChainKind, Error, Family, Hook, LinkAttrs, LinkKind, Netns, NewLink, Rule, Statement,
    VethPeer,
};

use super::Report;

const KERNEL: &str = "kernel";

/// Where source NAT is done (linux/netfilter_ipv4.h: `NF_IP_PRI_NAT_SRC`).
const PRIORITY_NAT: i32 = 100;

/// A feature to test.
struct Probe {
    what: &'static str,
    option: &'static str,
    /// Whether it is needed with every configuration.
    needed: bool,
    attempt: fn(&Netns) -> Result<(), Error>,
}

const PROBES: [Probe; 7] = [
    Probe { what: "veth pairs", option: "CONFIG_VETH", needed: true, attempt: veth },
    Probe { what: "bridges", option: "CONFIG_BRIDGE", needed: true, attempt: |ns| bridge(ns, "b0", false) },
    Probe {
        what: "VLANs of bridges (`vlan`, `vlanTrunk`)",
        option: "CONFIG_BRIDGE_VLAN_FILTERING",
        needed: false,
        attempt: |ns| bridge(ns, "b1", true),
    },
    Probe {
        what: "IPv4 masquerade by nftables (`ipMasq`)",
        option: "CONFIG_NF_TABLES, CONFIG_NFT_NAT, CONFIG_NFT_MASQ",
        needed: false,
        attempt: |ns| nat(ns, Family::Ip),
    },
    Probe {
        what: "IPv6 masquerade by nftables (`ipMasq`)",
        option: "CONFIG_NF_TABLES_IPV6, CONFIG_NFT_NAT, CONFIG_NFT_MASQ",
        needed: false,
        attempt: |ns| nat(ns, Family::Ip6),
    },
    Probe {
        what: "filters of bridges by nftables (`macspoofchk`)",
        option: "CONFIG_NF_TABLES_BRIDGE",
        needed: false,
        attempt: |ns| filter(ns, Family::Bridge),
    },
    Probe { what: "IPv6", option: "CONFIG_IPV6, and no `ipv6.disable=1`", needed: false, attempt: ipv6 },
];

pub(super) fn look(report: &mut Report) {
    let netns = match Netns::create() {
        Ok(netns) => netns,
        // Without privileges.
        Err(_) => match Sandbox::enter().map_err(anyhow::Error::from).and_then(|_| Ok(Netns::current()?)) {
            Ok(netns) => netns,
            Err(error) => {
                let text = format!("cannot test the kernel's features: {error:#}");
                return report.warn(KERNEL, text, "run `wasm-cni doctor` as root");
            }
        },
    };
    for Probe { what, option, needed, attempt } in PROBES {
        let Err(error) = attempt(&netns) else {
            report.ok(KERNEL, what);
            continue;
        };
        let text = format!("not available: {what}: {error}");
        let remedy = format!("use a kernel with {option}, or load its module");
        if needed { report.fail(KERNEL, text, remedy) } else { report.warn(KERNEL, text, remedy) }
    }
}

fn link(netns: &Netns, name: &str, kind: LinkKind) -> Result<(), Error> {
    netns.connect()?.link_add(&NewLink { name: name.to_owned(), kind, attrs: LinkAttrs::default() }).map(drop)
}

fn veth(netns: &Netns) -> Result<(), Error> {
    link(netns, "v0", LinkKind::Veth(VethPeer { name: "v1".to_owned(), ..VethPeer::default() }))
}

fn bridge(netns: &Netns, name: &str, vlan_filtering: bool) -> Result<(), Error> {
    link(netns, name, LinkKind::Bridge { vlan_filtering })
}

fn chain(netns: &Netns, family: Family, base: BaseChain, statement: Statement) -> Result<(), Error> {
    let name = "probe";
    let mut batch = Batch::new(family, name);
    batch.add_table(None);
    batch.add_chain(&Chain { name: name.to_owned(), base: Some(base), comment: None });
    batch.add_rule(&Rule { chain: name.to_owned(), statements: vec![statement], comment: None });
    netns.nftables()?.apply(&batch)
}

fn nat(netns: &Netns, family: Family) -> Result<(), Error> {
    let base = BaseChain { kind: ChainKind::Nat, hook: Hook::Postrouting, priority: PRIORITY_NAT, policy: None };
    chain(netns, family, base, Statement::Masquerade)
}

fn filter(netns: &Netns, family: Family) -> Result<(), Error> {
    let base = BaseChain { kind: ChainKind::Filter, hook: Hook::Prerouting, priority: 0, policy: None };
    chain(netns, family, base, Statement::EtherSource([2, 0, 0, 0, 0, 1]))
}

fn ipv6(netns: &Netns) -> Result<(), Error> {
    let key = "net/ipv6/conf/all/forwarding";
    let values = netns.sysctls_get(&[key])?;
    match values.into_iter().next().flatten() {
        Some(_) => Ok(()),
        None => Err(Error::of_errno(format!("read {key}"), nix::libc::ENOENT)),
    }
}
