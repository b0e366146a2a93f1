#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# One store is enough: what is shown does not depend on it.
#
# Admission webhooks: what servers of others change in a write, or refuse.

load helpers

setup_file() {
    export DATA=$BATS_FILE_TMPDIR/data HOOKS=$BATS_FILE_TMPDIR/hooks HOOK_PORT
    HOOK_PORT=$(free_port)
    mkdir -p "$DATA" "$HOOKS"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=hook \
        -addext subjectAltName=IP:127.0.0.1,DNS:hook.default.svc -keyout "$HOOKS/key.pem" \
        -out "$HOOKS/crt.pem" -days 2 2>/dev/null
    "$BIN/test/stub/programs/webhook" "$HOOKS" "$HOOK_PORT" "$HOOKS/crt.pem" "$HOOKS/key.pem" \
        >"$BATS_FILE_TMPDIR/hook.log" 2>&1 3>&- 4>&- &
    echo $! >"$BATS_FILE_TMPDIR/hook.pid"
    wait_until 10 grep -q "webhook serves" "$BATS_FILE_TMPDIR/hook.log"
    cat >"$DATA/hooks.kubeconfig" <<END
{apiVersion: v1, kind: Config, users: [{name: "127.0.0.1:$HOOK_PORT", user: {token: of-the-url}},
  {name: "*.default.svc:8443", user: {token: of-the-service}}]}
END
    cat >"$DATA/admission.yaml" <<END
apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- {name: ValidatingAdmissionWebhook, configuration: {apiVersion: apiserver.config.k8s.io/v1, kind: WebhookAdmissionConfiguration,
   kubeConfigFile: $DATA/hooks.kubeconfig}}
END
    FLAGS="--admission-control-config-file $DATA/admission.yaml" start_server
}
teardown_file() { each_of "stop_process hook" inside_ended ended; }
inside_ended() { [ ! -e "$BATS_FILE_TMPDIR/inside.pid" ] || stop_process inside; }
ended() { gone "$(cat "$BATS_FILE_TMPDIR/pid")" || stop_server; }
teardown() {
    gone "$(cat "$BATS_FILE_TMPDIR/pid")" && return
    for kind in mutating validating; do
        api DELETE "/apis/admissionregistration.k8s.io/v1/${kind}webhookconfigurations" >/dev/null
    done
}

# hook KIND NAME SCRIPT [MORE]: a configuration with one webhook, which is asked about config maps and
# answers by the script; MORE is merged into it.
hook() {
    echo "$3" >"$HOOKS/$2"
    jq -n --arg kind "$1" --arg name "$2" --arg url "https://127.0.0.1:$HOOK_PORT/$2" \
        --arg ca "$(base64 -w0 "$HOOKS/crt.pem")" --argjson more "${4:-{\}}" '{kind: ($kind + "WebhookConfiguration"),
        apiVersion: "admissionregistration.k8s.io/v1", metadata: {name: $name}, webhooks: [{name: ($name + ".example.com"),
        clientConfig: {url: $url, caBundle: $ca}, sideEffects: "None", admissionReviewVersions: ["v1"], timeoutSeconds: 1,
        rules: [{operations: ["*"], apiGroups: [""], apiVersions: ["v1"], resources: ["configmaps"]}]} + $more]}' |
        api POST "/apis/admissionregistration.k8s.io/v1/${1,,}webhookconfigurations" --fail-with-body --json @- \
            >"$BATS_TEST_TMPDIR/made"
}

# make NAME [QUERY]: the status of the answer; body and headers are kept.
make_map() {
    api POST "/api/v1/namespaces/default/configmaps${2-}" -o "$BATS_TEST_TMPDIR/body" -D "$BATS_TEST_TMPDIR/headers" \
        -w '%{http_code}' --json '{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"'"$1"'","labels":{"a":"b"}}}'
}
body() { jq -r "$1" "$BATS_TEST_TMPDIR/body"; }
asked() { grep "^$1 " "$HOOKS/asked" | cut -d' ' -f2-; }
was_asked() { grep -q "^$1 " "$HOOKS/asked"; }

@test "a mutating webhook's patch is applied, and it is told of the request" {
    hook Mutating mutate '{"patch": [{"op": "add", "path": "/data", "value": {"x": "y"}}], "response": {"warnings": ["look out"]}}'
    [ "$(make_map mutated)" = 201 ]
    [ "$(body .data.x)" = y ]
    grep -qi '^warning: 299 - "look out"' "$BATS_TEST_TMPDIR/headers"
    [ "$(asked mutate | jq -r '.request | "\(.operation) \(.name) \(.namespace) \(.kind.kind) \(.requestResource.resource) \(.userInfo.username) \(.dryRun) \(.object.metadata.name) \(.oldObject) \(.options.kind)"')" \
        = "CREATE mutated default ConfigMap configmaps $(k auth whoami -o jsonpath='{.status.userInfo.username}') false mutated null CreateOptions" ]
    k delete configmap mutated
    [ "$(asked mutate | tail -1 | jq -r '.request | "\(.operation) \(.object) \(.oldObject.data.x)"')" = "DELETE null y" ]
}

@test "a patch that leaves no valid object is refused" {
    hook Mutating invalid '{"patch": [{"op": "add", "path": "/data", "value": {"not/a key": "y"}}]}'
    [ "$(make_map invalid)" = 422 ]
    echo '{"patch": [{"op": "add", "path": "/data", "value": 5}]}' >"$HOOKS/invalid"
    [ "$(make_map invalid)" = 500 ]
    echo '{"patch": [{"op": "remove", "path": "/nothing"}]}' >"$HOOKS/invalid"
    [ "$(make_map invalid)" = 500 ]
    echo '{"patch": [{"op": "replace", "path": "/metadata/name", "value": "other"}]}' >"$HOOKS/invalid"
    [ "$(make_map invalid)" = 500 ]
    not k get configmap invalid
}

@test "a refusal says who refused and why, with the code that it gives" {
    hook Validating deny '{"response": {"allowed": false, "status": {"message": "no more", "code": 403}}}'
    [ "$(make_map denied)" = 403 ]
    [ "$(body .message)" = 'admission webhook "deny.example.com" denied the request: no more' ]
    [ "$(asked as | grep '^deny ' | sort -u)" = "deny Bearer of-the-url" ]
    [ "$(asked as | grep -c '^mutate ')" = 0 ] # Those are for validating ones.
    echo '{"response": {"allowed": false}}' >"$HOOKS/deny"
    [ "$(make_map denied)" = 400 ]
    [ "$(body .message)" = 'admission webhook "deny.example.com" denied the request without explanation' ]
    api GET /metrics | grep -q 'apiserver_admission_webhook_rejection_count{name="deny.example.com",type="validating",operation="CREATE",error_type="no_error",rejection_code="403"} 1'
}

@test "whatever is no answer fails the call, or is ignored by policy" {
    local script n=0
    for script in '{"raw": "garbage"}' '{"raw": "{}"}' '{"size": 10000000}' '{"response": {"uid": "other"}}' '{"hang": true}' \
        "{\"redirect\": \"https://127.0.0.1:$HOOK_PORT/fine\"}" '{"response": {"patch": "W10=", "patchType": "JSONPatch"}}'; do
        n=$((n + 1))
        hook Validating "bad$n" "$script"
        [ "$(make_map refused)" = 500 ]
        [[ "$(body .message)" == "Internal error occurred: failed calling webhook \"bad$n.example.com\": "* ]]
        api PATCH "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/bad$n" \
            -H 'Content-Type: application/json-patch+json' \
            -d '[{"op": "add", "path": "/webhooks/0/failurePolicy", "value": "Ignore"}]' >/dev/null
    done
    [ "$(make_map ignored)" = 201 ] # All at once.
}

@test "what a webhook says makes no line of the log or of the headers" {
    hook Validating lines '{"response": {"uid": "a\n2026-01-01 forged", "warnings": ["a"]}}' '{"failurePolicy": "Ignore"}'
    hook Validating warns '{"response": {"warnings": ["a\r\nSet-Cookie: b=c"]}}'
    [ "$(make_map lines)" = 201 ]
    grep -q 'failing open lines.example.com: .*forged' "$BATS_FILE_TMPDIR/log"
    not grep -q '^2026-01-01 forged' "$BATS_FILE_TMPDIR/log"
    grep -qi '^warning: 299 - "a' "$BATS_TEST_TMPDIR/headers"
    not grep -qi '^set-cookie' "$BATS_TEST_TMPDIR/headers"
}

@test "a webhook with a foreign certificate is not asked" {
    hook Validating foreign '{}' "$(jq -n --arg url "https://127.0.0.1:$HOOK_PORT/foreign" --arg ca "$(base64 -w0 "$DATA/pki/ca.crt")" \
        '{clientConfig: {url: $url, caBundle: $ca}}')"
    [ "$(make_map foreign)" = 500 ]
    not was_asked foreign
}

@test "selectors, operations and versions tell who is asked" {
    hook Validating labels '{"response": {"allowed": false}}' '{"objectSelector": {"matchLabels": {"a": "c"}}}'
    hook Validating spaces '{"response": {"allowed": false}}' '{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}'
    hook Validating updates '{"response": {"allowed": false}}' \
        '{"rules": [{"operations": ["UPDATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}]}'
    [ "$(make_map selected)" = 201 ]
    run k label configmap selected a=c --overwrite
    [[ "$output" == *'admission webhook "labels.example.com" denied'* ]]
    run k create configmap -n kube-system there
    [[ "$output" == *'admission webhook "spaces.example.com" denied'* ]]
}

@test "a rule for another version of the resource is about it, too" {
    local rule='"rules": [{"operations": ["CREATE"], "apiGroups": ["autoscaling"], "apiVersions": ["v1"], "resources": ["*"]}]'
    hook Validating equivalent '{"response": {"allowed": false}}' "{$rule}"
    hook Validating exact '{}' "{$rule, \"matchPolicy\": \"Exact\"}"
    run api POST /apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers --json '{"kind": "HorizontalPodAutoscaler",
        "apiVersion": "autoscaling/v2", "metadata": {"name": "a"}, "spec": {"maxReplicas": 3, "scaleTargetRef": {"kind": "Deployment", "name": "a", "apiVersion": "apps/v1"}}}'
    [[ "$output" == *'equivalent.example.com'* ]]
    [ "$(asked equivalent | jq -r '.request | .kind.version + " " + .requestKind.version + " " + .object.apiVersion')" = "v1 v2 autoscaling/v1" ]
    not was_asked exact
}

@test "a webhook is asked again when a later one changes the object" {
    hook Mutating again-a '{}' '{"reinvocationPolicy": "IfNeeded"}'
    hook Mutating again-b '{"patch": [{"op": "add", "path": "/data", "value": {"x": "y"}}]}'
    [ "$(make_map again)" = 201 ]
    [ "$(asked again-a | jq -r '.request.object.data.x' | xargs)" = "null y" ]
    [ "$(asked again-b | wc -l)" = 1 ]
}

@test "a dry run is told of, and nothing is kept" {
    hook Validating dry '{}' '{"sideEffects": "NoneOnDryRun"}'
    [ "$(make_map dry '?dryRun=All')" = 201 ]
    [ "$(asked dry | jq -c '[.request.dryRun, .request.options.dryRun]')" = '[true,["All"]]' ]
    not k get configmap dry
}

@test "a webhook whose service is missing fails the call" {
    hook Validating served '{"response": {"allowed": false}}' \
        '{"clientConfig": {"service": {"namespace": "default", "name": "missing", "path": "/served"}}}'
    [ "$(make_map served)" = 500 ]
    [[ "$(body .message)" == *'service "missing" not found' ]]
}

# service NAME: a clientConfig that reaches the hook at /NAME through a service.
service() {
    jq -nc --arg name "$1" --argjson port "$HOOK_PORT" --arg ca "$(base64 -w0 "$HOOKS/crt.pem")" \
        '{clientConfig: {caBundle: $ca, service: {namespace: "default", name: "hook", path: "/\($name)", port: $port}}}'
}
# rule RESOURCE [GROUP [OPERATION]]
rule() {
    jq -nc --arg resource "$1" --arg group "${2-}" --arg operation "${3-*}" \
        '{rules: [{operations: [$operation], apiGroups: [$group], apiVersions: ["v1"], resources: [$resource]}]}'
}

@test "a webhook is asked through its service's path and port, over one connection" {
    k create service externalname hook --external-name localhost >/dev/null
    hook Validating served-well '{}' "$(service served-well)"
    hook Mutating by-url '{}'
    local i
    for i in 1 2 3 4; do
        [ "$(make_map "well-$i")" = 201 ]
    done
    [ "$(asked served-well | jq -r .request.name | xargs)" = "well-1 well-2 well-3 well-4" ]
    [ "$(asked from | grep '^served-well ' | sort -u | wc -l)" = 1 ]
    [ "$(asked from | grep '^by-url ' | sort -u | wc -l)" = 1 ]
}

# slice NAME HOST PORT: an endpoint of the service "inside", ready unless told otherwise.
slice() {
    jq -n --arg name "$1" --arg host "$2" --argjson port "$3" --argjson ready "${4-null}" '{kind: "EndpointSlice",
        apiVersion: "discovery.k8s.io/v1", metadata: {name: $name, labels: {"kubernetes.io/service-name": "inside"}},
        addressType: "FQDN", endpoints: [{addresses: [$host], conditions: {ready: $ready}}],
        ports: [{name: "other", port: 1}, {name: "https", port: $port}]}' | k apply -f - >/dev/null
}

@test "a webhook is asked at a ready endpoint of its service, and at another when that fails" {
    inside() { jq -nc --argjson port "$1" --argjson more "$(service inside)" '$more | .clientConfig.service += {name: "inside", port: $port}'; }
    fails() { # As told in words.
        [ "$(make_map inside)" = 500 ]
        [[ "$(body .message)" == *"failed calling webhook \"inside.example.com\": failed to call webhook: $1"* ]]
    }
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=inside \
        -addext subjectAltName=DNS:inside.default.svc -keyout "$HOOKS/inside.key" -out "$HOOKS/inside.crt" -days 2 2>/dev/null
    local port
    port=$(free_port)
    "$BIN/test/stub/programs/webhook" "$HOOKS" "$port" "$HOOKS/inside.crt" "$HOOKS/inside.key" \
        >"$BATS_FILE_TMPDIR/inside.log" 2>&1 3>&- 4>&- &
    echo $! >"$BATS_FILE_TMPDIR/inside.pid"
    wait_until 10 grep -q "webhook serves" "$BATS_FILE_TMPDIR/inside.log"
    k create -f - >/dev/null <<'END'
apiVersion: v1
kind: Service
metadata: {name: inside}
spec: {ports: [{name: other, port: 80}, {name: https, port: 8443, targetPort: x}]}
END
    hook Validating inside '{}' "$(inside 8443)"
    fails 'no endpoints available for service "inside"'
    slice a a.localhost 1 false
    fails 'no endpoints available for service "inside"'
    slice b b.localhost "$HOOK_PORT" # Somebody else, by the certificate.
    fails "POST https://b.localhost:$HOOK_PORT/inside: SSL"
    slice b b.localhost "$port"
    api PATCH /apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/inside -H 'Content-Type: application/json-patch+json' \
        -d "[{\"op\": \"replace\", \"path\": \"/webhooks/0/clientConfig/caBundle\", \"value\": \"$(base64 -w0 "$HOOKS/inside.crt")\"}]" >/dev/null
    [ "$(make_map inside)" = 201 ]
    slice a a.localhost 1 true # Nobody is there: the next one is asked next time.
    [ "$(make_map inside-1)" = 500 ] || [ "$(make_map inside-2)" = 500 ]
    for i in 3 4 5; do [ "$(make_map "inside-$i")" = 201 ]; done
    [ "$(asked as | grep '^inside ' | sort -u)" = "inside Bearer of-the-service" ] # Whatever the endpoint's address.
    api PATCH /apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/inside -H 'Content-Type: application/json-patch+json' \
        -d '[{"op": "replace", "path": "/webhooks/0/clientConfig/service/port", "value": 443}]' >/dev/null
    fails 'no service port 443 found for service "inside"'
}

@test "a webhook may write to the API server itself, but not without end" {
    local token url=https://127.0.0.1:$PORT/api/v1/namespaces/default
    k create serviceaccount writer >/dev/null
    k create clusterrolebinding writer --clusterrole=cluster-admin --serviceaccount=default:writer >/dev/null
    token=$(k create token writer)
    hook Validating records "$(jq -n --arg url "$url/secrets" --arg token "$token" \
        '{post: {url: $url, token: $token, body: {metadata: {name: "record"}}}}')"
    [ "$(make_map recorded)" = 201 ]
    k get secret record >/dev/null
    [ "$(asked posted)" = "records 201" ]
    k delete validatingwebhookconfiguration records >/dev/null
    hook Validating circle "$(jq -n --arg url "$url/configmaps" --arg token "$token" \
        '{post: {url: $url, token: $token, body: {metadata: {generateName: "circle-"}}}}')"
    [ "$(make_map circular)" = 500 ]
    [[ "$(body .message)" == *'failed calling webhook "circle.example.com"'* ]]
    k delete validatingwebhookconfiguration circle >/dev/null
    [ "$(make_map straight)" = 201 ]
    not k get configmap circular
}

@test "webhooks see what is posted to subresources, and may change it" {
    k create namespace parts >/dev/null
    k create serviceaccount default -n parts >/dev/null 2>&1 || true
    hook Mutating bindings '{"patch": [{"op": "add", "path": "/target/name", "value": "moved"}]}' "$(rule pods/binding)"
    hook Validating evictions '{"response": {"allowed": false}}' "$(rule pods/eviction)"
    hook Mutating scales '{"patch": [{"op": "replace", "path": "/spec/replicas", "value": 7}]}' "$(rule deployments/scale apps)"
    hook Mutating tokens '{"patch": [{"op": "replace", "path": "/spec/expirationSeconds", "value": 900}]}' "$(rule serviceaccounts/token)"
    hook Validating states '{"response": {"allowed": false}}' "$(rule pods/status)"
    k run -n parts web --image=a >/dev/null
    api POST /api/v1/namespaces/parts/pods/web/binding --fail-with-body \
        --json '{"metadata": {"name": "web"}, "target": {"kind": "Node", "name": "here"}}'
    [ "$(k get pod web -n parts -o jsonpath='{.spec.nodeName}')" = moved ]
    [ "$(asked bindings | jq -c '.request | [.operation, .kind.kind, .resource.resource, .subResource, .name, .object.target.name, .oldObject]')" = \
        '["CREATE","Binding","pods","binding","web","here",null]' ]
    run api POST /api/v1/namespaces/parts/pods/web/eviction --json '{"kind": "Eviction", "apiVersion": "policy/v1", "metadata": {"name": "web"}}'
    [[ "$output" == *'admission webhook \"evictions.example.com\" denied the request'* ]]
    [ "$(asked evictions | jq -c '.request | [.operation, .kind.group, .kind.kind, .resource.resource, .object.metadata.name, .dryRun]')" = \
        '["CREATE","policy","Eviction","pods","web",false]' ]
    k get pod web -n parts >/dev/null
    k create deployment app -n parts --image=a >/dev/null
    k scale deployment app -n parts --replicas=3 >/dev/null
    [ "$(k get deployment app -n parts -o jsonpath='{.spec.replicas}')" = 7 ]
    [ "$(asked scales | jq -c '.request | [.operation, .kind.kind, .requestKind.group, .resource.resource, .subResource, .object.spec.replicas, .oldObject.spec.replicas]')" = \
        '["UPDATE","Scale","autoscaling","deployments","scale",3,1]' ]
    [ "$(api POST /api/v1/namespaces/parts/serviceaccounts/default/token --json '{"spec": {}}' | jq -c '.spec.expirationSeconds')" = 900 ]
    [ "$(asked tokens | jq -c '.request | [.kind.kind, .requestSubResource, .name, .object.spec.expirationSeconds]')" = '["TokenRequest","token","default",3600]' ]
    run k patch pod web -n parts --subresource=status -p '{"status": {"phase": "Running"}}'
    [[ "$output" == *'admission webhook "states.example.com" denied the request'* ]]
    [ "$(asked states | jq -c '.request | [.kind.kind, .subResource, .options.kind]')" = '["Pod","status","PatchOptions"]' ]
}

@test "webhooks see reviews, too" {
    hook Validating reviews '{"response": {"allowed": false}}' "$(rule '*' authorization.k8s.io)"
    hook Mutating tokenreviews '{"patch": [{"op": "replace", "path": "/spec/token", "value": "other"}]}' "$(rule tokenreviews authentication.k8s.io)"
    run k auth can-i get pods
    [[ "$output" == *'admission webhook "reviews.example.com" denied the request'* ]]
    [ "$(asked reviews | jq -c '.request | [.operation, .kind.kind, .resource.resource, .object.spec.resourceAttributes.verb]')" = \
        '["CREATE","SelfSubjectAccessReview","selfsubjectaccessreviews","get"]' ]
    # Not those that make no sense.
    local review before
    before=$(asked reviews | wc -l)
    for review in selfsubjectaccessreviews subjectaccessreviews namespaces/default/localsubjectaccessreviews; do
        [ "$(api POST "/apis/authorization.k8s.io/v1/$review" --json '{"spec": {"user": "a"}}' | jq .code)" = 422 ]
    done
    [ "$(api POST /apis/authorization.k8s.io/v1/selfsubjectrulesreviews --json '{"spec": {}}' | jq .code)" = 400 ]
    [ "$(asked reviews | wc -l)" = "$before" ]
    [ "$(api POST /apis/authentication.k8s.io/v1/tokenreviews --json '{"spec": {"token": "mine"}}' | jq -c '[.spec.token, .status.authenticated]')" = \
        '["other",null]' ]
    hook Validating tokenless '{}' "$(rule tokenreviews authentication.k8s.io)"
    api DELETE /apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/tokenreviews >/dev/null
    [ "$(api POST /apis/authentication.k8s.io/v1/tokenreviews --json '{"spec": {}}' | jq .code)" = 400 ]
    not was_asked tokenless
}

@test "a webhook that refuses with a conflict is asked once" {
    hook Validating conflict '{"response": {"allowed": false, "status": {"code": 409, "reason": "Conflict", "message": "not now"}}}' \
        "$(rule configmaps '' UPDATE)"
    [ "$(make_map conflicting)" = 201 ]
    run k label configmap conflicting c=d
    [[ "$output" == *'denied the request: not now'* ]]
    [ "$(asked conflict | wc -l)" = 1 ]
}

@test "conditions are refused, and webhooks are not asked about webhooks" {
    run hook Validating conditions '{}' '{"matchConditions": [{"name": "a", "expression": "true"}]}'
    [ "$status" != 0 ]
    [[ "$(jq -r .message "$BATS_TEST_TMPDIR/made")" == *"can't evaluate expressions yet" ]]
    hook Validating all '{"response": {"allowed": false}}' \
        '{"rules": [{"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"]}]}'
    [ "$(make_map all)" = 400 ]
    k delete validatingwebhookconfiguration all
    [ "$(make_map all)" = 201 ]
}

@test "a webhook that hangs does not hold up the server's end" {
    hook Validating stop '{"hang": true}' '{"timeoutSeconds": 30}'
    make_map stopped >/dev/null 2>&1 &
    local waiting=$! server
    server=$(cat "$BATS_FILE_TMPDIR/pid")
    wait_until 5 was_asked stop
    kill -TERM "$server"
    wait_until 8 gone "$server"
    wait "$waiting" || true
}
