//! Results between the WIT's types and ours, and the check of what a guest
//! returns.

use wasm_cni_spec::{
    error::{CniError, ErrorKind},
    result::{Dns, Interface, IpConfig, Route, Success},
};

use crate::{
    bindings::cni::{self, Failure, Output},
    convert,
    limits::Limits,
    text::one_line,
};

/// Longest text in a result or an error, bytes.
const MAX_TEXT: usize = 4096;

/// An error, for a guest.
#[must_use]
pub fn failure(error: CniError) -> Failure {
    Failure { code: error.code, msg: error.msg, details: error.details }
}

/// A guest's error, fit for printing.
#[must_use]
pub fn error(failure: Failure) -> CniError {
    let text = |text: String| -> String {
        let end = text.floor_char_boundary(MAX_TEXT.min(text.len()));
        // Line breaks may be meant; other control characters are not.
        text[..end].chars().map(|c| if c.is_control() && c != '\n' && c != '\t' { ' ' } else { c }).collect()
    };
    CniError::new(failure.code, text(failure.msg)).details(text(failure.details)).of_kind(ErrorKind::Refused)
}

/// A result, for a guest.
#[must_use]
pub fn output(success: &Success) -> Output {
    let interface = |i: &Interface| cni::Iface {
        name: i.name.clone(),
        mac: i.mac.clone(),
        mtu: i.mtu,
        sandbox: i.sandbox.clone(),
        socket_path: i.socket_path.clone(),
        pci_id: i.pci_id.clone(),
    };
    let ip = |ip: &IpConfig| cni::IpConfig {
        address: convert::wit_net(ip.address),
        gateway: ip.gateway.map(convert::wit_ip),
        iface: ip.interface,
    };
    let route = |r: &Route| cni::CniRoute {
        dst: convert::wit_net(r.dst),
        gw: r.gw.map(convert::wit_ip),
        mtu: r.mtu,
        advmss: r.advmss,
        priority: r.priority,
        table: r.table,
        scope: r.scope,
    };
    Output {
        interfaces: success.interfaces.iter().map(interface).collect(),
        ips: success.ips.iter().map(ip).collect(),
        routes: success.routes.iter().map(route).collect(),
        dns: cni::Dns {
            nameservers: success.dns.nameservers.clone(),
            domain: success.dns.domain.clone(),
            search: success.dns.search.clone(),
            options: success.dns.options.clone(),
        },
    }
}

/// A guest's result, if it makes sense.
///
/// # Errors
///
/// What does not, for people.
pub fn success(output: Output, limits: &Limits) -> Result<Success, String> {
    let dns = &output.dns;
    let texts = dns.nameservers.len() + dns.search.len() + dns.options.len();
    let items = output.interfaces.len() + output.ips.len() + output.routes.len() + texts;
    if items > limits.result_items {
        return Err(format!("it has {items} items, more than the {} allowed", limits.result_items));
    }
    let interfaces = output.interfaces.into_iter().map(interface).collect::<Result<Vec<_>, _>>()?;
    let ips = output.ips.iter().map(|ip| address(ip, interfaces.len())).collect::<Result<_, _>>()?;
    let routes = output.routes.iter().map(route).collect::<Result<_, _>>()?;
    let list = |texts: Vec<String>| texts.into_iter().map(text).collect::<Result<Vec<_>, _>>();
    let dns = Dns {
        nameservers: list(output.dns.nameservers)?,
        domain: text(output.dns.domain)?,
        search: list(output.dns.search)?,
        options: list(output.dns.options)?,
    };
    Ok(Success { interfaces, ips, routes, dns })
}

fn interface(iface: cni::Iface) -> Result<Interface, String> {
    convert::link_name(&iface.name, "interface").map_err(|e| format!("interface {:?}: {}", iface.name, e.msg))?;
    Ok(Interface {
        name: iface.name,
        mac: text(iface.mac)?,
        mtu: iface.mtu,
        sandbox: text(iface.sandbox)?,
        socket_path: text(iface.socket_path)?,
        pci_id: text(iface.pci_id)?,
    })
}

fn address(ip: &cni::IpConfig, interfaces: usize) -> Result<IpConfig, String> {
    let address = convert::ip_net(&ip.address, "address").map_err(|e| format!("an address: {}", e.msg))?;
    if let Some(index) = ip.iface
        && usize::try_from(index).is_ok_and(|index| index >= interfaces)
    {
        return Err(format!("address {address} is of interface {index}, but there are {interfaces}"));
    }
    Ok(IpConfig { address, gateway: ip.gateway.as_ref().map(convert::ip), interface: ip.iface })
}

fn route(route: &cni::CniRoute) -> Result<Route, String> {
    Ok(Route {
        dst: convert::ip_net(&route.dst, "route").map_err(|e| format!("a route: {}", e.msg))?,
        gw: route.gw.as_ref().map(convert::ip),
        mtu: route.mtu,
        advmss: route.advmss,
        priority: route.priority,
        table: route.table,
        scope: route.scope,
    })
}

/// What a guest says is wrong with its configuration, if it makes sense.
///
/// # Errors
///
/// What does not, for people.
pub fn mistakes(mistakes: Vec<cni::Mistake>, limits: &Limits) -> Result<Vec<cni::Mistake>, String> {
    let most = limits.result_items;
    if mistakes.len() > most {
        return Err(format!("it has {} mistakes, more than the {most} allowed", mistakes.len()));
    }
    let fit = |text: String| one_line(&text[..text.floor_char_boundary(MAX_TEXT.min(text.len()))]);
    let mistake = |m: cni::Mistake| cni::Mistake { key: fit(m.key), msg: fit(m.msg), harmless: m.harmless };
    Ok(mistakes.into_iter().map(mistake).collect())
}

fn text(text: String) -> Result<String, String> {
    if text.len() > MAX_TEXT {
        return Err(format!("a text of {} bytes", text.len()));
    }
    if text.contains(char::is_control) {
        return Err(format!("control characters in {:?}", one_line(&text)));
    }
    Ok(text)
}
