#!/bin/sh
# An ADD that fails takes back what it has made, and nothing that others use by then: neither the gateway's interface that
# it has made itself, if another container has come to its VLAN in the meantime, nor what was there before.
. "$(dirname "$0")/lib.sh"

gateway=10.1.2.1
network lan "$(bridge_plugin 10.1.2.0/24 '{ "vlan": 100 }')" "$(gate)"
containers a b c

# fails_while CONTAINER OTHER: an ADD that fails when another one has succeeded since it began.
fails_while() {
    : >"/run/gate/$1.closed"
    : >"/run/gate/$1.refused"
    wasm_cni add lan "$1" --timeout 90 >/run/failing 2>&1 &
    failing=$!
    must eventually test -e "/run/gate/$1.reached"
    check "ADD $2 while the ADD of $1 waits" wasm_cni add lan "$2" --timeout 60
    reaches "$2" "$gateway" "while the ADD of $1 waits"
    during=$(shared)
    rm "/run/gate/$1.closed"
    if wait "$failing"; then
        fail "the ADD of $1 succeeded"
    else
        check "the ADD of $1 fails for the gate" grep -q 'refused by the gate' /run/failing
    fi
    rm "/run/gate/$1.refused" "/run/gate/$1.reached"
    same "the bridge and the gateway of the others are as before" "$during" "$(shared)"
    reaches "$2" "$gateway" "after the ADD of $1 has failed"
    same "$1 has no interface" lo "$(ip -n "$1" -j link show | jq -r '.[].ifname')"
}

fails_while a b
same "only b has an address" 1 "$(leases lan | wc -l)"
fails_while a c
reaches b "$gateway" "after the ADD of a has failed again"
same "only b and c have addresses" 2 "$(leases lan | wc -l)"
check "DEL b" wasm_cni del lan b
reaches c "$gateway" "after it"

# The kernel's state was there before: nothing else attaches in the meantime.
three=$(shared)
: >/run/gate/a.refused
refused "ADD a fails" 'refused by the gate' wasm_cni add lan a
same "the bridge and the gateway of c are as before" "$three" "$(shared)"
reaches c "$gateway" "after it"
rm /run/gate/a.refused

# A result that cannot be written is not an attachment.
if call ADD lan a >/dev/full 2>/dev/null; then fail "ADD a without a place for its result: it succeeded"; fi
same "the bridge and the gateway of c are as before that" "$three" "$(shared)"
reaches c "$gateway" "after it"
check "DEL a" del lan a

check "ADD a" wasm_cni add lan a
for container in a c; do reaches "$container" "$gateway"; done
finish
