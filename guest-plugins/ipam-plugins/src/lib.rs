//! The component of the bundled plugins that hand out addresses.

cni_plugin::export_ipam_plugins! {
    "host-local" => host_local::HostLocal,
    "static" => r#static::Static,
}
