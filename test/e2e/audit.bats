#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# One store is enough: what is shown does not depend on it.
#
# The audit log: what is recorded of requests, and what is not.

load helpers

setup_file() {
    export DATA=$BATS_FILE_TMPDIR/data LOG=$BATS_FILE_TMPDIR/logs/audit.log HOOKS=$BATS_FILE_TMPDIR/hooks HOOK_PORT
    export POLICY=$BATS_FILE_TMPDIR/policy.yaml
    HOOK_PORT=$(free_port)
    mkdir -p "$DATA" "$HOOKS"
    cat >"$POLICY" <<'END'
apiVersion: audit.k8s.io/v1
kind: Policy
omitManagedFields: true
rules:
- {level: None, nonResourceURLs: ["/readyz*"]}
- {level: Metadata, resources: [{group: "", resources: [secrets]}]}
- {level: Request, verbs: [create, patch, delete], resources: [{group: "", resources: [configmaps]}], omitStages: [RequestReceived]}
- {level: RequestResponse, resources: [{group: "", resources: [pods, "pods/*"]}], omitStages: [RequestReceived]}
- {level: Metadata}
END
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=hook \
        -addext subjectAltName=IP:127.0.0.1 -keyout "$HOOKS/key.pem" -out "$HOOKS/crt.pem" -days 2 2>/dev/null
    cat >"$HOOKS/kubeconfig" <<END
{apiVersion: v1, kind: Config, current-context: a, contexts: [{name: a, context: {cluster: a, user: a}}], users: [{name: a, user: {}}],
 clusters: [{name: a, cluster: {server: "https://127.0.0.1:$HOOK_PORT/audit", certificate-authority: $HOOKS/crt.pem}}]}
END
    start_hook
    FLAGS="--audit-policy-file=$POLICY --audit-log-path=$LOG --audit-webhook-config-file=$HOOKS/kubeconfig --audit-webhook-batch-max-wait=100ms" start_server
}
start_hook() {
    echo '{}' >"$HOOKS/audit"
    "$BIN/test/stub/programs/webhook" "$HOOKS" "$HOOK_PORT" "$HOOKS/crt.pem" "$HOOKS/key.pem" \
        >"$BATS_FILE_TMPDIR/hook.log" 2>&1 3>&- 4>&- &
    echo $! >"$BATS_FILE_TMPDIR/hook.pid"
    wait_until 10 grep -q "webhook serves" "$BATS_FILE_TMPDIR/hook.log"
}
teardown_file() { each_of "stop_process hook" stop_server; }

# A request is recorded when its answer is sent, which the client may have read before.
# events ID: those of the request of that name, once it is complete.
events() { wait_until 5 grep -q "\"auditID\":\"$1\",\"stage\":\"ResponseComplete\"" "$LOG" && grep "\"auditID\":\"$1\"" "$LOG"; }
# event ID FILTER: what is said when it is complete.
event() { events "$1" | grep '"stage":"ResponseComplete"' | jq -r "$2"; }
# as ID METHOD PATH [CURL ARGUMENTS…]: a request of that name.
as() { api "$2" "$3" -H "Audit-ID: $1" "${@:4}"; }

@test "an event says who asked for what, from where, and what came of it" {
    as first POST /api/v1/namespaces/default/configmaps?fieldManager=me -A 'agent/1' -D "$BATS_TEST_TMPDIR/headers" \
        --json '{"metadata":{"name":"one"},"data":{"a":"b"}}' >/dev/null
    grep -qi '^audit-id: first' "$BATS_TEST_TMPDIR/headers"
    [ "$(events first | wc -l)" = 1 ]
    event first . >"$BATS_TEST_TMPDIR/event"
    [ "$(jq -c '[keys_unsorted]' "$BATS_TEST_TMPDIR/event")" = '[["kind","apiVersion","level","auditID","stage","requestURI","verb","user","sourceIPs","userAgent","objectRef","responseStatus","requestObject","requestReceivedTimestamp","stageTimestamp","annotations"]]' ]
    [ "$(event first '"\(.kind) \(.apiVersion) \(.level) \(.requestURI) \(.verb) \(.userAgent) \(.sourceIPs)"')" \
        = 'Event audit.k8s.io/v1 Request /api/v1/namespaces/default/configmaps?fieldManager=me create agent/1 ["127.0.0.1"]' ]
    [ "$(event first '.user.groups | index("system:masters") != null')" = true ]
    [ "$(event first '.objectRef | tojson')" = '{"resource":"configmaps","namespace":"default","name":"one","apiVersion":"v1"}' ]
    [ "$(event first '.responseStatus | tojson')" = '{"metadata":{},"code":201}' ]
    [ "$(event first '.requestObject | "\(.kind) \(.data.a)"')" = "ConfigMap b" ]
    [[ "$(event first .stageTimestamp)" =~ ^[0-9-]{10}T[0-9:]{8}\.[0-9]{6}Z$ ]]
    [ "$(event first '.annotations | tojson')" = '{"authorization.k8s.io/decision":"allow","authorization.k8s.io/reason":""}' ]
}

@test "what the policy keeps out is not there" {
    as secret POST /api/v1/namespaces/default/secrets --json '{"metadata":{"name":"s"},"stringData":{"a":"verysecretvalue"}}' >/dev/null
    [ "$(events secret | jq -r .stage | paste -sd,)" = RequestReceived,ResponseComplete ]
    [ "$(event secret '"\(.requestObject) \(.objectRef.name)"')" = "null s" ]
    as pod POST /api/v1/namespaces/default/pods --json '{"metadata":{"name":"p"},"spec":{"containers":[{"name":"c","image":"i"}]}}' >/dev/null
    [ "$(event pod '"\(.requestObject.spec.containers[0].image) \(.responseObject.status.phase) \(.responseObject.metadata.managedFields)"')" = "i Pending null" ]
    as list GET /api/v1/pods >/dev/null
    [ "$(event list '.responseObject | "\(.kind) \(.items | length)"')" = "PodList 1" ]
    as ready GET /readyz >/dev/null
    as version GET /version >/dev/null
    events version
    not grep -q -e '"auditID":"ready"' -e verysecretvalue "$LOG"
}

@test "patches, deletes, failures and watches are recorded as what they are" {
    as patch PATCH /api/v1/namespaces/default/configmaps/one -H 'Content-Type: application/merge-patch+json' -d '{"data":{"c":"d"}}' >/dev/null
    [ "$(event patch '.requestObject | tojson')" = '{"data":{"c":"d"}}' ]
    as delete DELETE /api/v1/namespaces/default/configmaps/one --json '{"kind":"DeleteOptions","apiVersion":"v1"}' >/dev/null
    [ "$(event delete '"\(.requestObject.kind) \(.responseStatus.status) \(.responseStatus.details.name) \(.responseStatus.code)"')" = "DeleteOptions Success one 200" ]
    as missing GET /api/v1/namespaces/default/secrets/none >/dev/null
    [ "$(event missing '.responseStatus | tojson')" = '{"metadata":{},"status":"Failure","message":"secrets \"none\" not found","reason":"NotFound","details":{"name":"none","kind":"secrets"},"code":404}' ]
    as watch GET '/api/v1/namespaces/default/secrets?watch=1&timeoutSeconds=1' >/dev/null
    [ "$(events watch | jq -r '"\(.stage) \(.responseStatus.code)"' | paste -sd,)" = "RequestReceived null,ResponseStarted 200,ResponseComplete 200" ]
}

@test "who is refused is recorded, with the reason, but without their token" {
    curl -sS --cacert "$DATA/pki/ca.crt" -H "Audit-ID: unknown" -H "Authorization: Bearer sometokenofmine" "https://127.0.0.1:$PORT/api/v1/pods" >/dev/null
    wait_until 5 grep -q '"auditID":"unknown"' "$LOG"
    [ "$(grep '"auditID":"unknown"' "$LOG" | jq -c '[.stage, .user, .responseStatus]')" \
        = '["ResponseStarted",{},{"metadata":{},"status":"Failure","message":"Authentication failed, attempted: bearer","code":401}]' ]
    as forbidden GET /api/v1/secrets -H 'Impersonate-User: jane' >/dev/null
    [ "$(event forbidden '"\(.impersonatedUser | tojson) \(.user.groups | index("system:masters") != null) \(.annotations["authorization.k8s.io/decision"]) \(.responseStatus.code)"')" \
        = '{"username":"jane","groups":["system:authenticated"]} true forbid 403' ]
    as allowed GET /version -H 'Impersonate-User: jane' >/dev/null
    [[ "$(event allowed '.annotations["authorization.k8s.io/reason"]')" == 'RBAC: allowed by ClusterRoleBinding "system:'*'" of ClusterRole "system:'*'" to Group "system:authenticated"' ]]
    not grep -q sometokenofmine "$LOG"
}

@test "nobody forges lines, and what is too long is cut" {
    local bytes=$'a\xff{"b":"\\n"}'
    as forged GET /version -A "$bytes" -H "X-Forwarded-For: 1.2.3.4, evil" >/dev/null
    [ "$(event forged '"\(.userAgent) \(.sourceIPs | tojson)"')" = "$(printf 'a\xef\xbf\xbd{"b":"\\n"} ["1.2.3.4","127.0.0.1"]')" ]
    as long GET /version -A "$(printf 'x%.0s' {1..2000})" >/dev/null
    [ "$(event long '.userAgent | length')" = 1036 ]
    [ "$(jq -r .kind "$LOG" | sort -u)" = Event ]
}

@test "admission adds what it knows" {
    k create namespace strict >/dev/null
    k label namespace strict pod-security.kubernetes.io/audit=restricted >/dev/null
    as restricted POST /api/v1/namespaces/strict/pods --json '{"metadata":{"name":"p"},"spec":{"containers":[{"name":"c","image":"i"}]}}' >/dev/null
    [ "$(event restricted '.annotations["pod-security.kubernetes.io/enforce-policy"]')" = privileged:latest ]
    [[ "$(event restricted '.annotations["pod-security.kubernetes.io/audit-violations"]')" == 'would violate PodSecurity "restricted:latest": allowPrivilegeEscalation != false '* ]]
    echo '{"patch": [{"op": "add", "path": "/data", "value": {"x": "y"}}], "response": {"auditAnnotations": {"why": "because"}}}' >"$HOOKS/mutate"
    jq -n --arg url "https://127.0.0.1:$HOOK_PORT/mutate" --arg ca "$(base64 -w0 "$HOOKS/crt.pem")" '{kind: "MutatingWebhookConfiguration",
        apiVersion: "admissionregistration.k8s.io/v1", metadata: {name: "m"}, webhooks: [{name: "m.example.com",
        clientConfig: {url: $url, caBundle: $ca}, sideEffects: "None", admissionReviewVersions: ["v1"],
        rules: [{operations: ["CREATE"], apiGroups: [""], apiVersions: ["v1"], resources: ["configmaps"]}]}]}' | k create -f - >/dev/null
    as mutated POST /api/v1/namespaces/default/configmaps --json '{"metadata":{"name":"two"}}' >/dev/null
    k delete mutatingwebhookconfiguration m >/dev/null
    [ "$(event mutated '.annotations | del(.["authorization.k8s.io/decision", "authorization.k8s.io/reason"]) | tojson')" \
        = '{"m.example.com/why":"because","mutation.webhook.admission.k8s.io/round_0_index_0":"{\"configuration\":\"m\",\"webhook\":\"m.example.com\",\"mutated\":true}","patch.webhook.admission.k8s.io/round_0_index_0":"{\"configuration\":\"m\",\"webhook\":\"m.example.com\",\"patch\":[{\"op\":\"add\",\"path\":\"/data\",\"value\":{\"x\":\"y\"}}],\"patchType\":\"JSONPatch\"}"}' ]
}

has_last() { grep '^audit ' "$HOOKS/asked" | cut -d' ' -f2- | jq -r '.items[].auditID' | grep -qx last; }
@test "a webhook gets the same events in batches, and metrics count" {
    as last GET /version >/dev/null
    wait_until 10 has_last
    [ "$(grep '^audit ' "$HOOKS/asked" | head -1 | cut -d' ' -f2- | jq -r '"\(.kind) \(.apiVersion) \(.items[0].kind)"')" = "EventList audit.k8s.io/v1 Event" ]
    api GET /metrics >"$BATS_TEST_TMPDIR/metrics"
    grep -qE '^apiserver_audit_event_total [1-9]' "$BATS_TEST_TMPDIR/metrics"
    grep -qE '^apiserver_audit_level_total\{level="RequestResponse"\} [1-9]' "$BATS_TEST_TMPDIR/metrics"
    not grep -q '^apiserver_audit_error_total{' "$BATS_TEST_TMPDIR/metrics"
}

# lost PLUGIN COUNT: as many events, or more, are counted as lost there.
lost() { [ "$(api GET /metrics | sed -n "s/^apiserver_audit_error_total{plugin=\"$1\"} //p")" -ge "$2" ] 2>/dev/null; }

@test "what waits for a silent webhook comes later; what is lost is counted" {
    kill -STOP "$(cat "$BATS_FILE_TMPDIR/hook.pid")"
    for i in {1..20}; do as "silent-$i" GET /version >/dev/null; done
    kill -CONT "$(cat "$BATS_FILE_TMPDIR/hook.pid")"
    all_came() { [ "$(grep -o '"auditID":"silent-[0-9]*"' "$HOOKS/asked" | sort -u | wc -l)" = 20 ]; }
    wait_until 10 all_came
    stop_server
    FLAGS="--audit-policy-file=$POLICY --audit-webhook-config-file=$HOOKS/kubeconfig --audit-webhook-batch-max-wait=10ms
        --audit-webhook-batch-buffer-size=5 --audit-webhook-batch-max-size=5 --audit-webhook-initial-backoff=10ms" start_server
    # A redirection is no delivery.
    echo "{\"redirect\": \"https://127.0.0.1:$HOOK_PORT/elsewhere\"}" >"$HOOKS/audit"
    as redirected GET /version >/dev/null
    wait_until 10 lost webhook 1
    grep -q "Error in audit plugin 'webhook' affecting [0-9]* audit events: the answer was 307" "$BATS_FILE_TMPDIR/log"
    not grep -q '^elsewhere ' "$HOOKS/asked"
    echo '{"hang": true}' >"$HOOKS/audit"
    for i in {1..20}; do as "hanging-$i" GET /version >/dev/null; done
    wait_until 10 lost buffered 1
    grep -q "Error in audit plugin 'buffered' affecting 1 audit events: audit buffer queue blocked" "$BATS_FILE_TMPDIR/log"
    # Whoever hangs is cut off, not waited for.
    each_of "stop_process hook" stop_server
    start_hook
    start_server
}

@test "blocking-strict refuses what can't be recorded" {
    stop_server
    FLAGS="--audit-policy-file=$POLICY --audit-log-path=/dev/full --audit-log-mode=blocking-strict" start_server
    [ "$(as refused GET /version | jq -r '"\(.code) \(.message)"')" = '500 Internal Server Error: "/version": failed to store audit event' ]
    grep -q "Error in audit plugin 'log' affecting 1 audit events: audit log /dev/full: No space left on device" "$BATS_FILE_TMPDIR/log"
}

@test "a webhook that has to be told first is waited for" {
    stop_server
    echo '{}' >"$HOOKS/audit"
    FLAGS="--audit-policy-file=$POLICY --audit-webhook-config-file=$HOOKS/kubeconfig --audit-webhook-mode=blocking-strict
        --audit-webhook-initial-backoff=10ms" start_server
    stages() { grep '^audit ' "$HOOKS/asked" | cut -d' ' -f2- | jq -r --arg id "$1" '.items[] | select(.auditID == $id).stage'; }
    as told GET /version >/dev/null
    [ "$(stages told | head -n 1)" = RequestReceived ] # Before the answer.
    completed() { [ "$(stages told | tail -n 1)" = ResponseComplete ]; }
    wait_until 5 completed
    # Nobody else has to wait for it: the policy leaves out the health of the server.
    kill -STOP "$(cat "$BATS_FILE_TMPDIR/hook.pid")"
    as waiting GET /version >"$BATS_TEST_TMPDIR/version" &
    local waiting=$!
    for i in 1 2 3; do is_ready; done
    [ ! -s "$BATS_TEST_TMPDIR/version" ]
    kill -CONT "$(cat "$BATS_FILE_TMPDIR/hook.pid")"
    wait "$waiting"
    grep -q gitVersion "$BATS_TEST_TMPDIR/version"
    echo '{"redirect": "https://127.0.0.1:1/"}' >"$HOOKS/audit"
    [ "$(as refused GET /version | jq -r '"\(.code) \(.message)"')" = '500 Internal Server Error: "/version": failed to store audit event' ]
}

@test "wrong flags and policies are named" {
    local server=("$BIN/coracle-apiserver" --tls-cert-file "$DATA/pki/apiserver.crt" --tls-private-key-file "$DATA/pki/apiserver.key" --store-file "$BATS_TEST_TMPDIR/store")
    run "${server[@]}" --audit-log-path a
    [ "$output" = "coracle-apiserver: --audit-policy-file is needed to record anything; see --help" ]
    run "${server[@]}" --audit-policy-file a --audit-webhook-mode never
    [ "$output" = 'coracle-apiserver: --audit-webhook-mode: "never" is not supported; see --help' ]
    echo 'rules: [{level: All}]' | cat <(grep -v -e '^rules' -e '^-' "$POLICY") - >"$BATS_TEST_TMPDIR/policy"
    run "${server[@]}" --audit-log-path a --audit-policy-file "$BATS_TEST_TMPDIR/policy"
    [[ "$output" == *"coracle-apiserver: --audit-policy-file $BATS_TEST_TMPDIR/policy: rules[0].level: must be None, Metadata, Request or RequestResponse, not \"All\"" ]]
}
