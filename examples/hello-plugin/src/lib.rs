//! `hello-plugin`: sets an MTU and an alias on the container's interface, which another
//! plugin has created.
//!
//! ```json
//! { "type": "hello-plugin", "mtu": 1400, "alias": "web, by hand" }
//! ```
//!
//! The default of `alias` is the network's name and the container's.

use cni_plugin::{Batch, Call, Failure, InterfacePlugin, LinkAttr, LinkRef, Mistake, Netns, Output, link, validate};
use serde::{Deserialize, Deserializer, de::Error as _};

/// The plugin.
#[derive(Debug)]
pub struct Hello;

cni_plugin::export_interface_plugin!(Hello);

/// Its keys: none is required.
#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
struct Config {
    #[serde(deserialize_with = "mtu")]
    mtu: Option<u32>,
    alias: Option<String>,
}

/// Their names, for `validate`.
const KEYS: [&str; 2] = ["mtu", "alias"];

impl Config {
    fn of(call: &Call) -> Result<Self, Failure> {
        Ok(serde_json::from_str(&call.config)?)
    }

    fn alias(&self, call: &Call) -> String {
        self.alias.clone().unwrap_or_else(|| format!("{} {}", call.network, call.at.container_id))
    }
}

/// An MTU that IPv4 can do with.
fn mtu<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    match Option::deserialize(deserializer)? {
        Some(mtu) if !(68..=65535).contains(&mtu) => {
            Err(D::Error::custom(format!("invalid mtu {mtu} (must be between 68 and 65535)")))
        }
        mtu => Ok(mtu),
    }
}

impl InterfacePlugin for Hello {
    fn add(call: &Call, sandbox: &Netns, _: Option<&Netns>) -> Result<Output, Failure> {
        let config = Config::of(call)?;
        let mut output = call.required_prev_result()?.clone();
        let mut batch = Batch::on(sandbox);
        let attrs = config.mtu.map(LinkAttr::Mtu).into_iter().chain([LinkAttr::Alias(config.alias(call))]);
        let ifname = &call.at.ifname;
        batch
            .set_link(LinkRef::Name(ifname.clone()), attrs)
            .context(|| format!("cannot set {ifname} up as configured"));
        // If it fails, or a plugin after it, the host takes back what was done.
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
        let alias = config.alias(call);
        if alias != now.alias {
            return Err(Failure::plain(format!("the alias of {ifname} is {:?}, not {alias:?}", now.alias)));
        }
        Ok(())
    }

    fn validate(config: &str) -> Vec<Mistake> {
        validate::with_serde::<Config>(config, &KEYS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(config: &str) -> Call {
        Call { config: config.into(), ..Call::default() }
    }

    #[test]
    fn an_alias_has_a_default_and_an_mtu_has_bounds() {
        let config = |text: &str| Config::of(&call(text));
        assert_eq!(config("{}").unwrap().alias(&call("{}")), "n1 c1");
        let given = Config { mtu: Some(1400), alias: Some("a".into()) };
        assert_eq!(config(r#"{"mtu":1400,"alias":"a"}"#).unwrap(), given);
        assert!(config(r#"{"mtu":1}"#).unwrap_err().msg.contains("invalid mtu 1 (must be between 68 and 65535)"));
    }

    #[test]
    fn every_mistake_is_found_at_once() {
        let mistakes = Hello::validate(r#"{"type":"hello-plugin","mtu":"big","alias":3,"allias":"x"}"#);
        let keys: Vec<_> = mistakes.iter().map(|mistake| (mistake.key.as_str(), mistake.harmless)).collect();
        assert_eq!(keys, [("alias", false), ("mtu", false), ("allias", true)]);
        assert_eq!(mistakes[2].msg, "unknown key: did you mean alias?");
        assert!(Hello::validate(r#"{"type":"hello-plugin","mtu":1400}"#).is_empty());
    }
}
