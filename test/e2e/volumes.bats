#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# Claims and volumes: which get together, and what becomes of them.

load helpers

setup_file() {
    SERVICES=controllers CONTROLLERS_FLAGS=--enable-hostpath-provisioner start_server
}

teardown_file() {
    stop_server
}

setup() {
    new_namespace
}

teardown() {
    k delete pvc --all -n "$NS" --wait=false
    k delete pv --all --wait=false
    wait_until 10 no_volumes
}

no_volumes() {
    [ -z "$(k get pv -o name)" ]
}

# volume NAME SIZE [SPEC_MEMBERS [LABELS]]
volume() {
    k create -f - <<EOF
{"apiVersion":"v1","kind":"PersistentVolume","metadata":{"name":"$1","labels":${4:-{\}}},"spec":{
 "capacity":{"storage":"$2"},"accessModes":["ReadWriteOnce"],"hostPath":{"path":"/tmp/x"},
 "persistentVolumeReclaimPolicy":"Retain"${3:+,$3}}}
EOF
}

# claim NAME SIZE [SPEC_MEMBERS]: of no class, unless they say one.
claim() {
    local more=${3:-}
    [[ "$more" == *storageClassName* ]] || more="\"storageClassName\":\"\"${more:+,$more}"
    k create -n "$NS" -f - <<EOF
{"apiVersion":"v1","kind":"PersistentVolumeClaim","metadata":{"name":"$1"},"spec":{
 "accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"$2"}},$more}}
EOF
}

# class NAME PROVISIONER [MEMBERS]
class() {
    k create -f - <<EOF
{"apiVersion":"storage.k8s.io/v1","kind":"StorageClass","metadata":{"name":"$1"},"provisioner":"$2"${3:+,$3}}
EOF
}

is_phase() {
    [ "$(k get "$1" -n "$NS" -o jsonpath='{.status.phase}')" = "$2" ]
}

bound_to() {
    [ "$(k get pvc "$1" -n "$NS" -o jsonpath='{.status.phase} {.spec.volumeName}')" = "Bound $2" ] && is_phase "pv/$2" Bound
}

has_event() {
    k get events -n "$NS" --field-selector "involvedObject.name=$1" -o jsonpath='{range .items[*]}{.reason}: {.message}{"\n"}{end}' |
        grep -qF "$2"
}

@test "a claim gets the smallest volume that suits, and both say so" {
    volume large 10Gi
    volume small 1Gi
    volume middle 5Gi
    volume classy 2Gi '"storageClassName":"other"'
    wait_until 10 is_phase pv/middle Available
    claim a 2Gi
    wait_until 10 bound_to a middle
    [ "$(k get pvc a -n "$NS" -o jsonpath='{.status.capacity.storage} {.status.accessModes[0]}')" = "5Gi ReadWriteOnce" ]
    [ "$(k get pvc a -n "$NS" -o json | jq -c '.metadata.annotations')" = '{"pv.kubernetes.io/bind-completed":"yes","pv.kubernetes.io/bound-by-controller":"yes"}' ]
    [ "$(k get pv middle -o json | jq -r '.spec.claimRef | .kind + " " + .namespace + "/" + .name')" = "PersistentVolumeClaim $NS/a" ]
    k get pv middle | grep -q "$NS/a"
    claim b 20Gi
    wait_until 10 has_event b "FailedBinding: no persistent volumes available for this claim and no storage class is set"
    is_phase pvc/b Pending
    volume huge 30Gi
    wait_until 10 bound_to b huge
}

@test "volumes are chosen by label, by name, and by whom they name" {
    volume one 1Gi "" '{"tier":"slow"}'
    volume two 5Gi "" '{"tier":"fast"}'
    volume kept 1Gi '"claimRef":{"namespace":"'"$NS"'","name":"mine"}'
    volume named 1Gi
    claim fast 1Gi '"selector":{"matchLabels":{"tier":"fast"}}'
    wait_until 10 bound_to fast two
    claim chosen 1Gi '"volumeName":"named"'
    wait_until 10 bound_to chosen named
    claim mine 1Gi
    wait_until 10 bound_to mine kept
    [ "$(k get pv kept -o json | jq '.metadata.annotations')" = null ]
    claim greedy 9Gi '"volumeName":"one"'
    wait_until 10 has_event greedy 'VolumeMismatch: Cannot bind to requested volume "one": requested PV is too small'
}

@test "a released volume is kept for people, and a claim that lost its volume says so" {
    volume v 1Gi
    claim a 1Gi
    wait_until 10 bound_to a v
    k delete pvc a -n "$NS"
    wait_until 10 is_phase pv/v Released
    claim a 1Gi # Of the same name, but another.
    wait_until 10 is_phase pvc/a Pending
    k patch pv v --type=json -p '[{"op":"remove","path":"/spec/claimRef"}]'
    wait_until 10 bound_to a v
    k delete pv v --wait=false # It is in use, and kept until somebody insists.
    k patch pv v --type=merge -p '{"metadata":{"finalizers":null}}'
    wait_until 10 is_phase pvc/a Lost
    wait_until 10 has_event a "ClaimLost: Bound claim has lost its PersistentVolume. Data on the volume is lost!"
}

@test "a volume is made for a claim, and goes with it" {
    class made kubernetes.io/host-path
    claim a 3Gi '"storageClassName":"made"'
    local name
    name=pvc-$(k get pvc a -n "$NS" -o jsonpath='{.metadata.uid}')
    wait_until 10 bound_to a "$name"
    [ "$(k get pv "$name" -o json | jq -r '.spec | .capacity.storage + " " + .storageClassName + " " + .persistentVolumeReclaimPolicy')" = "3Gi made Delete" ]
    wait_until 10 has_event a "ProvisioningSucceeded: Successfully provisioned volume $name using kubernetes.io/host-path"
    [ "$(k get pv "$name" -o json | jq -c '.metadata.finalizers')" = '["kubernetes.io/pv-controller","kubernetes.io/pv-protection"]' ]
    # Whoever deletes the volume first takes nothing from its policy.
    k delete pv "$name" --wait=false
    is_phase "pv/$name" Bound
    k delete pvc a -n "$NS"
    wait_until 10 no_volumes
}

@test "what can't be made is told, and the scheduler chooses again" {
    local late='"volumeBindingMode":"WaitForFirstConsumer"'
    class "here-$NS" kubernetes.io/host-path "$late"
    class "options-$NS" kubernetes.io/host-path '"mountOptions":["ro","soft"]'
    class "none-$NS" kubernetes.io/no-provisioner
    class "once-$NS" kubernetes.io/aws-ebs
    claim block 1Gi '"storageClassName":"here-'"$NS"'","volumeMode":"Block"'
    claim lost 1Gi '"storageClassName":"here-'"$NS"'"'
    k create -f - <<<'{"apiVersion":"v1","kind":"Node","metadata":{"name":"here"}}'
    k annotate pvc block -n "$NS" volume.kubernetes.io/selected-node=here
    wait_until 10 has_event block "ProvisioningFailed: Failed to provision volume with StorageClass \"here-$NS\": kubernetes.io/host-path does not support block volume provisioning"
    wait_until 10 is_open block
    k annotate pvc lost -n "$NS" volume.kubernetes.io/selected-node=gone
    wait_until 10 has_event lost 'ProvisioningFailed: Failed to get target node: node "gone" not found'
    wait_until 10 is_open lost
    k annotate pvc lost -n "$NS" volume.kubernetes.io/selected-node=here
    wait_until 10 is_phase pvc/lost Bound
    claim opt 1Gi '"storageClassName":"options-'"$NS"'"'
    wait_until 10 has_event opt "ProvisioningFailed: Mount options are not supported by the provisioner but StorageClass \"options-$NS\" has mount options [ro soft]"
    claim none 1Gi '"storageClassName":"none-'"$NS"'"'
    wait_until 10 has_event none "ProvisioningFailed: no volume plugin matched name: kubernetes.io/no-provisioner"
    claim once 1Gi '"storageClassName":"once-'"$NS"'"'
    wait_until 10 has_event once "ExternalProvisioning: Waiting for a volume to be created either by the external provisioner 'ebs.csi.aws.com'"
    k delete node here
}

# is_open CLAIM: no node is chosen for it.
is_open() {
    [ "$(k get pvc "$1" -n "$NS" -o json | jq '.metadata.annotations["volume.kubernetes.io/selected-node"]')" = null ]
}

@test "a volume that is to be recycled is emptied by a pod, and free again" {
    volume v 1Gi
    k patch pv v -p '{"spec":{"persistentVolumeReclaimPolicy":"Recycle"}}'
    claim a 1Gi
    wait_until 10 bound_to a v
    k delete pvc a -n "$NS"
    wait_until 10 k get pod recycler-for-v -n default
    k get pod recycler-for-v -n default -o json | jq -e '.spec | .activeDeadlineSeconds == 60 and .restartPolicy == "Never"
        and .volumes[0] == {name: "vol", hostPath: {path: "/tmp/x", type: ""}} and .containers[0].volumeMounts[0] == {name: "vol", mountPath: "/scrub"}'
    is_phase pv/v Released
    patch_status /api/v1/namespaces/default/pods/recycler-for-v '{"status":{"phase":"Succeeded"}}'
    wait_until 10 is_phase pv/v Available
    [ "$(k get pv v -o json | jq .spec.claimRef)" = null ]
    wait_until 10 eval '[ -z "$(k get pods -n default -o name)" ]'
    k get events -n default -o json | jq -e '[.items[] | select(.reason == "VolumeRecycled" and .message == "Volume recycled")] | length == 1'
}

@test "a volume that nothing here can delete has failed" {
    k create -f - <<JSON
{"apiVersion":"v1","kind":"PersistentVolume","metadata":{"name":"v"},"spec":{"capacity":{"storage":"1Gi"},
 "accessModes":["ReadWriteOnce"],"nfs":{"server":"a","path":"/b"},"persistentVolumeReclaimPolicy":"Delete"}}
JSON
    claim a 1Gi
    wait_until 10 bound_to a v
    k delete pvc a -n "$NS"
    wait_until 10 is_phase pv/v Failed
    [ "$(k get pv v -o jsonpath='{.status.message}')" = 'error getting deleter volume plugin for volume "v": no deletable volume plugin matched' ]
}

@test "a claim without a class gets the one by default, also when that comes later" {
    k create -n "$NS" -f - <<EOF
{"apiVersion":"v1","kind":"PersistentVolumeClaim","metadata":{"name":"early"},"spec":{
 "accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"1Gi"}}}}
EOF
    claim never 1Gi
    wait_until 10 has_event early "FailedBinding: no persistent volumes available for this claim and no storage class is set"
    class default kubernetes.io/host-path
    k annotate storageclass default storageclass.kubernetes.io/is-default-class=true
    wait_until 10 is_phase pvc/early Bound
    [ "$(k get pvc early -n "$NS" -o jsonpath='{.spec.storageClassName}')" = default ]
    [ "$(k get pvc never -n "$NS" -o jsonpath='{.status.phase}{.spec.storageClassName}')" = Pending ]
    k delete storageclass default
}

@test "an external provisioner is asked, and a late class waits for a pod" {
    class external example.com/disks
    class late example.com/disks '"volumeBindingMode":"WaitForFirstConsumer"'
    claim out 1Gi '"storageClassName":"external"'
    wait_until 10 has_event out "ExternalProvisioning: Waiting for a volume to be created either by the external provisioner 'example.com/disks' or manually by the system administrator."
    [ "$(k get pvc out -n "$NS" -o json | jq -r '.metadata.annotations["volume.kubernetes.io/storage-provisioner"]')" = example.com/disks ]
    claim wait 1Gi '"storageClassName":"late"'
    wait_until 10 has_event wait "WaitForFirstConsumer: waiting for first consumer to be created before binding"
    [ "$(k get pvc wait -n "$NS" -o json | jq '.metadata.annotations')" = null ]
    k annotate pvc wait -n "$NS" volume.kubernetes.io/selected-node=node-1
    wait_until 10 has_event wait "ExternalProvisioning: "
    # What the provisioner then makes is taken.
    volume p 1Gi '"storageClassName":"late","claimRef":{"namespace":"'"$NS"'","name":"wait"}'
    wait_until 10 bound_to wait p
    claim none 1Gi '"storageClassName":"missing"'
    wait_until 10 has_event none 'ProvisioningFailed: storageclass.storage.k8s.io "missing" not found'
}
