# SPDX-License-Identifier: Apache-2.0
# What the end-to-end tests share: one API server a test file, real kubectl against it.

BIN=${BIN:-build/plain}
KUBECTL=${KUBECTL:-kubectl}

# A short-lived client need not collect garbage.
export GOGC=off

# free_port: below those that the kernel gives to clients' ends of connections. Files that run side by
# side have a LANE each, and each lane a range of its own, whose end is for API servers alone: nobody
# takes the port of one that is down for a moment.
free_port() {
    port_from 0 880
}

server_port() {
    port_from 900 90
}

# port_from FIRST COUNT: of the lane's range.
port_from() {
    local port=$((20000 + ${LANE:-0} % 12 * 1000 + $1 + RANDOM % $2))
    while (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do port=$((port + 1)); done
    echo "$port"
}

# start_server: on a free port, with data of its own; waits until it is ready. Without controllers
# beside it nobody makes service accounts, and pods are let in without one; what FLAGS enable counts.
start_server() {
    local flags=${FLAGS-}
    [[ " ${SERVICES-} " == *" controllers "* ]] || flags="--disable-admission-plugins=ServiceAccount $flags"
    export DATA=${DATA:-$BATS_FILE_TMPDIR/data} STORE=${STORE:-sqlite}
    if [ -z "${PORT:-}" ]; then
        PORT=$(server_port)
    fi
    export PORT BIN KUBECONFIG=$DATA/pki/admin.kubeconfig
    : >"$BATS_FILE_TMPDIR/log" # What an earlier start said must not be taken for this one's.
    HEALTH_PORT=${HEALTH_PORT:-$(free_port)} SERVICES=${SERVICES-} KEEP=${KEEP:-no} FLAGS=$flags deploy/run >"$BATS_FILE_TMPDIR/log" 2>&1 3>&- 4>&- &
    echo $! >"$BATS_FILE_TMPDIR/pid"
    wait_until 30 grep -q "Coracle is ready" "$BATS_FILE_TMPDIR/log" || {
        cat "$BATS_FILE_TMPDIR/log" >&2
        return 1
    }
}

# stop_server: fails when it did not end in time, or complained of itself.
stop_server() {
    local pid
    pid=$(cat "$BATS_FILE_TMPDIR/pid")
    kill -TERM "$pid" 2>/dev/null
    wait_until 20 gone "$pid" && ! grep -E "Sanitizer|runtime error" "$BATS_FILE_TMPDIR/log" >&2
}

gone() {
    ! kill -0 "$1" 2>/dev/null
}

# not COMMAND…: that the command says no. A bare "! command" within a test can't fail it, as "set -e"
# looks away. A status beyond 1 is trouble, such as a file that grep doesn't find, and no answer.
not() {
    local status=0
    "$@" || status=$?
    [ $status -eq 1 ]
}

# wait_until SECONDS COMMAND…: until the command succeeds. Asked often at first, then less.
wait_until() {
    local deadline=$((SECONDS + $1)) pause
    local pauses=(0.02 0.05 0.05 0.1 0.1 0.2)
    shift
    until "$@"; do
        [ $SECONDS -lt $deadline ] || return 1
        pause=${pauses[0]}
        [ ${#pauses[@]} = 1 ] || pauses=("${pauses[@]:1}")
        sleep "$pause"
    done
}

k() {
    "$KUBECTL" "$@"
}

# client_minor: 32 for a kubectl v1.32.x.
client_minor() {
    k version --client -o json | jq -r '.clientVersion.minor | gsub("[^0-9]"; "")'
}

# needs_kubectl MINIMUM: skips the test when the client is older, as in: needs_kubectl 1.24.
needs_kubectl() {
    [ "$(client_minor)" -ge "${1#1.}" ] || skip "needs kubectl $1"
}

# api METHOD PATH [CURL ARGUMENTS…]: the body of the answer.
api() {
    local method=$1 path=$2
    shift 2
    curl -sS -X "$method" --cacert "$DATA/pki/ca.crt" --cert "$DATA/pki/admin.crt" \
        --key "$DATA/pki/admin.key" "$@" "https://127.0.0.1:$PORT$path"
}

# create_at PATH: the object that comes in, without the start of a kubectl: for what is done often.
create_at() {
    api POST "$1" --fail-with-body -H 'Content-Type: application/json' --data-binary @- >/dev/null
}

# patch_status PATH JSON: of one object, as those do who play its controller. (Older clients can't.)
patch_status() {
    api PATCH "$1/status" --fail-with-body -H 'Content-Type: application/strategic-merge-patch+json' -d "$2" >/dev/null
}

# new_namespace: makes one of its own for the test and makes it kubectl's default.
new_namespace() {
    NS=t-$BATS_TEST_NUMBER-$RANDOM
    k create namespace "$NS" >/dev/null
    export NS
}

# start_etcd: an etcd of the test file's own, on which the servers that are started then work; again
# after its end, on the same data and port.
start_etcd() {
    ETCD_PORT=${ETCD_PORT:-$(free_port)}
    export ETCD_PORT ETCD_SERVERS=http://127.0.0.1:$ETCD_PORT
    local peer=http://127.0.0.1:$((ETCD_PORT + 1))
    etcd --data-dir "$BATS_FILE_TMPDIR/etcd" --log-level error \
        --heartbeat-interval 20 --election-timeout 200 \
        --listen-client-urls "$ETCD_SERVERS" --advertise-client-urls "$ETCD_SERVERS" \
        --listen-peer-urls "$peer" --initial-advertise-peer-urls "$peer" \
        --initial-cluster "default=$peer" >"$BATS_FILE_TMPDIR/etcd.log" 2>&1 3>&- 4>&- &
    echo $! >"$BATS_FILE_TMPDIR/etcd.pid"
}

# signal_etcd SIGNAL
signal_etcd() {
    kill "-$1" "$(cat "$BATS_FILE_TMPDIR/etcd.pid")"
}

is_ready() {
    [ "$(api GET /readyz)" = ok ]
}

# start_process NAME SENTENCE [FLAGS…]: coracle-NAME, with its own identity, against the server of this
# test file, until its log says that it works.
start_process() {
    local name=$1 sentence=$2 identity=$1
    shift 2
    [ "$identity" != controller-manager ] || identity=controllers
    [ "$name" != node ] || deploy/node-names "$DATA/pki" "https://127.0.0.1:$PORT" 3 || return 1
    "$BIN/coracle-$name" --kubeconfig "$DATA/pki/$identity.kubeconfig" --healthz-bind-address 127.0.0.1:0 \
        "$@" >"$BATS_FILE_TMPDIR/$name.log" 2>&1 3>&- 4>&- &
    echo $! >"$BATS_FILE_TMPDIR/$name.pid"
    wait_until 30 grep -q "$sentence" "$BATS_FILE_TMPDIR/$name.log" || {
        cat "$BATS_FILE_TMPDIR/$name.log" >&2
        return 1
    }
}

# stop_process NAME: fails when it did not end in time, or complained of itself.
stop_process() {
    local pid
    pid=$(cat "$BATS_FILE_TMPDIR/$1.pid")
    kill -TERM "$pid"
    wait_until 20 gone "$pid" && ! grep -E "Sanitizer|runtime error" "$BATS_FILE_TMPDIR/$1.log" >&2
}

start_controllers() {
    start_process controller-manager "controllers work" --leader-elect=false --use-service-account-credentials "$@"
}

stop_controllers() {
    stop_process controller-manager
}

# start_nodes COUNT: simulated nodes, and a scheduler that gives them pods.
start_nodes() {
    start_process scheduler "schedules pods" --leader-elect=false
    start_process node "plays" --simulate "$1"
}

stop_nodes() {
    each_of "stop_process node" "stop_process scheduler"
}

# each_of COMMAND…: runs all of them, and fails when one did.
each_of() {
    local command status=0
    for command in "$@"; do $command || status=1; done
    return $status
}

# service_pid NAME: the process that runs now.
service_pid() {
    pgrep -f "^$BIN/coracle-$1 .*$DATA/pki" || pgrep -f "^$BIN/coracle-$1 .*--secure-port $PORT"
}

kill_service() {
    local pid
    pid=$(service_pid "$1") || return 0
    kill -KILL $pid 2>/dev/null || true
}

# etcd_pid: of the etcd that was started beside the API server; its folder tells it from others.
etcd_pid() {
    local pid
    for pid in $(pgrep -x etcd); do
        [ "$(readlink "/proc/$pid/cwd")" != "$(readlink -f "$DATA")" ] || { echo "$pid" && return; }
    done
    return 1
}

# Short leases, so that a killed leader is soon replaced. With ThreadSanitizer controllers take seconds to
# start, in which they would not get round to renewing one so short.
LEASE_SECONDS=2
[[ "$BIN" != *thread* ]] || LEASE_SECONDS=8

short_leases() {
    echo "--leader-elect-lease-duration ${LEASE_SECONDS}s --leader-elect-renew-deadline $((LEASE_SECONDS * 750))ms" \
        "--leader-elect-retry-period 300ms"
}

# freeze NAME SECONDS: it (a service, or etcd) stands still for so long. One that was ending by itself just
# then may be gone.
freeze() {
    local pid
    if [ "$1" = etcd ]; then pid=$(etcd_pid); else pid=$(service_pid "$1"); fi
    kill -STOP "$pid"
    sleep "$2"
    kill -CONT "$pid" 2>/dev/null || true
}
