//! What lies on disk, in the formats of the reference implementation: network configurations, cached results, leases.
//! Must not know: plugins, WebAssembly.

pub mod boot;
pub mod cache;
pub mod conf_dir;
pub mod deadline;
pub mod files;
pub mod leases;
pub mod store;
