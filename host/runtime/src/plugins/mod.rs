//! Plugins: where they come from, and what is kept of those that were loaded.

mod code_memory;
pub(crate) mod compiled;
mod compiler;
mod load;
mod locate;
mod plugin;

pub use self::locate::Location;
pub(crate) use self::{
    load::world,
    locate::Found,
    plugin::{Linked, Plugin, linker},
};
