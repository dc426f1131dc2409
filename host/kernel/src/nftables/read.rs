//! Reads chains and rules attribute by attribute, so that an attribute that a newer
//! kernel made longer does no harm. Must not know: sockets.

use netlink_packet_core::{DecodeError, NlasIterator, parse_u32_be, parse_u64_be};

use super::names::UDATA_COMMENT;
use crate::answer::{Reply, text};

/// Bytes of `struct nfgenmsg`.
const NFGENMSG_LEN: usize = 4;

const NFNL_SUBSYS_NFTABLES: u16 = 10;

// linux/netfilter/nf_tables.h
const NFT_MSG_NEWCHAIN: u16 = NFNL_SUBSYS_NFTABLES << 8 | 3;
const NFT_MSG_NEWRULE: u16 = NFNL_SUBSYS_NFTABLES << 8 | 6;
const NFTA_LIST_ELEM: u16 = 1;
const NFTA_CHAIN_TABLE: u16 = 1;
const NFTA_CHAIN_NAME: u16 = 3;
const NFTA_RULE_TABLE: u16 = 1;
const NFTA_RULE_CHAIN: u16 = 2;
const NFTA_RULE_HANDLE: u16 = 3;
const NFTA_RULE_EXPRESSIONS: u16 = 4;
const NFTA_RULE_USERDATA: u16 = 7;
const NFTA_EXPR_NAME: u16 = 1;
const NFTA_EXPR_DATA: u16 = 2;
const NFTA_META_DREG: u16 = 1;
const NFTA_META_KEY: u16 = 2;
const NFT_META_IIFNAME: u32 = 6;
const NFTA_CMP_SREG: u16 = 1;
const NFTA_CMP_OP: u16 = 2;
const NFTA_CMP_DATA: u16 = 3;
const NFT_CMP_EQ: u32 = 0;
const NFTA_IMMEDIATE_DATA: u16 = 2;
const NFTA_DATA_VALUE: u16 = 1;
const NFTA_DATA_VERDICT: u16 = 2;
const NFTA_VERDICT_CHAIN: u16 = 2;

/// A rule in the kernel, no matter who made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedRule {
    /// `NFTA_RULE_HANDLE`, unique in its table.
    pub handle: u64,
    /// What nft(8) prints as `comment`. Not the match `comment` of iptables.
    pub comment: Option<String>,
    /// `iifname`, if the rule compares it with a whole name.
    pub input_interface: Option<String>,
    /// The chain of a `jump` or a `goto`.
    pub jumps_to: Option<String>,
}

/// Reads the name of a chain; `None` for other messages and other tables.
pub(crate) fn chain(reply: &Reply, table: &str) -> Result<Option<String>, DecodeError> {
    if reply.kind != NFT_MSG_NEWCHAIN {
        return Ok(None);
    }
    let (mut of, mut name) = (None, None);
    for attribute in attributes(reply) {
        let attribute = attribute?;
        match attribute.kind() {
            NFTA_CHAIN_TABLE => of = Some(text(attribute.value())),
            NFTA_CHAIN_NAME => name = Some(text(attribute.value())),
            _ => {}
        }
    }
    Ok(name.filter(|_| of.as_deref() == Some(table)))
}

/// Reads a rule; `None` for other messages, tables and chains.
pub(crate) fn rule(reply: &Reply, table: &str, chain: &str) -> Result<Option<ListedRule>, DecodeError> {
    if reply.kind != NFT_MSG_NEWRULE {
        return Ok(None);
    }
    let mut rule = ListedRule { handle: 0, comment: None, input_interface: None, jumps_to: None };
    for attribute in attributes(reply) {
        let attribute = attribute?;
        let value = attribute.value();
        match attribute.kind() {
            NFTA_RULE_TABLE if text(value) != table => return Ok(None),
            NFTA_RULE_CHAIN if text(value) != chain => return Ok(None),
            NFTA_RULE_HANDLE => rule.handle = parse_u64_be(value)?,
            NFTA_RULE_USERDATA => rule.comment = comment(value),
            NFTA_RULE_EXPRESSIONS => expressions(value, &mut rule)?,
            _ => {}
        }
    }
    Ok(Some(rule))
}

fn attributes(reply: &Reply) -> NlasIterator<&[u8]> {
    NlasIterator::new(reply.payload.get(NFGENMSG_LEN..).unwrap_or_default())
}

/// Finds the comment of nft(8) among a rule's user data, a list of type, length and
/// value.
fn comment(mut userdata: &[u8]) -> Option<String> {
    while let [kind, len, rest @ ..] = userdata {
        let (value, rest) = rest.split_at_checked(usize::from(*len))?;
        if *kind == UDATA_COMMENT {
            return Some(text(value));
        }
        userdata = rest;
    }
    None
}

fn expressions(list: &[u8], rule: &mut ListedRule) -> Result<(), DecodeError> {
    // The register that holds the interface's name, until another expression.
    let mut interface = None;
    for element in NlasIterator::new(list) {
        let element = element?;
        if element.kind() != NFTA_LIST_ELEM {
            continue;
        }
        let name = text(&attribute(element.value(), NFTA_EXPR_NAME)?);
        let data = attribute(element.value(), NFTA_EXPR_DATA)?;
        match name.as_str() {
            "meta" if number(&data, NFTA_META_KEY)? == Some(NFT_META_IIFNAME) => {
                interface = number(&data, NFTA_META_DREG)?;
            }
            "cmp" if interface.is_some() && number(&data, NFTA_CMP_SREG)? == interface => {
                let value = attribute(&attribute(&data, NFTA_CMP_DATA)?, NFTA_DATA_VALUE)?;
                // Without a NUL it is a prefix: `veth*`.
                if number(&data, NFTA_CMP_OP)? == Some(NFT_CMP_EQ) && value.contains(&0) {
                    rule.input_interface = Some(text(&value));
                }
            }
            "immediate" => {
                let verdict = attribute(&attribute(&data, NFTA_IMMEDIATE_DATA)?, NFTA_DATA_VERDICT)?;
                let chain = text(&attribute(&verdict, NFTA_VERDICT_CHAIN)?);
                rule.jumps_to = Some(chain).filter(|chain| !chain.is_empty());
            }
            _ => interface = None,
        }
    }
    Ok(())
}

/// Returns the value of the first attribute of a kind; empty if there is none.
fn attribute(bytes: &[u8], kind: u16) -> Result<Vec<u8>, DecodeError> {
    for attribute in NlasIterator::new(bytes) {
        let attribute = attribute?;
        if attribute.kind() == kind {
            return Ok(attribute.value().to_vec());
        }
    }
    Ok(Vec::new())
}

fn number(bytes: &[u8], kind: u16) -> Result<Option<u32>, DecodeError> {
    let value = attribute(bytes, kind)?;
    if value.is_empty() { Ok(None) } else { parse_u32_be(&value).map(Some) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_is_found_among_other_data() {
        assert_eq!(comment(b"\0\x03hi\0").as_deref(), Some("hi"));
        assert_eq!(comment(b"\x01\x02ab\0\x03hi\0").as_deref(), Some("hi"));
        for none in [&b""[..], b"\0", b"\x01\x02ab", b"\0\x09hi\0"] {
            assert_eq!(comment(none), None, "{none:?}");
        }
    }
}
