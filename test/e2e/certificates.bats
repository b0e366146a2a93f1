#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# One store is enough: what is shown does not depend on it.
#
# Certificates that are asked for, approved by people or by themselves, signed, and used; and the
# bootstrap tokens that nodes begin with.

load helpers

setup_file() {
    SERVICES=controllers CONTROLLERS_FLAGS="--controllers=*,tokencleaner,bootstrapsigner" start_server
}

teardown_file() {
    stop_server
}

# ask NAME SIGNER SUBJECT USAGES [KUBECTL ARGUMENTS…]: with a new key, NAME.key.
ask() {
    local name=$1 signer=$2 subject=$3 usages=$4
    shift 4
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "$subject" ${NAMES:+-addext "$NAMES"} \
        -keyout "$BATS_FILE_TMPDIR/$name.key" -out "$BATS_FILE_TMPDIR/$name.csr" 2>/dev/null
    k create "$@" -f - <<EOF
{"apiVersion":"certificates.k8s.io/v1","kind":"CertificateSigningRequest","metadata":{"name":"$name"},
 "spec":{"signerName":"kubernetes.io/$signer","usages":$usages,${EXPIRES:+"\"expirationSeconds\":$EXPIRES,"}
 "request":"$(base64 -w0 "$BATS_FILE_TMPDIR/$name.csr")"}}
EOF
}

# certificate NAME: waits for it, as NAME.crt.
certificate() {
    wait_until 10 is_issued "$1"
    k get csr "$1" -o jsonpath='{.status.certificate}' | base64 -d >"$BATS_FILE_TMPDIR/$1.crt"
    openssl verify -CAfile "$DATA/pki/ca.crt" "$BATS_FILE_TMPDIR/$1.crt"
}

is_issued() {
    [ -n "$(k get csr "$1" -o jsonpath='{.status.certificate}')" ]
}

text() {
    openssl x509 -in "$BATS_FILE_TMPDIR/$1.crt" -noout -text
}

# condition NAME TYPE: its reason and message.
condition() {
    k get csr "$1" -o jsonpath="{range .status.conditions[?(@.type=='$2')]}{.reason}: {.message}{end}"
}

has_condition() {
    [ -n "$(condition "$1" "$2")" ]
}

client='["digital signature","key encipherment","client auth"]'
serving='["digital signature","key encipherment","server auth"]'

@test "an approved client gets a certificate and is who it says" {
    EXPIRES=3600 ask joe kube-apiserver-client /O=builders/CN=joe "$client"
    not is_issued joe
    k certificate approve joe
    certificate joe
    text joe | grep -q "TLS Web Client Authentication"
    text joe | grep -A1 "X509v3 Key Usage: critical" | grep -q "Digital Signature, Key Encipherment"
    text joe | grep -A1 "X509v3 Basic Constraints: critical" | grep -q "CA:FALSE"
    local valid
    valid=$(($(date -d "$(openssl x509 -in "$BATS_FILE_TMPDIR/joe.crt" -noout -enddate | cut -d= -f2)" +%s) - $(date +%s)))
    [ "$valid" -gt 3500 ] && [ "$valid" -le 3600 ]
    run curl -sS --cacert "$DATA/pki/ca.crt" --cert "$BATS_FILE_TMPDIR/joe.crt" --key "$BATS_FILE_TMPDIR/joe.key" \
        "https://127.0.0.1:$PORT/api/v1/nodes"
    [[ "$output" == *'nodes is forbidden: User \"joe\" cannot list resource \"nodes\"'* ]]
    k get csr joe | grep -q "Approved,Issued"
}

@test "a denied request gets none" {
    ask eve kube-apiserver-client /CN=eve "$client"
    k certificate deny eve
    # One that is approved later is signed first.
    ask later kube-apiserver-client /CN=later "$client"
    k certificate approve later
    certificate later
    not is_issued eve
}

@test "what a signer does not sign has failed, and says why" {
    ask server kube-apiserver-client /CN=joe "$serving"
    k certificate approve server
    wait_until 10 has_condition server Failed
    [ "$(condition server Failed)" = "SignerValidationFailure: invalid usage for client certificate: server auth" ]
    ask nameless kubelet-serving /O=system:nodes/CN=system:node:a "$serving"
    k certificate approve nameless
    wait_until 10 has_condition nameless Failed
    [ "$(condition nameless Failed)" = "SignerValidationFailure: DNS or IP subjectAltName is required" ]
    not is_issued server
}

@test "a kubelet's serving certificate has its names" {
    NAMES=subjectAltName=DNS:node-a,IP:10.0.0.7 ask serving kubelet-serving /O=system:nodes/CN=system:node:node-a "$serving"
    k certificate approve serving
    certificate serving
    text serving | grep -q "DNS:node-a, IP Address:10.0.0.7"
    text serving | grep -q "TLS Web Server Authentication"
}

@test "a kubelet that may is approved by itself, one that may not waits" {
    k create clusterrole asker --verb=create --resource=certificatesigningrequests.certificates.k8s.io
    k create clusterrolebinding asker --clusterrole=asker --user=stranger
    ask stranger kube-apiserver-client-kubelet /O=system:nodes/CN=system:node:b "$client" --as=stranger
    k create clusterrolebinding bootstrap --clusterrole=system:certificates.k8s.io:certificatesigningrequests:nodeclient --group=system:bootstrappers
    k create clusterrolebinding renewal --clusterrole=system:certificates.k8s.io:certificatesigningrequests:selfnodeclient --group=system:nodes
    k create clusterrolebinding bootstrapping --clusterrole=system:node-bootstrapper --group=system:bootstrappers
    ask new kube-apiserver-client-kubelet /O=system:nodes/CN=system:node:b "$client" --as=system:bootstrap:abcdef --as-group=system:bootstrappers
    certificate new
    [ "$(condition new Approved)" = "AutoApproved: Auto approving kubelet client certificate after SubjectAccessReview." ]
    ask own kube-apiserver-client-kubelet /O=system:nodes/CN=system:node:b "$client" --as=system:node:b --as-group=system:nodes
    certificate own
    [ "$(condition own Approved)" = "AutoApproved: Auto approving self kubelet client certificate after SubjectAccessReview." ]
    run curl -sS --cacert "$DATA/pki/ca.crt" --cert "$BATS_FILE_TMPDIR/own.crt" --key "$BATS_FILE_TMPDIR/own.key" \
        "https://127.0.0.1:$PORT/api/v1/nodes/b"
    [[ "$output" == *'nodes \"b\" not found'* ]]
    not has_condition stranger Approved
}

# token ID SECONDS: a bootstrap token for signing that ends then.
token() {
    k create secret generic "bootstrap-token-$1" -n kube-system --type=bootstrap.kubernetes.io/token \
        --from-literal=token-id="$1" --from-literal=token-secret=0123456789abcdef --from-literal=usage-bootstrap-signing=true \
        --from-literal=expiration="$(date -u -d "+$2 seconds" +%Y-%m-%dT%H:%M:%SZ)"
}

signature() {
    k get configmap cluster-info -n kube-public -o jsonpath="{.data.jws-kubeconfig-$1}"
}

has_signature() {
    [ -n "$(signature "$1")" ]
}

base64url() {
    base64 -w0 | tr '+/' '-_' | tr -d =
}

@test "the cluster's address is signed with each bootstrap token, which goes when its time is over" {
    k create configmap cluster-info -n kube-public --from-literal=kubeconfig='a: b' --from-literal=jws-kubeconfig-old=x
    token abcdef 3600
    token short1 3
    wait_until 10 has_signature abcdef
    wait_until 10 has_signature short1
    not has_signature old
    local header content
    header=$(printf '{"alg":"HS256","kid":"abcdef"}' | base64url)
    content=$(printf 'a: b' | base64url)
    [ "$(signature abcdef)" = "$header..$(printf '%s.%s' "$header" "$content" |
        openssl dgst -sha256 -hmac 0123456789abcdef -binary | base64url)" ]
    wait_until 10 gone_secret bootstrap-token-short1
    wait_until 10 not has_signature short1
    k get secret bootstrap-token-abcdef -n kube-system
}

gone_secret() {
    not k get secret "$1" -n kube-system
}
