#!/usr/bin/env bash
# podman.sh DIR [REFERENCE]: containers of Podman 4 with its CNI back end, on a network that Podman configured. Plugins of
# that configuration that are not ours come from REFERENCE.
set -euo pipefail
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
in_machine podman runc conmon busybox ip nft iptables jq -- "$@"

case $(podman --version) in
*" version 4."*) ;;
*) skip_all "$(podman --version) is not Podman 4: version 5 has no CNI back end" ;;
esac

mkdir -p /etc/containers
# Without process limits, which need a control group controller.
cat >/etc/containers/containers.conf <<'END'
[containers]
pids_limit = 0
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
[network]
network_backend = "cni"
cni_plugin_dirs = ["/opt/cni/bin"]
END
cat >/etc/containers/storage.conf <<'END'
[storage]
driver = "vfs"
graphroot = "/var/lib/containers"
runroot = "/run/containers"
END
echo '{ "default": [{ "type": "reject" }] }' >/etc/containers/policy.json

use "$OURS"
FILE=/etc/cni/net.d/test.conflist
check "podman network create" \
    podman network create --subnet 10.89.5.0/24 --ipv6 --subnet fd00:89:5::/64 test
made=$(cat "$FILE")
missing=()
for plugin in $(jq -r '.plugins[].type' "$FILE"); do
    [[ ! -e $OURS/$plugin ]] || continue
    if [[ -e $REFERENCE/$plugin ]]; then
        cp "$REFERENCE/$plugin" /opt/cni/bin/
    else
        missing+=("$plugin")
    fi
done
if [[ ${#missing[@]} != 0 ]]; then
    skipped "${missing[*]}: neither ours nor in a directory of reference plugins; removed from Podman's file"
    made=$(jq '.plugins |= map(select(.type | IN($ARGS.positional[]) | not))' "$FILE" --args "${missing[@]}")
    printf '%s\n' "$made" >"$FILE"
fi
BRIDGE=$(jq -r '.plugins[0].bridge' <<<"$made")
is_chained() { jq -e --arg type "$1" 'any(.plugins[]; .type == $type)' <<<"$made" >/dev/null; }

# It warns that it cannot limit its own helper.
podman() { command podman --log-level error "$@"; }

# start NAME OPTIONS...
start() {
    local container=$1
    shift
    # The machine's limits may be below Podman's defaults.
    podman run --detach --name "$container" --network test --cap-add NET_RAW \
        --ulimit nofile=1024:1024 --ulimit nproc=1024:1024 "$@" \
        --rootfs "$ROOTFS" /bin/sh -c 'nc -ll -p 7000 -e cat & exec sleep 1000'
}

inside() {
    local container=$1
    shift
    podman exec "$container" /bin/sh -c "$*"
}

check "c1 starts" start c1
# With the capability `ips` of Podman's file.
check "c2 starts, with addresses that it asks for" start c2 --ip 10.89.5.77 --ip6 fd00:89:5::77
same "it has them" "$(printf '%s\n' 10.89.5.77/24 fd00:89:5::77/64)" \
    "$(inside c2 "ip addr show eth0" | grep -oE '(10\.89|fd00:89)[0-9a-f.:]*/[0-9]+')"
# Repeated, because the kernel sends no neighbour solicitations during duplicate address detection.
check "ping to the other container" eventually inside c1 "ping -c 1 -W 1 10.89.5.77"
check "ping to it by IPv6" eventually inside c1 "ping -c 1 -W 1 fd00:89:5::77"
same "TCP to it" hello "$(inside c1 "echo hello | nc -w 2 10.89.5.77 7000" || true)"

seen_by_outside >/dev/null
check "ping to the outside" eventually inside c1 "ping -c 1 -W 1 $OUTSIDE"
check "ping to it by IPv6" eventually inside c1 "ping -c 1 -W 1 $OUTSIDE6"
same "TCP to it, from the machine's address" "seen from $UPLINK" \
    "$(inside c2 "nc -w 2 $OUTSIDE 7000 </dev/null" || true)"
same "it saw only the machine's addresses" \
    "$(printf '%s\n' "$UPLINK . icmp" "$UPLINK . tcp" "$UPLINK6 . ipv6-icmp" | sort)" \
    "$(seen_by_outside)"

if is_chained portmap; then
    check "c3 starts, with a published port" start c3 --publish 8080:7000
    same "the outside reaches it" hello \
        "$(echo hello | ip netns exec outside busybox nc -w 2 "$UPLINK" 8080 || true)"
    check "podman rm --force c3" podman rm --force --time 0 c3
else
    skipped "a published port, which needs portmap"
fi

# As after a reload of the firewall: DEL and ADD under a running container.
iptables -t nat -F
check "podman network reload" podman network reload c2
check "ping to the outside after it" eventually inside c2 "ping -c 1 -W 1 $OUTSIDE"
same "the same addresses after it" 10.89.5.77/24 "$(inside c2 "ip addr show eth0" | grep -oE '10\.89[0-9.]*/[0-9]+')"

check "podman restart" podman restart --time 0 c1
check "ping to the other container after it" eventually inside c1 "ping -c 1 -W 1 10.89.5.77"

check "podman rm --force c1" podman rm --force --time 0 c1
# Without Podman's knowledge.
kill -KILL "$(podman inspect --format '{{.State.Pid}}' c2)"
check "podman rm --force c2, after its process was killed" podman rm --force --time 0 c2
# What firewall and portmap create once for all containers, and keep.
SHARED='CNI-(FORWARD|ADMIN|HOSTPORT-[A-Z]+)( |$)'
nothing_left "of containers" "$BRIDGE"
same "Podman's file is unchanged" "$made" "$(cat "$FILE")"
check "podman network rm" podman network rm test
nothing_left "of containers and their network"
finish
