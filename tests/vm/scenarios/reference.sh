#!/bin/sh
# The same calls as with the reference plugins: results, errors, links, VLANs, addresses, routes and sysctls. Deviations on
# purpose are left out, with the reason.
. "$(dirname "$0")/lib.sh"

# What is chosen by chance.
anonymous() {
    sed -E 's/veth[0-9a-f]{8}/VETH/g; s/([0-9a-f]{2}:){5}[0-9a-f]{2}/MAC/g; s/fe80::[0-9a-f:]+/LOCAL/g'
}

# state NAMESPACES...: `-` is the host.
state() {
    for namespace; do
        in="ip netns exec $namespace"
        [ "$namespace" != - ] || in=''
        echo "$namespace:"
        $in ip -d -j addr show | jq -c '.[] | select(.ifname != "lo") |
            { ifname, mtu, up: (.flags | any(. == "UP")), promiscuity, master, kind: .linkinfo.info_kind,
              vlan: .linkinfo.info_data.id, mode: .linkinfo.info_data.mode,
              filtering: .linkinfo.info_data.vlan_filtering, hairpin: .linkinfo.info_slave_data.hairpin,
              isolated: .linkinfo.info_slave_data.isolated,
              addresses: [.addr_info[] | select(.scope != "link") | "\(.local)/\(.prefixlen) \(.broadcast) \(.scope)"] } |
            with_entries(select(.value != null))' | anonymous | sort
        $in bridge -j -compressvlans vlan show | jq -c '.[]' | anonymous | sort
        { $in ip route show table all && $in ip -6 route show table all; } |
            grep -vE '^(local|broadcast|multicast|anycast|fe80)' | anonymous | sort
        # The reference lets the gateway's interface in a VLAN listen to routers (accept_ra). It leaves that to the
        # namespace's default for a bridge that is the gateway itself.
        $in sysctl -a 2>/dev/null | anonymous | sort -u |
            grep -E '^net\.(ipv4\.ip_forward|ipv6\.conf\.all\.forwarding|ipv[46]\.(conf|neigh)\.(eth0|br0[^ ]*|VETH)\.)' |
            grep -vE 'stable_secret|br0/100\.accept_ra '
    done
}

# step COMMAND NETWORK CONTAINER...: calls a plugin and prints all that can be seen afterwards.
step() {
    echo "== $*"
    if output=$("$@" 2>&1); then
        [ "$1" != add ] || jq -cS . "$RESULTS/$2.$3" | anonymous
    else
        printf '%s\n' "$output" | jq -c '{ code, msg, details }' | anonymous
    fi
    state - $attached
}

# A host of its own: see `compare`.
if [ "${1:-}" = inside ]; then
    plugin=$2 attached=$3
    shift 3
    mount -t tmpfs tmpfs /run && mount -t tmpfs tmpfs /var && mount -t sysfs sysfs /sys
    mkdir -p "$RESULTS" /run/netns /var/lib
    ip link set lo up
    # shellcheck disable=SC2086 # Several words.
    containers $attached
    network lan "$plugin"
    for steps; do step $steps; done
    finish
fi

[ -x "$REFERENCE/bridge" ] || skip_all "needs the directory of the reference plugins"

# compare WHAT PLUGIN CONTAINERS STEPS...
compare() {
    what=$1
    shift
    for plugins in ours reference; do
        PLUGINS=/vm/plugins
        [ "$plugins" = ours ] || PLUGINS=$REFERENCE
        PLUGINS=$PLUGINS unshare --net --mount sh "$0" inside "$@" >"/run/$plugins" 2>&1
    done
    same "$what" "$(cat /run/reference)" "$(cat /run/ours)"
}

two() { compare "$1" "$2" 'a b' 'add lan a' 'is_attached lan a' 'add lan b' 'del lan a' 'del lan b'; }
for members in '"vlan":1' '"vlan":100' '"vlan":4094' '"vlan":100,"preserveDefaultVlan":true' \
    '"vlan":100,"isDefaultGateway":true,"hairpinMode":true' '"vlan":100,"portIsolation":true,"mtu":1400' \
    '"vlan":100,"vlanTrunk":[{"minID":200,"maxID":300},{"id":7}]' '"vlanTrunk":[{"minID":1,"maxID":4094}]' \
    '"vlanTrunk":[]' '"vlan":100,"isGateway":false' '"vlan":100,"promiscMode":true'; do
    two "bridge with $members" "$(bridge_plugin 10.1.2.0/24 "{ $members }")"
done
two "bridge of both families in a VLAN" "$(bridge_plugin 10.1.2.0/24 '{ "vlan": 100, "ipam": { "type": "host-local",
    "ranges": [[{ "subnet": "10.1.2.0/24" }], [{ "subnet": "fd00:1::/64" }]] } }')"
two "bridge with two gateways of a family" "$(bridge_plugin 10.1.2.0/24 '{ "vlan": 100, "ipam": { "type": "host-local",
    "ranges": [[{ "subnet": "10.1.2.0/24" }], [{ "subnet": "10.1.3.0/24" }]] } }')"
two "layer 2 in a VLAN" '{ "type": "bridge", "bridge": "br0", "vlan": 100 }'
two dummy "$(jq -nc '{ type: "dummy", ipam: { type: "host-local", subnet: "10.1.2.0/24", routes: [{ dst: "192.0.2.0/24" }] } }')"
two "dummy without IPAM" '{ "type": "dummy" }'
finish
