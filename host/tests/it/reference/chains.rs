//! Lists in which some plugins are the reference's executables and some are
//! components of ours: the results are those of the reference alone.

use std::{fs, os::unix::fs::symlink, path::Path};

use serde_json::{Value, json};

use super::reference;
use crate::machine::{Machine, PROGRAM, text};

/// A machine with a network of these plugins.
struct Node {
    machine: Machine,
    netns: String,
}

impl Node {
    /// `native` are links to the reference, `ours` links to the program.
    fn new(reference: &Path, native: &[&str], ours: &[&str], plugins: &Value) -> Self {
        let machine = Machine::new();
        let folder = machine.folder().join("plugins");
        fs::create_dir(&folder).unwrap();
        for kind in native {
            symlink(reference.join(kind), folder.join(kind)).unwrap();
        }
        for kind in ours {
            symlink(PROGRAM, folder.join(kind)).unwrap();
        }
        let data = machine.folder().join("leases");
        let list = json!({ "cniVersion": "1.0.0", "name": "n1", "plugins": plugins });
        let list = list.to_string().replace("$DATA", data.to_str().unwrap());
        fs::write(machine.conf_dir().join("n1.conflist"), list).unwrap();
        let netns = machine.netns("c1");
        Self { machine, netns }
    }

    fn call(&self, command: &str, more: &[&str]) -> Result<String, String> {
        let mut call = self.machine.wasm_cni(&[command, "n1", &self.netns]);
        // The lease folders are below WASM_CNI_ROOT for ours only.
        call.args(more).env("CNI_PATH", self.machine.folder().join("plugins")).env("WASM_CNI_ROOT", "/");
        call.args(["--cache-dir", self.machine.folder().join("cache").to_str().unwrap()]);
        let output = call.output().unwrap();
        if !output.status.success() {
            return Err(format!("{command}: {}", text(&output)));
        }
        Ok(String::from_utf8(output.stdout).unwrap())
    }

    /// ADD, CHECK and DEL twice; gives ADD's result without what is at random.
    fn life(&self, more: &[&str]) -> Result<Value, String> {
        let mut result: Value = serde_json::from_str(&self.call("add", more)?).map_err(|e| e.to_string())?;
        self.call("check", more)?;
        let mtu = self.machine.ip("-n c1 link show dev eth0")[0]["mtu"].clone();
        assert_eq!(mtu, 1400, "the chained plugin has done its work");
        self.call("del", more)?;
        self.call("del", more)?;
        assert_eq!(self.machine.devices("-n c1 "), ["lo"]);
        let left: Vec<_> = fs::read_dir(self.machine.folder().join("leases/n1"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.starts_with("10."))
            .collect();
        assert!(left.is_empty(), "{left:?}");
        for interface in result["interfaces"].as_array_mut().unwrap() {
            interface["mac"] = "at random".into();
            if interface["name"].as_str().unwrap().starts_with("veth") {
                interface["name"] = "at random".into();
            }
        }
        Ok(result)
    }
}

fn ipam() -> Value {
    json!({ "type": "host-local", "dataDir": "$DATA", "subnet": "10.1.0.0/24", "routes": [{ "dst": "10.9.0.0/16" }] })
}

fn tuning() -> Value {
    json!({ "type": "tuning", "mtu": 1400, "sysctl": { "net.core.somaxconn": "500" } })
}

#[test]
fn before_between_and_after() {
    let Some(reference) = reference() else { return };
    let bridge = || json!({ "type": "bridge", "bridge": "br0", "isGateway": true, "ipam": ipam() });
    let loopback = || json!({ "type": "loopback" });
    let prefer = &["--prefer-native"][..];
    for plugins in [
        json!([bridge(), tuning()]),
        json!([bridge(), loopback(), tuning()]),
        json!([bridge(), tuning(), loopback()]),
        json!([{ "type": "ptp", "ipam": ipam() }, tuning(), loopback()]),
    ] {
        let everything = ["bridge", "ptp", "tuning", "loopback", "host-local"];
        let all = Node::new(&reference, &everything, &[], &plugins).life(prefer).unwrap();
        for (native, ours, more) in [
            // The bundled ones go first.
            (&everything[..], &[][..], &[][..]),
            // The reference's before and after ours.
            (&["bridge", "ptp", "tuning", "host-local"], &[], prefer),
            // Ours is the IPAM plugin of the reference's main plugin, as a program.
            (&["bridge", "ptp", "tuning", "loopback"], &["host-local"], prefer),
            // The reference's is the IPAM plugin of ours.
            (&["ptp", "tuning", "host-local"], &["bridge"], prefer),
        ] {
            let mixed = Node::new(&reference, native, ours, &plugins).life(more);
            let mixed = mixed.unwrap_or_else(|e| panic!("{plugins} with the reference's {native:?}: {e}"));
            assert_eq!(mixed, all, "{plugins} with the reference's {native:?}");
        }
    }
}

#[test]
fn versions_are_those_of_the_reference() {
    let Some(reference) = reference() else { return };
    let plugin = json!({ "type": "bridge", "bridge": "br0", "isDefaultGateway": true, "ipam": ipam() });
    for version in ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"] {
        let added = |more: &[&str]| {
            let node = Node::new(&reference, &["bridge", "host-local"], &[], &json!([plugin]));
            let file = node.machine.conf_dir().join("n1.conflist");
            let list = fs::read_to_string(&file).unwrap();
            fs::write(&file, list.replace("\"cniVersion\":\"1.0.0\"", &format!("\"cniVersion\":\"{version}\"")))
                .unwrap();
            let mut result: Value = serde_json::from_str(&node.call("add", more).unwrap()).unwrap();
            for interface in result["interfaces"].as_array_mut().into_iter().flatten() {
                interface["mac"] = "at random".into();
                let name = interface["name"].as_str().unwrap().replace(|c: char| c.is_ascii_hexdigit(), "");
                interface["name"] = name.into();
            }
            node.call("del", more).unwrap();
            result
        };
        assert_eq!(added(&[]), added(&["--prefer-native"]), "{version}");
    }
}
