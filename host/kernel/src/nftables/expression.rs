//! Statements as the kernel's expressions, the same that nft(8) sends, so that it
//! recognises them. Must not know: messages.

use ipnet::IpNet;
use netlink_packet_netfilter::nftables::{
    Bitwise, Cmp, DataAttribute, ExpressionAttribute, Expressions, Immediate, ListAttribute, Meta, MetaKey, Operator,
    Payload, Register, Verdict, VerdictAttribute,
};
use nix::errno::Errno;

use super::batch::{Family, IpMatch, Statement};
use super::names::{NAME_MAX, NF_ACCEPT, NF_DROP, check_name};

/// A rule's expressions (`NFTA_RULE_EXPRESSIONS`).
pub(super) type List = Vec<ListAttribute<ExpressionAttribute>>;

/// `IFNAMSIZ` (linux/if.h).
const IFNAMSIZ: usize = 16;

// linux/netfilter.h
const NFPROTO_IPV4: u8 = 2;
const NFPROTO_IPV6: u8 = 10;

// linux/if_ether.h, linux/if_arp.h
const ETH_P_IP: u16 = 0x0800;
const ETH_P_IPV6: u16 = 0x86dd;
const ARPHRD_ETHER: u16 = 1;

// linux/netfilter/nf_tables.h, enum nft_payload_bases
const NFT_PAYLOAD_LL_HEADER: u32 = 0;
const NFT_PAYLOAD_NETWORK_HEADER: u32 = 1;

/// Offset of the source address in an Ethernet header.
const ETHER_SOURCE: u32 = 6;

/// All values go through this register, as in nft(8).
const REGISTER: Register = Register::Reg1;

#[derive(Clone, Copy)]
enum Side {
    Source,
    Destination,
}

/// Translates a rule's statements. `EINVAL` if they contradict each other or the
/// table's family, or a name is invalid; `ENAMETOOLONG` if a name is too long.
pub(super) fn expressions(family: Family, statements: &[Statement]) -> Result<List, Errno> {
    let mut rule = Writer { family, list: List::new(), is_v4: None, is_ether: family == Family::Bridge };
    match family {
        Family::Ip => rule.is_v4 = Some(true),
        Family::Ip6 => rule.is_v4 = Some(false),
        Family::Inet | Family::Bridge => {}
    }
    for statement in statements {
        match statement {
            Statement::Source(addresses) => rule.ip(Side::Source, addresses)?,
            Statement::Destination(addresses) => rule.ip(Side::Destination, addresses)?,
            Statement::InputInterface(name) => rule.input_interface(name)?,
            Statement::EtherSource(mac) => rule.ether_source(*mac),
            Statement::Accept => rule.verdict(Verdict::Other(NF_ACCEPT), None)?,
            Statement::Drop => rule.verdict(Verdict::Other(NF_DROP), None)?,
            Statement::Return => rule.verdict(Verdict::Return, None)?,
            Statement::Jump(chain) => rule.verdict(Verdict::Jump, Some(chain))?,
            Statement::Goto(chain) => rule.verdict(Verdict::Goto, Some(chain))?,
            Statement::Masquerade => {
                rule.push(Expressions::Other { expression_type: "masq".to_owned(), attributes: Vec::new() });
            }
        }
    }
    Ok(rule.list)
}

/// The expressions so far, and what they have already checked.
struct Writer {
    family: Family,
    list: List,
    is_v4: Option<bool>,
    is_ether: bool,
}

impl Writer {
    fn ip(&mut self, side: Side, addresses: &IpMatch) -> Result<(), Errno> {
        // Offsets in struct iphdr and struct ipv6hdr.
        let (bytes, mask, [source, destination]) = match addresses.net.trunc() {
            IpNet::V4(net) => (net.addr().octets().to_vec(), net.netmask().octets().to_vec(), [12, 16]),
            IpNet::V6(net) => (net.addr().octets().to_vec(), net.netmask().octets().to_vec(), [8, 24]),
        };
        let offset = match side {
            Side::Source => source,
            Side::Destination => destination,
        };
        self.version(bytes.len() == 4)?;
        // Whole bytes are compared directly, other lengths with a mask.
        let prefix = usize::from(addresses.net.prefix_len());
        let whole = prefix != 0 && prefix.is_multiple_of(8);
        let len = if whole { prefix / 8 } else { bytes.len() };
        self.payload(NFT_PAYLOAD_NETWORK_HEADER, offset, len);
        if !whole {
            self.push(Expressions::Bitwise(vec![
                Bitwise::SourceRegister(REGISTER),
                Bitwise::DestinationRegister(REGISTER),
                Bitwise::Length(len as u32),
                Bitwise::Mask(DataAttribute::Value(mask)),
                Bitwise::Xor(DataAttribute::Value(vec![0; len])),
            ]));
        }
        self.compare(if addresses.negated { Operator::NotEqual } else { Operator::Equal }, &bytes[..len]);
        Ok(())
    }

    /// Checks the IP version first, and once, if the table sees other packets too.
    fn version(&mut self, v4: bool) -> Result<(), Errno> {
        match self.is_v4.replace(v4) {
            Some(known) if known == v4 => return Ok(()),
            Some(_) => return Err(Errno::EINVAL),
            None => {}
        }
        if self.family == Family::Bridge {
            let protocol = if v4 { ETH_P_IP } else { ETH_P_IPV6 };
            self.meta(MetaKey::EtherTypeProtocol, &protocol.to_be_bytes());
        } else {
            self.meta(MetaKey::Nfproto, &[if v4 { NFPROTO_IPV4 } else { NFPROTO_IPV6 }]);
        }
        Ok(())
    }

    fn ether_source(&mut self, mac: [u8; 6]) {
        if !self.is_ether {
            self.meta(MetaKey::Iftype, &ARPHRD_ETHER.to_ne_bytes());
            self.is_ether = true;
        }
        self.payload(NFT_PAYLOAD_LL_HEADER, ETHER_SOURCE, mac.len());
        self.compare(Operator::Equal, &mac);
    }

    /// Compares the zeros after the name too. Without them it would be a prefix.
    fn input_interface(&mut self, name: &str) -> Result<(), Errno> {
        check_name(name, IFNAMSIZ - 1)?;
        let mut padded = [0; IFNAMSIZ];
        padded[..name.len()].copy_from_slice(name.as_bytes());
        self.meta(MetaKey::Iifname, &padded);
        Ok(())
    }

    fn verdict(&mut self, code: Verdict, chain: Option<&String>) -> Result<(), Errno> {
        let mut verdict = vec![VerdictAttribute::Code(code)];
        if let Some(chain) = chain {
            check_name(chain, NAME_MAX)?;
            verdict.push(VerdictAttribute::Chain(chain.clone()));
        }
        self.push(Expressions::Immediate(vec![
            Immediate::DestinationRegister(Register::Verdict),
            Immediate::Data(DataAttribute::Verdict(verdict)),
        ]));
        Ok(())
    }

    fn meta(&mut self, key: MetaKey, value: &[u8]) {
        self.push(Expressions::Meta(vec![Meta::Key(key), Meta::DestinationRegister(REGISTER)]));
        self.compare(Operator::Equal, value);
    }

    fn payload(&mut self, base: u32, offset: u32, len: usize) {
        self.push(Expressions::Payload(vec![
            Payload::DestinationRegister(REGISTER),
            Payload::Base(base),
            Payload::Offset(offset),
            Payload::Len(len as u32),
        ]));
    }

    fn compare(&mut self, operator: Operator, value: &[u8]) {
        self.push(Expressions::Cmp(vec![
            Cmp::SourceRegister(REGISTER),
            Cmp::Op(operator),
            Cmp::Data(DataAttribute::Value(value.to_vec())),
        ]));
    }

    fn push(&mut self, expression: Expressions) {
        self.list.push(expression.into());
    }
}

#[cfg(test)]
mod tests {
    use netlink_packet_core::Emitable;

    use super::*;

    fn bytes(family: Family, statements: &[Statement]) -> Vec<u8> {
        let list = expressions(family, statements).unwrap();
        let mut bytes = vec![0; list.as_slice().buffer_len()];
        list.as_slice().emit(&mut bytes);
        bytes
    }

    fn addresses(net: &str, negated: bool) -> IpMatch {
        IpMatch { net: net.parse().unwrap(), negated }
    }

    /// What nft 1.0.6 sends for `ip saddr 10.1.0.2 ip daddr != 10.1.0.0/22
    /// masquerade`, one expression in each line.
    #[test]
    #[cfg(target_endian = "little")]
    fn expressions_are_those_of_nft() {
        let expected = [
            "34000180 0c000100 7061796c 6f616400 24000280 08000100 00000001 08000200 00000001 08000300 0000000c 08000400 00000004",
            "2c000180 08000100 636d7000 20000280 08000100 00000001 08000200 00000000 0c000380 08000100 0a010002",
            "34000180 0c000100 7061796c 6f616400 24000280 08000100 00000001 08000200 00000001 08000300 00000010 08000400 00000004",
            "44000180 0c000100 62697477 69736500 34000280 08000100 00000001 08000200 00000001 08000300 00000004 0c000480 08000100 fffffc00 0c000580 08000100 00000000",
            "2c000180 08000100 636d7000 20000280 08000100 00000001 08000200 00000001 0c000380 08000100 0a010000",
            "14000180 09000100 6d617371 00000000 04000280",
        ];
        let sent = bytes(
            Family::Ip,
            &[
                Statement::Source(addresses("10.1.0.2/32", false)),
                Statement::Destination(addresses("10.1.0.0/22", true)),
                Statement::Masquerade,
            ],
        );
        let hex = |word: &[u8]| word.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let sent: Vec<_> = sent.chunks(4).map(hex).collect();
        assert_eq!(sent.join(" "), expected.join(" "));
    }

    #[test]
    fn host_bits_are_of_no_account() {
        let of = |net| bytes(Family::Inet, &[Statement::Source(addresses(net, false))]);
        assert_eq!(of("10.1.2.3/22"), of("10.1.0.0/22"));
        assert_eq!(of("fd00::5/61"), of("fd00::/61"));
        assert_ne!(of("10.1.2.0/24"), of("10.1.2.0/32"));
    }

    #[test]
    fn a_rule_is_of_one_version_of_ip() {
        let (v4, v6) = (addresses("10.1.0.2/32", false), addresses("fd00::2/128", false));
        let refused = |family, statements: &[_]| expressions(family, statements).unwrap_err();
        for family in [Family::Inet, Family::Bridge] {
            assert_eq!(refused(family, &[Statement::Source(v4), Statement::Destination(v6)]), Errno::EINVAL);
        }
        assert_eq!(refused(Family::Ip, &[Statement::Source(v6)]), Errno::EINVAL);
        assert_eq!(refused(Family::Ip6, &[Statement::Destination(v4)]), Errno::EINVAL);
    }

    #[test]
    fn names_are_whole() {
        let refused = |statement: Statement| expressions(Family::Inet, &[statement]).unwrap_err();
        assert_eq!(refused(Statement::InputInterface("sixteen-bytes-xx".to_owned())), Errno::ENAMETOOLONG);
        assert_eq!(refused(Statement::InputInterface(String::new())), Errno::EINVAL);
        assert_eq!(refused(Statement::Jump("a\0b".to_owned())), Errno::EINVAL);
        assert_eq!(refused(Statement::Goto("x".repeat(256))), Errno::ENAMETOOLONG);
    }
}
