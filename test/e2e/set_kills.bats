#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# One store is enough: workload_faults.bats does the like on both.
#
# StatefulSets and DaemonSets whose controllers are killed at random moments of rollouts: no ordinal is
# ever there twice, no node has two pods, and never is more missing than may be. ROUNDS says how often
# they are killed.

load helpers
load workloads

ROUNDS=${ROUNDS:-10}

setup_file() { start_server && start_nodes 3; }
teardown_file() { each_of stop_nodes stop_server; }
setup() { new_namespace && k config set-context --current --namespace "$NS" >/dev/null; }

kill_controllers() {
    kill -KILL "$(cat "$BATS_FILE_TMPDIR/controller-manager.pid")"
    not grep -E "Sanitizer|runtime error" "$BATS_FILE_TMPDIR/controller-manager.log"
}

show_state() {
    k get statefulsets,daemonsets,pods -o wide >&2 || true
    tail -n 40 "$BATS_FILE_TMPDIR/controller-manager.log" >&2
    return 1
}

@test "controllers killed at random make nothing twice and take no more than they may" {
    local watched=$BATS_TEST_TMPDIR/watched watch
    api GET "/api/v1/namespaces/$NS/pods?watch=true" -N >"$watched" 3>&- &
    watch=$!
    for ((round = 1; round <= ROUNDS; round++)); do
        declare_sets "image:$((round / 3))" $((3 + round % 2))
        start_controllers
        sleep "0.$((RANDOM % 10))" # A random moment of the work, not a wait for anything.
        kill_controllers
    done
    start_controllers
    declare_sets image:last 3
    wait_until 60 are_as_declared image:last 3 || show_state
    kill "$watch"
    [ "$(jq -s length "$watched")" -gt 100 ]
    run faults "$watched"
    echo "$output"
    [ -z "$output" ] && [ "$status" -eq 0 ]
    stop_controllers
}

# event TYPE NAME APP [NODE [READY [DELETION]]]
event() {
    jq -nc --arg type "$1" --arg name "$2" --arg app "$3" --arg node "${4-}" --arg ready "${5-True}" --arg deletion "${6-}" '
        {type: $type, object: {metadata: ({name: $name, labels: {app: $app}} + if $deletion == "" then {} else {deletionTimestamp: $deletion} end),
            spec: {affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchFields: [{values: [$node]}]}]}}}},
            status: {conditions: [{type: "Ready", status: $ready}]}}}'
}

finds() {
    faults "$BATS_TEST_TMPDIR/events" | grep -qx "\"$1\""
}

@test "what would be against the rules is found" {
    { event ADDED all-1 all; event ADDED all-1 all; } >"$BATS_TEST_TMPDIR/events"
    finds "all-1 is there twice"
    { event ADDED web-0 web "" False; event ADDED web-1 web; } >"$BATS_TEST_TMPDIR/events"
    finds "web-1 came too early"
    { event ADDED web-0 web; event MODIFIED web-0 web "" False; event ADDED web-1 web; event DELETED web-1 web; } >"$BATS_TEST_TMPDIR/events"
    finds "web-1 went too early"
    { event ADDED agent-a agent n1; event ADDED agent-b agent n1; } >"$BATS_TEST_TMPDIR/events"
    finds "n1 has two pods"
    { for n in 1 2 3; do event ADDED "agent-$n" agent "n$n"; done; for n in 1 2; do event MODIFIED "agent-$n" agent "n$n" True now; done; } >"$BATS_TEST_TMPDIR/events"
    finds "two nodes miss their pods"
    { event ADDED web-0 web; event ADDED web-1 web; event MODIFIED web-1 web "" True now; event DELETED web-1 web; event ADDED web-1 web; } >"$BATS_TEST_TMPDIR/events"
    [ -z "$(faults "$BATS_TEST_TMPDIR/events")" ]
}
