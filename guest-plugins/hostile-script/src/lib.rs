//! `hostile-script`: a plugin whose steps come from its configuration, for the host's tests and for attacks that nobody has
//! thought of yet.
//!
//! `script.VERB` (`add`, `del`, `check`) is a list of steps, done in order. A step is an object:
//!
//! | key | |
//! |---|---|
//! | `do` | what to do, see `step.rs`; absent: `commit` |
//! | `repeat` | how often |
//! | `must` | if it is refused, the call fails with its reason |
//! | `quiet` | without a line in the log |
//!
//! Each step is a line in the log: `step N ok WHAT` or `step N REFUSED WHY`. What is neither `must` nor refused ends well, so a
//! test looks at what has become of the machine.

mod ops;
mod step;

use cni_plugin::{Call, Failure, InterfacePlugin, IpConfig, Mistake, Netns, Output, log, result};
use serde_json::Value;

/// The plugin.
#[derive(Debug)]
pub struct HostileScript;

cni_plugin::export_interface_plugin!(HostileScript);

impl InterfacePlugin for HostileScript {
    fn add(call: &Call, sandbox: &Netns, host: Option<&Netns>) -> Result<Output, Failure> {
        run("add", call, Some(sandbox), host)
    }

    fn del(call: &Call, sandbox: Option<&Netns>, host: Option<&Netns>) -> Result<(), Failure> {
        run("del", call, sandbox, host).map(drop)
    }

    fn check(call: &Call, sandbox: &Netns, host: Option<&Netns>) -> Result<(), Failure> {
        run("check", call, Some(sandbox), host).map(drop)
    }

    fn validate(_: &str) -> Vec<Mistake> {
        Vec::new()
    }
}

/// What steps work with.
#[derive(Debug)]
struct Scene<'a> {
    sandbox: Option<&'a Netns>,
    host: Option<&'a Netns>,
    /// `ipam.type`.
    ipam: String,
    /// What its last ADD has given.
    given: Vec<IpConfig>,
    output: Output,
}

impl<'a> Scene<'a> {
    fn netns(&self, which: &str) -> Result<&'a Netns, String> {
        let netns = if which == "sandbox" { self.sandbox } else { self.host };
        netns.ok_or_else(|| format!("no {which} was lent"))
    }
}

fn run(verb: &str, call: &Call, sandbox: Option<&Netns>, host: Option<&Netns>) -> Result<Output, Failure> {
    let config: Value = serde_json::from_str(&call.config).map_err(|error| Failure::plain(error.to_string()))?;
    let own = || Output { interfaces: vec![result::named(&call.at.ifname, &call.netns)], ..Output::default() };
    let output = call.prev.clone().ok().flatten().unwrap_or_else(own);
    let ipam = text(&config["ipam"], "type").to_owned();
    let mut scene = Scene { sandbox, host, ipam, given: Vec::new(), output };
    for (at, step) in list(&config["script"], verb).iter().enumerate() {
        for _ in 0..number(step, "repeat", 1) {
            let done = step::run(&mut scene, step);
            if !flag(step, "quiet") {
                match &done {
                    Ok(what) => log::warn(&format!("step {at} ok {what}")),
                    Err(why) => log::warn(&format!("step {at} REFUSED {why}")),
                }
            }
            if let (Err(why), true) = (done, flag(step, "must")) {
                return Err(Failure::plain(why));
            }
        }
    }
    Ok(scene.output)
}

/// Empty if there is none.
fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_default()
}

fn flag(value: &Value, key: &str) -> bool {
    value[key].as_bool().unwrap_or_default()
}

fn number(value: &Value, key: &str, default: u64) -> u64 {
    value[key].as_u64().unwrap_or(default)
}

/// Empty if there is none.
fn list<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}
