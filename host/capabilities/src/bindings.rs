//! The WIT of `wit/` as Rust: the only `bindgen!`s of the host.
#![allow(missing_docs, reason = "generated from the WIT, which has the documentation")]

/// Plugins that make interfaces, and every import.
pub mod interface {
    wasmtime::component::bindgen!({
        path: "wit",
        world: "interface-plugin",
        imports: { default: trappable },
        with: {
            "wasm-cni:net/net.netns": crate::handles::Namespace,
            "wasm-cni:net/net.change": crate::handles::Pending,
        },
    });
}

/// Plugins that hand out addresses.
pub mod ipam {
    wasmtime::component::bindgen!({
        path: "wit",
        world: "ipam-plugin",
        imports: { default: trappable },
        with: {
            "wasm-cni:types/types": crate::bindings::interface::wasm_cni::types::types,
            "wasm-cni:cni/cni": crate::bindings::interface::wasm_cni::cni::cni,
            "wasm-cni:cni/identity": crate::bindings::interface::wasm_cni::cni::identity,
            "wasm-cni:system/log": crate::bindings::interface::wasm_cni::system::log,
            "wasm-cni:store/store.transaction": crate::handles::Transaction,
        },
    });
}

pub use interface::{
    InterfacePlugin,
    wasm_cni::{
        cni::{cni, delegate, identity},
        filter::{masquerade, spoof_check},
        link::{dummy, macvlan},
        neighbour::neighbours,
        net::net,
        route::{routes, rules},
        system::{devices, log, memo, random},
        types::types,
    },
};
pub use ipam::{
    IpamPlugin,
    wasm_cni::{store::store, system::resolver},
};
