//! One blocking netlink socket of whatever protocol: requests, dumps, batches,
//! and their answers. Must not know: what the messages mean.

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

/// How long the kernel may take for one datagram. It answers in the call that
/// sends the request, so only a bug makes this pass.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Largest datagram that is read, octets. The kernel fills those of a dump up to
/// half of it (`netlink_recvmsg`); all others are smaller by far, as nothing here
/// asks for the virtual functions of a device (`RTEXT_FILTER_VF`).
const DATAGRAM_SIZE: usize = 64 * 1024;

/// How often a dump is begun anew because the table changed meanwhile.
const DUMP_ATTEMPTS: usize = 32;

/// What the kernel wants of the send buffer besides the datagram
/// (`netlink_sendmsg`).
const SEND_OVERHEAD: usize = 32;

/// A socket that only listens to the kernel.
#[derive(Debug)]
pub(crate) struct Socket {
    socket: netlink_sys::Socket,
    /// Does it take what a dump asks for to the letter?
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
    /// A socket of the calling thread's namespace, in the given multicast
    /// groups of the protocol.
    pub(crate) fn open(protocol: isize, groups: &[u32]) -> Result<Self, Error> {
        let socket = open(protocol, groups).map_err(|error| Error::from_io(&error))?;
        Ok(Self { socket, strict: false, sequence: 0, buffer: Vec::with_capacity(DATAGRAM_SIZE) })
    }

    /// Sends a request and returns what came before its acknowledgement.
    pub(crate) fn request<M: NetlinkSerializable>(&mut self, message: M, flags: u16) -> Result<Vec<Reply>, Error> {
        let octets = self.serialize(message, NLM_F_ACK | flags);
        self.send(&octets)?;
        Ok(self.answer(Until::Acknowledged)?.0)
    }

    /// Sends a request that has one answer, and returns that: without an
    /// acknowledgement, which says no more than that it has come.
    pub(crate) fn query<M: NetlinkSerializable>(&mut self, message: M) -> Result<Option<Reply>, Error> {
        let octets = self.serialize(message, 0);
        self.send(&octets)?;
        Ok(self.answer(Until::Answered)?.0.pop())
    }

    /// All that the kernel holds of something, without tears: a dump that the
    /// kernel marks as interrupted is begun anew.
    pub(crate) fn dump<M: NetlinkSerializable + Clone>(&mut self, message: &M) -> Result<Vec<Reply>, Error> {
        if !self.strict {
            // Linux 4.20; before it the kernel sends more than was asked for, which
            // every reader here filters once more.
            let _ = self.socket.set_netlink_get_strict_chk(true);
            self.strict = true;
        }
        for _ in 0..DUMP_ATTEMPTS {
            let octets = self.serialize(message.clone(), NLM_F_DUMP);
            self.send(&octets)?;
            let (replies, interrupted) = self.answer(Until::Acknowledged)?;
            if !interrupted {
                return Ok(replies);
            }
        }
        Err(Error::from_errno(Errno::EAGAIN))
    }

    /// Sends messages as one datagram, and waits for the answer to the one that
    /// asks for it (`NLM_F_ACK`) or the first error, whichever message it is of:
    /// its position comes along.
    ///
    /// One acknowledgement, not one for each: thousands would overrun the
    /// receive buffer.
    pub(crate) fn batch<M: NetlinkSerializable>(&mut self, batch: Vec<Flagged<M>>) -> Result<(), (usize, Error)> {
        let end = batch.len().saturating_sub(1);
        if self.sequence > u32::MAX - batch.len() as u32 {
            self.sequence = 0; // So that positions are differences.
        }
        let first = self.sequence + 1;
        let octets: Vec<u8> = batch.into_iter().flat_map(|(message, flags)| self.serialize(message, flags)).collect();
        make_room(&self.socket, octets.len())
            .map_err(Error::from_errno)
            .and_then(|()| self.send(&octets))
            .map_err(|error| (end, error))?;
        let outcome = self.batch_answer(first);
        if outcome.is_err() {
            self.drain();
        }
        outcome
    }

    /// The next datagram's messages, from whoever; nothing if none is waiting.
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
        // 0 is what the kernel puts into notifications.
        self.sequence = self.sequence.checked_add(1).unwrap_or(1);
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | flags;
        header.sequence_number = self.sequence;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(message));
        message.finalize();

        let mut octets = vec![0; message.buffer_len().next_multiple_of(4)];
        message.serialize(&mut octets);
        octets
    }

    fn send(&self, octets: &[u8]) -> Result<(), Error> {
        let kernel = SocketAddr::new(0, 0);
        retry(|| self.socket.send_to(octets, &kernel, 0)).map_err(|error| Error::from_io(&error))?;
        Ok(())
    }

    /// The replies up to where they are to end, which for a dump is its end, and
    /// whether the dump was interrupted.
    fn answer(&mut self, until: Until) -> Result<(Vec<Reply>, bool), Error> {
        let (mut replies, mut interrupted) = (Vec::new(), false);
        let mut latest = Instant::now();
        while latest.elapsed() < TIMEOUT {
            let sender = match self.receive(0) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                result => result.map_err(|error| Error::from_io(&error))?,
            };
            if sender != 0 {
                continue; // Another process; the kernel is port 0.
            }
            for message in messages(&self.buffer) {
                let message = message?;
                if message.sequence_number() != self.sequence {
                    continue; // The end of an answer that was given up.
                }
                latest = Instant::now();
                interrupted |= message.flags() & NLM_F_DUMP_INTR != 0;
                match message.message_type() {
                    NLMSG_NOOP => {}
                    NLMSG_OVERRUN => return Err(Error::from_errno(Errno::ENOBUFS)),
                    NLMSG_ERROR => {
                        return acknowledged(&message).map(|()| (replies, interrupted));
                    }
                    NLMSG_DONE => return dumped(&message).map(|()| (replies, interrupted)),
                    _ => replies.push(Reply::new(&message)),
                }
                if until == Until::Answered && !replies.is_empty() {
                    return Ok((replies, interrupted));
                }
            }
        }
        Err(Error::from_errno(Errno::ETIMEDOUT))
    }

    /// The first answer to any of the messages from `first` on: an error, or the
    /// one acknowledgement. The kernel answers in their order.
    fn batch_answer(&mut self, first: u32) -> Result<(), (usize, Error)> {
        let end = (self.sequence - first) as usize;
        let (begin, mut lost) = (Instant::now(), false);
        while begin.elapsed() < TIMEOUT {
            let sender = match self.receive(if lost { MSG_DONTWAIT } else { 0 }) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // So many errors that the last were lost; the first is there.
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

    /// Throws away what waits to be read. As long as answers wait, the kernel may
    /// take the socket for congested and drop those to the next request.
    fn drain(&mut self) {
        loop {
            match self.receive(MSG_DONTWAIT) {
                Err(error) if !overrun(&error) => return,
                _ => {}
            }
        }
    }

    /// One datagram, whole, into the buffer; returns the port that sent it.
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

/// Calls again what a signal interrupted.
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

/// The kernel gives it a port when it is first used: answers come to that, and
/// are told apart by their numbers.
fn open(protocol: isize, groups: &[u32]) -> io::Result<netlink_sys::Socket> {
    let mut socket = netlink_sys::Socket::new(protocol)?;
    // One more setsockopt(2), half a microsecond. It can't wait for a failure:
    // only a socket that has asked beforehand gets the kernel's text.
    socket.set_ext_ack(true)?;
    let timeout = TimeVal::seconds(TIMEOUT.as_secs() as i64);
    setsockopt(&socket, ReceiveTimeout, &timeout)?;
    if !groups.is_empty() {
        // One that only listens uses it for nothing else.
        socket.bind_auto()?;
    }
    for &group in groups {
        socket.add_membership(group)?;
    }
    Ok(socket)
}

/// A datagram must fit into the send buffer (`EMSGSIZE`). Without
/// `CAP_NET_ADMIN` over the machine it grows to twice net.core.wmem_max.
fn make_room(socket: &netlink_sys::Socket, size: usize) -> nix::Result<()> {
    let size = size + SEND_OVERHEAD;
    if getsockopt(socket, SndBuf)? >= size {
        return Ok(());
    }
    setsockopt(socket, SndBufForce, &size).or_else(|_| setsockopt(socket, SndBuf, &size))
}
