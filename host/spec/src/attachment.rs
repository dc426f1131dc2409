//! What is attached to what.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What is attached to what ("runtime parameters" in the specification).
#[derive(Clone, Debug, Default)]
pub struct Attachment {
    /// The container.
    pub container_id: String,
    /// The interface inside the container.
    pub ifname: String,
    /// Path of the container's namespace; may be empty for DEL.
    pub netns: String,
    /// CNI_ARGS: `K=V;K=V`.
    pub args: String,
    /// Values for capabilities that plugins may declare.
    pub capability_args: Map<String, Value>,
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
