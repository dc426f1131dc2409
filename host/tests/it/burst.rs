//! Many at the same time.

use std::{collections::BTreeSet, process::Stdio};

use serde_json::Value;

use crate::machine::{Machine, bridge, text};

#[test]
fn sixty_at_once_on_a_bridge_that_does_not_exist_yet() {
    const COUNT: usize = 60;
    let machine = Machine::new();
    let network = machine.network("n1", bridge(&["10.1.0.0/24", "fd00:10::/64"]));
    let namespaces: Vec<_> = (0..COUNT).map(|i| machine.netns(&format!("c{i}"))).collect();

    let start = |netns: &String| {
        let mut command = machine.wasm_cni(&["add", &network, netns]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let children: Vec<_> = namespaces.iter().map(start).collect();
    let mut given = BTreeSet::new();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
        let result: Value = serde_json::from_slice(&output.stdout).unwrap();
        for ip in result["ips"].as_array().unwrap() {
            assert!(given.insert(ip["address"].as_str().unwrap().to_owned()), "{} twice", ip["address"]);
        }
    }
    assert_eq!(given.len(), 2 * COUNT);
    assert_eq!(machine.leases("n1").len(), 2 * COUNT);
    let links = machine.ip("link show master br0");
    assert_eq!(links.as_array().unwrap().len(), COUNT);

    let stop = |netns: &String| machine.wasm_cni(&["del", &network, netns]).spawn().unwrap();
    let children: Vec<_> = namespaces.iter().map(stop).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(machine.leases("n1"), [""; 0]);
    assert_eq!(machine.devices(""), ["lo", "br0"]);
}
