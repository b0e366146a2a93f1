#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# One store is enough: what is shown does not depend on it.
#
# Values that are zero: kept where Go has a pointer, gone where it has "omitempty", there in any case
# where it has neither.

load helpers

setup_file() { start_server; }
teardown_file() { stop_server; }
setup() { new_namespace; }

# holds FILTER…: each jq filter is true of ANSWER.
holds() {
    local filter
    for filter in "$@"; do
        jq -e "$filter" >/dev/null <<<"$ANSWER" || {
            echo "not true: $filter" >&2
            jq . <<<"$ANSWER" >&2
            return 1
        }
    done
}

deployment() {
    cat <<YAML
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, annotations: {}}
spec:
  replicas: 0
  paused: false
  minReadySeconds: 0
  revisionHistoryLimit: 0
  strategy: {type: "", rollingUpdate: {maxSurge: 0, maxUnavailable: 1}}
  selector: {matchLabels: {a: b}, matchExpressions: []}
  template:
    metadata: {labels: {a: b}, creationTimestamp: null}
    spec:
      hostNetwork: false
      priority: 0
      tolerations: []
      terminationGracePeriodSeconds: 0
      dnsPolicy: ""
      securityContext: {runAsUser: 0, fsGroup: 0}
      containers:
      - {name: a, image: i, stdin: false, command: [], livenessProbe: {timeoutSeconds: 0, httpGet: {port: 80}}}
      volumes: [{name: v, emptyDir: {medium: ""}}]
YAML
}

looks_as_upstream() {
    holds '.spec.replicas == 0' '.spec | has("paused", "minReadySeconds") | not' \
        '.metadata | has("annotations") | not' '.spec.revisionHistoryLimit == 0' \
        '.spec.strategy == {"type":"RollingUpdate","rollingUpdate":{"maxSurge":0,"maxUnavailable":1}}' \
        '.spec.selector == {"matchLabels":{"a":"b"}}' \
        '.spec.template.metadata == {"labels":{"a":"b"}}' \
        '.spec.template.spec | has("hostNetwork", "tolerations") | not' \
        '.spec.template.spec | .priority == 0 and .terminationGracePeriodSeconds == 0
            and .dnsPolicy == "ClusterFirst" and .securityContext == {"runAsUser":0,"fsGroup":0}
            and .volumes == [{"name":"v","emptyDir":{}}]' \
        '.spec.template.spec.containers[0] | .resources == {} and .livenessProbe.timeoutSeconds == 1
            and (has("stdin", "command") | not)' \
        '.status == {}'
}

@test "a body in JSON, in YAML and in protobuf gives the same object" {
    local path=/apis/apps/v1/namespaces/$NS/deployments
    ANSWER=$(deployment | api POST "$path" -H 'Content-Type: application/yaml' --data-binary @-)
    looks_as_upstream
    k -n "$NS" delete deployment web
    deployment | k -n "$NS" create -f -
    ANSWER=$(k -n "$NS" get deployment web -o json)
    looks_as_upstream
    k -n "$NS" create deployment other --image i --replicas 0
    ANSWER=$(k -n "$NS" get deployment other -o json)
    holds '.spec.replicas == 0' '.status == {}' '.spec.template.metadata == {"labels":{"app":"other"}}' \
        '.spec.template.spec.containers[0] | has("stdin", "tty", "command") | not'
}

@test "a patch sets values to zero" {
    k -n "$NS" create deployment web --image i
    ANSWER=$(k -n "$NS" patch deployment web --type merge -o json \
        -p '{"spec":{"paused":true,"minReadySeconds":5,"replicas":3}}')
    holds '.spec | .paused and .minReadySeconds == 5 and .replicas == 3'
    ANSWER=$(k -n "$NS" patch deployment web -o json \
        -p '{"spec":{"paused":false,"minReadySeconds":0,"replicas":0}}')
    holds '.spec | .replicas == 0 and (has("paused", "minReadySeconds") | not)'
}

@test "a scale of nothing is shown and set" {
    k -n "$NS" create deployment web --image i --replicas 2
    k -n "$NS" scale deployment web --replicas 0
    ANSWER=$(api GET "/apis/apps/v1/namespaces/$NS/deployments/web/scale")
    holds '.spec == {}' '.status.replicas == 0'
    [ "$(k -n "$NS" get deployment web -o jsonpath='{.spec.replicas}')" = 0 ]
}

@test "what is never left out is there" {
    ANSWER=$(k create clusterrole "$NS" --verb get --resource pods -o json)
    holds '.rules | length == 1'
    ANSWER=$(api POST /apis/rbac.authorization.k8s.io/v1/clusterroles \
        -H 'Content-Type: application/json' -d "{\"metadata\":{\"name\":\"$NS-none\"}}")
    holds 'has("rules") and .rules == null'
    k delete clusterrole "$NS" "$NS-none"
    ANSWER=$(k -n "$NS" create -o json -f - <<'YAML'
apiVersion: apps/v1
kind: ReplicaSet
metadata: {name: r}
spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: a, image: i}]}}}
YAML
    )
    holds '.status == {"replicas":0}'
    ANSWER=$(k -n "$NS" create service clusterip s --tcp 80 -o json)
    holds '.status == {"loadBalancer":{}}'
}

@test "an empty string is a choice only where it can be told from none" {
    run k -n "$NS" create --validate=false -f - <<'YAML'
{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"},
 "spec": {"ports": [{"port": 80}], "type": "", "internalTrafficPolicy": ""}}
YAML
    [ "$status" -ne 0 ]
    [[ "$output" == *'spec.internalTrafficPolicy: Unsupported value: ""'* ]]
    [[ "$output" != *spec.type* ]]
}
