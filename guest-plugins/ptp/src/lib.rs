//! `ptp`: a veth pair between container and host, and routes that make it a
//! point-to-point link.

mod check;
mod config;
mod routes;

use cni_plugin::veth::{self, MAKE_PAIR};
use cni_plugin::{
    Attachment, Batch, Call, CommitFailed, Context, Failure, Iface, InterfacePlugin, LinkAttr, LinkKind, LinkRef,
    Mistake, Netns, Output, Veth, forwarding, go, iface, ipam, link, mac, masquerade, require_host, result, try_all,
};

use crate::config::Config;
use crate::routes::Quiet;

/// Where the container's interface stands in a result.
const CONTAINER: u32 = 1;

/// The plugin.
#[derive(Debug)]
pub struct Ptp;

impl InterfacePlugin for Ptp {
    fn add(call: &Call, sandbox: &Netns, host: Option<&Netns>) -> Result<Output, Failure> {
        let host = require_host(host)?;
        let config = Config::parse(&call.config)?;
        let mut output = match &config.ipam {
            Some(plugin) => layer3(plugin, call, &config, sandbox, host)?,
            None => layer2(call, &config, sandbox, host)?,
        };
        for (interface, namespace) in output.interfaces.iter_mut().zip([host, sandbox]) {
            let words = || format!("failed to lookup {}", go::quoted(&interface.name));
            let found = link::by_name(namespace, &interface.name).context(words)?;
            interface.mac = mac::format(&found.ok_or_else(|| format!("{}: Link not found", words()))?.mac);
        }
        if let Some(dns) = config.dns {
            output.dns = dns;
        }
        Ok(output)
    }

    fn del(call: &Call, sandbox: Option<&Netns>, host: Option<&Netns>) -> Result<(), Failure> {
        let host = require_host(host)?;
        let config = Config::parse(&call.config)?;
        let masquerade = config.masquerade()?;
        let addresses = masquerade.map_or_else(Vec::new, |_| masquerade::addresses(call, sandbox));
        // None of these must leak because another one is stuck. Rules first: the
        // kernel frees them while it waits with the link.
        try_all([
            masquerade.map_or(Ok(()), |_| masquerade::remove(host, &addresses)),
            config.ipam.as_ref().map_or(Ok(()), |plugin| ipam::del(plugin)),
            sandbox.map_or(Ok(()), |sandbox| link::delete(sandbox, &call.at.ifname)),
            veth::delete_host_end(host, call, |_| true),
        ])
    }

    fn check(call: &Call, sandbox: &Netns, _: Option<&Netns>) -> Result<(), Failure> {
        let config = Config::parse(&call.config)?;
        config.ipam.as_ref().map_or(Ok(()), |plugin| ipam::check(plugin))?;
        check::check(call, sandbox)
    }

    fn status(config: &str, host: Option<&Netns>) -> Result<(), Failure> {
        let host = require_host(host)?;
        let config = Config::parse(config)?;
        if let Some(masquerade) = config.masquerade()? {
            masquerade.status(host)?;
        }
        config.ipam.map_or(Ok(()), |plugin| ipam::status(&plugin))
    }

    fn gc(config: &str, live: &[Attachment], host: Option<&Netns>) -> Result<(), Failure> {
        let host = require_host(host)?;
        let config = Config::parse(config)?;
        // The configuration may have been another one when they were attached;
        // but who does not filter packets need not be able to.
        let asked_for = config.masquerade()?.is_some();
        let masquerade = masquerade::gc(host, live).or_else(|failure| if asked_for { Err(failure) } else { Ok(()) });
        try_all([config.ipam.map_or(Ok(()), |plugin| ipam::gc(&plugin, live)), masquerade])
    }

    fn validate(config: &str) -> Vec<Mistake> {
        Config::validate(config)
    }
}

/// A pair with addresses and routes at both ends.
fn layer3(plugin: &str, call: &Call, config: &Config, sandbox: &Netns, host: &Netns) -> Result<Output, Failure> {
    let masquerade = config.masquerade()?;
    let ifname = &call.at.ifname;
    let mut output = ipam::add(plugin)?;
    let ends = routes::ends(&output)?;

    let has = |v4| ends.iter().any(|end| end.address.addr().is_ipv4() == v4);
    let mut batch = Batch::on(host);
    forwarding::enable(&mut batch, host, has(true), has(false), "Could not enable IP forwarding")?;
    batch.commit()?;
    let (name, index) = make_pair(host, sandbox, ifname, config)?;
    output.interfaces = interfaces(&name, call);
    output.ips.iter_mut().for_each(|ip| ip.iface = Some(CONTAINER));

    let quiet = has(false).then(|| Quiet::begin(&[(sandbox, ifname), (host, &name)])).transpose()?;
    let near = routes::to_far_gateways(ifname, &ends);
    iface::configure_beyond(Batch::on(sandbox), sandbox, ifname, &output, false, near)?;
    routes::of_container(sandbox, ifname, &ends)?;
    routes::of_host(host, index, &ends)?;
    quiet.map_or(Ok(()), |quiet| quiet.end(host, index))?;

    if let Some(masquerade) = masquerade {
        masquerade.add(host, &output)?;
    }
    Ok(output)
}

/// A pair and nothing more.
fn layer2(call: &Call, config: &Config, sandbox: &Netns, host: &Netns) -> Result<Output, Failure> {
    let ifname = &call.at.ifname;
    let (name, _) = make_pair(host, sandbox, ifname, config)?;
    let mut batch = Batch::on(sandbox);
    batch
        .set_link(LinkRef::Name(ifname.clone()), [LinkAttr::Up(true)])
        .context(|| format!("failed to set {} up", go::quoted(ifname)));
    batch.commit()?;
    Ok(Output { interfaces: interfaces(&name, call), ..Output::default() })
}

fn interfaces(host_end: &str, call: &Call) -> Vec<Iface> {
    vec![result::named(host_end, ""), result::named(&call.at.ifname, &call.netns)]
}

/// Gives the name and the index of the host's end.
fn make_pair(host: &Netns, sandbox: &Netns, ifname: &str, config: &Config) -> Result<(String, u32), Failure> {
    let make = |name: &str| try_make(name, host, sandbox, ifname, config.mtu);
    veth::make(sandbox, ifname, config.host_interface.as_deref(), make)
}

fn try_make(name: &str, host: &Netns, sandbox: &Netns, ifname: &str, mtu: Option<u32>) -> Result<u32, CommitFailed> {
    let mut batch = Batch::on(host);
    let kind = LinkKind::Veth(Veth {
        peer_name: ifname.to_owned(),
        peer_ns: batch.add_namespace(sandbox),
        peer_mac: None,
        peer_mtu: mtu,
    });
    let attrs = mtu.map(LinkAttr::Mtu).into_iter().chain([LinkAttr::Up(true)]);
    let end = batch.add_link(name, kind, attrs).context(|| MAKE_PAIR.to_owned()).made();
    Ok(batch.commit()?.index(&end))
}
