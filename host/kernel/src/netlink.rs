//! The route socket. Must not know: what the messages mean.

use std::os::fd::{AsFd, BorrowedFd};

use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::protocols::NETLINK_ROUTE;

use crate::Error;
pub(crate) use crate::answer::Reply;
use crate::socket::Socket;

/// A route socket. It belongs to the network namespace that it was opened in, no
/// matter which thread uses it: see [`crate::Netns::connect`].
#[derive(Debug)]
pub struct Netlink {
    socket: Socket,
}

impl Netlink {
    /// A socket of the calling thread's namespace, in the given multicast
    /// groups (`RTNLGRP_*`).
    pub(crate) fn open(groups: &[u32]) -> Result<Self, Error> {
        Ok(Self { socket: Socket::open(NETLINK_ROUTE, groups)? })
    }

    /// Sends a request and returns the replies that precede its acknowledgement.
    pub(crate) fn request(&mut self, message: RouteNetlinkMessage, flags: u16) -> Result<Vec<Reply>, Error> {
        self.socket.request(message, flags)
    }

    /// Sends a request that has one answer: see [`Socket::query`].
    pub(crate) fn query(&mut self, message: RouteNetlinkMessage) -> Result<Option<Reply>, Error> {
        self.socket.query(message)
    }

    /// Lists all objects of a type: see [`Socket::dump`].
    pub(crate) fn dump(&mut self, message: &RouteNetlinkMessage) -> Result<Vec<Reply>, Error> {
        self.socket.dump(message)
    }

    /// See [`Socket::notifications`].
    pub(crate) fn notifications(&mut self) -> Result<Vec<Reply>, Error> {
        self.socket.notifications()
    }

    pub(crate) fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
