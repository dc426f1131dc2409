//! `hello-plugin`: sets an MTU and an alias on the container's interface, which another
//! plugin has created.
//!
//! ```json
//! { "type": "hello-plugin", "mtu": 1400, "alias": "web, by hand" }
//! ```
//!
//! The default of `alias` is the network's name and the container's.

use cni_plugin::decode::Document;
use cni_plugin::{Batch, Call, Failure, InterfacePlugin, LinkAttr, LinkRef, Netns, Output, link};

/// The plugin.
#[derive(Debug)]
pub struct Hello;

cni_plugin::export_interface_plugin!(Hello);

/// Its keys.
#[derive(Debug, PartialEq)]
struct Config {
    mtu: Option<u32>,
    alias: String,
}

impl Config {
    fn of(call: &Call) -> Result<Self, Failure> {
        let document = Document::parse(&call.config)?;
        let root = document.root("NetConf");
        let mtu = root.int("mtu").and_then(|mtu| {
            let octets = u32::try_from(mtu).ok().filter(|octets| (68..=65535).contains(octets));
            if octets.is_none() {
                root.refuse(format!("invalid mtu {mtu} (must be between 68 and 65535)"));
            }
            octets
        });
        let alias = root.text("alias").unwrap_or_else(|| format!("{} {}", call.network, call.at.container_id));
        document.finish()?;
        Ok(Self { mtu, alias })
    }
}

impl InterfacePlugin for Hello {
    fn add(call: &Call, sandbox: &Netns, _: Option<&Netns>) -> Result<Output, Failure> {
        let config = Config::of(call)?;
        let mut output = call.required_prev_result()?.clone();
        let mut batch = Batch::on(sandbox);
        let attrs = config.mtu.map(LinkAttr::Mtu).into_iter().chain([LinkAttr::Alias(config.alias)]);
        let ifname = &call.at.ifname;
        batch.set_link(LinkRef::Name(ifname.clone()), attrs).or_say(|| format!("cannot set {ifname} up as configured"));
        // If this or a later plugin fails, the host undoes it.
        batch.commit()?;
        let ours = |iface: &&mut cni_plugin::Iface| iface.name == *ifname && iface.sandbox == call.netns;
        if let (Some(mtu), Some(iface)) = (config.mtu, output.interfaces.iter_mut().find(ours)) {
            iface.mtu = mtu;
        }
        println!("hello, {ifname}");
        Ok(output)
    }

    fn del(_: &Call, _: Option<&Netns>, _: Option<&Netns>) -> Result<(), Failure> {
        // The settings disappear with the interface.
        Ok(())
    }

    fn check(call: &Call, sandbox: &Netns, _: Option<&Netns>) -> Result<(), Failure> {
        let config = Config::of(call)?;
        let ifname = &call.at.ifname;
        let Some(now) = link::by_name(sandbox, ifname)? else {
            return Err(Failure::plain(format!("there is no {ifname}")));
        };
        if let Some(mtu) = config.mtu.filter(|mtu| *mtu != now.mtu) {
            return Err(Failure::plain(format!("the MTU of {ifname} is {}, not {mtu}", now.mtu)));
        }
        if config.alias != now.alias {
            return Err(Failure::plain(format!("the alias of {ifname} is {:?}, not {:?}", now.alias, config.alias)));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cni_plugin::Attachment;

    fn config(text: &str) -> Result<Config, Failure> {
        Config::of(&Call {
            at: Attachment { container_id: "c1".into(), ifname: "eth0".into() },
            netns: String::new(),
            args: String::new(),
            network: "n1".into(),
            config: text.into(),
            prev: Ok(None),
        })
    }

    #[test]
    fn an_alias_has_a_default_and_an_mtu_has_bounds() {
        assert_eq!(config("{}").unwrap(), Config { mtu: None, alias: "n1 c1".into() });
        assert_eq!(config(r#"{"mtu":1400,"alias":"a"}"#).unwrap(), Config { mtu: Some(1400), alias: "a".into() });
        assert_eq!(config(r#"{"mtu":1}"#).unwrap_err().msg, "invalid mtu 1 (must be between 68 and 65535)");
    }
}
