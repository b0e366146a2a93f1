#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Resource quotas: what namespaces may hold, counted before it is there and recounted afterwards.

load helpers

setup_file() {
    start_server
    start_controllers
}
teardown_file() { each_of stop_controllers stop_server; }
setup() { new_namespace; }

# used NAME: of a quota, as compact JSON.
used() { k get quota -n "$NS" "$1" -o json | jq -cS .status.used; }
uses() { [ "$(used "$1")" = "$2" ]; }

# quota NAME HARD [SPEC FIELDS]: JSON members; waits until the controller has counted.
quota() {
    k create -f - <<<"{\"apiVersion\":\"v1\",\"kind\":\"ResourceQuota\",\"metadata\":{\"name\":\"$1\",\"namespace\":\"$NS\"},\"spec\":{\"hard\":{$2}${3:+,$3}}}"
    wait_until 10 counted "$1"
}
counted() { [ "$(k get quota -n "$NS" "$1" -o json | jq '.status.hard == .spec.hard and .status.hard != null')" = true ]; }

# pod NAME [MEMBERS OF THE CONTAINER] [MEMBERS OF THE SPEC]
pod() {
    k create -f - <<<"{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"$1\",\"namespace\":\"$NS\"},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i\"${2:+,$2}}]${3:+,$3}}}"
}

refused() {
    local sentence=$1
    shift
    run "$@"
    [ "$status" -ne 0 ] && [[ "$output" == *"$sentence"* ]] || {
        echo "$output"
        return 1
    }
}

@test "a namespace holds as many pods as its quota allows, and has room again when they go" {
    pod early
    quota q '"pods":"2"'
    uses q '{"pods":"1"}'
    pod second
    uses q '{"pods":"2"}'
    refused 'pods "third" is forbidden: exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2' pod third
    k delete pod -n "$NS" early --now
    wait_until 10 uses q '{"pods":"1"}'
    pod third
    patch_status "/api/v1/namespaces/$NS/pods/third" '{"status":{"phase":"Succeeded"}}'
    wait_until 10 uses q '{"pods":"1"}'
}

@test "no more are let in than fit, however many come at once" {
    quota q '"pods":"7","requests.cpu":"700m"'
    local body='{"apiVersion":"v1","kind":"Pod","metadata":{"generateName":"p-"},"spec":{"containers":[{"name":"c","image":"i","resources":{"requests":{"cpu":"100m"}}}]}}'
    api POST "/api/v1/namespaces/$NS/pods?n=[1-60]" -Z --parallel-max 30 -o /dev/null -w '%{http_code}\n' \
        -H 'Content-Type: application/json' -d "$body" >"$BATS_TEST_TMPDIR/codes"
    [ "$(sort "$BATS_TEST_TMPDIR/codes" | uniq -c | tr -s ' \n' ' ')" = " 7 201 53 403 " ]
    [ "$(k get pods -n "$NS" -o name | wc -l)" = 7 ]
    uses q '{"pods":"7","requests.cpu":"700m"}'
}

@test "what a quota limits, each container has to say" {
    quota q '"limits.cpu":"2","memory":"1Gi"'
    refused 'pods "p" is forbidden: failed quota: q: must specify limits.cpu for: c; memory for: c' pod p
    refused 'exceeded quota: q, requested: limits.cpu=3, used: limits.cpu=0, limited: limits.cpu=2' \
        pod p '"resources":{"limits":{"cpu":"3","memory":"1Gi"}}'
    pod p '"resources":{"limits":{"cpu":"1500m","memory":"512Mi"}}'
    uses q '{"limits.cpu":"1500m","memory":"512Mi"}'
}

@test "a quota counts only what is in its scopes" {
    quota short '"pods":"0"' '"scopes":["Terminating"]'
    quota best '"pods":"1"' '"scopes":["BestEffort"]'
    quota high '"pods":"0"' '"scopeSelector":{"matchExpressions":[{"scopeName":"PriorityClass","operator":"In","values":["system-node-critical"]}]}'
    refused 'exceeded quota: short, requested: pods=1, used: pods=0, limited: pods=0' pod p '' '"activeDeadlineSeconds":5'
    refused 'exceeded quota: high' pod p '"resources":{"requests":{"cpu":"1"}}' '"priorityClassName":"system-node-critical"'
    pod p
    refused 'exceeded quota: best' pod other
    pod burst '"resources":{"requests":{"cpu":"1"}}'
}

@test "objects, storage by class, ports and load balancers are counted" {
    wait_until 10 k get configmap -n "$NS" kube-root-ca.crt
    quota q '"count/configmaps":"2","configmaps":"9","count/deployments.apps":"0","services.nodeports":"2","services.loadbalancers":"0","gold.storageclass.storage.k8s.io/requests.storage":"5Gi","requests.storage":"8Gi"'
    k create configmap -n "$NS" a
    refused 'configmaps "b" is forbidden: exceeded quota: q, requested: count/configmaps=1, used: count/configmaps=2, limited: count/configmaps=2' \
        k create configmap -n "$NS" b
    refused 'deployments.apps "d" is forbidden: exceeded quota: q, requested: count/deployments.apps=1' k create deployment -n "$NS" d --image=i
    refused 'requested: services.loadbalancers=1' k create service loadbalancer -n "$NS" l --tcp=80
    k create service nodeport -n "$NS" s --tcp=80
    refused 'requested: services.nodeports=2, used: services.nodeports=1, limited: services.nodeports=2' \
        k create service nodeport -n "$NS" t --tcp=80 --tcp=81
    claim='{"apiVersion":"v1","kind":"PersistentVolumeClaim","metadata":{"name":"c","namespace":"'$NS'"},"spec":{"storageClassName":"gold","accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"6Gi"}}}}'
    refused 'requested: gold.storageclass.storage.k8s.io/requests.storage=6Gi, used: gold.storageclass.storage.k8s.io/requests.storage=0, limited: gold.storageclass.storage.k8s.io/requests.storage=5Gi' \
        k create -f - <<<"$claim"
    k create -f - <<<"${claim/6Gi/4Gi}"
    k delete configmap -n "$NS" a
    wait_until 10 uses q '{"configmaps":"1","count/configmaps":"1","count/deployments.apps":"0","gold.storageclass.storage.k8s.io/requests.storage":"4Gi","requests.storage":"4Gi","services.loadbalancers":"0","services.nodeports":"1"}'
}

@test "a dry run is checked and takes nothing" {
    quota q '"pods":"1"'
    k run -n "$NS" p --image=i --dry-run=server
    uses q '{"pods":"0"}'
    pod p
    refused 'exceeded quota: q' k run -n "$NS" r --image=i --dry-run=server
}
