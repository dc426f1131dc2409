//! Routing rules: they choose the table for a packet's route, as in `ip rule`. Must
//! not know: what is in the tables.

use ipnet::IpNet;
use netlink_packet_core::{DecodeError, NLM_F_CREATE, NLM_F_EXCL, NlasIterator, parse_u32};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::RouteNetlinkMessage::{DelRule, GetRule, NewRule};
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleFlags, RuleHeader, RuleMessage};
use nix::errno::Errno;

use crate::answer::{Reply, ip_address, text};
use crate::{Error, Netlink};

const RTM_NEWRULE: u16 = 32;
const RT_TABLE_MAIN: u32 = 254;

/// Bytes of `struct fib_rule_hdr`.
const FIB_RULE_HDR_LEN: usize = 12;

// linux/fib_rules.h
const FRA_DST: u16 = 1;
const FRA_SRC: u16 = 2;
const FRA_IIFNAME: u16 = 3;
const FRA_PRIORITY: u16 = 6;
const FRA_FWMARK: u16 = 10;
const FRA_SUPPRESS_PREFIXLEN: u16 = 14;
const FRA_TABLE: u16 = 15;
const FRA_FWMASK: u16 = 16;
const FRA_OIFNAME: u16 = 17;
const FRA_PROTOCOL: u16 = 21;

/// A rule that sends packets to a table.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
pub struct RoutingRule {
    /// `family`.
    pub family: IpFamily,
    /// `FRA_PRIORITY`; the lowest is tried first. `None` leaves it to the kernel, which
    /// chooses one below all others except 0. Always set when read.
    pub priority: Option<u32>,
    /// `FRA_SRC`; `None` for any.
    pub src: Option<IpNet>,
    /// `FRA_DST`; `None` for any.
    pub dst: Option<IpNet>,
    /// `FRA_IIFNAME`, at most 15 bytes; empty for any.
    pub iif: String,
    /// `FRA_OIFNAME`, at most 15 bytes; empty for any.
    pub oif: String,
    /// `FRA_FWMARK` and `FRA_FWMASK`; `None` for any.
    pub mark: Option<(u32, u32)>,
    /// `FRA_TABLE`; 0 is the main table (254) and is never read.
    pub table: u32,
}

/// The family of routing rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
pub enum IpFamily {
    /// IPv4 (`AF_INET`).
    Inet,
    /// IPv6 (`AF_INET6`).
    Inet6,
}

impl Netlink {
    /// Adds a rule. `EEXIST` if the same rule exists with the same priority. Without a
    /// priority, the new rule gets another one and both exist. `EINVAL` for an address
    /// of the other family, `ERANGE` for a name of more than 15 bytes, `EOPNOTSUPP`
    /// from a kernel without `CONFIG_IP_MULTIPLE_TABLES`. (`RTM_NEWRULE` with
    /// `NLM_F_CREATE | NLM_F_EXCL`)
    pub fn rule_add(&mut self, rule: &RoutingRule) -> Result<(), Error> {
        message(rule)
            .and_then(|message| self.request(NewRule(message), NLM_F_CREATE | NLM_F_EXCL))
            .map(drop)
            .map_err(|error| error.during(named("rule-add", rule)))
    }

    /// Deletes the first rule that matches in every field that is set, even if it has
    /// further conditions. `ENOENT` if there is none. (`RTM_DELRULE`)
    pub fn rule_del(&mut self, rule: &RoutingRule) -> Result<(), Error> {
        message(rule)
            .and_then(|message| self.request(DelRule(message), 0))
            .map(drop)
            .map_err(|error| error.during(named("rule-del", rule)))
    }

    /// Lists the rules of a family, or of both, in order of their priority. Leaves out
    /// rules with another action than a table, and rules with conditions that
    /// [`RoutingRule`] lacks. (`RTM_GETRULE` with `NLM_F_DUMP`)
    pub fn rules(&mut self, family: Option<IpFamily>) -> Result<Vec<RoutingRule>, Error> {
        let mut rules = Vec::new();
        for one in [IpFamily::Inet, IpFamily::Inet6] {
            if family.is_some_and(|family| family != one) {
                continue;
            }
            let mut message = RuleMessage::default();
            message.header.family = one.into();
            let replies = self.dump(&GetRule(message)).map_err(|error| error.during("rules"))?;
            for reply in &replies {
                let rule = read(reply, one).map_err(|error| Error::from_decode(error).during("rules"))?;
                rules.extend(rule);
            }
        }
        rules.sort_by_key(|rule| rule.priority);
        Ok(rules)
    }
}

impl From<IpFamily> for AddressFamily {
    fn from(family: IpFamily) -> Self {
        match family {
            IpFamily::Inet => AddressFamily::Inet,
            IpFamily::Inet6 => AddressFamily::Inet6,
        }
    }
}

fn named(what: &str, rule: &RoutingRule) -> String {
    match rule.priority {
        Some(priority) => format!("{what} {priority} table {}", rule.table),
        None => format!("{what} table {}", rule.table),
    }
}

fn message(rule: &RoutingRule) -> Result<RuleMessage, Error> {
    let prefix_len = |net: Option<IpNet>| match net {
        Some(net) if net.addr().is_ipv4() != (rule.family == IpFamily::Inet) => Err(Error::from_errno(Errno::EINVAL)),
        net => Ok(net.map_or(0, |net| net.prefix_len())),
    };
    let mut message = RuleMessage::default();
    message.header.family = rule.family.into();
    message.header.action = RuleAction::ToTable;
    message.header.src_len = prefix_len(rule.src)?;
    message.header.dst_len = prefix_len(rule.dst)?;
    let attributes = &mut message.attributes;
    let table = if rule.table == 0 { RT_TABLE_MAIN } else { rule.table };
    match u8::try_from(table) {
        Ok(table) => message.header.table = table,
        Err(_) => attributes.push(RuleAttribute::Table(table)),
    }
    attributes.extend(rule.priority.map(RuleAttribute::Priority));
    // Prefix 0 matches any address, and has no attribute.
    let address = |net: Option<IpNet>| net.filter(|net| net.prefix_len() != 0).map(|net| net.addr());
    attributes.extend(address(rule.src).map(RuleAttribute::Source));
    attributes.extend(address(rule.dst).map(RuleAttribute::Destination));
    for (name, attribute) in
        [(&rule.iif, RuleAttribute::Iifname as fn(String) -> _), (&rule.oif, RuleAttribute::Oifname)]
    {
        if !name.is_empty() {
            check_name(name)?;
            attributes.push(attribute(name.clone()));
        }
    }
    if let Some((mark, mask)) = rule.mark {
        attributes.extend([RuleAttribute::FwMark(mark), RuleAttribute::FwMask(mask)]);
    }
    Ok(message)
}

/// The kernel would cut a name at a NUL. A link of this name need not exist.
fn check_name(name: &str) -> Result<(), Error> {
    match name {
        _ if name.len() > 15 => Err(Error::from_errno(Errno::ERANGE)),
        _ if name.contains('\0') => Err(Error::from_errno(Errno::EINVAL)),
        _ => Ok(()),
    }
}

/// Reads a rule; `None` for other messages, actions and conditions.
pub(crate) fn read(reply: &Reply, family: IpFamily) -> Result<Option<RoutingRule>, DecodeError> {
    if reply.kind != RTM_NEWRULE {
        return Ok(None);
    }
    let header = RuleHeader::parse(&reply.payload)?;
    if header.family != family.into()
        || header.action != RuleAction::ToTable
        || header.flags.contains(RuleFlags::Invert)
        || header.tos != 0
    {
        return Ok(None);
    }
    let mut rule = RoutingRule {
        family,
        // The kernel sends no attribute for a priority of 0.
        priority: Some(0),
        src: None,
        dst: None,
        iif: String::new(),
        oif: String::new(),
        mark: None,
        table: header.table.into(),
    };
    let net = |value: &[u8], prefix_len| IpNet::new(ip_address(value)?, prefix_len).ok();
    let (mut mark, mut mask) = (None, None);
    for attribute in NlasIterator::new(&reply.payload[FIB_RULE_HDR_LEN..]) {
        let attribute = attribute?;
        let value = attribute.value();
        match attribute.kind() {
            FRA_PRIORITY => rule.priority = Some(parse_u32(value)?),
            FRA_SRC => rule.src = net(value, header.src_len),
            FRA_DST => rule.dst = net(value, header.dst_len),
            FRA_IIFNAME => rule.iif = text(value),
            FRA_OIFNAME => rule.oif = text(value),
            FRA_FWMARK => mark = Some(parse_u32(value)?),
            FRA_FWMASK => mask = Some(parse_u32(value)?),
            FRA_TABLE => rule.table = parse_u32(value)?,
            // Every rule has these. u32::MAX means that nothing is suppressed.
            FRA_PROTOCOL => {}
            FRA_SUPPRESS_PREFIXLEN if parse_u32(value)? == u32::MAX => {}
            _ => return Ok(None),
        }
    }
    rule.mark = mark.or(mask).map(|_| (mark.unwrap_or(0), mask.unwrap_or(u32::MAX)));
    Ok((rule.table != 0).then_some(rule))
}
