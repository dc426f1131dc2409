#!/bin/sh
# Every VLAN that a container can be in: none, the bridge's default, and up to the last one.
. "$(dirname "$0")/lib.sh"

for vlan in 0 1 100 4094; do
    network "lan$vlan" "$(bridge_plugin 10.1.2.0/24 "{ \"vlan\": $vlan, \"bridge\": \"br$vlan\" }")"
    containers "a$vlan" "b$vlan"
    for container in "a$vlan" "b$vlan"; do check "ADD $container to VLAN $vlan" add "lan$vlan" "$container"; done
    for container in "a$vlan" "b$vlan"; do reaches "$container" 10.1.2.1; done
    reaches "a$vlan" "$(address "lan$vlan" "b$vlan")"
    filtering=$(ip -d -j link show "br$vlan" | jq '.[0].linkinfo.info_data.vlan_filtering')
    # One that does not filter puts its ports into VLAN 1, which means nothing.
    if [ "$vlan" = 0 ]; then
        same "the bridge does not filter" 0 "$filtering"
        same "the gateway's interface is the bridge" br0 "$(ip -j addr show to 10.1.2.1 | jq -r '.[].ifname')"
    else
        same "the bridge filters" 1 "$filtering"
        same "the port is in VLAN $vlan only" "$vlan: PVID, Egress Untagged" "$(vlans "$(port "lan$vlan" "a$vlan")")"
        same "the gateway's interface is that of the VLAN" "br$vlan.$vlan" \
            "$(ip -j addr show to 10.1.2.1 | jq -r '.[].ifname')"
    fi
    # As with the reference, others change the MAC of a bridge that is not the gateway itself, and CHECK compares it.
    check "CHECK b$vlan" is_attached "lan$vlan" "b$vlan"
    for container in "a$vlan" "b$vlan"; do check "DEL $container" del "lan$vlan" "$container"; done
    # All have the same subnet.
    ip link delete "br$vlan" && ip link show "br$vlan.$vlan" >/dev/null 2>&1 && ip link delete "br$vlan.$vlan"
done

containers x
network none "$(bridge_plugin 10.1.2.0/24 '{ "vlan": 4095 }')"
refused "VLAN 4095" 'invalid VLAN ID 4095 (must be between 0 and 4094)' add none x
finish
