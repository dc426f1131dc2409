//! The link that a macvlan is on top of.

use cni_plugin::{Code, Failure, Link, LinkRef, Netns, Route, Tables, check, link};

use crate::config::NOT_FOUND;

/// The link of this name, or, without one, the device of the default route.
pub(crate) fn find(namespace: &Netns, master: &str) -> Result<Link, Failure> {
    let parent = if master.is_empty() {
        let now = link::all(namespace, Tables::ROUTES)?;
        default_device(&now.routes).ok_or("no default route interface found")?
    } else {
        LinkRef::Name(master.to_owned())
    };
    match link::find(namespace, parent, Tables::empty()) {
        Ok(Some((link, _))) => Ok(link),
        Ok(None) => Err(NOT_FOUND.into()),
        // It can't be a link's name.
        Err(error) if error.code == Code::Invalid => Err(NOT_FOUND.into()),
        Err(error) => Err(error.into()),
    }
}

/// Of the first default route in the main table, IPv4 before IPv6.
fn default_device(routes: &[Route]) -> Option<LinkRef> {
    let defaults = || routes.iter().filter(|route| route.dst.prefix == 0 && check::is_in_main(route.table));
    let v4 = defaults().find(|route| std::net::IpAddr::from(route.dst.addr).is_ipv4());
    v4.or_else(|| defaults().next()).map(|route| route.link.clone())
}

#[cfg(test)]
mod tests {
    use cni_plugin::ip;

    use super::*;

    fn route(index: u32, dst: &str, table: u32) -> Route {
        Route {
            link: LinkRef::Index(index),
            dst: ip::parse_cidr(dst).unwrap().into(),
            gateway: None,
            src: None,
            table,
            metric: 0,
            scope: 0,
            protocol: 3,
        }
    }

    #[test]
    fn the_first_default_route_of_the_main_table_counts() {
        let others = [route(1, "10.0.0.0/8", 254), route(2, "0.0.0.0/0", 100)];
        let v6 = [route(3, "::/0", 254)];
        let v4 = [route(4, "0.0.0.0/0", 254), route(5, "0.0.0.0/0", 254)];
        assert_eq!(default_device(&others), None);
        assert_eq!(default_device(&[&others[..], &v6[..]].concat()), Some(LinkRef::Index(3)));
        assert_eq!(default_device(&[&others[..], &v6[..], &v4[..]].concat()), Some(LinkRef::Index(4)));
    }
}
