//! One step of a script.
//!
//! | `do` | |
//! |---|---|
//! | `commit` | `ops`, see [`ops`](crate::ops), in one `commit` |
//! | `ipam-add`, `ipam-del` | the IPAM plugin `ipam.type` |
//! | `delegate-add`, `delegate-del` | the plugin `to` |
//! | `masquerade` (`masq`) | for `addresses`; `spoof`: a spoof check of `port` |
//! | `read` | links, addresses and routes in `on`, of all links or of `link` |
//! | `get` | the sysctl `key` in `on` |
//! | `wait` | until `link` in `on` is up, `ms` at most; `sleep` waits for what does not come |
//! | `spin` | without end |
//! | `fail` | is refused |
//! | `output` | an interface `name`, `sandbox`, `mac` in the result |

use cni_plugin::bindings::interface::wasm_cni::cni::delegate;
use cni_plugin::bindings::interface::wasm_cni::filter::{masquerade, spoof_check};
use cni_plugin::bindings::interface::wasm_cni::net::net;
use cni_plugin::{Condition, Iface, LinkRef, Query, Tables, ip, ipam, result};
use serde_json::Value;

use crate::ops::{self, shown};
use crate::{Scene, list, number, text};

/// Longest that one `wait` is given.
const WAIT_MS: u64 = 9000;

/// What it has led to, or why it was refused.
pub(crate) fn run(scene: &mut Scene<'_>, step: &Value) -> Result<String, String> {
    let on = || scene.netns(text(step, "on"));
    let ms = number(step, "ms", 1000);
    match text(step, "do") {
        "commit" | "" => ops::commit(scene, step),
        "ipam-add" => {
            let output = ipam::add(&scene.ipam).map_err(|failure| failure.msg)?;
            scene.given = output.ips;
            Ok(format!("{:?}", scene.given))
        }
        "ipam-del" => nothing(ipam::del(&scene.ipam).map_err(|failure| failure.msg)),
        "delegate-add" => delegate::add(text(step, "to")).map(|o| format!("{o:?}")).map_err(|failure| failure.msg),
        "delegate-del" => nothing(delegate::del(text(step, "to")).map_err(|failure| failure.msg)),
        "masquerade" | "masq" => {
            let address = |a: &Value| ip::parse_cidr(a.as_str().unwrap_or_default()).map(Into::into);
            let addresses: Vec<_> = list(step, "addresses").iter().map(address).collect::<Result<_, _>>()?;
            let backend = Some(masquerade::Backend::Nftables);
            nothing(masquerade::add(scene.netns("host")?, &addresses, backend).map_err(|error| shown(&error)))
        }
        "spoof" => {
            let mac = [2, 0, 0, 0, 0, 1];
            nothing(spoof_check::add(scene.netns("host")?, text(step, "port"), &mac).map_err(|error| shown(&error)))
        }
        "read" => {
            let tables = Tables::LINKS | Tables::ADDRESSES | Tables::ROUTES;
            let link = step["link"].as_str().map(|name| LinkRef::Name(name.to_owned()));
            let found = net::read(on()?, &Query { tables, link }).map_err(|error| shown(&error))?;
            let (links, addresses, routes) = (found.links.len(), found.addresses.len(), found.routes.len());
            Ok(format!("{links} links {addresses} addresses {routes} routes"))
        }
        "get" => {
            let values = net::sysctl_get(on()?, &[text(step, "key").to_owned()]);
            values.map(|values| format!("{values:?}")).map_err(|error| shown(&error))
        }
        "wait" => {
            let waited = net::wait(on()?, &named(text(step, "link")), Condition::OperUp, ms as u32);
            waited.map(|up| up.to_string()).map_err(|error| shown(&error))
        }
        "sleep" => {
            let mut left = ms;
            while left > 0 {
                let time = left.min(WAIT_MS);
                // `lo` is up, and its operational state is unknown for ever.
                let _ = net::wait(scene.netns("sandbox")?, &named("lo"), Condition::OperUp, time as u32);
                left -= time;
            }
            Ok("slept".to_owned())
        }
        "spin" => loop {
            std::hint::black_box(());
        },
        "fail" => Err("on purpose".to_owned()),
        "output" => {
            let interface = result::named(text(step, "name"), text(step, "sandbox"));
            scene.output.interfaces.push(Iface { mac: text(step, "mac").to_owned(), ..interface });
            Ok(String::new())
        }
        other => Err(format!("unknown step {other:?}")),
    }
}

fn named(name: &str) -> LinkRef {
    LinkRef::Name(name.to_owned())
}

fn nothing(done: Result<(), String>) -> Result<String, String> {
    done.map(|()| String::new())
}
