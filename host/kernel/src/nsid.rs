//! The numbers by which namespaces refer to one another. Must not know: links.

use std::os::fd::{AsRawFd, BorrowedFd};

use netlink_packet_core::Parseable;
use netlink_packet_route::RouteNetlinkMessage::GetNsId;
use netlink_packet_route::nsid::{NsidAttribute, NsidMessage};

use crate::{Error, Netlink};

const RTM_NEWNSID: u16 = 88;

impl Netlink {
    /// How this socket's namespace numbers another one, in `IFLA_LINK_NETNSID` for
    /// example; `None` if it has no number for it, because no link leads there.
    /// (`RTM_GETNSID` with `NETNSA_FD`)
    pub fn nsid(&mut self, netns: BorrowedFd<'_>) -> Result<Option<i32>, Error> {
        self.ask_for_nsid(vec![NsidAttribute::Fd(netns.as_raw_fd().cast_unsigned())])
    }

    /// How the namespace that this socket's namespace numbers `target` numbers the one
    /// that is `nsid` here; `None` if it has no number for it. (`RTM_GETNSID` with
    /// `NETNSA_TARGET_NSID`, Linux 4.20)
    pub fn nsid_in(&mut self, nsid: i32, target: i32) -> Result<Option<i32>, Error> {
        self.ask_for_nsid(vec![NsidAttribute::Id(nsid), NsidAttribute::TargetNsid(target)])
    }

    fn ask_for_nsid(&mut self, attributes: Vec<NsidAttribute>) -> Result<Option<i32>, Error> {
        self.try_nsid(attributes).map_err(|error| error.during("nsid"))
    }

    fn try_nsid(&mut self, attributes: Vec<NsidAttribute>) -> Result<Option<i32>, Error> {
        let mut message = NsidMessage::default();
        message.attributes = attributes;
        let Some(reply) = self.query(GetNsId(message))?.filter(|reply| reply.kind == RTM_NEWNSID) else {
            return Ok(None);
        };
        let answer = NsidMessage::parse(&reply.payload).map_err(Error::from_decode)?;
        Ok(answer.attributes.iter().find_map(|attribute| match attribute {
            NsidAttribute::Id(id) if *id >= 0 => Some(*id),
            _ => None,
        }))
    }
}
