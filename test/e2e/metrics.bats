#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# metrics.k8s.io: what kubectl top shows of simulated loads, who may read it, and who may say it.

load helpers

setup_file() {
    start_server && start_controllers && start_process scheduler "schedules pods" --leader-elect=false
}
teardown_file() { each_of stop_node "stop_process scheduler" stop_controllers stop_server; }
stop_node() { gone "$(cat "$BATS_FILE_TMPDIR/node.pid")" || stop_process node; }

# pod NAME APP SIMULATION: with two containers, a (which asks for half a CPU and 1Gi) and b.
pod() {
    jq -nc --arg name "$1" --arg app "$2" --argjson simulation "$3" '{apiVersion: "v1", kind: "Pod",
        metadata: {name: $name, labels: {app: $app},
            annotations: ($simulation | with_entries(.key |= "simulate.coracle.io/" + .))},
        spec: {terminationGracePeriodSeconds: 0, containers: [
            {name: "a", image: "a:1", resources: {requests: {cpu: "500m", memory: "1Gi"}}},
            {name: "b", image: "b:1"}]}}' | k create -f -
}
# top ARGUMENTS…: the cells, without the head.
top() { k top "$@" --no-headers 2>/dev/null | awk '{$1 = $1} 1'; }
tops() { [ "$(top "${@:2}")" = "$1" ]; }
# metrics PATH JQ
metrics() { api GET "/apis/metrics.k8s.io/v1beta1${1:+/$1}" | jq -rc "$2"; }
fails_with() { run k "${@:2}" && [ "$status" -ne 0 ] && [[ "$output" == *"$1"* ]]; }
knows_nodes() { [ "$(top node | grep -vc unknown)" = "$1" ]; }
# report NODE POD: a node's report that tells of one pod, as JSON.
report() {
    jq -nc --arg node "$1" --argjson pod "$(k get pod "$2" -o json)" '{kind: "NodeReport",
        apiVersion: "metrics.coracle.io/v1", metadata: {name: $node}, window: "60s",
        usage: {cpu: "1", memory: "1Gi"}, pods: [($pod.metadata | {namespace, name, uid}) +
            {containers: [{name: "a", usage: {cpu: "7", memory: "7Gi"}}]}]}'
}
# say NODE AS: hands stdin in as that node's report.
say() {
    k --as="system:node:$2" --as-group=system:nodes replace --raw \
        "/apis/metrics.coracle.io/v1/nodereports/$1" -f -
}

@test "the API is there before there is anything to tell" {
    [ "$(metrics '' '[.resources[] | [.name, .singularName, .kind, .namespaced, .verbs]]')" = \
        '[["nodes","","NodeMetrics",false,["get","list"]],["pods","","PodMetrics",true,["get","list"]]]' ]
    [ "$(metrics nodes .)" = '{"kind":"NodeMetricsList","apiVersion":"metrics.k8s.io/v1beta1","metadata":{},"items":[]}' ]
    [ "$(metrics pods '[.kind, .items]')" = '["PodMetricsList",[]]' ]
    [ "$(k get apiservice v1beta1.metrics.k8s.io --no-headers | awk '{print $2, $3}')" = "Local True" ]
    fails_with "error: metrics not available yet" top node
    run k top pod
    [ "$output" = "No resources found in default namespace." ]
    [ "$(api GET '/openapi/v3/apis/metrics.k8s.io/v1beta1' | jq -r '.paths | keys | length')" -ge 5 ]
}

@test "what nodes and pods use is shown" {
    start_process node "plays" --simulate 2 --usage-report-frequency 500ms
    pod one x '{"a": "cpu=1500m memory=100Mi", "b": "cpu=20m memory=3Mi"}'
    pod two y '{"b": "cpu=3"}'
    k wait --for=condition=Ready pod/one pod/two --timeout=20s
    wait_until 10 tops "one 1520m 103Mi
two 3050m 528Mi" pod
    [ "$(top pod --containers -l app=x)" = "one a 1500m 100Mi
one b 20m 3Mi" ]
    [ "$(top pod --sort-by=cpu | head -1)" = "two 3050m 528Mi" ]
    [ "$(top pod -A -l app=y)" = "default two 3050m 528Mi" ]
    [ "$(top pod one)" = "one 1520m 103Mi" ]
    wait_until 10 knows_nodes 2
    node=$(k get pod two -o jsonpath='{.spec.nodeName}')
    [ "$(top node "$node" | awk '{print $3}')" != "0%" ]
}

@test "answers are those of a metrics server" {
    [ "$(metrics namespaces/default/pods/one '[.kind, .metadata.name, .metadata.namespace,
        .metadata.labels, (.timestamp | fromdate | . > now - 30), (.containers | map(.usage.cpu))]')" = \
        '["PodMetrics","one","default",{"app":"x"},true,["1500m","20m"]]' ]
    [ "$(metrics 'pods?labelSelector=app%3Dy' '[.items[].metadata.name]')" = '["two"]' ]
    [ "$(metrics 'pods?fieldSelector=metadata.name%3Done' '[.items[].metadata.name]')" = '["one"]' ]
    [ "$(metrics 'nodes?labelSelector=kubernetes.io/hostname%3Dnode-1' '[.items[].metadata.name]')" = '["node-1"]' ]
    [ "$(metrics namespaces/none/pods .items)" = '[]' ]
    [ "$(metrics nodes/none .message)" = 'nodes "none" not found' ]
    [ "$(metrics namespaces/default/pods/none .message)" = 'pods "none" not found' ]
    [ "$(api POST /apis/metrics.k8s.io/v1beta1/nodes -d '{}' | jq .code)" = 405 ]
    k create -f - <<<'{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "stuck"}, "spec": {
        "schedulerName": "nobody", "containers": [{"name": "a", "image": "a:1"}]}}'
    [ "$(metrics namespaces/default/pods/stuck .message)" = \
        'podmetrics.metrics.k8s.io "default/stuck" not found' ]
    k delete pod stuck
    [ "$(k get podmetrics one --no-headers | awk '{print $1, $2, $3}')" = "one 1520m 103Mi" ]
    [ "$(k get podmetrics one -o yaml | grep -c 'cpu: ')" = 2 ]
}

@test "a load is changed while its pod runs, and gone with the pod" {
    k annotate pod one --overwrite simulate.coracle.io/a="cpu=42m memory=1Mi"
    wait_until 10 tops "one 62m 4Mi" pod one
    k delete pod one --wait
    fails_with 'pods "one" not found' top pod one
    [ "$(metrics pods '[.items[].metadata.name]')" = '["two"]' ]
}

@test "no node speaks for another" {
    node=$(k get pod two -o jsonpath='{.spec.nodeName}')
    other=node-$((3 - ${node#node-}))
    report "$other" two >"$BATS_TEST_TMPDIR/report"
    run say "$node" "$other" <"$BATS_TEST_TMPDIR/report"
    [[ "$output" == *"can only update the node report with the same name as the requesting node"* ]]
    run say "$other" "$other" <"$BATS_TEST_TMPDIR/report"
    [[ "$output" == *'pods "two" is forbidden: node "'"$other"'" can only report on pods with spec.nodeName set to itself'* ]]
    run k --as=somebody replace --raw "/apis/metrics.coracle.io/v1/nodereports/$node" -f "$BATS_TEST_TMPDIR/report"
    [[ "$output" == *Forbidden* ]]
    [ "$(top pod two)" = "two 3050m 528Mi" ]
    stop_process node # Its own may.
    report "$node" two | say "$node" "$node"
    [ "$(top pod two)" = "two 7000m 7168Mi" ]
}

@test "whoever may view a namespace may view its metrics" {
    k create rolebinding viewer --clusterrole=view --user=viewer
    wait_until 10 k auth can-i list pods.metrics.k8s.io --as=viewer
    [ "$(k --as=viewer top pod two --no-headers | awk '{print $2}')" = 7000m ]
    fails_with 'pods.metrics.k8s.io is forbidden' --as=viewer top pod -A
    fails_with 'nodes.metrics.k8s.io is forbidden' --as=viewer top node
}
