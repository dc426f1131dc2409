//! `hostile-ipam`: an IPAM plugin that misbehaves, for the host's tests.
//!
//! The configuration's `ipam.mode` says how, in an ADD; otherwise, but for `later`,
//! it behaves.
//!
//! | mode | |
//! |---|---|
//! | `ok` | 10.99.0.2/24, which it does not remember |
//! | `none` | no address |
//! | `bad-keys`, `bad-values` | calls to be refused, as `hostile` reports them |
//! | `get-many`, `create-much` | more values than the host should hold |
//! | `entries-flood` | entries without end |
//! | `log-flood` | a log without end |
//! | `hold` | a transaction, and then a loop |
//! | `twice` | a transaction within a transaction |
//! | `create-panic`, `put-panic` | an entry, new or in place of another, and then a panic |
//! | `put-much` | the same entry without end |
//! | `others-leases` | others' leases: changed, removed; with `later`, in a DEL, CHECK or GC |
//! | `log-some` | 4200 bytes of log, and a failure |
//! | `identity` | fails with the type that it is called as |
//! | `resolver` | whatever file `ipam.resolvConf` names |
//! | `wrong-family`, `no-interface` | results that no one should believe |

mod store;

use cni_plugin::bindings::interface::wasm_cni::cni::identity;
use cni_plugin::bindings::interface::wasm_cni::types::types::{IpAddr, IpNet};
use cni_plugin::decode::Document;
use cni_plugin::{Attachment, Call, Failure, IpConfig, IpamPlugin, Mistake, Output, log, validate};

/// The plugin.
#[derive(Debug)]
pub struct HostileIpam;

cni_plugin::export_ipam_plugin!(HostileIpam);

impl IpamPlugin for HostileIpam {
    fn add(call: &Call) -> Result<Output, Failure> {
        let mode = text(&call.config, "mode")?;
        let address = |addr, prefix, iface| {
            let ips = vec![IpConfig { address: IpNet { addr, prefix }, gateway: None, iface }];
            Ok(Output { ips, ..Output::default() })
        };
        match mode.as_str() {
            "ok" => address(IpAddr::V4(0x0a63_0002), 24, None),
            "none" => Ok(Output::default()),
            "bad-keys" => store::bad_keys(),
            "bad-values" => store::bad_values(),
            "get-many" => store::get_many(),
            "create-much" => store::create_much(),
            "entries-flood" => store::flood(),
            "log-flood" => loop {
                log::error(&"flood ".repeat(200));
            },
            "hold" => store::hold(),
            "twice" => store::twice(),
            "create-panic" => store::create_and_panic(),
            "put-panic" => store::put_and_panic(),
            "put-much" => store::put_much(),
            "others-leases" => store::others(),
            "log-some" => {
                log::error(&"flood ".repeat(700));
                Err("logged 4200 bytes".into())
            }
            "identity" => Err(format!("called as {}", identity::type_name()).into()),
            "resolver" => store::resolver(),
            "wrong-family" => address(IpAddr::V4(0x0a63_0002), 64, None),
            "no-interface" => address(IpAddr::V4(0x0a63_0002), 24, Some(7)),
            mode => Err(format!("unknown mode {mode:?}").into()),
        }
    }

    fn del(call: &Call) -> Result<(), Failure> {
        later(&call.config)
    }

    fn check(call: &Call) -> Result<(), Failure> {
        later(&call.config)
    }

    fn gc(config: &str, _: &[Attachment]) -> Result<(), Failure> {
        later(config)
    }

    fn validate(config: &str) -> Vec<Mistake> {
        validate::every(config, "", |document| {
            let ipam = document.root("Hostile").shared().object("ipam", "IPAM", "IPAM");
            for ipam in ipam.iter() {
                let _ = ["type", "mode", "later", "dataDir", "resolvConf"].map(|key| ipam.text(key));
            }
            Vec::new()
        })
    }
}

fn text(config: &str, key: &str) -> Result<String, Failure> {
    let document = Document::parse(config)?;
    let ipam = document.root("Hostile").object("ipam", "IPAM", "IPAM");
    let text = ipam.and_then(|ipam| ipam.text(key)).unwrap_or_default();
    document.finish()?;
    Ok(text)
}

/// What it does when there is nothing to attach.
fn later(config: &str) -> Result<(), Failure> {
    match text(config, "later")?.as_str() {
        "others-leases" => store::others().map(drop),
        _ => Ok(()),
    }
}
