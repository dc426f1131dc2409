//! Changes that functions of other packages have described, until a commit does them.

use wasmtime::component::Resource;

use super::change::{Change, pending};
use crate::{bindings::net, handles::Pending, limits::Stop, state::State};

/// What a change takes besides its texts and lists, bytes: its handle, and its fields.
const EACH: usize = 256;

impl State {
    /// The handle for a change. It has what the guest sent, `size` bytes, which count as the guest's memory.
    ///
    /// # Errors
    ///
    /// Ends the guest if its memory or its handles are used up.
    pub fn keep(&mut self, size: usize, change: impl Change + Send + 'static) -> wasmtime::Result<Resource<Pending>> {
        self.meter.keep(size.saturating_add(EACH))?;
        self.table.push(pending(change)).map_err(|_| wasmtime::Error::new(Stop::Handles))
    }
}

/// The bytes that attributes of links take.
#[must_use]
pub fn size_of_attrs(attrs: &[net::LinkAttr]) -> usize {
    let texts = attrs.iter().map(|attr| match attr {
        net::LinkAttr::Mac(bytes) => bytes.len(),
        net::LinkAttr::Name(text) | net::LinkAttr::Alias(text) => text.len(),
        net::LinkAttr::Master(link) => size_of_link(link),
        _ => 0,
    });
    texts.sum::<usize>() + size_of_val(attrs)
}

/// The bytes that the name of a link takes.
#[must_use]
pub fn size_of_link(link: &net::LinkRef) -> usize {
    match link {
        net::LinkRef::Name(name) => name.len(),
        net::LinkRef::Index(_) | net::LinkRef::Made(_) => 0,
    }
}
