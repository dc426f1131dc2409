//! What one operation may use up.

use std::time::Duration;

/// Limits for each call of each plugin.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Linear memory of one instance in bytes.
    pub memory: usize,
    /// From the start of the operation to its end, all plugins and their host
    /// calls included.
    pub time: Duration,
    /// Calls of host functions, those of its delegates included.
    pub host_calls: u32,
    /// Octets that the lists and texts of one host call may hold.
    pub argument_bytes: usize,
    /// Operations or changes in one host call.
    pub operations: usize,
    /// Octets of log, those of its delegates included.
    pub log_bytes: usize,
    /// Links, addresses, routes and texts in a result, all together.
    pub result_items: usize,
    /// Delegates of delegates.
    pub depth: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 64 << 20,
            time: Duration::from_secs(30),
            host_calls: 10_000,
            argument_bytes: 8 << 20,
            operations: 1024,
            log_bytes: 64 << 10,
            result_items: 4096,
            depth: 2,
        }
    }
}
