#!/bin/sh
# Containers of one VLAN reach each other; those of another VLAN, with the same bridge and subnet, do not. Each VLAN has a
# gateway of its own.
. "$(dirname "$0")/lib.sh"

# Without a gateway, the host forwards nothing between them.
for vlan in 100 200; do
    network "lan$vlan" "$(bridge_plugin 10.1.2.0/24 "{ \"vlan\": $vlan, \"isGateway\": false,
        \"ipam\": { \"type\": \"host-local\", \"ranges\": [[{ \"subnet\": \"10.1.2.0/24\",
            \"rangeStart\": \"10.1.2.$vlan\" }]] } }")"
done
containers a100 b100 a200 b200
for vlan in 100 200; do
    for container in "a$vlan" "b$vlan"; do check "ADD $container" add "lan$vlan" "$container"; done
    reaches "a$vlan" "$(address "lan$vlan" "b$vlan")"
done
reaches_not a100 "$(address lan200 a200)"
reaches_not b200 "$(address lan100 b100)"
same "no interface is made for a gateway" '' "$(links | grep 'br0\.')"
for vlan in 100 200; do
    for container in "a$vlan" "b$vlan"; do check "DEL $container" del "lan$vlan" "$container"; done
done
same "only the bridge is left" "br0 lo" "$(links | xargs)"

# Two VLANs whose gateways are in different subnets, then the DEL of all of one VLAN.
for vlan in 100 200; do
    network "net$vlan" "$(bridge_plugin "10.$vlan.0.0/24" "{ \"vlan\": $vlan }")"
    for container in "a$vlan" "b$vlan"; do check "ADD $container with a gateway" add "net$vlan" "$container"; done
done
for vlan in 100 200; do
    for container in "a$vlan" "b$vlan"; do reaches "$container" "10.$vlan.0.1"; done
done
for container in a100 b100; do check "DEL $container" del net100 "$container"; done
for container in a200 b200; do reaches "$container" 10.200.0.1 "after the DEL of the other VLAN's"; done
finish
