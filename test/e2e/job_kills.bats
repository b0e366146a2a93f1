#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Jobs and CronJobs whose controllers are killed at random moments: each pod is counted once, and no
# run is started twice. ROUNDS says how often they are killed.

load helpers

ROUNDS=${ROUNDS:-15}

setup_file() { start_server && start_nodes 3; }
teardown_file() { each_of stop_nodes stop_server; }
setup() { new_namespace && k config set-context --current --namespace "$NS" >/dev/null; }

# template RUN: of a pod whose container runs as RUN says.
template() {
    echo "{\"metadata\": {\"annotations\": {\"simulate.coracle.io/c\": \"$1\"}}, \"spec\": {\"restartPolicy\": \"Never\", \"terminationGracePeriodSeconds\": 0, \"containers\": [{\"name\": \"c\", \"image\": \"a\"}]}}"
}

# job NAME SPEC RUN
job() {
    k create -f - >/dev/null <<JSON
{"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "$1"}, "spec": {$2, "template": $(template "$3")}}
JSON
}

# cron_job NAME: a run of it is due; what has ended is not kept.
cron_job() {
    k create -f - >/dev/null <<JSON
{"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "$1"}, "spec": {"schedule": "0 0 1 1 *", "successfulJobsHistoryLimit": 0,
  "jobTemplate": {"spec": {"template": $(template run=20ms)}}}}
JSON
    patch_status "/apis/batch/v1/namespaces/$NS/cronjobs/$1" '{"status": {"lastScheduleTime": "2020-06-01T00:00:00Z"}}'
}

kill_controllers() {
    kill -KILL "$(cat "$BATS_FILE_TMPDIR/controller-manager.pid")"
    not grep -E "Sanitizer|runtime error" "$BATS_FILE_TMPDIR/controller-manager.log"
}

# The jobs are over, and have counted what there is to count.
has_counted() {
    k get jobs,pods -o json | jq -e '
        def of($name; $phase): [.items[] | select(.kind == "Pod" and .metadata.labels["job-name"] == $name
            and .status.phase == $phase)] | length;
        def job($name): .items[] | select(.kind == "Job" and .metadata.name == $name) | .status;
        . as $all
        | all("plain", "indexed", "failing"; . as $name | $all | job($name)
            | (.uncountedTerminatedPods == {} and any(.conditions[]?; .type == "Complete" or .type == "Failed")
               and (.active // 0) == 0 and .terminating == 0))
        and (job("plain").succeeded == 30 and of("plain"; "Succeeded") == 30)
        and (job("indexed") | .succeeded == 30 and .completedIndexes == "0-29")
        and (job("failing").failed == 5 and of("failing"; "Failed") == 5)
        and all(.items[] | select(.kind == "Pod"); (.metadata.finalizers // []) == [])' >/dev/null
}

# each_run_once WATCHED: of the jobs that were ever made, one was each CronJob's.
each_run_once() {
    jq -es --argjson runs "$(k get cronjobs -o name | wc -l)" '[.[] | select(.type == "ADDED" and .object.metadata.ownerReferences != null) | .object.metadata
        | {name, uid}] | unique | (length == $runs and (group_by(.name) | all(length == 1)))' "$1" >/dev/null
}

have_run() {
    k get cronjobs,jobs -o json | jq -e '[.items[] | select(.kind == "CronJob")] as $all
        | ($all | all(.[]; .status.lastSuccessfulTime != null and .status.active == null))
        and ([.items[] | select(.kind == "Job" and .metadata.ownerReferences != null)] | length == 0)' >/dev/null
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
