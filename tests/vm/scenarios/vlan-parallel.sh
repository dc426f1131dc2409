#!/bin/sh
# Eight ADDs at the same time, of one VLAN whose bridge is not there yet; then DELs at the same time.
. "$(dirname "$0")/lib.sh"

all='a b c d e f g h'
network lan "$(bridge_plugin 10.1.2.0/24 '{ "vlan": 100 }')"
# shellcheck disable=SC2086 # Several words.
containers $all

# together WHAT FUNCTION CONTAINERS...
together() {
    what=$1 function=$2
    shift 2
    for container; do
        ("$function" lan "$container" >"/run/$container.log" 2>&1 || : >"/run/$container.failed") &
    done
    wait
    for container; do check "$what $container" not cat "/run/$container.failed" "/run/$container.log"; done
}

# shellcheck disable=SC2086
together ADD add $all
for container in $all; do reaches "$container" 10.1.2.1; done
reaches a "$(address lan h)"
same "there is one interface for the gateway" 1 "$(links | grep -c '^br0\.100$')"
same "each has an address of its own" 8 "$(leases lan | wc -l)"
same "the bridge has no other ports" 9 "$(ip -j link show master br0 | jq length)"
before=$(shared)
together DEL del a b c d
same "what the others use is as before" "$before" "$(shared)"
for container in e f g h; do reaches "$container" 10.1.2.1 "after the DELs"; done
together DEL del e f g h
same "no lease is left" '' "$(leases lan)"
same "no port of a container is left" 1 "$(ip -j link show master br0 | jq length)"
finish
