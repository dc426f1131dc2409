//! The ports of a bridge. Must not know: what a bridge without ports is good for.

use netlink_packet_route::RouteNetlinkMessage::GetLink;
use netlink_packet_route::link::LinkAttribute;

use super::{Link, LinkRef, message, read};
use crate::{Error, Netlink};

impl Netlink {
    /// The links whose master is this one. The kernel picks them, so that the answer is
    /// small, and not begun anew for each link that comes or goes meanwhile.
    /// (`RTM_GETLINK` with `NLM_F_DUMP` and `IFLA_MASTER`)
    pub fn ports(&mut self, master: u32) -> Result<Vec<Link>, Error> {
        let mut message = message::wanted(LinkRef::Index(0));
        message.attributes.push(LinkAttribute::Controller(master));
        let replies = self.dump(&GetLink(message)).map_err(|error| error.during("ports"))?;
        let links: Result<Vec<_>, _> = replies.iter().filter_map(read::link).collect();
        let mut links = links.map_err(|error| error.during("ports"))?;
        // Before Linux 4.20, the kernel ignores the filter.
        links.retain(|link| link.master == master);
        Ok(links)
    }
}
