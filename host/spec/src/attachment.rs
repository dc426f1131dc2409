//! What is attached to what.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    error::{CniError, ErrorKind, code},
    network::Network,
};

/// What is attached to what ("runtime parameters" in the specification). Made by [`Attachment::new`], and step by step:
/// CNI_ARGS by [`Attachment::arg`], capability arguments by [`Attachment::capability`] and the functions of their names.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Attachment {
    /// The container.
    pub container_id: String,
    /// The interface inside the container.
    pub ifname: String,
    /// Path of the container's namespace; may be empty for DEL.
    pub netns: PathBuf,
    /// CNI_ARGS: `K=V;K=V`.
    pub args: String,
    /// Values for capabilities that plugins may declare.
    pub capability_args: Map<String, Value>,
}

/// One interface of one container, whatever the network.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttachmentId {
    /// The container.
    pub container_id: String,
    /// The interface inside the container.
    pub ifname: String,
}

impl Attachment {
    /// An interface of a container, without arguments. `netns` is the path of the container's network namespace.
    #[must_use]
    pub fn new(container_id: impl Into<String>, ifname: impl Into<String>, netns: impl Into<PathBuf>) -> Self {
        Self { container_id: container_id.into(), ifname: ifname.into(), netns: netns.into(), ..Self::default() }
    }

    /// Adds an argument to CNI_ARGS: a label of the container, for example.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Argument`] if the key or the value is empty or contains `;` or `=`, which CNI_ARGS cannot express.
    pub fn arg(mut self, key: &str, value: &str) -> Result<Self, CniError> {
        if [key, value].iter().any(|text| text.is_empty() || text.contains([';', '='])) {
            let text = format!("invalid CNI_ARGS pair {:?}", format!("{key}={value}"));
            return Err(CniError::new(code::ENVIRONMENT, text).of_kind(ErrorKind::Argument));
        }
        if !self.args.is_empty() {
            self.args.push(';');
        }
        self.args.push_str(&format!("{key}={value}"));
        Ok(self)
    }

    /// Sets CNI_ARGS as a whole, `K=V;K=V`, as the caller of a runtime wrote it.
    #[must_use]
    pub fn args(mut self, args: impl Into<String>) -> Self {
        self.args = args.into();
        self
    }

    /// Sets the argument of a capability. Plugins that declare the capability get it in `runtimeConfig`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Argument`] if the value cannot be JSON, for example a map whose keys are not texts.
    pub fn capability(self, name: &str, value: impl Serialize) -> Result<Self, CniError> {
        let value = serde_json::to_value(value).map_err(|e| {
            let text = format!("cannot write the argument of the capability {name:?}: {e}");
            CniError::new(code::ENVIRONMENT, text).of_kind(ErrorKind::Argument).caused_by(e)
        })?;
        Ok(self.with_capability(name, value))
    }

    pub(crate) fn with_capability(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.capability_args.insert(name.to_owned(), value.into());
        self
    }

    /// Which interface of which container it is.
    #[must_use]
    pub fn id(&self) -> AttachmentId {
        AttachmentId::new(&*self.container_id, &*self.ifname)
    }

    /// The container on each of these networks, with the interfaces `eth0`, `eth1` and so on for the prefix `eth`.
    #[must_use]
    pub fn numbered(&self, prefix: &str, networks: impl IntoIterator<Item = Network>) -> Vec<(Network, Self)> {
        let numbered =
            |(i, network): (usize, Network)| (network, Self { ifname: format!("{prefix}{i}"), ..self.clone() });
        networks.into_iter().enumerate().map(numbered).collect()
    }
}

impl AttachmentId {
    /// This interface of this container.
    #[must_use]
    pub fn new(container_id: impl Into<String>, ifname: impl Into<String>) -> Self {
        Self { container_id: container_id.into(), ifname: ifname.into() }
    }
}

/// Whose rules and effects they are: one interface of one container in one network.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct Owner {
    /// The network's name.
    pub network: String,
    /// The container.
    pub container_id: String,
    /// The interface inside the container.
    pub ifname: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_pairs_with_semicolons() {
        let at = Attachment::new("c1", "eth0", "/ns").arg("IgnoreUnknown", "1").unwrap().arg("A", "b").unwrap();
        assert_eq!(at.args, "IgnoreUnknown=1;A=b");
        // A label that somebody else chose adds no argument.
        for (key, value) in [("A", "b;IP=10.0.0.1"), ("A=b", "c"), ("", "b"), ("A", "")] {
            assert_eq!(at.clone().arg(key, value).unwrap_err().kind(), ErrorKind::Argument, "{key} {value}");
        }
    }

    #[test]
    fn capabilities_of_any_name_and_shape() {
        let at = Attachment::new("c1", "eth0", "/ns").capability("x", [("k", 1)]).unwrap();
        assert_eq!(at.capability_args["x"], serde_json::json!([["k", 1]]));
        let keys = std::collections::BTreeMap::from([((1, 2), 3)]);
        assert!(at.capability("y", keys).is_err());
    }

    #[test]
    fn each_network_has_an_interface_of_its_own() {
        let all = Attachment::new("c1", "", "/ns").numbered("net", [Network::loopback(), Network::loopback()]);
        assert_eq!(all[1].1.id(), AttachmentId::new("c1", "net1"));
    }
}
