//! The component of the other bundled plugins that make or change interfaces.

cni_plugin::export_interface_plugins! {
    "dummy" => dummy::Dummy,
    "host-device" => host_device::HostDevice,
    "macvlan" => macvlan::MacvlanPlugin,
    "sbr" => sbr::Sbr,
}
