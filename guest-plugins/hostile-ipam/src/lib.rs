//! `hostile-ipam`: an IPAM plugin that misbehaves, for the host's tests.
//!
//! The configuration's `ipam.mode` says how, in an ADD; otherwise it behaves.
//!
//! | mode | |
//! |---|---|
//! | `ok` | 10.99.0.2/24, which it does not remember |
//! | `bad-keys`, `bad-values` | calls to be refused, as `hostile` reports them |
//! | `get-many`, `create-much` | more values than the host should hold |
//! | `entries-flood` | entries without end |
//! | `log-flood` | a log without end |
//! | `hold` | a transaction, and then a loop |
//! | `twice` | a transaction within a transaction |
//! | `create-panic` | an entry, and then a panic |
//! | `resolver` | whatever file `ipam.resolvConf` names |
//! | `wrong-family`, `no-interface` | results that no one should believe |

mod store;

use cni_plugin::bindings::interface::wasm_cni::types::types::{IpAddr, IpNet};
use cni_plugin::decode::Document;
use cni_plugin::{Call, Failure, IpConfig, IpamPlugin, Output, log, result};

/// The plugin.
#[derive(Debug)]
pub struct HostileIpam;

cni_plugin::export_ipam_plugin!(HostileIpam);

impl IpamPlugin for HostileIpam {
    fn add(call: &Call) -> Result<Output, Failure> {
        let document = Document::parse(&call.config)?;
        let ipam = document.root("Hostile").object("ipam", "IPAM", "IPAM");
        let mode = ipam.and_then(|ipam| ipam.text("mode")).unwrap_or_default();
        document.finish()?;
        let address = |addr, prefix, iface| {
            let ips = vec![IpConfig { address: IpNet { addr, prefix }, gateway: None, iface }];
            Ok(Output { ips, ..result::empty() })
        };
        match mode.as_str() {
            "ok" => address(IpAddr::V4(0x0a63_0002), 24, None),
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
            "resolver" => store::resolver(),
            "wrong-family" => address(IpAddr::V4(0x0a63_0002), 64, None),
            "no-interface" => address(IpAddr::V4(0x0a63_0002), 24, Some(7)),
            mode => Err(format!("unknown mode {mode:?}").into()),
        }
    }

    fn del(_: &Call) -> Result<(), Failure> {
        Ok(())
    }

    fn check(_: &Call) -> Result<(), Failure> {
        Ok(())
    }
}
