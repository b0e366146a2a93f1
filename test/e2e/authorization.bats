#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# One store is enough: what is shown does not depend on it.
#
# Who may do what: roles and bindings, their checks, and reviews, with kubectl and curl.

load helpers

setup_file() {
    export DATA=$BATS_FILE_TMPDIR/data
    mkdir -p "$DATA"
    cat >"$DATA/tokens.csv" <<CSV
jane-token,jane,1,"devs"
joe-token,joe,2
robot-token,system:serviceaccount:default:robot,3,"system:serviceaccounts,system:serviceaccounts:default"
node-a-token,system:node:a,4,"system:nodes"
node-b-token,system:node:b,5,"system:nodes"
node-solo-token,system:node:solo,6,"system:nodes"
CSV
    start_server
}
teardown_file() { stop_server; }
setup() { new_namespace; }

# as USER ARGUMENTS…: kubectl with that user's token.
as() {
    local user=$1
    shift
    "$KUBECTL" --kubeconfig /dev/null --server "https://127.0.0.1:$PORT" \
        --certificate-authority "$DATA/pki/ca.crt" --token "$user-token" "$@"
}

# ask USER METHOD PATH [CURL ARGUMENTS…]: the answer's status, its body in $BATS_TEST_TMPDIR/body.
ask() {
    local user=$1 method=$2 path=$3
    shift 3
    curl -sS -X "$method" --cacert "$DATA/pki/ca.crt" -H "Authorization: Bearer $user-token" \
        -o "$BATS_TEST_TMPDIR/body" -w '%{http_code}' "$@" "https://127.0.0.1:$PORT$path"
}

# n ARGUMENTS…: kubectl in the test's namespace, as the administrator.
n() {
    k -n "$NS" "$@"
}

message() {
    jq -r .message "$BATS_TEST_TMPDIR/body"
}

# refused COMMAND…: it fails; what it says is in $output.
refused() {
    run "$@"
    [ "$status" -ne 0 ]
}

@test "what a policy says holds for the next request" {
    local n
    for n in 1 2 3; do
        [ "$(ask jane GET "/api/v1/namespaces/$NS/pods")" = 403 ]
        [ "$(message)" = "pods is forbidden: User \"jane\" cannot list resource \"pods\" in API group \"\" in the namespace \"$NS\"" ]
        n create role reader --verb=get,list --resource=pods
        n create rolebinding reader --role=reader --group=devs
        [ "$(ask jane GET "/api/v1/namespaces/$NS/pods")" = 200 ]
        [ "$(ask joe GET "/api/v1/namespaces/$NS/pods")" = 403 ]
        [ "$(ask jane GET /api/v1/namespaces/default/pods)" = 403 ]
        [ "$(ask jane GET /api/v1/pods)" = 403 ]
        [[ "$(message)" == *"at the cluster scope" ]]
        [ "$(ask jane GET "/api/v1/namespaces/$NS/pods/x/log")" = 403 ]
        [[ "$(message)" == 'pods "x" is forbidden: User "jane" cannot get resource "pods/log" in'* ]]
        n patch role reader --type=json -p '[{"op": "replace", "path": "/rules/0/verbs", "value": ["get"]}]'
        [ "$(ask jane GET "/api/v1/namespaces/$NS/pods")" = 403 ]
        n delete rolebinding reader
        [ "$(ask jane GET "/api/v1/namespaces/$NS/pods/x")" = 403 ]
        n delete role reader
    done
}

@test "a binding of a role that is missing is told of with the refusal" {
    n create rolebinding ghost --clusterrole=ghost --user=jane
    [ "$(ask jane GET "/api/v1/namespaces/$NS/pods")" = 403 ]
    [[ "$(message)" == *": RBAC: clusterrole.rbac.authorization.k8s.io \"ghost\" not found" ]]
}

@test "names, subresources and collections are told apart" {
    k apply -f - <<YAML
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: odd, namespace: $NS}
rules:
- {apiGroups: [""], resources: [configmaps], resourceNames: [one], verbs: [get, list, watch, delete]}
- {apiGroups: ["*"], resources: ["*/scale"], verbs: [get]}
- {apiGroups: [""], resources: [secrets], verbs: [deletecollection]}
YAML
    n create rolebinding odd --role=odd --user=joe
    n create configmap one
    local base=/api/v1/namespaces/$NS
    [ "$(ask joe GET "$base/configmaps/one")" = 200 ]
    [ "$(ask joe GET "$base/configmaps/two")" = 403 ]
    [ "$(ask joe GET "$base/configmaps")" = 403 ]
    [ "$(ask joe GET "$base/configmaps?fieldSelector=metadata.name%3Done")" = 200 ]
    [ "$(ask joe GET "$base/configmaps?fieldSelector=metadata.name%3Dtwo")" = 403 ]
    [ "$(ask joe DELETE "$base/configmaps")" = 403 ]
    [ "$(ask joe DELETE "$base/secrets")" = 200 ]
    [ "$(ask joe DELETE "$base/secrets/x")" = 403 ]
    [ "$(ask joe GET "/apis/apps/v1/namespaces/$NS/deployments/x/scale")" = 404 ]
    [ "$(ask joe GET "/apis/apps/v1/namespaces/$NS/deployments/x")" = 403 ]
}

@test "no spelling of a path leads past the rules for paths" {
    k create clusterrole "paths-$NS" --verb=get --non-resource-url='/healthz/*'
    k create clusterrolebinding "paths-$NS" --clusterrole="paths-$NS" --user=joe
    [ "$(ask joe GET /healthz/ping)" = 200 ]
    local path
    for path in /metrics //metrics /Metrics /METRICS /metrics/ /healthz/../metrics \
        /healthz/%2e%2e/metrics /healthz/..%2fmetrics /healthz%2f..%2fmetrics /healthz//../metrics \
        '/healthz/..;/metrics' '/metrics?/healthz/ping' /%6detrics /version/../metrics \
        /healthz/../api/v1/secrets '//api/v1/secrets' /api/v1/%73ecrets /API/v1/secrets \
        /api/v1/Secrets "/api/v1/namespaces/$NS%2fsecrets" "/api/v1//namespaces/$NS/secrets" \
        /api/v1/watch/secrets; do
        status=$(ask joe GET "$path" --path-as-is)
        echo "$path: $status"
        [ "$status" = 403 ] || [ "$status" = 404 ]
        not grep -q apiserver_request "$BATS_TEST_TMPDIR/body"
        not grep -q SecretList "$BATS_TEST_TMPDIR/body"
    done
}

@test "the anonymous see health in short and the version" {
    local path
    anonymous() {
        curl -sS --cacert "$DATA/pki/ca.crt" -o /dev/null -w '%{http_code}' "https://127.0.0.1:$PORT$1"
    }
    for path in /healthz /livez /readyz /version; do
        [ "$(anonymous $path)" = 200 ]
    done
    for path in /healthz/ping /api /apis /openapi/v3 /metrics /; do
        [ "$(anonymous $path)" = 403 ]
    done
    [ "$(ask jane GET /apis)" = 200 ]
    [ "$(ask jane GET /metrics)" = 403 ]
}

# ---- escalation ----

@test "nobody writes a role with more than they hold" {
    n create role writer --verb=get,create,update,patch --resource=roles.rbac.authorization.k8s.io
    n create role podder --verb=get,list --resource=pods
    n create rolebinding writer --role=writer --user=jane
    n create rolebinding podder --role=podder --user=jane
    refused as jane -n "$NS" create role more --verb=get,delete --resource=pods
    [[ "$output" == *"roles.rbac.authorization.k8s.io \"more\" is forbidden: user \"jane\" (groups=[\"devs\" \"system:authenticated\"]) is attempting to grant RBAC permissions not currently held:"* ]]
    [[ "$output" == *'{APIGroups:[""], Resources:["pods"], Verbs:["delete"]}'* ]]
    as jane -n "$NS" create role same --verb=get --resource=pods
    refused as jane -n "$NS" patch role same --type=json \
        -p '[{"op": "add", "path": "/rules/0/verbs/-", "value": "*"}]'
    [[ "$output" == *'{APIGroups:[""], Resources:["pods"], Verbs:["*"]}'* ]]
    refused as jane -n "$NS" patch role podder --type=merge \
        -p '{"rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]}'
    as jane -n "$NS" annotate role same a=b
    # A role that somebody else made larger can't be written again, but let go.
    n create role large --verb=delete --resource=nodes
    refused as jane -n "$NS" annotate role large a=b
    as jane -n "$NS" patch role large --type=merge -p '{"metadata": {"finalizers": ["a/b"]}}'
    as jane -n "$NS" patch role large --type=merge -p '{"metadata": {"finalizers": null}}'
    n create role escalator --verb=escalate --resource=roles.rbac.authorization.k8s.io
    n create rolebinding escalator --role=escalator --user=jane
    as jane -n "$NS" create role more --verb=delete --resource=pods
}

@test "nobody binds a role with more than they hold" {
    n create role binder --verb=create,update,patch --resource=rolebindings.rbac.authorization.k8s.io
    n create rolebinding binder --role=binder --user=joe
    n create role podder --verb=get --resource=pods
    refused as joe -n "$NS" create rolebinding up --clusterrole=cluster-admin --user=joe
    [[ "$output" == *'rolebindings.rbac.authorization.k8s.io "up" is forbidden: user "joe" (groups=["system:authenticated"]) is attempting to grant RBAC permissions not currently held:'* ]]
    [[ "$output" == *'{APIGroups:["*"], Resources:["*"], Verbs:["*"]}'*'{NonResourceURLs:["*"], Verbs:["*"]}'* ]]
    refused as joe -n "$NS" create rolebinding up --role=podder --user=joe
    refused as joe -n "$NS" create rolebinding up --role=ghost --user=joe
    [[ "$output" == *'roles.rbac.authorization.k8s.io "ghost" not found'* ]]
    # Nor with oneself added to another's binding.
    n create rolebinding others --role=podder --user=jane
    refused as joe -n "$NS" patch rolebinding others --type=json \
        -p '[{"op": "add", "path": "/subjects/-", "value": {"kind": "User", "name": "joe", "apiGroup": "rbac.authorization.k8s.io"}}]'
    n create role bind-podder --verb=bind --resource=roles.rbac.authorization.k8s.io --resource-name=podder
    n create rolebinding bind-podder --role=bind-podder --user=joe
    as joe -n "$NS" create rolebinding up --role=podder --user=joe
    refused n patch rolebinding up --type=merge -p '{"roleRef": {"name": "binder"}}'
    [[ "$output" == *"cannot change roleRef"* ]]
}

@test "aggregation is no way to more" {
    k create clusterrole "writer-$NS" --verb='create,update,patch,get' --resource=clusterroles.rbac.authorization.k8s.io
    k create clusterrolebinding "writer-$NS" --clusterrole="writer-$NS" --user=joe
    refused as joe create -f - <<YAML
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: gather-$NS}
aggregationRule: {clusterRoleSelectors: [{matchLabels: {kubernetes.io/bootstrapping: rbac-defaults}}]}
YAML
    [[ "$output" == *"must have cluster-admin privileges to use the aggregationRule"* ]]
    refused as joe create -f - <<YAML
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: give-$NS, labels: {rbac.authorization.k8s.io/aggregate-to-view: "true"}}
rules: [{apiGroups: [""], resources: [secrets], verbs: [get]}]
YAML
    refused as joe label clusterrole system:controller:generic-garbage-collector \
        rbac.authorization.k8s.io/aggregate-to-view=true
    refused as joe patch clusterrole view --type=merge \
        -p '{"aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {}}]}}'
}

@test "roles that gather others have their rules" {
    gathered() {
        [ "$(k get clusterrole "$1" -o json | jq --arg resource "$2" \
            '[.rules[]? | select(.resources | index($resource))] | length > 0')" = true ]
    }
    start_controllers --controllers clusterrole-aggregation-controller
    wait_until 10 gathered admin localsubjectaccessreviews # From a role of its own,
    wait_until 10 gathered admin serviceaccounts/token     # by edit,
    wait_until 10 gathered admin endpointslices            # and by view and edit.
    not gathered view secrets
    k create clusterrole "more-$NS" --verb=get --resource=flowschemas.flowcontrol.apiserver.k8s.io
    k label clusterrole "more-$NS" rbac.authorization.k8s.io/aggregate-to-view=true
    wait_until 10 gathered admin flowschemas
    n create rolebinding admin --clusterrole=admin --user=joe
    [ "$(as joe -n "$NS" auth can-i get flowschemas.flowcontrol.apiserver.k8s.io)" = yes ]
    as joe -n "$NS" create role own --verb=get --resource=secrets
    refused as joe -n "$NS" create role own2 --verb=get --resource=nodes
    k delete clusterrole "more-$NS"
    wait_until 10 not gathered admin flowschemas
    stop_controllers
}

# ---- nodes ----

# pod_on NODE NAME [SPEC FIELDS]: a pod that is bound to the node.
pod_on() {
    n create -f - <<YAML
apiVersion: v1
kind: Pod
metadata: {name: $2}
spec:
  nodeName: $1
  containers: [{name: c, image: nginx}]
  ${3:-}
YAML
}

@test "a node reads what its pods use, and nothing of another's" {
    n create secret generic mine --from-literal=a=b
    n create secret generic theirs --from-literal=a=b
    pod_on a mine 'volumes: [{name: v, secret: {secretName: mine}}]'
    pod_on b theirs 'volumes: [{name: v, secret: {secretName: theirs}}]'
    local base=/api/v1/namespaces/$NS
    [ "$(ask node-a GET "$base/secrets/mine")" = 200 ]
    [ "$(ask node-a GET "$base/secrets/theirs")" = 403 ]
    [ "$(message)" = "secrets \"theirs\" is forbidden: User \"system:node:a\" cannot get resource \"secrets\" in API group \"\" in the namespace \"$NS\": no relationship found between node 'a' and this object" ]
    [ "$(ask node-b GET "$base/secrets/theirs")" = 200 ]
    [ "$(ask node-a GET "$base/secrets")" = 403 ]
    [ "$(ask node-a GET "$base/pods/theirs")" = 403 ]
    [ "$(ask node-a GET "/api/v1/pods?fieldSelector=spec.nodeName%3Da")" = 200 ]
    [ "$(ask node-a GET /api/v1/pods)" = 403 ]
    [ "$(ask node-a GET /api/v1/nodes)" = 403 ]
    n delete pod mine --grace-period=0 --force
    [ "$(ask node-a GET "$base/secrets/mine")" = 403 ]
    [[ "$(as node-a auth can-i --list -n "$NS" 2>&1)" == *"node authorizer does not support user rule resolution"* ]]
}

@test "a node changes itself and its pods, but not what draws others to it" {
    as node-a create -f - <<YAML
apiVersion: v1
kind: Node
metadata: {name: a, labels: {kubernetes.io/hostname: a, own: "1"}}
YAML
    refused as node-a create -f - <<YAML
apiVersion: v1
kind: Node
metadata: {name: c}
YAML
    [[ "$output" == *'nodes "c" is forbidden: node "a" is not allowed to modify node "c"'* ]]
    as node-a label node a --overwrite own=2 node.kubernetes.io/x=y
    refused as node-a label node a node-role.kubernetes.io/control-plane= node-restriction.kubernetes.io/x=y
    [[ "$output" == *'is not allowed to modify labels: node-restriction.kubernetes.io/x, node-role.kubernetes.io/control-plane'* ]]
    refused as node-a patch node a --type=merge -p '{"spec": {"taints": null}}'
    [[ "$output" == *'node "a" is not allowed to modify taints'* ]]
    refused as node-a label node b own=2
    pod_on b theirs
    pod_on a mine
    refused as node-a -n "$NS" delete pod theirs
    [[ "$output" == *'pods "theirs" is forbidden: node "a" can only delete pods with spec.nodeName set to itself'* ]]
    [ "$(ask node-a PATCH "/api/v1/namespaces/$NS/pods/theirs/status" -H 'Content-Type: application/merge-patch+json' \
        -d '{"status": {"phase": "Running"}}')" = 403 ]
    [ "$(ask node-a PATCH "/api/v1/namespaces/$NS/pods/mine/status" -H 'Content-Type: application/merge-patch+json' \
        -d '{"status": {"phase": "Running"}}')" = 200 ]
    [ "$(ask node-a PATCH "/api/v1/namespaces/$NS/pods/mine/status" -H 'Content-Type: application/merge-patch+json' \
        -d '{"metadata": {"labels": {"a": "b"}}}')" = 403 ]
    [ "$(message)" = 'pods "mine" is forbidden: node "a" cannot update labels through pod status' ]
    local eviction='{"apiVersion": "policy/v1", "kind": "Eviction"}'
    [ "$(ask node-a POST "/api/v1/namespaces/$NS/pods/theirs/eviction" -H 'Content-Type: application/json' -d "$eviction")" = 403 ]
    [ "$(message)" = 'pods "theirs" is forbidden: node a can only evict pods with spec.nodeName set to itself' ]
    [ "$(ask node-a POST "/api/v1/namespaces/$NS/pods/mine/eviction" -H 'Content-Type: application/json' -d "$eviction")" = 201 ]
}

@test "a node makes no pods but mirrors of its own, and no leases but its own" {
    mirror() {
        local uid
        uid=$(k get node a -o jsonpath='{.metadata.uid}')
        as node-a -n "$NS" create -f - <<YAML
apiVersion: v1
kind: Pod
metadata:
  name: $1
  annotations: {$2: x}
  ownerReferences: [{apiVersion: v1, kind: Node, name: a, uid: $uid, controller: true}]
spec:
  nodeName: $3
  containers: [{name: c, image: nginx}]
  ${4:-}
YAML
    }
    refused mirror plain other/annotation a
    [[ "$output" == *'pod does not have "kubernetes.io/config.mirror" annotation, node "a" can only create mirror pods'* ]]
    refused mirror other kubernetes.io/config.mirror b
    [[ "$output" == *'node "a" can only create pods with spec.nodeName set to itself'* ]]
    refused mirror greedy kubernetes.io/config.mirror a 'volumes: [{name: v, secret: {secretName: theirs}}]'
    [[ "$output" == *'node "a" can not create pods that reference secrets'* ]]
    mirror good kubernetes.io/config.mirror a
    lease() {
        ask node-a POST /apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases -H 'Content-Type: application/json' \
            -d "{\"apiVersion\": \"coordination.k8s.io/v1\", \"kind\": \"Lease\", \"metadata\": {\"name\": \"$1\"}}"
    }
    [ "$(lease b)" = 403 ]
    [ "$(message)" = 'leases.coordination.k8s.io "b" is forbidden: can only access node lease with the same name as the requesting node' ]
    [ "$(lease a)" = 201 ]
    token() {
        ask node-a POST "/api/v1/namespaces/$NS/serviceaccounts/robot/token" -H 'Content-Type: application/json' \
            -d "{\"apiVersion\": \"authentication.k8s.io/v1\", \"kind\": \"TokenRequest\", \"spec\": $1}"
    }
    n create serviceaccount robot
    [ "$(token '{}')" = 403 ]
    [[ "$(message)" == *"no relationship found between node 'a' and this object" ]]
    pod_on a robots 'serviceAccountName: robot'
    [ "$(token '{}')" = 403 ]
    [[ "$(message)" == *"node requested token not bound to a pod" ]]
    uid=$(n get pod robots -o jsonpath='{.metadata.uid}')
    [ "$(token "{\"boundObjectRef\": {\"apiVersion\": \"v1\", \"kind\": \"Pod\", \"name\": \"robots\", \"uid\": \"$uid\"}}")" = 201 ]
}

@test "a kubelet lives on what one node may do" {
    sed -e 's/client-certificate-data: .*/token: node-solo-token/' -e '/client-key-data/d' \
        "$DATA/pki/node.kubeconfig" >"$DATA/pki/solo.kubeconfig"
    "$BIN/coracle-node" --kubeconfig "$DATA/pki/solo.kubeconfig" --hostname-override solo \
        --healthz-bind-address 127.0.0.1:0 >"$BATS_FILE_TMPDIR/node.log" 2>&1 3>&- 4>&- &
    echo $! >"$BATS_FILE_TMPDIR/node.pid"
    wait_until 10 k wait node solo --for=condition=Ready --timeout=10s
    k patch node solo -p '{"spec": {"podCIDR": "10.9.0.0/24", "podCIDRs": ["10.9.0.0/24"]}}'
    pod_on solo lonely
    n wait pod lonely --for=condition=Ready --timeout=10s
    n delete pod lonely --wait --timeout=30s --grace-period=1
    stop_process node
    not grep -i forbidden "$BATS_FILE_TMPDIR/node.log"
}

# ---- reviews ----

@test "kubectl auth can-i answers, with reasons" {
    n create role reader --verb=get,list --resource=pods --resource-name=one
    n create rolebinding reader --role=reader --user=jane
    [ "$(as jane -n "$NS" auth can-i get pods/one)" = yes ]
    [ "$(as jane -n "$NS" auth can-i get pods || true)" = no ]
    [ "$(as jane auth can-i get pods/one -n default || true)" = no ]
    [ "$(as jane auth can-i get /api)" = yes ]
    [ "$(as jane auth can-i get /metrics || true)" = no ]
    [ "$(k auth can-i '*' '*')" = yes ]
    run as jane -n "$NS" auth can-i --list
    echo "$output"
    [[ "$output" =~ pods\ +\[\]\ +\[one\]\ +\[get\ list\] ]]
    [[ "$output" =~ selfsubjectaccessreviews.authorization.k8s.io\ +\[\]\ +\[\]\ +\[create\] ]]
    [[ "$output" =~ \[/api/\*\]\ +\[\]\ +\[get\] ]]
}

@test "reviews of others tell who may do what, and why" {
    k create clusterrolebinding "view-$NS" --clusterrole=system:discovery --group=auditors
    n create rolebinding robot --clusterrole=system:kube-dns --serviceaccount="$NS:robot"
    run api POST /apis/authorization.k8s.io/v1/subjectaccessreviews -H 'Content-Type: application/json' -d \
        '{"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": {"groups": ["auditors"], "nonResourceAttributes": {"path": "/api", "verb": "get"}}}'
    [ "$(jq -cS .status <<<"$output")" = "{\"allowed\":true,\"reason\":\"RBAC: allowed by ClusterRoleBinding \\\"view-$NS\\\" of ClusterRole \\\"system:discovery\\\" to Group \\\"auditors\\\"\"}" ]
    run api POST "/apis/authorization.k8s.io/v1/namespaces/$NS/localsubjectaccessreviews" -H 'Content-Type: application/json' -d \
        "{\"apiVersion\": \"authorization.k8s.io/v1\", \"kind\": \"LocalSubjectAccessReview\", \"metadata\": {\"namespace\": \"$NS\"}, \"spec\": {\"user\": \"system:serviceaccount:$NS:robot\", \"resourceAttributes\": {\"namespace\": \"$NS\", \"resource\": \"services\", \"verb\": \"list\"}}}"
    [ "$(jq -cS .status <<<"$output")" = "{\"allowed\":true,\"reason\":\"RBAC: allowed by RoleBinding \\\"robot/$NS\\\" of ClusterRole \\\"system:kube-dns\\\" to ServiceAccount \\\"robot/$NS\\\"\"}" ]
    run api POST "/apis/authorization.k8s.io/v1/namespaces/$NS/localsubjectaccessreviews" -H 'Content-Type: application/json' -d \
        "{\"apiVersion\": \"authorization.k8s.io/v1\", \"kind\": \"LocalSubjectAccessReview\", \"spec\": {\"user\": \"x\", \"resourceAttributes\": {\"namespace\": \"default\", \"resource\": \"services\", \"verb\": \"list\"}}}"
    [[ "$(jq -r .message <<<"$output")" == *"spec.resourceAttributes.namespace: Invalid value: \"default\": must match metadata.namespace"* ]]
    run api POST /apis/authorization.k8s.io/v1/subjectaccessreviews -H 'Content-Type: application/json' -d \
        '{"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": {}}'
    [[ "$(jq -r .message <<<"$output")" == *"exactly one of nonResourceAttributes or resourceAttributes must be specified"*"at least one of user or group must be specified"* ]]
    [ "$(ask jane POST /apis/authorization.k8s.io/v1/subjectaccessreviews -d '{}')" = 403 ]
}

@test "selectors in reviews are checked, but for operators that others may know" {
    sar() { api POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews --json "{\"spec\": {\"resourceAttributes\": {\"resource\": \"pods\", \"verb\": \"list\", $1}}}"; }
    [ "$(sar '"labelSelector": {"requirements": [{"key": "a", "operator": "Soon"}]}, "fieldSelector": {"rawSelector": "x"}' | jq .status.allowed)" = true ]
    [ "$(sar '"labelSelector": {"requirements": [{"key": "a", "operator": "In"}, {"key": "", "operator": "Exists", "values": ["b"]}]},
        "fieldSelector": {"requirements": [{"key": "", "operator": "NotIn", "values": ["b"]}], "rawSelector": "a"}' |
        jq -r '.details.causes[] | "\(.field) \(.reason)"')" = "spec.resourceAttributes.fieldSelector.rawSelector FieldValueInvalid
spec.resourceAttributes.fieldSelector.requirements[0].key FieldValueRequired
spec.resourceAttributes.labelSelector.requirements[0].values FieldValueRequired
spec.resourceAttributes.labelSelector.requirements[1].values FieldValueForbidden
spec.resourceAttributes.labelSelector.requirements[1].key FieldValueInvalid" ]
    [[ "$(sar '"labelSelector": {}' | jq -r .message)" == *' "" is invalid: spec.resourceAttributes.labelSelector.requirements: Required value: when spec.resourceAttributes.labelSelector is specified, requirements or rawSelector is required' ]]
}

@test "kubectl auth reconcile adds what is missing" {
    n create role part --verb=get --resource=pods
    cat >"$BATS_TEST_TMPDIR/part.yaml" <<YAML
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: part, namespace: $NS}
rules: [{apiGroups: [""], resources: [secrets], verbs: [get]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: part, namespace: $NS}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: part}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: joe}]
YAML
    k auth reconcile -f "$BATS_TEST_TMPDIR/part.yaml"
    [ "$(as joe -n "$NS" auth can-i get pods)" = yes ]
    [ "$(as joe -n "$NS" auth can-i get secrets)" = yes ]
}

# ---- the policy of every cluster ----

@test "the policy of every cluster is mended at the next start" {
    k delete clusterrole system:discovery
    k patch clusterrole system:basic-user --type=json -p '[{"op": "remove", "path": "/rules/0"}]'
    k patch clusterrolebinding system:public-info-viewer --type=merge -p '{"subjects": null}'
    k annotate --overwrite clusterrole system:heapster rbac.authorization.kubernetes.io/autoupdate=false
    k patch clusterrole system:heapster --type=merge -p '{"rules": []}'
    k patch clusterrole system:kube-dns --type=json \
        -p '[{"op": "add", "path": "/rules/-", "value": {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}}]'
    k delete clusterrolebinding system:monitoring
    k create clusterrolebinding system:monitoring --clusterrole=cluster-admin --user=mallory
    before=$(k get clusterroles,clusterrolebindings,roles,rolebindings -A -o json |
        jq '[.items[] | select(.metadata.labels["kubernetes.io/bootstrapping"] != null)] | length')
    stop_server
    start_server
    [ "$(as joe auth can-i get /apis)" = yes ]
    [ "$(ask joe POST /apis/authorization.k8s.io/v1/selfsubjectrulesreviews -H 'Content-Type: application/json' \
        -d '{"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview", "spec": {"namespace": "x"}}')" = 201 ]
    [ "$(k get clusterrolebinding system:public-info-viewer -o json | jq '.subjects | length')" = 2 ]
    [ "$(k get clusterrole system:heapster -o json | jq '.rules | length')" = 0 ]
    [ "$(k get clusterrole system:kube-dns -o json | jq '.rules | length')" = 2 ]
    [ "$(k get clusterrolebinding system:monitoring -o json | jq -c '[.roleRef.name, .subjects[].name]')" = \
        '["system:monitoring","system:monitoring"]' ]
    [ "$before" -ge 100 ]
}
