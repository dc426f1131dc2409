#!/bin/sh
# An ADD that is killed is taken back by recovery, which takes nothing from containers that have come to its VLAN since.
. "$(dirname "$0")/lib.sh"

gateway=10.1.2.1
network lan "$(bridge_plugin 10.1.2.0/24 '{ "vlan": 100 }')" "$(gate)"
containers a b

for recovery in 'the next ADD' 'recover'; do
    : >/run/gate/a.closed
    /vm/wasm-cni add lan /run/netns/a --container-id a --timeout 90 >/dev/null 2>&1 &
    killed=$!
    must eventually test -e /run/gate/a.reached
    if [ "$recovery" = recover ]; then
        check "ADD b while the ADD of a waits" wasm_cni add lan b --timeout 60
        reaches b "$gateway"
        before=$(shared)
    fi
    kill -KILL "$killed"
    wait "$killed" 2>/dev/null
    rm -f /run/gate/a.*
    if [ "$recovery" = recover ]; then
        check "recover" /vm/wasm-cni recover
        same "the bridge and the gateway of b are as before" "$before" "$(shared)"
    else
        check "ADD b after the ADD of a was killed" wasm_cni add lan b --timeout 60
    fi
    reaches b "$gateway" "after recovery by $recovery"
    same "a has no interface" lo "$(ip -n a -j link show | jq -r '.[].ifname')"
    same "only b has an address" 1 "$(leases lan | wc -l)"
    check "DEL b" wasm_cni del lan b
done
finish
