//! The messages of a batch, written with netlink-packet-netfilter's types.
//! Must not know: sockets.

use netlink_packet_core::{NLM_F_ACK, NLM_F_APPEND, NLM_F_CREATE};
use netlink_packet_netfilter::nftables::{
    ChainAttribute, ChainMessage, Hook as HookAttribute, HookNumber, NfTablesMessage, RuleAttribute, RuleMessage,
    TableAttribute, TableFlags, TableMessage,
};
use netlink_packet_netfilter::none::ControlMessage;
use netlink_packet_netfilter::{NetfilterHeader, NetfilterMessage, NetfilterProtoFamily, NetfilterSubsystem};
use nix::errno::Errno;

use super::batch::{Batch, Chain, ChainKind, Family, Hook, Policy, Rule, Step};
use super::expression::expressions;
use super::names::{NAME_MAX, NF_ACCEPT, NF_DROP, UDATA_COMMENT, check_name};
use crate::Error;
use crate::socket::Flagged;

/// `NFTNL_UDATA_COMMENT_MAXLEN`: the longest comment of nft(8).
const COMMENT_MAX: usize = 128;

/// The messages of a batch, with those that begin and end it. The last change asks
/// for the only acknowledgement.
pub(super) fn messages(batch: &Batch) -> Result<Vec<Flagged<NetfilterMessage>>, Error> {
    let mut messages = vec![(control(ControlMessage::BatchBegin), 0)];
    for step in &batch.steps {
        let message = check_name(&batch.table, NAME_MAX).and_then(|()| write(batch, step));
        let (message, flags) = message.map_err(|errno| Error::from_errno(errno).during(named(batch, step)))?;
        messages.push((in_family(batch.family, message), flags));
    }
    if let Some((_, flags)) = messages.last_mut() {
        *flags |= NLM_F_ACK;
    }
    messages.push((control(ControlMessage::BatchEnd), 0));
    Ok(messages)
}

/// A request for a table.
pub(super) fn get_table(family: Family, table: &str) -> NetfilterMessage {
    in_family(family, NfTablesMessage::GetTable(table_message(table)))
}

/// A request for a chain; without a table, for all chains of a family.
pub(super) fn get_chain(family: Family, chain: Option<(&str, &str)>) -> NetfilterMessage {
    let message = match chain {
        Some((table, name)) => chain_message(table, name),
        None => ChainMessage { attributes: Vec::new() },
    };
    in_family(family, NfTablesMessage::GetChain(message))
}

/// A request for the rules of a chain.
pub(super) fn get_rules(family: Family, table: &str, chain: &str) -> NetfilterMessage {
    in_family(family, NfTablesMessage::GetRule(rule_message(table, chain)))
}

/// The name of a step in errors.
pub(super) fn named(batch: &Batch, step: &Step) -> String {
    let table = &batch.table;
    match step {
        Step::AddTable { .. } => format!("nft add-table {table}"),
        Step::AddChain(chain) => format!("nft add-chain {table} {}", chain.name),
        Step::FlushChain(chain) => format!("nft flush-chain {table} {chain}"),
        Step::AddRule(rule) => format!("nft add-rule {table} {}", rule.chain),
        Step::DeleteRule { chain, .. } => format!("nft delete-rule {table} {chain}"),
        Step::DeleteChain(chain) => format!("nft delete-chain {table} {chain}"),
        Step::DeleteTable => format!("nft delete-table {table}"),
    }
}

fn write(batch: &Batch, step: &Step) -> Result<(NfTablesMessage, u16), Errno> {
    let table = &batch.table;
    Ok(match step {
        Step::AddTable { comment } => {
            let mut message = table_message(table);
            message.attributes.push(TableAttribute::Flags(TableFlags::empty()));
            message.attributes.extend(userdata(comment.as_deref())?.map(TableAttribute::UserData));
            (NfTablesMessage::NewTable(message), NLM_F_CREATE)
        }
        Step::AddChain(chain) => (NfTablesMessage::NewChain(new_chain(table, chain)?), NLM_F_CREATE),
        Step::AddRule(rule) => {
            (NfTablesMessage::NewRule(new_rule(batch.family, table, rule)?), NLM_F_CREATE | NLM_F_APPEND)
        }
        Step::FlushChain(chain) => (NfTablesMessage::DeleteRule(checked_rule_message(table, chain)?), 0),
        Step::DeleteRule { chain, handle } => {
            let mut message = checked_rule_message(table, chain)?;
            message.attributes.push(RuleAttribute::Handle(*handle));
            (NfTablesMessage::DeleteRule(message), 0)
        }
        Step::DeleteChain(name) => {
            check_name(name, NAME_MAX)?;
            (NfTablesMessage::DeleteChain(chain_message(table, name)), 0)
        }
        Step::DeleteTable => (NfTablesMessage::DeleteTable(table_message(table)), 0),
    })
}

fn new_chain(table: &str, chain: &Chain) -> Result<ChainMessage, Errno> {
    check_name(&chain.name, NAME_MAX)?;
    let mut message = chain_message(table, &chain.name);
    if let Some(base) = chain.base {
        let kind = match base.kind {
            ChainKind::Filter => "filter",
            ChainKind::Nat => "nat",
        };
        // The numbers are the same in every family.
        let number = match base.hook {
            Hook::Prerouting => 0,
            Hook::Input => 1,
            Hook::Forward => 2,
            Hook::Output => 3,
            Hook::Postrouting => 4,
        };
        let policy = base.policy.map(|policy| match policy {
            Policy::Accept => NF_ACCEPT,
            Policy::Drop => NF_DROP,
        });
        message.attributes.push(ChainAttribute::Type(kind.to_owned()));
        message.attributes.extend(policy.map(ChainAttribute::Policy));
        message.attributes.push(ChainAttribute::Hook(vec![
            HookAttribute::Number(HookNumber::Other(number)),
            HookAttribute::Priority(base.priority.cast_unsigned()),
        ]));
    }
    message.attributes.extend(userdata(chain.comment.as_deref())?.map(ChainAttribute::UserData));
    Ok(message)
}

fn new_rule(family: Family, table: &str, rule: &Rule) -> Result<RuleMessage, Errno> {
    let mut message = checked_rule_message(table, &rule.chain)?;
    message.attributes.push(RuleAttribute::Expressions(expressions(family, &rule.statements)?));
    message.attributes.extend(userdata(rule.comment.as_deref())?.map(RuleAttribute::UserData));
    Ok(message)
}

fn table_message(table: &str) -> TableMessage {
    TableMessage { attributes: vec![TableAttribute::Name(table.to_owned())] }
}

fn chain_message(table: &str, name: &str) -> ChainMessage {
    ChainMessage { attributes: vec![ChainAttribute::Table(table.to_owned()), ChainAttribute::Name(name.to_owned())] }
}

fn checked_rule_message(table: &str, chain: &str) -> Result<RuleMessage, Errno> {
    check_name(chain, NAME_MAX)?;
    Ok(rule_message(table, chain))
}

fn rule_message(table: &str, chain: &str) -> RuleMessage {
    RuleMessage { attributes: vec![RuleAttribute::Table(table.to_owned()), RuleAttribute::Chain(chain.to_owned())] }
}

/// A comment in libnftnl's format: type, length, text, NUL.
fn userdata(comment: Option<&str>) -> Result<Option<Vec<u8>>, Errno> {
    let Some(comment) = comment else {
        return Ok(None);
    };
    if comment.len() > COMMENT_MAX {
        return Err(Errno::ENAMETOOLONG);
    }
    if comment.contains('\0') {
        return Err(Errno::EINVAL);
    }
    let mut bytes = vec![UDATA_COMMENT, comment.len() as u8 + 1];
    bytes.extend(comment.as_bytes());
    bytes.push(0);
    Ok(Some(bytes))
}

fn in_family(family: Family, message: NfTablesMessage) -> NetfilterMessage {
    let family = match family {
        Family::Inet => NetfilterProtoFamily::Inet,
        Family::Ip => NetfilterProtoFamily::IPv4,
        Family::Ip6 => NetfilterProtoFamily::IPv6,
        Family::Bridge => NetfilterProtoFamily::Bridge,
    };
    NetfilterMessage::new(NetfilterHeader::new(family, 0, 0), message)
}

/// A message that begins or ends a batch of nf_tables.
fn control(message: ControlMessage) -> NetfilterMessage {
    let subsystem = u8::from(NetfilterSubsystem::NfTables).into();
    NetfilterMessage::new(NetfilterHeader::new(NetfilterProtoFamily::Unspec, 0, subsystem), message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(name: &str, comment: Option<String>) -> Chain {
        Chain { name: name.to_owned(), base: None, comment }
    }

    #[test]
    fn a_comment_is_type_length_text_and_nul() {
        assert_eq!(userdata(Some("hi")).unwrap().unwrap(), *b"\0\x03hi\0");
        assert_eq!(userdata(None).unwrap(), None);
        assert_eq!(userdata(Some(&"x".repeat(128))).unwrap().unwrap()[..2], [0, 129]);
    }

    #[test]
    fn only_the_last_change_asks_for_an_acknowledgement() {
        let mut batch = Batch::new(Family::Ip, "t");
        batch.add_table(None).add_chain(&chain("c", None)).delete_chain("c");
        let messages = messages(&batch).unwrap();
        let acks: Vec<_> = messages.iter().map(|(_, flags)| flags & NLM_F_ACK != 0).collect();
        assert_eq!(acks, [false, false, false, true, false]);
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let refused = |batch: &Batch| messages(batch).unwrap_err();
        let long = "x".repeat(256);
        for (name, errno) in [("", Errno::EINVAL), ("a\0b", Errno::EINVAL), (&long, Errno::ENAMETOOLONG)] {
            let errno = errno as i32;
            assert_eq!(refused(Batch::new(Family::Ip, name).add_table(None)).errno(), errno);
            let mut batch = Batch::new(Family::Ip, "t");
            assert_eq!(refused(batch.clone().add_chain(&chain(name, None))).errno(), errno);
            assert_eq!(refused(batch.clone().flush_chain(name)).errno(), errno);
            assert_eq!(refused(batch.clone().delete_rule(name, 1)).errno(), errno);
            assert_eq!(refused(batch.delete_chain(name)).errno(), errno);
        }
        let mut batch = Batch::new(Family::Ip, "t");
        let error = refused(batch.clone().add_chain(&chain("c", Some("x".repeat(129)))));
        assert_eq!(error.to_string(), "nft add-chain t c: file name too long");
        assert_eq!(refused(batch.add_table(Some("a\0b"))).errno(), Errno::EINVAL as i32);
    }
}
