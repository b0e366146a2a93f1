#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# One store is enough: what is shown does not depend on it.
#
# Claims that pods use and volumes that are bound stay until nobody does.

load helpers

setup_file() {
    start_server
    start_controllers --controllers=pvc-protection,pv-protection,volumeattributesclass-protection-controller
}

teardown_file() {
    each_of stop_controllers stop_server
}

setup() { new_namespace; }

kn() { k -n "$NS" "$@"; }

claim() {
    kn create -f - >/dev/null <<YAML
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: $1${2:+, $2}}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
YAML
}

# pod NAME VOLUME [SPEC]
pod() {
    kn create -f - >/dev/null <<YAML
apiVersion: v1
kind: Pod
metadata: {name: $1}
spec: {${3:+$3, }containers: [{name: c, image: i}], volumes: [{name: v, $2}]}
YAML
}

finalizers() { k get "$@" -o json | jq -r '.metadata.finalizers // [] | join(",")'; }
is_held() { [ "$(finalizers "$1" "$2" ${3:+-n "$3"})" = "kubernetes.io/$4" ]; }
is_gone() { ! k get "$@" >/dev/null 2>&1; }

@test "what is made is held from the start" {
    claim data
    [ "$(finalizers pvc data -n "$NS")" = kubernetes.io/pvc-protection ]
    claim more 'finalizers: [example.com/mine]'
    [ "$(finalizers pvc more -n "$NS")" = example.com/mine,kubernetes.io/pvc-protection ]
}

@test "a claim that nobody uses goes at once" {
    claim data
    pod waiting 'persistentVolumeClaim: {claimName: data}'
    kn delete pvc data --timeout=10s
}

@test "a claim in use goes when the last pod has gone, even if it was not made by admission" {
    claim data
    # Whoever takes the finalizer away gets it back.
    kn patch pvc data --type json -p '[{"op": "remove", "path": "/metadata/finalizers"}]'
    wait_until 10 is_held pvc data "$NS" pvc-protection
    pod one 'persistentVolumeClaim: {claimName: data}' 'nodeName: node-1'
    pod two 'persistentVolumeClaim: {claimName: data}' 'nodeName: node-1'
    kn delete pvc data --wait=false
    kn delete pod one --force --grace-period=0
    # One that has come to its end is still there.
    patch_status "/api/v1/namespaces/$NS/pods/two" '{"status": {"phase": "Succeeded"}}'
    claim barrier
    kn delete pvc barrier --timeout=10s
    [ -n "$(kn get pvc data -o jsonpath='{.metadata.deletionTimestamp}')" ]
    kn delete pod two --force --grace-period=0
    wait_until 10 is_gone pvc data -n "$NS"
}

@test "a claim made for a volume of a pod goes with it" {
    pod one 'ephemeral: {volumeClaimTemplate: {spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}}' 'nodeName: node-1'
    local uid
    uid=$(kn get pod one -o jsonpath='{.metadata.uid}')
    claim one-v "ownerReferences: [{apiVersion: v1, kind: Pod, name: one, uid: $uid, controller: true}]"
    kn delete pvc one-v --wait=false
    claim barrier
    kn delete pvc barrier --timeout=10s
    [ -n "$(kn get pvc one-v -o jsonpath='{.metadata.deletionTimestamp}')" ]
    kn delete pod one --force --grace-period=0
    wait_until 10 is_gone pvc one-v -n "$NS"
}

@test "a volume goes when it is bound no more" {
    for name in "$NS-a" "$NS-b"; do
        k create -f - >/dev/null <<YAML
apiVersion: v1
kind: PersistentVolume
metadata: {name: $name}
spec: {capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce], hostPath: {path: /a}}
YAML
    done
    [ "$(finalizers pv "$NS-a")" = kubernetes.io/pv-protection ]
    patch_status "/api/v1/persistentvolumes/$NS-a" '{"status": {"phase": "Bound"}}'
    k delete pv "$NS-a" --wait=false
    k delete pv "$NS-b" --timeout=10s
    [ -n "$(k get pv "$NS-a" -o jsonpath='{.metadata.deletionTimestamp}')" ]
    patch_status "/api/v1/persistentvolumes/$NS-a" '{"status": {"phase": "Released"}}'
    wait_until 10 is_gone pv "$NS-a"
}

@test "a class of volume attributes goes when no claim and no volume names it" {
    k create -f - >/dev/null <<YAML
apiVersion: storage.k8s.io/v1
kind: VolumeAttributesClass
metadata: {name: $NS}
driverName: disks.example.com
parameters: {iops: "100"}
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: $NS}
spec: {capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce], volumeAttributesClassName: $NS, csi: {driver: disks.example.com, volumeHandle: a}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data, namespace: $NS}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}, volumeAttributesClassName: $NS}
YAML
    is_held volumeattributesclass "$NS" "" vac-protection
    k patch volumeattributesclass "$NS" --type json -p '[{"op": "remove", "path": "/metadata/finalizers"}]'
    wait_until 10 is_held volumeattributesclass "$NS" "" vac-protection # It is given back.
    k delete volumeattributesclass "$NS" --wait=false
    k delete pv "$NS" --timeout=10s
    [ -n "$(k get volumeattributesclass "$NS" -o jsonpath='{.metadata.deletionTimestamp}')" ]
    kn delete pvc data --timeout=10s
    wait_until 10 is_gone volumeattributesclass "$NS"
}
