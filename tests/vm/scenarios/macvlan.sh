#!/bin/sh
# macvlan on a parent that is a dummy, in each mode.
. "$(dirname "$0")/lib.sh"

must ip link add parent0 type dummy
must ip link set parent0 up
must ip addr add 10.6.0.1/24 dev parent0
parent() { ip -d -j addr show dev parent0 | jq -c '.[0] | del(.stats64)'; }
before=$(parent)
for mode in bridge private vepa; do
    network "$mode" "$(jq -nc --arg mode "$mode" '{ type: "macvlan", master: "parent0", mode: $mode, mtu: 1400,
        ipam: { type: "host-local", ranges: [[{ subnet: "10.6.0.0/24", rangeStart: "10.6.0.10" }]] } }')"
    containers "a-$mode" "b-$mode"
    for container in "a-$mode" "b-$mode"; do check "ADD $container" add "$mode" "$container"; done
    eth0=$(ip -n "a-$mode" -d -j addr show dev eth0)
    same "it is a macvlan of this mode and MTU" "macvlan $mode 1400" \
        "$(printf '%s' "$eth0" | jq -r '.[0] | "\(.linkinfo.info_kind) \(.linkinfo.info_data.mode) \(.mtu)"')"
    check "CHECK a-$mode" is_attached "$mode" "a-$mode"
    # A dummy sends nothing back, as a switch for vepa would.
    if [ "$mode" = bridge ]; then
        reaches "a-$mode" "$(address "$mode" "b-$mode")"
    else
        reaches_not "a-$mode" "$(address "$mode" "b-$mode")"
    fi
    check "DEL a-$mode" del "$mode" "a-$mode"
    check "DEL a-$mode again" del "$mode" "a-$mode"
    check "CHECK b-$mode after the DEL of a" is_attached "$mode" "b-$mode"
    check "GC that keeps b-$mode" gc "$mode" "b-$mode"
    check "CHECK b-$mode after GC" is_attached "$mode" "b-$mode"
    must ip netns delete "b-$mode"
    check "DEL b-$mode, whose namespace has gone" del "$mode" "b-$mode"
    same "no lease is left" '' "$(leases "$mode")"
done

network whole "$(jq -nc '{ type: "macvlan", master: "parent0", mode: "passthru" }')"
containers c d
check "ADD c with the whole parent" add whole c
refused "ADD d to the same parent" 'invalid argument' add whole d
check "DEL c" del whole c
same "the parent is as before" "$before" "$(parent)"

network wide "$(jq -nc '{ type: "macvlan", master: "parent0", mtu: 9000 }')"
refused "an MTU that is greater than the parent's" 'invalid MTU 9000, must be [0, master MTU(1500)]' add wide c
network none "$(jq -nc '{ type: "macvlan", master: "parent1" }')"
refused "a parent that is not there" 'Link not found' add none c
same "nothing is left on the host" "lo parent0" "$(links | xargs)"
finish
