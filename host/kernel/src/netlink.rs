//! One blocking `NETLINK_ROUTE` socket: requests, acknowledgements, dumps.
//! Must not know: what the messages mean.

use std::io;
use std::time::{Duration, Instant};

use netlink_packet_core::{
    DoneBuffer, ErrorBuffer, NLM_F_ACK, NLM_F_ACK_TLVS, NLM_F_CAPPED, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST,
    NLMSG_DONE, NLMSG_ERROR, NLMSG_NOOP, NLMSG_OVERRUN, NetlinkBuffer, NetlinkHeader, NetlinkMessage, NlasIterator,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use nix::errno::Errno;
use nix::libc::{MSG_PEEK, MSG_TRUNC, c_int};
use nix::sys::socket::{setsockopt, sockopt::ReceiveTimeout};
use nix::sys::time::{TimeVal, TimeValLike};

use crate::Error;

/// How long the kernel may take for one datagram. It answers in the call that
/// sends the request, so only a bug makes this pass.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The kernel fills datagrams of a dump up to this (`netlink_recvmsg`).
const DUMP_SIZE: usize = 32 * 1024;

/// How often a dump is begun anew because the table changed meanwhile.
const DUMP_ATTEMPTS: usize = 32;

/// `NLMSGERR_ATTR_MSG` (linux/netlink.h).
const NLMSGERR_ATTR_MSG: u16 = 1;

/// Octets of `struct nlmsghdr`.
const HEADER_LEN: usize = 16;

/// A route socket. It belongs to the network namespace it was opened in, from
/// whatever thread it is used: see [`crate::Netns::connect`].
#[derive(Debug)]
pub struct Netlink {
    socket: Socket,
    port: u32,
    sequence: u32,
    buffer: Vec<u8>,
}

/// One message of an answer.
pub(crate) struct Reply {
    /// `RTM_*`.
    pub(crate) kind: u16,
    /// What follows the netlink header.
    pub(crate) payload: Vec<u8>,
}

impl Netlink {
    /// A socket of the calling thread's namespace, in the given multicast
    /// groups (`RTNLGRP_*`).
    pub(crate) fn open(groups: &[u32]) -> Result<Self, Error> {
        let (socket, port) = open_socket(groups).map_err(|error| Error::from_io(&error))?;
        Ok(Self { socket, port, sequence: 0, buffer: Vec::with_capacity(DUMP_SIZE) })
    }

    /// Sends a request and returns what came before its acknowledgement.
    pub(crate) fn request(&mut self, message: RouteNetlinkMessage, flags: u16) -> Result<Vec<Reply>, Error> {
        self.send(message, NLM_F_REQUEST | NLM_F_ACK | flags)?;
        Ok(self.answer()?.0)
    }

    /// All that the kernel holds of something, without tears: a dump that the
    /// kernel marks as interrupted is begun anew.
    pub(crate) fn dump(&mut self, message: &RouteNetlinkMessage) -> Result<Vec<Reply>, Error> {
        for _ in 0..DUMP_ATTEMPTS {
            self.send(message.clone(), NLM_F_REQUEST | NLM_F_DUMP)?;
            let (replies, interrupted) = self.answer()?;
            if !interrupted {
                return Ok(replies);
            }
        }
        Err(Error::from_errno(Errno::EAGAIN))
    }

    /// The next datagram's messages, from whoever; nothing if none is waiting.
    /// For sockets that joined a group.
    pub(crate) fn notifications(&mut self) -> Result<Vec<Reply>, Error> {
        let sender = match receive(&self.socket, &mut self.buffer, nix::libc::MSG_DONTWAIT) {
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

    pub(crate) fn socket(&self) -> &Socket {
        &self.socket
    }

    fn send(&mut self, message: RouteNetlinkMessage, flags: u16) -> Result<(), Error> {
        // 0 is what the kernel puts into notifications.
        self.sequence = self.sequence.checked_add(1).unwrap_or(1);
        let mut header = NetlinkHeader::default();
        header.flags = flags;
        header.sequence_number = self.sequence;
        let mut message = NetlinkMessage::new(header, message.into());
        message.finalize();

        let mut octets = vec![0; message.buffer_len()];
        message.serialize(&mut octets);
        let kernel = SocketAddr::new(0, 0);
        retry(|| self.socket.send_to(&octets, &kernel, 0)).map_err(|error| Error::from_io(&error))?;
        Ok(())
    }

    /// The replies up to the acknowledgement or the end of the dump, and
    /// whether the dump was interrupted.
    fn answer(&mut self) -> Result<(Vec<Reply>, bool), Error> {
        let (mut replies, mut interrupted) = (Vec::new(), false);
        let mut latest = Instant::now();
        while latest.elapsed() < TIMEOUT {
            let sender = match receive(&self.socket, &mut self.buffer, 0) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                result => result.map_err(|error| Error::from_io(&error))?,
            };
            if sender != 0 {
                continue; // Another process; the kernel is port 0.
            }
            for message in messages(&self.buffer) {
                let message = message?;
                if (message.sequence_number(), message.port_number()) != (self.sequence, self.port) {
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
            }
        }
        Err(Error::from_errno(Errno::ETIMEDOUT))
    }
}

impl Reply {
    fn new(message: &NetlinkBuffer<&[u8]>) -> Self {
        Self { kind: message.message_type(), payload: message.payload().to_vec() }
    }
}

fn open_socket(groups: &[u32]) -> io::Result<(Socket, u32)> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    let port = socket.bind_auto()?.port_number();
    // The kernel's words; and of the request only the header, not all of it.
    socket.set_ext_ack(true)?;
    socket.set_cap_ack(true)?;
    // Linux 4.20; before it the kernel sends more than was asked for, which
    // every reader here filters once more.
    let _ = socket.set_netlink_get_strict_chk(true);
    let timeout = TimeVal::seconds(TIMEOUT.as_secs() as i64);
    setsockopt(&socket, ReceiveTimeout, &timeout)?;
    for &group in groups {
        socket.add_membership(group)?;
    }
    Ok((socket, port))
}

/// One datagram, whole, into `buffer`; returns the port that sent it.
fn receive(socket: &Socket, buffer: &mut Vec<u8>, flags: c_int) -> io::Result<u32> {
    let mut nothing: &mut [u8] = &mut [];
    let (size, _) = retry(|| socket.recv_from(&mut nothing, flags | MSG_PEEK | MSG_TRUNC))?;
    buffer.clear();
    buffer.reserve(size);
    let (_, sender) = retry(|| socket.recv_from(buffer, flags))?;
    Ok(sender.port_number())
}

fn retry<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// The messages of one datagram (`NLMSG_NEXT`).
fn messages(mut octets: &[u8]) -> impl Iterator<Item = Result<NetlinkBuffer<&[u8]>, Error>> {
    std::iter::from_fn(move || {
        if octets.len() < HEADER_LEN {
            return None;
        }
        let message = match NetlinkBuffer::new_checked(octets) {
            Ok(message) => message,
            Err(error) => {
                octets = &[];
                return Some(Err(Error::from_decode(error)));
            }
        };
        let size = (message.length() as usize).next_multiple_of(4);
        octets = octets.get(size..).unwrap_or_default();
        Some(Ok(message))
    })
}

/// Reads an `NLMSG_ERROR`: `int error`, the request's header, attributes.
fn acknowledged(message: &NetlinkBuffer<&[u8]>) -> Result<(), Error> {
    let error = ErrorBuffer::new_checked(message.payload()).map_err(Error::from_decode)?;
    let Some(code) = error.code() else {
        return Ok(());
    };
    let request = error.payload();
    let skip = match NetlinkBuffer::new_checked(request) {
        Ok(header) if message.flags() & NLM_F_CAPPED == 0 => header.length() as usize,
        _ => HEADER_LEN,
    };
    let attributes = match message.flags() & NLM_F_ACK_TLVS {
        0 => &[],
        _ => request.get(skip.next_multiple_of(4)..).unwrap_or_default(),
    };
    Err(Error::from_kernel(-code.get(), ext_ack(attributes)))
}

/// Reads an `NLMSG_DONE`: `int error`, attributes.
fn dumped(message: &NetlinkBuffer<&[u8]>) -> Result<(), Error> {
    match DoneBuffer::new_checked(message.payload()) {
        Ok(done) if done.code() < 0 => Err(Error::from_kernel(-done.code(), ext_ack(done.extended_ack()))),
        // Some kernels send no code at all.
        _ => Ok(()),
    }
}

fn ext_ack(attributes: &[u8]) -> Option<String> {
    let text =
        NlasIterator::new(attributes).map_while(Result::ok).find(|attribute| attribute.kind() == NLMSGERR_ATTR_MSG)?;
    let text = String::from_utf8_lossy(text.value());
    Some(text.trim_end_matches('\0').to_owned())
}
