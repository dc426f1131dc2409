//! What somebody does in the container, with root's privileges there.

use super::random::Random;

/// What a container does in its own namespace.
const INSIDE: &[&str] = &[
    "link set eth0 down; $ip link set eth0 name kept",
    "link set eth0 alias d0",
    "link set eth0 alias admin0",
    "link property add dev eth0 altname wire0",
    "link set eth0 address 02:00:00:00:bb:01",
    "link set eth0 down; $ip link set eth0 name kept; $ip link add eth0 type bridge",
    "link set eth0 down; $ip link set eth0 name kept; $ip link add eth0 type veth peer name evil1; \
     $ip link set eth0 alias eno2",
    // Two links change names.
    "link add own2 type bridge; $ip link set eth0 down; $ip link set eth0 name swap; $ip link set own2 name eth0; \
     $ip link set swap name own2",
    "link set eth0 mtu 1300",
    "addr flush dev eth0",
    "addr add 10.1.0.1/24 dev eth0; $ip addr add 192.0.2.1/24 dev eth0",
    "route flush table main",
    "route add 198.51.100.0/24 dev eth0; $ip -6 route add 2001:db8::/32 dev eth0; $ip route add blackhole 203.0.113.0/24",
    "rule add from 10.0.0.0/8 table 100; $ip route add default dev eth0 table 100",
    "neigh add 10.1.0.1 lladdr 02:00:00:00:cc:01 dev eth0",
    "link add own0 type veth peer name own1",
    "link add own3 type bridge; $ip link set eth0 master own3",
    // By another namespace and back, where it gets another index.
    "netns add inner; $ip link set eth0 netns inner; ip -n inner link set eth0 netns c1",
];

/// The same of what a device of the host would not come back from by itself.
const AWAY: &[&str] = &["link del eth0", "netns add inner; $ip link set eth0 netns inner"];

/// A script for `ip` in the container. A device of the host (`is_moved`) stays there.
pub(super) fn act(random: &mut Random, is_moved: bool) -> &'static str {
    let away = !is_moved && random.happens(15);
    random.one(if away { AWAY } else { INSIDE })
}
