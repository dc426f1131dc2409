#!/usr/bin/env bash
# containerd.sh DIR [REFERENCE]: containers of containerd on our network, with ctr(8).
set -euo pipefail
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
in_machine containerd ctr runc busybox ip nft iptables -- "$@"

use "$OURS"
cat >/etc/cni/net.d/10-test.conflist <<'END'
{
  "cniVersion": "1.0.0",
  "name": "test",
  "plugins": [
    {
      "type": "bridge",
      "bridge": "cni0",
      "isGateway": true,
      "ipMasq": true,
      "ipam": {
        "type": "host-local",
        "ranges": [[{ "subnet": "10.88.0.0/16" }], [{ "subnet": "fd00:88::/64" }]],
        "routes": [{ "dst": "0.0.0.0/0" }, { "dst": "::/0" }]
      }
    }
  ]
}
END
# ctr does not need the CRI plugin, which expects a network file by default.
cat >/run/containerd.toml <<'END'
version = 2
disabled_plugins = ["io.containerd.grpc.v1.cri"]
END
containerd --config /run/containerd.toml >/run/containerd.log 2>&1 &
disown
check "containerd starts" eventually ctr version

declare -A runs
# ctr attaches before the command starts and, unless it runs in the background, detaches after the command has ended:
# with an empty CNI_NETNS, because the namespace no longer exists.
start() {
    # CPU shares do not work if control groups version 1 have that controller.
    ctr run --rm --null-io --cni --cpu-shares 0 --rootfs "$ROOTFS" "$1" \
        /bin/sh -c 'nc -ll -p 7000 -e cat & exec sleep 1000' >"/run/$1.log" 2>&1 &
    runs[$1]=$!
    check "$1 starts" eventually is_running "$1"
}

is_running() { ctr task ls | grep -qE "^$1 .*RUNNING"; }

pid_of() { ctr task ls | awk -v name="$1" '$1 == name { print $2 }'; }

inside() {
    local container=$1
    shift
    ctr task exec --exec-id "e$RANDOM$RANDOM" "$container" /bin/sh -c "$*"
}

# Detached without an error, according to ctr.
ended() {
    local status=0
    wait "${runs[$1]}" || status=$?
    # ctr exits like the command, here by SIGKILL.
    same "$1 ends, and ctr reports no error" "exit status 137" "$(cat "/run/$1.log")exit status $status"
}

# gc: as called by a runtime without attachments.
gc() {
    CNI_COMMAND=GC CNI_PATH=/opt/cni/bin /opt/cni/bin/bridge <<'END'
{
  "cniVersion": "1.1.0",
  "name": "test",
  "type": "bridge",
  "bridge": "cni0",
  "ipMasq": true,
  "ipam": { "type": "host-local", "ranges": [[{ "subnet": "10.88.0.0/16" }], [{ "subnet": "fd00:88::/64" }]] },
  "cni.dev/valid-attachments": []
}
END
}

start c1
start c2
address=$(inside c2 "ip -4 addr show eth0" | grep -oE '10\.88\.[0-9.]+' | head -n 1)
address6=$(inside c2 "ip -6 addr show eth0" | grep -oE 'fd00:88:[0-9a-f:]+' | head -n 1)
# Repeated, because the kernel sends no neighbour solicitations during duplicate address detection.
check "ping to the other container" eventually inside c1 "ping -c 1 -W 1 $address"
check "ping to it by IPv6" eventually inside c1 "ping -c 1 -W 1 $address6"
same "TCP to it" hello "$(inside c1 "echo hello | nc -w 2 $address 7000" || true)"

seen_by_outside >/dev/null
check "ping to the outside" eventually inside c1 "ping -c 1 -W 1 $OUTSIDE"
check "ping to it by IPv6" eventually inside c1 "ping -c 1 -W 1 $OUTSIDE6"
same "TCP to it, from the machine's address" "seen from $UPLINK" \
    "$(inside c2 "nc -w 2 $OUTSIDE 7000 </dev/null" || true)"
# Nothing listens there: the immediate error shows that replies arrive.
check "UDP to it is answered" inside c2 "timeout 3 nslookup example.org $OUTSIDE 2>&1 | grep -i refused"
same "it saw only the machine's addresses" \
    "$(printf '%s\n' "$UPLINK . icmp" "$UPLINK . tcp" "$UPLINK . udp" "$UPLINK6 . ipv6-icmp" | sort)" \
    "$(seen_by_outside)"

check "c1 is killed by ctr" ctr task kill --signal KILL c1
ended c1
same "nothing is left of c1" '' "$(left cni0 | grep -E "default-c1|(10\.88\.0|fd00:88:)[.:]2([^0-9a-f]|$)" || true)"
same "the remaining veth belongs to c2" 1 "$(left cni0 | grep -c '^link')"

# Without containerd's knowledge: the kernel removes the namespace and its end of the veth pair before DEL.
check "c2's process is killed" kill -KILL "$(pid_of c2)"
ended c2
nothing_left "of c2" cni0

# Many containers that end by themselves: DEL runs while the kernel destroys their namespaces.
burst=20
for ((i = 0; i < burst; i++)); do
    ctr run --rm --cni --cpu-shares 0 --rootfs "$ROOTFS" "b$i" \
        /bin/sh -c "ip -4 addr show eth0 | grep -o 'inet [0-9.]*'" >"/run/b$i.out" 2>"/run/b$i.err" &
done
wait
same "$burst containers at once: no errors" '' "$(cat /run/b*.err)"
same "each has its own address" $burst "$(sort -u /run/b*.out | wc -l)"
nothing_left "of them" cni0

# Replaces the plugins under a running container: one kind attaches it and the other detaches it.
if [[ -e $REFERENCE/bridge ]]; then
    use "$REFERENCE"
    start c3
    use "$OURS"
    check "c3, attached by the reference, is killed" ctr task kill --signal KILL c3
    ended c3
    nothing_left "of c3, by ours" cni0
    start c4
    use "$REFERENCE"
    check "c4, attached by ours, is killed" ctr task kill --signal KILL c4
    ended c4
    # Without a namespace, the reference's DEL leaves the rules, and it does not know our records.
    same "the reference leaves no lease or result of c4" '' "$(left cni0 | grep -F /var/lib/cni || true)"
    use "$OURS"
    check "our GC of what the reference left" gc
    nothing_left "of c4" cni0
else
    skipped "plugins replaced under a running container: no directory of reference plugins"
fi

finish
