#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# One store is enough: what is shown does not depend on it.
#
# Pods that only the garbage collector deletes.

load helpers

setup_file() {
    start_server
}

teardown_file() {
    stop_server
}

setup() {
    new_namespace
}

teardown() {
    stop_controllers
}

kn() {
    k -n "$NS" "$@"
}

# pod NAME [SPEC [METADATA]]
pod() {
    kn create -f - >/dev/null <<YAML
apiVersion: v1
kind: Pod
metadata: {name: $1${3:+, $3}}
spec: {${2:+$2, }containers: [{name: c, image: i}]}
YAML
}

# status POD STATUS
status() {
    patch_status "/api/v1/namespaces/$NS/pods/$1" "{\"status\":$2}"
}

start_collector() {
    start_controllers --controllers=pod-garbage-collector-controller "$@"
}

pods_are() {
    [ "$(kn get pods -o json | jq -r '[.items[].metadata.name] | sort | join(",")')" = "$1" ]
}

phase_is() {
    [ "$(kn get pod "$1" -o jsonpath='{.status.phase}')" = "$2" ]
}

@test "of pods that have come to their end the oldest beyond the threshold are deleted" {
    pod a
    pod b
    pod c
    pod running
    status a '{"phase":"Succeeded"}'
    status b '{"phase":"Failed"}'
    status c '{"phase":"Failed","reason":"Evicted"}'
    status running '{"phase":"Running"}'
    start_collector --terminated-pod-gc-threshold=1
    wait_until 20 pods_are b,running
}

@test "a pod that is deleted before it has a node is marked as failed" {
    pod held '' 'finalizers: [example.com/hold]'
    kn delete pod held --wait=false
    start_collector
    wait_until 20 phase_is held Failed
    kn patch pod held --type=merge -p '{"metadata":{"finalizers":null}}'
    wait_until 20 pods_are ''
}

@test "pods that wait for their end on a node out of service are deleted" {
    k create -f - >/dev/null <<YAML
apiVersion: v1
kind: Node
metadata: {name: $NS}
spec: {taints: [{key: node.kubernetes.io/out-of-service, effect: NoExecute}]}
YAML
    pod going "nodeName: $NS"
    pod staying "nodeName: $NS"
    status going '{"phase":"Running"}'
    status staying '{"phase":"Running"}'
    kn delete pod going --wait=false
    pods_are going,staying
    start_collector
    wait_until 20 pods_are staying
}
