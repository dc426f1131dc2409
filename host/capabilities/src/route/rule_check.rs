//! A guest's routing rules as the kernel takes them, and as it will show them.

use wasm_cni_kernel::{IpFamily, RoutingRule};

use crate::{
    bindings::{
        rules::{self, Family},
        types,
    },
    convert,
    failure::refuse,
};

const RT_TABLE_MAIN: u32 = 254;

/// Of which addresses it speaks.
pub(super) fn ip_family(family: Family) -> IpFamily {
    match family {
        Family::Inet => IpFamily::Inet,
        Family::Inet6 => IpFamily::Inet6,
    }
}

/// A guest's rule as the kernel takes it, and as it will show it.
pub(super) fn checked(rule: &rules::Rule, what: &str) -> Result<RoutingRule, types::Error> {
    let net = |net: &Option<types::IpNet>| {
        let net = net.as_ref().map(|net| convert::ip_net(net, what)).transpose()?;
        if net.is_some_and(|net| net.addr().is_ipv4() != (rule.family == Family::Inet)) {
            return Err(refuse(types::Code::Invalid, what, "source or destination is of another family than the rule"));
        }
        // Prefix 0 is any, and is not shown.
        Ok(net.filter(|net| net.prefix_len() != 0))
    };
    for name in [&rule.iif, &rule.oif] {
        if !name.is_empty() {
            convert::link_name(name, what)?;
        }
    }
    Ok(RoutingRule {
        family: ip_family(rule.family),
        priority: rule.priority,
        src: net(&rule.src)?,
        dst: net(&rule.dst)?,
        iif: rule.iif.clone(),
        oif: rule.oif.clone(),
        mark: rule.mark.filter(|mark| *mark != (0, 0)),
        table: if rule.table == 0 { RT_TABLE_MAIN } else { rule.table },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_no_sense_is_refused() {
        let net = |text: &str, prefix| {
            let ip: std::net::IpAddr = text.parse().unwrap();
            Some(types::IpNet { addr: convert::wit_ip(ip), prefix })
        };
        let all = rules::Rule {
            family: rules::Family::Inet,
            priority: None,
            src: net("10.0.0.0", 0),
            dst: None,
            iif: String::new(),
            oif: String::new(),
            mark: Some((0, 0)),
            table: 0,
        };
        let accepted = checked(&all, "rule-add").unwrap();
        assert_eq!((accepted.src, accepted.mark, accepted.table), (None, None, 254));
        for bad in [
            rules::Rule { src: net("10.0.0.0", 33), ..all.clone() },
            rules::Rule { dst: net("fd00::", 64), ..all.clone() },
            rules::Rule { family: rules::Family::Inet6, ..all.clone() },
            rules::Rule { iif: "a/b".into(), ..all.clone() },
            rules::Rule { oif: "sixteen-bytes-xx".into(), ..all },
        ] {
            assert_eq!(checked(&bad, "rule-add").unwrap_err().code, types::Code::Invalid, "{bad:?}");
        }
    }
}
