#!/usr/bin/env bash
# cri.sh DIR: pods of containerd on our network, with requests to its CRI plugin like a kubelet's. Debian has no crictl;
# curl(1) can send gRPC requests.
set -euo pipefail
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
in_machine containerd ctr runc busybox curl ip nft iptables -- "$@"

use "$OURS"
cat >/etc/cni/net.d/10-pods.conflist <<'END'
{
  "cniVersion": "1.0.0",
  "name": "pods",
  "plugins": [
    {
      "type": "bridge",
      "bridge": "cni0",
      "isGateway": true,
      "ipMasq": true,
      "hairpinMode": true,
      "ipam": {
        "type": "host-local",
        "ranges": [[{ "subnet": "10.88.0.0/16" }], [{ "subnet": "fd00:88::/64" }]],
        "routes": [{ "dst": "0.0.0.0/0" }, { "dst": "::/0" }]
      }
    }
  ]
}
END
cat >/run/containerd.toml <<'END'
version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:1"
  disable_cgroup = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "native"
END

# An image with only busybox.
image() {
    local folder=/run/image layer architecture
    case $(uname -m) in
    aarch64) architecture=arm64 ;;
    *) architecture=amd64 ;;
    esac
    mkdir "$folder"
    tar -C "$ROOTFS" -cf "$folder/layer.tar" .
    layer=$(sha256sum "$folder/layer.tar" | cut -d ' ' -f 1)
    cat >"$folder/config.json" <<END
{
  "architecture": "$architecture",
  "os": "linux",
  "config": {
    "Entrypoint": ["/bin/sh", "-c", "nc -ll -p 7000 -e cat & exec sleep 1000"],
    "Env": ["PATH=/bin"]
  },
  "rootfs": { "type": "layers", "diff_ids": ["sha256:$layer"] }
}
END
    cat >"$folder/manifest.json" <<'END'
[{ "Config": "config.json", "RepoTags": ["localhost/pause:1"], "Layers": ["layer.tar"] }]
END
    tar -C "$folder" -cf /run/image.tar manifest.json config.json layer.tar
    ctr --namespace k8s.io images import --snapshotter native /run/image.tar
}

# Protocol buffers, as escapes of printf(1). A length is one byte: everything here is shorter than 128.
octet() { printf '\\x%02x' "$1"; }
size() { printf '%b' "$1" | wc -c; }
field() { printf '%s' "$(octet $(($1 << 3 | 2)))$(octet "$(size "$2")")$2"; }

# call METHOD REQUEST: writes the answer to /run/answer.
call() {
    printf '%b' "\\x00\\x00\\x00\\x00$(octet "$(size "$2")")$2" |
        curl --silent --show-error --max-time 20 --http2-prior-knowledge \
            --unix-socket /run/containerd/containerd.sock \
            --header 'content-type: application/grpc' --header 'te: trailers' --dump-header /run/headers \
            --data-binary @- --output /run/answer "http://localhost/runtime.v1.RuntimeService/$1"
    grep -qi '^grpc-status: 0' /run/headers || {
        grep -i '^grpc-' /run/headers
        return 1
    }
}

# is_in_answer TEXT
is_in_answer() { grep -qaF "$1" /run/answer; }

declare -A pods
# run_pod NAME: the answer is the length of an ID, and the ID.
run_pod() {
    local metadata
    metadata=$(field 1 "$1")$(field 2 "uid-$1")$(field 3 default)
    call RunPodSandbox "$(field 1 "$(field 1 "$metadata")$(field 2 "$1")")" || return
    grep -aoE '[0-9a-f]{64}' /run/answer >"/run/$1.id"
}

stop_pod() { call StopPodSandbox "$(field 1 "${pods[$1]}")"; }
# Can be repeated.
remove_pod() { stop_pod "$1" && call RemovePodSandbox "$(field 1 "${pods[$1]}")"; }

inside() {
    local pod=$1
    shift
    ctr --namespace k8s.io task exec --exec-id "e$RANDOM$RANDOM" "${pods[$pod]}" /bin/sh -c "$*"
}

address_of() { inside "$1" "ip addr show eth0" | grep -oE "$2[0-9a-f.:]+" | head -n 1; }

start_containerd() {
    containerd --config /run/containerd.toml >>/run/containerd.log 2>&1 &
    containerd=$!
    disown
    check "containerd starts" eventually call Version ''
}

start_containerd
check "an image is built and imported" image
for pod in p1 p2; do
    check "RunPodSandbox of $pod" eventually run_pod "$pod"
    pods[$pod]=$(cat "/run/$pod.id")
done
address=$(address_of p2 '10\.88\.') address6=$(address_of p2 'fd00:88:')
check "PodSandboxStatus" call PodSandboxStatus "$(field 1 "${pods[p2]}")"
check "it has the pod's address" is_in_answer "$address"
check "it has the pod's other address" is_in_answer "$address6"
same "lo is up" '127.0.0.1/8' "$(inside p1 "ip -4 addr show lo" | grep -oE '127[0-9./]+')"
check "ping to the other pod" eventually inside p1 "ping -c 1 -W 1 $address"
check "ping to it by IPv6" eventually inside p1 "ping -c 1 -W 1 $address6"
same "TCP to it" hello "$(inside p1 "echo hello | nc -w 2 $address 7000" || true)"

seen_by_outside >/dev/null
check "ping to the outside" eventually inside p1 "ping -c 1 -W 1 $OUTSIDE"
check "ping to it by IPv6" eventually inside p1 "ping -c 1 -W 1 $OUTSIDE6"
same "TCP to it, from the machine's address" "seen from $UPLINK" \
    "$(inside p2 "nc -w 2 $OUTSIDE 7000 </dev/null" || true)"
same "it saw only the machine's addresses" \
    "$(printf '%s\n' "$UPLINK . icmp" "$UPLINK . tcp" "$UPLINK6 . ipv6-icmp" | sort)" \
    "$(seen_by_outside)"

check "StopPodSandbox of p1" stop_pod p1
check "RemovePodSandbox of p1" remove_pod p1
same "nothing is left of p1" '' "$(left cni0 | grep -F "${pods[p1]}" || true)"

# Kills and restarts containerd; meanwhile the pod and its namespace disappear, and only files are left of it.
kill -KILL "$containerd"
kill -KILL "$(cat /run/containerd/io.containerd.runtime.v2.task/k8s.io/"${pods[p2]}"/init.pid)"
for namespace in /run/netns/cni-*; do ip netns del "${namespace##*/}"; done
start_containerd
check "StopPodSandbox of p2, whose namespace is gone" eventually stop_pod p2
check "RemovePodSandbox of p2" remove_pod p2
nothing_left "of pods" cni0
finish
