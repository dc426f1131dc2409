//! The WIT of `wit/` as Rust: the only `bindgen!`s of the host.

/// Plugins that make interfaces, and every import.
pub(crate) mod interface {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "interface-plugin",
        imports: { default: trappable },
        with: { "wasm-cni:net/net.netns": crate::host::net::Namespace },
    });
}

/// Plugins that hand out addresses.
pub(crate) mod ipam {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "ipam-plugin",
        imports: { default: trappable },
        with: {
            "wasm-cni:types/types": crate::bindings::interface::wasm_cni::types::types,
            "wasm-cni:cni/cni": crate::bindings::interface::wasm_cni::cni::cni,
            "wasm-cni:system/log": crate::bindings::interface::wasm_cni::system::log,
            "wasm-cni:store/store.transaction": crate::host::store::Transaction,
        },
    });
}

pub(crate) use interface::{
    InterfacePlugin,
    wasm_cni::{
        cni::delegate,
        filter::{masquerade, spoof_check},
        net::net,
        system::{devices, log, random},
        types::types,
    },
};
pub(crate) use ipam::{
    IpamPlugin,
    wasm_cni::{store::store, system::resolver},
};
