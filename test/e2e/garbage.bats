#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What becomes of dependents when their owners go.

load helpers

setup_file() {
    start_server
    start_controllers --controllers garbage-collector-controller
}

teardown_file() {
    stop_controllers
    stop_server
}

setup() { new_namespace; }

uid() {
    k -n "$NS" get configmap "$1" -o jsonpath='{.metadata.uid}'
}

# reference NAME UID [BLOCK]: an owner reference to a config map.
reference() {
    echo "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"name\":\"$1\",\"uid\":\"$2\",\"blockOwnerDeletion\":${3:-true}}"
}

# owned NAME REFERENCES…: a config map with these owners.
owned() {
    local name=$1
    shift
    local IFS=,
    echo "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"$name\",\"ownerReferences\":[$*]}}" |
        k -n "$NS" create -f -
}

made() {
    k -n "$NS" create configmap "$1"
}

exists() {
    k -n "$NS" get configmap "$1" >/dev/null 2>&1
}

is_gone() {
    ! exists "$1"
}

owners_of() {
    k -n "$NS" get configmap "$1" -o jsonpath='{.metadata.ownerReferences[*].name}'
}

has_owners() {
    [ "$(owners_of "$1")" = "$2" ]
}

# held NAME: it can't go before release NAME.
held() {
    k -n "$NS" patch configmap "$1" --type merge -p '{"metadata":{"finalizers":["example.com/hold"]}}'
}

release() {
    k -n "$NS" patch configmap "$1" --type json -p \
        '[{"op":"test","path":"/metadata/finalizers/0","value":"example.com/hold"},{"op":"remove","path":"/metadata/finalizers/0"}]'
}

@test "in the background dependents go after their owner, and theirs after them" {
    made top
    owned middle "$(reference top "$(uid top)")"
    owned bottom "$(reference middle "$(uid middle)")"
    made bystander
    k -n "$NS" delete configmap top --cascade=background
    wait_until 30 is_gone middle
    wait_until 30 is_gone bottom
    exists bystander
}

@test "in the foreground the owner goes last" {
    made top
    owned middle "$(reference top "$(uid top)")"
    owned bottom "$(reference middle "$(uid middle)")"
    held bottom
    k -n "$NS" delete configmap top --cascade=foreground --wait=false
    wait_until 30 eval '[ -n "$(k -n "$NS" get configmap bottom -o jsonpath="{.metadata.deletionTimestamp}")" ]'
    exists top
    exists middle
    release bottom
    wait_until 30 is_gone top
    is_gone middle
    is_gone bottom
}

@test "a dependent that does not block is not waited for" {
    made top
    owned loose "$(reference top "$(uid top)" false)"
    held loose
    k -n "$NS" delete configmap top --cascade=foreground --timeout=30s
    exists loose
    release loose
    wait_until 30 is_gone loose
}

@test "orphans stay and forget their owner" {
    made top
    made other
    owned one "$(reference top "$(uid top)")"
    owned two "$(reference top "$(uid top)")" "$(reference other "$(uid other)")"
    k -n "$NS" delete configmap top --cascade=orphan --timeout=30s
    [ -z "$(owners_of one)" ]
    [ "$(owners_of two)" = other ]
}

@test "an object with an owner that never was goes away" {
    owned lost "$(reference never 00000000-0000-4000-8000-000000000001)"
    wait_until 30 is_gone lost
}

@test "an owner of the same name but another uid is no owner" {
    made top
    owned lost "$(reference top 00000000-0000-4000-8000-000000000002)"
    owned kept "$(reference top "$(uid top)")"
    wait_until 30 is_gone lost
    exists kept
    exists top
}

@test "of several owners one is enough, and the others are forgotten" {
    made a
    made b
    owned shared "$(reference a "$(uid a)")" "$(reference b "$(uid b)")"
    k -n "$NS" delete configmap a
    wait_until 30 has_owners shared b
    k -n "$NS" delete configmap b
    wait_until 30 is_gone shared
}

@test "an owner that waits lets go of a dependent that another one keeps" {
    made a
    made b
    owned shared "$(reference a "$(uid a)")" "$(reference b "$(uid b)")"
    k -n "$NS" delete configmap a --cascade=foreground --timeout=30s
    has_owners shared b
}

# cycle: a and b own each other.
cycle() {
    made a
    owned b "$(reference a "$(uid a)")"
    k -n "$NS" patch configmap a --type merge -p "{\"metadata\":{\"ownerReferences\":[$(reference b "$(uid b)")]}}"
}

@test "a cycle goes in the background" {
    cycle
    k -n "$NS" delete configmap a --cascade=background
    wait_until 30 is_gone b
}

@test "a cycle goes in the foreground" {
    cycle
    k -n "$NS" delete configmap a --cascade=foreground --timeout=30s
    wait_until 30 is_gone b
}

complaint() {
    k -n "$1" get events --field-selector reason=OwnerRefInvalidNamespace -o jsonpath='{.items[*].message}'
}

@test "an owner in another namespace is none, and an event says so" {
    made top
    local owner home=$NS
    owner=$(uid top)
    new_namespace
    owned lost "$(reference top "$owner")"
    wait_until 30 is_gone lost
    wait_until 30 eval '[ -n "$(complaint "$NS")" ]'
    [ "$(complaint "$NS")" = "ownerRef [v1/ConfigMap, namespace: $NS, name: top, uid: $owner] does not exist in namespace \"$NS\"" ]
    k -n "$home" get configmap top
}

@test "an object without a namespace may own what is in one" {
    k create clusterrole "role-$NS" --verb=get --resource=pods
    local owner
    owner=$(k get clusterrole "role-$NS" -o jsonpath='{.metadata.uid}')
    owned kept "{\"apiVersion\":\"rbac.authorization.k8s.io/v1\",\"kind\":\"ClusterRole\",\"name\":\"role-$NS\",\"uid\":\"$owner\"}"
    owned lost "$(reference never 00000000-0000-4000-8000-000000000003)"
    wait_until 30 is_gone lost
    exists kept
    k delete clusterrole "role-$NS"
    wait_until 30 is_gone kept
}

count() {
    [ "$(k -n "$NS" get configmaps -l "$1" -o name | wc -l)" -eq "$2" ]
}

# many OWNER COUNT: that many dependents of it.
many() {
    jq -n --argjson owner "$(reference "$1" "$(uid "$1")")" --argjson count "$2" \
        '{apiVersion: "v1", kind: "List", items: [range($count) | {apiVersion: "v1", kind: "ConfigMap",
          metadata: {name: "many-\(.)", labels: {many: "yes"}, ownerReferences: [$owner]}}]}' |
        k -n "$NS" create -f - >/dev/null
}

@test "300 dependents go in the foreground" {
    made top
    many top 300
    count many=yes 300
    k -n "$NS" delete configmap top --cascade=foreground --timeout=60s
    count many=yes 0
}

@test "300 dependents are orphaned" {
    made top
    many top 300
    k -n "$NS" delete configmap top --cascade=orphan --timeout=60s
    count many=yes 300
    [ "$(k -n "$NS" get configmaps -l many=yes -o json | jq '[.items[].metadata.ownerReferences // empty] | length')" = 0 ]
}

@test "what lost its owner while nobody looked is found at the start" {
    made top
    owned lost "$(reference top "$(uid top)")"
    stop_controllers
    k -n "$NS" delete configmap top
    exists lost
    start_controllers --controllers garbage-collector-controller
    wait_until 30 is_gone lost
}
