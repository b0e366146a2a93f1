#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Namespaces come with what every namespace has, and go away with all that is in them.

load helpers

setup_file() {
    start_server
    start_controllers --service-account-private-key-file "$DATA/pki/sa.key"
}

teardown_file() {
    stop_controllers
    stop_server
}

has() {
    k -n "$1" get "$2" "$3" >/dev/null 2>&1
}

has_not() {
    ! has "$@"
}

# condition NAMESPACE TYPE STATUS: that it is so.
condition() {
    [ "$(k get namespace "$1" -o jsonpath="{.status.conditions[?(@.type=='$2')].status}")" = "$3" ]
}

@test "a namespace with objects of many kinds goes away by itself" {
    new_namespace
    k -n "$NS" create configmap one --from-literal=a=b
    k -n "$NS" create secret generic two --from-literal=a=b
    k -n "$NS" create service clusterip three --tcp=80
    k -n "$NS" create deployment four --image=a
    k -n "$NS" create job five --image=a
    k -n "$NS" create role six --verb=get --resource=pods
    k -n "$NS" create quota seven --hard=pods=100
    k -n "$NS" run eight --image=a
    k delete namespace "$NS" --timeout=60s
    run k get namespace "$NS"
    [[ "$output" == *NotFound* ]]
    [ -z "$(k get configmaps,secrets,services,deployments,jobs,roles,quota,pods -A -o json |
        jq -r --arg ns "$NS" '.items[] | select(.metadata.namespace == $ns) | .kind')" ]
}

@test "conditions tell what holds a namespace, and it goes when that is gone" {
    new_namespace
    k -n "$NS" create configmap held
    k -n "$NS" create configmap free
    k -n "$NS" patch configmap held --type merge -p '{"metadata":{"finalizers":["example.com/hold"]}}'
    k delete namespace "$NS" --wait=false
    wait_until 30 condition "$NS" NamespaceFinalizersRemaining True
    wait_until 30 has_not "$NS" configmap free
    condition "$NS" NamespaceContentRemaining True
    condition "$NS" NamespaceDeletionContentFailure False
    condition "$NS" NamespaceDeletionDiscoveryFailure False
    condition "$NS" NamespaceDeletionGroupVersionParsingFailure False
    [ "$(k get namespace "$NS" -o jsonpath='{.status.phase}')" = Terminating ]
    [ "$(k get namespace "$NS" -o jsonpath="{.status.conditions[?(@.type=='NamespaceContentRemaining')].message}")" = \
        "Some resources are remaining: configmaps. has 1 resource instances" ]
    [ "$(k get namespace "$NS" -o jsonpath="{.status.conditions[?(@.type=='NamespaceFinalizersRemaining')].message}")" = \
        "Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances" ]
    k -n "$NS" patch configmap held --type merge -p '{"metadata":{"finalizers":null}}'
    k wait --for=delete "namespace/$NS" --timeout=60s
}

@test "pods go before anything else does" {
    new_namespace
    k -n "$NS" create configmap one
    k -n "$NS" run held --image=a
    k -n "$NS" patch pod held --type merge -p '{"metadata":{"finalizers":["example.com/hold"]}}'
    k delete namespace "$NS" --wait=false
    wait_until 30 condition "$NS" NamespaceContentRemaining True
    [ -n "$(k -n "$NS" get pod held -o jsonpath='{.metadata.deletionTimestamp}')" ]
    [ -z "$(k -n "$NS" get configmap one -o jsonpath='{.metadata.deletionTimestamp}')" ]
    k -n "$NS" patch pod held --type merge -p '{"metadata":{"finalizers":null}}'
    k wait --for=delete "namespace/$NS" --timeout=60s
}

@test "the default service account is there, and comes back" {
    new_namespace
    wait_until 30 has "$NS" serviceaccount default
    local uid
    uid=$(k -n "$NS" get serviceaccount default -o jsonpath='{.metadata.uid}')
    k -n "$NS" delete serviceaccount default
    wait_until 30 has "$NS" serviceaccount default
    [ "$(k -n "$NS" get serviceaccount default -o jsonpath='{.metadata.uid}')" != "$uid" ]
}

ca_is_right() {
    [ "$(k -n "$NS" get configmap kube-root-ca.crt -o jsonpath='{.data.ca\.crt}')" = "$(cat "$DATA/pki/ca.crt")" ]
}

@test "the CA's config map is there, comes back and is repaired" {
    new_namespace
    wait_until 30 ca_is_right
    k -n "$NS" delete configmap kube-root-ca.crt
    wait_until 30 ca_is_right
    k -n "$NS" patch configmap kube-root-ca.crt --type merge -p '{"data":{"ca.crt":"wrong","other":"x"}}'
    wait_until 30 ca_is_right
    [ "$(k -n "$NS" get configmap kube-root-ca.crt -o json | jq -c '.data | keys')" = '["ca.crt"]' ]
    k -n "$NS" get configmap kube-root-ca.crt -o json |
        jq -r '.metadata.annotations["kubernetes.io/description"]' | grep -q '^Contains a CA bundle'
}

# token_secret ACCOUNT [MORE ANNOTATIONS]: a secret that asks for a token.
token_secret() {
    k apply -n "$NS" -f - >/dev/null <<YAML
apiVersion: v1
kind: Secret
type: kubernetes.io/service-account-token
metadata: {name: token, annotations: {kubernetes.io/service-account.name: $1${2:+, $2}}}
YAML
}

datum() {
    k -n "$NS" get secret token -o json | jq -r --arg name "$1" '.data[$name] // "" | @base64d'
}

has_token() { [ -n "$(datum token)" ]; }

@test "a secret gets a token of its account, which is good as long as the account is the same" {
    new_namespace
    local account uid token who=/apis/authentication.k8s.io/v1/selfsubjectreviews
    k -n "$NS" create serviceaccount robot
    uid=$(k -n "$NS" get serviceaccount robot -o jsonpath='{.metadata.uid}')
    token_secret robot
    wait_until 30 has_token
    [ "$(datum namespace)" = "$NS" ]
    [ "$(datum ca.crt)" = "$(cat "$DATA/pki/ca.crt")" ]
    [ "$(k -n "$NS" get secret token -o json | jq -r '.metadata.annotations["kubernetes.io/service-account.uid"]')" = "$uid" ]
    token=$(datum token)
    [ "$(curl -sS --cacert "$DATA/pki/ca.crt" -H "Authorization: Bearer $token" --json '{}' \
        "https://127.0.0.1:$PORT$who" | jq -r .status.userInfo.username)" = "system:serviceaccount:$NS:robot" ]
    k -n "$NS" delete serviceaccount robot
    wait_until 30 has_not "$NS" secret token
    token_secret nobody
    wait_until 30 has_not "$NS" secret token
    k -n "$NS" create serviceaccount robot
    token_secret robot "kubernetes.io/service-account.uid: $uid"
    wait_until 30 has_not "$NS" secret token
}
