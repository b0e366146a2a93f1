#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
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
