#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# StatefulSets give each pod a name, a number and claims of its own, one after the other.

load helpers

setup_file() { start_server && start_controllers --enable-hostpath-provisioner && start_nodes 3 && default_class; }
teardown_file() { each_of stop_nodes stop_controllers stop_server; }
setup() { new_namespace && k config set-context --current --namespace "$NS" >/dev/null; }

# A claim without a class gets a volume of this one.
default_class() {
    k create -f - <<'YAML'
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: standard, annotations: {storageclass.kubernetes.io/is-default-class: "true"}}
provisioner: kubernetes.io/host-path
YAML
}

# set_of NAME SPEC [ANNOTATION OF PODS]: containers "c"; the annotation says how they run.
set_of() {
    k apply -f - >/dev/null <<JSON
{"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "$1"}, "spec": {"serviceName": "all", $2,
  "selector": {"matchLabels": {"app": "$1"}},
  "template": {"metadata": {"labels": {"app": "$1"}, "annotations": {"simulate.coracle.io/c": "${3:-run=forever}"}},
   "spec": {"terminationGracePeriodSeconds": 0, "containers": [{"name": "c", "image": "a"}]}}}}
JSON
}
claims='"volumeClaimTemplates": [{"metadata": {"name": "data", "labels": {"kept": "yes"}}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}]'

field() { k get "$1" -o jsonpath="{$2}"; }
is() { [ "$(field "$1" "$2")" = "$3" ]; }
names() { k get "$1" -o jsonpath='{.items[*].metadata.name}'; }
are() { [ "$(names "$1")" = "$2" ]; }
events_tell() {
    k get events --field-selector "reason=$1" -o jsonpath='{range .items[*]}{.message}{"\n"}{end}' | grep -qx "$2"
}
rolled_out() { k rollout status "statefulset/$1" --timeout=20s; }
image() { k patch statefulset "$1" -p "{\"spec\": {\"template\": {\"spec\": {\"containers\": [{\"name\": \"c\", \"image\": \"$2\"}]}}}}" >/dev/null; }
images() { k get pods -l "app=$1" -o jsonpath='{.items[*].spec.containers[0].image}'; }
have_images() { [ "$(images "$1")" = "$2" ]; }
show_state() {
    k get statefulsets,pods,pvc -o wide >&2 || true
    k get events --sort-by=.metadata.creationTimestamp | tail -n 20 >&2
    tail -n 40 "$BATS_FILE_TMPDIR/controller-manager.log" >&2
    return 1
}
# in_order NAMES…: the pods were created in this order, and each when the one before was ready.
in_order() {
    k get pods -o json | jq -e --args '[.items[] | {name: .metadata.name, at: .metadata.creationTimestamp,
        ready: (.status.conditions[] | select(.type == "Ready") | .lastTransitionTime)}] as $pods
        | [$pods[].name] == $ARGS.positional
        and ([range(1; $pods | length) | $pods[.].at >= $pods[. - 1].ready] | all)' "$@" >/dev/null
}

@test "pods come one after the other, each with its name, labels and claims" {
    set_of web '"replicas": 3, '"$claims"
    rolled_out web
    in_order web-0 web-1 web-2
    k get pod web-1 -o json | jq -e --arg revision "$(field statefulset/web .status.updateRevision)" '
        .metadata.labels == {app: "web", "statefulset.kubernetes.io/pod-name": "web-1", "apps.kubernetes.io/pod-index": "1",
            "controller-revision-hash": $revision}
        and .metadata.generateName == "web-" and .spec.hostname == "web-1" and .spec.subdomain == "all"
        and (.metadata.ownerReferences | length == 1 and (.[0] | .kind == "StatefulSet" and .controller and .blockOwnerDeletion))
        and any(.spec.volumes[]; . == {name: "data", persistentVolumeClaim: {claimName: "data-web-1"}})'
    are pvc "data-web-0 data-web-1 data-web-2"
    k get pvc data-web-2 -o json | jq -e '.metadata.labels == {app: "web", kept: "yes"} and .metadata.ownerReferences == null'
    k get statefulset web -o json | jq -e '.status as $s | $s | .currentRevision == .updateRevision and (.currentRevision | startswith("web-"))
        and del(.currentRevision, .updateRevision) == {observedGeneration: 1, replicas: 3, readyReplicas: 3,
            currentReplicas: 3, updatedReplicas: 3, collisionCount: 0, availableReplicas: 3}'
    k get controllerrevisions -o json | jq -e '.items | length == 1 and (.[0] | .revision == 1
        and .metadata.name == "web-" + .metadata.labels["controller.kubernetes.io/hash"] and .metadata.labels.app == "web"
        and .data.spec.template["$patch"] == "replace")'
    wait_until 20 events_tell SuccessfulCreate "create Pod web-0 in StatefulSet web successful"
    wait_until 20 events_tell SuccessfulCreate "create Claim data-web-0 Pod web-0 in StatefulSet web success"
    k delete pod web-1 >/dev/null
    wait_until 20 is statefulset/web .status.readyReplicas 3
    k scale statefulset web --replicas 1 >/dev/null
    wait_until 20 are pods web-0
    wait_until 20 events_tell SuccessfulDelete "delete Pod web-2 in StatefulSet web successful"
    are pvc "data-web-0 data-web-1 data-web-2"
}

@test "a rollout goes from the last to the first, stops at the partition, and is undone" {
    set_of web '"replicas": 3'
    rolled_out web
    k patch statefulset web -p '{"spec": {"updateStrategy": {"rollingUpdate": {"partition": 2}}}}' >/dev/null
    image web b
    rolled_out web
    have_images web "a a b"
    k get statefulset web -o json | jq -e '.status | .currentRevision != .updateRevision and .currentReplicas == 2 and .updatedReplicas == 1'
    k delete pod web-0 web-2 >/dev/null
    wait_until 20 is statefulset/web .status.readyReplicas 3
    have_images web "a a b"
    k patch statefulset web -p '{"spec": {"updateStrategy": {"rollingUpdate": {"partition": 0}}}}' >/dev/null
    rolled_out web
    have_images web "b b b"
    [ "$(k rollout history statefulset/web | awk 'NR > 2 && NF {print $1}' | tr '\n' ' ')" = "1 2 " ]
    k rollout undo statefulset/web >/dev/null
    rolled_out web
    have_images web "a a a"
    [ "$(k get controllerrevisions -o jsonpath='{.items[*].revision}' | tr ' ' '\n' | sort | tr '\n' ' ')" = "2 3 " ]
    k patch statefulset web -p '{"spec": {"revisionHistoryLimit": 0}}' >/dev/null
    wait_until 20 is controllerrevisions '.items[*].revision' 3
}

@test "a pod that is not ready holds up the others, unless all may come at once" {
    set_of slow '"replicas": 2' ready=never
    wait_until 20 is statefulset/slow .status.replicas 1
    wait_until 20 is pod/slow-0 .status.phase Running
    set_of fast '"replicas": 3, "podManagementPolicy": "Parallel", "ordinals": {"start": 5}' ready=never
    wait_until 20 is statefulset/fast .status.replicas 3
    are pods "fast-5 fast-6 fast-7 slow-0"
    k scale statefulset fast --replicas 0 >/dev/null
    wait_until 20 are pods slow-0
}

@test "a rollout takes no more pods at a time than it may" {
    set_of web '"replicas": 4, "podManagementPolicy": "Parallel", "updateStrategy": {"rollingUpdate": {"maxUnavailable": 2}}'
    rolled_out web
    set_of web '"replicas": 4, "podManagementPolicy": "Parallel", "updateStrategy": {"rollingUpdate": {"maxUnavailable": 2}}' ready=never
    wait_until 20 is statefulset/web .status.updatedReplicas 2
    wait_until 20 is statefulset/web '.status.readyReplicas' 2
    [ "$(k get pods -l "controller-revision-hash=$(field statefulset/web .status.updateRevision)" -o jsonpath='{.items[*].metadata.name}')" = "web-2 web-3" ]
}

@test "a pod counts once it has been ready for a while" {
    set_of web '"replicas": 2, "minReadySeconds": 3600'
    wait_until 20 is statefulset/web .status.readyReplicas 1
    is statefulset/web .status.availableReplicas 0
    are pods web-0
    k patch statefulset web -p '{"spec": {"minReadySeconds": 1}}' >/dev/null
    wait_until 20 is statefulset/web .status.availableReplicas 2
}

@test "a pod that has ended is made again" {
    set_of web '"replicas": 1'
    rolled_out web
    local uid
    uid=$(field pod/web-0 .metadata.uid)
    patch_status "/api/v1/namespaces/$NS/pods/web-0" '{"status": {"phase": "Failed", "reason": "Evicted"}}'
    wait_until 20 not is pod/web-0 .metadata.uid "$uid"
    wait_until 20 is statefulset/web .status.readyReplicas 1
}

@test "with OnDelete pods are replaced only by hand" {
    set_of web '"replicas": 2, "updateStrategy": {"type": "OnDelete"}'
    wait_until 20 is statefulset/web .status.readyReplicas 2
    image web b
    wait_until 20 is statefulset/web .status.updatedReplicas ""
    k delete pod web-1 >/dev/null
    wait_until 20 is statefulset/web .status.updatedReplicas 1
    wait_until 20 have_images web "a b"
}

@test "claims go with their pods or with the set, as the policy says" {
    set_of web '"replicas": 2, "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Delete", "whenScaled": "Delete"}, '"$claims"
    rolled_out web
    is pvc/data-web-1 '.metadata.ownerReferences[*].kind' StatefulSet
    k scale statefulset web --replicas 1 >/dev/null
    wait_until 20 are pvc data-web-0
    k scale statefulset web --replicas 2 >/dev/null
    rolled_out web
    are pvc "data-web-0 data-web-1"
    local uid
    uid=$(field pvc/data-web-1 .metadata.uid)
    k scale statefulset web --replicas 1 >/dev/null
    wait_until 20 is pods '.items[*].metadata.name' web-0
    k scale statefulset web --replicas 2 >/dev/null # The claim may still be there.
    rolled_out web
    not is pvc/data-web-1 .metadata.uid "$uid"
    k patch statefulset web -p '{"spec": {"persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"}}}' >/dev/null
    wait_until 20 is pvc/data-web-0 '.metadata.ownerReferences' ""
    k patch statefulset web -p '{"spec": {"persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Delete"}}}' >/dev/null
    wait_until 20 is pvc/data-web-0 '.metadata.ownerReferences[*].kind' StatefulSet
    wait_until 20 is pvc/data-web-1 '.metadata.ownerReferences[*].kind' StatefulSet
    k delete statefulset web >/dev/null
    wait_until 20 are pods,pvc ""
}

@test "pods of the right name and labels are adopted, others let go" {
    set_of web '"replicas": 2'
    rolled_out web
    k delete statefulset web --cascade=orphan >/dev/null
    k label pod web-1 app=other --overwrite >/dev/null
    local uid
    uid=$(field pod/web-0 .metadata.uid)
    set_of web '"replicas": 1'
    wait_until 20 is statefulset/web .status.readyReplicas 1
    is pod/web-0 .metadata.uid "$uid"
    is pod/web-0 '.metadata.ownerReferences[*].kind' StatefulSet
    [ "$(k get controllerrevisions -o name | wc -l)" = 1 ]
    k label pod web-0 app=gone --overwrite >/dev/null
    wait_until 20 is pod/web-0 '.metadata.ownerReferences' ""
    [ "$(k create -f - 2>&1 <<<'{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web-0", "generateName": "web-"}, "spec": {"containers": [{"name": "c", "image": "a"}]}}')" = 'Error from server (AlreadyExists): error when creating "STDIN": pods "web-0" already exists' ]
    are pods "web-0 web-1" # A taken name is not made up for by another.
}

@test "a claim that cannot be made, or is going, holds up its pod" {
    k create quota none --hard=persistentvolumeclaims=0 >/dev/null
    wait_until 20 is quota/none '.status.hard.persistentvolumeclaims' 0
    set_of web '"replicas": 2, '"$claims"
    local denied='persistentvolumeclaims "data-web-0" is forbidden: exceeded quota: none, requested: persistentvolumeclaims=1, used: persistentvolumeclaims=0, limited: persistentvolumeclaims=0'
    wait_until 20 events_tell FailedCreate "create Claim data-web-0 for Pod web-0 in StatefulSet web failed error: $denied"
    wait_until 20 events_tell FailedCreate "create Pod web-0 in StatefulSet web failed error: failed to create PVC data-web-0: $denied"
    wait_until 20 is statefulset/web .status.replicas 0
    are pods ""
    k delete quota none >/dev/null
    wait_until 20 is statefulset/web .status.readyReplicas 2
    k patch pvc data-web-1 --type=json -p '[{"op": "add", "path": "/metadata/finalizers/-", "value": "test.io/hold"}]' >/dev/null
    k delete pvc data-web-1 --wait=false >/dev/null
    k delete pod web-1 >/dev/null
    wait_until 20 events_tell FailedCreate "create Pod web-1 in StatefulSet web failed error: pvc data-web-1 is being deleted"
    are pods web-0
    k patch pvc data-web-1 --type=merge -p '{"metadata": {"finalizers": null}}' >/dev/null
    wait_until 20 is statefulset/web .status.readyReplicas 2 || show_state
    wait_until 20 is pvc/data-web-1 .metadata.deletionTimestamp ""
}
