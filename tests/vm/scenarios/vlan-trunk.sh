#!/bin/sh
# vlanTrunk: a container with tagged frames of many VLANs, and the tables of its port.
. "$(dirname "$0")/lib.sh"

ids() { vlans "$(port "$1" "$2")"; }

# has_ids WHAT MEMBERS EXPECTED: a container of its own in a network of its own, without addresses.
count=0
has_ids() {
    count=$((count + 1))
    containers "t$count"
    network "trunk$count" "$(jq -nc --argjson members "$2" '{ type: "bridge", bridge: "br0" } + $members')"
    check "ADD: $1" add "trunk$count" "t$count" || return
    same "$1" "$(printf "$3")" "$(ids "trunk$count" "t$count")"
}
untagged='PVID, Egress Untagged'
has_ids "a VLAN and a trunk" '{ "vlan": 100, "vlanTrunk": [{ "minID": 200, "maxID": 202 }, { "id": 300 }] }' \
    "100: $untagged\n200-202\n300"
has_ids "a trunk without a VLAN has the native one" '{ "vlanTrunk": [{ "id": 300 }, { "id": 200 }] }' \
    "1: $untagged\n200\n300"
has_ids "an empty trunk" '{ "vlanTrunk": [] }' "1: $untagged"
has_ids "ranges that overlap" '{ "vlan": 5, "vlanTrunk": [{ "minID": 10, "maxID": 20 }, { "minID": 15, "maxID": 25 },
    { "id": 26 }, { "id": 12 }] }' "5: $untagged\n10-26"
has_ids "all that there are" '{ "vlanTrunk": [{ "minID": 2, "maxID": 4094 }] }' "1: $untagged\n2-4094"
has_ids "all, with a VLAN" '{ "vlan": 4094, "vlanTrunk": [{ "minID": 1, "maxID": 4093 }] }' \
    "1-4093\n4094: $untagged"
has_ids "the default VLAN is kept" '{ "vlan": 100, "preserveDefaultVlan": true }' \
    "1: Egress Untagged\n100: $untagged"
has_ids "the default VLAN is kept in a trunk" \
    '{ "vlan": 100, "vlanTrunk": [{ "id": 200 }], "preserveDefaultVlan": true }' \
    "1: Egress Untagged\n100: $untagged\n200"
while [ "$count" -gt 0 ]; do
    check "DEL t$count" del "trunk$count" "t$count"
    count=$((count - 1))
done
same "only the bridge is left" "br0 lo" "$(links | xargs)"

# Frames. `router` has an interface in each of its VLANs.
network router "$(bridge_plugin 10.100.0.0/24 '{ "vlan": 100, "vlanTrunk": [{ "minID": 200, "maxID": 201 }] }')"
containers router
check "ADD router" add router router
reaches router 10.100.0.1
for vlan in 200 201 202; do
    network "lan$vlan" "$(bridge_plugin "10.$vlan.0.0/24" "{ \"vlan\": $vlan }")"
    containers "a$vlan"
    check "ADD a$vlan" add "lan$vlan" "a$vlan"
    must ip -n router link add link eth0 name "eth0.$vlan" type vlan id "$vlan"
    must ip -n router addr add "10.$vlan.0.100/24" dev "eth0.$vlan"
    must ip -n router link set "eth0.$vlan" up
done
for vlan in 200 201; do
    reaches router "$(address "lan$vlan" "a$vlan")" "by tagged frames"
    reaches router "10.$vlan.0.1" "by tagged frames"
    reaches "a$vlan" "10.$vlan.0.100"
done
reaches_not router "$(address lan202 a202)"
check "DEL a200" del lan200 a200
reaches router 10.200.0.1 "after the DEL of the only container that is in VLAN 200 alone"
check "DEL router" del router router
reaches a201 10.201.0.1 "after the DEL of the trunk"
finish
