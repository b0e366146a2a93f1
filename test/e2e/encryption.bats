#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Encryption at rest: what the store holds, and what becomes of it when keys change.

load helpers

KEY_A=MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=
KEY_B=eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHg=

setup_file() {
    export DATA=$BATS_FILE_TMPDIR/data CONFIG=$BATS_FILE_TMPDIR/encryption.yaml
    mkdir -p "$DATA"
    if [ "${STORE:-sqlite}" = etcd ]; then start_etcd; fi
    configure "{secretbox: {keys: [{name: a, secret: $KEY_A}]}}, {identity: {}}"
    start_encrypted
}
teardown_file() {
    ended
    if [ "${STORE:-sqlite}" = etcd ]; then kill "$(cat "$BATS_FILE_TMPDIR/etcd.pid")"; fi
}
ended() { gone "$(cat "$BATS_FILE_TMPDIR/pid")" || stop_server; }

# configure PROVIDERS: of secrets and config maps. In one step, as it may be read at any time.
configure() {
    cat >"$CONFIG.new" <<END
kind: EncryptionConfiguration
apiVersion: apiserver.config.k8s.io/v1
resources: [{resources: [secrets, configmaps], providers: [$1]}]
END
    mv "$CONFIG.new" "$CONFIG"
}
start_encrypted() {
    FLAGS="--encryption-provider-config=$CONFIG --encryption-provider-config-automatic-reload" start_server
}

# All that the store has on its disk.
stored() {
    if [ "${STORE:-sqlite}" = etcd ]; then
        ETCDCTL_API=3 etcdctl --endpoints "$ETCD_SERVERS" get /registry/ --prefix
        find "$BATS_FILE_TMPDIR/etcd" -type f -exec cat {} +
    else
        find "$DATA" -name 'store*' -type f -exec cat {} +
    fi
}
holds() { stored | grep -qaF -e "$1"; }
value_of() { k get "$1" "$2" -o jsonpath='{.data.a}'; }

@test "neither secrets nor what else is covered stands in the store" {
    k create secret generic s --from-literal=a=verysecretvalue >/dev/null
    k create configmap c --from-literal=a=alsoquitesecret >/dev/null
    k create serviceaccount notcovered >/dev/null
    [ "$(value_of secret s)" = "$(printf verysecretvalue | base64)" ]
    [ "$(value_of configmap c)" = alsoquitesecret ]
    holds k8s:enc:secretbox:v1:a:
    holds notcovered
    not holds "$(printf verysecretvalue | base64)"
    not holds verysecretvalue
    not holds alsoquitesecret
}

@test "a watch and old versions show plain objects" {
    k create configmap w --from-literal=a=one >/dev/null
    local revision
    revision=$(k get configmap w -o jsonpath='{.metadata.resourceVersion}')
    k patch configmap w --type merge -p '{"data":{"a":"two"}}' >/dev/null
    [ "$(api GET "/api/v1/namespaces/default/configmaps?watch=1&timeoutSeconds=1&resourceVersion=$revision" | jq -r 'select(.object.metadata.name == "w").object.data.a')" = two ]
    [ "$(api GET "/api/v1/namespaces/default/configmaps?resourceVersion=$revision&resourceVersionMatch=Exact" | jq -r '.items[] | select(.metadata.name == "w").data.a')" = one ]
}

rewritten() { k replace -f "$BATS_TEST_TMPDIR/s" >/dev/null && holds k8s:enc:aesgcm:v1:b:; }
@test "a new key writes, old ones are read, and an update without a change writes with the new one" {
    local before
    configure "{aesgcm: {keys: [{name: b, secret: $KEY_B}]}}, {secretbox: {keys: [{name: a, secret: $KEY_A}]}}"
    k get secret s -o json >"$BATS_TEST_TMPDIR/s"
    jq 'del(.metadata.resourceVersion)' "$BATS_TEST_TMPDIR/s" >"$BATS_TEST_TMPDIR/s.new"
    mv "$BATS_TEST_TMPDIR/s.new" "$BATS_TEST_TMPDIR/s"
    wait_until 10 rewritten
    before=$(k get secret s -o jsonpath='{.metadata.resourceVersion}')
    k replace -f "$BATS_TEST_TMPDIR/s" >/dev/null # Nothing to do any more.
    [ "$(k get secret s -o jsonpath='{.metadata.resourceVersion}')" = "$before" ]
    stop_server
    start_encrypted
    [ "$(value_of secret s)" = "$(printf verysecretvalue | base64)" ]
    [ "$(value_of configmap c)" = alsoquitesecret ]
}

told() { grep -q "$1" "$BATS_FILE_TMPDIR/log"; }
@test "a configuration that becomes wrong changes nothing" {
    configure "{aesgcm: {keys: [{name: b, secret: eA==}]}}"
    k create configmap still --from-literal=a=x >/dev/null
    wait_until 10 eval 'k get configmap still >/dev/null && k label configmap still now=$RANDOM --overwrite >/dev/null && told "encryption goes on with the keys that it has: --encryption-provider-config $CONFIG: resources\[0\].providers\[0\].aesgcm.keys\[0\].secret: secret is not of the expected length, got 1"'
    [ "$(value_of configmap still)" = x ]
}

told_of_foreign() { told 'unable to transform key "/registry/configmaps/default/foreign": no matching prefix found'; }
@test "what another server has written with a key of its own is told of and left alone" {
    [ "${STORE:-sqlite}" = etcd ] || skip "the embedded store has one server"
    ETCDCTL_API=3 etcdctl --endpoints "$ETCD_SERVERS" put /registry/configmaps/default/foreign k8s:enc:aescbc:v1:x:abc >/dev/null
    wait_until 10 told_of_foreign
    run k create configmap foreign
    [[ "$output" == *'Internal error occurred: unable to transform key "/registry/configmaps/default/foreign": no matching prefix found'* ]]
    run k get configmap foreign
    [[ "$output" == *'Internal error occurred: unable to transform key "/registry/configmaps/default/foreign": no matching prefix found'* ]]
    run k get configmaps
    [[ "$output" == *'Internal error occurred: unable to transform key'* ]]
    [ "$(value_of configmap still)" = x ]
    ETCDCTL_API=3 etcdctl --endpoints "$ETCD_SERVERS" get /registry/configmaps/default/foreign --print-value-only | grep -qx k8s:enc:aescbc:v1:x:abc
    ETCDCTL_API=3 etcdctl --endpoints "$ETCD_SERVERS" del /registry/configmaps/default/foreign >/dev/null
    wait_until 10 k get configmaps
}

@test "what can't be decrypted ends the start, and is not lost" {
    stop_server
    configure "{aesgcm: {keys: [{name: b, secret: $KEY_B}]}}"
    ! start_encrypted 2>"$BATS_TEST_TMPDIR/said" || false
    grep -qE 'unable to transform key "/registry/(configmaps|secrets)/[^"]*": no matching prefix found' "$BATS_TEST_TMPDIR/said"
    configure "{identity: {}}, {aesgcm: {keys: [{name: b, secret: $KEY_B}]}}, {secretbox: {keys: [{name: a, secret: $KEY_A}]}}"
    start_encrypted
    [ "$(value_of configmap c)" = alsoquitesecret ]
    k label configmap c a=b >/dev/null # And is plain from now on.
    holds alsoquitesecret
}
