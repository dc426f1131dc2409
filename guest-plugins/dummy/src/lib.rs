//! `dummy`: an interface that drops what it is sent, for addresses that a container has
//! without a network behind them.

mod check;
mod config;

use cni_plugin::{
    Attachment, Batch, Call, Context, Failure, InterfacePlugin, Mistake, Netns, Output, dummy, go, iface, ipam, link,
    result, try_all,
};

/// The plugin.
#[derive(Debug)]
pub struct Dummy;

impl InterfacePlugin for Dummy {
    fn add(call: &Call, sandbox: &Netns, _: Option<&Netns>) -> Result<Output, Failure> {
        let plugin = config::required_ipam(&call.config)?;
        let ifname = &call.at.ifname;
        let mut batch = Batch::on(sandbox);
        batch.other(dummy::add(ifname, [])).context(|| "failed to create dummy".to_owned());
        batch.commit()?;
        let fetch = || format!("failed to fetch dummy{}", go::quoted(ifname));
        let made = link::by_name(sandbox, ifname).context(fetch)?;
        let made = made.ok_or_else(|| format!("{}: Link not found", fetch()))?;
        let mut output = ipam::add(&plugin)?;
        output.ips.iter_mut().for_each(|ip| ip.iface = Some(0));
        output.interfaces = vec![result::interface(&made, &call.netns)];
        iface::configure(Batch::on(sandbox), sandbox, ifname, &output, false)?;
        Ok(output)
    }

    fn del(call: &Call, sandbox: Option<&Netns>, _: Option<&Netns>) -> Result<(), Failure> {
        let plugin = config::ipam(&call.config)?;
        // Neither must leak because the other one is stuck.
        try_all([ipam::del(&plugin), sandbox.map_or(Ok(()), |sandbox| link::delete(sandbox, &call.at.ifname))])
    }

    fn check(call: &Call, sandbox: &Netns, _: Option<&Netns>) -> Result<(), Failure> {
        ipam::check(&config::required_ipam(&call.config)?)?;
        check::check(call, sandbox)
    }

    fn status(config: &str, _: Option<&Netns>) -> Result<(), Failure> {
        ipam::status(&config::ipam(config)?)
    }

    fn gc(config: &str, live: &[Attachment], _: Option<&Netns>) -> Result<(), Failure> {
        ipam::gc(&config::ipam(config)?, live)
    }

    fn validate(config: &str) -> Vec<Mistake> {
        config::validate(config)
    }
}
