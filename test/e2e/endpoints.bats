#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# One store is enough: what is shown does not depend on it.
#
# Endpoints and EndpointSlices of services, with pods whose status is played.

load helpers

setup_file() {
    start_server
    start_controllers
    k create -f - >/dev/null <<'YAML'
apiVersion: v1
kind: Node
metadata: {name: n1, labels: {topology.kubernetes.io/zone: zone-a}}
YAML
}

teardown_file() {
    stop_controllers
    stop_server
}

setup() {
    new_namespace
}

kn() {
    k -n "$NS" "$@"
}

# pod NAME IP [READY] [SPEC]: a running pod with the label app: web on node n1.
pod() {
    local name=$1 ip=$2 ready=${3:-True} spec=${4:-}
    kn create -f - >/dev/null <<YAML
apiVersion: v1
kind: Pod
metadata: {name: $name, labels: {app: web}}
spec: {nodeName: n1, ${spec:+$spec,} containers: [{name: c, image: i, ports: [{name: http, containerPort: 8080}]}]}
YAML
    patch_status "/api/v1/namespaces/$NS/pods/$name" "{\"status\":{\"phase\":\"Running\",
        \"podIP\":\"$ip\",\"podIPs\":[{\"ip\":\"$ip\"}],
        \"conditions\":[{\"type\":\"Ready\",\"status\":\"$ready\"}]}}"
}

# service NAME [SPEC]: one that selects app: web.
service() {
    local spec='ports: [{port: 80, targetPort: http}]'
    spec=${2:-$spec}
    kn create -f - >/dev/null <<YAML
apiVersion: v1
kind: Service
metadata: {name: $1, labels: {team: shop}}
spec: {selector: {app: web}, $spec}
YAML
}

# slices SERVICE JQ: of the list of the service's slices.
slices() {
    kn get endpointslices -l "kubernetes.io/service-name=$1" -o json | jq -r "$2"
}

# slices_are SERVICE JQ EXPECTED
slices_are() {
    [ "$(slices "$1" "$2")" = "$3" ]
}

expect_slices() {
    wait_until 20 slices_are "$@" || {
        slices "$1" . >&2
        echo "not: $2 = $3" >&2
        return 1
    }
}

@test "a slice tells each pod with its conditions, node, zone and target" {
    pod a 10.1.0.1
    pod b 10.1.0.2 False
    service web
    expect_slices web '[.items[].endpoints[]?.addresses[0]] | sort | join(",")' 10.1.0.1,10.1.0.2
    local slice uid
    slice=$(slices web '.items[0]')
    uid=$(kn get pod a -o jsonpath='{.metadata.uid}')
    jq -e '.metadata.labels == {"kubernetes.io/service-name": "web", "team": "shop",
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"}' <<<"$slice"
    jq -e '.metadata.generateName == "web-" and .addressType == "IPv4"' <<<"$slice"
    jq -e '.metadata.ownerReferences[0] | .kind == "Service" and .name == "web" and .controller and
        .blockOwnerDeletion' <<<"$slice"
    jq -e '.metadata.annotations["endpoints.kubernetes.io/last-change-trigger-time"]' <<<"$slice"
    jq -e '.ports == [{"name": "", "port": 8080, "protocol": "TCP"}]' <<<"$slice"
    jq -e --arg uid "$uid" --arg ns "$NS" '.endpoints[] | select(.addresses == ["10.1.0.1"]) |
        . == {"addresses": ["10.1.0.1"], "nodeName": "n1", "zone": "zone-a",
              "conditions": {"ready": true, "serving": true, "terminating": false},
              "targetRef": {"kind": "Pod", "name": "a", "namespace": $ns, "uid": $uid}}' <<<"$slice"
    jq -e '.endpoints[] | select(.addresses == ["10.1.0.2"]) |
        .conditions == {"ready": false, "serving": false, "terminating": false}' <<<"$slice"
}

@test "a pod that is being deleted is not ready at once, and goes with the pod" {
    pod a 10.1.0.1
    service web
    expect_slices web '[.items[].endpoints[]?.conditions.ready] | tostring' '[true]'
    kn delete pod a --wait=false
    expect_slices web '.items[0].endpoints[0].conditions | tostring' \
        '{"ready":false,"serving":true,"terminating":true}'
    kn delete pod a --force --grace-period=0
    expect_slices web '[.items[].endpoints[]?] | length' 0
}

@test "a pod that has come to its end is left out" {
    pod a 10.1.0.1
    service web
    expect_slices web '[.items[].endpoints[]?] | length' 1
    patch_status "/api/v1/namespaces/$NS/pods/a" '{"status":{"phase":"Succeeded"}}'
    expect_slices web '[.items[].endpoints[]?] | length' 0
}

@test "publishNotReadyAddresses makes every endpoint ready" {
    pod a 10.1.0.1 False
    service web '"publishNotReadyAddresses": true, ports: [{port: 80}]'
    expect_slices web '.items[0].endpoints[0].conditions | tostring' \
        '{"ready":true,"serving":false,"terminating":false}'
}

@test "a service without pods has one slice without endpoints, which is then filled" {
    service web
    expect_slices web '[.items[].endpoints | length] | tostring' '[0]'
    local name
    name=$(slices web '.items[0].metadata.name')
    pod a 10.1.0.1
    expect_slices web '[.items[] | [.metadata.name, (.endpoints | length)]] | tostring' \
        "[[\"$name\",1]]"
}

@test "a headless service gives names to the pods of its subdomain" {
    pod a 10.1.0.1 True '"hostname": "first", "subdomain": "web"'
    pod b 10.1.0.2 True '"hostname": "other", "subdomain": "elsewhere"'
    service web 'clusterIP: None'
    expect_slices web '[.items[].endpoints[]?.hostname] | sort | tostring' '[null,"first"]'
    expect_slices web '.items[0].metadata.labels["service.kubernetes.io/headless"]' ''
}

@test "pods whose named port has another number get a slice of their own" {
    pod a 10.1.0.1
    kn create -f - >/dev/null <<'YAML'
apiVersion: v1
kind: Pod
metadata: {name: b, labels: {app: web}}
spec: {nodeName: n1, containers: [{name: c, image: i, ports: [{name: http, containerPort: 9090}]}]}
YAML
    patch_status "/api/v1/namespaces/$NS/pods/b" \
        '{"status":{"phase":"Running","podIP":"10.1.0.2","podIPs":[{"ip":"10.1.0.2"}]}}'
    service web
    expect_slices web '[.items[] | [.ports[0].port, .endpoints[0].addresses[0]]] | sort | tostring' \
        '[[8080,"10.1.0.1"],[9090,"10.1.0.2"]]'
}

@test "slices follow the service's labels, ports and traffic distribution" {
    pod a 10.1.0.1
    service web
    expect_slices web '[.items[].endpoints[]?] | length' 1
    kn label service web tier=front
    expect_slices web '.items[0].metadata.labels.tier' front
    kn patch service web -p '{"spec":{"ports":[{"port":80,"targetPort":81}]}}'
    expect_slices web '[.items[].ports[].port] | tostring' '[81]'
    kn patch service web -p '{"spec":{"trafficDistribution":"PreferClose"}}'
    expect_slices web '.items[0].endpoints[0].hints.forZones | tostring' '[{"name":"zone-a"}]'
}

@test "a pod that loses the label leaves the service" {
    pod a 10.1.0.1
    service web
    expect_slices web '[.items[].endpoints[]?] | length' 1
    kn label pod a app-
    expect_slices web '[.items[].endpoints[]?] | length' 0
}

@test "the slices go with their service" {
    pod a 10.1.0.1
    service web
    expect_slices web '[.items[].endpoints[]?] | length' 1
    kn delete service web
    expect_slices web '.items | length' 0
}

@test "a slice that somebody spoiled or deleted is put right" {
    pod a 10.1.0.1
    service web
    expect_slices web '[.items[].endpoints[]?] | length' 1
    local name
    name=$(slices web '.items[0].metadata.name')
    kn patch endpointslice "$name" --type=merge -p '{"endpoints":[{"addresses":["10.9.9.9"]}]}'
    expect_slices web '[.items[].endpoints[]?.addresses[0]] | tostring' '["10.1.0.1"]'
    kn delete endpointslice "$name"
    expect_slices web '[.items[].endpoints[]?.addresses[0]] | tostring' '["10.1.0.1"]'
}

# endpoints_are SERVICE JQ EXPECTED
endpoints_are() {
    [ "$(kn get endpoints "$1" -o json 2>/dev/null | jq -r "$2")" = "$3" ]
}

expect_endpoints() {
    wait_until 20 endpoints_are "$@" || {
        kn get endpoints "$1" -o yaml >&2
        echo "not: $2 = $3" >&2
        return 1
    }
}

@test "endpoints tell ready and other pods, with the labels of the service" {
    pod b 10.1.0.2
    pod a 10.1.0.1
    pod c 10.1.0.3 False
    service web
    expect_endpoints web '.subsets | map([.addresses[].ip, "-", .notReadyAddresses[].ip,
        .ports[].port]) | tostring' '[["10.1.0.1","10.1.0.2","-","10.1.0.3",8080]]'
    expect_endpoints web '.metadata.labels | tostring' \
        '{"endpoints.kubernetes.io/managed-by":"endpoint-controller","team":"shop"}'
    expect_endpoints web '.subsets[0].addresses[0] | [.nodeName, .targetRef.kind, .targetRef.name,
        (.targetRef | has("uid"))] | tostring' '["n1","Pod","a",true]'
    kn delete pod a --wait=false
    expect_endpoints web '[.subsets[].addresses[].ip] | tostring' '["10.1.0.2"]'
    run kn describe service web
    [[ "$output" == *"10.1.0.2:8080"* ]]
}

@test "a headless service's endpoints say so, and go with the service" {
    pod a 10.1.0.1 True '"hostname": "first", "subdomain": "web"'
    service web 'clusterIP: None'
    expect_endpoints web '[.subsets[] | .addresses[].hostname, has("ports")] | tostring' \
        '["first",false]'
    expect_endpoints web '.metadata.labels["service.kubernetes.io/headless"]' ''
    kn delete service web
    wait_until 20 no_endpoints web
}

no_endpoints() {
    ! kn get endpoints "$1" >/dev/null 2>&1
}

@test "endpoints that were deleted come again" {
    pod a 10.1.0.1
    service web
    expect_endpoints web '[.subsets[].addresses[].ip] | tostring' '["10.1.0.1"]'
    kn delete endpoints web
    expect_endpoints web '[.subsets[].addresses[].ip] | tostring' '["10.1.0.1"]'
}

# by_hand [LABELS]: a service without a selector, and its endpoints.
by_hand() {
    kn apply -f - >/dev/null <<YAML
apiVersion: v1
kind: Service
metadata: {name: db}
spec: {ports: [{port: 5432}]}
---
apiVersion: v1
kind: Endpoints
metadata: {name: db, labels: {${1:-}}}
subsets: [{addresses: [{ip: 10.2.0.1}, {ip: 10.2.0.2}], notReadyAddresses: [{ip: 10.2.0.3}], ports: [{port: 5432}]}]
YAML
}

@test "endpoints made by hand are mirrored, followed and cleaned up after" {
    by_hand 'tier: data'
    expect_slices db '[.items[] | [.endpoints[] | [.addresses[0], .conditions.ready]], .ports,
        .metadata.labels] | tostring' '[[["10.2.0.1",true],["10.2.0.2",true],["10.2.0.3",false]],'$(
        )'[{"name":"","port":5432,"protocol":"TCP"}],{"endpointslice.kubernetes.io/managed-by":'$(
        )'"endpointslicemirroring-controller.k8s.io","kubernetes.io/service-name":"db","tier":"data"}]'
    slices_are db '.items[0].metadata | [.ownerReferences[0].kind, .annotations] | tostring' \
        '["Endpoints",null]'
    local name
    name=$(slices db '.items[0].metadata.name')
    kn patch endpoints db --type=merge -p '{"subsets":[{"addresses":[{"ip":"10.2.0.9"}],
        "ports":[{"port":5433}]}]}'
    expect_slices db '[.items[] | .metadata.name, .endpoints[].addresses[0], .ports[].port] |
        tostring' "[\"$name\",\"10.2.0.9\",5433]"
    kn delete endpoints db
    expect_slices db '.items | length' 0
}

@test "endpoints labelled so are not mirrored, nor are those of a service that gets a selector" {
    by_hand 'endpointslice.kubernetes.io/skip-mirror: "true"'
    kn label endpoints db endpointslice.kubernetes.io/skip-mirror=false --overwrite
    expect_slices db '.items | length' 1
    kn label endpoints db endpointslice.kubernetes.io/skip-mirror=true --overwrite
    expect_slices db '.items | length' 0
    kn label endpoints db endpointslice.kubernetes.io/skip-mirror-
    expect_slices db '.items | length' 1
    kn patch service db -p '{"spec":{"selector":{"app":"web"}}}'
    expect_slices db '[.items[].metadata.labels["endpointslice.kubernetes.io/managed-by"]] |
        tostring' '["endpointslice-controller.k8s.io"]'
}

@test "the API server's own service is left alone" {
    run k get endpointslices -n default -o jsonpath='{.items[*].metadata.name}'
    [ "$output" = kubernetes ]
}
