#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# One store is enough: workload_faults.bats does the like on both.
#
# Jobs and CronJobs whose controllers are killed at random moments: each pod is counted once, and no
# run is started twice. ROUNDS says how often they are killed.

load helpers
load workloads

ROUNDS=${ROUNDS:-15}

setup_file() { start_server && start_nodes 3; }
teardown_file() { each_of stop_nodes stop_server; }
setup() { new_namespace && k config set-context --current --namespace "$NS" >/dev/null; }

kill_controllers() {
    kill -KILL "$(cat "$BATS_FILE_TMPDIR/controller-manager.pid")"
    not grep -E "Sanitizer|runtime error" "$BATS_FILE_TMPDIR/controller-manager.log"
}

show_state() {
    k get cronjobs,jobs,pods -o wide >&2 || true
    k get jobs -o json | jq '.items[] | {name: .metadata.name, status}' >&2
    tail -n 40 "$BATS_FILE_TMPDIR/controller-manager.log" >&2
    return 1
}

@test "controllers killed at random count each pod once and start no run twice" {
    local watched=$BATS_TEST_TMPDIR/watched watch
    api GET "/apis/batch/v1/namespaces/$NS/jobs?watch=true" -N >"$watched" 3>&- &
    watch=$!
    job plain '"completions": 30, "parallelism": 6' run=50ms
    job indexed '"completions": 30, "parallelism": 6, "completionMode": "Indexed"' run=50ms
    job failing '"backoffLimit": 4' 'run=20ms exit=1'
    for ((round = 1; round <= ROUNDS; round++)); do
        [ $((round % 3)) != 1 ] || [ $round -gt 13 ] || cron_job "cron-$round"
        start_controllers --job-pod-failure-backoff 1ms
        sleep "0.0$((RANDOM % 10))$((RANDOM % 10))" # A random moment of the work, not a wait for anything.
        kill_controllers
    done
    start_controllers --job-pod-failure-backoff 1ms
    wait_until 60 has_counted || show_state
    wait_until 30 have_run || show_state
    kill "$watch"
    each_run_once "$watched" || show_state
    stop_controllers
}
