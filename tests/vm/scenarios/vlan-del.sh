#!/bin/sh
# DEL of one container takes nothing from the others of its VLAN.
. "$(dirname "$0")/lib.sh"

gateway=10.1.2.1
network lan "$(bridge_plugin 10.1.2.0/24 '{ "vlan": 100 }')"
containers a b c

for container in a b; do check "ADD $container" add lan "$container"; done
for container in a b; do reaches "$container" "$gateway"; done
both=$(shared)
check "DEL of the first of two" del lan a
check "the same again" del lan a
same "the second's bridge and gateway are as before" "$both" "$(shared)"
reaches b "$gateway" "after it"

for container in a c; do check "ADD $container" add lan "$container"; done
for container in a b c; do reaches "$container" "$gateway"; done
reaches a "$(address lan b)"
three=$(shared)
check "DEL of the second of three" del lan b
same "the others' bridge and gateway are as before" "$three" "$(shared)"
for container in a c; do reaches "$container" "$gateway" "after it"; done

must ip netns delete c
check "DEL of the third, whose namespace has gone" del lan c
same "the first's bridge and gateway are as before" "$three" "$(shared)"
reaches a "$gateway" "after it"

check "DEL of the last" del lan a
same "the bridge and the gateway's interface stay, as with the reference" "$three" "$(shared)"
same "no other link is left" '' "$(ip -j link show master br0 | jq -r '.[] | select(.link != "br0.100") | .ifname')"
same "no lease is left" '' "$(leases lan)"
check "ADD a after all" add lan a
reaches a "$gateway" "again"
finish
