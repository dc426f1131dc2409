//! `system`: what is not of the network.

pub mod devices;
pub mod log;
pub mod memo;
pub mod random;
pub mod resolver;
