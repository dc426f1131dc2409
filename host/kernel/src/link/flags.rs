//! Flags and states of links (linux/if.h).

/// `IFF_UP`: the link is administratively up.
pub const IFF_UP: u32 = 0x1;
/// `IFF_LOOPBACK`: the link sends to itself.
pub const IFF_LOOPBACK: u32 = 0x8;
/// `IFF_PROMISC`: the link receives all packets.
pub const IFF_PROMISC: u32 = 0x100;

/// `IF_OPER_UP`: the link can transmit packets (RFC 2863).
pub const IF_OPER_UP: u8 = 6;
