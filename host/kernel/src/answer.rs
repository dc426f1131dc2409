//! Splits datagrams into messages and reads acknowledgements, with the kernel's own
//! texts. Must not know: sockets.

use std::net::IpAddr;

use netlink_packet_core::{DoneBuffer, ErrorBuffer, NLM_F_ACK_TLVS, NLM_F_CAPPED, NetlinkBuffer, NlasIterator};

use crate::Error;

/// `NLMSGERR_ATTR_MSG` (linux/netlink.h).
const NLMSGERR_ATTR_MSG: u16 = 1;

/// Bytes of `struct nlmsghdr`.
const HEADER_LEN: usize = 16;

/// A message of an answer.
pub(crate) struct Reply {
    /// `nlmsg_type`.
    pub(crate) kind: u16,
    /// The bytes after the netlink header.
    pub(crate) payload: Vec<u8>,
}

impl Reply {
    pub(crate) fn new(message: &NetlinkBuffer<&[u8]>) -> Self {
        Self { kind: message.message_type(), payload: message.payload().to_vec() }
    }
}

/// The messages of one datagram (`NLMSG_NEXT`).
pub(crate) fn messages(mut bytes: &[u8]) -> impl Iterator<Item = Result<NetlinkBuffer<&[u8]>, Error>> {
    std::iter::from_fn(move || {
        if bytes.len() < HEADER_LEN {
            return None;
        }
        let message = match NetlinkBuffer::new_checked(bytes) {
            Ok(message) => message,
            Err(error) => {
                bytes = &[];
                return Some(Err(Error::from_decode(error)));
            }
        };
        let size = (message.length() as usize).next_multiple_of(4);
        bytes = bytes.get(size..).unwrap_or_default();
        Some(Ok(message))
    })
}

/// Reads an `NLMSG_ERROR`: `int error`, the request's header, attributes.
pub(crate) fn acknowledged(message: &NetlinkBuffer<&[u8]>) -> Result<(), Error> {
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
    Err(Error::from_kernel(code.get().wrapping_neg(), kernel_says(attributes)))
}

/// Reads an `NLMSG_DONE`: `int error`, attributes.
pub(crate) fn dumped(message: &NetlinkBuffer<&[u8]>) -> Result<(), Error> {
    match DoneBuffer::new_checked(message.payload()) {
        Ok(done) if done.code() < 0 => {
            Err(Error::from_kernel(done.code().wrapping_neg(), kernel_says(done.extended_ack())))
        }
        // Some kernels send no code.
        _ => Ok(()),
    }
}

/// The value of an attribute that holds an IP address; `None` for other lengths.
pub(crate) fn ip_address(value: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(value).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(value).map(IpAddr::from)).ok()
}

/// A string of the kernel's, up to the NUL that ends it. Names are bytes, and one that
/// is not UTF-8 must not keep anybody from reading the others.
pub(crate) fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

fn kernel_says(attributes: &[u8]) -> Option<String> {
    let text =
        NlasIterator::new(attributes).map_while(Result::ok).find(|attribute| attribute.kind() == NLMSGERR_ATTR_MSG)?;
    let text = String::from_utf8_lossy(text.value());
    Some(text.trim_end_matches('\0').to_owned())
}
