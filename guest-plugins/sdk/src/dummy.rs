//! Dummy devices, which drop what they are sent.
//!
//! ```no_run
//! # use cni_plugin::*;
//! # fn example(sandbox: &Netns) -> Result<(), Failure> {
//! let mut batch = Batch::on(sandbox);
//! let made = batch.other(dummy::add("eth0", [LinkAttr::Up(true)])).made();
//! let index = batch.commit()?.index(&made);
//! # Ok(()) }
//! ```

use crate::bindings::interface::wasm_cni::link::dummy;
use crate::{LinkAttr, OtherChange};

/// `IFLA_INFO_KIND`: what [`Link::kind`](crate::Link::kind) says of such a link.
pub const KIND: &str = "dummy";

/// Makes a dummy device; for [`Batch::other`](crate::Batch::other).
pub fn add(name: &str, attrs: impl IntoIterator<Item = LinkAttr>) -> OtherChange {
    dummy::add(name, &attrs.into_iter().collect::<Vec<_>>())
}
