//! VLANs of bridge ports.

use nix::errno::Errno;
use wasm_cni_kernel::{BridgeVlan, LinkAttrs, LinkKind, NewLink, VethPeer};

use crate::sandbox::{Sandbox, devices, isolated, sh, skip, try_sh};

#[test]
fn a_port_has_the_vlans_that_it_was_given() {
    isolated(|Sandbox { host: ns, .. }| {
        let mut host = ns.connect().unwrap();
        let bridge = |vlan_filtering| NewLink {
            name: "br0".to_owned(),
            kind: LinkKind::Bridge { vlan_filtering },
            attrs: LinkAttrs::default(),
        };
        let port = |master| NewLink {
            name: "a".to_owned(),
            kind: LinkKind::Veth(VethPeer { name: "b".to_owned(), ..VethPeer::default() }),
            attrs: LinkAttrs { master: Some(master), ..LinkAttrs::default() },
        };
        let unsupported = Errno::EOPNOTSUPP as i32;

        if let Err(reason) = try_sh(&ns, "ip link add probe type bridge vlan_filtering 1") {
            assert_eq!(host.link_add(&bridge(true)).unwrap_err().errno(), unsupported);
            assert_eq!(devices(&ns), ["lo"]);
            let br = host.link_add(&bridge(false)).unwrap();
            let link = host.link_add(&port(br)).unwrap();
            let vlan = BridgeVlan { link, first: 100, last: 100, pvid: true, untagged: true };
            let error = host.vlan_add(&vlan).unwrap_err();
            assert_eq!(error.errno(), unsupported, "{error}");
            assert_eq!(host.vlans(link).unwrap(), []);
            return skip("a_port_has_the_vlans_that_it_was_given, vlan_filtering 1", &reason);
        }
        sh(&ns, "ip link delete probe");
        let br = host.link_add(&bridge(true)).unwrap();
        let link = host.link_add(&port(br)).unwrap();
        let vlan = |first, last, own| BridgeVlan { link, first, last, pvid: own, untagged: own };
        host.vlan_del(&vlan(1, 1, false)).unwrap();
        host.vlan_add(&vlan(100, 100, true)).unwrap();
        host.vlan_add(&vlan(200, 299, false)).unwrap();
        let shown = sh(&ns, "bridge -compressvlans vlan show dev a");
        assert!(shown.contains("100 PVID Egress Untagged") && shown.contains("200-299"), "{shown}");
        assert_eq!(host.vlans(link).unwrap(), [vlan(100, 100, true), vlan(200, 299, false)]);
        host.vlan_del(&vlan(200, 299, false)).unwrap();
        assert_eq!(host.vlans(link).unwrap(), [vlan(100, 100, true)]);
        let error = host.vlan_add(&vlan(4095, 4095, false)).unwrap_err();
        assert_eq!(error.errno(), Errno::EINVAL as i32);
    });
}
