#!/bin/sh
# dummy: a link with addresses, in the container only.
. "$(dirname "$0")/lib.sh"

network lan "$(jq -nc '{ type: "dummy", ipam: { type: "host-local", ranges: [[{ subnet: "10.5.0.0/24" }],
    [{ subnet: "fd00:5::/64" }]], routes: [{ dst: "192.0.2.0/24" }] } }')"
containers a b
host=$(ip -j link show)
for container in a b; do check "ADD $container" add lan "$container"; done
eth0=$(ip -n a -d -j addr show dev eth0)
same "it is a dummy" dummy "$(printf '%s' "$eth0" | jq -r '.[0].linkinfo.info_kind')"
same "it is up" true "$(printf '%s' "$eth0" | jq '.[0].flags | any(. == "UP")')"
same "it has its addresses" "10.5.0.2/24 fd00:5::2/64" \
    "$(printf '%s' "$eth0" | jq -r '[.[0].addr_info[] | select(.scope == "global") | "\(.local)/\(.prefixlen)"] | join(" ")')"
same "the result has one interface" "eth0 $(printf '%s' "$eth0" | jq -r '.[0].address') /run/netns/a" \
    "$(jq -r '.interfaces | map("\(.name) \(.mac) \(.sandbox)") | join(",")' "$RESULTS/lan.a")"
# Its own addresses are local.
must ip -n a link set lo up
reaches a 10.5.0.2
reaches a fd00:5::2
same "nothing has changed on the host" "$host" "$(ip -j link show)"
check "CHECK a" is_attached lan a

must ip -n a link set eth0 down
refused "CHECK a when it is down" 'Interface eth0 is down' is_attached lan a
must ip -n a link set eth0 up
refused "ADD a again" '' add lan a
check "DEL a" del lan a
check "DEL a again" del lan a
same "a has no interface" lo "$(ip -n a -j link show | jq -r '.[].ifname')"
same "only b has addresses" "10.5.0.3 fd00:5::3" "$(leases lan | xargs)"
check "GC that keeps b" gc lan b
check "CHECK b" is_attached lan b
check "GC that keeps none" gc lan
same "no lease is left" '' "$(leases lan)"
must ip netns delete b
check "DEL b, whose namespace has gone" del lan b

network bare '{ "type": "dummy" }'
refused "ADD without IPAM" 'dummy interface requires an IPAM configuration' add bare a
same "a has no interface" lo "$(ip -n a -j link show | jq -r '.[].ifname')"
finish
