#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# One store is enough: what is shown does not depend on it.
#
# CronJobs start jobs at their times. Nobody waits for these: a status that says that the last start
# was long ago makes a run due, of schedules whose next time is far away.

load helpers

setup_file() { start_server && start_controllers && start_nodes 1; }
teardown_file() { each_of stop_nodes stop_controllers stop_server; }
setup() { new_namespace && k config set-context --current --namespace "$NS" >/dev/null; }

# cron_job NAME SCHEDULE SPEC [RUN]: containers run as RUN says.
cron_job() {
    k create -f - <<JSON
{"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "$1"}, "spec": {"schedule": "$2"${3:+, $3},
  "jobTemplate": {"metadata": {"labels": {"from": "$1"}}, "spec": {"template": {"metadata": {"annotations": {"simulate.coracle.io/all": "${4:-run=100ms}"}},
   "spec": {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "containers": [{"name": "c", "image": "a"}]}}}}}}
JSON
}

# last_start NAME AGO: what the status says, as in "3 years ago".
last_start() {
    patch_status "/apis/batch/v1/namespaces/$NS/cronjobs/$1" "{\"status\": {\"lastScheduleTime\": \"$(date -u -d "$2" +%FT%TZ)\"}}"
}

field() { k get "$1" -o jsonpath="{$2}"; }
is() { [ "$(field "$1" "$2")" = "$3" ]; }
jobs() { k get jobs -l "from=$1" -o name; }
has_jobs() { [ "$(jobs "$1" | wc -l)" = "$2" ]; }
events_tell() {
    k get events --field-selector "reason=$1" -o jsonpath='{.items[*].message}' | grep -q "$2"
}

@test "a run that is due is started once, and what becomes of it is noted" {
    cron_job yearly '@yearly' '"timeZone": "Asia/Kolkata"'
    last_start yearly '3 years ago'
    wait_until 20 has_jobs yearly 1
    local job time
    job=$(jobs yearly)
    wait_until 20 is cronjob/yearly .status.active ""
    time=$(field cronjob/yearly .status.lastScheduleTime)
    [ "$job" = "job.batch/yearly-$(($(date -d "$time" +%s) / 60))" ]
    [ "$(field "$job" '.metadata.annotations.batch\.kubernetes\.io/cronjob-scheduled-timestamp')" = "$(TZ=Asia/Kolkata date -d "$time" +%FT%T%:z)" ]
    [ "$(field "$job" '.metadata.ownerReferences[0].kind')" = CronJob ]
    wait_until 20 is cronjob/yearly .status.lastSuccessfulTime "$(field "$job" .status.completionTime)"
    wait_until 20 events_tell SuccessfulCreate "Created job ${job#*/}"
    wait_until 20 events_tell SawCompletedJob "Saw completed job: ${job#*/}, condition: Complete"
}

@test "of many missed runs one is made up for" {
    cron_job often '0 0 * * *'
    last_start often '1 year ago'
    wait_until 20 events_tell TooManyMissedTimes "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew"
    wait_until 20 has_jobs often 1
}

@test "nothing is started while suspended" {
    cron_job paused '0 0 1 1 *' '"suspend": true'
    last_start paused '3 years ago'
    k create job manual --from=cronjob/paused
    k wait job/manual --for=condition=complete --timeout=20s
    wait_until 20 events_tell UnexpectedJob "Saw a job that the controller did not create or forgot: manual"
    wait_until 20 is cronjob/paused .status.lastSuccessfulTime "$(field job/manual .status.completionTime)"
    has_jobs paused 1
    k patch cronjob paused -p '{"spec":{"suspend":false}}'
    wait_until 20 has_jobs paused 2
}

@test "a run waits for nobody, is left out, or takes the place of the one before" {
    for policy in Allow Forbid Replace; do
        cron_job "${policy,,}" '0 0 1 1 *' "\"concurrencyPolicy\": \"$policy\"" 'run=forever'
        last_start "${policy,,}" '3 years ago'
    done
    wait_until 20 has_jobs allow 1
    wait_until 20 has_jobs forbid 1
    wait_until 20 has_jobs replace 1
    local forbid replace
    forbid=$(jobs forbid) replace=$(jobs replace)
    for policy in allow forbid replace; do
        wait_until 20 eval "is cronjob/$policy '.status.active[0].kind' Job"
        # Another time of the last years.
        k patch cronjob $policy -p '{"spec":{"schedule":"0 0 1 2 *"}}'
        last_start $policy '3 years ago'
    done
    wait_until 20 has_jobs allow 2
    wait_until 20 events_tell JobAlreadyActive "Not starting job because prior execution is running and concurrency policy is Forbid"
    [ "$(jobs forbid)" = "$forbid" ]
    wait_until 20 events_tell SuccessfulDelete "Deleted job ${replace#*/}"
    wait_until 20 has_jobs replace 1
    [ "$(jobs replace)" != "$replace" ]
    k delete "$forbid" --wait=false
    wait_until 20 eval "has_jobs forbid 1 && [ \"\$(jobs forbid)\" != '$forbid' ]"
}

@test "old jobs beyond the limits go" {
    cron_job history '0 0 1 1 *' '"successfulJobsHistoryLimit": 1'
    for month in 2 3; do
        last_start history '3 years ago'
        wait_until 20 is cronjob/history .status.active ""
        wait_until 20 eval '[ -n "$(field cronjob/history .status.lastSuccessfulTime)" ]'
        k patch cronjob history -p "{\"spec\":{\"schedule\":\"0 0 1 $month *\"}}"
    done
    last_start history '3 years ago'
    wait_until 20 events_tell SuccessfulDelete "Deleted job history-"
    wait_until 20 has_jobs history 1
}

@test "what can't be a time is told" {
    cron_job never '0 0 31 2 *'
    wait_until 20 events_tell InvalidSchedule "invalid schedule: 0 0 31 2 \* : time difference between two schedules is less than 1 second"
}

# The moment between making the job and noting it, at which the process was killed.
@test "a run that was started and not noted is not started again" {
    stop_controllers
    cron_job once '0 0 1 1 *' '"successfulJobsHistoryLimit": 0'
    last_start once '3 years ago'
    local name uid
    name=once-$(($(TZ= date -d "$(date -u +%Y)-01-01T00:00:00Z" +%s) / 60))
    uid=$(field cronjob/once .metadata.uid)
    k create -f - <<JSON
{"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "$name", "ownerReferences": [
   {"apiVersion": "batch/v1", "kind": "CronJob", "name": "once", "uid": "$uid", "controller": true}]},
 "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "a"}]}}}}
JSON
    patch_status "/apis/batch/v1/namespaces/$NS/jobs/$name" '{"status": {"startTime": "2026-01-01T00:00:00Z", "completionTime": "2026-01-01T00:00:01Z",
        "conditions": [{"type": "SuccessCriteriaMet", "status": "True"}, {"type": "Complete", "status": "True"}]}}'
    TZ=UTC start_controllers
    # It has ended, and no history is wanted.
    wait_until 20 events_tell SuccessfulDelete "Deleted job $name"
    is cronjob/once .status.lastScheduleTime "$(date -u +%Y)-01-01T00:00:00Z"
    k annotate cronjob once look=again
    k wait --for=delete "job/$name" --timeout=20s
    wait_until 20 is cronjob/once .status.lastSuccessfulTime 2026-01-01T00:00:01Z
    [ -z "$(k get jobs -o name)" ]
    not events_tell SuccessfulCreate "Created job"
}
