//! The configurations that both implementations get.

use serde_json::{Value, json};

/// A call, and what is there before it.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) plugin: &'static str,
    /// JSON, as a rule.
    pub(crate) config: String,
    /// Beyond the usual environment of a call.
    pub(crate) env: Vec<(&'static str, &'static str)>,
    /// A shell script.
    pub(crate) before: &'static str,
    /// Why ours says something else, if it does: on ADD or DEL of a case that
    /// fails, on CHECK of one that succeeds. What it does is the same.
    pub(crate) differs: Option<&'static str>,
    /// The reference's DEL fails, though only what it left to do is done then.
    pub(crate) reference_fails_del: bool,
}

impl Case {
    /// Whether no addresses are asked for.
    pub(crate) fn is_layer_2(&self) -> bool {
        let config: Value = serde_json::from_str(&self.config).unwrap();
        self.plugin == "bridge" && config["ipam"]["type"].is_null()
    }

    pub(crate) fn differs(mut self, reason: &'static str) -> Self {
        self.differs = Some(reason);
        self
    }

    pub(crate) fn reference_fails_del(mut self) -> Self {
        self.reference_fails_del = true;
        self
    }

    pub(crate) fn after(mut self, script: &'static str) -> Self {
        self.before = script;
        self
    }

    /// What was asked for, and so is not at random.
    pub(crate) fn keep(&self) -> String {
        self.env.iter().fold(self.config.clone(), |text, (_, value)| text + " " + value)
    }

    pub(crate) fn env(mut self, key: &'static str, value: &'static str) -> Self {
        self.env.push((key, value));
        self
    }
}

/// A bridge, with these members besides.
pub(crate) fn bridge(name: &'static str, members: Value) -> Case {
    let config = json!({ "cniVersion": "1.1.0", "name": "n1", "type": "bridge", "bridge": "br0" });
    raw("bridge", name, merge(config, members).to_string())
}

/// A bridge that is the gateway of 10.1.0.0/24.
pub(crate) fn gateway(name: &'static str, members: Value) -> Case {
    bridge(name, merge(json!({ "isGateway": true, "ipam": v4() }), members))
}

/// `host-local` alone.
pub(crate) fn host_local(name: &'static str, members: Value) -> Case {
    let config = json!({ "cniVersion": "1.1.0", "name": "n1", "type": "host-local", "ipam": v4() });
    raw("host-local", name, merge(config, members).to_string())
}

/// `static` alone.
pub(crate) fn static_(name: &'static str, members: Value) -> Case {
    let config =
        json!({ "cniVersion": "1.1.0", "name": "n1", "type": "static", "ipam": addresses(json!(["10.1.0.5/24"])) });
    raw("static", name, merge(config, members).to_string())
}

pub(crate) fn raw(plugin: &'static str, name: &'static str, config: String) -> Case {
    Case { name, plugin, config, env: Vec::new(), before: "", differs: None, reference_fails_del: false }
}

pub(crate) fn merge(mut config: Value, members: Value) -> Value {
    let Value::Object(members) = members else { panic!("{members}") };
    config.as_object_mut().unwrap().extend(members);
    config
}

pub(crate) fn ipam(members: Value) -> Value {
    merge(json!({ "type": "host-local", "dataDir": "$FOLDER/data" }), members)
}

/// `static` with these: texts, or objects if there is more to say.
pub(crate) fn addresses(list: Value) -> Value {
    let entry = |one: &Value| if one.is_string() { json!({ "address": one }) } else { one.clone() };
    let list: Vec<Value> = list.as_array().unwrap().iter().map(entry).collect();
    json!({ "type": "static", "addresses": list })
}

pub(crate) fn v4() -> Value {
    ipam(json!({ "ranges": [[{ "subnet": "10.1.0.0/24" }]] }))
}

pub(crate) fn v6() -> Value {
    ipam(json!({ "ranges": [[{ "subnet": "fd00:10::/64" }]] }))
}

pub(crate) fn dual() -> Value {
    ipam(json!({ "ranges": [[{ "subnet": "10.1.0.0/24" }], [{ "subnet": "fd00:10::/64" }]] }))
}

fn routes(routes: Value) -> Value {
    let mut ipam = dual();
    ipam["routes"] = routes;
    json!({ "ipam": ipam })
}

/// Both succeed.
#[rustfmt::skip]
pub(crate) fn good() -> Vec<Case> {
    let mut cases = vec![
        gateway("IPv4", json!({})),
        gateway("IPv4, no gateway", json!({ "isGateway": false })),
        gateway("IPv6", json!({ "ipam": v6() })),
        gateway("dual stack", json!({ "ipam": dual() })),
        gateway("dual stack, no gateway", json!({ "ipam": dual(), "isGateway": false })),
        gateway("default gateway", json!({ "isDefaultGateway": true })),
        gateway("default gateway, IPv6", json!({ "isDefaultGateway": true, "isGateway": false, "ipam": v6() })),
        gateway("default gateway, dual stack", json!({ "isDefaultGateway": true, "ipam": dual() })),
        gateway("default gateway beside a default route with a gateway", json!({
            "isDefaultGateway": true,
            "ipam": ipam(json!({ "ranges": [[{ "subnet": "10.1.0.0/24" }]], "routes": [{ "dst": "0.0.0.0/0", "gw": "10.1.0.254" }] })),
        })),
        gateway("routes without gateways", routes(json!([{ "dst": "0.0.0.0/0" }, { "dst": "::/0" }, { "dst": "10.9.0.0/16" }, { "dst": "fd09::/48" }]))),
        gateway("routes with gateways", routes(json!([{ "dst": "10.9.0.0/16", "gw": "10.1.0.9" }, { "dst": "fd09::/48", "gw": "fd00:10::9" }]))),
        gateway("routes with host bits", routes(json!([{ "dst": "fd09::7/48" }])))
            .differs("the reference does not find its own route, as the kernel has dropped the host bits"),
        gateway("a route to a mapped network", routes(json!([{ "dst": "::ffff:10.9.0.0/112" }]))),
        gateway("routes with a priority", routes(json!([{ "dst": "10.9.0.0/16", "priority": 50 }, { "dst": "fd09::/48", "priority": 60 }]))),
        gateway("routes in a table", routes(json!([{ "dst": "10.9.0.0/16", "table": 100 }, { "dst": "fd09::/48", "table": 100 }, { "dst": "10.8.0.0/16", "table": 70000 }])))
            .differs("the reference looks for them in the main table"),
        gateway("routes with a scope", routes(json!([{ "dst": "10.9.0.0/16", "scope": 0 }, { "dst": "10.8.0.0/16", "scope": 200 }, { "dst": "fd09::/48", "scope": 253 }]))),
        gateway("two routes to one destination", routes(json!([{ "dst": "10.9.0.0/16", "gw": "10.1.0.9" }, { "dst": "10.9.0.0/16", "gw": "10.1.0.8" }, { "dst": "fd09::/48" }, { "dst": "fd09::/48", "gw": "fd00:10::8" }])))
            .differs("the reference does not see the hops of a route with several"),
        gateway("mtu", json!({ "mtu": 1400, "ipam": dual() })),
        gateway("a large mtu", json!({ "mtu": 9000 })),
        gateway("hairpin", json!({ "hairpinMode": true })),
        gateway("promiscuous", json!({ "promiscMode": true })),
        gateway("isolated", json!({ "portIsolation": true, "hairpinMode": true })),
        gateway("duplicate address detection", json!({ "enabledad": true, "ipam": dual() })),
        gateway("duplicate address detection, IPv4", json!({ "enabledad": true })),
        bridge("layer 2", json!({})),
        bridge("layer 2 with an mtu, dns, hairpin", json!({ "mtu": 1300, "hairpinMode": true, "dns": { "nameservers": ["10.0.0.1"] } })),
        bridge("layer 2, empty ipam", json!({ "ipam": {}, "isGateway": true })),
        // Whether a bridge without a carrier has a link-local address depends on when the kernel looks at it.
        bridge("the container's interface disabled", json!({ "disableContainerInterface": true }))
            .after("sysctl -qw net.ipv6.conf.default.disable_ipv6=1"),
        bridge("MAC in CNI_ARGS", json!({})).env("CNI_ARGS", "MAC=02:11:22:33:44:55"),
        gateway("MAC in CNI_ARGS, upper case, dashes", json!({})).env("CNI_ARGS", "IgnoreUnknown=1;MAC=02-11-22-33-44-AA"),
        gateway("MAC in args", json!({ "args": { "cni": { "mac": "02:11:22:33:44:66" } } })),
        gateway("MAC in runtimeConfig", json!({ "runtimeConfig": { "mac": "02:11:22:33:44:77" } })),
        gateway("MAC everywhere", json!({
            "args": { "cni": { "mac": "02:11:22:33:44:66" } }, "runtimeConfig": { "mac": "02:11:22:33:44:77" },
        })).env("CNI_ARGS", "MAC=02:11:22:33:44:55;IgnoreUnknown=true"),
        gateway("dns", json!({ "dns": { "nameservers": ["10.0.0.1", "10.0.0.2"], "domain": "d.example", "search": ["<a>&b"], "options": ["ndots:5"] } })),
        gateway("resolvConf", json!({ "ipam": ipam(json!({ "subnet": "10.1.0.0/24", "resolvConf": "$FOLDER/resolv.conf" })) }))
            .after("printf '# c\\n nameserver 10.0.0.53\\nnameserver fd00::53\\nsearch a b\\noptions x y\\ndomain one\\ndomain two\\nsearch c\\nnameserver\\n;x y\\n' >$FOLDER/resolv.conf"),
        gateway("dns beats resolvConf", json!({ "dns": { "domain": "d" }, "ipam": ipam(json!({ "subnet": "10.1.0.0/24", "resolvConf": "$FOLDER/resolv.conf" })) }))
            .after("echo nameserver 10.0.0.53 >$FOLDER/resolv.conf"),
        gateway("ranges", json!({ "ipam": ipam(json!({ "ranges": [
            [{ "subnet": "10.1.0.0/24", "rangeStart": "10.1.0.20", "rangeEnd": "10.1.0.29", "gateway": "10.1.0.254" }, { "subnet": "10.1.0.0/24", "rangeStart": "10.1.0.40" , "rangeEnd": "10.1.0.49", "gateway": "10.1.0.254" }],
            [{ "subnet": "fd00:10::/64", "rangeStart": "fd00:10::a0", "gateway": "fd00:10::ffff" }],
        ] })) })),
        gateway("a range and its legacy form", json!({ "isGateway": false, "ipam": ipam(json!({ "subnet": "10.2.0.0/24", "rangeStart": "10.2.0.9", "gateway": "10.2.0.8", "ranges": [[{ "subnet": "10.1.0.0/24" }]] })) })),
        gateway("a gateway outside of the subnet", json!({ "ipam": ipam(json!({ "subnet": "10.1.0.0/24", "gateway": "10.9.0.1" })) })),
        gateway("runtimeConfig.ipRanges", json!({ "runtimeConfig": { "ipRanges": [[{ "subnet": "fd00:11::/64" }]] } })),
        gateway("runtimeConfig.ips", json!({ "ipam": dual(), "runtimeConfig": { "ips": ["10.1.0.50/24", "fd00:10::50"] } })),
        gateway("args.cni.ips", json!({ "args": { "cni": { "ips": ["10.1.0.60"] } } })),
        gateway("IP in CNI_ARGS", json!({})).env("CNI_ARGS", "IP=10.1.0.70/24;IgnoreUnknown=1;K8S_POD_NAME=x"),
        gateway("forceAddress on another address", json!({ "forceAddress": true, "ipam": dual() }))
            .after("ip link add br0 type bridge; ip addr add 10.7.0.1/16 dev br0; ip addr add fd00:10::7/48 dev br0 nodad; ip addr add fd01::7/48 dev br0 nodad; ip link set br0 up"),
        gateway("an existing bridge", json!({ "mtu": 1300 })).after("ip link add br0 mtu 1400 type bridge"),
        gateway("an existing bridge with the address", json!({})).after("ip link add br0 type bridge; ip addr add 10.1.0.1/24 dev br0"),
        gateway("an existing bridge with a port", json!({})).after("ip link add br0 type bridge; ip link add v0 type veth peer name v1; ip link set v0 up; ip link set v1 up; ip link set v0 master br0"),
        gateway("leases already there", json!({})).after("mkdir -p $FOLDER/data/n1; printf 'o\\r\\neth0' >$FOLDER/data/n1/10.1.0.2; printf 10.1.0.9 >$FOLDER/data/n1/last_reserved_ip.0"),
        gateway("a corrupt last_reserved_ip", json!({})).after("mkdir -p $FOLDER/data/n1; echo 10.1.0.9 >$FOLDER/data/n1/last_reserved_ip.0"),
        gateway("IPv6 disabled in the container", json!({ "ipam": dual() })).after("ip netns exec c1 sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1"),
        gateway("forwarding already on", json!({ "ipam": dual() })).after("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1"),
        gateway("keys in upper case, twice, unknown", json!({ "MTU": 1200, "unknown": [1], "ISGATEWAY": true, "capabilities": { "mac": true } })),
        gateway("vlan 0", json!({ "vlan": 0, "preserveDefaultVlan": true })),
        gateway("another interface", json!({})).env("CNI_IFNAME", "net-1.0_x"),
        raw("bridge", "no cniVersion, no bridge", json!({ "name": "n1", "type": "bridge", "ipam": v4() }).to_string()),
        host_local("host-local", json!({})),
        host_local("host-local, routes and dns", json!({ "ipam": ipam(json!({
            "ranges": [[{ "subnet": "10.1.0.0/24" }], [{ "subnet": "fd00:10::/64" }]],
            "routes": [{ "dst": "10.9.0.3/16", "gw": "10.1.0.9", "priority": 7, "table": 0, "scope": 253, "mtu": 9 }, { "dst": "::/0" }],
        })), "dns": { "domain": "d" } })),
        gateway("static", json!({ "ipam": addresses(json!(["10.1.0.5/24"])) })),
        gateway("static, dual stack, gateways", json!({ "isDefaultGateway": true, "ipam": addresses(json!([
            { "address": "10.1.0.5/24", "gateway": "10.1.0.254" }, { "address": "fd00:10::5/64", "gateway": "fd00:10::fe" },
        ])) })),
        gateway("static, no gateway", json!({ "isGateway": false, "ipam": addresses(json!(["10.1.0.5/24", "fd00:10::5/64"])) })),
        gateway("static, two of a family", json!({ "isGateway": false, "ipam": addresses(json!(["10.1.0.5/24", "10.2.0.5/16"])) })),
        gateway("static, routes and dns", json!({ "ipam": merge(addresses(json!(["10.1.0.5/24", "fd00:10::5/64"])), json!({
            "routes": [{ "dst": "0.0.0.0/0" }, { "dst": "10.9.0.0/16", "gw": "10.1.0.9", "priority": 7 }, { "dst": "fd09::/48" }],
            "dns": { "nameservers": ["10.0.0.53"], "domain": "d", "search": ["a", "b"], "options": ["ndots:5"] },
        })) })),
        gateway("static, dns of the network", json!({ "dns": { "domain": "n" }, "ipam": merge(addresses(json!(["10.1.0.5/24"])), json!({ "dns": { "domain": "i" } })) })),
        gateway("static, CNI_ARGS", json!({ "isGateway": false, "ipam": addresses(json!([])) }))
            .env("CNI_ARGS", "IP=10.1.0.7/24, fd00:10::7/64;GATEWAY=10.1.0.1,fd00:10::1;IgnoreUnknown=1;MAC=02:11:22:33:44:55"),
        gateway("static, args.cni.ips", json!({ "ipam": addresses(json!(["10.2.0.5/24"])), "args": { "cni": { "ips": ["10.1.0.60/24"] } } })),
        gateway("static, runtimeConfig.ips", json!({ "ipam": { "type": "static" }, "runtimeConfig": { "ips": ["10.1.0.50/24", "fd00:10::50/64"] } })),
        static_("static, a gateway in CNI_ARGS", json!({})).env("CNI_ARGS", "IP=10.2.0.7/16;GATEWAY=10.2.0.1"),
        static_("static, a gateway for nobody", json!({})).env("CNI_ARGS", "IP=10.2.0.7/16;GATEWAY=10.1.0.1,fd00::1"),
        static_("static, IP with spaces", json!({})).env("CNI_ARGS", "IP= 10.2.0.7/16 , fd00::7/64;GATEWAY= fd00::1 ,10.2.0.1"),
        static_("static, two gateways for an address", json!({})).env("CNI_ARGS", "IP=10.2.0.7/16,10.2.9.7/24;GATEWAY=10.2.0.1,10.2.9.1"),
        static_("static, IP twice", json!({})).env("CNI_ARGS", "IP=10.2.0.7/16;IP=10.3.0.7/16"),
        static_("static, empty CNI_ARGS", json!({})).env("CNI_ARGS", "IP=;GATEWAY=;IgnoreUnknown=0"),
        static_("static, args.cni.ips beats CNI_ARGS", json!({ "args": { "cni": { "ips": ["10.3.0.7/16", "::1/128"] } } })).env("CNI_ARGS", "IP=10.2.0.7/16"),
        static_("static, runtimeConfig.ips beats args.cni.ips", json!({ "args": { "cni": { "ips": ["10.3.0.7/16"] } }, "runtimeConfig": { "ips": ["10.4.0.7/16"] } })),
        static_("static, empty lists replace nothing", json!({ "args": { "cni": { "ips": [] } }, "runtimeConfig": { "ips": null } })),
        static_("static, what is replaced is no address", json!({ "ipam": addresses(json!(["zz"])), "runtimeConfig": { "ips": ["10.4.0.7/16"] } })),
        static_("static, no addresses", json!({ "ipam": { "type": "static" } })),
        static_("static, no addresses, 0.4.0", json!({ "cniVersion": "0.4.0", "ipam": addresses(json!([])) })),
        static_("static, an empty ipam with routes", json!({ "ipam": { "routes": [{ "dst": "10.9.0.3/16", "gw": "10.1.0.9", "table": 0, "scope": 253, "mtu": 9 }, { "dst": "::/0" }] } })),
        static_("static, host bits", json!({ "ipam": addresses(json!(["10.1.2.3/8", "FD00:0::0A/16", "0.0.0.0/0", "10.1.0.0/32"])) })),
        static_("static, mapped", json!({ "ipam": addresses(json!([{ "address": "::ffff:10.1.0.5/120", "gateway": "::ffff:10.1.0.1" }, "::ffff:10.2.0.5/90"])) })),
        static_("static, mapped in CNI_ARGS", json!({})).env("CNI_ARGS", "IP=::ffff:10.2.0.7/112;GATEWAY=::ffff:10.2.0.1"),
        static_("static, no gateway is empty", json!({ "ipam": addresses(json!([{ "address": "10.1.0.5/24", "gateway": "" }, { "address": "fd00::5/64", "gateway": null }])) })),
        static_("static, a gateway elsewhere", json!({ "ipam": addresses(json!([{ "address": "10.1.0.5/24", "gateway": "fd00::1" }])) })),
        raw("static", "static, keys in upper case, unknown", json!({ "cniVersion": "1.1.0", "name": "n1", "IPAM": { "ADDRESSES": [{ "ADDRESS": "10.7.0.5/24", "GATEWAY": "10.7.0.1", "x": 1 }], "ranges": 3 } }).to_string()),
        static_("static, other keys that make no sense", json!({ "dns": 3, "capabilities": 3 })),
        static_("static, type is a number", json!({ "type": 3 })),
        raw("static", "static, no cniVersion", json!({ "name": "n1", "ipam": addresses(json!(["10.1.0.5/24", "fd00::5/64"])) }).to_string()),
    ];
    for version in ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"] {
        cases.push(gateway(version, json!({ "cniVersion": version, "isDefaultGateway": true, "ipam": dual(), "dns": { "domain": "d" } })));
        cases.push(host_local(version, json!({ "cniVersion": version })));
        let ipam = merge(addresses(json!([{ "address": "10.1.0.5/24", "gateway": "10.1.0.9" }, "fd00:10::5/64"])), json!({
            "routes": [{ "dst": "10.9.0.0/16" }, { "dst": "fd09::/48", "gw": "fd00:10::9" }], "dns": { "domain": "d" },
        }));
        cases.push(gateway(version, json!({ "cniVersion": version, "ipam": ipam })));
        cases.push(static_(version, json!({ "cniVersion": version, "ipam": ipam })));
    }
    cases
}

/// Both fail, and ours leaves nothing.
#[rustfmt::skip]
pub(crate) fn bad() -> Vec<Case> {
    let subnets = |ranges: Value| json!({ "ipam": ipam(json!({ "ranges": ranges })) });
    let one = |range: Value| json!({ "ipam": ipam(json!({ "ranges": [[range]] })) });
    let lease = "mkdir -p $FOLDER/data/n1; printf 'o\\r\\neth0' >$FOLDER/data/n1/10.1.0.2";
    vec![
        gateway("mtu is a text", json!({ "mtu": "big" })),
        gateway("isGateway is a text", json!({ "isGateway": "yes" })),
        gateway("type is a number", json!({ "type": 3 })),
        gateway("capabilities is a number", json!({ "capabilities": 3 })),
        gateway("prevResult is a number", json!({ "prevResult": 3 })),
        gateway("ipam is a text", json!({ "ipam": "host-local" })),
        gateway("ipam.type is a number", json!({ "ipam": { "type": 1 } })),
        gateway("dns is a list", json!({ "dns": ["10.0.0.1"] })),
        gateway("ranges is an object", json!({ "ipam": ipam(json!({ "ranges": {} })) })),
        gateway("a route with host bits", routes(json!([{ "dst": "10.9.0.7/16" }]))),
        gateway("a route without dst", routes(json!([{ "gw": "10.1.0.1" }]))).differs("KNOWN DEFECT: DEL refuses it too"),
        gateway("a route's dst is none", routes(json!([{ "dst": "10.0.0.0" }]))),
        gateway("a route's gw is none", routes(json!([{ "dst": "10.0.0.0/8", "gw": "x" }]))),
        gateway("a route's table is a text", routes(json!([{ "dst": "10.0.0.0/8", "table": "x" }]))),
        raw("bridge", "no JSON", "{".into()),
        raw("bridge", "nothing", String::new()),
        raw("bridge", "a list", "[]".into()).differs("KNOWN DEFECT: not Go's text for a wrong type"),
        gateway("no name", json!({ "name": "" })),
        gateway("a bad name", json!({ "name": "a/b" })),
        gateway("name is a number", json!({ "name": 1 })),
        gateway("an unknown version", json!({ "cniVersion": "1.2.0" })),
        gateway("version is none", json!({ "cniVersion": "one" })),
        gateway("unknown ipam", json!({ "ipam": { "type": "nope" } })),
        gateway("ipam with a slash", json!({ "ipam": { "type": "../host-local" } })),
        gateway("bridge is lo", json!({ "bridge": "lo" })),
        gateway("the bridge's name is too long", json!({ "bridge": "abcdefghijklmnop" })).differs("ours says what is wrong with the name before the kernel is asked"),
        gateway("hairpin and promiscuous", json!({ "hairpinMode": true, "promiscMode": true })),
        gateway("no interface but ipam", json!({ "disableContainerInterface": true })),
        gateway("vlan 4095", json!({ "vlan": 4095 })),
        gateway("vlan -1", json!({ "vlan": -1 })),
        gateway("vlan is a fraction", json!({ "vlan": 1.5 })),
        gateway("trunk without minID", json!({ "vlanTrunk": [{ "maxID": 5 }] })),
        gateway("trunk without maxID", json!({ "vlanTrunk": [{ "minID": 5 }] })),
        gateway("trunk with a high id", json!({ "vlanTrunk": [{ "id": 4095 }] })),
        gateway("trunk with a low id", json!({ "vlanTrunk": [{ "id": -1 }] })),
        gateway("trunk with a high maxID", json!({ "vlanTrunk": [{ "minID": 1, "maxID": 5000 }] })),
        gateway("trunk upside down", json!({ "vlanTrunk": [{ "minID": 9, "maxID": 5 }] })),
        gateway("an exhausted range", one(json!({ "subnet": "10.1.0.0/30" }))).after(lease),
        gateway("CNI_ARGS without =", json!({})).env("CNI_ARGS", "MAC"),
        gateway("CNI_ARGS with two =", json!({})).env("CNI_ARGS", "MAC=a=b"),
        gateway("CNI_ARGS with unknown keys", json!({})).env("CNI_ARGS", "A=b;mac=02:00:00:00:00:01;C=d"),
        gateway("MAC without IgnoreUnknown", json!({})).env("CNI_ARGS", "MAC=02:11:22:33:44:55"),
        gateway("IgnoreUnknown is none", json!({})).env("CNI_ARGS", "IgnoreUnknown=maybe"),
        bridge("a bad MAC in CNI_ARGS", json!({})).env("CNI_ARGS", "MAC=zz"),
        gateway("a bad MAC in args", json!({ "args": { "cni": { "mac": "02:11" } } })),
        gateway("a multicast MAC", json!({ "runtimeConfig": { "mac": "01:00:5e:00:00:01" } })),
        gateway("a MAC of eight bytes", json!({ "runtimeConfig": { "mac": "02:11:22:33:44:55:66:77" } })),
        gateway("a small subnet", one(json!({ "subnet": "10.1.0.0/31" }))),
        gateway("host bits", one(json!({ "subnet": "10.1.0.7/24" }))),
        gateway("no subnet", one(json!({ "rangeStart": "10.1.0.7" }))),
        gateway("no CIDR", one(json!({ "subnet": "10.1.0.0" }))),
        gateway("a bad rangeStart", one(json!({ "subnet": "10.1.0.0/24", "rangeStart": "foo" }))),
        gateway("rangeStart elsewhere", one(json!({ "subnet": "10.1.0.0/24", "rangeStart": "10.2.0.1" }))),
        gateway("rangeEnd elsewhere", one(json!({ "subnet": "10.1.0.0/24", "rangeEnd": "10.2.0.1" }))),
        gateway("range upside down", one(json!({ "subnet": "10.1.0.0/24", "rangeStart": "10.1.0.9", "rangeEnd": "10.1.0.5" }))),
        gateway("a mapped subnet", one(json!({ "subnet": "::ffff:10.1.0.0/120" }))),
        gateway("no range", subnets(json!([]))),
        gateway("an empty set", subnets(json!([[]]))),
        gateway("mixed families", subnets(json!([[{ "subnet": "10.1.0.0/24" }, { "subnet": "fd00::/64" }]]))),
        gateway("overlap in a set", subnets(json!([[{ "subnet": "10.1.0.0/24" }, { "subnet": "10.1.0.0/25" }]]))),
        gateway("overlap of sets", subnets(json!([[{ "subnet": "10.1.0.0/24" }], [{ "subnet": "10.1.0.0/16" }]]))),
        gateway("two of a family in 0.2.0", json!({ "cniVersion": "0.2.0", "ipam": ipam(json!({ "ranges": [[{ "subnet": "10.1.0.0/24" }], [{ "subnet": "10.2.0.0/24" }]] })) })),
        gateway("asked for the gateway", json!({ "runtimeConfig": { "ips": ["10.1.0.1"] } })),
        gateway("asked for a taken one", json!({ "runtimeConfig": { "ips": ["10.1.0.2"] } })).after(lease),
        gateway("asked for one of elsewhere", json!({ "runtimeConfig": { "ips": ["10.2.0.2"] } })),
        gateway("asked for two", json!({ "runtimeConfig": { "ips": ["10.1.0.5", "10.2.0.5"] } })),
        gateway("asked for none", json!({ "runtimeConfig": { "ips": ["zz"] } })),
        gateway("IP is none", json!({})).env("CNI_ARGS", "IP=foo;IgnoreUnknown=1"),
        gateway("another address on the bridge", json!({})).after("ip link add br0 type bridge; ip addr add 10.7.0.1/16 dev br0; ip link set br0 up"),
        gateway("another IPv6 address on the bridge", json!({ "ipam": v6() })).after("ip link add br0 type bridge; ip link set br0 up; ip addr add fd00:10::7/48 dev br0 nodad"),
        gateway("two gateways of IPv4", subnets(json!([[{ "subnet": "10.1.0.0/24" }], [{ "subnet": "10.2.0.0/24" }]]))),
        gateway("an unreachable gateway", routes(json!([{ "dst": "10.9.0.0/16", "gw": "10.77.0.1" }]))),
        gateway("an unreachable gateway, IPv6", routes(json!([{ "dst": "fd09::/48", "gw": "fd77::1", "priority": 9 }]))),
        gateway("the same route twice", routes(json!([{ "dst": "10.9.0.0/16" }, { "dst": "10.9.0.0/16" }]))),
        gateway("resolvConf is missing", json!({ "ipam": ipam(json!({ "subnet": "10.1.0.0/24", "resolvConf": "/nonexistent/resolv.conf" })) })),
        gateway("no IPv6 on the host", json!({ "ipam": v6() })).after("sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1")
            .differs("ours says why"),
        gateway("eth0 exists", json!({})).after("ip -n c1 link add eth0 type bridge"),
        gateway("the mtu is too small", json!({ "mtu": 20 })),
        bridge("no address in 0.2.0", json!({ "cniVersion": "0.2.0" })),
        gateway("no namespace", json!({})).env("CNI_NETNS", "/nonexistent/ns"),
        gateway("no CNI_NETNS", json!({})).env("CNI_NETNS", ""),
        gateway("a bad container id", json!({})).env("CNI_CONTAINERID", "a/b"),
        gateway("a long interface name", json!({})).env("CNI_IFNAME", "abcdefghijklmnop"),
        gateway("an interface name with a slash", json!({})).env("CNI_IFNAME", "a/b"),
        host_local("host-local without ipam", json!({ "ipam": null })),
        host_local("host-local, exhausted", one(json!({ "subnet": "10.1.0.0/30" }))).after(lease),
        host_local("host-local, MAC without IgnoreUnknown", json!({})).env("CNI_ARGS", "MAC=02:11:22:33:44:55"),
        host_local("host-local, dataDir is a file", json!({ "ipam": { "type": "host-local", "dataDir": "$FOLDER/file", "subnet": "10.1.0.0/24" } })).after(">$FOLDER/file"),
        gateway("static, no addresses", json!({ "ipam": { "type": "static" } })),
        gateway("static, a bad address", json!({ "ipam": addresses(json!(["10.1.0.5/24", "10.2.0.5/33"])) })),
        gateway("static, IP without IgnoreUnknown", json!({ "ipam": addresses(json!([])) })).env("CNI_ARGS", "IP=10.1.0.5/24"),
        static_("static without ipam", json!({ "ipam": null })),
        static_("static, ipam is a number", json!({ "ipam": 3 })),
        static_("static, ipam is a list", json!({ "ipam": [] })),
        static_("static, ipam.type is a number", json!({ "ipam": { "type": 3 } })),
        static_("static, ipam.name is a number", json!({ "ipam": { "name": 3 } })),
        static_("static, ipam.dns is a list", json!({ "ipam": { "dns": ["10.0.0.1"] } })),
        static_("static, addresses is an object", json!({ "ipam": { "addresses": {} } })),
        static_("static, addresses are texts", json!({ "ipam": { "addresses": ["10.1.0.5/24"] } })),
        static_("static, an address is a number", json!({ "ipam": addresses(json!([{ "address": 3 }])) })),
        static_("static, a version is a number", json!({ "ipam": addresses(json!([{ "address": "10.1.0.5/24", "version": 4 }])) })),
        static_("static, a gateway is a number", json!({ "ipam": addresses(json!([{ "address": "10.1.0.5/24", "gateway": true }])) })),
        static_("static, a bad gateway", json!({ "ipam": addresses(json!([{ "address": "zz", "gateway": "10.1.0.1/24" }])) })),
        static_("static, no address in an entry", json!({ "ipam": addresses(json!([{ "gateway": "10.1.0.1" }])) })),
        static_("static, an entry is null", json!({ "ipam": addresses(json!([null])) })),
        static_("static, no CIDR", json!({ "ipam": addresses(json!(["10.1.0.5"])) })),
        static_("static, spaces in an address", json!({ "ipam": addresses(json!([" 10.1.0.5/24"])) })),
        static_("static, leading zeros", json!({ "ipam": addresses(json!(["10.1.0.05/24"])) })),
        static_("static, a zone", json!({ "ipam": addresses(json!(["fe80::1%eth0/64"])) })),
        static_("static, quotes in an address", json!({ "ipam": addresses(json!(["<'\"&>"])) })),
        static_("static, a bad route", json!({ "ipam": { "routes": [{ "dst": "10.0.0.0" }] } })),
        static_("static, args is a number", json!({ "args": 3 })),
        static_("static, args.cni is a list", json!({ "args": { "cni": [] } })),
        static_("static, args.cni.ips is a text", json!({ "args": { "cni": { "ips": "10.1.0.5/24" } } })),
        static_("static, one of args.cni.ips is an object", json!({ "args": { "cni": { "ips": ["10.1.0.5/24", {}] } } })),
        static_("static, no CIDR in args.cni.ips", json!({ "args": { "cni": { "ips": ["10.1.0.5/24", "10.1.0.6"] } }, "runtimeConfig": { "ips": ["10.1.0.5/24"] } })),
        static_("static, runtimeConfig is a number", json!({ "runtimeConfig": 3 })),
        static_("static, runtimeConfig.ips is a text", json!({ "runtimeConfig": { "ips": "10.1.0.5/24" } })),
        static_("static, null in runtimeConfig.ips", json!({ "runtimeConfig": { "ips": ["10.1.0.5/24", null] } })),
        static_("static, two of a family in 0.2.0", json!({ "cniVersion": "0.2.0", "ipam": addresses(json!(["10.1.0.5/24", "::ffff:10.2.0.5/120"])) })),
        static_("static, two of a family in 0.1.0", json!({ "cniVersion": "0.1.0" })).env("CNI_ARGS", "IP=10.2.0.7/16"),
        raw("static", "static, two of a family, no cniVersion", json!({ "name": "n1", "ipam": addresses(json!(["fd00::5/64", "fd00::6/64"])) }).to_string()),
        static_("static, no addresses in 0.2.0", json!({ "cniVersion": "0.2.0", "ipam": { "type": "static" } })),
        static_("static, IP is no CIDR", json!({})).env("CNI_ARGS", "IP=10.2.0.7"),
        static_("static, IP ends with a comma", json!({})).env("CNI_ARGS", "IP=10.2.0.7/16,"),
        static_("static, GATEWAY is none", json!({})).env("CNI_ARGS", "GATEWAY= foo ;IP=10.2.0.7/16"),
        static_("static, GATEWAY ends with a comma", json!({})).env("CNI_ARGS", "GATEWAY=10.1.0.1,"),
        static_("static, MAC without IgnoreUnknown", json!({})).env("CNI_ARGS", "MAC=02:11:22:33:44:55;ip=10.2.0.7/16"),
        static_("static, CNI_ARGS without =", json!({})).env("CNI_ARGS", "IP"),
        static_("static, bad CNI_ARGS and a bad address", json!({ "ipam": addresses(json!(["zz"])) })).env("CNI_ARGS", "IP=yy"),
    ]
}
