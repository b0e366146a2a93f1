#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# One store is enough: what is shown does not depend on it.
#
# Admission plugins about classes, volumes, certificates and owners, as clients meet them.

load helpers

off_by_default=OwnerReferencesPermissionEnforcement,AlwaysPullImages,ExtendedResourceToleration,LimitPodHardAntiAffinityTopology,PodNodeSelector,DenyServiceExternalIPs,NamespaceAutoProvision,NamespaceExists,PodTolerationRestriction

setup_file() { FLAGS="--enable-admission-plugins=$off_by_default" start_server; }
teardown_file() { stop_server; }
setup() { new_namespace; }

# pod NAME [SPEC FIELDS] [CONTAINER FIELDS]: creates a pod and prints it.
pod() {
    k create -o json -f - <<YAML
apiVersion: v1
kind: Pod
metadata: {name: $1, namespace: $NS}
spec:
  containers: [{name: c, image: "nginx:1"${3:+, $3}}]
  ${2:-}
YAML
}

# claim NAME [METADATA FIELDS] [SPEC FIELDS]
claim() {
    k create -o json -f - <<YAML
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: $1, namespace: $NS, $2}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}, $3}
YAML
}

# storage_class NAME [FIELDS] [ANNOTATIONS]
storage_class() {
    k create -f - <<<"---
{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: $1, annotations: {${3:-}}}, provisioner: example.com/disks, $2}"
}

@test "a claim without a class gets the default one" {
    [ "$(claim none | jq .spec.storageClassName)" = null ]
    storage_class "$NS-other"
    storage_class "$NS-usual" '' 'storageclass.kubernetes.io/is-default-class: "true"'
    [ "$(claim plain | jq -r .spec.storageClassName)" = "$NS-usual" ]
    [ "$(claim empty '' 'storageClassName: ""' | jq -c .spec.storageClassName)" = '""' ]
    [ "$(claim named '' "storageClassName: $NS-other" | jq -r .spec.storageClassName)" = "$NS-other" ]
    [ "$(claim old "annotations: {volume.beta.kubernetes.io/storage-class: $NS-other}" | jq .spec.storageClassName)" = null ]
    k delete storageclass "$NS-usual"
}

@test "an ingress without a class gets the default one" {
    k create -f - <<<"---
{apiVersion: networking.k8s.io/v1, kind: IngressClass, metadata: {name: $NS, annotations: {ingressclass.kubernetes.io/is-default-class: \"true\"}}, spec: {controller: example.com/a}}"
    k -n "$NS" create ingress plain --rule=a.example.com/=web:80
    [ "$(k -n "$NS" get ingress plain -o jsonpath='{.spec.ingressClassName}')" = "$NS" ]
    k -n "$NS" create ingress old --rule=a.example.com/=web:80 --annotation kubernetes.io/ingress.class=a
    [ "$(k -n "$NS" get ingress old -o jsonpath='{.spec.ingressClassName}')" = '' ]
    k delete ingressclass "$NS"
}

grow() {
    k -n "$NS" patch pvc "$1" -p '{"spec": {"resources": {"requests": {"storage": "2Gi"}}}}'
}

@test "a claim grows when its class allows it" {
    storage_class "$NS-fixed"
    storage_class "$NS-growing" 'allowVolumeExpansion: true'
    for class in fixed growing; do
        claim $class '' "storageClassName: $NS-$class, volumeName: v"
        patch_status "/api/v1/namespaces/$NS/persistentvolumeclaims/$class" '{"status": {"phase": "Bound"}}'
    done
    run grow fixed
    [[ "$output" == *'persistentvolumeclaims "fixed" is forbidden: only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize' ]]
    grow growing
    [ "$(k -n "$NS" get pvc growing -o jsonpath='{.spec.resources.requests.storage}')" = 2Gi ]
}

@test "a pod's runtime class says what it takes and where it runs" {
    k create -f - <<YAML
apiVersion: node.k8s.io/v1
kind: RuntimeClass
metadata: {name: $NS}
handler: vm
overhead: {podFixed: {memory: 64Mi}}
scheduling: {nodeSelector: {vm: "yes"}, tolerations: [{key: vm, operator: Exists}]}
YAML
    created=$(pod boxed "runtimeClassName: $NS")
    [ "$(jq -c .spec.overhead <<<"$created")" = '{"memory":"64Mi"}' ]
    [ "$(jq -c .spec.nodeSelector <<<"$created")" = '{"vm":"yes"}' ]
    [ "$(jq -c '.spec.tolerations | map(select(.key == "vm"))' <<<"$created")" = '[{"key":"vm","operator":"Exists"}]' ]
    run pod elsewhere "runtimeClassName: $NS
  nodeSelector: {vm: \"no\"}"
    [[ "$output" == *'pods "elsewhere" is forbidden: conflict: runtimeClass.scheduling.nodeSelector[vm] = yes; pod.spec.nodeSelector[vm] = no' ]]
    run pod lost 'runtimeClassName: nowhere'
    [[ "$output" == *'pods "lost" is forbidden: pod rejected: RuntimeClass "nowhere" not found' ]]
    run pod heavy 'overhead: {cpu: 1}'
    [[ "$output" == *'pods "heavy" is forbidden: pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead' ]]
    run pod odd "runtimeClassName: $NS
  overhead: {memory: 1Mi}"
    [[ "$output" == *"pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead" ]]
}

# request NAME SUBJECT SIGNER
request() {
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout /dev/null \
        -subj "$2" -out "$BATS_TEST_TMPDIR/csr" 2>/dev/null
    k create -f - <<YAML
apiVersion: certificates.k8s.io/v1
kind: CertificateSigningRequest
metadata: {name: $1}
spec: {request: $(base64 -w0 <"$BATS_TEST_TMPDIR/csr"), signerName: $3, usages: [client auth]}
YAML
}

@test "no certificate makes anybody a member of system:masters" {
    run request "$NS-master" /O=builders/O=system:masters/CN=jane kubernetes.io/kube-apiserver-client
    [[ "$output" == *"is forbidden: use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed" ]]
    request "$NS-builder" /O=builders/CN=jane kubernetes.io/kube-apiserver-client
    request "$NS-other" /O=system:masters/CN=jane example.com/other
}

@test "certificates are approved and signed by those who may do so for their signer" {
    request "$NS" /CN=jane example.com/a
    k create clusterrole "$NS" --verb=get,list,update,patch --resource=certificatesigningrequests,certificatesigningrequests/approval,certificatesigningrequests/status
    k create clusterrolebinding "$NS" --clusterrole="$NS" --user=joe
    run k certificate approve "$NS" --as=joe
    [[ "$output" == *"certificatesigningrequests.certificates.k8s.io \"$NS\" is forbidden: user not permitted to approve requests with signerName \"example.com/a\"" ]]
    k create -f - <<YAML
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: $NS-approver}
rules: [{apiGroups: [certificates.k8s.io], resources: [signers], resourceNames: [example.com/*], verbs: [approve]}]
YAML
    k create clusterrolebinding "$NS-approver" --clusterrole="$NS-approver" --user=joe
    wait_until 5 k certificate approve "$NS" --as=joe
    run api PATCH "/apis/certificates.k8s.io/v1/certificatesigningrequests/$NS/status" -H 'Impersonate-User: joe' \
        -H 'Content-Type: application/json-patch+json' -d '[{"op": "add", "path": "/status/conditions/-", "value": {"type": "Failed", "status": "True"}}]'
    echo "$output"
    [[ "$output" == *'user not permitted to sign requests with signerName'* ]]
}

@test "owners are changed by those who may delete, and held by those who may set finalizers" {
    k -n "$NS" create role r --verb=get,create,patch --resource=configmaps
    k -n "$NS" create rolebinding r --role=r --user=joe
    k -n "$NS" create configmap owner
    uid=$(k -n "$NS" get configmap owner -o jsonpath='{.metadata.uid}')
    owned="---
{apiVersion: v1, kind: ConfigMap, metadata: {name: owned, namespace: $NS, ownerReferences: [{apiVersion: v1, kind: ConfigMap, name: owner, uid: $uid"
    run k create --as=joe -f - <<<"$owned, blockOwnerDeletion: true}]}}"
    [[ "$output" == *"configmaps \"owned\" is forbidden: cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers on: , <nil>" ]]
    k create --as=joe -f - <<<"$owned}]}}"
    run k -n "$NS" patch configmap owned --as=joe --type=merge -p '{"metadata": {"ownerReferences": null}}'
    [[ "$output" == *"configmaps \"owned\" is forbidden: cannot set an ownerRef on a resource you can't delete: , <nil>" ]]
    k -n "$NS" label configmap owned --as=joe a=b
    k create -f - <<YAML
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: f, namespace: $NS}
rules: [{apiGroups: [""], resources: [configmaps/finalizers], verbs: [update]}]
YAML
    k create rolebinding f -n "$NS" --role=f --user=joe
    sed 's/name: owned/name: held/' <<<"$owned, blockOwnerDeletion: true}]}}" >"$BATS_TEST_TMPDIR/held"
    wait_until 5 k create --as=joe -f "$BATS_TEST_TMPDIR/held"
}

@test "plugins that are off by default work when they are enabled" {
    [ "$(pod pulled '' 'imagePullPolicy: Never' | jq -r '.spec.containers[0].imagePullPolicy')" = Always ]
    created=$(pod fast '' 'resources: {requests: {example.com/b: 1, example.com/a: 1, cpu: 1}, limits: {example.com/b: 1, example.com/a: 1}}')
    [ "$(jq -c '.spec.tolerations | map(select(.effect == "NoSchedule") | .key)' <<<"$created")" = '["node.kubernetes.io/memory-pressure","example.com/a","example.com/b"]' ]
    affinity='affinity: {podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{labelSelector: {}, topologyKey: KEY}]}}'
    pod apart "${affinity/KEY/kubernetes.io/hostname}"
    run pod away "${affinity/KEY/zone}"
    [[ "$output" == *'pods "away" is forbidden: affinity.PodAntiAffinity.RequiredDuringScheduling has TopologyKey zone but only key kubernetes.io/hostname is allowed' ]]
}

@test "a namespace says on which nodes its pods run" {
    annotate() { k annotate --overwrite namespace "$NS" "scheduler.alpha.kubernetes.io/node-selector=$1"; }
    annotate 'zone=a, disk = ssd'
    [ "$(pod here 'nodeSelector: {cpu: fast}' | jq -cS .spec.nodeSelector)" = '{"cpu":"fast","disk":"ssd","zone":"a"}' ]
    run pod there 'nodeSelector: {zone: b}'
    [[ "$output" == *'pods "there" is forbidden: pod node label selector conflicts with its namespace node label selector' ]]
    annotate 'zone'
    run pod nowhere
    [[ "$output" == *'invalid selector: zone'* ]]
}

@test "no service gets external addresses, but those that it has may stay" {
    service() { api "$1" "/api/v1/namespaces/$NS/services$2" --json "{\"metadata\":{\"name\":\"web\"},\"spec\":{\"ports\":[{\"port\":80}],\"externalIPs\":$3}}"; }
    [ "$(service POST '' '["192.0.2.1"]' | jq -r '"\(.code) \(.message)"')" = \
        '403 services "web" is forbidden: Use of external IPs is denied by admission control' ]
    [ "$(service POST '' '[]' | jq -r .kind)" = Service ]
    [ "$(service PUT /web '["192.0.2.1"]' | jq .code)" = 403 ]
}

@test "a namespace is made for what is created in it, but for no rehearsal" {
    local new=$NS-new
    [ "$(api POST "/api/v1/namespaces/$new/configmaps?dryRun=All" --json '{"metadata":{"name":"a"}}' | jq -r .message)" = "namespaces \"$new\" not found" ]
    [ "$(api POST "/api/v1/namespaces/$new/configmaps" --json '{"metadata":{"name":"a"}}' | jq -r .kind)" = ConfigMap ]
    [ "$(k get namespace "$new" -o jsonpath='{.status.phase} {.metadata.labels}')" = "Active {\"kubernetes.io/metadata.name\":\"$new\"}" ]
    [ "$(api DELETE "/api/v1/namespaces/$NS-none/configmaps/a" | jq -r .message)" = 'configmaps "a" not found' ]
}

@test "a namespace says which tolerations its pods get, and which they may have" {
    tolerations() { jq -c '[.spec.tolerations[] | "\(.key) \(.operator) \(.value) \(.effect)"]'; }
    k annotate namespace "$NS" 'scheduler.alpha.kubernetes.io/defaultTolerations=[{"key":"a","operator":"Exists"}]'
    # What the pod says itself is part of it.
    [ "$(pod plain 'tolerations: [{key: a, operator: Equal, value: b, effect: NoSchedule}]' | tolerations)" = \
        '["node.kubernetes.io/not-ready Exists null NoExecute","node.kubernetes.io/unreachable Exists null NoExecute","a Exists null null"]' ]
    [[ "$(pod burst '' 'resources: {requests: {cpu: 1m}}' | tolerations)" == *'"node.kubernetes.io/memory-pressure Exists null NoSchedule"'* ]]
    k annotate namespace "$NS" 'scheduler.alpha.kubernetes.io/tolerationsWhitelist=[{"key":"a","operator":"Exists"},{"key":"node.kubernetes.io/not-ready","operator":"Exists"},{"key":"node.kubernetes.io/unreachable","operator":"Exists"}]'
    pod listed
    run pod other 'tolerations: [{key: b, operator: Exists}]'
    [[ "$output" == *"pod tolerations (possibly merged with namespace default tolerations) conflict with its namespace whitelist"* ]]
    k annotate --overwrite namespace "$NS" 'scheduler.alpha.kubernetes.io/tolerationsWhitelist=[7]'
    run pod broken
    [[ "$output" == *"tolerationsWhitelist: must be a list of tolerations"* ]]
}
