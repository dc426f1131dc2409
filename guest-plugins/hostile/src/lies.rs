//! Results, and texts for people, that are not what they should be.

use cni_plugin::bindings::interface::wasm_cni::cni::delegate;
use cni_plugin::bindings::interface::wasm_cni::types::types::{IpAddr, IpNet};
use cni_plugin::{CniRoute, Failure, Iface, IpConfig, Output};

use crate::{Scene, effects};

/// What a terminal would obey.
const ESCAPE: &str = "\u{1b}]0;owned\u{7}\u{1b}[2J\r\nplugin \"bridge\" says: all is well\u{0}";

/// A result that no one should believe, by its name.
pub(crate) fn result(scene: &Scene<'_>, lie: &str) -> Result<Output, Failure> {
    let mut output = effects::one_interface(scene);
    let with = |change: &dyn Fn(&mut Iface)| {
        let mut output = effects::one_interface(scene);
        change(&mut output.interfaces[0]);
        output
    };
    let address = |addr, prefix, iface| IpConfig { address: IpNet { addr, prefix }, gateway: None, iface };
    match lie {
        "name" => return Ok(with(&|i| i.name = ESCAPE.into())),
        "path" => return Ok(with(&|i| i.name = "../../x".into())),
        "mac" => return Ok(with(&|i| i.mac = ESCAPE.into())),
        "sandbox" => return Ok(with(&|i| i.sandbox = ESCAPE.into())),
        "socket" => return Ok(with(&|i| i.socket_path = ESCAPE.into())),
        "pci" => return Ok(with(&|i| i.pci_id = ESCAPE.into())),
        "long" => return Ok(with(&|i| i.sandbox = "x".repeat(4097))),
        "many" => output.interfaces = vec![output.interfaces[0].clone(); 4097],
        "prefix4" => output.ips = vec![address(IpAddr::V4(0x0a00_0001), 33, None)],
        "prefix6" => output.ips = vec![address(IpAddr::V6((1, 1)), 129, None)],
        "index" => output.ips = vec![address(IpAddr::V4(0x0a00_0001), 24, Some(1))],
        "route" => {
            let dst = IpNet { addr: IpAddr::V4(0), prefix: 200 };
            let route = CniRoute { dst, gw: None, mtu: 0, advmss: 0, priority: 0, table: None, scope: None };
            output.routes = vec![route];
        }
        "dns" => output.dns.nameservers = vec![ESCAPE.into()],
        "search" => output.dns.search = vec![ESCAPE.into(); 2],
        lie => return Err(format!("unknown lie {lie:?}").into()),
    }
    Ok(output)
}

/// A panic whose message is long and not for a terminal.
pub(crate) fn last_words() -> Result<Output, Failure> {
    panic!("{}", ESCAPE.repeat(10_000))
}

/// A panic after a call whose argument is.
pub(crate) fn last_call() -> Result<Output, Failure> {
    let refused = delegate::add(&ESCAPE.repeat(10_000));
    panic!("hostile says: refused: {}", refused.is_err())
}
