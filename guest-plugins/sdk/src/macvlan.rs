//! Further MAC addresses on a parent link, which may be in another namespace.
//!
//! ```no_run
//! # use cni_plugin::*;
//! # use cni_plugin::macvlan::{Macvlan, Mode};
//! # fn example(sandbox: &Netns, host: &Netns) -> Result<(), Failure> {
//! let mut batch = Batch::on(sandbox);
//! let eth0 = Macvlan {
//!     name: "eth0",
//!     parent: LinkRef::Name("uplink".into()),
//!     parent_ns: batch.add_namespace(host),
//!     mode: Mode::Bridge,
//!     bc_queue_len: None,
//! };
//! batch.other(macvlan::add(&eth0, [LinkAttr::Up(true)]));
//! batch.commit()?;
//! # Ok(()) }
//! ```

use crate::bindings::interface::wasm_cni::link::macvlan::add as describe;
pub use crate::bindings::interface::wasm_cni::link::macvlan::{Mode, mode_of};
use crate::{LinkAttr, LinkRef, OtherChange};

/// `IFLA_INFO_KIND`: what [`Link::kind`](crate::Link::kind) says of such a link.
pub const KIND: &str = "macvlan";

/// A macvlan to be made in the namespace of the batch.
#[derive(Clone, Debug)]
pub struct Macvlan<'a> {
    /// Its final name.
    pub name: &'a str,
    /// The link that it is on top of.
    pub parent: LinkRef,
    /// Where the parent is: 0 for the batch's own namespace, or what
    /// [`Batch::add_namespace`](crate::Batch::add_namespace) gave.
    pub parent_ns: u32,
    /// Who may talk to whom.
    pub mode: Mode,
    /// Length of the queue for broadcasts, in packets; none leaves it to the kernel.
    pub bc_queue_len: Option<u32>,
}

/// Makes a macvlan; for [`Batch::other`](crate::Batch::other).
pub fn add(macvlan: &Macvlan<'_>, attrs: impl IntoIterator<Item = LinkAttr>) -> OtherChange {
    let Macvlan { name, parent, parent_ns, mode, bc_queue_len } = macvlan;
    let attrs: Vec<_> = attrs.into_iter().collect();
    describe(name, parent, *parent_ns, *mode, *bc_queue_len, &attrs)
}
