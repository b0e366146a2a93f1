#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What people do with kubectl.

load helpers

setup_file() { start_server; }
teardown_file() { stop_server; }
setup() { new_namespace; }

@test "real-life manifests of every kind are applied twice, and the second apply changes nothing" {
    for file in workloads services config; do
        k -n "$NS" apply -f "test/e2e/manifests/$file.yaml"
        run k -n "$NS" apply -f "test/e2e/manifests/$file.yaml"
        echo "$output"
        [ "$status" -eq 0 ]
        [ -z "$(grep -v unchanged <<<"$output")" ]
    done
    k apply -f test/e2e/manifests/cluster.yaml
    run k apply -f test/e2e/manifests/cluster.yaml
    echo "$output"
    [ "$status" -eq 0 ]
    [ -z "$(grep -v unchanged <<<"$output")" ]
    k get all,cm,secrets,ingresses,netpol,pvc,pv,sc,nodes,crd,csr,hpa,pdb,events,leases -n "$NS" -o wide
    k describe all -n "$NS" >/dev/null
}

@test "get prints yaml, json, jsonpath, columns of one's own, and sorts" {
    k -n "$NS" create configmap b --from-literal=x=1
    k -n "$NS" create configmap a --from-literal=x=2
    k -n "$NS" get configmap a -o yaml | grep -q '^  x: "2"'
    [ "$(k -n "$NS" get configmap a -o json | jq -r .data.x)" = 2 ]
    [ "$(k -n "$NS" get configmaps --sort-by=.data.x -o jsonpath='{.items[*].metadata.name}')" = "b a" ]
    run k -n "$NS" get configmaps -o custom-columns=N:.metadata.name,X:.data.x --no-headers
    [[ "$output" == *a*2* ]]
    k get configmaps -A --no-headers | grep -q "^$NS "
}

@test "diff tells what an apply would change, and changes nothing" {
    k -n "$NS" create configmap one --from-literal=a=1 --dry-run=client -o yaml >"$BATS_TEST_TMPDIR/one.yaml"
    k -n "$NS" apply -f "$BATS_TEST_TMPDIR/one.yaml"
    k -n "$NS" diff -f "$BATS_TEST_TMPDIR/one.yaml"
    sed -i 's/a: "1"/a: "2"/' "$BATS_TEST_TMPDIR/one.yaml"
    run k -n "$NS" diff -f "$BATS_TEST_TMPDIR/one.yaml"
    [ "$status" -eq 1 ]
    [[ "$output" == *'+  a: "2"'* ]]
    [ "$(k -n "$NS" get configmap one -o jsonpath='{.data.a}')" = 1 ]
}

@test "edit and replace" {
    k -n "$NS" create configmap one --from-literal=a=before
    KUBE_EDITOR='sed -i s/before/after/' k -n "$NS" edit configmap one
    [ "$(k -n "$NS" get configmap one -o jsonpath='{.data.a}')" = after ]
    k -n "$NS" get configmap one -o yaml | sed 's/^  a: .*/  a: "9"/' | k -n "$NS" replace -f -
    [ "$(k -n "$NS" get configmap one -o jsonpath='{.data.a}')" = 9 ]
}

@test "the three kinds of patches" {
    k -n "$NS" create deployment web --image=a:1
    k -n "$NS" patch deployment web -p '{"spec":{"template":{"spec":{"containers":[{"name":"side","image":"b:1"}]}}}}'
    [ "$(k -n "$NS" get deployment web -o jsonpath='{.spec.template.spec.containers[*].name}')" = "side a" ] ||
        [ "$(k -n "$NS" get deployment web -o jsonpath='{.spec.template.spec.containers[*].name}')" = "a side" ]
    k -n "$NS" patch deployment web --type json -p '[{"op":"replace","path":"/spec/replicas","value":4}]'
    k -n "$NS" patch deployment web --type merge -p '{"metadata":{"annotations":{"a":"b"}}}'
    [ "$(k -n "$NS" get deployment web -o jsonpath='{.spec.replicas} {.metadata.annotations.a}')" = "4 b" ]
    run k -n "$NS" patch deployment web --type json -p '[{"op":"test","path":"/spec/replicas","value":5}]'
    [ "$status" -ne 0 ]
}

@test "delete by selector and all at once" {
    for i in 1 2 3; do k -n "$NS" create configmap "c$i"; done
    k -n "$NS" label configmap c1 c2 gone=soon
    k -n "$NS" delete configmaps -l gone=soon
    [ "$(k -n "$NS" get configmaps -o name)" = configmap/c3 ]
    k -n "$NS" delete configmaps --all
    [ -z "$(k -n "$NS" get configmaps -o name)" ]
}

@test "wait ends when the condition is there" {
    k -n "$NS" run one --image=a
    k -n "$NS" wait pod/one --for=jsonpath='{.status.phase}'=Running --timeout=20s 3>&- &
    local waiting=$!
    api PATCH "/api/v1/namespaces/$NS/pods/one/status" -H 'Content-Type: application/merge-patch+json' \
        -d '{"status":{"phase":"Running"}}' >/dev/null
    wait "$waiting"
}

@test "get --raw, proxy and dry runs" {
    k get --raw /api/v1/namespaces/default | jq -e '.metadata.name == "default"'
    k -n "$NS" create configmap dry --dry-run=server -o name
    run k -n "$NS" get configmap dry
    [ "$status" -ne 0 ]
    local port=$((20000 + RANDOM % 20000))
    k proxy --port "$port" 3>&- >/dev/null &
    local proxy=$!
    wait_until 10 curl -s -o /dev/null "http://127.0.0.1:$port/version"
    curl -s "http://127.0.0.1:$port/version" | jq -e '.minor == "34"'
    kill "$proxy"
}

@test "every generator of create" {
    k -n "$NS" create secret generic s --from-literal=a=b
    k -n "$NS" create secret docker-registry d --docker-username=u --docker-password=p
    k -n "$NS" create job j --image=a
    k -n "$NS" create cronjob c --image=a --schedule='* * * * *'
    k -n "$NS" create job from-c --from=cronjob/c
    k -n "$NS" create role r --verb=get --resource=pods
    k -n "$NS" create rolebinding rb --role=r --user=u
    k create clusterrole "cr-$NS" --verb=get --resource=pods
    k create clusterrolebinding "crb-$NS" --clusterrole=view --user=u
    k -n "$NS" create serviceaccount sa
    k -n "$NS" create quota q --hard=pods=1
    k -n "$NS" create ingress i --rule=a.b/c=s:80
    k -n "$NS" create poddisruptionbudget p --selector=a=b --min-available=1
    k create priorityclass "pc-$NS" --value=7
    k -n "$NS" create service clusterip cip --tcp=80
    k -n "$NS" create service nodeport np --tcp=80
    k -n "$NS" create service loadbalancer lb --tcp=80
    k -n "$NS" create service externalname en --external-name=a.b
}
