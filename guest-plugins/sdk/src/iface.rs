//! Addresses and routes for the container's interface, as IPAM gave them.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::bindings::interface::wasm_cni::net::net::{self, sysctl_get};
use crate::check::LOCAL_TABLE;
use crate::routes::{self, Hop, How};
use crate::{
    Batch, CniRoute, Code, Condition, Context, Failure, IpConfig, LinkAttr, LinkRef, Netns, Output, Route, Tables,
    Tolerance, go, link,
};

/// `IFA_F_DADFAILED` (linux/if_addr.h).
const DAD_FAILED: u32 = 0x08;
/// `IFA_F_TENTATIVE` (linux/if_addr.h).
const TENTATIVE: u32 = 0x40;
/// `RTPROT_BOOT` (linux/rtnetlink.h).
const PROTOCOL_BOOT: u8 = 3;
const DAD_TIMEOUT_MS: u32 = 5000;
/// `RT_SCOPE_LINK` (linux/rtnetlink.h): destinations from here on are on the link itself.
const SCOPE_LINK: u8 = 253;
/// What the kernel makes of larger ones (`ip_metrics_convert`).
const MAX_MTU: u32 = 65_535 - 15;
const MAX_MSS: u32 = 65_535 - 40;

/// Addresses `ifname`, sets it up, and adds the routes of `output`; then, with
/// `announce`, the neighbours are told (the kernel does it for IPv4, if the
/// sysctl `arp_notify` is 1). `batch` is of `sandbox` and holds what comes before, so
/// that all of it is one host call (two where an IPv6 gateway has to wait for
/// duplicate address detection).
pub fn configure<'n>(
    batch: Batch<'n>,
    sandbox: &'n Netns,
    ifname: &'n str,
    output: &'n Output,
    announce: bool,
) -> Result<(), Failure> {
    configure_beyond(batch, sandbox, ifname, output, announce, Vec::new())
}

/// [`configure`] for gateways that are in no network of the addresses: `near` are the routes
/// to them, which come before the others.
pub fn configure_beyond<'n>(
    mut batch: Batch<'n>,
    sandbox: &'n Netns,
    ifname: &'n str,
    output: &'n Output,
    announce: bool,
    near: Vec<Route>,
) -> Result<(), Failure> {
    let link = LinkRef::Name(ifname.to_owned());
    let (mut gateway_v4, mut gateway_v6) = (None, None);
    let mut v6_ready = false;
    for ip in &output.ips {
        let Some(interface) = ip.iface else { continue };
        let address = IpNet::try_from(ip.address)?;
        let named = output.interfaces.get(interface as usize);
        if named.is_none_or(|interface| interface.name != ifname) {
            let shown = show(ip, &address);
            return Err(Failure::plain(format!(
                "failed to add IP addr {shown} to {}: invalid interface index",
                go::quoted(ifname)
            )));
        }
        if address.addr().is_ipv6() && !v6_ready {
            enable_ipv6(&mut batch, sandbox, ifname)?;
            v6_ready = true;
        }
        batch
            .add_address(link.clone(), address)
            .context(move || format!("failed to add IP addr {} to {}", show(ip, &address), go::quoted(ifname)));
        let gateway = ip.gateway.map(IpAddr::from);
        if address.addr().is_ipv4() {
            gateway_v4 = gateway_v4.or(gateway);
        } else {
            gateway_v6 = gateway_v6.or(gateway);
        }
    }
    batch
        .set_link(link.clone(), [LinkAttr::Up(true)])
        .context(move || format!("failed to set {} UP", go::quoted(ifname)));
    if gateway_v6.is_some() {
        batch.commit()?;
        settle(sandbox, ifname)?;
        batch = Batch::on(sandbox);
    }
    for route in near {
        let words = move || format!("failed to add the route to a gateway of {}", go::quoted(ifname));
        batch.add_route(route).tolerate(Tolerance::OkIfExists).context(words);
    }
    for route in &output.routes {
        let dst = IpNet::try_from(route.dst)?;
        let default = if dst.addr().is_ipv4() { gateway_v4 } else { gateway_v6 };
        let gateway = gateway_of(&dst, route, default);
        let simple = kernel_route(&link, route, gateway);
        let change = match has_metrics(route) {
            true => batch.other(routes::add(&with_metrics(simple, route), How::Append)),
            false => batch.add_route(simple),
        };
        change.context(move || refused_route(&dst, route, gateway, ifname));
    }
    if announce {
        batch.announce(link).tolerate(Tolerance::BestEffort);
    }
    batch.commit()?;
    Ok(())
}

/// IPv6 on in `lo` and `ifname`, where it is off; addresses outlive a link that
/// goes down.
fn enable_ipv6<'n>(batch: &mut Batch<'n>, sandbox: &Netns, ifname: &'n str) -> Result<(), Failure> {
    let keys = ["lo", ifname].map(|name| format!("net/ipv6/conf/{name}/disable_ipv6"));
    let values = sysctl_get(sandbox, &keys)?;
    for ((key, value), name) in keys.into_iter().zip(values).zip(["lo", ifname]) {
        // A kernel without IPv6 has no key, and says so when the address comes.
        let Some(value) = value.filter(|value| value != "0") else {
            continue;
        };
        batch
            .sysctl(&key, "0")
            .context(move || format!("failed to enable IPv6 for interface {} ({key}={value})", go::quoted(name)));
    }
    // Nothing depends on it. The reference fails where it can't be set: where /proc/sys is read-only, say.
    batch.sysctl(&format!("net/ipv6/conf/{ifname}/keep_addr_on_down"), "1").tolerate(Tolerance::BestEffort);
    Ok(())
}

/// Waits for duplicate address detection: routes can't use an address before.
fn settle(sandbox: &Netns, ifname: &str) -> Result<(), Failure> {
    let words = || format!("failed to settle addresses for {}", go::quoted(ifname));
    let name = || LinkRef::Name(ifname.to_owned());
    let state = || -> Result<_, Failure> {
        let found = link::find(sandbox, name(), Tables::ADDRESSES).context(words)?;
        let (eth, snapshot) = found.ok_or_else(|| format!("{}: Link not found", words()))?;
        let v6 = snapshot.addresses.into_iter().filter_map(|address| {
            let ip = IpAddr::from(address.ip.addr);
            ip.is_ipv6().then_some((ip, address.flags))
        });
        Ok((eth.operstate, v6.collect::<Vec<_>>()))
    };
    let (mut operstate, mut v6) = state()?;
    // Most links have no detection, so that there is nothing to wait for.
    if v6.iter().any(|(_, flags)| flags & (TENTATIVE | DAD_FAILED) == TENTATIVE) {
        match net::wait(sandbox, &name(), Condition::AddressesSettled, DAD_TIMEOUT_MS) {
            Ok(_) => {}
            Err(error) if error.code == Code::Timeout => {}
            Err(error) => return Err(error).context(words),
        }
        (operstate, v6) = state()?;
    }
    verdict(ifname, operstate, v6.into_iter()).context(words)
}

fn verdict(ifname: &str, operstate: u8, addresses: impl Iterator<Item = (IpAddr, u32)>) -> Result<(), String> {
    let mut tentative = false;
    for (ip, flags) in addresses {
        if flags & DAD_FAILED != 0 {
            return Err(format!("link {ifname} has address {ip} in DADFAILED state"));
        }
        tentative |= flags & TENTATIVE != 0;
    }
    if tentative && operstate == link::OPER_UP {
        // Go's Duration as a number: nanoseconds that the reference calls seconds.
        return Err(format!("link {ifname} still has tentative addresses after 5000000000 seconds"));
    }
    Ok(())
}

/// The route's own gateway, or else the address's. In IPv4 a destination on the link itself
/// has none, and the kernel takes it with none only.
fn gateway_of(dst: &IpNet, route: &CniRoute, default: Option<IpAddr>) -> Option<IpAddr> {
    let is_near = dst.addr().is_ipv4() && route.scope.is_some_and(|scope| scope >= SCOPE_LINK);
    route.gw.map(IpAddr::from).or(default.filter(|_| !is_near))
}

/// Whether it says more than the simple routes can. Of the local table, whose routes are the
/// kernel's, the host takes simple ones only.
fn has_metrics(route: &CniRoute) -> bool {
    (route.mtu != 0 || route.advmss != 0) && route.table != Some(LOCAL_TABLE)
}

fn with_metrics(simple: Route, route: &CniRoute) -> routes::Route {
    let Route { link, dst, gateway, src, table, metric, scope, protocol } = simple;
    routes::Route {
        kind: routes::Kind::Unicast,
        dst,
        hops: vec![Hop { gateway, ..Hop::by(link) }],
        src,
        table,
        metric,
        scope,
        protocol,
        mtu: route.mtu.min(MAX_MTU),
        advmss: route.advmss.min(MAX_MSS),
    }
}

fn kernel_route(link: &LinkRef, route: &CniRoute, gateway: Option<IpAddr>) -> Route {
    Route {
        link: link.clone(),
        dst: route.dst,
        gateway: gateway.map(Into::into),
        src: None,
        table: route.table.unwrap_or(0),
        metric: route.priority,
        scope: route.scope.unwrap_or(0),
        protocol: PROTOCOL_BOOT,
    }
}

fn refused_route(dst: &IpNet, route: &CniRoute, gateway: Option<IpAddr>, ifname: &str) -> String {
    format!(
        "failed to add route '{{{} {}}} via {} dev {ifname} metric {} (Scope: {}, Table: {})'",
        dst.addr(),
        go::mask(dst),
        go::or_nil(gateway),
        route.priority,
        scope_name(route.scope.unwrap_or(0)),
        route.table.unwrap_or(0),
    )
}

fn scope_name(scope: u8) -> String {
    let name = match scope {
        0 => "universe",
        200 => "site",
        253 => "link",
        254 => "host",
        255 => "nowhere",
        _ => return "unknown".to_owned(),
    };
    name.to_owned()
}

fn show(ip: &IpConfig, address: &IpNet) -> String {
    format!(
        "{{Interface:{} Address:{{IP:{} Mask:{}}} Gateway:{}}}",
        go::or_nil(ip.iface),
        address.addr(),
        go::mask(address),
        go::or_nil(ip.gateway.map(IpAddr::from)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(operstate: u8, flags: &[u32]) -> Result<(), String> {
        let addresses = flags.iter().map(|flags| ("fd00::2".parse().unwrap(), *flags));
        verdict("eth0", operstate, addresses)
    }

    #[test]
    fn a_duplicate_address_fails() {
        assert_eq!(
            judge(link::OPER_UP, &[0x80, DAD_FAILED | TENTATIVE]).unwrap_err(),
            "link eth0 has address fd00::2 in DADFAILED state"
        );
    }

    #[test]
    fn a_tentative_address_matters_only_on_a_link_that_is_up() {
        assert_eq!(
            judge(link::OPER_UP, &[TENTATIVE]).unwrap_err(),
            "link eth0 still has tentative addresses after 5000000000 seconds"
        );
        assert_eq!(judge(2, &[TENTATIVE]), Ok(()));
        assert_eq!(judge(link::OPER_UP, &[0x80]), Ok(()));
    }

    #[test]
    fn a_destination_on_the_link_has_no_gateway_but_its_own() {
        let gateway = |dst: &str, scope, gw: Option<&str>| {
            let dst = dst.parse().unwrap();
            let gw = gw.map(|gw| gw.parse::<IpAddr>().unwrap().into());
            let route = CniRoute { scope, gw, ..CniRoute::default() };
            gateway_of(&dst, &route, "10.1.0.1".parse().ok()).map(|ip| ip.to_string())
        };
        let default = Some("10.1.0.1".to_owned());
        assert_eq!(gateway("10.9.0.0/16", None, None), default);
        assert_eq!(gateway("10.9.0.0/16", Some(0), None), default);
        assert_eq!(gateway("10.9.0.0/16", Some(253), None), None);
        assert_eq!(gateway("10.9.0.1/32", Some(254), None), None);
        assert_eq!(gateway("10.9.0.0/16", Some(253), Some("10.1.0.9")).as_deref(), Some("10.1.0.9"));
        // IPv6 has no scopes of routes.
        assert_eq!(gateway("fd00::/64", Some(253), None), default);
    }

    #[test]
    fn mtu_and_mss_are_set_as_far_as_the_kernel_takes_them() {
        let route = |mtu, advmss, table| CniRoute { mtu, advmss, table, ..CniRoute::default() };
        let [none, small, large] = [route(0, 0, None), route(1400, 0, Some(100)), route(70_000, u32::MAX, None)];
        assert!(!has_metrics(&none) && !has_metrics(&route(1400, 0, Some(LOCAL_TABLE))));
        assert!(has_metrics(&small) && has_metrics(&large));
        let link = LinkRef::Name("eth0".to_owned());
        let gateway: Option<IpAddr> = "10.1.0.1".parse().ok();
        let of = |route: &CniRoute| with_metrics(kernel_route(&link, route, gateway), route);
        let set = of(&small);
        assert_eq!((set.mtu, set.advmss, set.table), (1400, 0, 100));
        assert_eq!((set.hops.len(), set.hops[0].gateway), (1, gateway.map(Into::into)));
        assert_eq!((of(&large).mtu, of(&large).advmss), (65_520, 65_495));
    }

    #[test]
    fn a_refused_route_is_named_as_the_reference_names_it() {
        let route = CniRoute { dst: "9.0.0.0/8".parse::<IpNet>().unwrap().into(), priority: 7, ..CniRoute::default() };
        let dst = "9.0.0.0/8".parse().unwrap();
        assert_eq!(
            refused_route(&dst, &route, "10.5.5.5".parse().ok(), "eth0"),
            "failed to add route '{9.0.0.0 ff000000} via 10.5.5.5 dev eth0 metric 7 \
             (Scope: universe, Table: 0)'"
        );
    }
}
