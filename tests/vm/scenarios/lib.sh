# shellcheck shell=sh
# Sourced by the scenarios. Each has a machine of its own (../guest), and its containers are network namespaces. A plugin
# is called as a runtime does it; lists of plugins are run by wasm-cni's commands.
NAME=$(basename "$0" .sh)
OURS=/vm/plugins
# shellcheck disable=SC2034 # For the comparison.
REFERENCE=/vm/reference
PLUGINS=${PLUGINS:-$OURS}
NETWORKS=/etc/cni/net.d
RESULTS=/run/results
failures=0
set -u
mkdir -p "$RESULTS"

ok() { echo "ok: $NAME: $*"; }

fail() {
    echo "FAIL: $NAME: $*"
    failures=$((failures + 1))
}

skip_all() {
    echo "skipped: $NAME: $*"
    exit 0
}

finish() {
    [ "$failures" = 0 ]
    exit
}

# check WHAT COMMAND...: shows the output of the command if it fails.
check() {
    what=$1
    shift
    if output=$("$@" 2>&1); then
        ok "$what"
    else
        fail "$what"
        printf '%s\n' "$output" | sed 's/^/    /'
        return 1
    fi
}

# must COMMAND...: the scenario ends if it fails.
must() {
    output=$("$@" 2>&1) || {
        fail "$*"
        printf '%s\n' "$output" | sed 's/^/    /'
        finish
    }
}

# same WHAT EXPECTED ACTUAL
same() {
    if [ "$2" = "$3" ]; then
        ok "$1"
    else
        fail "$1"
        printf '%s\n' "$2" >/run/expected
        printf '%s\n' "$3" >/run/actual
        diff /run/expected /run/actual | head -n 40 | sed 's/^/    /'
    fi
}

# refused WHAT TEXT COMMAND...: the command fails, and its error contains the text.
refused() {
    what=$1 text=$2
    shift 2
    if output=$("$@" 2>&1); then
        fail "$what: it succeeded"
        return
    fi
    case $(printf '%s' "$output" | jq -r '.msg + " " + (.details // "")' 2>/dev/null || printf '%s' "$output") in
    *"$text"*) ok "$what" ;;
    *)
        fail "$what: another error"
        printf '%s\n' "$output" | sed 's/^/    /'
        ;;
    esac
}

# eventually COMMAND...: repeats it until it succeeds, for at most ten seconds. The machine is slow.
eventually() {
    last=$(($(date +%s) + 10))
    until output=$("$@" 2>&1); do
        if [ "$(date +%s)" -ge "$last" ]; then
            printf 'not after ten seconds: %s\n%s\n' "$*" "$output"
            return 1
        fi
        sleep 0.1
    done
}

containers() {
    for container; do must ip netns add "$container"; done
}

# bridge_plugin SUBNET [MEMBERS]: a plugin of a list.
bridge_plugin() {
    jq -nc --arg subnet "$1" --argjson members "${2:-null}" '
        { type: "bridge", bridge: "br0", isGateway: true, ipam: { type: "host-local", subnet: $subnet } } + $members'
}

# network NAME PLUGINS...: a list, and what a runtime gives to the first of its plugins.
network() {
    name=$1
    shift
    printf '%s\n' "$@" | jq -sc --arg name "$name" '{ cniVersion: "1.1.0", $name } as $all |
        $all + { plugins: . }, $all + .[0], .[0].type' >/run/network
    {
        read -r list
        read -r conf
        read -r type
    } </run/network
    printf '%s\n' "$list" >"$NETWORKS/$name.conflist"
    printf '%s\n' "$conf" >"$RESULTS/$name.conf"
    eval "printf '%s\n' $type" >"$RESULTS/$name.type"
}

# call COMMAND NETWORK CONTAINER [MEMBERS]: the first plugin, with more members in its configuration. Without jq, which
# takes a second here.
call() {
    read -r conf <"$RESULTS/$2.conf"
    read -r type <"$RESULTS/$2.type"
    printf '%s%s}' "${conf%\}}" "${4:+, $4}" |
        CNI_COMMAND=$1 CNI_CONTAINERID=$3 CNI_NETNS=/run/netns/$3 CNI_IFNAME=eth0 CNI_PATH=$PLUGINS \
            "$PLUGINS/$type"
}

# add NETWORK CONTAINER. The same for the others.
add() {
    call ADD "$1" "$2" >"$RESULTS/$1.$2" || {
        cat "$RESULTS/$1.$2"
        return 1
    }
}

del() { call DEL "$1" "$2"; }

is_attached() { call CHECK "$1" "$2" "\"prevResult\": $(cat "$RESULTS/$1.$2")"; }

# gc NETWORK CONTAINERS...: collects all but these.
gc() {
    name=$1
    shift
    live=''
    for container; do live="$live${live:+, }{ \"containerID\": \"$container\", \"ifname\": \"eth0\" }"; done
    call GC "$name" none "\"cni.dev/valid-attachments\": [$live]"
}

# wasm_cni COMMAND NETWORK CONTAINER [OPTIONS...]: all plugins of a network.
wasm_cni() {
    command=$1 name=$2 container=$3
    shift 3
    /vm/wasm-cni "$command" --container-id "$container" "$@" "$name" "/run/netns/$container"
}

# address NETWORK CONTAINER: the first in the result.
address() { jq -r '.ips[0].address | sub("/.*"; "")' "$RESULTS/$1.$2"; }

pings() { ip netns exec "$1" ping -n -c 1 -W 1 "$2"; }

# reaches CONTAINER ADDRESS [WHEN]
reaches() { check "$1 reaches $2${3:+ $3}" eventually pings "$1" "$2"; }

# Only after a ping that succeeded.
reaches_not() { check "$1 does not reach $2${3:+ $3}" not pings "$1" "$2"; }

not() { ! "$@"; }

links() { ip -j link show | jq -r '.[].ifname' | sort; }

# port NETWORK CONTAINER: the host's end.
port() { jq -r '.interfaces[1].name' "$RESULTS/$1.$2"; }

# vlans LINK: as bridge(8) shows them, one in a line.
vlans() {
    bridge -j -compressvlans vlan show dev "$1" | jq -r '.[].vlans[]? | (.flags // [] | join(", ")) as $flags |
        "\(.vlan)\(if .vlanEnd then "-\(.vlanEnd)" else "" end)\(if $flags == "" then "" else ": \($flags)" end)"'
}

# shared: what the containers of a bridge have in common: the bridge, its interfaces in VLANs, and their ports. The MAC of
# a bridge without addresses is that of one of its ports.
shared() {
    ip -d -j addr show | jq -c '
        [.[] | select(.ifname | startswith("br0.")) | .link_index] as $peers | .[] |
        select((.ifname | startswith("br0")) or (.ifindex as $index | $peers | any(. == $index))) |
        [.addr_info[] | select(.scope == "global") | "\(.local)/\(.prefixlen)"] as $addresses |
        { ifname, ifindex, address, up: (.flags | any(. == "UP")), master, kind: .linkinfo.info_kind,
          $addresses, vlan: .linkinfo.info_data.id } |
        if .kind == "bridge" and $addresses == [] then del(.address) else . end'
    bridge -j -compressvlans vlan show | jq -c --argjson ports "$(ports_in_vlans)" '
        .[] | select(.ifname as $name | $ports | any(. == $name))'
}

# The ports of the bridge that interfaces of the host are behind.
ports_in_vlans() {
    ip -j link show | jq -c '[.[] | select(.ifname | startswith("br0.")) | .link]'
}

leases() { (cd "/var/lib/cni/networks/$1" 2>/dev/null && ls | grep -vE '^(lock|last_reserved_ip.*)$'); }

# gate: a native plugin for the end of a list. Its ADD waits while /run/gate/CONTAINER.closed exists, and fails if
# /run/gate/CONTAINER.refused does; /run/gate/CONTAINER.reached says that it has begun.
gate() {
    mkdir -p /run/gate
    cat >/opt/cni/bin/gate <<'EOF'
#!/bin/sh
conf=$(cat)
at=/run/gate/$CNI_CONTAINERID
case $CNI_COMMAND in
VERSION) echo '{ "cniVersion": "1.1.0", "supportedVersions": ["1.0.0", "1.1.0"] }' ;;
ADD)
    : >"$at.reached"
    while [ -e "$at.closed" ]; do sleep 0.1; done
    if [ -e "$at.refused" ]; then
        echo '{ "cniVersion": "1.1.0", "code": 100, "msg": "refused by the gate" }'
        exit 1
    fi
    printf '%s' "$conf" | jq .prevResult
    ;;
esac
EOF
    chmod +x /opt/cni/bin/gate
    echo '{ "type": "gate" }'
}
