//! `host-device`: a network device of the host, moved into the container. It
//! remembers its name in its alias, and goes back under it.

mod check;
mod config;
mod device;
mod moves;
mod selector;

use cni_plugin::{
    Attachment, Batch, Call, Context, Failure, InterfacePlugin, Mistake, Netns, Output, iface, ipam, log, require_host,
    result, try_all,
};

use crate::config::Config;
use crate::device::Device;

/// The plugin.
#[derive(Debug)]
pub struct HostDevice;

impl InterfacePlugin for HostDevice {
    fn add(call: &Call, sandbox: &Netns, host: Option<&Netns>) -> Result<Output, Failure> {
        let host = require_host(host)?;
        let config = Config::parse(&call.config)?;
        let device = Device::of(&config)?;
        let ifname = &call.at.ifname;
        let mut interface = result::named(ifname, &call.netns);
        if !device.dpdk {
            let link = device.find(host).context(|| selector::NO_DEVICE.to_owned())?;
            moves::take(host, sandbox, &link, ifname).map_err(|text| format!("failed to move link {text}"))?;
            interface.mac = device::mac_of(&link);
        }
        if config.ipam.is_empty() {
            return Ok(Output { interfaces: vec![interface], ..Output::default() });
        }
        // It is there by now: a DHCP client asks through it.
        let mut output = ipam::add(&config.ipam)?;
        output.interfaces = vec![interface];
        output.ips.iter_mut().for_each(|ip| ip.iface = Some(0));
        if !device.dpdk {
            iface::configure(Batch::on(sandbox), sandbox, ifname, &output, true)?;
        }
        output.dns = config.dns;
        Ok(output)
    }

    fn del(call: &Call, sandbox: Option<&Netns>, host: Option<&Netns>) -> Result<(), Failure> {
        let host = require_host(host)?;
        let config = Config::parse(&call.config)?;
        config.require_selection()?;
        let device = Device::of(&config);
        if let Err(failure) = &device {
            log::warn(&format!("the device can't be looked up any more: {}", failure.msg));
        }
        let is_dpdk = device.as_ref().map_or(config.dpdk, |device| device.dpdk);
        // Neither must leak because the other one is stuck. A DHCP client says
        // goodbye through the device.
        try_all([
            ipam::with(&config.ipam, ipam::del),
            match (sandbox, device) {
                _ if is_dpdk => Ok(()),
                (Some(sandbox), device) => moves::give_back(sandbox, host, device.ok().as_ref(), &call.at.ifname),
                (None, Ok(device)) => moves::restore(host, &device, &call.at.ifname),
                (None, Err(_)) => Ok(()),
            },
        ])
    }

    fn check(call: &Call, sandbox: &Netns, _: Option<&Netns>) -> Result<(), Failure> {
        let config = Config::parse(&call.config)?;
        let device = Device::of(&config)?;
        ipam::with(&config.ipam, ipam::check)?;
        let prev = call.required_prev_result()?;
        if device.dpdk { Ok(()) } else { check::check(call, prev, sandbox) }
    }

    // Not whether the device is there: one that is in use is not.
    fn status(config: &str, _: Option<&Netns>) -> Result<(), Failure> {
        let config = Config::parse(config)?;
        config.require_selection()?;
        ipam::with(&config.ipam, ipam::status)
    }

    fn gc(config: &str, live: &[Attachment], _: Option<&Netns>) -> Result<(), Failure> {
        ipam::with(&Config::parse(config)?.ipam, |plugin| ipam::gc(plugin, live))
    }

    fn validate(config: &str) -> Vec<Mistake> {
        Config::validate(config)
    }
}
