//! Sysctls.

use nix::errno::Errno;
use wasm_cni_kernel::LinkAttrs;
use wasm_cni_kernel::{LinkKind, NewLink};

use crate::sandbox::{Sandbox, isolated, sh};

#[test]
fn sysctls_are_those_of_the_namespace() {
    isolated(|Sandbox { host, container }| {
        let forward = "net/ipv4/ip_forward";
        sh(&host, "sysctl -qw net.ipv4.ip_forward=0");
        let done = container.sysctls_set(&[(forward, "1")]).unwrap();
        assert!(done.iter().all(Result::is_ok), "{done:?}");
        assert_eq!(sh(&container, "cat /proc/sys/net/ipv4/ip_forward"), "1\n");
        assert_eq!(sh(&host, "cat /proc/sys/net/ipv4/ip_forward"), "0\n");
        assert_eq!(container.sysctls_get(&[forward]).unwrap(), [Some("1".to_owned())]);
        assert_eq!(host.sysctls_get(&[forward]).unwrap(), [Some("0".to_owned())]);
    });
}

#[test]
fn a_link_with_a_dot_has_sysctls_too() {
    isolated(|Sandbox { host, container }| {
        let attrs = LinkAttrs::default();
        let kind = LinkKind::Bridge { vlan_filtering: false };
        let link = NewLink { name: "eth0.100".to_owned(), kind, attrs };
        container.connect().unwrap().link_add(&link).unwrap();
        let (key, gone) = ("net/ipv4/conf/eth0.100/arp_notify", "net/ipv4/conf/eth1/arp_notify");
        container.sysctls_set(&[(key, "1")]).unwrap().remove(0).unwrap();
        assert_eq!(sh(&container, "cat /proc/sys/net/ipv4/conf/eth0.100/arp_notify"), "1\n");
        assert_eq!(container.sysctls_get(&[gone, key]).unwrap(), [None, Some("1".to_owned())]);
        assert_eq!(host.sysctls_get(&[key]).unwrap(), [None]);
    });
}

#[test]
fn each_write_has_its_own_outcome() {
    isolated(|Sandbox { container, .. }| {
        let done = container
            .sysctls_set(&[
                ("kernel/hostname", "evil"),
                ("net/../kernel/hostname", "evil"),
                ("net/ipv4/conf/eth9/arp_notify", "1"),
                ("net/ipv4/ip_forward", "much"),
                ("net/ipv4", "1"),
                ("net/ipv4/ip_forward", "1"),
            ])
            .unwrap();
        let errno = |result: &Result<(), _>| match result {
            Ok(()) => 0,
            Err(error) => wasm_cni_kernel::Error::errno(error),
        };
        let errnos: Vec<_> = done.iter().map(errno).collect();
        let bad = Errno::EINVAL as i32;
        assert_eq!(errnos, [bad, bad, Errno::ENOENT as i32, bad, Errno::EISDIR as i32, 0]);
        let text = done[2].as_ref().unwrap_err().to_string();
        assert_eq!(text, "sysctl-set net/ipv4/conf/eth9/arp_notify: no such file or directory");
        assert_eq!(sh(&container, "cat /proc/sys/net/ipv4/ip_forward"), "1\n");

        let error = container.sysctls_get(&["net/ipv4/ip_forward", "kernel/hostname"]).unwrap_err();
        assert_eq!(error.to_string(), "sysctl-get kernel/hostname: invalid argument");
    });
}

#[test]
fn writes_stop_when_the_time_is_up() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    isolated(|Sandbox { container, .. }| {
        let key = "net/ipv4/conf/all/arp_notify";
        let asked = AtomicUsize::new(0);
        let once = || asked.fetch_add(1, Ordering::Relaxed) == 0;
        let done = container.sysctls_set_while(&[(key, "1"), (key, "0"), (key, "0")], &once).unwrap();
        let errnos: Vec<_> = done.iter().map(|result| result.as_ref().err().map_or(0, |e| e.errno())).collect();
        let late = Errno::ETIMEDOUT as i32;
        assert_eq!(errnos, [0, late, late]);
        assert_eq!(container.sysctls_get(&[key]).unwrap(), [Some("1".to_owned())]);
    });
}
