//! Changes to a table, as plain data. Must not know: netlink.

use ipnet::IpNet;

/// The family of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4 and IPv6 (`NFPROTO_INET`).
    Inet,
    /// IPv4, and iptables' (`NFPROTO_IPV4`).
    Ip,
    /// IPv6, and ip6tables' (`NFPROTO_IPV6`).
    Ip6,
    /// Frames that a bridge forwards (`NFPROTO_BRIDGE`).
    Bridge,
}

/// A chain to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// 1 to 255 bytes.
    pub name: String,
    /// Where the kernel calls the chain. `None`: only rules that jump to it do.
    pub base: Option<BaseChain>,
    /// At most 128 bytes.
    pub comment: Option<String>,
}

/// What makes a chain a base chain (`NFTA_CHAIN_HOOK`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BaseChain {
    /// `NFTA_CHAIN_TYPE`.
    pub kind: ChainKind,
    /// `NFTA_HOOK_HOOKNUM`.
    pub hook: Hook,
    /// `NFTA_HOOK_PRIORITY`; the lowest runs first.
    pub priority: i32,
    /// `NFTA_CHAIN_POLICY`; `None` leaves it as it is, and is accept in a new chain.
    pub policy: Option<Policy>,
}

/// What a base chain may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChainKind {
    /// Accept and drop.
    Filter,
    /// Translate addresses; runs once for each connection. Not for bridges.
    Nat,
}

/// The point on a packet's way where a base chain runs (`NF_INET_*`, `NF_BR_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// Before routing.
    Prerouting,
    /// To this host.
    Input,
    /// Through this host.
    Forward,
    /// From this host.
    Output,
    /// After routing.
    Postrouting,
}

/// What happens to a packet that no rule of a base chain decided on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// `NF_ACCEPT`.
    Accept,
    /// `NF_DROP`.
    Drop,
}

/// A rule to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The chain it belongs to.
    pub chain: String,
    /// They run in order, until one does not match.
    pub statements: Vec<Statement>,
    /// At most 128 bytes.
    pub comment: Option<String>,
}

/// A part of a rule, as in nft(8). All addresses of a rule have the same IP version,
/// and in a [`Family::Ip`] or [`Family::Ip6`] table the table's.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Statement {
    /// `ip saddr`, `ip6 saddr`
    Source(IpMatch),
    /// `ip daddr`, `ip6 daddr`
    Destination(IpMatch),
    /// `iifname`, 1 to 15 bytes; not a pattern.
    InputInterface(String),
    /// `ether saddr`
    EtherSource([u8; 6]),
    /// `accept`
    Accept,
    /// `drop`
    Drop,
    /// `return`
    Return,
    /// `jump` to a chain.
    Jump(String),
    /// `goto` a chain.
    Goto(String),
    /// `masquerade`
    Masquerade,
}

/// Addresses to compare a packet's address with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IpMatch {
    /// Host bits are ignored. A prefix of the full length is a single address.
    pub net: IpNet,
    /// `!=`
    pub negated: bool,
}

/// A transaction in one table: the kernel does all of its steps, in order, or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    pub(super) family: Family,
    pub(super) table: String,
    pub(super) steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    AddTable { comment: Option<String> },
    AddChain(Chain),
    FlushChain(String),
    AddRule(Rule),
    DeleteRule { chain: String, handle: u64 },
    DeleteChain(String),
    DeleteTable,
}

impl Batch {
    /// An empty transaction, which changes nothing.
    pub fn new(family: Family, table: impl Into<String>) -> Self {
        Self { family, table: table.into(), steps: Vec::new() }
    }

    /// Makes the table. An existing one stays, with its comment.
    /// (`NFT_MSG_NEWTABLE`)
    pub fn add_table(&mut self, comment: Option<&str>) -> &mut Self {
        self.step(Step::AddTable { comment: comment.map(str::to_owned) })
    }

    /// Makes a chain. An existing one stays, with its rules and its comment.
    /// `EEXIST` if it is another kind of base chain. (`NFT_MSG_NEWCHAIN`)
    pub fn add_chain(&mut self, chain: &Chain) -> &mut Self {
        self.step(Step::AddChain(chain.clone()))
    }

    /// Deletes the rules of a chain. `ENOENT` if there is no such chain.
    /// (`NFT_MSG_DELRULE` without a handle)
    pub fn flush_chain(&mut self, name: &str) -> &mut Self {
        self.step(Step::FlushChain(name.to_owned()))
    }

    /// Appends a rule to its chain. `ENOENT` if that chain, or one to jump to, doesn't
    /// exist. (`NFT_MSG_NEWRULE` with `NLM_F_APPEND`)
    pub fn add_rule(&mut self, rule: &Rule) -> &mut Self {
        self.step(Step::AddRule(rule.clone()))
    }

    /// Deletes one rule. `ENOENT` if it is gone, which fails the whole batch: the
    /// caller has to list the rules again. (`NFT_MSG_DELRULE`)
    pub fn delete_rule(&mut self, chain: &str, handle: u64) -> &mut Self {
        self.step(Step::DeleteRule { chain: chain.to_owned(), handle })
    }

    /// Deletes a chain and its rules. `ENOENT` if there is none, `EBUSY` if a
    /// rule still jumps to it. (`NFT_MSG_DELCHAIN`)
    pub fn delete_chain(&mut self, name: &str) -> &mut Self {
        self.step(Step::DeleteChain(name.to_owned()))
    }

    /// Deletes the table and everything in it. `ENOENT` if there is none.
    /// (`NFT_MSG_DELTABLE`)
    pub fn delete_table(&mut self) -> &mut Self {
        self.step(Step::DeleteTable)
    }

    fn step(&mut self, step: Step) -> &mut Self {
        self.steps.push(step);
        self
    }
}
