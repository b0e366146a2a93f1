#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Kinds with behaviour of their own beyond pods and services, as kubectl shows it.

load helpers

setup_file() { start_server; }
teardown_file() { stop_server; }
setup() { new_namespace; }

# ---- API services ----

@test "each group and version that is served here has a local APIService" {
    k get apiservices v1.apps --no-headers | grep -E '^v1.apps +Local +True '
    k get --raw /apis | jq -r '.groups[] | select(.name != "apiregistration.k8s.io") |
        .versions[] | "\(.version).\(.groupVersion | split("/")[0])"' | sort >"$BATS_TEST_TMPDIR/served"
    echo v1. >>"$BATS_TEST_TMPDIR/served"
    k get apiservices -o json | jq -r '.items[].metadata.name' | sort |
        diff - <(sort "$BATS_TEST_TMPDIR/served")
    k get apiservices -o json | jq -e '.items | all(
        .metadata.labels["kube-aggregator.kubernetes.io/automanaged"] == "onstart" and
        (.status.conditions | length == 1) and (.status.conditions[0] |
            .type == "Available" and .status == "True" and .reason == "Local" and
            .message == "Local APIServices are always available"))'
    k get apiservice v1. -o json | jq -e '.spec == {"version": "v1", "groupPriorityMinimum": 18000, "versionPriority": 1}'
    k get apiservice v2.autoscaling -o json | jq -e '.spec.groupPriorityMinimum == 17500 and .spec.versionPriority == 30'
}

@test "an APIService that was changed is put right at the next start, unless it was taken over" {
    k patch apiservice v1.apps --type merge -p '{"spec": {"versionPriority": 99}}'
    k patch apiservice v1.batch --type json -p '[{"op": "remove", "path": "/metadata/labels"},
        {"op": "replace", "path": "/spec/versionPriority", "value": 99}]'
    k delete apiservice v1.policy
    stop_server
    KEEP=yes start_server
    [ "$(k get apiservice v1.apps -o jsonpath='{.spec.versionPriority}')" = 15 ]
    [ "$(k get apiservice v1.batch -o jsonpath='{.spec.versionPriority}')" = 99 ]
    k get apiservice v1.policy
}

# ---- requests for certificates ----

# request NAME: a CertificateSigningRequest that says it is somebody else's.
request() {
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout /dev/null \
        -subj /CN=jane -out "$BATS_TEST_TMPDIR/csr" 2>/dev/null
    k create -f - <<YAML
apiVersion: certificates.k8s.io/v1
kind: CertificateSigningRequest
metadata: {name: $1}
spec:
  request: $(base64 -w0 <"$BATS_TEST_TMPDIR/csr")
  signerName: example.com/signer
  usages: [client auth]
  username: somebody-else
  uid: not-mine
  groups: [other]
YAML
}

@test "a request for a certificate is of who sends it, whatever it says" {
    request jane
    k get csr jane -o json | jq -e '.spec.username != "somebody-else" and
        (.spec | has("uid") | not) and (.spec.groups | index("system:masters")) and
        (.spec.groups | index("other") | not) and .status == {}'
}

@test "a request is decided once, and gets its certificate through the status" {
    request joe
    k certificate approve joe
    k get csr joe --no-headers | grep ' Approved$'
    k get csr joe -o json | jq -e '.status.conditions[0] | .lastUpdateTime and .lastTransitionTime'
    path=/apis/certificates.k8s.io/v1/certificatesigningrequests/joe
    api GET "$path" | jq '.status.conditions += [{"type": "Denied", "status": "True"}]' |
        api PUT "$path/approval" -H 'Content-Type: application/json' --data-binary @- |
        jq -e '.code == 422 and .details.causes[0].field == "status.conditions[1].type"'
    api GET "$path" | jq --arg c "$(base64 -w0 <"$DATA/pki/admin.crt")" '.status.certificate = $c' |
        api PUT "$path/status" -H 'Content-Type: application/json' --data-binary @- | jq -e .status.certificate
    k get csr joe --no-headers | grep ' Approved,Issued$'
    api GET "$path" | jq 'del(.status.certificate)' |
        api PUT "$path/status" -H 'Content-Type: application/json' --data-binary @- |
        jq -e '.details.causes[0].message | endswith("updates may not modify existing certificate content")'
}

# ---- definitions ----

@test "a definition remembers all versions in which objects may be stored" {
    version() {
        echo "{name: $1, served: true, storage: $2, schema: {openAPIV3Schema: {type: object}}}"
    }
    definition() {
        cat <<YAML
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: books.example.com}
spec: {group: example.com, scope: Namespaced, names: {plural: books, kind: Book}, versions: [$1]}
YAML
    }
    definition "$(version v1 true)" | k apply -f -
    definition "$(version v1 false), $(version v2 true)" | k apply -f -
    [ "$(k get crd books.example.com -o jsonpath='{.status.storedVersions}')" = '["v1","v2"]' ]
    run k apply -f - <<<"$(definition "$(version v2 true)")"
    [ "$status" -ne 0 ]
    grep 'status.storedVersions\[0\]: Invalid value: "v1": must appear in spec.versions' <<<"$output"
    k delete crd books.example.com
}

# ---- volumes ----

@test "a volume tells since when it is in its phase" {
    k create -f - <<YAML
apiVersion: v1
kind: PersistentVolume
metadata: {name: $NS}
spec: {accessModes: [ReadWriteOnce], capacity: {storage: 1Gi}, hostPath: {path: /data}}
YAML
    path=/api/v1/persistentvolumes/$NS
    api GET "$path" | jq -e '.status.phase == "Pending" and (.status.lastPhaseTransitionTime | fromdate)'
    # A phase that is the same says nothing; another one tells its own time.
    set_status() {
        api PATCH "$path/status" -H 'Content-Type: application/merge-patch+json' --data "{\"status\": $1}"
    }
    set_status '{"lastPhaseTransitionTime": "2020-01-01T00:00:00Z"}' >/dev/null
    set_status '{"phase": "Pending"}' | jq -e '.status.lastPhaseTransitionTime == "2020-01-01T00:00:00Z"'
    set_status '{"phase": "Available"}' | jq -e '.status.lastPhaseTransitionTime > "2020-01-01T00:00:00Z"'
    set_status '{"phase": "Bound", "lastPhaseTransitionTime": "2021-01-01T00:00:00Z"}' |
        jq -e '.status.lastPhaseTransitionTime == "2021-01-01T00:00:00Z"'
    k delete pv "$NS" --wait=false # No controller lets it go.
}

@test "a bound claim grows, and does nothing else" {
    k -n "$NS" apply -f - <<YAML
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: $NS-growing}
provisioner: example.com/disks
allowVolumeExpansion: true
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec: {storageClassName: $NS-growing, accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
YAML
    run k -n "$NS" patch pvc data -p '{"spec": {"resources": {"requests": {"storage": "2Gi"}}}}'
    [ "$status" -ne 0 ]
    grep "spec is immutable after creation except resources.requests" <<<"$output"
    path=/api/v1/namespaces/$NS/persistentvolumeclaims/data
    api PATCH "$path/status" -H 'Content-Type: application/merge-patch+json' \
        --data '{"status": {"phase": "Bound", "capacity": {"storage": "1Gi"}}}' | jq -e '.status.phase == "Bound"'
    k -n "$NS" patch pvc data -p '{"spec": {"resources": {"requests": {"storage": "2Gi"}}}}'
    run k -n "$NS" patch pvc data -p '{"spec": {"resources": {"requests": {"storage": "1Gi"}}}}'
    [ "$status" -ne 0 ]
    grep "field can not be less than status.capacity" <<<"$output"
}

@test "what is accepted but not advised is warned of" {
    run k create -f - <<YAML
apiVersion: v1
kind: PersistentVolume
metadata: {name: $NS}
spec: {accessModes: [ReadWriteOnce], capacity: {storage: 1Gi}, hostPath: {path: /data}, persistentVolumeReclaimPolicy: Recycle}
YAML
    [ "$status" -eq 0 ]
    grep "Warning: spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated" <<<"$output"
    k delete pv "$NS" --wait=false
}

# device_claim NAME [ADMIN]
device_claim() {
    k -n "$NS" create -f - <<YAML
apiVersion: resource.k8s.io/v1
kind: ResourceClaim
metadata: {name: $1}
spec: {devices: {requests: [{name: gpu, exactly: {deviceClassName: gpu${2:+, adminAccess: $2}}}]}}
YAML
}

@test "devices of others are for namespaces of administrators" {
    device_claim plain
    device_claim humble false
    run device_claim admin true
    [ "$status" -ne 0 ]
    [[ "$output" == *'spec.devices.requests[0].adminAccess: Forbidden: admin access to devices requires the `resource.kubernetes.io/admin-access: true` label on the containing namespace'* ]]
    k label namespace "$NS" resource.kubernetes.io/admin-access=true
    device_claim admin true
}
