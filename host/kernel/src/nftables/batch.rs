//! What can be done to a table, as plain data. Must not know: netlink.

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
    /// 1 to 255 octets.
    pub name: String,
    /// What the kernel calls it for; `None`: only rules do, by jumping there.
    pub base: Option<BaseChain>,
    /// At most 128 octets.
    pub comment: Option<String>,
}

/// What makes a chain a base chain (`NFTA_CHAIN_HOOK`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BaseChain {
    /// `NFTA_CHAIN_TYPE`.
    pub kind: ChainKind,
    /// `NFTA_HOOK_HOOKNUM`.
    pub hook: Hook,
    /// `NFTA_HOOK_PRIORITY`; the lowest comes first.
    pub priority: i32,
    /// `NFTA_CHAIN_POLICY`; `None` leaves it as it is, in a new chain: accept.
    pub policy: Option<Policy>,
}

/// What a base chain may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChainKind {
    /// Accept and drop.
    Filter,
    /// Translate addresses; asked once for each connection. Not for bridges.
    Nat,
}

/// Where packets are on their way when a base chain sees them (`NF_INET_*`,
/// `NF_BR_*`).
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
    /// One after the other, for as long as they match.
    pub statements: Vec<Statement>,
    /// At most 128 octets.
    pub comment: Option<String>,
}

/// A part of a rule, as nft(8) has it. A rule's addresses are all of one
/// version, and of that of an [`Family::Ip`] or [`Family::Ip6`] table.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Statement {
    /// `ip saddr`, `ip6 saddr`
    Source(IpMatch),
    /// `ip daddr`, `ip6 daddr`
    Destination(IpMatch),
    /// `iifname`, 1 to 15 octets; no pattern.
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

/// The addresses that a packet's is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IpMatch {
    /// Host bits are of no account; of the full length, it is one address.
    pub net: IpNet,
    /// `!=`
    pub negated: bool,
}

/// One transaction in one table: the kernel does all of it, in this order, or
/// nothing.
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
    /// A transaction without anything in it, which changes nothing.
    pub fn new(family: Family, table: impl Into<String>) -> Self {
        Self { family, table: table.into(), steps: Vec::new() }
    }

    /// Makes the table; one that exists stays, with its comment.
    /// (`NFT_MSG_NEWTABLE`)
    pub fn add_table(&mut self, comment: Option<&str>) -> &mut Self {
        self.step(Step::AddTable { comment: comment.map(str::to_owned) })
    }

    /// Makes a chain; one that exists stays, with its rules and its comment.
    /// `EEXIST` if that is another kind of base chain. (`NFT_MSG_NEWCHAIN`)
    pub fn add_chain(&mut self, chain: &Chain) -> &mut Self {
        self.step(Step::AddChain(chain.clone()))
    }

    /// Deletes the rules of a chain. `ENOENT` if there is no such chain.
    /// (`NFT_MSG_DELRULE` without a handle)
    pub fn flush_chain(&mut self, name: &str) -> &mut Self {
        self.step(Step::FlushChain(name.to_owned()))
    }

    /// Makes a rule, the last of its chain. `ENOENT` if that, or one to jump to,
    /// doesn't exist. (`NFT_MSG_NEWRULE` with `NLM_F_APPEND`)
    pub fn add_rule(&mut self, rule: &Rule) -> &mut Self {
        self.step(Step::AddRule(rule.clone()))
    }

    /// Deletes one rule. `ENOENT` if it is gone, and with it the whole batch:
    /// the caller lists the rules anew. (`NFT_MSG_DELRULE`)
    pub fn delete_rule(&mut self, chain: &str, handle: u64) -> &mut Self {
        self.step(Step::DeleteRule { chain: chain.to_owned(), handle })
    }

    /// Deletes a chain and its rules. `ENOENT` if there is none, `EBUSY` if a
    /// rule still jumps there. (`NFT_MSG_DELCHAIN`)
    pub fn delete_chain(&mut self, name: &str) -> &mut Self {
        self.step(Step::DeleteChain(name.to_owned()))
    }

    /// Deletes the table and all that is in it. `ENOENT` if there is none.
    /// (`NFT_MSG_DELTABLE`)
    pub fn delete_table(&mut self) -> &mut Self {
        self.step(Step::DeleteTable)
    }

    fn step(&mut self, step: Step) -> &mut Self {
        self.steps.push(step);
        self
    }
}
