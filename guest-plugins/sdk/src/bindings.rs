//! The generated half of the SDK: what `wit/` says, in Rust. Two worlds, one
//! set of types; nothing else in the SDK may call `generate!`.
#![allow(missing_docs, unreachable_pub, clippy::missing_safety_doc, clippy::too_many_arguments, reason = "generated")]

/// The world of plugins that make interfaces.
pub mod interface {
    wit_bindgen::generate!({
        path: "wit",
        world: "interface-plugin",
        pub_export_macro: true,
        export_macro_name: "export_interface_world",
        default_bindings_module: "cni_plugin::bindings::interface",
        additional_derives: [PartialEq],
        // They may hold a `change`, which is a handle.
        additional_derives_ignore: ["action", "op"],
        generate_all,
    });
}

/// The world of plugins that hand out addresses.
pub mod ipam {
    wit_bindgen::generate!({
        path: "wit",
        world: "ipam-plugin",
        pub_export_macro: true,
        export_macro_name: "export_ipam_world",
        default_bindings_module: "cni_plugin::bindings::ipam",
        additional_derives: [PartialEq],
        with: {
            "wasm-cni:types/types@0.1.0": crate::bindings::interface::wasm_cni::types::types,
            "wasm-cni:cni/cni@0.1.0": crate::bindings::interface::wasm_cni::cni::cni,
            "wasm-cni:cni/identity@0.1.0": crate::bindings::interface::wasm_cni::cni::identity,
            "wasm-cni:system/log@0.1.0": crate::bindings::interface::wasm_cni::system::log,
        },
        generate_all,
    });
}
