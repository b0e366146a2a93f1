#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The whole control plane when its processes are killed and frozen, its store pauses and its API
# fails at random: the world ends as declared. ROUNDS says how often things are killed.

load helpers

ROUNDS=${ROUNDS:-20}

setup_file() {
    local election
    election=$(short_leases)
    export SERVICES="controllers scheduler node" CONTROLLERS_FLAGS=$election SCHEDULER_FLAGS=$election
    export NODES=5 KEEP=yes
    start_server
}
teardown_file() { stop_server; }
setup() { new_namespace; }

# deployment REPLICAS IMAGE
deployment() {
    k apply -f - >/dev/null <<YAML
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: $NS}
spec:
  replicas: $1
  strategy: {rollingUpdate: {maxSurge: 3, maxUnavailable: 2}}
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {terminationGracePeriodSeconds: 1, containers: [{name: c, image: "$2"}]}
YAML
}

# is_as_declared REPLICAS IMAGE: exactly these pods, all of this image, all ready, on nodes.
is_as_declared() {
    api GET "/api/v1/namespaces/$NS/pods" 2>/dev/null | jq -e --argjson replicas "$1" --arg image "$2" '
        (.items | length) == $replicas and
        all(.items[]; .spec.containers[0].image == $image and .spec.nodeName != null and
            any(.status.conditions[]?; .type == "Ready" and .status == "True"))' >/dev/null &&
        api GET "/apis/apps/v1/namespaces/$NS/deployments/web" 2>/dev/null | jq -e --argjson replicas "$1" '
            .status | [.readyReplicas, .updatedReplicas, .replicas] | all(. == $replicas)' >/dev/null
}

# never_too_many REPLICAS: what holds at any moment of a rollout. The sets together ask for no more
# than the surge allows, and no set has more pods than a set was ever asked for: none was made twice.
# (Pods may be more for a moment: a set is asked for less before its pods are gone.)
never_too_many() {
    k -n "$NS" get replicasets,pods -o json | jq -e --argjson replicas "$1" '
        ([.items[] | select(.kind == "ReplicaSet") | .spec.replicas] | add // 0) <= $replicas + 3 and
        ([.items[] | select(.kind == "Pod" and .metadata.deletionTimestamp == null)
            | .metadata.ownerReferences[0].uid] | group_by(.) | all(length <= $replicas))' >/dev/null ||
        show_state
}

nothing_is_leaked() {
    k -n "$NS" delete deployment web --cascade=foreground --timeout=60s
    wait_until 60 no_pods_or_sets
}

no_pods_or_sets() {
    [ -z "$(k -n "$NS" get pods,replicasets -o name 2>/dev/null)" ]
}

show_state() {
    k -n "$NS" get deployments,replicasets,pods -o wide >&2 || true
    tail -n 40 "$BATS_FILE_TMPDIR/log" >&2
    return 1
}

@test "processes killed at random during rollouts leave the world as declared" {
    for ((round = 1; round <= ROUNDS; round++)); do
        deployment 12 "web:$round"
        sleep "0.$((RANDOM % 10))" # A random moment of the rollout, not a wait for anything.
        services=(controller-manager scheduler node)
        kill_service "${services[RANDOM % 3]}"
        never_too_many 12
    done
    wait_until 90 is_as_declared 12 "web:$ROUNDS" || show_state
    nothing_is_leaked || show_state
}

@test "an API server killed during a rollout loses nothing" {
    deployment 10 web:1
    wait_until 60 is_as_declared 10 web:1 || show_state
    for version in 2 3 4; do
        deployment 10 "web:$version"
        kill_service apiserver
        wait_until 30 is_ready
    done
    wait_until 90 is_as_declared 10 web:4 || show_state
    nothing_is_leaked || show_state
}

@test "an API server that stands still for a while is waited for" {
    deployment 10 web:1
    wait_until 60 is_as_declared 10 web:1 || show_state
    deployment 10 web:2
    freeze apiserver $((LEASE_SECONDS + 2)) # Longer than every lease.
    wait_until 90 is_as_declared 10 web:2 || show_state
    nothing_is_leaked || show_state
}

@test "leaders frozen and thawed do nothing twice" {
    deployment 10 web:1
    wait_until 60 is_as_declared 10 web:1 || show_state
    for service in controller-manager scheduler; do
        deployment 10 "web:$service"
        freeze "$service" $((LEASE_SECONDS + 1)) # Longer than its lease.
        never_too_many 10
        wait_until 90 is_as_declared 10 "web:$service" || show_state
    done
    nothing_is_leaked || show_state
}

@test "an API that fails at random changes nothing about the outcome" {
    stop_server
    FLAGS=--test-fault-percent=15 start_server
    for version in 1 2 3; do
        deployment 12 "web:$version"
        never_too_many 12
    done
    wait_until 120 is_as_declared 12 web:3 || show_state
    k -n "$NS" scale deployment web --replicas 4
    wait_until 60 is_as_declared 4 web:3 || show_state
    nothing_is_leaked || show_state
}

@test "an etcd that stands still for a while is waited for" {
    [ "$STORE" = etcd ] || skip "the embedded store is in the API server's own process"
    deployment 10 web:1
    wait_until 60 is_as_declared 10 web:1 || show_state
    deployment 10 web:2
    freeze etcd $((LEASE_SECONDS + 2)) # Longer than every lease.
    wait_until 90 is_as_declared 10 web:2 || show_state
    nothing_is_leaked || show_state
}
