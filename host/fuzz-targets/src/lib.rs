//! What the host reads that others wrote, with arbitrary bytes: each target panics if a promise does not hold. `fuzz/` runs
//! them for as long as one likes, `tests/short.rs` for some seconds. Must not know: who makes the bytes.

mod configuration;
#[cfg(feature = "capabilities")]
mod journal;
mod netlink;
mod result;
#[cfg(feature = "capabilities")]
mod sysctl;

pub use configuration::configuration;
#[cfg(feature = "capabilities")]
pub use journal::journal;
pub use netlink::netlink;
pub use result::result;
#[cfg(feature = "capabilities")]
pub use sysctl::sysctl;
