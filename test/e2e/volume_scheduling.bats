#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Pods and their volumes: where such pods are put, what becomes of their claims, and what people are
# told while they wait. Nodes are Node objects alone; the test plays the drivers.

load helpers

setup_file() {
    [ "${STORE:-sqlite}" = sqlite ] || start_etcd
    start_server
    start_controllers --enable-hostpath-provisioner
    cat >"$BATS_FILE_TMPDIR/scheduler.yaml" <<'YAML'
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
profiles:
- schedulerName: default-scheduler
- schedulerName: hasty
  pluginConfig:
  - {name: VolumeBinding, args: {bindTimeoutSeconds: 1}}
YAML
    start_process scheduler "schedules pods" --leader-elect=false --config "$BATS_FILE_TMPDIR/scheduler.yaml"
    local name
    for name in east west; do
        k create -f - >/dev/null <<JSON
{"apiVersion": "v1", "kind": "Node", "metadata": {"name": "$name", "labels": {"kubernetes.io/hostname": "$name",
  "topology.kubernetes.io/zone": "$name"}}, "status": {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110"},
  "conditions": [{"type": "Ready", "status": "True"}]}}
JSON
        k patch node "$name" --type merge -p '{"spec": {"taints": []}}' >/dev/null
    done
    class late kubernetes.io/no-provisioner WaitForFirstConsumer
    class made kubernetes.io/host-path WaitForFirstConsumer
    class grows kubernetes.io/host-path Immediate '"allowVolumeExpansion": true'
    class theirs disks.example.com Immediate '"allowVolumeExpansion": true'
}
teardown_file() {
    stop_process scheduler
    stop_controllers
    stop_server
    [ "${STORE:-sqlite}" = sqlite ] || signal_etcd KILL
}
setup() {
    new_namespace
    k config set-context --current --namespace="$NS" >/dev/null
}
teardown() {
    api DELETE "/api/v1/namespaces/$NS/pods?gracePeriodSeconds=0" >/dev/null
    api DELETE "/api/v1/namespaces/$NS/persistentvolumeclaims" >/dev/null
}

# class NAME PROVISIONER MODE [MEMBERS]
class() {
    k create -f - >/dev/null <<JSON
{"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "$1"}, "provisioner": "$2",
 "volumeBindingMode": "$3"${4:+, $4}}
JSON
}
# claim NAME CLASS [MODE]: of 1Gi.
claim() {
    k create -f - >/dev/null <<JSON
{"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "$1"}, "spec": {"storageClassName": "$2",
  "accessModes": ["${3:-ReadWriteOnce}"], "resources": {"requests": {"storage": "1Gi"}}}}
JSON
}
# volume NAME CLASS SOURCE [NODE [LABELS [MODE]]]: of 1Gi; "" as NODE: all reach it.
volume() {
    local affinity=
    [ -z "${4:-}" ] || affinity=', "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions":
        [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["'"$4"'"]}]}]}}'
    k create -f - >/dev/null <<JSON
{"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "$NS-$1", "labels": ${5:-{\}}}, "spec": {
  "storageClassName": "$2", "capacity": {"storage": "1Gi"}, "accessModes": ["${6:-ReadWriteOnce}"],
  "persistentVolumeReclaimPolicy": "Retain", $3 $affinity}}
JSON
}
path='"hostPath": {"path": "/tmp/x"}'
# pod NAME VOLUME [MEMBERS]: the volume as in the pod's spec; "": none.
pod() {
    local volumes=
    [ -z "$2" ] || volumes=', "volumes": [{"name": "v", '"$2"'}]'
    k create -f - >/dev/null <<JSON
{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "$1"}, "spec": {${3:+$3,}
  "containers": [{"name": "c", "image": "i"}] $volumes}}
JSON
}
of() { echo "\"persistentVolumeClaim\": {\"claimName\": \"$1\"}"; }
node_of() { k get pod "$1" -o jsonpath='{.spec.nodeName}'; }
is_on() { [ "$(node_of "$1")" = "$2" ]; }
has_node() { [ -n "$(node_of "$1")" ]; }
is_bound() { [ "$(k get pvc "$1" -o jsonpath='{.status.phase} {.spec.volumeName}')" = "Bound $2" ]; }
# says POD TEXT: its condition, before it comes to preemption, of which all say the same.
says() {
    local message
    message=$(k get pod "$1" -o jsonpath="{.status.conditions[?(@.type=='PodScheduled')].message}")
    [ "${message%% no new claims to deallocate, preemption:*}" = "$2" ]
}
# has_event OBJECT REASON TEXT
has_event() {
    k get events --field-selector "involvedObject.name=$1,reason=$2" -o jsonpath='{range .items[*]}{.message}{"\n"}{end}' |
        grep -qxF "$3"
}
is_gone() { [ -z "$(k get "$1" "$2" --ignore-not-found)" ]; }

@test "a pod waits for its claim to be made and bound, and says so" {
    pod p "$(of c)"
    wait_until 10 says p '0/2 nodes are available: persistentvolumeclaim "c" not found.'
    claim c ""
    wait_until 10 says p '0/2 nodes are available: pod has unbound immediate PersistentVolumeClaims.'
    k describe pod p | grep -q 'FailedScheduling .* 0/2 nodes are available: pod has unbound immediate PersistentVolumeClaims. no new claims to deallocate, preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling.'
    volume v "" "$path" west
    wait_until 10 is_on p west
    is_bound c "$NS-v"
}

@test "a late claim gets a volume where its pod can stand" {
    pod p "$(of c)" '"nodeSelector": {"topology.kubernetes.io/zone": "west"}'
    claim c late
    wait_until 10 says p "0/2 nodes are available: 1 node(s) didn't find available persistent volumes to bind, 1 node(s) didn't match Pod's node affinity/selector."
    volume wrong late "$path" east
    wait_until 10 has_event c WaitForPodScheduled "waiting for pod p to be scheduled"
    volume right late "$path" west
    wait_until 10 is_on p west
    is_bound c "$NS-right"
    [ "$(k get pv "$NS-right" -o json | jq -r '.metadata.annotations["pv.kubernetes.io/bound-by-controller"] + " " + .spec.claimRef.name')" = "yes c" ]
    [ "$(k get pv "$NS-wrong" -o jsonpath='{.status.phase}')" = Available ]
}

@test "a volume is made for a late claim once its pod has a node" {
    claim c made
    pod p "$(of c)" '"nodeSelector": {"topology.kubernetes.io/zone": "east"}'
    wait_until 10 is_on p east
    is_bound c "pvc-$(k get pvc c -o jsonpath='{.metadata.uid}')"
    [ "$(k get pvc c -o json | jq -r '.metadata.annotations["volume.kubernetes.io/selected-node"]')" = east ]
}

@test "a claim for one pod is used by one" {
    claim c "" ReadWriteOncePod
    volume v "" "$path" "" "" ReadWriteOncePod
    pod first "$(of c)"
    wait_until 10 has_node first
    pod second "$(of c)"
    wait_until 10 says second '0/2 nodes are available: 2 node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode.'
    k delete pod first --grace-period=0 --force >/dev/null
    wait_until 10 has_node second
}

@test "a volume of another zone keeps its pod away" {
    claim c ""
    volume v "" "$path" "" '{"topology.kubernetes.io/zone": "east"}'
    pod there "$(of c)"
    wait_until 10 is_on there east
    pod away "$(of c)" '"nodeSelector": {"topology.kubernetes.io/zone": "west"}'
    wait_until 10 says away "0/2 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, 1 node(s) had no available volume zone."
}

@test "a node takes as many volumes of a driver as it says" {
    local name
    for name in east west; do
        k create -f - >/dev/null <<JSON
{"apiVersion": "storage.k8s.io/v1", "kind": "CSINode", "metadata": {"name": "$name"}, "spec": {"drivers": [
  {"name": "disks.example.com", "nodeID": "$name", "allocatable": {"count": 1}}]}}
JSON
    done
    for name in 1 2 3; do
        claim "c$name" ""
        volume "v$name" "" '"csi": {"driver": "disks.example.com", "volumeHandle": "'"$NS-$name"'"}'
        pod "p$name" "$(of "c$name")"
        [ "$name" = 3 ] || wait_until 10 has_node "p$name"
    done
    wait_until 10 says p3 '0/2 nodes are available: 2 node(s) exceed max volume count.'
    k delete csinode east >/dev/null
    k create -f - >/dev/null <<JSON
{"apiVersion": "storage.k8s.io/v1", "kind": "CSINode", "metadata": {"name": "east"}, "spec": {"drivers": [
  {"name": "disks.example.com", "nodeID": "east", "allocatable": {"count": 2}}]}}
JSON
    wait_until 10 is_on p3 east
    k delete csinodes --all >/dev/null
}

@test "an ephemeral volume gets a claim that goes with its pod, and no other's" {
    local scratch='"ephemeral": {"volumeClaimTemplate": {"metadata": {"labels": {"a": "b"}}, "spec": {
        "storageClassName": "made", "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}}'
    pod p "$scratch"
    wait_until 10 has_node p
    k get pvc p-v -o json | jq -e '.metadata.labels == {a: "b"} and .status.phase == "Bound"
        and (.metadata.ownerReferences | length == 1 and (.[0] | .kind == "Pod" and .name == "p" and .controller and .blockOwnerDeletion))'
    claim q-v made
    pod q "$scratch"
    wait_until 10 has_event q FailedBinding "ephemeral volume v: PVC $NS/q-v was not created for pod $NS/q (pod is not owner)"
    wait_until 10 says q "0/2 nodes are available: PVC $NS/q-v was not created for pod $NS/q (pod is not owner)."
    k delete pod p --grace-period=0 --force >/dev/null
    wait_until 10 is_gone pvc p-v
}

@test "a claim grows, by this process or by others" {
    claim c grows
    claim d theirs
    volume v theirs '"csi": {"driver": "disks.example.com", "volumeHandle": "'"$NS"'"}'
    wait_until 10 is_bound c "pvc-$(k get pvc c -o jsonpath='{.metadata.uid}')"
    wait_until 10 is_bound d "$NS-v"
    k patch pvc c d -p '{"spec": {"resources": {"requests": {"storage": "2Gi"}}}}' >/dev/null
    wait_until 10 has_event c VolumeResizeSuccessful "ExpandVolume succeeded for volume $NS/c"
    k get pvc c -o json | jq -e '.status | .capacity.storage == "2Gi" and .allocatedResources.storage == "2Gi"
        and .conditions == null and .allocatedResourceStatuses == null'
    [ "$(k get pv "$(k get pvc c -o jsonpath='{.spec.volumeName}')" -o jsonpath='{.spec.capacity.storage}')" = 2Gi ]
    [ "$(annotation c volume.kubernetes.io/storage-resizer)" = kubernetes.io/host-path ]
    wait_until 10 has_event d ExternalExpanding "waiting for an external controller to expand this PVC"
    [ "$(k get pvc d -o jsonpath='{.status.capacity.storage}')" = 1Gi ]
}

# attachment NODE: the name of what says that this test's volume "v" is attached there.
attachment() { echo "csi-$(printf '%s%s%s' "$NS" disks.example.com "$1" | sha256sum | cut -d ' ' -f 1)"; }
exists() { [ -n "$(k get "$1" "$2" --ignore-not-found)" ]; }
# plays NAME STATUS: what an attacher would write.
plays() { k patch volumeattachment "$1" --subresource=status --type=merge -p "{\"status\": $2}" >/dev/null; }
in_use() { k patch node "$1" --subresource=status --type=merge -p "{\"status\": {\"volumesInUse\": $2}}" >/dev/null; }
attached() { [ "$(k get node "$1" -o json | jq -c '.status.volumesAttached')" = "$2" ]; }

@test "a volume is attached where a pod needs it, and to one node at a time" {
    local name="kubernetes.io/csi/disks.example.com^$NS" on_east on_west
    on_east=$(attachment east)
    on_west=$(attachment west)
    k annotate node east west volumes.kubernetes.io/controller-managed-attach-detach=true >/dev/null
    claim c ""
    volume v "" '"csi": {"driver": "disks.example.com", "volumeHandle": "'"$NS"'"}'
    pod p "$(of c)" '"nodeSelector": {"kubernetes.io/hostname": "east"}'
    wait_until 10 exists volumeattachment "$on_east"
    k get volumeattachment "$on_east" -o json |
        jq -e --arg v "$NS-v" '.spec == {attacher: "disks.example.com", nodeName: "east", source: {persistentVolumeName: $v}}'
    attached east null
    plays "$on_east" '{"attached": true}'
    wait_until 10 attached east '[{"devicePath":"","name":"'"$name"'"}]'
    wait_until 10 has_event p SuccessfulAttachVolume "AttachVolume.Attach succeeded for volume \"$NS-v\" "
    in_use east "[\"$name\"]"

    pod q "$(of c)" '"nodeSelector": {"kubernetes.io/hostname": "west"}'
    wait_until 10 has_event q FailedAttachVolume "Multi-Attach error for volume \"$NS-v\" Volume is already used by pod(s) p"
    k delete pod p --grace-period=0 --force >/dev/null
    exists volumeattachment "$on_east"
    in_use east null
    wait_until 10 is_gone volumeattachment "$on_east"
    attached east null
    wait_until 10 exists volumeattachment "$on_west"
    plays "$on_west" '{"attached": false, "attachError": {"message": "no such disk"}}'
    wait_until 10 has_event q FailedAttachVolume "AttachVolume.Attach failed for volume \"$NS-v\" : no such disk"

    plays "$on_west" '{"attached": true, "attachError": null}'
    wait_until 10 attached west '[{"devicePath":"","name":"'"$name"'"}]'
    in_use west "[\"$name\"]"
    k delete pod q --grace-period=0 --force >/dev/null
    k taint node west node.kubernetes.io/out-of-service=nodeshutdown:NoExecute >/dev/null
    wait_until 10 is_gone volumeattachment "$on_west"
    k taint node west node.kubernetes.io/out-of-service- >/dev/null
    in_use west null
    k annotate node east west volumes.kubernetes.io/controller-managed-attach-detach- >/dev/null
}

# annotation CLAIM NAME
annotation() { k get pvc "$1" -o json | jq -r --arg name "$2" '.metadata.annotations[$name] // ""'; }
is_asked_for() { [ "$(annotation "$1" volume.kubernetes.io/selected-node)" = "$2" ]; }

@test "a pod waits until its volume is made, and is placed anew when that fails" {
    class "slow-$NS" disks.example.com WaitForFirstConsumer
    claim c "slow-$NS"
    pod p "$(of c)" '"nodeSelector": {"kubernetes.io/hostname": "east"}'
    wait_until 10 is_asked_for c east
    [ "$(annotation c volume.kubernetes.io/storage-provisioner)" = disks.example.com ] ||
        wait_until 10 has_event c ExternalProvisioning "Waiting for a volume to be created either by the external provisioner 'disks.example.com' or manually by the system administrator. If volume creation is delayed, please verify that the provisioner is running and correctly registered."
    pod other "" # Others do not wait with it.
    wait_until 10 has_node other
    is_on p ""
    k annotate pvc c volume.kubernetes.io/selected-node- >/dev/null # So a provisioner says that it can't.
    wait_until 10 has_event p FailedScheduling 'running PreBind plugin "VolumeBinding": binding volumes: provisioning failed for PVC "c"'
    wait_until 10 is_asked_for c east
    is_on p ""
    volume v "slow-$NS" '"csi": {"driver": "disks.example.com", "volumeHandle": "'"$NS"'"}, "claimRef": {"namespace": "'"$NS"'", "name": "c"}' east
    wait_until 10 is_on p east
    is_bound c "$NS-v"
    k delete storageclass "slow-$NS" >/dev/null
}

@test "the wait for a volume has an end" {
    class "slow-$NS" disks.example.com WaitForFirstConsumer
    claim c "slow-$NS"
    pod p "$(of c)" '"schedulerName": "hasty"'
    wait_until 10 has_event p FailedScheduling 'running PreBind plugin "VolumeBinding": binding volumes: context deadline exceeded'
    k delete storageclass "slow-$NS" >/dev/null
}

@test "a pod that goes while its volume is made leaves nothing behind" {
    class "slow-$NS" disks.example.com WaitForFirstConsumer
    claim c "slow-$NS"
    pod p "$(of c)" '"nodeSelector": {"kubernetes.io/hostname": "east"}'
    wait_until 10 is_asked_for c east
    k delete pod p --grace-period=0 --force >/dev/null
    pod p "$(of c)" '"nodeSelector": {"kubernetes.io/hostname": "west"}'
    wait_until 10 says p "0/2 nodes are available: 1 node(s) didn't find available persistent volumes to bind, 1 node(s) didn't match Pod's node affinity/selector."
    k annotate pvc c volume.kubernetes.io/selected-node- >/dev/null
    wait_until 10 is_asked_for c west
    k delete storageclass "slow-$NS" >/dev/null
}
