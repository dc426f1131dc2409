//! `bridge`: a veth pair from the container to a bridge on the host.

mod bridge;
mod check;
mod config;
mod gateway;
mod host_gateway;
mod port;
mod vlan;

use std::net::IpAddr;

use cni_plugin::bindings::interface::wasm_cni::net::net;
use cni_plugin::{
    Attachment, Batch, Call, Condition, Context, Failure, InterfacePlugin, LinkAttr, LinkRef, Mistake, Netns, Output,
    Tolerance, go, iface, ipam, link, masquerade, require_host, result, spoof_check, try_all, veth,
};

use crate::bridge::HostBridge;
use crate::config::Config;
use crate::port::Port;

/// How long the reference polls for the port, in all.
const PORT_TIMEOUT_MS: u32 = 2550;
/// Where the container's interface stands in a result.
const CONTAINER: u32 = 2;

/// The plugin.
#[derive(Debug)]
pub struct Bridge;

impl InterfacePlugin for Bridge {
    fn add(call: &Call, sandbox: &Netns, host: Option<&Netns>) -> Result<Output, Failure> {
        let host = require_host(host)?;
        let config = Config::parse(&call.config, &call.args)?;
        config.permits_add()?;
        let bridge = HostBridge::ensure(host, &config)?;
        let port = Port::add(host, sandbox, &call.at.ifname, &config, &bridge)?;
        let mut output = match &config.ipam {
            Some(plugin) => {
                let ipam = ipam::add(plugin)?;
                layer3(ipam, call, &config, sandbox, host, &bridge, &port)?
            }
            None => layer2(call, &config, sandbox, &bridge, &port)?,
        };
        let state = read_links(&mut output, call, sandbox, host, &port)?;
        if !config.disable_container_interface && state != link::OPER_UP {
            wait_for(host, &port)?;
        }
        if let Some(dns) = config.dns {
            output.dns = dns;
        }
        Ok(output)
    }

    fn del(call: &Call, sandbox: Option<&Netns>, host: Option<&Netns>) -> Result<(), Failure> {
        let host = require_host(host)?;
        let config = Config::parse(&call.config, &call.args)?;
        let masquerade = config.masquerade()?;
        let addresses = masquerade.map_or_else(Vec::new, |_| masquerade::addresses(call, sandbox));
        let said = call.prev.as_ref().ok().and_then(Option::as_ref);
        // None of these must leak because another one is stuck. Rules first: the
        // kernel frees them while it waits with the link.
        try_all([
            if config.spoof_check { spoof_check::remove(host) } else { Ok(()) },
            masquerade.map_or(Ok(()), |_| masquerade::remove(host, &addresses)),
            sandbox.map_or(Ok(()), |sandbox| link::delete(sandbox, &call.at.ifname)),
            // The bridge and its interfaces in VLANs are everybody's.
            veth::delete_host_end(host, call, |interface| !config.is_shared(&interface.name, said)),
            config.ipam.as_ref().map_or(Ok(()), |plugin| ipam::del(plugin)),
        ])
    }

    fn check(call: &Call, sandbox: &Netns, host: Option<&Netns>) -> Result<(), Failure> {
        let host = require_host(host)?;
        let config = Config::parse(&call.config, &call.args)?;
        if let Some(plugin) = &config.ipam {
            ipam::check(plugin)?;
        }
        check::check(call, &config, sandbox, host)
    }

    fn status(config: &str, host: Option<&Netns>) -> Result<(), Failure> {
        let host = require_host(host)?;
        let config = Config::parse(config, "")?;
        config.permits_add()?;
        if let Some(masquerade) = config.masquerade()? {
            masquerade.status(host)?;
        }
        config.ipam.map_or(Ok(()), |plugin| ipam::status(&plugin))
    }

    fn gc(config: &str, live: &[Attachment], host: Option<&Netns>) -> Result<(), Failure> {
        let host = require_host(host)?;
        let config = Config::parse(config, "")?;
        // The configuration may have been another one when they were attached;
        // but who does not filter packets need not be able to.
        let masquerade = config.masquerade()?.is_some();
        let filters = [(masquerade::gc(host, live), masquerade), (spoof_check::gc(host, live), config.spoof_check)]
            .map(|(done, asked_for)| if asked_for { done } else { Ok(()) });
        let [masquerade, spoof_check] = filters;
        try_all([config.ipam.map_or(Ok(()), |plugin| ipam::gc(&plugin, live)), masquerade, spoof_check])
    }

    fn validate(config: &str) -> Vec<Mistake> {
        Config::validate(config)
    }
}

/// Addresses and routes for the container; the gateway's address for the bridge.
fn layer3(
    ipam: Output,
    call: &Call,
    config: &Config,
    sandbox: &Netns,
    host: &Netns,
    bridge: &HostBridge,
    port: &Port,
) -> Result<Output, Failure> {
    let ifname = &call.at.ifname;
    let mut output = Output { interfaces: interfaces(call, bridge, port), ..ipam };
    let gateways = gateway::choose(&mut output, config, CONTAINER)?;
    let mut batch = Batch::on(sandbox);
    let v6 = |key: &str| format!("net/ipv6/conf/{ifname}/{key}");
    let detect_duplicates = if config.enable_dad { "1" } else { "0" };
    let mut sysctls = vec![(v6("accept_dad"), detect_duplicates)];
    if config.enable_dad {
        sysctls.insert(0, (v6("enhanced_dad"), "1"));
    }
    sysctls.push((format!("net/ipv4/conf/{ifname}/arp_notify"), "1"));
    for (key, value) in sysctls {
        batch.sysctl(&key, value).tolerate(Tolerance::BestEffort);
    }
    let has_v6 = output.ips.iter().any(|ip| IpAddr::from(ip.address.addr).is_ipv6());
    iface::configure(batch, sandbox, ifname, &output, has_v6)?;
    let vlan_interface = host_gateway::set_up(host, config, bridge, &gateways)?;
    output.interfaces.extend(vlan_interface);
    if let Some(masquerade) = config.masquerade()? {
        masquerade.add(host, &output)?;
    }
    Ok(output)
}

/// A port and nothing more.
fn layer2(call: &Call, config: &Config, sandbox: &Netns, bridge: &HostBridge, port: &Port) -> Result<Output, Failure> {
    if !config.disable_container_interface {
        let name = &call.at.ifname;
        let mut batch = Batch::on(sandbox);
        batch
            .set_link(LinkRef::Name(name.clone()), [LinkAttr::Up(true)])
            .context(|| format!("failed to set {} up", go::quoted(name)));
        batch.commit()?;
    }
    Ok(Output { interfaces: interfaces(call, bridge, port), ..Output::default() })
}

/// The interfaces of a result, without the addresses that may still change.
fn interfaces(call: &Call, bridge: &HostBridge, port: &Port) -> Vec<cni_plugin::Iface> {
    let names = [(&bridge.link.name, ""), (&port.name, ""), (&call.at.ifname, call.netns.as_str())];
    names.map(|(name, sandbox)| result::named(name, sandbox)).into()
}

fn wait_for(host: &Netns, port: &Port) -> Result<(), Failure> {
    let index = LinkRef::Index(port.index);
    if net::wait(host, &index, Condition::OperUp, PORT_TIMEOUT_MS)? {
        return Ok(());
    }
    let state = link::by_name(host, &port.name)?.map_or(0, |link| link.operstate);
    if state == link::OPER_UP {
        return Ok(());
    }
    let state = link::operstate_name(state);
    Err(Failure::plain(format!("bridge port in error state: {state}")))
}

/// The bridge's address follows its ports', so it is read when all is done. Gives
/// the operational state of the port.
fn read_links(output: &mut Output, call: &Call, sandbox: &Netns, host: &Netns, port: &Port) -> Result<u8, Failure> {
    let mut state = 0;
    for interface in &mut output.interfaces {
        let inside = interface.name == call.at.ifname && interface.sandbox == call.netns;
        let namespace = if inside { sandbox } else { host };
        let words = || format!("failed to lookup {}", go::quoted(&interface.name));
        let found = link::by_name(namespace, &interface.name).context(words)?;
        let link = found.ok_or_else(|| format!("{}: Link not found", words()))?;
        interface.mac = cni_plugin::mac::format(&link.mac);
        if !inside && link.index == port.index {
            state = link.operstate;
        }
    }
    Ok(state)
}
