//! `macvlan`: an interface of the container with a MAC of its own on a link of the host, or
//! of the container.

mod check;
mod config;
mod parent;

use cni_plugin::macvlan::{self, Macvlan};
use cni_plugin::{
    Attachment, Batch, Call, Code, CommitFailed, Context, Failure, InterfacePlugin, Link, LinkAttr, LinkRef, Mistake,
    Netns, Output, Tolerance, go, iface, ipam, link, require_host, result, try_all,
};

use crate::config::Config;

/// The plugin.
#[derive(Debug)]
pub struct MacvlanPlugin;

impl InterfacePlugin for MacvlanPlugin {
    fn add(call: &Call, sandbox: &Netns, host: Option<&Netns>) -> Result<Output, Failure> {
        let (config, parent) = load(call, sandbox, host)?;
        let ifname = &call.at.ifname;
        make(&config, &parent, sandbox, host, ifname)?;
        let fetch = || format!("failed to refetch macvlan {}", go::quoted(ifname));
        let made = link::by_name(sandbox, ifname).context(fetch)?;
        let made = made.ok_or_else(|| format!("{}: Link not found", fetch()))?;
        let interfaces = vec![result::interface(&made, &call.netns)];
        if config.ipam.is_empty() {
            return Ok(Output { interfaces, dns: config.dns, ..Output::default() });
        }
        // The interface is there by now: a DHCP client asks through it.
        let given = ipam::add(&config.ipam)?;
        let mut output = Output { interfaces, dns: config.dns, ..given };
        output.ips.iter_mut().for_each(|ip| ip.iface = Some(0));
        let mut batch = Batch::on(sandbox);
        for key in [format!("net/ipv4/conf/{ifname}/arp_notify"), format!("net/ipv6/conf/{ifname}/ndisc_notify")] {
            batch.sysctl(&key, "1").tolerate(Tolerance::BestEffort);
        }
        iface::configure(batch, sandbox, ifname, &output, false)?;
        Ok(output)
    }

    // Neither the parent nor CNI_ARGS matter any more.
    fn del(call: &Call, sandbox: Option<&Netns>, _: Option<&Netns>) -> Result<(), Failure> {
        let config = Config::parse_for_del(&call.config)?;
        // Neither must leak because the other one is stuck.
        try_all([
            ipam::with(&config.ipam, ipam::del),
            sandbox.map_or(Ok(()), |sandbox| link::delete(sandbox, &call.at.ifname)),
        ])
    }

    fn check(call: &Call, sandbox: &Netns, host: Option<&Netns>) -> Result<(), Failure> {
        let (config, _) = load(call, sandbox, host)?;
        ipam::with(&config.ipam, ipam::check)?;
        let prev = call.prev_result()?.ok_or("required prevResult missing")?;
        check::check(call, prev, sandbox, || config.mode())
    }

    // Not whether there is a parent, as in the reference: that can change until the ADD.
    fn status(config: &str, _: Option<&Netns>) -> Result<(), Failure> {
        ipam::with(&Config::parse(config)?.ipam, ipam::status)
    }

    fn gc(config: &str, live: &[Attachment], _: Option<&Netns>) -> Result<(), Failure> {
        ipam::with(&Config::parse(config)?.ipam, |plugin| ipam::gc(plugin, live))
    }

    fn validate(config: &str) -> Vec<Mistake> {
        Config::validate(config)
    }
}

/// The configuration and the parent, in the order in which the reference looks at them.
fn load(call: &Call, sandbox: &Netns, host: Option<&Netns>) -> Result<(Config, Link), Failure> {
    let mut config = Config::parse(&call.config)?;
    let parent = parent::find(namespace(&config, sandbox, host)?, &config.master)?;
    config.mtu(parent.mtu)?;
    config.read_args(&call.args)?;
    Ok((config, parent))
}

/// The namespace of the parent.
fn namespace<'n>(config: &Config, sandbox: &'n Netns, host: Option<&'n Netns>) -> Result<&'n Netns, Failure> {
    if config.link_in_container { Ok(sandbox) } else { require_host(host) }
}

/// Makes the interface where it belongs and under its name, and, if it gets no address, sets
/// it up.
fn make(config: &Config, parent: &Link, sandbox: &Netns, host: Option<&Netns>, ifname: &str) -> Result<(), Failure> {
    let mode = config.mode()?;
    let mac = config.mac()?.map(LinkAttr::Mac);
    let mtu = config.mtu(parent.mtu)?.map(LinkAttr::Mtu);
    let mut batch = Batch::on(sandbox);
    let parent_ns = if config.link_in_container { 0 } else { batch.add_namespace(require_host(host)?) };
    let parent = LinkRef::Index(parent.index);
    let macvlan = Macvlan { name: ifname, parent, parent_ns, mode, bc_queue_len: config.bc_queue_len };
    let made = batch.other(macvlan::add(&macvlan, mtu.into_iter().chain(mac))).made();
    if config.ipam.is_empty() {
        batch.set_link(made, [LinkAttr::Up(true)]).context(|| format!("failed to set {} UP", go::quoted(ifname)));
    }
    batch.commit().map(drop).map_err(|failed| refusal(failed, ifname))
}

/// The reference makes it under another name and renames it: that is where it finds out that
/// the name is taken.
fn refusal(failed: CommitFailed, ifname: &str) -> Failure {
    match failed {
        CommitFailed { at: 0, cause, .. } if cause.code == Code::Exists => {
            format!("failed to rename macvlan to {}: {}", go::quoted(ifname), cause.message()).into()
        }
        CommitFailed { at: 0, cause, .. } => format!("failed to create macvlan: {}", cause.message()).into(),
        later => later.into(),
    }
}
