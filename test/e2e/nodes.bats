#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# One store is enough: what is shown does not depend on it.
#
# What controllers do with nodes: the block of pod addresses that each gets, and who must leave a
# node that is tainted.

load helpers

setup_file() {
    [ "${STORE:-sqlite}" = sqlite ] || start_etcd
    start_server
    node old '{"podCIDR":"10.244.1.0/24","podCIDRs":["10.244.1.0/24"]}'
    start_controllers --cluster-cidr 10.244.0.0/22
}
teardown_file() {
    stop_controllers
    stop_server
    [ "${STORE:-sqlite}" = sqlite ] || signal_etcd KILL
}

# node NAME [SPEC]: creates it.
node() {
    jq -nc --arg name "$1" --argjson spec "${2:-{\}}" \
        '{apiVersion: "v1", kind: "Node", metadata: {name: $name}, spec: $spec}' | k create -f -
}
range_of() { k get node "$1" -o jsonpath='{.spec.podCIDR} {.spec.podCIDRs[*]}'; }
has_range() { [ "$(range_of "$1")" = "$2 $2" ]; }
# event NODE REASON: such an event was written.
event() {
    [ -n "$(k -n default get events -o json \
        --field-selector "involvedObject.name=$1,reason=$2" | jq -r '.items[].message')" ]
}
# pod NAME NODE [TOLERATIONS]: creates it, bound to the node and not waiting when it is deleted.
pod() {
    jq -nc --arg name "$1" --arg node "$2" --argjson tolerations "${3:-[]}" '{apiVersion: "v1",
        kind: "Pod", metadata: {name: $name, finalizers: ["test/stay"]}, spec: {nodeName: $node,
        containers: [{name: "c", image: "i"}], tolerations: $tolerations}}' | k create -f -
}
is_deleting() { [ -n "$(k get pod "$1" -o jsonpath='{.metadata.deletionTimestamp}')" ]; }
stays() { [ -z "$(k get pod "$1" -o jsonpath='{.metadata.deletionTimestamp}')" ]; }
# told POD TEXT: an event of the taint eviction says so.
told() {
    k get events -o json --field-selector "involvedObject.name=$1,reason=TaintManagerEviction" |
        jq -e --arg text "$2" 'any(.items[]; .message == $text)'
}
# taint_until_told POD TEXT: takes the taint away and, if nobody noticed, puts it on again.
taint_until_told() {
    k taint node a wet- || true
    told "$1" "$2" || { k taint node a wet=yes:NoExecute && false; }
}
# drop POD…: no kubelet confirms the end of these pods.
drop() {
    local pod
    for pod in "$@"; do
        k patch pod "$pod" --type merge -p '{"metadata":{"finalizers":null}}'
        k delete pod "$pod" --force --grace-period 0 --ignore-not-found
    done
}

@test "each node gets the next free range, and one that has one keeps it" {
    node a
    wait_until 10 has_range a 10.244.0.0/24
    node b
    wait_until 10 has_range b 10.244.2.0/24
    has_range old 10.244.1.0/24
}

@test "a node for which no range is left gets that of the next node that goes" {
    node c
    wait_until 10 has_range c 10.244.3.0/24
    node d
    wait_until 10 event d CIDRNotAvailable
    [ "$(range_of d)" = " " ]
    k delete node old
    wait_until 10 has_range d 10.244.1.0/24
}

@test "after a new start ranges that nodes have are given to nobody else" {
    stop_controllers
    k delete node b
    start_controllers --cluster-cidr 10.244.0.0/22
    node e
    wait_until 10 has_range e 10.244.2.0/24
    has_range a 10.244.0.0/24
}

@test "a pod that does not tolerate a NoExecute taint goes, and its status says why" {
    pod plain a
    pod tolerant a '[{"operator":"Exists"}]'
    k taint node a wet=yes:NoExecute
    wait_until 10 is_deleting plain
    [ "$(k get pod plain -o json | jq -r '.status.conditions[] | select(.type == "DisruptionTarget") |
        "\(.status) \(.reason) \(.message)"')" = \
        "True DeletionByTaintManager Taint manager: deleting due to NoExecute taint" ]
    wait_until 10 told plain "Marking for deletion Pod default/plain"
    stays tolerant
    drop plain tolerant
    k taint node a wet-
}

@test "a pod goes when the time for which it tolerates the taint is over" {
    k taint node a wet=yes:NoExecute
    pod brief a '[{"key":"wet","operator":"Exists","effect":"NoExecute","tolerationSeconds":1}]'
    wait_until 10 is_deleting brief
    drop brief
    k taint node a wet-
}

@test "a pod that tolerates a taint for a while stays when the taint goes" {
    pod patient a '[{"key":"wet","operator":"Exists","effect":"NoExecute","tolerationSeconds":3600}]'
    k taint node a wet=yes:NoExecute
    # A taint that goes again may go before anybody has seen it.
    wait_until 20 taint_until_told patient "Cancelling deletion of Pod default/patient"
    stays patient
    drop patient
}

taints() { k get node "$1" -o json | jq -r '[.spec.taints[]? | "\(.key):\(.effect)"] | sort | join(" ")'; }
has_taints() { [ "$(taints "$1")" = "$2" ]; }
# tell_conditions NODE TYPE=STATUS…: as a kubelet would.
tell_conditions() {
    local node=$1
    shift
    printf '%s\n' "$@" | jq -Rnc '{status: {conditions: [inputs | split("=") | {type: .[0], status: .[1],
        lastHeartbeatTime: (now | todate), lastTransitionTime: (now | todate)}]}}' |
        api PATCH "/api/v1/nodes/$node/status" -H 'Content-Type: application/merge-patch+json' \
            --data-binary @-
}

@test "what a node says of itself keeps new pods away from it until it says otherwise" {
    tell_conditions a Ready=False MemoryPressure=True PIDPressure=True NetworkUnavailable=True
    wait_until 10 has_taints a "node.kubernetes.io/memory-pressure:NoSchedule \
node.kubernetes.io/network-unavailable:NoSchedule node.kubernetes.io/not-ready:NoSchedule \
node.kubernetes.io/pid-pressure:NoSchedule"
    tell_conditions a Ready=True DiskPressure=True MemoryPressure=False
    wait_until 10 has_taints a "node.kubernetes.io/disk-pressure:NoSchedule"
    tell_conditions a Ready=True DiskPressure=False
    wait_until 10 has_taints a ""
}
