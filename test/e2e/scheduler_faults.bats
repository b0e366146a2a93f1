#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Whatever is killed or restarted: each pod gets a node, and no node gets more than it has room for.
# Every test fills its nodes to the brim, so that one pod too many on one of them leaves another
# without a place.

load helpers

setup_file() {
    [ "${STORE:-sqlite}" = sqlite ] || start_etcd
    start_server
}
teardown_file() {
    stop_server
    [ "${STORE:-sqlite}" = sqlite ] || signal_etcd KILL
}
setup() {
    new_namespace
    PIDS=()
}
teardown() {
    [ ${#PIDS[@]} = 0 ] || kill -KILL "${PIDS[@]}" 2>/dev/null || true
    api DELETE "/api/v1/namespaces/$NS/pods?gracePeriodSeconds=0" >/dev/null
    api DELETE "/api/v1/nodes" >/dev/null
}

# scheduler NAME [FLAGS…]: starts one in the background; its process is $PID, its log NAME.log.
scheduler() {
    local log=$BATS_FILE_TMPDIR/$1.log
    shift
    "$BIN/coracle-scheduler" --kubeconfig "$DATA/pki/scheduler.kubeconfig" \
        --healthz-bind-address 127.0.0.1:0 "$@" >"$log" 2>&1 3>&- 4>&- &
    PID=$!
    PIDS+=("$PID")
}
server_pid() { pgrep -P "$(cat "$BATS_FILE_TMPDIR/pid")" -f coracle-apiserver; }
# nodes COUNT CPUS [PREFIX]: each with room for so many pods of one CPU; new nodes are tainted, which
# the pods here tolerate.
nodes() {
    jq -nc --argjson count "$1" --arg cpu "$2" --arg prefix "${3:-n}" 'range($count) |
        {apiVersion: "v1", kind: "Node", metadata: {name: "\($prefix)\(.)"},
         status: {allocatable: {cpu: $cpu, memory: "8Gi", pods: "500"}}}' |
        k create -f - >/dev/null
}
# pods COUNT [CURL ARGUMENTS…]: each asks for one CPU.
pods() {
    local count=$1
    shift
    api POST "/api/v1/namespaces/$NS/pods?pod=[1-$count]" -o /dev/null --fail "$@" \
        -H 'Content-Type: application/json' -d '{"apiVersion": "v1", "kind": "Pod",
        "metadata": {"generateName": "p"}, "spec": {"tolerations": [{"operator": "Exists"}],
        "containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "1"}}}]}}'
}
bound() { api GET "/api/v1/namespaces/$NS/pods?fieldSelector=spec.nodeName!=" | grep -o '"nodeName":' | wc -l; }
at_least_bound() { local count; count=$(bound) && [ "${count:-0}" -ge "$1" ]; }
# fullest: how many pods are on the node that has most.
fullest() {
    api GET "/api/v1/namespaces/$NS/pods" |
        jq '[.items[].spec.nodeName // empty] | group_by(.) | map(length) | max'
}
leader() {
    api GET /apis/coordination.k8s.io/v1/namespaces/kube-system/leases/kube-scheduler | jq -r '.spec.holderIdentity // empty'
}
has_leader() { [ -n "$(leader)" ]; }
other_leads() { [ -n "$(leader)" ] && [ "$(leader)" != "$1" ]; }

@test "a scheduler that is killed again and again in the middle of 300 pods" {
    nodes 10 30
    scheduler first --leader-elect=false
    pods 300 --rate 100/s 3>&- &
    local creator=$! count
    for count in 30 90 150 210 270; do
        wait_until 60 at_least_bound "$count"
        kill -KILL "$PID"
        [ "$(fullest)" -le 30 ]
        scheduler "after-$count" --leader-elect=false
    done
    wait "$creator"
    wait_until 60 at_least_bound 300
    [ "$(fullest)" = 30 ]
}

@test "of two schedulers one works, and the other when it is gone" {
    local flags=(--leader-elect-lease-duration 3s --leader-elect-renew-deadline 2s
        --leader-elect-retry-period 500ms) first
    nodes 2 20
    scheduler one "${flags[@]}"
    local one=$PID
    wait_until 30 has_leader
    first=$(leader)
    scheduler two "${flags[@]}"
    pods 20
    wait_until 30 at_least_bound 20
    not grep -q "schedules pods" "$BATS_FILE_TMPDIR/two.log"
    kill -KILL "$one"
    pods 20
    wait_until 30 other_leads "$first"
    wait_until 30 at_least_bound 40
    [ "$(fullest)" = 20 ]
}

@test "two schedulers that both work do not overcommit for long, and lose no pod" {
    # Without an election each learns of the other's bindings late: what was bound twice is refused,
    # and whoever was refused must neither forget where the pod is nor try it again.
    nodes 4 60
    scheduler one --leader-elect=false
    scheduler two --leader-elect=false
    pods 120
    wait_until 60 at_least_bound 120
    kill -TERM "$PID"
    pods_left() { api GET "/api/v1/namespaces/$NS/pods?fieldSelector=spec.nodeName=" | jq '.items | length'; }
    [ "$(pods_left)" = 0 ]
    # The one that is left knows what is on the nodes: exactly the rest fits.
    pods 120
    wait_until 60 at_least_bound 240
    [ "$(fullest)" = 60 ]
}

@test "bindings while the API server is killed and started again" {
    scheduler one --leader-elect=false
    wait_until 30 grep -q "schedules pods" "$BATS_FILE_TMPDIR/one.log"
    pods 400
    for round in 1 2 3 4; do
        nodes 5 20 "n$round-"
        kill -KILL "$(server_pid)"
        wait_until 20 gone "$(cat "$BATS_FILE_TMPDIR/pid")"
        start_server
    done
    wait_until 90 at_least_bound 400
    [ "$(fullest)" = 20 ]
    kill -TERM "$PID"
    wait_until 20 gone "$PID"
    not grep -E "ERROR: |runtime error" "$BATS_FILE_TMPDIR/one.log"
}
