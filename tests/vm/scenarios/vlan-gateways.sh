#!/bin/sh
# Gateways of VLANs: the same one in two VLANs, others that conflict in one, and forceAddress.
. "$(dirname "$0")/lib.sh"

gateways() { ip -j -4 addr show dev "$1" | jq -r '.[].addr_info[] | "\(.local)/\(.prefixlen)"'; }
conflict() {
    echo "failed to set vlan interface for bridge with addr: \"br0.100\" already has an IP address different from $1/24"
}

network one "$(bridge_plugin 10.1.2.0/24 '{ "vlan": 100 }')"
network two "$(bridge_plugin 10.1.3.0/24 '{ "vlan": 100 }')"
network forced "$(bridge_plugin 10.1.4.0/24 '{ "vlan": 100, "forceAddress": true }')"
network other "$(bridge_plugin 10.1.2.0/24 '{ "vlan": 200 }')"
containers a b c d
check "ADD a" add one a
reaches a 10.1.2.1
before=$(shared)
refused "ADD b with another gateway" "$(conflict 10.1.3.1)" add two b
del two b >/dev/null
same "what a uses is as before" "$before" "$(shared)"
same "b has no interface" lo "$(ip -n b -j link show | jq -r '.[].ifname')"
same "b has no address" '' "$(leases two)"
reaches a 10.1.2.1 "after it"

check "ADD c with the same gateway in another VLAN" add other c
same "each VLAN has it" 10.1.2.1/24,10.1.2.1/24 "$(gateways br0.100),$(gateways br0.200)"
check "DEL c" del other c
reaches a 10.1.2.1 "after the DEL of c"

check "ADD d with forceAddress" add forced d
same "its gateway replaces the other" 10.1.4.1/24 "$(gateways br0.100)"
reaches d 10.1.4.1
refused "ADD b with a gateway that was replaced" "$(conflict 10.1.3.1)" add two b
del two b >/dev/null
check "DEL a, whose gateway was replaced" del one a
reaches d 10.1.4.1 "after the DEL of a"
check "DEL d" del forced d
same "its gateway stays" 10.1.4.1/24 "$(gateways br0.100)"
finish
