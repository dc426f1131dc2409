//! A blocking netlink socket of any protocol: requests, dumps, batches, and their
//! answers. Must not know: what the messages mean.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, NLMSG_NOOP, NLMSG_OVERRUN,
    NetlinkHeader, NetlinkMessage, NetlinkPayload, NetlinkSerializable,
};
use netlink_sys::SocketAddr;
use nix::errno::Errno;
use nix::libc::{MSG_DONTWAIT, MSG_TRUNC, c_int};
use nix::sys::socket::sockopt::{ReceiveTimeout, SndBuf, SndBufForce};
use nix::sys::socket::{getsockopt, setsockopt};
use nix::sys::time::{TimeVal, TimeValLike};

use crate::Error;
use crate::answer::{Reply, acknowledged, dumped, messages};

/// How long to wait for a datagram. The kernel answers in the call that sends the
/// request, so only a bug makes this time pass.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Size of the receive buffer, bytes. The kernel fills the datagrams of a dump up to
/// half of it (`netlink_recvmsg`). All others are much smaller, as nothing here asks
/// for the virtual functions of a device (`RTEXT_FILTER_VF`).
const DATAGRAM_SIZE: usize = 64 * 1024;

/// How often a dump is restarted because the table changed meanwhile, if that takes
/// no longer than [`TIMEOUT`]: whoever changes it all the time does not hold us up.
const DUMP_ATTEMPTS: usize = 32;

/// Most objects of a dump, and bytes of them: a container can fill its own tables,
/// and what it fills is not charged to it here.
const MAX_OBJECTS: usize = 1 << 17;
const MAX_BYTES: usize = 64 << 20;
const TOO_LARGE: &str = "the table is too large: more than 131072 entries, or 64 MiB of them";

/// How many bytes of the send buffer the kernel needs besides the datagram
/// (`netlink_sendmsg`).
const SEND_OVERHEAD: usize = 32;

/// A socket that ignores messages from other processes.
#[derive(Debug)]
pub(crate) struct Socket {
    socket: netlink_sys::Socket,
    /// Whether the kernel was asked to check and apply the filters of dumps.
    strict: bool,
    sequence: u32,
    buffer: Vec<u8>,
}

/// Where the answer to a request ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Until {
    Answered,
    Acknowledged,
}

/// A message of a batch, with its flags.
pub(crate) type Flagged<M> = (M, u16);

impl Socket {
    /// Opens a socket in the calling thread's namespace and joins multicast groups of
    /// the protocol.
    pub(crate) fn open(protocol: isize, groups: &[u32]) -> Result<Self, Error> {
        let socket = open(protocol, groups).map_err(|error| Error::from_io(&error))?;
        Ok(Self { socket, strict: false, sequence: 0, buffer: Vec::with_capacity(DATAGRAM_SIZE) })
    }

    /// Sends a request and returns the replies that precede its acknowledgement.
    pub(crate) fn request<M: NetlinkSerializable>(&mut self, message: M, flags: u16) -> Result<Vec<Reply>, Error> {
        let bytes = self.serialize(message, NLM_F_ACK | flags);
        self.send(&bytes)?;
        Ok(self.answer(Until::Acknowledged)?.0)
    }

    /// Sends a request that has exactly one answer and returns that. It asks for no
    /// acknowledgement, which would add nothing to the answer.
    pub(crate) fn query<M: NetlinkSerializable>(&mut self, message: M) -> Result<Option<Reply>, Error> {
        let bytes = self.serialize(message, 0);
        self.send(&bytes)?;
        Ok(self.answer(Until::Answered)?.0.pop())
    }

    /// Lists all objects of a type, consistently: restarts a dump that the kernel
    /// marks as interrupted. `EAGAIN` if it was interrupted each time, `EFBIG` if there
    /// are too many objects.
    pub(crate) fn dump<M: NetlinkSerializable + Clone>(&mut self, message: &M) -> Result<Vec<Reply>, Error> {
        if !self.strict {
            // Before Linux 4.20, the kernel ignores filters and sends everything. So
            // every reader here filters again.
            let _ = self.socket.set_netlink_get_strict_chk(true);
            self.strict = true;
        }
        let begin = Instant::now();
        for attempt in 0..DUMP_ATTEMPTS {
            if attempt > 0 && begin.elapsed() >= TIMEOUT {
                break;
            }
            let bytes = self.serialize(message.clone(), NLM_F_DUMP);
            self.send(&bytes)?;
            let (replies, interrupted) = self.answer(Until::Acknowledged)?;
            if !interrupted {
                return Ok(replies);
            }
        }
        Err(Error::of_ours(Errno::EAGAIN, "the table changed each time it was read"))
    }

    /// Sends messages as one datagram, and waits for the one acknowledgement
    /// (`NLM_F_ACK`), or the first error and the position of its message.
    ///
    /// There is only one acknowledgement, as thousands would overrun the receive
    /// buffer.
    pub(crate) fn batch<M: NetlinkSerializable>(&mut self, batch: Vec<Flagged<M>>) -> Result<(), (usize, Error)> {
        let end = batch.len().saturating_sub(1);
        if self.sequence > u32::MAX - batch.len() as u32 {
            self.sequence = 0; // Positions are differences of sequence numbers.
        }
        let first = self.sequence + 1;
        let bytes: Vec<u8> = batch.into_iter().flat_map(|(message, flags)| self.serialize(message, flags)).collect();
        make_room(&self.socket, bytes.len())
            .map_err(Error::from_errno)
            .and_then(|()| self.send(&bytes))
            .map_err(|error| (end, error))?;
        let outcome = self.batch_answer(first);
        if outcome.is_err() {
            self.drain();
        }
        outcome
    }

    /// Reads the notifications of the next datagram; none if no datagram is waiting.
    /// For sockets that joined a group.
    pub(crate) fn notifications(&mut self) -> Result<Vec<Reply>, Error> {
        let sender = match self.receive(MSG_DONTWAIT) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Vec::new()),
            result => result.map_err(|error| Error::from_io(&error))?,
        };
        let mut replies = Vec::new();
        for message in messages(&self.buffer) {
            let message = message?;
            if sender == 0 {
                replies.push(Reply::new(&message));
            }
        }
        Ok(replies)
    }

    fn serialize<M: NetlinkSerializable>(&mut self, message: M, flags: u16) -> Vec<u8> {
        // Notifications have the number 0.
        self.sequence = self.sequence.checked_add(1).unwrap_or(1);
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | flags;
        header.sequence_number = self.sequence;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(message));
        message.finalize();

        let mut bytes = vec![0; message.buffer_len().next_multiple_of(4)];
        message.serialize(&mut bytes);
        bytes
    }

    fn send(&self, bytes: &[u8]) -> Result<(), Error> {
        let kernel = SocketAddr::new(0, 0);
        retry(|| self.socket.send_to(bytes, &kernel, 0)).map_err(|error| Error::from_io(&error))?;
        Ok(())
    }

    /// Reads the replies to the last request, and whether a dump was interrupted. One
    /// that is too large is read to its end all the same, as the kernel begins no other
    /// on this socket before.
    fn answer(&mut self, until: Until) -> Result<(Vec<Reply>, bool), Error> {
        let (mut replies, mut interrupted) = (Vec::new(), false);
        let (mut bytes, mut is_too_large) = (0, false);
        let mut latest = Instant::now();
        while latest.elapsed() < TIMEOUT {
            let sender = match self.receive(0) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                result => result.map_err(|error| Error::from_io(&error))?,
            };
            if sender != 0 {
                continue; // From another process; the kernel has port 0.
            }
            for message in messages(&self.buffer) {
                let message = message?;
                if message.sequence_number() != self.sequence {
                    continue; // From an earlier answer that was not read to its end.
                }
                latest = Instant::now();
                interrupted |= message.flags() & NLM_F_DUMP_INTR != 0;
                match message.message_type() {
                    NLMSG_NOOP => {}
                    NLMSG_OVERRUN => return Err(Error::from_errno(Errno::ENOBUFS)),
                    NLMSG_ERROR => {
                        return acknowledged(&message).map(|()| (replies, interrupted));
                    }
                    NLMSG_DONE if is_too_large => return Err(Error::of_ours(Errno::EFBIG, TOO_LARGE)),
                    NLMSG_DONE => return dumped(&message).map(|()| (replies, interrupted)),
                    _ if is_too_large => {}
                    _ => {
                        let reply = Reply::new(&message);
                        bytes += reply.payload.len();
                        replies.push(reply);
                        if replies.len() > MAX_OBJECTS || bytes > MAX_BYTES {
                            (replies, is_too_large) = (Vec::new(), true);
                        }
                    }
                }
                if until == Until::Answered && !replies.is_empty() {
                    return Ok((replies, interrupted));
                }
            }
        }
        Err(Error::from_errno(Errno::ETIMEDOUT))
    }

    /// Reads the first answer to the messages from `first` on: an error, or the one
    /// acknowledgement. The kernel answers in order.
    fn batch_answer(&mut self, first: u32) -> Result<(), (usize, Error)> {
        let end = (self.sequence - first) as usize;
        let (begin, mut lost) = (Instant::now(), false);
        while begin.elapsed() < TIMEOUT {
            let sender = match self.receive(if lost { MSG_DONTWAIT } else { 0 }) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // There were so many errors that the last ones were dropped. The first
                // one is in the buffer.
                Err(error) if overrun(&error) => {
                    lost = true;
                    continue;
                }
                result => result.map_err(|error| (end, Error::from_io(&error)))?,
            };
            if sender != 0 {
                continue;
            }
            for message in messages(&self.buffer) {
                let message = message.map_err(|error| (end, error))?;
                let ours = first..=self.sequence;
                if !ours.contains(&message.sequence_number()) {
                    continue;
                }
                if message.message_type() == NLMSG_ERROR {
                    let position = (message.sequence_number() - first) as usize;
                    return acknowledged(&message).map_err(|error| (position, error));
                }
            }
        }
        let errno = if lost { Errno::ENOBUFS } else { Errno::ETIMEDOUT };
        Err((end, Error::from_errno(errno)))
    }

    /// Discards waiting answers. Otherwise the kernel may consider the socket
    /// congested and drop the answer to the next request.
    fn drain(&mut self) {
        loop {
            match self.receive(MSG_DONTWAIT) {
                Err(error) if !overrun(&error) => return,
                _ => {}
            }
        }
    }

    /// Reads one whole datagram into the buffer and returns the sender's port.
    fn receive(&mut self, flags: c_int) -> io::Result<u32> {
        self.buffer.clear();
        let (size, sender) = retry(|| self.socket.recv_from(&mut self.buffer, flags | MSG_TRUNC))?;
        if size > self.buffer.len() {
            return Err(Errno::EMSGSIZE.into());
        }
        Ok(sender.port_number())
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Repeats a call while signals interrupt it.
pub(crate) fn retry<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

fn overrun(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::ENOBUFS as i32)
}

/// The kernel assigns a port when the socket is first used, and sends the answers
/// there.
fn open(protocol: isize, groups: &[u32]) -> io::Result<netlink_sys::Socket> {
    let mut socket = netlink_sys::Socket::new(protocol)?;
    // Costs one setsockopt(2), about half a microsecond. Doing it only after a failure
    // is too late: the kernel adds its text only for a socket that asked before.
    socket.set_ext_ack(true)?;
    let timeout = TimeVal::seconds(TIMEOUT.as_secs() as i64);
    setsockopt(&socket, ReceiveTimeout, &timeout)?;
    if !groups.is_empty() {
        // Nothing else would make the kernel assign a port.
        socket.bind_auto()?;
    }
    for &group in groups {
        socket.add_membership(group)?;
    }
    Ok(socket)
}

/// Enlarges the send buffer, as a datagram has to fit (`EMSGSIZE`). Without
/// `CAP_NET_ADMIN` in the initial user namespace, at most to twice
/// net.core.wmem_max.
fn make_room(socket: &netlink_sys::Socket, size: usize) -> nix::Result<()> {
    let size = size + SEND_OVERHEAD;
    if getsockopt(socket, SndBuf)? >= size {
        return Ok(());
    }
    setsockopt(socket, SndBufForce, &size).or_else(|_| setsockopt(socket, SndBuf, &size))
}
