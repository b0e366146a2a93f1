#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# One store is enough: what is shown does not depend on it.
#
# Methods, paths, sizes and callers at the edge of the API server.

load helpers

setup_file() { start_server; }
teardown_file() { stop_server; }

# code METHOD PATH [CURL ARGUMENTS…]: the status of the answer, as an administrator.
code() {
    local method=$1
    shift
    if [ "$method" = HEAD ]; then
        api GET "$@" --head -X HEAD -o /dev/null -w '%{http_code}'
    else
        api "$method" "$@" -o "$BATS_TEST_TMPDIR/body" -w '%{http_code}'
    fi
}

# anonymous PATH [CURL ARGUMENTS…]: the status of the answer without a certificate.
anonymous() {
    local path=$1
    shift
    curl -sS --cacert "$DATA/pki/ca.crt" -o "$BATS_TEST_TMPDIR/body" -w '%{http_code}' "$@" \
        "https://127.0.0.1:$PORT$path"
}

@test "methods that a resource does not have are not allowed" {
    local method
    for method in HEAD OPTIONS TRACE BREW; do
        [ "$(code $method /api/v1/namespaces/default)" = 405 ]
        [ "$(code $method /api/v1/namespaces)" = 405 ]
    done
    [ "$(code POST /api/v1/namespaces/default)" = 405 ]
    [ "$(jq -r '.kind + " " + .reason + " " + .message' "$BATS_TEST_TMPDIR/body")" = \
        "Status MethodNotAllowed the server does not allow this method on the requested resource" ]
    [ "$(code PUT /api/v1/namespaces)" = 405 ]
    [ "$(code PATCH /api/v1/namespaces)" = 405 ]
    [ "$(code POST /api/v1/configmaps)" = 405 ]
    [ "$(code DELETE /api/v1/configmaps)" = 405 ]
    [ "$(code HEAD /healthz)" = 200 ]
}

@test "no spelling of a path leads around what it names" {
    [ "$(code GET /api/v1/namespaces/default/../kube-system --path-as-is)" = 404 ]
    [ "$(code GET /api/v1/namespaces/default/%2e%2e/kube-system --path-as-is)" = 404 ]
    [ "$(code GET //api/v1/namespaces --path-as-is)" = 404 ]
    [ "$(code GET /api/v1/namespaces/default%2Fconfigmaps)" = 404 ]
    [ "$(code GET /api/v1/namespaces/default%00)" = 400 ]
    [ "$(anonymous /healthz/../api/v1/secrets --path-as-is)" != 200 ]
    [ "$(anonymous /healthz/%2e%2e/api/v1/secrets --path-as-is)" != 200 ]
    [ "$(anonymous /version%2F..%2Fmetrics --path-as-is)" != 200 ]
}

@test "credentials that are not known are refused, none are anonymous" {
    [ "$(anonymous /api/v1/namespaces)" = 403 ]
    [ "$(jq -r .message "$BATS_TEST_TMPDIR/body")" = \
        'namespaces is forbidden: User "system:anonymous" cannot list resource "namespaces" in API group "" at the cluster scope' ]
    [ "$(anonymous /api/v1/namespaces -u jane:secret)" = 403 ]
    [ "$(anonymous /api/v1/namespaces -H 'Authorization: Bearer wrong')" = 401 ]
    [ "$(jq -r .message "$BATS_TEST_TMPDIR/body")" = Unauthorized ]
    [ "$(anonymous /api/v1/namespaces -H 'Authorization: Bearer ')" = 403 ]
    [ "$(anonymous /healthz -H 'Authorization: Bearer wrong')" = 401 ]
    [ "$(anonymous /healthz)" = 200 ]
}

@test "who may not write is told so whatever the size of the body" {
    head -c 4000000 /dev/zero >"$BATS_TEST_TMPDIR/large"
    local path=/api/v1/namespaces/default/configmaps
    [ "$(anonymous "$path" --data-binary "@$BATS_TEST_TMPDIR/large")" = 403 ]
    [ "$(anonymous "$path" --data-binary "@$BATS_TEST_TMPDIR/large" -H Expect:)" = 403 ]
    [ "$(anonymous "$path" --data-binary "@$BATS_TEST_TMPDIR/large" -H Transfer-Encoding:chunked)" = 403 ]
}

# health PATH: status and answer to who may see them all.
health() {
    local status
    status=$(code GET "$1")
    echo "$status $(cat "$BATS_TEST_TMPDIR/body")"
}

@test "health is told in short, in detail and check by check" {
    local root
    for root in healthz livez readyz; do
        [ "$(health /$root)" = "200 ok" ]
        [ "$(anonymous "/$root?verbose")" = 200 ]
        [ "$(anonymous /$root/ping)" = 403 ]
        [ "$(health /$root/ping)" = "200 ok" ]
        [ "$(health "/$root/etcd?verbose")" = "200 ok" ]
        [ "$(health /$root/nothing)" = "404 404 page not found" ]
        [[ "$(health "/$root?verbose")" == "200 [+]ping ok"*"$root check passed" ]]
    done
    [ "$(health /livez/shutdown)" = "404 404 page not found" ]
    [ "$(health "/livez?verbose&exclude=etcd&exclude=a&exclude=b")" = "200 [+]ping ok
[+]log ok
[+]etcd excluded: ok
[+]poststarthook/rbac/bootstrap-roles ok
[+]poststarthook/priority-and-fairness-config-producer ok
warn: some health checks cannot be excluded: no matches for \"a\",\"b\"
livez check passed" ]
}

@test "kubectl is told that an object is too large" {
    { printf 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: large}\ndata:\n  a: "'
        head -c 4000000 /dev/zero | tr '\0' x
        printf '"\n'; } >"$BATS_TEST_TMPDIR/large.yaml"
    run k create -f "$BATS_TEST_TMPDIR/large.yaml" --validate=false
    echo "$output"
    [ "$status" -ne 0 ]
    [[ "$output" == *"Request entity too large: limit is 3145728"* ]]
}

@test "a large answer is the same compressed" {
    local i
    for i in $(seq 3); do
        head -c 100000 /dev/urandom | base64 -w0 >"$BATS_TEST_TMPDIR/noise"
        k create configmap "noise-$i" --from-file="$BATS_TEST_TMPDIR/noise"
    done
    local path=/api/v1/namespaces/default/configmaps
    api GET "$path" >"$BATS_TEST_TMPDIR/plain"
    api GET "$path" -H 'Accept-Encoding: gzip' -D "$BATS_TEST_TMPDIR/headers" |
        gunzip >"$BATS_TEST_TMPDIR/unpacked"
    grep -i '^content-encoding: gzip' "$BATS_TEST_TMPDIR/headers"
    grep -i '^vary: accept-encoding' "$BATS_TEST_TMPDIR/headers"
    cmp "$BATS_TEST_TMPDIR/plain" "$BATS_TEST_TMPDIR/unpacked"
}
