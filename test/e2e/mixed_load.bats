#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Everything at once: writers, readers, watchers that come and go, changes of policy. Meant above all
# for BIN=build/thread, where the server itself tells of races.

load helpers

setup_file() {
    mkdir -p "$BATS_FILE_TMPDIR/data"
    echo "mixed,mixed,1,system:masters" >"$BATS_FILE_TMPDIR/data/tokens.csv"
    export TSAN_OPTIONS=log_path=$BATS_FILE_TMPDIR/races
    start_server
}
teardown_file() { stop_server; }

ROOT=/api/v1/namespaces/default

# send COUNT METHOD PATH [CURL ARGUMENTS…]: so many requests, some of them side by side. Each "#" in the
# path is a number. What is answered has a code that fits: no 5xx.
send() {
    local count=$1 method=$2 path=$3
    shift 3
    curl -sS -Z --parallel-max 4 -X "$method" --cacert "$DATA/pki/ca.crt" -H "Authorization: Bearer mixed" \
        -H 'Content-Type: application/json' -o /dev/null -w '%{http_code}\n' "$@" \
        "https://127.0.0.1:$PORT${path//\#/[1-$count]}" >>"$BATS_TEST_TMPDIR/codes" 2>>"$BATS_TEST_TMPDIR/complaints"
}

# map NAME_MEMBERS: a config map.
map() { printf '{"metadata":{%s,"labels":{"load":"mixed"}},"data":{"a":"%0500d"}}' "$1" 0; }

role='{"metadata":{"generateName":"r-","labels":{"load":"mixed"}},"rules":[{"apiGroups":[""],"resources":["pods"],"verbs":["get"]}]}'
token='{"apiVersion":"authentication.k8s.io/v1","kind":"TokenRequest","spec":{}}'

@test "writers, readers and watchers at once leave a server in order" {
    local jobs=() job
    k create serviceaccount -n kube-system default
    send 300 POST "$ROOT/configmaps?n=#" -d "$(map '"generateName":"m-"')" & jobs+=($!)
    send 100 POST "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles?n=#" -d "$role" & jobs+=($!)
    send 50 POST "/api/v1/namespaces/kube-system/serviceaccounts/default/token?n=#" -d "$token" & jobs+=($!)
    send 60 GET "$ROOT/configmaps?limit=20&n=#" & jobs+=($!)
    send 60 GET "/api/v1/configmaps?n=#" --compressed -H 'Accept: application/json;as=Table;g=meta.k8s.io;v=v1' & jobs+=($!)
    send 60 GET "/api/v1/configmaps?watch=true&resourceVersion=0&timeoutSeconds=1&n=#" --max-time 0.3 & jobs+=($!)
    send 8 GET "/apis/rbac.authorization.k8s.io/v1/roles?watch=true&timeoutSeconds=1&n=#" & jobs+=($!)
    send 30 GET "/openapi/v2?n=#" & jobs+=($!)
    send 20 DELETE "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles?labelSelector=load%3Dmixed&limit=5&n=#" & jobs+=($!)
    "$BIN/test/bench/fanout" "https://127.0.0.1:$PORT" "$DATA/pki/ca.crt" mixed 20 200 $$ >&2 & jobs+=($!)
    for job in "${jobs[@]}"; do wait "$job" || [ $? = 28 ]; done # 28: a watch that was left.
    not grep -E '^5' "$BATS_TEST_TMPDIR/codes"
    [ "$(api GET "$ROOT/configmaps?labelSelector=load%3Dmixed" | jq '.items | length')" = 300 ]
    is_ready
}

@test "a watcher takes 32 kB at most" {
    local pid
    pid=$(pgrep -P "$(cat "$BATS_FILE_TMPDIR/pid")" -x coracle-apiserv)
    grep -q "lib[at]san" "/proc/$pid/maps" && skip "the sanitizers take more"
    run "$BIN/test/bench/fanout" "https://127.0.0.1:$PORT" "$DATA/pki/ca.crt" mixed 1000 1 "$pid"
    echo "$output" >&3
    [ "$status" -eq 0 ]
    [[ "$output" =~ ([0-9]+)" kB a watcher" ]]
    [ "${BASH_REMATCH[1]}" -le 32 ]
}

@test "no thread raced with another" {
    stop_server
    not compgen -G "$BATS_FILE_TMPDIR/races.*" || { cat "$BATS_FILE_TMPDIR"/races.* >&2; false; }
    start_server
}
