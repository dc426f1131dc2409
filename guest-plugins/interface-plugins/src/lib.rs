//! The component of the bundled plugins that make interfaces.

cni_plugin::export_interface_plugins! {
    "bridge" => bridge::Bridge,
    "dummy" => dummy::Dummy,
    "host-device" => host_device::HostDevice,
    "macvlan" => macvlan::MacvlanPlugin,
    "ptp" => ptp::Ptp,
    "sbr" => sbr::Sbr,
}
