#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# One store is enough: what is shown does not depend on it.
#
# Nodes that fall silent, and what becomes of their pods.

load helpers

setup_file() {
    [ "${STORE:-sqlite}" = sqlite ] || start_etcd
    start_server
    start_controllers --node-monitor-period 200ms --node-monitor-grace-period 4s \
        --node-startup-grace-period 1s --node-eviction-rate 10
    start_process node "plays" --simulate 3 --node-lease-duration-seconds 2
    k wait node --all --for condition=Ready --timeout 30s
}
teardown_file() {
    each_of "stop_process node" stop_controllers stop_server
    [ "${STORE:-sqlite}" = sqlite ] || signal_etcd KILL
}

nodes() { k get nodes -o jsonpath='{.items[*].metadata.name}'; }
first_node() { nodes | cut -d' ' -f1; }
kill_node() { k annotate node "$1" simulate.coracle.io/dead=true; }
revive_node() { k annotate node "$1" simulate.coracle.io/dead-; }
condition() { # condition NODE TYPE: "status reason message"
    k get node "$1" -o json | jq -r --arg type "$2" '.status.conditions[] |
        select(.type == $type) | "\(.status) \(.reason) \(.message)"'
}
taints() { k get node "$1" -o json | jq -r '[.spec.taints[]? | "\(.key):\(.effect)"] | sort | join(" ")'; }
has_taints() { [ "$(taints "$1")" = "$2" ]; }
event() { # event KIND NAME REASON MESSAGE: there is such an event.
    k get events -A -o json --field-selector "involvedObject.kind=$1,involvedObject.name=$2,reason=$3" |
        jq -e --arg text "$4" 'any(.items[]; .message == $text)'
}
ready_of() { k get pod "$1" -o jsonpath='{.status.conditions[?(@.type=="Ready")].status}'; }
is_gone() { ! k get pod "$1" >/dev/null 2>&1; }
is_deleting() { [ -n "$(k get pod "$1" -o jsonpath='{.metadata.deletionTimestamp}')" ]; }
stays() { [ -z "$(k get pod "$1" -o jsonpath='{.metadata.deletionTimestamp}')" ]; }
# pod NAME NODE [TOLERATIONS]
pod() {
    jq -nc --arg name "$1" --arg node "$2" --argjson tolerations "${3:-[]}" '{apiVersion: "v1",
        kind: "Pod", metadata: {name: $name}, spec: {nodeName: $node,
        containers: [{name: "c", image: "i"}], tolerations: $tolerations}}' | k create -f -
    k wait pod "$1" --for condition=Ready --timeout 20s
}

@test "a node that registers is ready, without taints, and told of" {
    local node
    node=$(first_node)
    wait_until 10 has_taints "$node" ""
    wait_until 10 event Node "$node" RegisteredNode "Node $node event: Registered Node $node in Controller"
    [ "$(k get node "$node" -o json | jq -r '.metadata.labels["beta.kubernetes.io/os"]')" = linux ]
}

@test "a node that falls silent becomes unknown, its pods not ready, and it is tainted until it is back" {
    local node tolerant='[{"key":"node.kubernetes.io/unreachable","operator":"Exists"}]'
    node=$(first_node)
    pod loyal "$node" "$tolerant"
    pod other "$node"
    kill_node "$node"
    k wait node "$node" --for condition=Ready=Unknown --timeout 30s
    [ "$(condition "$node" Ready)" = "Unknown NodeStatusUnknown Kubelet stopped posting node status." ]
    [ "$(condition "$node" MemoryPressure)" = \
        "Unknown NodeStatusUnknown Kubelet stopped posting node status." ]
    k wait pod loyal --for condition=Ready=False --timeout 10s
    wait_until 10 event Node "$node" NodeNotReady "Node $node status is now: NodeNotReady"
    wait_until 10 event Pod loyal NodeNotReady "Node is not ready"
    wait_until 10 has_taints "$node" \
        "node.kubernetes.io/unreachable:NoExecute node.kubernetes.io/unreachable:NoSchedule"
    stays loyal
    stays other # Admission gave it five minutes.
    revive_node "$node"
    k wait node "$node" --for condition=Ready --timeout 30s
    wait_until 10 has_taints "$node" ""
    k delete pod loyal other --now
}

@test "pods that tolerate nothing leave a lost node" {
    local node brief='[{"key":"node.kubernetes.io/unreachable","operator":"Exists","effect":"NoExecute","tolerationSeconds":1}]'
    node=$(first_node)
    pod brief "$node" "$brief"
    kill_node "$node"
    wait_until 30 is_deleting brief
    revive_node "$node"
    wait_until 30 is_gone brief
    wait_until 30 has_taints "$node" ""
}

@test "a node that never tells anything becomes unknown, too" {
    k create -f - <<<'{"apiVersion": "v1", "kind": "Node", "metadata": {"name": "mute"}}'
    k wait node mute --for condition=Ready=Unknown --timeout 20s
    [ "$(condition mute Ready)" = "Unknown NodeStatusNeverUpdated Kubelet never posted node status." ]
    k delete node mute
    wait_until 10 event Node mute RemovingNode "Node mute event: Removing Node mute from Controller"
}

@test "when every node falls silent no pod has to leave" {
    local node all
    all=$(nodes)
    for node in $all; do kill_node "$node"; done
    for node in $all; do k wait node "$node" --for condition=Ready=Unknown --timeout 30s; done
    for node in $all; do
        wait_until 10 has_taints "$node" node.kubernetes.io/unreachable:NoSchedule
    done
    for node in $all; do revive_node "$node"; done
    k wait node --all --for condition=Ready --timeout 30s
    for node in $all; do wait_until 10 has_taints "$node" ""; done
}

@test "a cordoned node is tainted until it is uncordoned" {
    local node
    node=$(first_node)
    k cordon "$node"
    wait_until 10 has_taints "$node" node.kubernetes.io/unschedulable:NoSchedule
    k uncordon "$node"
    wait_until 10 has_taints "$node" ""
}
