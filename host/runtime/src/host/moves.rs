//! Moving a link between the namespaces of a call.

use std::{
    os::fd::{AsFd as _, AsRawFd as _},
    sync::Arc,
};

use nix::errno::Errno;
use wasm_cni_kernel::{self as kernel, LinkAttrs, LinkRef};

use super::{State, kernel_error, refuse, space::Space};
use crate::{
    bindings::types,
    undo::{Moved, Undo},
};

/// Moves a link, under the new name and alias of `attrs`.
///
/// # Errors
///
/// `exists` if the name is taken there; nothing is moved then.
pub(super) fn move_link(
    state: &State,
    from: &Arc<Space>,
    index: u32,
    to: &Arc<Space>,
    attrs: &LinkAttrs,
) -> Result<(), types::Error> {
    let what = format!("link-set index {index}");
    if !state.grants.move_links {
        let text = format!("plugin {:?} has no grant to move links between namespaces", state.plugin);
        return Err(refuse(types::Code::Denied, what, text));
    }
    if Arc::ptr_eq(from, to) {
        return Err(refuse(types::Code::Invalid, what, "the link is in that namespace already"));
    }
    let found = from.netlink(|netlink| {
        let link = netlink.link_get(LinkRef::Index(index))?;
        Ok((link, netlink.addresses(Some(index))?, netlink.routes(Some(index))?))
    });
    let (link, addresses, routes) = found.map_err(|e| kernel_error(&e))?;
    let name = attrs.name.as_ref().unwrap_or(&link.name).clone();
    // The kernel would move the link first, and find the name taken then.
    match to.netlink(|netlink| netlink.link_get(LinkRef::Name(&name))) {
        Ok(_) => return Err(taken(what)),
        Err(e) if e.errno() != Errno::ENODEV as i32 => return Err(kernel_error(&e)),
        Err(_) => {}
    }
    let attrs = LinkAttrs { netns: Some(to.netns.as_fd().as_raw_fd()), ..attrs.clone() };
    let moved = from.netlink(|netlink| netlink.link_set(index, &attrs));
    // Chained plugins may change its name and MAC.
    let find = || to.netlink(|netlink| netlink.link_get(LinkRef::Name(&name))).ok().map(|link| link.index);
    let arrived = if moved.is_ok() { find() } else { None };
    let undo = Undo::link_moved(from, to, Moved { link, addresses, routes, name, arrived });
    match moved {
        Ok(()) => {
            state.attempt.record(undo);
            Ok(())
        }
        Err(e) => {
            // It may have arrived and then been refused its name. The first
            // failure is the one to tell.
            if from.netlink(|netlink| netlink.link_get(LinkRef::Index(index))).is_err() {
                let _ = undo.apply();
            }
            Err(kernel_error(&e))
        }
    }
}

fn taken(what: String) -> types::Error {
    let errno = Errno::EEXIST as i32;
    types::Error { code: types::Code::Exists, errno: errno.unsigned_abs(), what, msg: kernel::errno_text(errno) }
}
