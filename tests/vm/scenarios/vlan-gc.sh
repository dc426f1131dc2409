#!/bin/sh
# GC takes nothing from the containers that it keeps, whoever calls it.
. "$(dirname "$0")/lib.sh"

gateway=10.1.2.1
network lan "$(bridge_plugin 10.1.2.0/24 '{ "vlan": 100 }')"
containers a b c

by_runtime() { gc lan "$@"; }
by_command() {
    keep=''
    for container; do keep="$keep --keep $container/eth0"; done
    # shellcheck disable=SC2086 # Several words.
    /vm/wasm-cni gc $keep lan
}
attach_by_runtime() { add lan "$1"; }
attach_by_command() { wasm_cni add lan "$1"; }

for caller in runtime command; do
    for container in a b c; do check "ADD $container, by $caller" "attach_by_$caller" "$container"; done
    for container in a b c; do reaches "$container" "$gateway"; done
    three=$(shared)
    check "GC that keeps all, by $caller" "by_$caller" a b c
    same "bridge and gateway are as before" "$three" "$(shared)"
    for container in a b c; do reaches "$container" "$gateway" "after it"; done

    check "GC that keeps the second and the third, by $caller" "by_$caller" b c
    same "their bridge and gateway are as before" "$three" "$(shared)"
    for container in b c; do reaches "$container" "$gateway" "after it"; done
    same "only the first has lost its address" 2 "$(leases lan | wc -l)"

    check "GC that keeps the second, by $caller" "by_$caller" b
    same "its bridge and gateway are as before" "$three" "$(shared)"
    reaches b "$gateway" "after it"

    check "GC that keeps none, by $caller" "by_$caller"
    same "the bridge and the gateway's interface stay" "$three" "$(shared)"
    same "no lease is left" '' "$(leases lan)"
    for container in a b c; do del lan "$container" >/dev/null; done
done
finish
