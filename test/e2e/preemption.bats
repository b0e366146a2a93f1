#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# One store is enough: what is shown does not depend on it.
#
# Pods that make way for more important ones. Nodes here are Node objects alone, but for the last test,
# so that whoever has to go stays until it is deleted for good.

load helpers

setup_file() {
    [ "${STORE:-sqlite}" = sqlite ] || start_etcd
    start_server
    start_process scheduler "schedules pods" --leader-elect=false
    k create priorityclass low --value=10 >/dev/null
    k create priorityclass middle --value=50 >/dev/null
    k create priorityclass high --value=1000 >/dev/null
    k create priorityclass polite --value=1000 --preemption-policy=Never >/dev/null
}
teardown_file() {
    each_of "stop_process scheduler" stop_server
    [ "${STORE:-sqlite}" = sqlite ] || signal_etcd KILL
}
setup() {
    new_namespace
    k config set-context --current --namespace="$NS" >/dev/null
}
teardown() {
    api DELETE "/api/v1/namespaces/$NS/pods?gracePeriodSeconds=0" >/dev/null
    api DELETE /api/v1/nodes >/dev/null
}

# node NAME: ready for pods, with 4 CPUs.
node() {
    jq -nc --arg name "$1" '{apiVersion: "v1", kind: "Node", metadata: {name: $name},
        status: {allocatable: {cpu: "4", memory: "8Gi", pods: "110"}}}' | k create -f - >/dev/null
    k patch node "$1" --type merge -p '{"spec":{"taints":[]}}' >/dev/null
}
# pod NAME PRIORITY CPU [MORE]: of that priority class.
pod() {
    jq -nc --arg name "$1" --arg class "$2" --arg cpu "$3" --argjson more "${4:-{\}}" '{apiVersion: "v1",
        kind: "Pod", metadata: {name: $name, labels: {app: $name}}, spec: ({priorityClassName: $class,
        tolerations: [{operator: "Exists"}], containers: [{name: "c", image: "i",
        resources: {requests: {cpu: $cpu}}}]} + $more)}' | k create -f - >/dev/null
}
is_on() { [ "$(field "$1" '{.spec.nodeName}')" = "$2" ]; }
field() { k get pod "$1" -o jsonpath="$2"; }
nominated() { [ "$(field "$1" '{.status.nominatedNodeName}')" = "$2" ]; }
message() { field "$1" "{.status.conditions[?(@.type=='PodScheduled')].message}"; }
says() { [ "$(message "$1")" = "$2" ]; }
leaves() { [ -n "$(field "$1" '{.metadata.deletionTimestamp}')" ]; }
gone_for_good() { k delete pod "$1" --force --grace-period 0 >/dev/null 2>&1; }
event_of() {
    k get events -o json --field-selector "involvedObject.name=$1,reason=$2" |
        jq -er '.items[0] | "\(.type) \(.message)"'
}

@test "the least important pod makes way, in order, and nobody else takes its place" {
    node n
    pod low low 2
    pod middle middle 2
    wait_until 10 is_on low n
    wait_until 10 is_on middle n
    pod high high 2
    wait_until 10 leaves low
    wait_until 10 nominated high n
    [ "$(message high)" = "0/1 nodes are available: 1 Insufficient cpu." ]
    [ "$(field low '{.metadata.deletionGracePeriodSeconds}')" = 30 ]
    [ "$(field low "{.status.conditions[?(@.type=='DisruptionTarget')]}" | jq -r '"\(.status) \(.reason) \(.message)"')" = \
        "True PreemptionByScheduler default-scheduler: preempting to accommodate a higher priority pod" ]
    wait_until 10 event_of low Preempted
    [ "$(event_of low Preempted)" = "Normal Preempted by pod $(field high '{.metadata.uid}') on node n" ]
    [ "$(k get events --field-selector reason=Preempted -o jsonpath='{.items[*].related.name},{.items[*].related.uid}')" = \
        "high,$(field high '{.metadata.uid}')" ]
    not leaves middle
    # As soon as there is room it is taken, by those for whom it was made.
    pod late middle 1
    wait_until 10 says late "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, preemption: 0/1 nodes are available: 1 Insufficient cpu."
    gone_for_good low
    wait_until 10 is_on high n
    not is_on late n
    [ "$(field high "{.status.conditions[?(@.type=='PodScheduled')].status}")" = True ]
}

@test "a disruption budget is respected where that is possible" {
    k create poddisruptionbudget budget --selector app=guarded --min-available 1 >/dev/null
    node a
    pod guarded low 3
    wait_until 10 is_on guarded a
    node b
    pod free middle 3
    wait_until 10 is_on free b
    pod high high 3
    wait_until 10 nominated high b
    wait_until 10 leaves free
    not leaves guarded
    # Where it is not, somebody has to go all the same.
    pod higher high 3
    wait_until 10 nominated higher a
    wait_until 10 leaves guarded
}
has_node() { [ -n "$(field "$1" '{.spec.nodeName}')" ]; }

@test "who never preempts waits, and it is told when nobody's going would help" {
    node a
    pod first low 3
    wait_until 10 is_on first a
    pod polite polite 2
    wait_until 10 says polite "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, preemption: not eligible due to preemptionPolicy=Never."
    pod equal low 2
    wait_until 10 says equal "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod."
    pod large high 5
    wait_until 10 says large "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."
    not leaves first
    nominated polite ""
}

@test "a nomination ends when a more important pod wants the node" {
    node n
    pod low low 4
    wait_until 10 is_on low n
    pod middle middle 4
    wait_until 10 nominated middle n
    pod high high 4
    wait_until 10 nominated high n
    wait_until 10 nominated middle ""
    gone_for_good low
    wait_until 10 is_on high n
    not has_node middle
}

@test "on a simulated node the victims end and the pod runs" {
    start_process node plays --simulate 1
    k wait node --all --for=condition=Ready --timeout=10s >/dev/null
    local cpus
    cpus=$(k get node -o jsonpath='{.items[0].status.allocatable.cpu}')
    pod low low "$cpus" '{"terminationGracePeriodSeconds":1,"hostNetwork":true}'
    k wait pod low --for=condition=Ready --timeout=10s >/dev/null
    pod high high "$cpus" '{"hostNetwork":true}'
    k wait pod high --for=condition=Ready --timeout=20s >/dev/null
    not k get pod low
    stop_process node
}
