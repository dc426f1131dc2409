//! `host-local`: addresses for one machine, from ranges, remembered in a
//! directory that the reference's plugin can use as well.

mod allocate;
mod config;
mod judge;
mod lease;
mod range;
mod resolv;

use cni_plugin::store::{Change, begin, resolv_conf};
use cni_plugin::{Attachment, Call, Context, Dns, Failure, IpamPlugin, Mistake, Output};

use crate::allocate::{Addresses, allocate};
use crate::config::Config;
use crate::lease::{Leases, Live};

/// How many leases one page of a GC holds.
const PAGE: u32 = 512;

/// The plugin.
#[derive(Debug)]
pub struct HostLocal;

impl IpamPlugin for HostLocal {
    fn add(call: &Call) -> Result<Output, Failure> {
        let config = Config::parse(&call.config, &call.args)?;
        let dns = dns(&config)?;
        let mut leases = Leases::of(&call.at, begin()?);
        let Addresses { ips, changes } = allocate(&config, &call.at, &mut leases)?;
        leases.apply(&changes)?;
        Ok(Output { ips, routes: config.routes, dns, ..Output::default() })
    }

    fn del(call: &Call) -> Result<(), Failure> {
        Config::parse(&call.config, &call.args)?;
        let leases = Leases::of(&call.at, begin()?);
        let changes: Vec<Change> = leases.held()?.into_iter().map(Change::Delete).collect();
        leases.apply(&changes)
    }

    fn check(call: &Call) -> Result<(), Failure> {
        Config::parse(&call.config, &call.args)?;
        if Leases::of(&call.at, begin()?).held()?.is_empty() {
            let id = &call.at.container_id;
            return Err(Failure::plain(format!("host-local: Failed to find address added by container {id}")));
        }
        Ok(())
    }

    fn status(config: &str) -> Result<(), Failure> {
        Config::parse(config, "").map(drop)
    }

    fn gc(config: &str, live: &[Attachment]) -> Result<(), Failure> {
        Config::parse(config, "")?;
        let live = Live::new(live);
        let transaction = begin()?;
        let mut after = None;
        loop {
            let page = transaction.entries(after.as_deref(), PAGE)?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            after = Some(last.key.clone());
            let abandoned: Vec<Change> = page
                .iter()
                .filter(|entry| live.have_abandoned(entry))
                .map(|entry| Change::Delete(entry.key.clone()))
                .collect();
            if !abandoned.is_empty() {
                transaction.apply(&abandoned)?;
            }
        }
    }

    fn validate(config: &str) -> Vec<Mistake> {
        judge::mistakes(config)
    }
}

/// DNS settings, from the resolver file that the configuration names.
fn dns(config: &Config) -> Result<Dns, Failure> {
    let Some(path) = &config.resolv_conf else {
        return Ok(Dns::default());
    };
    let text = resolv_conf().context(|| format!("open {path}"))?;
    Ok(text.map_or_else(Dns::default, |text| resolv::parse(&text)))
}
