//! The plugins by themselves: the numbered checks of their contract, called as
//! a runtime calls them. What is there then is asked of iproute2, `nft`,
//! iptables and the disk.

mod bridge;
mod bridge_filters;
mod bridge_life;
mod bridge_ports;
mod bridge_vlans;
mod host_end;
mod host_local;
mod ipv6;
mod loopback;
mod ptp;
mod routes;
mod static_;

use std::{
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::machine::{Machine, text};

/// A result, null where none is printed, or the code and the text of an error.
type Reply = Result<Value, (u64, String)>;

/// An error of the plugin's own.
fn refused(msg: impl Into<String>) -> Reply {
    Err((999, msg.into()))
}

/// The text of an error of the plugin's own.
fn msg(reply: Reply) -> String {
    let (code, msg) = reply.unwrap_err();
    assert_eq!(code, 999, "{msg}");
    msg
}

/// What calls are for: `eth0` in a namespace that has the container's name.
#[derive(Clone)]
struct Container<'m> {
    machine: &'m Machine,
    id: String,
    /// Beyond the usual environment of a call, or in its place.
    env: Vec<(&'static str, String)>,
}

impl<'m> Container<'m> {
    fn new(machine: &'m Machine, id: &str) -> Self {
        machine.netns(id);
        Self { machine, id: id.to_owned(), env: Vec::new() }
    }

    /// The same with another environment.
    fn with(&self, key: &'static str, value: &str) -> Self {
        let mut container = self.clone();
        container.env.push((key, value.to_owned()));
        container
    }

    fn netns(&self) -> String {
        format!("/run/netns/{}", self.id)
    }

    /// Calls the plugin that the configuration names.
    fn call(&self, command: &str, config: &Value) -> Reply {
        let netns = self.netns();
        let mut env = vec![
            ("CNI_COMMAND", command),
            ("CNI_CONTAINERID", &self.id),
            ("CNI_NETNS", &netns),
            ("CNI_IFNAME", "eth0"),
            ("CNI_PATH", "/p"),
        ];
        env.extend(self.env.iter().map(|(key, value)| (*key, value.as_str())));
        let output = self.machine.plugin(config["type"].as_str().unwrap(), &env, &config.to_string());
        let printed = match output.stdout.as_slice() {
            [] => Value::Null,
            stdout => serde_json::from_slice(stdout).unwrap_or_else(|_| panic!("{}", text(&output))),
        };
        match output.status.code() {
            Some(0) => Ok(printed),
            Some(1) => Err((printed["code"].as_u64().unwrap(), printed["msg"].as_str().unwrap().to_owned())),
            _ => panic!("{}", text(&output)),
        }
    }

    fn add(&self, config: &Value) -> Reply {
        self.call("ADD", config)
    }

    fn del(&self, config: &Value) -> Reply {
        self.call("DEL", config)
    }

    /// CHECK of what ADD gave.
    fn check(&self, config: &Value, result: &Value) -> Reply {
        self.call("CHECK", &with(config, json!({ "prevResult": result })))
    }

    /// `ip` in the container's namespace.
    fn ip(&self, arguments: &str) -> Value {
        self.machine.ip(&format!("-n {} {arguments}", self.id))
    }

    /// A sysctl of the container.
    fn sysctl(&self, key: &str) -> String {
        self.machine.sysctl(Some(&self.id), key)
    }

    /// Nothing that a plugin makes is there, in the container or on the host.
    fn assert_clean(&self) {
        assert_eq!(self.machine.devices(&format!("-n {} ", self.id)), ["lo"]);
        assert_eq!(self.machine.devices(""), ["lo"]);
        assert_eq!(self.machine.leases("n1"), [""; 0]);
    }
}

/// The configuration of a plugin of the network `n1`.
fn plugin(kind: &str, members: Value) -> Value {
    with(&json!({ "cniVersion": "1.0.0", "name": "n1", "type": kind }), members)
}

/// The bridge `br0`.
fn bridge(members: Value) -> Value {
    with(&plugin("bridge", json!({ "bridge": "br0" })), members)
}

/// `br0` as the gateway of 10.1.0.0/24, where nothing else is said.
fn gateway(members: Value) -> Value {
    with(&bridge(json!({ "isGateway": true, "ipam": host_local(&["10.1.0.0/24"]) })), members)
}

/// The same configuration with these members.
fn with(config: &Value, members: Value) -> Value {
    let mut config = config.clone();
    let Value::Object(members) = members else { panic!("{members}") };
    config.as_object_mut().unwrap().extend(members);
    config
}

/// `ipam`: an address of each of these subnets.
fn host_local(subnets: &[&str]) -> Value {
    let ranges: Vec<_> = subnets.iter().map(|subnet| json!([{ "subnet": subnet }])).collect();
    json!({ "type": "host-local", "ranges": ranges })
}

/// `ipam`: this address, and its gateway if there is one.
fn fixed(address: &str, gateway: Option<&str>) -> Value {
    json!({ "type": "static", "addresses": [{ "address": address, "gateway": gateway }] })
}

/// Whether an address answers a container: it refuses, as nobody listens there.
fn answers(machine: &Machine, from: &str, address: &str) -> bool {
    // The kernel takes its time with links.
    let connect = format!("exec 3<>/dev/tcp/{address}/9");
    let call = ["netns", "exec", from, "timeout", "10", "bash", "-c", &connect];
    let output = machine.command("ip").args(call).output().unwrap();
    String::from_utf8_lossy(&output.stderr).contains("refused")
}

/// Waits until it is so: the kernel does some of its work later.
fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !is_so() {
        assert!(Instant::now() < deadline, "still not so: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}
