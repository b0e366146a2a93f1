#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# One store is enough: what is shown does not depend on it.
#
# ReplicaSets keep the number of their pods.

load helpers

setup_file() { start_server && start_controllers; }
teardown_file() { each_of stop_controllers stop_server; }
setup() { new_namespace; }

# replicaset NAME REPLICAS [MORE OF THE TEMPLATE'S METADATA]: makes one for pods with app=NAME.
replicaset() {
    k -n "$NS" create -f - <<JSON
{"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "$1"},
 "spec": {"replicas": $2, "selector": {"matchLabels": {"app": "$1"}},
  "template": {"metadata": {"labels": {"app": "$1"}${3:+, $3}},
   "spec": {"containers": [{"name": "c", "image": "a"}]}}}}
JSON
}

# pod NAME LABELS: a pod of nobody's.
pod() {
    k -n "$NS" run "$1" --image=a --labels="$2"
}

count_pods() {
    k -n "$NS" get pods -l "$1" --no-headers 2>/dev/null | wc -l
}

has_pods() {
    [ "$(count_pods "$1")" = "$2" ]
}

# field OBJECT PATH
field() {
    k -n "$NS" get "$1" -o jsonpath="{$2}"
}

is() {
    [ "$(field "$1" "$2")" = "$3" ]
}

@test "as many pods as asked for, and the status says so" {
    replicaset web 3
    wait_until 20 is rs/web .status.replicas 3
    has_pods app=web 3
    [ "$(field rs/web .status.fullyLabeledReplicas)" = 3 ]
    [ "$(field rs/web .status.observedGeneration)" = 1 ]
    [ -z "$(field rs/web .status.readyReplicas)" ]
    local pod
    pod=$(k -n "$NS" get pods -o name | head -1)
    [[ "$pod" == pod/web-????? ]]
    [ "$(field "$pod" '.metadata.ownerReferences[0].name')" = web ]
    [ "$(field "$pod" '.metadata.ownerReferences[0].controller}{.metadata.ownerReferences[0].blockOwnerDeletion')" = truetrue ]
    k -n "$NS" scale rs/web --replicas=5
    wait_until 20 is rs/web .status.replicas 5
    k -n "$NS" scale rs/web --replicas=1
    wait_until 20 is rs/web .status.replicas 1
    wait_until 20 has_pods app=web 1
    wait_until 20 events_tell SuccessfulCreate "Created pod: web-"
    wait_until 20 events_tell SuccessfulDelete "Deleted pod: web-"
}

events_tell() {
    k -n "$NS" get events --field-selector "reason=$1" -o jsonpath='{.items[*].message}' | grep -q "$2"
}

@test "a pod that is deleted or has failed is replaced" {
    replicaset web 2
    wait_until 20 is rs/web .status.replicas 2
    local first second
    first=$(k -n "$NS" get pods -o jsonpath='{.items[0].metadata.name}')
    second=$(k -n "$NS" get pods -o jsonpath='{.items[1].metadata.name}')
    k -n "$NS" delete pod "$first"
    wait_until 20 has_pods app=web 2
    set_status "$second" '{"phase":"Failed"}'
    wait_until 20 has_pods app=web 3
    wait_until 20 is rs/web .status.replicas 2
}

# set_status POD STATUS: what its kubelet would report.
set_status() {
    api PATCH "/api/v1/namespaces/$NS/pods/$1/status" -H 'Content-Type: application/merge-patch+json' \
        -d "{\"status\":$2}" >/dev/null
}

READY='{"phase":"Running","conditions":[{"type":"Ready","status":"True","lastTransitionTime":"2026-01-01T00:00:00Z"}]}'

@test "what matches and belongs to nobody is adopted" {
    pod stray app=web
    replicaset web 2
    wait_until 20 is pod/stray '.metadata.ownerReferences[0].name' web
    wait_until 20 is rs/web .status.replicas 2
    has_pods app=web 2
    # One more than asked for.
    pod other app=web
    wait_until 20 has_pods app=web 2
    # What belongs to somebody else does not count.
    k -n "$NS" create configmap owner
    k -n "$NS" create -f - <<JSON
{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "owned", "labels": {"app": "web"},
  "ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": "$(field configmap/owner .metadata.uid)", "controller": true}]},
 "spec": {"containers": [{"name": "c", "image": "a"}]}}
JSON
    k -n "$NS" scale rs/web --replicas=3
    wait_until 20 is rs/web .status.replicas 3
    has_pods app=web 4
    [ "$(field pod/owned '.metadata.ownerReferences[*].name')" = owner ]
}

@test "what matches no more is released and replaced" {
    replicaset web 2
    wait_until 20 is rs/web .status.replicas 2
    local pod
    pod=$(k -n "$NS" get pods -o jsonpath='{.items[0].metadata.name}')
    k -n "$NS" label pod "$pod" app=debug --overwrite
    wait_until 20 is "pod/$pod" '.metadata.ownerReferences[*].name' ""
    wait_until 20 has_pods app=web 2
    # And it comes home when its label does.
    k -n "$NS" label pod "$pod" app=web --overwrite
    wait_until 20 has_pods app=web 2
    wait_until 20 is rs/web .status.replicas 2
}

@test "ready and available pods are counted, and the others are given up first" {
    replicaset web 3
    wait_until 20 is rs/web .status.replicas 3
    local one two
    one=$(k -n "$NS" get pods -o jsonpath='{.items[0].metadata.name}')
    two=$(k -n "$NS" get pods -o jsonpath='{.items[2].metadata.name}')
    k -n "$NS" annotate pod "$two" controller.kubernetes.io/pod-deletion-cost=-5
    set_status "$one" "$READY"
    set_status "$two" "$READY"
    wait_until 20 is rs/web .status.readyReplicas 2
    [ "$(field rs/web .status.availableReplicas)" = 2 ]
    k -n "$NS" scale rs/web --replicas=2
    wait_until 20 is rs/web .status.replicas 2
    wait_until 20 has_pods app=web 2
    k -n "$NS" get pod "$one" "$two"
    # The cost of a deletion decides between equals.
    k -n "$NS" scale rs/web --replicas=1
    wait_until 20 has_pods app=web 1
    k -n "$NS" get pod "$one"
}

@test "a pod is available when it has been ready for minReadySeconds" {
    replicaset web 1
    wait_until 20 is rs/web .status.replicas 1
    k -n "$NS" patch rs web -p '{"spec":{"minReadySeconds":1000000000}}'
    set_status "$(k -n "$NS" get pods -o jsonpath='{.items[0].metadata.name}')" "$READY"
    wait_until 20 is rs/web .status.readyReplicas 1
    [ -z "$(field rs/web .status.availableReplicas)" ]
    k -n "$NS" patch rs web -p '{"spec":{"minReadySeconds":1}}'
    wait_until 20 is rs/web .status.availableReplicas 1
}

# The finalizer is legal in a template, which does not look at it, and not in a pod.
@test "a template that no pod can be made of costs few requests and is told" {
    replicaset web 500 '"finalizers": ["no finalizer"]'
    wait_until 20 is rs/web '.status.conditions[0].type' ReplicaFailure
    [ "$(field rs/web '.status.conditions[0].reason')" = FailedCreate ]
    [[ "$(field rs/web '.status.conditions[0].message')" == *"is invalid: metadata.finalizers"* ]]
    wait_until 20 events_tell FailedCreate "Error creating: "
    local refused
    refused=$(api GET /metrics | sed -n 's/^apiserver_request_total{verb="CREATE",.*resource="pods",.*code="422"} //p')
    [ "$refused" -ge 1 ]
    [ "$refused" -lt 50 ]
    has_pods app=web 0
    k -n "$NS" patch rs web --type merge -p '{"spec":{"replicas":2,"template":{"metadata":{"finalizers":null}}}}'
    wait_until 60 is rs/web .status.replicas 2
    wait_until 20 is rs/web .status.conditions ""
}

@test "deleting one does not make its pods anew" {
    replicaset web 2
    wait_until 20 is rs/web .status.replicas 2
    k -n "$NS" patch rs web --type merge -p '{"metadata":{"finalizers":["example.com/wait"]}}'
    k -n "$NS" delete rs web --wait=false
    k -n "$NS" delete pods --all
    wait_until 20 is rs/web .status.replicas 0
    has_pods app=web 0
    k -n "$NS" patch rs web --type merge -p '{"metadata":{"finalizers":null}}'
    wait_until 20 not k -n "$NS" get rs web
}

@test "a ReplicationController does the same" {
    k -n "$NS" create -f - <<'JSON'
{"apiVersion": "v1", "kind": "ReplicationController", "metadata": {"name": "old"},
 "spec": {"replicas": 2, "template": {"metadata": {"labels": {"app": "old"}},
   "spec": {"containers": [{"name": "c", "image": "a"}]}}}}
JSON
    wait_until 20 is rc/old .status.replicas 2
    has_pods app=old 2
    is rc/old .status.fullyLabeledReplicas 2
    is rc/old .status.observedGeneration 1
    [[ "$(k -n "$NS" get pods -l app=old -o name | head -1)" == pod/old-????? ]]
    is pods '.items[0].metadata.ownerReferences[0].kind' ReplicationController
    wait_until 20 events_tell SuccessfulCreate "Created pod: old-"
    is events '.items[0].source.component' replication-controller
    pod stray app=old # One too many.
    wait_until 20 has_pods app=old 2
    k -n "$NS" scale rc/old --replicas=0
    wait_until 20 has_pods app=old 0
    wait_until 20 is rc/old .status.replicas 0
}
