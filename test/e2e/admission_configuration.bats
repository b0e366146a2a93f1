#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# One store is enough: what is shown does not depend on it.
#
# --admission-control-config-file: rates of events, standards for pods, and what needs a quota.

load helpers

setup_file() {
    cat >"$BATS_FILE_TMPDIR/admission.yaml" <<'YAML'
apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- name: EventRateLimit
  path: events.yaml
- name: PodSecurity
  configuration:
    apiVersion: pod-security.admission.config.k8s.io/v1
    kind: PodSecurityConfiguration
    defaults: {enforce: baseline, enforce-version: latest}
    exemptions: {usernames: [trusted], namespaces: [open]}
- name: PodNodeSelector
  configuration:
    podNodeSelectorPluginConfig: {clusterDefaultNodeSelector: zone=a, open: "zone=a,disk=fast"}
- name: ResourceQuota
  configuration:
    apiVersion: apiserver.config.k8s.io/v1
    kind: ResourceQuotaConfiguration
    limitedResources:
    - {resource: persistentvolumeclaims, matchContains: [gold.storageclass.storage.k8s.io/requests.storage]}
    - {resource: pods, matchScopes: [{scopeName: PriorityClass, operator: In, values: [vital, urgent]}]}
YAML
    cat >"$BATS_FILE_TMPDIR/events.yaml" <<'YAML'
apiVersion: eventratelimit.admission.k8s.io/v1alpha1
kind: Configuration
limits:
- {type: Namespace, qps: 1, burst: 3}
YAML
    export FLAGS="--enable-admission-plugins=EventRateLimit,PodNodeSelector --admission-control-config-file=$BATS_FILE_TMPDIR/admission.yaml"
    start_server
    k create namespace open
}
teardown_file() { stop_server; }

# event NAMESPACE COUNT: codes of so many attempts.
event() {
    local body="{\"metadata\": {\"generateName\": \"e-\"}, \"involvedObject\": {\"namespace\": \"$1\"}, \"reason\": \"R\", \"message\": \"m\", \"type\": \"Normal\"}"
    api POST "/api/v1/namespaces/$1/events?n=[1-$2]" -H 'Content-Type: application/json' -d "$body" \
        -o "$BATS_TEST_TMPDIR/last" -w '%{http_code}\n'
}

is_refused() {
    [ "$(event default 1)" = 429 ]
}

@test "more events than the burst are refused, in their namespace alone" {
    codes=$(event default 40)
    [ "$(head -n 3 <<<"$codes" | sort -u)" = 201 ]
    grep -qx 429 <<<"$codes"
    [ "$(event open 1)" = 201 ]
    wait_until 20 is_refused # A token may have come in between.
    jq -e '.reason == "TooManyRequests" and .message == "limit reached on type Namespace for key default"' "$BATS_TEST_TMPDIR/last"
}

privileged() {
    api POST "/api/v1/namespaces/$1/pods" "${@:2}" -H 'Content-Type: application/json' -o "$BATS_TEST_TMPDIR/last" -w '%{http_code}' \
        -d '{"metadata": {"generateName": "p-"}, "spec": {"containers": [{"name": "c", "image": "i", "securityContext": {"privileged": true}}]}}'
}

@test "pods keep to the default standard unless namespace or user are exempt" {
    [ "$(privileged default)" = 403 ]
    jq -e '.message | contains("violates PodSecurity \"baseline:latest\"")' "$BATS_TEST_TMPDIR/last"
    [ "$(privileged open)" = 201 ]
    k create clusterrole pods --verb=create --resource=pods
    k create clusterrolebinding pods --clusterrole=pods --user=trusted --user=other
    [ "$(privileged default -H 'Impersonate-User: other')" = 403 ]
    [ "$(privileged default -H 'Impersonate-User: trusted')" = 201 ]
    k label namespace default pod-security.kubernetes.io/enforce=privileged
    [ "$(privileged default)" = 201 ]
}

# picky NAMESPACE SELECTOR: a pod that asks for a node.
picky() {
    api POST "/api/v1/namespaces/$1/pods" -H 'Content-Type: application/json' \
        -d "{\"metadata\": {\"generateName\": \"p-\"}, \"spec\": {\"nodeSelector\": $2, \"containers\": [{\"name\": \"c\", \"image\": \"i\"}]}}"
}

@test "pods get the default node selector and may ask only for what is allowed" {
    picky default '{"disk": "slow"}' | jq -e '.spec.nodeSelector == {disk: "slow", zone: "a"}'
    picky open '{"disk": "fast"}' | jq -e '.spec.nodeSelector == {disk: "fast", zone: "a"}'
    picky open '{"disk": "slow"}' | jq -e '.code == 403 and (.message | endswith("pod node label selector labels conflict with its namespace whitelist"))'
    picky open '{"zone": "b"}' | jq -e '.code == 403'
}

claim() {
    k create -f - <<YAML
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {generateName: c-}
spec: {storageClassName: $1, accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
YAML
}

@test "what needs a quota is refused where there is none" {
    run claim gold
    [ "$status" -ne 0 ]
    [[ "$output" == *"insufficient quota to consume: gold.storageclass.storage.k8s.io/requests.storage"* ]]
    claim silver
}

@test "pods of a scope are refused where no quota names it" {
    k create priorityclass vital --value=1000 >/dev/null
    k create namespace vital >/dev/null
    k create serviceaccount default -n vital >/dev/null
    local pod='{"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "p-"}, "spec": {"nodeSelector": {"zone": "a"}, "priorityClassName": "vital", "containers": [{"name": "c", "image": "i"}]}}'
    [ "$(api POST /api/v1/namespaces/vital/pods --json "$pod" | jq -c '[.code, .message]')" = \
        '[500,"insufficient quota to match these scopes: [{PriorityClass In [vital urgent]}]"]' ]
    k create -n vital -f - >/dev/null <<'YAML'
apiVersion: v1
kind: ResourceQuota
metadata: {name: vital}
spec:
  hard: {pods: 1}
  scopeSelector: {matchExpressions: [{scopeName: PriorityClass, operator: In, values: [vital, urgent]}]}
YAML
    patch_status /api/v1/namespaces/vital/resourcequotas/vital '{"status": {"hard": {"pods": "1"}, "used": {"pods": "0"}}}'
    [ "$(api POST /api/v1/namespaces/vital/pods --json "$pod" | jq -r .kind)" = Pod ]
    [[ "$(api POST /api/v1/namespaces/vital/pods --json "$pod" | jq -r .message)" == *'exceeded quota: vital'* ]]
    [ "$(api POST /api/v1/namespaces/vital/pods --json "$(jq 'del(.spec.priorityClassName)' <<<"$pod")" | jq -r .kind)" = Pod ]
}

@test "a configuration that is wrong keeps the server from starting" {
    sed 's/burst/bursts/' "$BATS_FILE_TMPDIR/events.yaml" >"$BATS_TEST_TMPDIR/events.yaml"
    cp "$BATS_FILE_TMPDIR/admission.yaml" "$BATS_TEST_TMPDIR/admission.yaml"
    run "$BIN/coracle-apiserver" --tls-cert-file a --tls-private-key-file b --store-file c \
        --admission-control-config-file "$BATS_TEST_TMPDIR/admission.yaml"
    [ "$status" = 2 ]
    [[ "$output" == *'plugins[0]: strict decoding error: unknown field "limits[0].bursts"' ]]
    run "$BIN/coracle-apiserver" --tls-cert-file a --tls-private-key-file b --store-file c \
        --enable-admission-plugins EventRateLimit
    [ "$status" = 2 ]
    [[ "$output" == *"EventRateLimit needs a configuration: --admission-control-config-file" ]]
}
