//! `sbr`: source-based routing. What the container sends from an address of its interface goes by a table of its own, so
//! that the answer leaves by the interface that the question came by.

mod config;
mod plan;

use cni_plugin::routes::{self, How};
use cni_plugin::rules::{self, Rule};
use cni_plugin::{
    Batch, Call, Context, Failure, InterfacePlugin, IpConfig, IpNet, LinkRef, Mistake, Netns, Output, Tables,
    Tolerance, link, log,
};

use crate::config::Config;
use crate::plan::{MAIN, Own, Plan};

/// The plugin.
#[derive(Debug)]
pub struct Sbr;

impl InterfacePlugin for Sbr {
    fn add(call: &Call, sandbox: &Netns, _: Option<&Netns>) -> Result<Output, Failure> {
        let config = Config::parse(&call.config)?;
        let prev = call.prev_result()?.ok_or("This plugin must be called as chained plugin")?;
        let ips = addresses(&call.at.ifname, prev)?;
        match config.table()? {
            Some(table) => only_rules(sandbox, &ips, table)?,
            None => own_tables(call, sandbox, &config, prev, &ips)?,
        }
        Ok(prev.clone())
    }

    // The rules of the addresses that the interface has now. Routes go with the interface.
    fn del(call: &Call, sandbox: Option<&Netns>, _: Option<&Netns>) -> Result<(), Failure> {
        let config = Config::parse(&call.config)?;
        let Some(sandbox) = sandbox else { return Ok(()) };
        let rules = rules::list(sandbox, None).context(|| "Failed to list all rules to tidy".to_owned())?;
        let name = LinkRef::Name(call.at.ifname.clone());
        let words = || format!("Failed to get link {}", call.at.ifname);
        let Some((_, now)) = link::find(sandbox, name, Tables::ADDRESSES).context(words)? else { return Ok(()) };
        let addresses: Vec<_> = now.addresses.iter().filter_map(|address| IpNet::try_from(address.ip).ok()).collect();
        let mut failed = Ok(());
        for rule in plan::of_addresses(rules, &addresses, config.table) {
            let mut batch = Batch::on(sandbox);
            batch
                .other(rules::delete(&rule))
                .tolerate(Tolerance::OkIfMissing)
                .context(|| "Failed to delete rule".to_owned());
            // One that cannot be deleted does not keep the others.
            failed = batch.commit().map(drop).map_err(Failure::from).and(failed);
        }
        failed
    }

    // As in the reference: a container may have rules and tables as it likes.
    fn check(call: &Call, _: &Netns, _: Option<&Netns>) -> Result<(), Failure> {
        Config::parse(&call.config).map(drop)
    }

    fn validate(config: &str) -> Vec<Mistake> {
        Config::validate(config)
    }
}

/// The interface's addresses, and those that name no interface.
fn addresses(ifname: &str, prev: &Output) -> Result<Vec<IpConfig>, Failure> {
    if prev.ips.is_empty() {
        return Err(Failure::plain(format!("No IP addresses supplied on interface: {ifname}")));
    }
    let interface = |ip: &IpConfig| prev.interfaces.get(ip.iface? as usize);
    let is_ours = |ip: &&IpConfig| interface(ip).is_none_or(|interface| interface.name == ifname);
    Ok(prev.ips.iter().filter(is_ours).cloned().collect())
}

/// A table that somebody else fills.
fn only_rules(sandbox: &Netns, ips: &[IpConfig], table: u32) -> Result<(), Failure> {
    let mut batch = Batch::on(sandbox);
    for ip in ips {
        let source = IpNet::from(IpNet::try_from(ip.address)?.addr());
        batch.other(rules::add(&Rule::from_source(source, table))).context(|| "failed to add rule".to_owned());
    }
    batch.commit()?;
    Ok(())
}

/// A table for each address, with the routes of the interface, which leave the main one.
fn own_tables(call: &Call, sandbox: &Netns, config: &Config, prev: &Output, ips: &[IpConfig]) -> Result<(), Failure> {
    let ifname = &call.at.ifname;
    let rules = rules::list(sandbox, None).context(|| "Failed to list all rules".to_owned())?;
    let routes = routes::list(sandbox, None, None).context(|| "Failed to list all routes".to_owned())?;
    let words = || format!("Cannot find network interface {ifname}");
    let link = link::by_name(sandbox, ifname).context(words)?;
    let link = link.ok_or_else(|| format!("{}: Link not found", words()))?;
    let gateways = config.gateways()?;
    let plan = Plan::new(link.index, &rules, routes, ips, &gateways, prev)?;

    let mut batch = Batch::on(sandbox);
    for Own { table, source, default, copies } in &plan.tables {
        batch.other(rules::add(&Rule::from_source(*source, *table))).context(|| "Failed to add rule".to_owned());
        if let Some((gateway, route)) = default {
            let words = move || format!("Failed to add default route to {gateway}");
            batch.other(routes::add(route, How::Create)).context(words);
        }
        for route in copies {
            batch.other(routes::add(route, How::Replace)).context(|| "Failed to readd route".to_owned());
        }
    }
    // Only now: gateways are reached by what is in the main table.
    if config.add_source_hints {
        for route in plan.hints(ips)? {
            batch.other(routes::add(&route, How::Replace)).tolerate(Tolerance::BestEffort);
        }
        for route in plan.of_main.iter().filter(|route| route.scope != plan::SCOPE_LINK) {
            batch.other(routes::delete(route)).tolerate(Tolerance::BestEffort);
        }
    } else {
        for route in &plan.of_main {
            batch.other(routes::delete(route)).context(|| "Failed to delete route".to_owned());
        }
    }
    batch.commit()?;
    for Own { table, source, .. } in &plan.tables {
        log::debug(&format!("{source} goes by table {table}, not by {MAIN}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use cni_plugin::result;

    use super::*;

    fn ip(address: &str, iface: Option<u32>) -> IpConfig {
        IpConfig { address: address.parse::<IpNet>().unwrap().into(), gateway: None, iface }
    }

    #[test]
    fn addresses_of_other_interfaces_are_none_of_its_business() {
        let interfaces = vec![result::named("br0", ""), result::named("net1", "/run/netns/c1")];
        let all =
            [ip("10.1.0.1/24", Some(0)), ip("10.1.0.2/24", Some(1)), ip("fd00::2/64", None), ip("::3/64", Some(7))];
        let prev = Output { interfaces, ips: all.to_vec(), ..Output::default() };
        let found: Vec<_> = addresses("net1", &prev).unwrap().iter().map(|ip| ip.iface).collect();
        assert_eq!(found, [Some(1), None, Some(7)]);
        let failure = addresses("net1", &Output::default()).unwrap_err();
        assert_eq!(failure.msg, "No IP addresses supplied on interface: net1");
    }
}
