//! `filter`: what shall hold for an attachment's packets, as rules of the host's namespace. Tables, chains, comments and
//! hashes are the reference's, so that either implementation finds and removes what the other made.
//!
//! Nothing here takes a rule, a chain or a name from a guest: whose rules they are follows from the call.

pub mod intent;
pub mod iptables;
pub mod masquerade;
pub mod names;
pub mod nft;
pub mod spoof_check;
pub mod table;
