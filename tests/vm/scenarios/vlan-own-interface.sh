#!/bin/sh
# An administrator's own interface in the VLAN (br0.100, of type vlan) is the gateway's, as with the reference. It stays
# the administrator's: it is never removed, nor are its own addresses.
. "$(dirname "$0")/lib.sh"

gateway=10.1.2.1
own() {
    ip -d -j addr show br0.100 | jq -c '.[0] | { ifindex, address, mtu, up: (.flags | any(. == "UP")),
        kind: .linkinfo.info_kind, vlan: .linkinfo.info_data.id,
        addresses: [.addr_info[] | select(.scope == "global") | "\(.local)/\(.prefixlen)"] }'
}
network lan "$(bridge_plugin 10.1.2.0/24 '{ "vlan": 100 }')" "$(gate)"
containers a b

# With a MAC of its own: others change with the ports, and that of br0.100 with it.
must ip link add br0 address 02:00:00:00:01:00 type bridge vlan_filtering 1
must ip link set br0 up
must ip link add link br0 name br0.100 type vlan id 100
must ip link set br0.100 up
must bridge vlan add dev br0 vid 100 self
before=$(own)

check "ADD a" add lan a
same "the interface is the same, with the gateway's address" \
    "$(printf '%s' "$before" | jq -c ".addresses = [\"$gateway/24\"]")" "$(own)"
same "the result has it" "br0.100 $(printf '%s' "$before" | jq -r .address)" \
    "$(jq -r '.interfaces[3] | "\(.name) \(.mac)"' "$RESULTS/lan.a")"
reaches a "$gateway"
check "a is as ADD left it" is_attached lan a
check "ADD b" add lan b
reaches b "$gateway"
reaches b "$(address lan a)"
both=$(own)
check "DEL a" del lan a
same "the interface is as before" "$both" "$(own)"
reaches b "$gateway" "after the DEL of a"
check "GC that keeps b" gc lan b
reaches b "$gateway" "after GC"
: >/run/gate/a.refused
refused "ADD a fails" 'refused by the gate' wasm_cni add lan a
same "the interface is as before the ADD that failed" "$both" "$(own)"
reaches b "$gateway" "after an ADD that failed"
check "DEL b" del lan b
same "the interface stays after the last DEL" "$both" "$(own)"

# A failing ADD is the first that uses it.
must ip addr flush dev br0.100 scope global
refused "the first ADD fails" 'refused by the gate' wasm_cni add lan a
same "the interface is as the administrator left it" "$before" "$(own)"

# It has the gateway's address already.
must ip addr add "$gateway/24" dev br0.100
before=$(own)
check "ADD b to a gateway that has its address" add lan b
reaches b "$gateway"
check "DEL b" del lan b
same "the interface is as the administrator left it" "$before" "$(own)"
refused "an ADD to it fails" 'refused by the gate' wasm_cni add lan a
same "the interface is as the administrator left it" "$before" "$(own)"

# An address of another subnet: conflicts, as on a bridge.
must ip addr flush dev br0.100 scope global
must ip addr add 192.0.2.1/24 dev br0.100
before=$(own)
refused "ADD b conflicts with the administrator's address" \
    "failed to set vlan interface for bridge with addr: \"br0.100\" already has an IP address different from $gateway/24" \
    add lan b
del lan b >/dev/null
same "the interface is as the administrator left it" "$before" "$(own)"

# One that cannot be a way into the VLAN is not ours either, whether it is used or refused.
must ip link delete br0.100
must ip link add br0.100 type dummy
before=$(own | jq -c 'del(.addresses, .up)')
if add lan b >/dev/null 2>&1; then ok "a dummy is used"; else ok "a dummy is refused"; fi
check "DEL b" del lan b
same "the dummy is still there" "$before" "$(own | jq -c 'del(.addresses, .up)')"
finish
