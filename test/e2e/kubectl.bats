#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What people do with kubectl.

load helpers

setup_file() { start_server; }
teardown_file() { stop_server; }
setup() { new_namespace; }

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

@test "a merge patch that names a list without its defaults changes nothing" {
    k -n "$NS" create deployment web --image=a:1
    k -n "$NS" get deployment web -o json >"$BATS_TEST_TMPDIR/before"
    k -n "$NS" patch deployment web --type merge \
        -p '{"spec":{"template":{"spec":{"containers":[{"name":"a","image":"a:1"}]}}}}'
    k -n "$NS" get deployment web -o json | diff "$BATS_TEST_TMPDIR/before" -
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
    k -n "$NS" wait pod/one --for=condition=Ready --timeout=20s 3>&- &
    local waiting=$!
    api PATCH "/api/v1/namespaces/$NS/pods/one/status" -H 'Content-Type: application/merge-patch+json' \
        -d '{"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True"}]}}' >/dev/null
    wait "$waiting"
}

@test "wait ends when a field has a value, and when the object is gone" {
    needs_kubectl 1.23
    k -n "$NS" run one --image=a
    k -n "$NS" wait pod/one --for=jsonpath='{.status.phase}'=Running --timeout=20s 3>&- &
    local waiting=$!
    api PATCH "/api/v1/namespaces/$NS/pods/one/status" -H 'Content-Type: application/merge-patch+json' \
        -d '{"status":{"phase":"Running"}}' >/dev/null
    wait "$waiting"
    k -n "$NS" wait pod/one --for=delete --timeout=20s 3>&- &
    waiting=$!
    k -n "$NS" delete pod one --now
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

# created WHAT [ARGUMENTS…]: kubectl makes it, and the server has it under the printed name.
created() {
    run k -n "$NS" create -o name "$@"
    echo "create $*: $output"
    [ "$status" -eq 0 ] && [ "$(k -n "$NS" get "$output" -o name)" = "$output" ]
}

@test "every generator of create" {
    created clusterrole "r-$NS" --verb=get,list --resource=pods,deployments.apps/scale
    created clusterrole "a-$NS" --aggregation-rule=example.com/part=yes
    created clusterrole "n-$NS" --verb=get --non-resource-url=/logs/*
    created clusterrolebinding "b-$NS" --clusterrole=view --user=u --group=g --serviceaccount="$NS:default"
    created configmap literal --from-literal=a=b
    created configmap files --from-file=test/e2e/manifests
    created configmap environment --from-env-file=<(echo a=b)
    created deployment web --image=a:1 --replicas=2 --port=80 -- run it
    created ingress i --class=nginx --rule='a.b/c*=s:80,tls=t' --annotation=a=b
    created job j --image=a -- sleep 1
    created namespace "n-$NS"
    created priorityclass "p-$NS" --value=7 --preemption-policy=Never
    created quota q --hard=pods=1,cpu=2 --scopes=NotTerminating
    created role r --verb=get --resource=pods --resource-name=one
    created rolebinding rb --role=r --user=u
    created secret docker-registry d --docker-username=u --docker-password=p --docker-email=a@b.c
    created secret generic s --from-literal=a=b --type=example.com/any
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=a -days 1 \
        -keyout "$BATS_TEST_TMPDIR/key" -out "$BATS_TEST_TMPDIR/crt"
    created secret tls t --cert="$BATS_TEST_TMPDIR/crt" --key="$BATS_TEST_TMPDIR/key"
    created service clusterip cip --tcp=80:8080
    created service clusterip headless --clusterip=None
    created service externalname en --external-name=a.b
    created service loadbalancer lb --tcp=80
    created service nodeport np --tcp=80 --node-port=$((30000 + RANDOM % 2000))
    created serviceaccount sa
}

@test "create what older clients make in beta versions" {
    needs_kubectl 1.21
    created cronjob c --image=a --schedule='* * * * *' --restart=OnFailure
    created job from-c --from=cronjob/c
    [ "$(k -n "$NS" get job from-c -o jsonpath='{.metadata.ownerReferences[0].kind}')" = CronJob ]
    created poddisruptionbudget p --selector=a=b --min-available=50%
}
