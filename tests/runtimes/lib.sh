# shellcheck shell=bash
# Shared by the other scripts: a machine to run in, a host outside of it to talk to, and functions that report results.
#
# The machine consists of namespaces: network, mount, process, control group, IPC and host name. In it, /run, /var, /opt
# and /tmp are empty, /etc is a copy, and nothing else is writable; the kernel ends every process with the first one. So
# nothing is left however a script ends, except an empty control group if even the process that watches it is killed.

NAME=$(basename "$0" .sh)
PATH=$PATH:/usr/sbin:/sbin
# In seconds.
LIMIT=${LIMIT:-120}
# shellcheck disable=SC2034 # Some are used only by the scripts.
UPLINK=203.0.113.1 UPLINK6=2001:db8:ff::1
OUTSIDE=203.0.113.2 OUTSIDE6=2001:db8:ff::2
ROOTFS=/run/rootfs
# shellcheck disable=SC2034
OURS=/run/plugins/ours REFERENCE=/run/plugins/reference
failures=0

ok() { echo "ok: $NAME: $*"; }

fail() {
    echo "FAIL: $NAME: $*"
    failures=$((failures + 1))
}

skipped() { echo "skipped: $NAME: $*"; }

skip_all() {
    skipped "$*"
    exit 0
}

# check WHAT COMMAND...: shows the output of the command if it fails.
check() {
    local what=$1 output
    shift
    if output=$("$@" 2>&1); then
        ok "$what"
    else
        fail "$what"
        printf '%s\n' "$output" | sed 's/^/    /'
    fi
}

# eventually COMMAND...: repeats it until it succeeds, for at most five seconds.
eventually() {
    local output='' end=$((SECONDS + 5))
    until output=$("$@" 2>&1); do
        if [[ $SECONDS -ge $end ]]; then
            printf 'not after five seconds: %s\n%s\n' "$*" "$output"
            return 1
        fi
        sleep 0.05
    done
}

finish() {
    [[ $failures = 0 ]] || exit 1
    exit 0
}

# in_machine PROGRAMS -- DIR [REFERENCE]: call it first. Restarts the script inside of a machine with DIR's plugins in
# $OURS and those of REFERENCE, if any, in $REFERENCE.
in_machine() {
    local program
    case ${RUNTIMES_STAGE:-} in
    '')
        for program; do
            [[ $program != -- ]] || break
            type -P "$program" >/dev/null || skip_all "no \`$program\` in the path"
        done
        while [[ $1 != -- ]]; do shift; done
        shift
        [[ $# -ge 1 && -x $1/wasm-cni ]] || {
            echo "usage: $0 DIR [REFERENCE], where DIR holds wasm-cni" >&2
            exit 2
        }
        [[ $(id -u) = 0 ]] || skip_all "needs root"
        unshare --mount --net --pid --cgroup --fork true 2>/dev/null || skip_all "needs privileges to create namespaces"
        RUNTIMES_STAGE=watch exec unshare --mount --propagation private bash "$0" "$(realpath "$1")" \
            "${2:+$(realpath "$2")}"
        ;;
    watch) watch "$@" ;;
    inside)
        while [[ $1 != -- ]]; do shift; done
        shift
        furnish "$@"
        ;;
    esac
}

# Outside of the machine, except for mounts: the kernel removes everything by itself except the control group.
watch() {
    while [[ $1 != -- ]]; do shift; done
    shift
    local child='' status=0
    group=/sys/fs/cgroup/wasm-cni-$NAME.$$
    # A separate hierarchy: on machines with version 1, its controllers are missing from version 2, and runc uses only
    # what is mounted here.
    { mount -t cgroup2 cgroup2 /sys/fs/cgroup && remove_orphans && mkdir "$group"; } 2>/dev/null ||
        skip_all "cannot create control groups here"
    trap remove_group EXIT
    # unshare(1) ignores signals, and the first process of a namespace gets only those that it handles.
    trap '[[ -z $child ]] || { kill -KILL "$child"; wait "$child" || true; } 2>/dev/null' INT TERM HUP
    export RUNTIMES_STAGE=inside
    # shellcheck disable=SC2016 # For the inner shell.
    bash -c 'echo $$ >"$1/cgroup.procs" && shift && exec "$@"' - "$group" setpriv --pdeathsig KILL \
        unshare --mount --net --pid --cgroup --ipc --uts --fork --kill-child --mount-proc \
        bash -c 'timeout --kill-after=5 "$@"; exit $?' - "$LIMIT" bash "$0" "$@" </dev/null &
    child=$!
    # Without its message about the killed job.
    { wait "$child"; } 2>/dev/null || status=$?
    case $status in
    124 | 137)
        fail "killed, or not finished after $LIMIT seconds"
        status=1
        ;;
    esac
    exit "$status"
}

# Groups of killed watchers.
remove_orphans() {
    local orphan
    for orphan in /sys/fs/cgroup/wasm-cni-*.*; do
        [[ -e /proc/${orphan##*.} ]] || find "$orphan" -depth -type d -exec rmdir {} + || true
    done
}

remove_group() {
    local try
    # Killed processes leave it when they have ended, not at once.
    for ((try = 0; try < 100; try++)); do
        find "$group" -depth -type d -exec rmdir {} + 2>/dev/null && return
        sleep 0.05
    done
    fail "the control group $group could not be removed"
    exit 1
}

# Inside: file systems and the uplink.
furnish() {
    local folder plugin
    set -E
    trap 'fail "line $LINENO: $BASH_COMMAND"' ERR
    mount -t sysfs sysfs /sys
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
    # A group with processes cannot have child groups with controllers.
    mkdir /sys/fs/cgroup/scripts
    echo $$ >/sys/fs/cgroup/scripts/cgroup.procs

    mount -t tmpfs tmpfs /mnt
    mkdir -p /mnt/plugins/{ours,reference} /mnt/etc /mnt/home /mnt/scripts
    # The given directories may be inside those that are covered.
    cp "$1/wasm-cni" /mnt/plugins/
    /mnt/plugins/wasm-cni plugins | awk '$2 == "bundled" { print $1 }' | while read -r plugin; do
        ln -s /run/plugins/wasm-cni "/mnt/plugins/ours/$plugin"
    done
    [[ -z ${2:-} ]] || cp "$2"/* /mnt/plugins/reference/
    cp -a /etc/. /mnt/etc
    rm -rf /mnt/etc/cni /mnt/etc/containers /mnt/etc/containerd
    mkdir -p /mnt/etc/cni/net.d
    mount --bind /mnt/etc /etc
    # --no-mtab: mount(8) would write a table to the /run that it has just covered.
    mount --no-mtab --move /mnt /run
    for folder in /var /opt /tmp; do mount -t tmpfs tmpfs "$folder"; done
    # Debian's runtimes look for plugins here, too.
    if [[ -d /usr/lib/cni ]]; then mount -t tmpfs tmpfs /usr/lib/cni; fi
    mkdir -p /var/lib /var/cache /var/log /var/tmp /opt/cni/bin
    ln -s /run /var/run
    mount -o remount,bind,ro /

    mkdir -p "$ROOTFS"/{bin,dev,etc,proc,run,sys,tmp}
    cp "$(type -P busybox)" "$ROOTFS/bin/busybox"
    chroot "$ROOTFS" /bin/busybox --install -s /bin
    export HOME=/run/home
    unset XDG_RUNTIME_DIR CNI_PATH
    cd "$HOME" || exit

    ip link set lo up
    outside
}

# A host that containers reach only through masquerade: it has no route to container networks. It answers on port 7000
# with the address that it sees, and records every address and protocol.
outside() {
    ip netns add outside
    ip link add uplink type veth peer name eth0 netns outside
    ip addr add "$UPLINK/24" dev uplink
    ip addr add "$UPLINK6/64" dev uplink nodad
    ip link set uplink up
    ip -n outside addr add "$OUTSIDE/24" dev eth0
    ip -n outside addr add "$OUTSIDE6/64" dev eth0 nodad
    ip -n outside link set lo up
    ip -n outside link set eth0 up
    ip netns exec outside nft -f - <<END
table inet seen {
    set sources4 { type ipv4_addr . inet_proto; flags dynamic; size 1000; }
    set sources6 { type ipv6_addr . inet_proto; flags dynamic; size 1000; }
    chain input {
        type filter hook input priority 0;
        add @sources4 { ip saddr . ip protocol }
        icmpv6 type echo-request add @sources6 { ip6 saddr . meta l4proto }
        meta l4proto { tcp, udp } add @sources6 { ip6 saddr . meta l4proto }
    }
}
END
    cat >/run/scripts/peer <<'END'
busybox netstat -tn |
    busybox awk '$6 ~ /ESTABLISHED|CLOSE_WAIT/ { gsub("^::ffff:|:[0-9]+$", "", $5); print "seen from", $5 }'
END
    ip netns exec outside busybox nc -ll -p 7000 -e busybox sh /run/scripts/peer >/dev/null 2>&1 &
    disown
}

# use PLUGINS: installs $OURS or $REFERENCE by renaming, as a package does.
use() {
    local plugin
    used=$1
    for plugin in "$OURS"/*; do
        plugin=${plugin##*/}
        [[ -e $used/$plugin ]] || continue
        ln -s "$used/$plugin" "/opt/cni/bin/.$plugin"
        mv -T "/opt/cni/bin/.$plugin" "/opt/cni/bin/$plugin"
    done
}

# seen_by_outside: `ADDRESS . PROTOCOL` for everything that arrived there since the last call.
seen_by_outside() {
    ip netns exec outside nft list ruleset | grep -oE '[0-9a-f:.]+ \. (tcp|udp|icmp|ipv6-icmp)' | sort || true
    ip netns exec outside nft flush set inet seen sources4
    ip netns exec outside nft flush set inet seen sources6
}

# same WHAT EXPECTED ACTUAL
same() {
    if [[ $2 = "$3" ]]; then
        ok "$1"
    else
        fail "$1"
        diff <(printf '%s\n' "$2") <(printf '%s\n' "$3") | sed 's/^/    /' || true
    fi
}

# Rules and chains of containers, for both backends. Empty nftables tables and chains that all containers share do not
# count, nor does what $SHARED matches.
SHARED='^$'
rules() {
    local family table
    for family in iptables ip6tables; do
        "$family-save" 2>/dev/null | sed -nE '/^-A|^:CNI/p'
    done
    # This includes what iptables(8) keeps in nftables.
    nft list tables | sed -E '/ ip6? (nat|filter|mangle|raw|security)$/d' | while read -r table; do
        # shellcheck disable=SC2086 # Several words.
        nft list $table
    done | sed -E -e '/^\s*(#|table |chain (masq_checks|postrouting|PREROUTING) |type |elements|\}|$)/d' \
        -e '/^\s*(comment "Masquerad|ip daddr 224\.0\.0\.0.4 return|ip6 daddr ff00::.8 return|goto masq_checks)/d'
}

# left LINKS...: prints every part of an attachment that exists, except these links. Prints nothing if there is none.
left() {
    ip -o link | awk -F'[ @:]+' '{ print "link " $2 }' | grep -vxE "link (lo|uplink$(printf '|%s' "$@"))" || true
    rules | sed -E "/$SHARED/d; s/^/rule /"
    # The reference keeps the first two, as well.
    find /var/lib/cni /run/cni /run/wasm-cni /var/cache/wasm-cni -type f \
        ! -path '*/networks/*/lock' ! -path '*/networks/*/last_reserved_ip.*' -printf 'file %p\n' 2>/dev/null || true
    find /run/netns -type f ! -name outside -printf 'namespace %p\n'
}

# nothing_left WHEN LINKS...
nothing_left() {
    local when=$1
    shift
    same "nothing is left $when" '' "$(left "$@")"
}
