//! What every operation of a runtime works with: settings, log and trace, running executables. Must not know: plugins.

pub mod context;
pub mod exec;
pub mod faults;
pub mod text;
pub mod tied;
pub mod trace;
