//! The checks of arguments, with whatever a guest may send: never a panic, and
//! what is accepted keeps the rule that it is checked for.

use std::path::{Component, Path};

use proptest::prelude::*;

use crate::{
    bindings::{
        devices::Bus,
        interface::wasm_cni::cni::cni,
        types::{self, IpAddr},
    },
    convert,
    grants::pattern::sysctl_matches,
    limits::Limits,
    store::keys as store,
    system::devices,
    text::for_people,
    wire,
};

/// Texts of all kinds, most of them near to what is accepted.
fn text() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        8 => "[a-z0-9.:_-]{1,6}",
        2 => Just("..".to_owned()),
        1 => Just(".".to_owned()),
        1 => Just("lock".to_owned()),
        1 => any::<char>().prop_map(String::from),
        1 => Just("\0".to_owned()),
    ];
    let path = prop::collection::vec(part, 0..7).prop_map(|parts| parts.join("/"));
    let device = path.clone().prop_map(|path| format!("/sys/devices/{path}"));
    let key = path.clone().prop_map(|path| format!("net/{path}"));
    prop_oneof!["[a-z0-9.]{1,16}", "\\PC{0,300}", any::<String>(), path, device, key]
}

/// Patterns as grants have them.
fn pattern() -> impl Strategy<Value = String> {
    let part = prop_oneof![Just("*".to_owned()), "[a-z0-9_]{1,6}"];
    prop::collection::vec(part, 1..6).prop_map(|parts| format!("net/{}", parts.join("/")))
}

fn is_one_component(name: &str) -> bool {
    let mut components = Path::new(name).components();
    let one = matches!(components.next(), Some(Component::Normal(part)) if part == name);
    one && components.next().is_none() && !name.contains('\0')
}

fn is_plain(path: &Path) -> bool {
    path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)))
}

fn ip_net() -> impl Strategy<Value = types::IpNet> {
    let addr = prop_oneof![any::<u32>().prop_map(IpAddr::V4), any::<(u64, u64)>().prop_map(IpAddr::V6),];
    (addr, any::<u8>()).prop_map(|(addr, prefix)| types::IpNet { addr, prefix })
}

fn output() -> impl Strategy<Value = cni::Output> {
    let iface = (text(), text(), text(), any::<u32>()).prop_map(|(name, mac, sandbox, mtu)| cni::Iface {
        name,
        mac,
        mtu,
        sandbox,
        socket_path: String::new(),
        pci_id: String::new(),
    });
    let ip = (ip_net(), prop::option::of(0..4_u32)).prop_map(|(address, iface)| cni::IpConfig {
        address,
        gateway: None,
        iface,
    });
    let texts = || prop::collection::vec(text(), 0..3);
    (prop::collection::vec(iface, 0..3), prop::collection::vec(ip, 0..3), texts(), text()).prop_map(
        |(interfaces, ips, nameservers, domain)| {
            let dns = cni::Dns { nameservers, domain, search: Vec::new(), options: Vec::new() };
            cni::Output { interfaces, ips, routes: Vec::new(), dns }
        },
    )
}

proptest! {
    #[test]
    fn a_link_s_name_is_one_component_that_the_kernel_takes(name in text()) {
        if convert::link_name(&name, "").is_ok() {
            prop_assert!(is_one_component(&name));
            prop_assert!(name.len() < 16 && !name.contains(['%', ':']) && !name.contains(char::is_whitespace));
        }
    }

    #[test]
    fn a_mac_an_alias_and_a_value_fit(mac in prop::collection::vec(any::<u8>(), 0..40), text in text()) {
        prop_assert_eq!(convert::mac(&mac, "").is_ok(), (1..=32).contains(&mac.len()));
        let on_one_line = !text.contains(['\n', '\r', '\0']);
        prop_assert!(convert::alias(&text, "").is_err() || (on_one_line && text.len() < 256));
        prop_assert!(convert::sysctl_value(&text, "").is_err() || (on_one_line && text.len() <= 64));
    }

    #[test]
    fn a_prefix_is_no_longer_than_its_address(net in ip_net()) {
        let most = if matches!(net.addr, IpAddr::V4(_)) { 32 } else { 128 };
        let read = convert::ip_net(&net, "");
        prop_assert_eq!(read.is_ok(), net.prefix <= most);
        if let Ok(read) = read {
            prop_assert_eq!(convert::wit_net(read).prefix, net.prefix);
        }
    }

    #[test]
    fn vlans_are_a_range_of_those_that_there_are(first in any::<u16>(), last in any::<u16>(), near in 0..5000_u16) {
        for (first, last) in [(first, last), (near, last), (first, near), (near, near), (1, near)] {
            let ids: Vec<_> = (first..=last).collect();
            let sound = !ids.is_empty() && !ids.contains(&0) && ids.iter().all(|id| *id < 4095);
            prop_assert_eq!(convert::vlan_ids(first, last, "").is_ok(), sound);
        }
    }

    #[test]
    fn a_granted_sysctl_lies_where_its_pattern_does(pattern in pattern(), key in text(), parts in prop::collection::vec(text(), 6)) {
        // A key that is made for the pattern, too: most others match none.
        let mut parts = parts.into_iter();
        let made: Vec<_> = pattern
            .split('/')
            .map(|part| if part == "*" { parts.next().unwrap_or_default() } else { part.to_owned() })
            .collect();
        for key in [key, made.join("/")] {
            if sysctl_matches(&pattern, &key) {
                let path = Path::new("/proc/sys").join(&key);
                prop_assert!(path.starts_with("/proc/sys/net") && is_plain(&path), "{}", path.display());
                prop_assert_eq!(path.components().count(), 3 + pattern.split('/').count());
            }
        }
    }

    #[test]
    fn a_store_s_key_is_one_component_and_not_the_lock(key in text()) {
        if store::check_key(&key).is_ok() {
            prop_assert!(is_one_component(&key) && key != "lock" && key.len() < 256);
        }
    }

    #[test]
    fn a_device_lies_on_its_bus_or_below_the_devices(name in text()) {
        for (bus, folder) in [(Bus::Pci, "/sys/bus/pci/devices"), (Bus::Auxiliary, "/sys/bus/auxiliary/devices")] {
            if let Ok(path) = devices::device(bus, &name) {
                prop_assert!(is_one_component(&name));
                prop_assert_eq!(path.parent(), Some(Path::new(folder)));
            }
        }
        let path = Path::new(&name);
        if devices::is_device_path(path).is_ok() {
            prop_assert!(path.starts_with("/sys/devices") && is_plain(path) && !name.contains('\0'));
        }
    }

    #[test]
    fn what_people_read_is_short_and_on_one_line(text in any::<String>(), times in 0..200_usize) {
        let text = text.repeat(times);
        let read = for_people(&text);
        // A control character is no longer than its blank.
        prop_assert!(read.len() <= 1024 && !read.contains(char::is_control));
        let failure = cni::Failure { code: 1, msg: text.clone(), details: text };
        let error = wire::error(failure);
        let obeyed = |c: char| c.is_control() && c != '\n' && c != '\t';
        prop_assert!(error.msg.len() <= 4096 && !error.msg.contains(obeyed) && !error.details.contains(obeyed));
    }

    #[test]
    fn a_result_that_passes_makes_sense(output in output()) {
        if let Ok(success) = wire::success(output, &Limits::default()) {
            for interface in &success.interfaces {
                prop_assert!(convert::link_name(&interface.name, "").is_ok());
                prop_assert!(!interface.mac.contains(char::is_control) && !interface.sandbox.contains(char::is_control));
            }
            let there = |index: u32| (index as usize) < success.interfaces.len();
            prop_assert!(success.ips.iter().filter_map(|ip| ip.interface).all(there));
            prop_assert!(!success.dns.nameservers.iter().any(|text| text.contains(char::is_control)));
        }
    }
}
