//! The component of the bundled plugins that connect containers to the host by veth pairs. Most containers have one of these,
//! so what other plugins import costs their calls nothing.

cni_plugin::export_interface_plugins! {
    "bridge" => bridge::Bridge,
    "ptp" => ptp::Ptp,
}
