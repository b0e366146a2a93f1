#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# HorizontalPodAutoscalers follow a load that the tests control, and say why when they can't.

load helpers

setup_file() {
    start_server && start_controllers --horizontal-pod-autoscaler-sync-period=500ms --concurrent-horizontal-pod-autoscaler-syncs=2 &&
        start_process scheduler "schedules pods" --leader-elect=false &&
        start_process node "plays" --simulate 2 --usage-report-frequency 500ms
}
teardown_file() { each_of stop_nodes stop_controllers stop_server; }
setup() { new_namespace; }

# deployment NAME REPLICAS CONTAINERS: CONTAINERS is JSON.
deployment() {
    jq -nc --arg name "$1" --argjson replicas "$2" --argjson containers "$3" '{apiVersion: "apps/v1",
        kind: "Deployment", metadata: {name: $name}, spec: {replicas: $replicas,
        selector: {matchLabels: {app: $name}}, template: {metadata: {labels: {app: $name}},
            spec: {terminationGracePeriodSeconds: 0, containers: $containers}}}}' | k -n "$NS" create -f -
}
one='[{"name": "c", "image": "a:1", "resources": {"requests": {"cpu": "100m"}}}]'
# autoscaler NAME KIND/TARGET SPEC: SPEC is JSON beside the target, with at most 10 replicas.
autoscaler() {
    local version=apps/v1
    [ "${2%/*}" != ReplicationController ] || version=v1
    jq -nc --arg name "$1" --arg version "${VERSION-$version}" --arg kind "${2%/*}" \
        --arg target "${2#*/}" --argjson spec "$3" '{apiVersion: "autoscaling/v2",
            kind: "HorizontalPodAutoscaler", metadata: {name: $name}, spec: ({maxReplicas: 10,
            scaleTargetRef: {apiVersion: $version, kind: $kind, name: $target}} + $spec)}' |
        k -n "$NS" create -f -
}
# load_pods APP SIMULATION: of all pods that there are.
load_pods() { k -n "$NS" annotate pods -l "app=$1" --overwrite "simulate.coracle.io/all=$2" >/dev/null; }
field() { k -n "$NS" get "$1" -o json | jq -rc "$2"; }
is() { [ "$(field "$1" "$2")" = "$3" ]; }
becomes() { wait_until 15 is "$@" || { k -n "$NS" get "$1" -o json | jq -c .status >&2; return 1; }; }
# condition NAME TYPE: "status reason message"
condition() {
    field "hpa/$1" ".status.conditions[] | select(.type == \"$2\") | \"\(.status) \(.reason) \(.message)\""
}
has_condition() { [ "$(condition "$1" "$2")" = "$3" ]; }
gets_condition() { wait_until 15 has_condition "$@" || { condition "$1" "$2" >&2; return 1; }; }
told() {
    k -n "$NS" get events --field-selector "involvedObject.name=$1,reason=$2" -o json | jq -r '.items[].message'
}
is_told() { told "$1" "$2" | grep -qF "$3"; }

@test "a deployment follows its load up and down" {
    deployment web 2 "$one"
    k -n "$NS" autoscale deployment web --cpu-percent=50 --min=2 --max=10
    k -n "$NS" patch hpa web -p '{"spec": {"behavior": {
        "scaleUp": {"policies": [{"type": "Percent", "value": 900, "periodSeconds": 15}]},
        "scaleDown": {"stabilizationWindowSeconds": 1}}}}'
    becomes hpa/web '.status.currentMetrics[0].resource.current' '{"averageUtilization":10,"averageValue":"10m"}'
    load_pods web cpu=140m
    becomes deployment/web .spec.replicas 6
    k -n "$NS" wait deployment web --for=jsonpath='{.status.readyReplicas}'=6 --timeout=20s
    becomes hpa/web '.status | [.currentReplicas, .desiredReplicas, .currentMetrics[0].resource.current.averageUtilization]' '[6,6,53]'
    has_condition web ScalingActive "True ValidMetricFound the HPA was able to successfully calculate a replica count from cpu resource utilization (percentage of request)"
    [[ "$(field hpa/web .status.lastScaleTime)" == 20*Z ]]
    wait_until 10 is_told web SuccessfulRescale "reason: cpu resource utilization (percentage of request) above target"
    [[ "$(k -n "$NS" get hpa web --no-headers | xargs)" == "web Deployment/web cpu: 53%/50% 2 10 6 "* ]] ||
        [ "$(client_minor)" -lt 30 ]
    load_pods web cpu=1m
    becomes deployment/web .spec.replicas 2
    gets_condition web ScalingLimited "True TooFewReplicas the desired replica count is less than the minimum replica count"
    wait_until 10 is_told web SuccessfulRescale "New size: 2; reason: All metrics below target"
}

@test "one container's use can be what counts" {
    deployment pair 1 '[{"name": "app", "image": "a:1", "resources": {"requests": {"memory": "100Mi"}}},
        {"name": "log", "image": "a:1"}]'
    autoscaler pair Deployment/pair '{"metrics": [{"type": "ContainerResource", "containerResource":
        {"name": "memory", "container": "app", "target": {"type": "Utilization", "averageUtilization": 50}}}]}'
    becomes hpa/pair '.status.currentMetrics[0].containerResource' \
        '{"container":"app","current":{"averageUtilization":50,"averageValue":"52428800"},"name":"memory"}'
    k -n "$NS" annotate pods -l app=pair simulate.coracle.io/log=memory=10Gi
    k -n "$NS" annotate pods -l app=pair simulate.coracle.io/app=memory=150Mi
    becomes deployment/pair .spec.replicas 3
    wait_until 10 is_told pair SuccessfulRescale "New size: 3; reason: memory container resource utilization (percentage of request) above target"
}

@test "whatever has a scale is scaled" {
    k -n "$NS" create -f - <<'JSON'
{"kind": "List", "apiVersion": "v1", "items": [
  {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "a"}, "spec": {"serviceName": "a",
    "selector": {"matchLabels": {"app": "a"}}, "template": {"metadata": {"labels": {"app": "a"}}, "spec":
    {"containers": [{"name": "c", "image": "a:1"}]}}}},
  {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "b"}, "spec": {
    "selector": {"matchLabels": {"app": "b"}}, "template": {"metadata": {"labels": {"app": "b"}}, "spec":
    {"containers": [{"name": "c", "image": "a:1"}]}}}},
  {"apiVersion": "v1", "kind": "ReplicationController", "metadata": {"name": "c"}, "spec": {"replicas": 4,
    "selector": {"app": "c"}, "template": {"metadata": {"labels": {"app": "c"}}, "spec":
    {"containers": [{"name": "c", "image": "a:1"}]}}}}]}
JSON
    autoscaler a StatefulSet/a '{"minReplicas": 2}'
    autoscaler b ReplicaSet/b '{"minReplicas": 3}'
    autoscaler c ReplicationController/c '{"maxReplicas": 2}'
    becomes statefulset/a .spec.replicas 2
    becomes replicaset/b .spec.replicas 3
    becomes rc/c .spec.replicas 2
    wait_until 10 is_told a SuccessfulRescale "New size: 2; reason: Current number of replicas below Spec.MinReplicas"
    wait_until 10 is_told c SuccessfulRescale "New size: 2; reason: Current number of replicas above Spec.MaxReplicas"
}

@test "a target that can't be scaled is named" {
    autoscaler none Deployment/none '{}'
    VERSION=apps/v1 autoscaler daemons DaemonSet/none '{}'
    VERSION=example.com/v1 autoscaler odd Widget/none '{}'
    local unable="the HPA controller was unable to get the target's current scale:"
    gets_condition none AbleToScale "False FailedGetScale $unable deployments.apps \"none\" not found"
    gets_condition daemons AbleToScale "False FailedGetScale $unable the server could not find the requested resource"
    gets_condition odd AbleToScale "False FailedGetScale $unable no matches for kind \"Widget\" in group \"example.com\""
    wait_until 10 is_told odd FailedGetScale 'no matches for kind "Widget" in group "example.com"'
}

@test "a target without pods is left alone, and one with two autoscalers as well" {
    deployment idle 0 "$one"
    deployment both 1 "$one"
    autoscaler idle Deployment/idle '{"minReplicas": 2}'
    autoscaler first Deployment/both '{"minReplicas": 1}'
    autoscaler second Deployment/both '{"minReplicas": 1}'
    gets_condition idle ScalingActive "False ScalingDisabled scaling is disabled since the replica count of the target is zero"
    [ "$(field deployment/idle .spec.replicas)" = 0 ]
    local words="pods by selector app=both are controlled by multiple HPAs: [$NS/first $NS/second]"
    gets_condition first ScalingActive "False AmbiguousSelector $words"
    gets_condition second ScalingActive "False AmbiguousSelector $words"
    k -n "$NS" delete hpa first
    gets_condition second ScalingActive "True ValidMetricFound the HPA was able to successfully calculate a replica count from cpu resource utilization (percentage of request)"
}

@test "metrics that nobody has are told of, and hold back a step down only" {
    local none='"target": {"type": "AverageValue", "averageValue": "10"}'
    deployment web 1 '[{"name": "c", "image": "a:1"}]'
    deployment busy 2 "$one"
    autoscaler web Deployment/web '{}'
    gets_condition web ScalingActive "False FailedGetResourceMetric the HPA was unable to compute the replica count: failed to get cpu utilization: missing request for cpu in container c of Pod $(k -n "$NS" get pods -l app=web -o jsonpath='{.items[0].metadata.name}')"
    [ "$(field hpa/web .status.currentMetrics)" = '[{"type":""}]' ]
    k -n "$NS" patch hpa web --type=merge -p "{\"spec\": {\"metrics\": [{\"type\": \"Pods\", \"pods\": {\"metric\": {\"name\": \"hits\"}, $none}}]}}"
    gets_condition web ScalingActive "False FailedGetPodsMetric the HPA was unable to compute the replica count: unable to get metric hits: unable to fetch metrics from custom metrics API: no custom metrics API (custom.metrics.k8s.io) registered"
    k -n "$NS" patch hpa web --type=merge -p "{\"spec\": {\"metrics\": [{\"type\": \"Object\", \"object\": {\"describedObject\": {\"kind\": \"Service\", \"apiVersion\": \"v1\", \"name\": \"s\"}, \"metric\": {\"name\": \"hits\"}, $none}}]}}"
    gets_condition web ScalingActive "False FailedGetObjectMetric the HPA was unable to compute the replica count: unable to get metric hits on Service $NS/s: unable to fetch metrics from custom metrics API: no custom metrics API (custom.metrics.k8s.io) registered"
    k -n "$NS" patch hpa web --type=merge -p "{\"spec\": {\"metrics\": [{\"type\": \"External\", \"external\": {\"metric\": {\"name\": \"queue\", \"selector\": {\"matchLabels\": {\"q\": \"a\"}}}, $none}}]}}"
    gets_condition web ScalingActive "False FailedGetExternalMetric the HPA was unable to compute the replica count: unable to get external metric $NS/queue/&LabelSelector{MatchLabels:map[string]string{q: a,},MatchExpressions:[]LabelSelectorRequirement{},}: unable to fetch metrics from external metrics API: the server could not find the requested resource (get queue.external.metrics.k8s.io)"
    wait_until 10 is_told web FailedComputeMetricsReplicas "invalid metrics (1 invalid out of 1), first error is: failed to get queue external metric value: failed to get queue external metric: unable to get external metric"
    # One of two metrics is enough to go up.
    k -n "$NS" rollout status deployment busy --timeout=20s
    load_pods busy cpu=140m
    autoscaler busy Deployment/busy "{\"behavior\": {\"scaleDown\": {\"stabilizationWindowSeconds\": 0}}, \"metrics\": [
        {\"type\": \"Pods\", \"pods\": {\"metric\": {\"name\": \"hits\"}, $none}},
        {\"type\": \"Resource\", \"resource\": {\"name\": \"cpu\", \"target\": {\"type\": \"Utilization\", \"averageUtilization\": 70}}}]}"
    becomes deployment/busy .spec.replicas 4
    load_pods busy cpu=1m
    gets_condition busy ScalingActive "False FailedGetPodsMetric the HPA was unable to compute the replica count: unable to get metric hits: unable to fetch metrics from custom metrics API: no custom metrics API (custom.metrics.k8s.io) registered"
    [ "$(field deployment/busy .spec.replicas)" = 4 ]
}

@test "a tolerance of an autoscaler's own, which is off by default, is dropped" {
    autoscaler own Deployment/none '{"behavior": {"scaleUp": {"tolerance": "0.5", "selectPolicy": "Min"}}}'
    [ "$(field hpa/own '.spec.behavior.scaleUp | [.tolerance, .selectPolicy]')" = '[null,"Min"]' ]
    k -n "$NS" patch hpa own -p '{"spec": {"behavior": {"scaleDown": {"tolerance": "0.5"}}}}'
    [ "$(field hpa/own .spec.behavior.scaleDown.tolerance)" = null ]
}

@test "flags that can't be are refused" {
    run "$BIN/coracle-controller-manager" --horizontal-pod-autoscaler-sync-period=0s
    [ "$status" = 2 ] && [[ "$output" == *"--horizontal-pod-autoscaler-sync-period must be 100ms or more"* ]]
    run "$BIN/coracle-controller-manager" --concurrent-horizontal-pod-autoscaler-syncs=0
    [ "$status" = 2 ] && [[ "$output" == *"--concurrent-horizontal-pod-autoscaler-syncs must be between 1 and 1000"* ]]
    run "$BIN/coracle-controller-manager" --horizontal-pod-autoscaler-tolerance=-1
    [ "$status" = 2 ]
}
