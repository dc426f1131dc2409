//! Results, and the part of the configuration that goes straight into them.

use crate::decode::Object;
use crate::{CniRoute, Dns, Iface, Link, ip, mac};

/// A link as an entry of `interfaces`. `sandbox` is empty for the host's.
pub fn interface(link: &Link, sandbox: &str) -> Iface {
    Iface { mac: mac::format(&link.mac), ..named(&link.name, sandbox) }
}

/// An entry of `interfaces` with only a name.
pub fn named(name: &str, sandbox: &str) -> Iface {
    Iface { name: name.to_owned(), sandbox: sandbox.to_owned(), ..Iface::default() }
}

/// The `dns` of a configuration; `conf` is what has it among its members.
pub fn dns(conf: &Object<'_>) -> Dns {
    let Some(dns) = conf.object("dns", "types.DNS", "DNS") else {
        return Dns::default();
    };
    Dns {
        nameservers: dns.texts("nameservers"),
        domain: dns.text("domain").unwrap_or_default(),
        search: dns.texts("search"),
        options: dns.texts("options"),
    }
}

/// The `routes` of a configuration; `conf` is what has them among its members.
pub fn routes(conf: &Object<'_>) -> Vec<CniRoute> {
    let list = conf.list("routes", "[]*types.Route").unwrap_or_default();
    let routes = list.iter().filter_map(|route| route.opaque("types.route"));
    routes.filter_map(|members| route(&members)).collect()
}

fn route(route: &Object<'_>) -> Option<CniRoute> {
    let dst = route.parsed("dst", "string", ip::parse_cidr);
    let gw = route.parsed("gw", "net.IP", ip::parse_field).flatten();
    let number = |key| whole(route, key, u32::MAX).unwrap_or(0);
    let (mtu, advmss, priority) = (number("mtu"), number("advmss"), number("priority"));
    let table = whole(route, "table", u32::MAX);
    let scope = whole(route, "scope", u8::MAX.into());
    if route.is_absent("dst") {
        // The reference takes it, and prints a result that no one can read.
        route.refuse("dst", "invalid CIDR address: <nil>");
    }
    Some(CniRoute {
        dst: ip::unmapped(dst?).into(),
        gw: gw.map(Into::into),
        mtu,
        advmss,
        priority,
        table,
        scope: scope.map(|scope| scope as u8),
    })
}

fn whole(route: &Object<'_>, key: &str, max: u32) -> Option<u32> {
    let number = route.int(key)?;
    let fits = u32::try_from(number).ok().filter(|number| *number <= max);
    if fits.is_none() {
        route.refuse(key, format!("invalid route {key} {number} (must be between 0 and {max})"));
    }
    fits
}

/// Whether the `dns` of a configuration has a setting, which an empty list is, too.
pub fn has_dns(conf: &Object<'_>) -> bool {
    conf.object("dns", "types.DNS", "DNS").is_some_and(|dns| {
        let lists = ["nameservers", "search", "options"];
        lists.iter().any(|key| !dns.is_absent(key)) || dns.text("domain").is_some_and(|domain| !domain.is_empty())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::Document;

    fn read(text: &str) -> Result<Vec<CniRoute>, String> {
        let document = Document::parse(text).unwrap();
        let routes = routes(&document.root("IPAMConfig").embedded("ipam"));
        document.finish().map(|()| routes)
    }

    #[test]
    fn routes_keep_what_they_say() {
        let routes = read(r#"{"routes":[{"dst":"10.9.9.9/8","gw":"","scope":0}]}"#).unwrap();
        assert_eq!((routes[0].gw, routes[0].scope, routes[0].table), (None, Some(0), None));
        let mapped = read(r#"{"routes":[{"dst":"::ffff:10.9.0.0/112"}]}"#).unwrap();
        assert_eq!(mapped[0].dst, ip::parse_cidr("10.9.0.0/16").unwrap().into());
    }

    #[test]
    fn an_empty_list_is_a_setting_of_dns() {
        let given = |text: &str| has_dns(&Document::parse(text).unwrap().root("NetConf"));
        for dns in [r#"{"nameservers":[]}"#, r#"{"search":[]}"#, r#"{"options":["x"]}"#, r#"{"DOMAIN":"d"}"#] {
            assert!(given(&format!(r#"{{"dns":{dns}}}"#)), "{dns}");
        }
        for dns in ["null", "{}", r#"{"domain":""}"#, r#"{"nameservers":null,"x":[]}"#] {
            assert!(!given(&format!(r#"{{"dns":{dns}}}"#)), "{dns}");
        }
        assert!(!given("{}"));
    }

    #[test]
    fn bad_routes_have_gos_texts() {
        let json = "json: cannot unmarshal";
        for (routes, text) in [
            (r#"3"#, format!("{json} number into Go struct field IPAMConfig.ipam.routes of type []*types.Route")),
            (r#"[3]"#, format!("{json} number into Go struct field IPAMConfig.ipam.routes of type types.route")),
            (r#"[{"dst":3}]"#, format!("{json} number into Go struct field IPAMConfig.ipam.routes.dst of type string")),
            (
                r#"[{"dst":"1.0.0.0/8","gw":3}]"#,
                format!("{json} number into Go struct field IPAMConfig.ipam.routes.gw of type net.IP"),
            ),
            (
                r#"[{"dst":"1.0.0.0/8","mtu":"3"}]"#,
                format!("{json} string into Go struct field IPAMConfig.ipam.routes.mtu of type int"),
            ),
            (r#"[{"dst":"x"}]"#, "invalid CIDR address: x".into()),
            (r#"[{"dst":"1.0.0.0/8","gw":"x"}]"#, "invalid IP address: x".into()),
            (r#"[{}]"#, "invalid CIDR address: <nil>".into()),
            (r#"[{"dst":"1.0.0.0/8","mtu":-1}]"#, "invalid route mtu -1 (must be between 0 and 4294967295)".into()),
            (r#"[{"dst":"1.0.0.0/8","scope":256}]"#, "invalid route scope 256 (must be between 0 and 255)".into()),
        ] {
            assert_eq!(read(&format!(r#"{{"routes":{routes}}}"#)), Err(text), "{routes}");
        }
    }
}
