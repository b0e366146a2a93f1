#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What controllers do with nodes: the block of pod addresses that each gets.

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
