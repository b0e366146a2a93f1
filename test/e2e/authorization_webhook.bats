#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# One store is enough: what is shown does not depend on it.
#
# Who may do what by the word of another server, beside RBAC.

load helpers

setup_file() {
    export DATA=$BATS_FILE_TMPDIR/data HOOK_PORT
    HOOK_PORT=$(free_port)
    mkdir -p "$DATA/reviews"
    touch "$DATA/asked"
    printf '%s-token,%s,1\n' jane jane joe joe mallory mallory ann ann >"$DATA/tokens.csv"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=hook \
        -addext subjectAltName=IP:127.0.0.1 -keyout "$DATA/hook.key" -out "$DATA/hook.crt" -days 2 2>/dev/null
    start_hook
    jq -n --arg server "https://127.0.0.1:$HOOK_PORT/review" --arg ca "$(base64 -w0 "$DATA/hook.crt")" '{apiVersion: "v1",
        kind: "Config", "current-context": "a", contexts: [{name: "a", context: {cluster: "a", user: "a"}}],
        clusters: [{name: "a", cluster: {server: $server, "certificate-authority-data": $ca}}],
        users: [{name: "a", user: {}}]}' >"$DATA/webhook"
    FLAGS="--authorization-mode RBAC,Webhook --authorization-webhook-config-file $DATA/webhook
        --authorization-webhook-version v1 --authorization-webhook-cache-authorized-ttl 1h
        --authorization-webhook-cache-unauthorized-ttl 0s" start_server
}
teardown_file() { each_of "stop_process hook" ended; }
ended() { gone "$(cat "$BATS_FILE_TMPDIR/pid")" || stop_server; }

start_hook() {
    "$BIN/test/stub/programs/issuer" "$DATA" "$HOOK_PORT" "$DATA/hook.crt" "$DATA/hook.key" \
        >"$BATS_FILE_TMPDIR/hook.log" 2>&1 3>&- 4>&- &
    echo $! >"$BATS_FILE_TMPDIR/hook.pid"
    wait_until 10 grep -q "issuer serves" "$BATS_FILE_TMPDIR/hook.log"
}

# ask USER METHOD PATH [CURL ARGUMENTS…]: the answer's status, its body in $BATS_TEST_TMPDIR/body.
ask() {
    local user=$1 method=$2 path=$3
    shift 3
    curl -sS -X "$method" --cacert "$DATA/pki/ca.crt" -H "Authorization: Bearer $user-token" \
        -o "$BATS_TEST_TMPDIR/body" -w '%{http_code}' "$@" "https://127.0.0.1:$PORT$path"
}

message() { jq -r .message "$BATS_TEST_TMPDIR/body"; }
asked() { grep -c '^POST' "$DATA/asked"; }
reviews_of() { grep '^review ' "$DATA/asked" | cut -d' ' -f2- | jq -c --arg user "$1" 'select(.spec.user == $user).spec'; }

@test "what RBAC does not allow the webhook may allow, and is asked once" {
    local before
    [ "$(ask jane GET /api/v1/nodes)" = 403 ]
    echo '{"allowed": true, "reason": "she is nice"}' >"$DATA/reviews/jane"
    [ "$(ask jane GET /api/v1/nodes)" = 200 ]
    before=$(asked)
    [ "$(ask jane GET /api/v1/nodes)" = 200 ]
    [ "$(asked)" = "$before" ]
    [ "$(ask jane POST /api/v1/namespaces -H 'Content-Type: application/json' \
        -d '{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "hooked"}}')" = 201 ]
    [ "$(asked)" -gt "$before" ]
    before=$(asked)
    [ "$(ask jane GET /api)" = 200 ] # RBAC alone knows.
    [ "$(asked)" = "$before" ]
}

@test "a no of the webhook comes with its reason" {
    echo '{"allowed": false, "denied": true, "reason": "he is on a list"}' >"$DATA/reviews/joe"
    [ "$(ask joe GET /api/v1/nodes)" = 403 ]
    [[ "$(message)" == *'at the cluster scope: he is on a list' ]]
    run api POST /apis/authorization.k8s.io/v1/subjectaccessreviews -H 'Content-Type: application/json' -d \
        '{"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": {"user": "joe", "resourceAttributes": {"resource": "nodes", "verb": "list"}}}'
    [ "$(jq -cS .status <<<"$output")" = '{"allowed":false,"denied":true,"reason":"he is on a list"}' ]
}

@test "selectors are part of the question" {
    ask jane GET '/api/v1/pods?fieldSelector=spec.nodeName%3Da,status.phase!%3DFailed&labelSelector=x%20in%20(b,a),!y,z' >/dev/null
    [ "$(reviews_of jane | tail -1 | jq -c '.resourceAttributes | [.verb, .fieldSelector, .labelSelector]')" = \
        "$(jq -c . <<<'["list", {"requirements": [{"key": "spec.nodeName", "operator": "In", "values": ["a"]},
            {"key": "status.phase", "operator": "NotIn", "values": ["Failed"]}]},
            {"requirements": [{"key": "x", "operator": "In", "values": ["a", "b"]}, {"key": "y", "operator": "DoesNotExist"},
            {"key": "z", "operator": "Exists"}]}]')" ]
    ask jane GET '/api/v1/namespaces/default/pods/a?labelSelector=x' >/dev/null
    [ "$(reviews_of jane | tail -1 | jq -c '.resourceAttributes | [.name, .labelSelector]')" = '["a",null]' ]
    api POST /apis/authorization.k8s.io/v1/subjectaccessreviews -H 'Content-Type: application/json' -d \
        '{"spec": {"user": "selective", "resourceAttributes": {"resource": "nodes", "verb": "list", "labelSelector": {"requirements": [{"key": "k", "operator": "Exists"}]}}}}' >/dev/null
    [ "$(reviews_of selective | jq -c '.resourceAttributes.labelSelector')" = '{"requirements":[{"key":"k","operator":"Exists"}]}' ]
}

@test "a webhook with passing trouble is asked again, another is not" {
    local before waiting code answer
    echo '{"allowed": true}' >"$DATA/reviews/jane"
    echo 503 >"$DATA/failing"
    before=$(asked)
    ask jane GET /api/v1/namespaces/again >"$BATS_TEST_TMPDIR/code" &
    waiting=$!
    asked_twice() { [ "$(asked)" -ge $((before + 2)) ]; }
    wait_until 10 asked_twice
    rm "$DATA/failing"
    wait "$waiting"
    [ "$(cat "$BATS_TEST_TMPDIR/code")" = 404 ]
    for code in 307 400 404; do
        echo $code >"$DATA/failing"
        before=$(asked)
        [ "$(ask jane GET /api/v1/namespaces/once)" = 500 ]
        [ "$(asked)" = $((before + 1)) ]
    done
    # What can't be understood, or has no end, is no yes.
    while read -r answer; do
        echo "$answer" >"$DATA/failing"
        [ "$(ask jane GET /api/v1/namespaces/once)" = 500 ]
    done <<END
{"raw":"<html>"}
{"raw":"[]"}
{"raw":"{\\"status\\":\\"allowed\\"}"}
{"raw":"{\\"status\\":{\\"allowed\\":\\"true\\"}}"}
{"raw":"{\\"status\\":{\\"allowed\\":true,\\"denied\\":true}}"}
{"size":10000000}
{"code":307,"location":"https://127.0.0.1:$HOOK_PORT/other"}
END
    not grep -q "POST /other" "$DATA/asked"
    rm "$DATA/failing"
    stop_process hook
    ask jane GET /api/v1/namespaces/later >"$BATS_TEST_TMPDIR/code" &
    waiting=$!
    start_hook
    wait "$waiting"
    [ "$(cat "$BATS_TEST_TMPDIR/code")" = 404 ]
}

@test "impersonation is a question to the webhook, too" {
    echo '{"allowed": true}' >"$DATA/reviews/ann"
    [ "$(ask ann GET /api/v1/nodes -H 'Impersonate-User: mallory')" = 403 ]
    [[ "$(message)" == *'User "mallory" cannot list'* ]]
    [ "$(ask mallory GET /api/v1/nodes -H 'Impersonate-User: ann')" = 403 ]
    [[ "$(message)" == *'User "mallory" cannot impersonate'* ]]
}

@test "a webhook that is silent or gone holds up nobody else" {
    kill -STOP "$(cat "$BATS_FILE_TMPDIR/hook.pid")"
    local waiting=() n
    for n in 1 2 3 4 5 6; do
        ask mallory GET "/api/v1/namespaces/x$n" >/dev/null &
        waiting+=($!)
    done
    for n in $(seq 20); do
        [ "$(curl -sS --max-time 5 --cacert "$DATA/pki/ca.crt" "https://127.0.0.1:$PORT/readyz")" = ok ]
    done
    [ "$(api GET /api/v1/nodes --max-time 5 | jq -r .kind)" = NodeList ]
    kill -CONT "$(cat "$BATS_FILE_TMPDIR/hook.pid")"
    wait "${waiting[@]}"
    stop_process hook
    [ "$(ask mallory GET /api/v1/nodes)" = 500 ]
    [[ "$(message)" == "Internal Server Error: "* ]]
    start_hook
    [ "$(ask mallory GET /api/v1/nodes)" = 403 ]
}

# authorizer NAME PATH POLICY: a webhook of a configuration.
authorizer() {
    jq "(.clusters[0].cluster.server) = \"https://127.0.0.1:$HOOK_PORT$2\"" "$DATA/webhook" >"$DATA/webhook-$1"
    echo "- {type: Webhook, name: $1, webhook: {timeout: 3s, unauthorizedTTL: 1s, cacheUnauthorizedRequests: false,
    subjectAccessReviewVersion: v1, failurePolicy: $3, connectionInfo: {type: KubeConfigFile, kubeConfigFile: $DATA/webhook-$1}}}"
}

@test "a configuration may name several webhooks, each with what its failure means" {
    mkdir "$DATA/others"
    { printf '%s\n' 'apiVersion: apiserver.config.k8s.io/v1' 'kind: AuthorizationConfiguration' 'authorizers:'
        authorizer first /review NoOpinion
        echo '- {type: RBAC, name: rbac}'
        authorizer second /other Deny; } >"$DATA/authorization.yaml"
    stop_server
    FLAGS="--authorization-config $DATA/authorization.yaml" start_server
    rm -f "$DATA/reviews"/*
    [ "$(ask ann GET /api/v1/nodes)" = 403 ]
    echo '{"allowed": true}' | tee "$DATA/others/ann" >"$DATA/others/joe"
    [ "$(ask ann GET /api/v1/nodes)" = 200 ]
    echo '{"allowed": false, "denied": true, "reason": "first of all"}' >"$DATA/reviews/joe"
    [ "$(ask joe GET /api/v1/nodes)" = 403 ]
    [[ "$(message)" == *'first of all' ]]
    echo 400 >"$DATA/failing"
    [ "$(ask mallory GET /api)" = 200 ] # The first has no opinion, and RBAC allows.
    [ "$(ask mallory GET /api/v1/nodes)" = 500 ]
    echo '{"path": "/other", "hang": true}' >"$DATA/failing"
    [ "$(ask mallory GET /api/v1/nodes)" = 500 ] # After its timeout.
    echo '{"path": "/review", "raw": "<html>"}' >"$DATA/failing"
    [ "$(ask ann GET /api/v1/nodes)" = 200 ]
    rm "$DATA/failing"
}

@test "a webhook that is silent holds up no stop" {
    kill -STOP "$(cat "$BATS_FILE_TMPDIR/hook.pid")"
    ask mallory GET /api/v1/nodes >/dev/null 2>&1 &
    local waiting=$! server
    server=$(cat "$BATS_FILE_TMPDIR/pid")
    wait_until 5 test "$(api GET /readyz)" = ok
    kill -TERM "$server"
    wait_until 8 gone "$server"
    wait "$waiting" || true
    kill -CONT "$(cat "$BATS_FILE_TMPDIR/hook.pid")"
}
