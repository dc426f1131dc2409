#!/bin/sh
# The same calls as with the reference plugins: results, errors, links, VLANs, addresses, routes and sysctls after each.
. "$(dirname "$0")/lib.sh"

# What plugins set. The interfaces of the host in a VLAN are left out: the reference lets them listen to routers.
sysctls='/proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding'
for key in accept_dad accept_ra disable_ipv6 enhanced_dad keep_addr_on_down ndisc_notify; do
    for link in 'br[0-9]' 'eth*' 'veth*'; do sysctls="$sysctls /proc/sys/net/ipv6/conf/$link/$key"; done
done
sysctls="$sysctls /proc/sys/net/ipv4/conf/*/arp_notify"

# step COMMAND NETWORK CONTAINER: calls a plugin and records what can be seen after it, in the host and in `a`. Few
# processes: the machine is slow.
step() {
    {
        echo "\"$*\""
        if ! output=$("$@" 2>&1); then
            printf '%s\n' "$output"
        elif [ "$1" = add ]; then
            cat "$RESULTS/$2.$3"
        fi
    } >>/run/json
    for of in '' '-n a'; do
        # shellcheck disable=SC2086 # Several words, or none.
        {
            ip $of -d -j addr show
            bridge $of -j -compressvlans vlan show
            ip $of -j route show table all
            ip $of -j -6 route show table all
        } >>/run/json
    done
    for of in '' 'ip netns exec a'; do
        echo "sysctls after $*${of:+ in a}:"
        # shellcheck disable=SC2086
        $of sh -c "grep -Hs . $sysctls" | sed 's/veth[0-9a-f]*/VETH/' | sort
    done >>/run/text
}

# recorded: without what is chosen by chance and what is not compared. After an ADD that failed, only answers are: the
# reference leaves links and addresses for the DEL.
recorded() {
    jq -c '
        def line:
            if .linkinfo or .link_type then
                { ifname, mtu, up: (.flags | any(. == "UP")), promiscuity, master, kind: .linkinfo.info_kind,
                  filtering: .linkinfo.info_data.vlan_filtering,
                  port: (.linkinfo.info_slave_data | if . then { hairpin, isolated } else null end),
                  addresses: [.addr_info[] | select(.scope != "link") | "\(.local)/\(.prefixlen) \(.broadcast) \(.scope)"] }
            elif .dst then
                select(.type == null or .type == "unicast") | select((.dst | startswith("fe80")) | not) |
                { dst, gateway, dev, protocol, scope, prefsrc, metric, table }
            else . end |
            with_entries(select(.value != null));
        if type != "array" then . elif $answers then empty else (map(line) | sort_by(tostring | gsub("veth[0-9a-f]{8}"; "VETH")))[] end' \
        --argjson answers "$answers" /run/json |
        sed -E 's/veth[0-9a-f]{8}/VETH/g; s/([0-9a-f]{2}:){5}[0-9a-f]{2}/MAC/g'
    [ "$answers" = true ] || cat /run/text
}

# A host of its own: see `compare`.
if [ "${1:-}" = inside ]; then
    answers=$2 plugin=$3
    shift 3
    mount -t tmpfs tmpfs /run && mount -t tmpfs tmpfs /var && mount -t sysfs sysfs /sys
    mkdir -p "$RESULTS" /run/netns /var/lib
    ip link set lo up
    containers a b
    network lan "$plugin"
    # shellcheck disable=SC2086 # Several words.
    for steps; do step $steps; done
    recorded
    finish
fi

[ -x "$REFERENCE/bridge" ] || skip_all "needs the directory of the reference plugins"

# compare WHAT ANSWERS PLUGIN STEPS...: only answers, or all.
compare() {
    what=$1
    shift
    for plugins in "$OURS" "$REFERENCE"; do
        PLUGINS=$plugins unshare --net --mount sh "$0" inside "$@" >"/run/$(basename "$plugins")" 2>&1
    done
    same "$what" "$(cat /run/reference)" "$(cat /run/plugins)"
}

two() { compare "$1" false "$2" 'add lan a' 'add lan b' 'del lan b' 'del lan a'; }
for members in '"vlan":100' '"vlan":100,"preserveDefaultVlan":true,"isDefaultGateway":true,"hairpinMode":true' \
    '"vlan":4094,"vlanTrunk":[{"minID":200,"maxID":300},{"id":7}],"portIsolation":true,"mtu":1400' \
    '"vlan":1,"isGateway":false,"promiscMode":true' '"vlanTrunk":[{"minID":1,"maxID":4094}]'; do
    two "bridge with $members" "$(bridge_plugin 10.1.2.0/24 "{ $members }")"
done
ranges() { jq -nc '{ vlan: 100, ipam: { type: "host-local", ranges: $ARGS.positional | map([{ subnet: . }]) } }' --args "$@"; }
two "bridge of both families in a VLAN" "$(bridge_plugin '' "$(ranges 10.1.2.0/24 fd00:1::/64)")"
refused_by_both() { compare "$1" true "$2" 'add lan a' 'del lan a'; }
refused_by_both "bridge with two gateways of a family" "$(bridge_plugin '' "$(ranges 10.1.2.0/24 10.1.3.0/24)")"
two "layer 2 in a VLAN" '{ "type": "bridge", "bridge": "br0", "vlan": 100 }'
two dummy '{ "type": "dummy", "ipam": { "type": "host-local", "subnet": "10.1.2.0/24",
    "routes": [{ "dst": "192.0.2.0/24" }] } }'
refused_by_both "dummy without IPAM" '{ "type": "dummy" }'
finish
