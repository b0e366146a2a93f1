#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# One store is enough: what is shown does not depend on it.
#
# As whom controllers and simulated nodes speak to the API server, and what that keeps them from.

load helpers

setup_file() { start_server && start_controllers && start_nodes 2; }
teardown_file() { stop_nodes && stop_controllers && stop_server; }
setup() { new_namespace; }

n() {
    k -n "$NS" "$@"
}

# can ACCOUNT VERB RESOURCE: whether a controller's account may, everywhere.
can() {
    [ "$(k auth can-i "$2" "$3" -A --as "system:serviceaccount:kube-system:$1")" = yes ]
}

has_replicas() {
    [ "$(n get deployment "$1" -o jsonpath='{.status.replicas}')" = "$2" ]
}

# was_refused ACCOUNT: the server refused its controller something, as that user.
was_refused() {
    grep -q "User \"system:serviceaccount:kube-system:$1\" cannot" "$BATS_FILE_TMPDIR/controller-manager.log"
}

@test "each controller has an account of its own, and no more than its role" {
    n create deployment web --image=x
    wait_until 20 has_replicas web 1
    k -n kube-system get serviceaccount deployment-controller replicaset-controller node-controller >/dev/null
    can replicaset-controller create pods
    not can replicaset-controller get secrets
    not can deployment-controller create pods
    # The process itself reads, and gives tokens out.
    [ "$(k auth can-i list pods -A --as system:kube-controller-manager)" = yes ]
    [ "$(k auth can-i create pods -A --as system:kube-controller-manager)" = no ]
}

@test "a role that is taken away stops its controller and no other" {
    local saved=$BATS_TEST_TMPDIR/binding.json
    k get clusterrolebinding system:controller:replicaset-controller -o json |
        jq 'del(.metadata.uid, .metadata.resourceVersion, .metadata.creationTimestamp)' >"$saved"
    k delete clusterrolebinding system:controller:replicaset-controller
    n create deployment web --image=x
    wait_until 20 was_refused replicaset-controller
    [ "$(n get replicaset -o json | jq '.items | length')" = 1 ] # By the deployment controller.
    [ "$(n get pods -o name)" = "" ]
    k create -f "$saved"
    wait_until 30 has_replicas web 1
}

@test "an account that is deleted is made again" {
    local before
    n create deployment web --image=x
    wait_until 20 has_replicas web 1
    before=$(k -n kube-system get serviceaccount replicaset-controller -o jsonpath='{.metadata.uid}')
    k -n kube-system delete serviceaccount replicaset-controller
    n scale deployment web --replicas=2
    wait_until 30 has_replicas web 2
    [ "$(k -n kube-system get serviceaccount replicaset-controller -o jsonpath='{.metadata.uid}')" != "$before" ]
}

# as_node NAME METHOD PATH [CURL ARGUMENTS…]: the answer's status to coracle-node in that node's name.
as_node() {
    local node=$1 method=$2 path=$3
    shift 3
    curl -sS -X "$method" --cacert "$DATA/pki/ca.crt" --cert "$DATA/pki/node.crt" --key "$DATA/pki/node.key" \
        -H "Impersonate-User: system:node:$node" -H "Impersonate-Group: system:nodes" \
        -H 'Content-Type: application/strategic-merge-patch+json' -o "$BATS_TEST_TMPDIR/body" \
        -w '%{http_code}' "$@" "https://127.0.0.1:$PORT$path"
}

message() {
    jq -r .message "$BATS_TEST_TMPDIR/body"
}

@test "a simulated node may write its own status and pods, and no other node's" {
    local status='{"metadata": {"labels": {"x": "y"}}}' pod
    n run lonely --image=x --overrides='{"spec": {"nodeName": "node-2"}}'
    n wait pod lonely --for=condition=Ready --timeout=20s
    pod=/api/v1/namespaces/$NS/pods/lonely
    [ "$(as_node node-1 PATCH /api/v1/nodes/node-1/status -d "$status")" = 200 ]
    [ "$(as_node node-1 PATCH /api/v1/nodes/node-2/status -d "$status")" = 403 ]
    [[ "$(message)" == *"node \"node-1\" is not allowed to modify node \"node-2\""* ]]
    [ "$(as_node node-1 PATCH "$pod/status" -d '{"status": {"reason": "x"}}')" = 403 ]
    [[ "$(message)" == *"node \"node-1\" can only update pod status for pods with spec.nodeName set to itself"* ]]
    [ "$(as_node node-1 DELETE "$pod")" = 403 ]
    [ "$(as_node node-2 DELETE "$pod")" = 200 ]
    not grep -i forbidden "$BATS_FILE_TMPDIR/node.log"
}

@test "the process of simulated nodes may be no other user, and write nothing as itself" {
    [ "$(as_node node-9 GET /api/v1/nodes/node-9)" = 403 ]
    [ "$(message)" = 'users "system:node:node-9" is forbidden: User "system:coracle-node" cannot impersonate resource "users" in API group "" at the cluster scope' ]
    [ "$(as_node node-1 GET /api/v1/nodes/node-1 -H "Impersonate-Group: system:masters")" = 403 ]
    local may="k auth can-i --as system:coracle-node -A"
    [ "$($may list pods)" = yes ]
    local what
    for what in "patch pods --subresource=status" "delete pods" "create nodes" "create events" "update leases" "get secrets"; do
        # shellcheck disable=SC2086 # Words.
        [ "$($may $what || true)" = no ]
    done
}
