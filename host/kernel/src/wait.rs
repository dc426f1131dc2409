//! Waits until the kernel reports that a link is ready. Must not know: what for.

use std::time::Instant;

use nix::errno::Errno;
use nix::libc::{RTNLGRP_IPV6_IFADDR, RTNLGRP_LINK};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::netlink::Reply;
use crate::{Error, IF_OPER_UP, LinkRef, Netlink, Netns};

// linux/if_addr.h
const IFA_F_DADFAILED: u32 = 0x08;
const IFA_F_TENTATIVE: u32 = 0x40;

/// What to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Condition {
    /// The operational state is up (RFC 2863). It never is for a device that does
    /// not report its state, such as `lo`.
    OperUp,
    /// No IPv6 address of the link is tentative any more (RFC 4862, 5.4): duplicate
    /// address detection has ended, successfully or not.
    AddressesSettled,
}

impl Netlink {
    /// Whether the condition holds now. Cheaper than [`Netns::wait`], which opens
    /// sockets. `ENODEV` if there is no such link.
    pub fn holds(&mut self, link: u32, condition: Condition) -> Result<bool, Error> {
        holds(self, link, condition).map_err(|error| error.during(format!("wait index {link}")))
    }
}

impl Netns {
    /// Waits until the condition holds and returns true, or false at the deadline.
    /// Checks the condition at least once. `ENODEV` if there is no such link, or it
    /// is deleted meanwhile. (`RTNLGRP_LINK`, `RTNLGRP_IPV6_IFADDR`)
    pub fn wait(&self, link: u32, until: Condition, deadline: Instant) -> Result<bool, Error> {
        let during = |error: Error| error.during(format!("wait index {link}"));
        let groups: &[u32] = match until {
            Condition::OperUp => &[RTNLGRP_LINK],
            Condition::AddressesSettled => &[RTNLGRP_LINK, RTNLGRP_IPV6_IFADDR],
        };
        // Subscribes before it reads the state, so that no change is missed. Two
        // sockets, so that no notification is lost among the answers.
        let sockets = self.run(|| Ok((Netlink::open(groups)?, Netlink::open(&[])?)))?;
        let (mut news, mut state) = sockets.map_err(during)?;
        loop {
            if holds(&mut state, link, until).map_err(during)? {
                return Ok(true);
            }
            if !changed(&mut news, link, deadline).map_err(during)? {
                return Ok(false);
            }
        }
    }
}

fn holds(state: &mut Netlink, link: u32, until: Condition) -> Result<bool, Error> {
    Ok(match until {
        Condition::OperUp => state.link_get(LinkRef::Index(link))?.operstate == IF_OPER_UP,
        Condition::AddressesSettled => !state
            .addresses(Some(link))?
            .iter()
            .any(|address| address.flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED) == IFA_F_TENTATIVE),
    })
}

/// Waits until the link may have changed and returns true, or false at the
/// deadline.
fn changed(news: &mut Netlink, link: u32, deadline: Instant) -> Result<bool, Error> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        // Rounded up, or the loop would spin during the last millisecond.
        let left = left.as_nanos().div_ceil(1_000_000);
        let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let mut ready = [PollFd::new(news.socket(), PollFlags::POLLIN)];
        match poll(&mut ready, left) {
            Ok(0) => return Ok(false),
            Ok(_) => {}
            Err(Errno::EINTR) => continue,
            Err(errno) => return Err(Error::from_errno(errno)),
        }
        match news.notifications() {
            Ok(messages) if !messages.iter().any(|message| concerns(message, link)) => {}
            Ok(_) => return Ok(true),
            // Notifications were lost, perhaps one about this link.
            Err(error) if error.errno() == Errno::ENOBUFS as i32 => return Ok(true),
            Err(error) => return Err(error),
        }
    }
}

/// `ifi_index` of `struct ifinfomsg` and `ifa_index` of `struct ifaddrmsg` have the
/// same offset.
fn concerns(message: &Reply, link: u32) -> bool {
    message.payload.get(4..8) == Some(&link.to_ne_bytes())
}
