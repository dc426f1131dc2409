//! The worlds that plugins are written for (`wit/plugin.wit`).

/// Which of the worlds a component is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum World {
    /// `interface-plugin`: makes or changes interfaces.
    Interface,
    /// `ipam-plugin`: hands out addresses.
    Ipam,
}

impl World {
    /// Every world.
    pub const ALL: [Self; 2] = [Self::Interface, Self::Ipam];

    /// The interface that its components export.
    #[must_use]
    pub fn export(self) -> &'static str {
        match self {
            Self::Interface => "wasm-cni:plugin/plugin@0.1.0",
            Self::Ipam => "wasm-cni:plugin/ipam@0.1.0",
        }
    }

    /// Its name in the WIT.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Interface => "interface-plugin",
            Self::Ipam => "ipam-plugin",
        }
    }
}
