#!/bin/sh
# IPv4 and IPv6 in a VLAN. The host listens to no router there: its own containers are in it.
. "$(dirname "$0")/lib.sh"

network lan "$(jq -nc '{ type: "bridge", bridge: "br0", vlan: 100, isDefaultGateway: true,
    ipam: { type: "host-local", ranges: [[{ subnet: "10.1.2.0/24" }], [{ subnet: "fd00:1:2::/64" }]] } }')"
containers a b
for container in a b; do check "ADD $container" add lan "$container"; done
for container in a b; do
    reaches "$container" 10.1.2.1
    reaches "$container" fd00:1:2::1
done
for address in $(jq -r '.ips[].address | sub("/.*"; "")' "$RESULTS/lan.b"); do reaches a "$address"; done
check "CHECK b" is_attached lan b
for link in br0 br0.100 "$(port lan a)"; do
    same "$link does not listen to routers" 0 "$(cat "/proc/sys/net/ipv6/conf/$link/accept_ra")"
done
before=$(shared)
check "DEL a" del lan a
same "what b uses is as before" "$before" "$(shared)"
reaches b 10.1.2.1 "after the DEL of a"
reaches b fd00:1:2::1 "after the DEL of a"
check "GC that keeps b" gc lan b
reaches b 10.1.2.1 "after GC"
reaches b fd00:1:2::1 "after GC"
check "DEL b" del lan b
same "no lease is left" '' "$(leases lan)"
finish
