#!/usr/bin/env bash
# swap.sh DIR REFERENCE: replaces the reference plugins with ours, and back, under running containers.
set -euo pipefail
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
in_machine busybox ip nft iptables jq -- "$@"
[[ -x $REFERENCE/bridge ]] || skip_all "no directory of reference plugins"

# cni COMMAND CONTAINER [ADDITION]: calls a plugin like a runtime. CONTAINER in $config stands for the container's name.
cni() {
    jq -n --argjson config "${config//CONTAINER/$2}" --argjson more "${3:-null}" '$config + $more' |
        env -i PATH="$programs" CNI_COMMAND="$1" CNI_CONTAINERID="$2" CNI_NETNS="/run/netns/$2" CNI_IFNAME=eth0 \
            CNI_PATH=/opt/cni/bin "/opt/cni/bin/$(jq -r .type <<<"$config")"
}

# Programs for plugins. The reference's DEL of nftables rules fails if it finds iptables.
mkdir /run/nft
ln -s "$(type -P nft)" /run/nft/
programs=$PATH

declare -A results
add() {
    ip netns add "$1"
    ip -n "$1" link set lo up
    ip netns exec "$1" busybox nc -ll -p 7000 -e cat >/dev/null 2>&1 &
    disown
    results[$1]=$(cni ADD "$1") || {
        printf '%s\n' "${results[$1]}"
        return 1
    }
}

previous() { jq -n --argjson result "${results[$1]}" '{ prevResult: $result }'; }

# del CONTAINER: twice, because it can be repeated; the reference's host-device fails the second time.
del() {
    cni DEL "$1" "$(previous "$1")" || return
    [[ $used = "$REFERENCE" ]] || cni DEL "$1" "$(previous "$1")"
}

drop() {
    ip netns pids "$1" | xargs -r kill -KILL
    ip netns del "$1"
}

ping_from() { ip netns exec "$1" busybox ping -c 1 -W 1 "$2"; }
address_of() { jq -r '.ips[0].address | sub("/.*"; "")' <<<"${results[$1]}"; }

# gc: as called by a runtime without attachments.
gc() { cni GC '' '{ "cni.dev/valid-attachments": [] }'; }

# swap WHAT FROM TO: FROM attaches c1 and detaches c2; TO does everything else while the containers run.
swap() {
    local what="$1, ${2##*/} to ${3##*/}" from=$2 to=$3 of
    use "$from"
    add c1
    use "$to"
    check "$what: CHECK" cni CHECK c1 "$(previous c1)"
    add c2
    check "$what: CHECK of another container" cni CHECK c2 "$(previous c2)"
    if [[ -n $is_routed ]]; then
        check "$what: from one container to the other" eventually ping_from c2 "$(address_of c1)"
        check "$what: to the outside" eventually ping_from c1 "$OUTSIDE"
    fi
    check "$what: DEL" del c1
    if [[ -n $is_routed ]]; then
        check "$what: the other one still reaches the outside" eventually ping_from c2 "$OUTSIDE"
    fi
    use "$from"
    check "$what and back: CHECK" cni CHECK c2 "$(previous c2)"
    check "$what and back: DEL" del c2
    drop c1
    drop c2
    if [[ $config = *CONTAINER* ]]; then
        check "$what and back: the devices are back" ip link show "dev-c1"
        check "$what and back: the devices are back" ip link show "dev-c2"
    fi
    # The reference does not know our records, so the record of what it detached stays until GC.
    if [[ $from = "$OURS" ]]; then of=c1; else of=c2; fi
    same "$what and back: only the record of what the reference detached is left" \
        "file plugin:$(jq -r .type <<<"$config"):test:$of:eth0" \
        "$(left "${known[@]}" | sed -E 's|/run/wasm-cni/attachments/[0-9]*/||')"
    use "$OURS"
    check "$what and back: GC" gc
    nothing_left "of $what and back" "${known[@]}"
}

both_ways() {
    swap "$1" "$REFERENCE" "$OURS"
    swap "$1" "$OURS" "$REFERENCE"
}

is_routed=yes
known=(br0)
subnet='[{ "subnet": "10.88.0.0/16" }]' subnet6='[{ "subnet": "fd00:88::/64" }]'
# Every other time without IPv6: the reference waits for duplicate address detection.
ipam='{ "type": "host-local", "ranges": ['$subnet'], "routes": [{ "dst": "0.0.0.0/0" }] }'
ipam6='{ "type": "host-local", "ranges": ['$subnet', '$subnet6'],
    "routes": [{ "dst": "0.0.0.0/0" }, { "dst": "::/0" }] }'
bridge='"name": "test", "type": "bridge", "bridge": "br0", "isGateway": true, "ipMasq": true'
ptp='"name": "test", "type": "ptp", "ipMasq": true'

config='{ "cniVersion": "1.1.0", '$bridge', "ipMasqBackend": "iptables", "ipam": '$ipam6' }'
both_ways "bridge by iptables"
config='{ "cniVersion": "1.1.0", '$ptp', "ipMasqBackend": "iptables", "ipam": '$ipam' }'
both_ways "ptp by iptables"
programs=/run/nft
config='{ "cniVersion": "1.1.0", '$bridge', "ipMasqBackend": "nftables", "ipam": '$ipam' }'
both_ways "bridge by nftables"
config='{ "cniVersion": "1.1.0", '$ptp', "ipMasqBackend": "nftables", "ipam": '$ipam6' }'
both_ways "ptp by nftables"
programs=$PATH

is_routed=
known+=(dev-c1 dev-c2 peer-c1 peer-c2)
ip link add dev-c1 type veth peer name peer-c1
ip link add dev-c2 type veth peer name peer-c2
config='{ "cniVersion": "1.1.0", "name": "test", "type": "host-device", "device": "dev-CONTAINER", "ipam": '$ipam' }'
both_ways "host-device"

finish
