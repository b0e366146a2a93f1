#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Sets, Jobs and CronJobs while any process is killed or frozen, or the API fails at random: no ordinal
# and no node's pod is there twice, no pod of a Job is counted twice or lost, and no run starts twice.
# ROUNDS says how often things are killed.

load helpers
load workloads

ROUNDS=${ROUNDS:-8}

setup_file() {
    local election
    election=$(short_leases)
    export SERVICES="controllers scheduler node" SCHEDULER_FLAGS=$election NODES=3 KEEP=yes
    export CONTROLLERS_FLAGS="$election --job-pod-failure-backoff 1ms"
    start_server
}
teardown_file() { stop_server; }
setup() { new_namespace && use_namespace; }
teardown() {
    end_recording
    k delete namespace "$NS" --wait=false >/dev/null
}
use_namespace() { k config set-context --current --namespace "$NS" >/dev/null; }

begin() {
    begin_recording
    declare_sets image:0 3
    job plain '"completions": 30, "parallelism": 6' run=300ms
    job indexed '"completions": 30, "parallelism": 6, "completionMode": "Indexed"' run=300ms
    job failing '"backoffLimit": 4' 'run=20ms exit=1'
    cron_job cron-0
}

# ends_well IMAGE: all is as declared, and nothing was done twice on the way there.
ends_well() {
    declare_sets "$1" 3
    wait_until 90 are_as_declared "$1" 3 || show_state
    wait_until 60 has_counted || show_state
    wait_until 60 have_run || show_state
    end_recording
    each_run_once "$recorded-jobs" || show_state
    [ "$(jq -s length "$recorded-pods")" -gt 100 ]
    run faults "$recorded-pods"
    echo "$output"
    [ -z "$output" ] && [ "$status" -eq 0 ]
}

show_state() {
    k get cronjobs,jobs,statefulsets,daemonsets,pods >&2 || true
    tail -n 40 "$BATS_FILE_TMPDIR/log" >&2
    return 1
}

@test "processes killed at random do nothing twice" {
    local services=(controller-manager scheduler node apiserver)
    begin
    for ((round = 1; round <= ROUNDS; round++)); do
        declare_sets "image:$((round / 3))" $((3 + round % 2))
        [ $((round % 3)) != 1 ] || [ $round -gt 13 ] || cron_job "cron-$round"
        sleep "0.$((RANDOM % 10))" # A random moment of the work, not a wait for anything.
        kill_service "${services[RANDOM % 4]}"
        wait_until 30 is_ready
    done
    ends_well image:last
}

@test "leaders that stand still for a while do nothing twice" {
    begin
    for service in controller-manager scheduler; do
        declare_sets "image:$service" 4
        cron_job "cron-$service"
        freeze "$service" $((LEASE_SECONDS + 1)) # Longer than its lease.
    done
    ends_well image:last
}

@test "an API that fails at random has nothing done twice" {
    stop_server
    FLAGS=--test-fault-percent=15 start_server
    use_namespace # The file that says so is new.
    begin
    for version in 1 2; do
        declare_sets "image:$version" $((3 + version % 2))
        cron_job "cron-$version"
    done
    ends_well image:last
}

@test "an etcd that stands still for a while has nothing done twice" {
    [ "$STORE" = etcd ] || skip "the embedded store is in the API server's own process"
    begin
    declare_sets image:1 4
    freeze etcd $((LEASE_SECONDS + 1)) # Longer than every lease.
    wait_until 30 is_ready
    ends_well image:last
}
