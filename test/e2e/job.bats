#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Jobs run pods until enough have succeeded or too many have failed, and count each pod once.

load helpers

setup_file() { start_server && start_controllers --job-pod-failure-backoff 100ms && start_nodes 3; }
teardown_file() { each_of stop_nodes stop_controllers stop_server; }
setup() { new_namespace && k config set-context --current --namespace "$NS" >/dev/null; }

# job NAME SPEC [ANNOTATION OF PODS]: containers "c"; the annotation says how they run.
job() {
    k create -f - <<JSON
{"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "$1"}, "spec": {$2${2:+, }
  "template": {"metadata": {"annotations": {"simulate.coracle.io/c": "${3:-run=100ms}"}},
   "spec": {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "containers": [{"name": "c", "image": "a"}]}}}}
JSON
}

# field OBJECT PATH
field() { k get "$1" -o jsonpath="{$2}"; }
is() { [ "$(field "$1" "$2")" = "$3" ]; }
ends() { k wait "job/$1" "--for=condition=$2" --timeout=20s; }
count_pods() { k get pods -o name | wc -l; }
# condition JOB TYPE: "Reason: message"
condition() { field "job/$1" ".status.conditions[?(@.type==\"$2\")]['reason','message']"; }
events_tell() {
    k get events --field-selector "reason=$1" -o jsonpath='{.items[*].message}' | grep -q "$2"
}
# counts JOB: succeeded/failed/active, each once, and no pod is held back any more.
counts() {
    k get job "$1" -o json | jq -r '.status | "\(.succeeded // 0)/\(.failed // 0)/\(.active // 0)"'
}
nothing_is_held() {
    ! k get pods -o jsonpath='{.items[*].metadata.finalizers}' | grep -q job-tracking &&
        [ "$(field "job/$1" .status.uncountedTerminatedPods)" = "{}" ]
}

@test "as many successes as asked for, no more at a time than allowed" {
    job work '"completions": 5, "parallelism": 2'
    ends work complete
    [ "$(counts work)" = 5/0/0 ]
    [ "$(count_pods)" = 5 ]
    nothing_is_held work
    [ "$(condition work Complete)" = "CompletionsReached Reached expected number of succeeded pods" ]
    [ "$(condition work SuccessCriteriaMet)" = "CompletionsReached Reached expected number of succeeded pods" ]
    [ -n "$(field job/work .status.completionTime)" ]
    is job/work .status.ready 0
    is job/work .status.terminating 0
    wait_until 20 events_tell SuccessfulCreate "Created pod: work-"
    wait_until 20 events_tell Completed "Job completed"
    [ "$(field pod '.items[0].metadata.labels.batch\.kubernetes\.io/job-name')" = work ]
}

@test "the first success ends a job without completions" {
    job queue '"parallelism": 3' 'run=200ms'
    ends queue complete
    [ "$(counts queue)" = 3/0/0 ]
}

@test "each index is done once" {
    job indexed '"completions": 4, "parallelism": 4, "completionMode": "Indexed"'
    ends indexed complete
    is job/indexed .status.completedIndexes 0-3
    [ "$(counts indexed)" = 4/0/0 ]
    k get pods -o json | jq -e '[.items[] | (.metadata.labels["batch.kubernetes.io/job-completion-index"]) as $i |
        (.metadata.annotations["batch.kubernetes.io/job-completion-index"] == $i and .spec.hostname == "indexed-" + $i
         and (.metadata.name | test("^indexed-" + $i + "-[a-z0-9]{5}$"))
         and .spec.containers[0].env == [{name: "JOB_COMPLETION_INDEX", valueFrom: {fieldRef: {apiVersion: "v1",
             fieldPath: "metadata.labels['"'batch.kubernetes.io/job-completion-index'"']"}}}])] == [true, true, true, true]'
    nothing_is_held indexed
}

@test "more failures than the limit fail the job" {
    job bad '"backoffLimit": 1' 'run=10ms exit=1'
    ends bad failed
    [ "$(counts bad)" = 0/2/0 ]
    [ "$(condition bad Failed)" = "BackoffLimitExceeded Job has reached the specified backoff limit" ]
    [ "$(condition bad FailureTarget)" = "BackoffLimitExceeded Job has reached the specified backoff limit" ]
    [ -z "$(field job/bad .status.completionTime)" ]
    wait_until 20 events_tell BackoffLimitExceeded "Job has reached the specified backoff limit"
    nothing_is_held bad
}

@test "restarts of containers count against the limit" {
    k create -f - <<'JSON'
{"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "restarts"}, "spec": {"backoffLimit": 0,
  "template": {"metadata": {"annotations": {"simulate.coracle.io/c": "run=10ms exit=1"}},
   "spec": {"restartPolicy": "OnFailure", "terminationGracePeriodSeconds": 1, "containers": [{"name": "c", "image": "a"}]}}}}
JSON
    ends restarts failed
    [ "$(condition restarts Failed)" = "BackoffLimitExceeded Job has reached the specified backoff limit" ]
}

@test "limits for each index let the others succeed" {
    job each '"completions": 2, "parallelism": 2, "completionMode": "Indexed", "backoffLimitPerIndex": 1' 'run=10ms exit=1'
    ends each failed
    is job/each .status.failedIndexes 0,1
    [ "$(counts each)" = 0/4/0 ]
    [ "$(condition each Failed)" = "FailedIndexes Job has failed indexes" ]
    k get pods -o json | jq -e '[.items[].metadata.annotations["batch.kubernetes.io/job-index-failure-count"]] | sort == ["0", "0", "1", "1"]'
    job most '"completions": 3, "parallelism": 1, "completionMode": "Indexed", "backoffLimitPerIndex": 0, "maxFailedIndexes": 1' 'run=10ms exit=1'
    ends most failed
    [ "$(condition most Failed)" = "MaxFailedIndexesExceeded Job has exceeded the specified maximal number of failed indexes" ]
    nothing_is_held each
}

@test "the failure policy says what an exit code means" {
    job policy '"backoffLimit": 6, "podFailurePolicy": {"rules": [{"action": "FailJob", "onExitCodes": {"containerName": "c", "operator": "In", "values": [42]}}]}' 'run=10ms exit=42'
    ends policy failed
    [ "$(counts policy)" = 0/1/0 ]
    [[ "$(condition policy Failed)" == "PodFailurePolicy Container c for pod $NS/policy-"?????" failed with exit code 42 matching FailJob rule at index 0" ]]
}

@test "a disruption that the policy ignores is made up for" {
    job ignores '"backoffLimit": 0, "podFailurePolicy": {"rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}]}' 'run=forever'
    wait_until 20 is job/ignores .status.ready 1
    local pod
    pod=$(field pod '.items[0].metadata.name')
    patch_status "/api/v1/namespaces/$NS/pods/$pod" '{"status": {"phase": "Failed", "conditions": [{"type": "DisruptionTarget", "status": "True"}]}}'
    wait_until 20 is pod "$(printf '.items[?(@.status.phase=="Running")].metadata.labels.job-name')" ignores
    [ "$(counts ignores)" = 0/0/1 ]
    is pod/"$pod" .metadata.finalizers ""
}

@test "a success policy ends the job early" {
    job early '"completions": 3, "parallelism": 3, "completionMode": "Indexed", "successPolicy": {"rules": [{"succeededIndexes": "1"}]}' 'run=forever'
    wait_until 20 is job/early .status.ready 3
    local pod
    pod=$(k get pods -l batch.kubernetes.io/job-completion-index=1 -o name)
    patch_status "/api/v1/namespaces/$NS/pods/${pod#pod/}" '{"status": {"phase": "Succeeded"}}'
    ends early complete
    [ "$(condition early Complete)" = "SuccessPolicy Matched rules at index 0" ]
    [ "$(counts early)" = 1/0/0 ]
    is job/early .status.completedIndexes 1
}

@test "a deadline ends what runs" {
    job slow '"activeDeadlineSeconds": 1' 'run=forever'
    ends slow failed
    [ "$(condition slow Failed)" = "DeadlineExceeded Job was active longer than specified deadline" ]
    [ "$(counts slow)" = 0/1/0 ]
    wait_until 20 nothing_is_held slow
    [ "$(count_pods)" = 0 ]
}

@test "a job is suspended and resumed" {
    job pause '"suspend": true, "completions": 1' 'run=forever'
    wait_until 20 is job/pause '.status.conditions[0].type' Suspended
    [ "$(condition pause Suspended)" = "JobSuspended Job suspended" ]
    [ -z "$(field job/pause .status.startTime)" ]
    [ "$(count_pods)" = 0 ]
    k patch job pause -p '{"spec":{"suspend":false}}'
    wait_until 20 is job/pause .status.ready 1
    [ "$(condition pause Suspended)" = "JobResumed Job resumed" ]
    k patch job pause -p '{"spec":{"suspend":true}}'
    wait_until 20 is job/pause '.status.conditions[0].status' True
    k wait --for=delete pods --all --timeout=20s
    [ "$(counts pause)" = 0/0/0 ]
    wait_until 20 events_tell Suspended "Job suspended"
    wait_until 20 events_tell Resumed "Job resumed"
    wait_until 20 events_tell SuccessfulDelete "Deleted pod: pause-"
}

@test "a pod that is being deleted is replaced at once, or once it has ended" {
    job now '"podReplacementPolicy": "TerminatingOrFailed"' 'run=forever stop=10s'
    job later '"podReplacementPolicy": "Failed"' 'run=forever stop=10s'
    wait_until 20 is job/now .status.ready 1
    wait_until 20 is job/later .status.ready 1
    k delete pods --all --wait=false
    wait_until 20 is job/later .status.terminating 1 # While it stops.
    [ "$(k get pods -l job-name=later -o name | wc -l)" = 1 ]
    wait_until 20 is job/now .status.failed 1
    wait_until 20 is job/later .status.ready 1
    [ "$(counts later)" = 0/1/1 ]
}

@test "jobs of another controller are left alone" {
    job foreign '"managedBy": "example.com/other"'
    job own '"managedBy": "kubernetes.io/job-controller"'
    ends own complete
    [ "$(k get pods -l job-name=foreign -o name)" = "" ]
    [ "$(field job/foreign .status)" = "{}" ]
}

@test "a pod that matches and belongs to nobody is adopted and counted" {
    k run stray --image=a --labels=app=manual --restart=Never
    k create -f - <<'JSON'
{"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "manual"}, "spec": {"manualSelector": true,
  "selector": {"matchLabels": {"app": "manual"}},
  "template": {"metadata": {"labels": {"app": "manual"}},
   "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "a"}]}}}}
JSON
    ends manual complete
    [ "$(count_pods)" = 1 ]
    [ "$(field pod/stray '.metadata.ownerReferences[0].name')" = manual ]
    nothing_is_held manual
}

@test "a job that has ended goes after its time, with its pods" {
    job brief '"ttlSecondsAfterFinished": 0'
    job kept '"ttlSecondsAfterFinished": 1000'
    k wait --for=delete job/brief --timeout=20s
    wait_until 20 eval '[ "$(k get pods -l job-name=brief -o name)" = "" ]'
    ends kept complete
    k patch job kept -p '{"spec":{"ttlSecondsAfterFinished":1}}'
    k wait --for=delete job/kept --timeout=20s
}

@test "pods are let go when their job is deleted" {
    job gone '"parallelism": 2, "completions": 2' 'run=forever'
    wait_until 20 is job/gone .status.ready 2
    k delete job gone --cascade=orphan
    wait_until 20 is pod '.items[*].metadata.finalizers' ""
    [ "$(count_pods)" = 2 ]
    job background '' 'run=forever'
    wait_until 20 is job/background .status.ready 1
    k delete job background
    k wait --for=delete pods -l job-name=background --timeout=20s
}
