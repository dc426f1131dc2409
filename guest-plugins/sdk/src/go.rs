//! Go's way of writing values, where the reference's messages show it.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::{CniRoute, Failure};

/// `%q` of a string.
pub fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_control() => quoted.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// `%v` of a value that may be a nil pointer.
pub fn or_nil<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "<nil>".to_owned(), |value| value.to_string())
}

/// A mask, as `net.IPMask` prints it: `ffffff00`.
pub fn mask(net: &IpNet) -> String {
    match net.netmask() {
        IpAddr::V4(mask) => format!("{:08x}", mask.to_bits()),
        IpAddr::V6(mask) => format!("{:032x}", mask.to_bits()),
    }
}

/// `%v` of a `types.Route`.
pub fn route(route: &CniRoute) -> Result<String, Failure> {
    let dst = IpNet::try_from(route.dst)?;
    Ok(format!(
        "{{Dst:{{IP:{} Mask:{}}} GW:{} MTU:{} AdvMSS:{} Priority:{} Table:{} Scope:{}}}",
        dst.addr(),
        mask(&dst),
        or_nil(route.gw.map(IpAddr::from)),
        route.mtu,
        route.advmss,
        route.priority,
        or_nil(route.table),
        or_nil(route.scope),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(quoted("a\"b\\\n\u{1}"), r#""a\"b\\\n\x01""#);
    }

    #[test]
    fn a_route_prints_as_gos_struct() {
        let route = super::route(&CniRoute {
            dst: "9.0.0.0/8".parse::<IpNet>().unwrap().into(),
            gw: Some("10.1.0.1".parse::<IpAddr>().unwrap().into()),
            ..CniRoute::default()
        });
        assert_eq!(
            route.unwrap(),
            "{Dst:{IP:9.0.0.0 Mask:ff000000} GW:10.1.0.1 MTU:0 AdvMSS:0 Priority:0 \
             Table:<nil> Scope:<nil>}"
        );
    }
}
