#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# One store is enough: what is shown does not depend on it.
#
# What a namespace's service accounts and limit ranges make of its pods and claims.

load helpers

setup_file() {
    export SERVICES=controllers CONTROLLERS_FLAGS=--leader-elect=false
    start_server
}
teardown_file() { stop_server; }
setup() { new_namespace; }

# pod NAME [SPEC FIELDS]: creates a pod and prints it.
pod() {
    k create -o json -f - <<YAML
apiVersion: v1
kind: Pod
metadata: {name: $1, namespace: $NS}
spec:
  containers: [{name: c, image: nginx}]
  ${2:-}
YAML
}

# account NAME FIELDS: JSON of a service account's own fields.
account() {
    k create -f - <<<"{\"apiVersion\":\"v1\",\"kind\":\"ServiceAccount\",\"metadata\":{\"name\":\"$1\",\"namespace\":\"$NS\"${3:+,$3}}${2:+,$2}}"
}

refused() {
    local sentence=$1
    shift
    run "$@"
    [ "$status" -ne 0 ] && [[ "$output" == *"$sentence"* ]] || {
        echo "$output"
        return 1
    }
}

@test "a pod that is made right after its namespace runs as the default account" {
    k create namespace "$NS-new"
    k run -n "$NS-new" first --image=nginx
    [ "$(k get pod -n "$NS-new" first -o jsonpath='{.spec.serviceAccountName} {.spec.serviceAccount}')" = "default default" ]
}

@test "each container mounts a token, the authority and the namespace" {
    created=$(pod plain 'initContainers: [{name: i, image: nginx}]')
    volume=$(jq -r '.spec.volumes[0].name' <<<"$created")
    [[ "$volume" =~ ^kube-api-access-[a-z0-9]{5}$ ]]
    [ "$(jq -cS '.spec.volumes[0].projected' <<<"$created")" = '{"defaultMode":420,"sources":[{"serviceAccountToken":{"expirationSeconds":3607,"path":"token"}},{"configMap":{"items":[{"key":"ca.crt","path":"ca.crt"}],"name":"kube-root-ca.crt"}},{"downwardAPI":{"items":[{"fieldRef":{"apiVersion":"v1","fieldPath":"metadata.namespace"},"path":"namespace"}]}}]}' ]
    mount='[{"mountPath":"/var/run/secrets/kubernetes.io/serviceaccount","name":"'$volume'","readOnly":true}]'
    [ "$(jq -cS '.spec.containers[0].volumeMounts, .spec.initContainers[0].volumeMounts' <<<"$created")" = "$mount
$mount" ]
}

@test "who doesn't want a token, or has something there, gets none" {
    [ "$(pod none 'automountServiceAccountToken: false' | jq -c '[.spec.volumes, .spec.containers[0].volumeMounts]')" = '[null,null]' ]
    account quiet '"automountServiceAccountToken":false'
    [ "$(pod quiet 'serviceAccountName: quiet' | jq -c .spec.volumes)" = null ]
    [ "$(pod louder 'serviceAccount: quiet
  automountServiceAccountToken: true' | jq -c '[.spec.serviceAccountName, (.spec.volumes | length)]')" = '["quiet",1]' ]
    created=$(k create -o json -f - <<YAML
apiVersion: v1
kind: Pod
metadata: {name: own, namespace: $NS}
spec:
  volumes: [{name: v, emptyDir: {}}]
  containers: [{name: c, image: nginx, volumeMounts: [{name: v, mountPath: /var/run/secrets/kubernetes.io/serviceaccount}]}]
YAML
    )
    [ "$(jq -c '[.spec.volumes[].name]' <<<"$created")" = '["v"]' ]
}

@test "an account that is not there is an error, and pulls take the account's secrets" {
    refused "pods \"lost\" is forbidden: error looking up service account $NS/nobody: serviceaccount \"nobody\" not found" \
        pod lost 'serviceAccountName: nobody'
    account puller '"imagePullSecrets":[{"name":"registry"}]'
    [ "$(pod pulls 'serviceAccountName: puller' | jq -c .spec.imagePullSecrets)" = '[{"name":"registry"}]' ]
    [ "$(pod own 'serviceAccountName: puller
  imagePullSecrets: [{name: mine}]' | jq -c .spec.imagePullSecrets)" = '[{"name":"mine"}]' ]
}

@test "an account may limit which secrets its pods use" {
    account strict '"secrets":[{"name":"mine"}]' '"annotations":{"kubernetes.io/enforce-mountable-secrets":"true"}'
    pod good 'serviceAccountName: strict
  volumes: [{name: v, secret: {secretName: mine}}]'
    refused 'volume with secret.secretName="other" is not allowed because service account strict does not reference that secret' \
        pod bad 'serviceAccountName: strict
  volumes: [{name: v, secret: {secretName: other}}]'
    refused 'init container i with envVar A referencing secret.secretName="other" is not allowed because service account strict does not reference that secret' \
        pod bad 'serviceAccountName: strict
  initContainers: [{name: i, image: x, env: [{name: A, valueFrom: {secretKeyRef: {name: other, key: k}}}]}]'
    refused 'imagePullSecrets[0].name="other" is not allowed because service account strict does not reference that imagePullSecret' \
        pod bad 'serviceAccountName: strict
  imagePullSecrets: [{name: other}]'
}

@test "a pod with a mirror's annotation has neither account nor secrets" {
    mirror='{"apiVersion":"v1","kind":"Pod","metadata":{"name":"m","namespace":"'$NS'","annotations":{"kubernetes.io/config.mirror":"x"}},"spec":{"containers":[{"name":"c","image":"i"}],"nodeName":"n"}}'
    [ "$(k create -o json -f - <<<"$mirror" | jq -c '[.spec.serviceAccountName, .spec.volumes]')" = '[null,null]' ]
    refused 'a mirror pod may not reference service accounts' \
        k create -f - <<<"$(jq '.metadata.name = "n" | .spec.serviceAccountName = "default"' <<<"$mirror")"
    refused 'a mirror pod may not reference secrets' \
        k create -f - <<<"$(jq '.metadata.name = "n" | .spec.volumes = [{name: "v", secret: {secretName: "s"}}]' <<<"$mirror")"
}

limit_range() {
    k create -f - <<<"{\"apiVersion\":\"v1\",\"kind\":\"LimitRange\",\"metadata\":{\"name\":\"limits\",\"namespace\":\"$NS\"},\"spec\":{\"limits\":[$1]}}"
}

@test "a limit range gives containers what they lack, and says so" {
    limit_range '{"type":"Container","default":{"cpu":"500m","memory":"1Gi"},"defaultRequest":{"cpu":"100m"}}'
    created=$(pod bare 'initContainers: [{name: i, image: x, resources: {limits: {cpu: 2}}}]')
    [ "$(jq -cS '.spec.containers[0].resources' <<<"$created")" = '{"limits":{"cpu":"500m","memory":"1Gi"},"requests":{"cpu":"100m","memory":"1Gi"}}' ]
    [ "$(jq -cS '.spec.initContainers[0].resources' <<<"$created")" = '{"limits":{"cpu":"2","memory":"1Gi"},"requests":{"cpu":"2","memory":"1Gi"}}' ]
    [ "$(jq -r '.metadata.annotations["kubernetes.io/limit-ranger"]' <<<"$created")" = \
        'LimitRanger plugin set: cpu, memory request for container c; cpu, memory limit for container c; memory request for init container i; memory limit for init container i' ]
}

@test "limits of containers and pods are kept" {
    limit_range '{"type":"Container","min":{"cpu":"100m"},"max":{"cpu":"1"},"maxLimitRequestRatio":{"cpu":"2"}},{"type":"Pod","max":{"memory":"1Gi"}}'
    refused 'pods "big" is forbidden: [maximum cpu usage per Container is 1, but limit is 2, maximum memory usage per Pod is 1Gi.  No limit is specified]' \
        k run big -n "$NS" --image=x --overrides='{"spec":{"containers":[{"name":"c","image":"x","resources":{"limits":{"cpu":"2"}}}]}}'
    refused 'is forbidden: cpu max limit to request ratio per Container is 2, but provided ratio is 4.000000' \
        k run steep -n "$NS" --image=x --overrides='{"spec":{"containers":[{"name":"c","image":"x","resources":{"requests":{"cpu":"200m"},"limits":{"cpu":"800m","memory":"1Gi"}}}]}}'
    k run fits -n "$NS" --image=x --overrides='{"spec":{"containers":[{"name":"c","image":"x","resources":{"limits":{"cpu":"1","memory":"1Gi"}}}]}}'
}

@test "limits of claims are kept" {
    limit_range '{"type":"PersistentVolumeClaim","min":{"storage":"1Gi"},"max":{"storage":"5Gi"}}'
    claim='{"apiVersion":"v1","kind":"PersistentVolumeClaim","metadata":{"name":"c","namespace":"'$NS'"},"spec":{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"6Gi"}}}}'
    refused 'persistentvolumeclaims "c" is forbidden: maximum storage usage per PersistentVolumeClaim is 5Gi, but request is 6Gi' k create -f - <<<"$claim"
    refused 'minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 1M' k create -f - <<<"${claim/6Gi/1M}"
    k create -f - <<<"${claim/6Gi/2Gi}"
}
