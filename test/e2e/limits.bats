#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# One store is enough: what is shown does not depend on it.
#
# Bodies and selectors that are deep or of very many values are refused; the server goes on.

load helpers

setup_file() { start_server; }
teardown_file() { stop_server; }
setup() { new_namespace; }

# repeat COUNT TEXT
repeat() {
    head -c "$1" /dev/zero | sed "s|\x00|$2|g"
}

# answer_to PATH TYPE: the code and message of the answer to a POST of standard input.
answer_to() {
    api POST "$1" -H "Content-Type: $2" --data-binary @- | jq -r '"\(.code) \(.message)"'
}

@test "a body of ten thousand levels is refused" {
    local pods=/api/v1/namespaces/$NS/pods crds=/apis/apiextensions.k8s.io/v1/customresourcedefinitions
    for body in "$(repeat 10000 '[')" "$(repeat 10000 '{"a":')" \
        "{\"metadata\":$(repeat 10000 '{"a":[')$(repeat 10000 ']}')}"; do
        run answer_to "$pods" application/json <<<"$body"
        [[ "$output" == "400 "*"exceeded max depth" ]]
        run answer_to "$pods" application/yaml <<<"$body"
        [[ "$output" == "400 "* ]]
    done
    run answer_to "$crds" application/json \
        <<<"{\"spec\":{\"versions\":[{\"schema\":{\"openAPIV3Schema\":$(repeat 10000 '{"not":')1$(repeat 10000 '}')}}]}}"
    [[ "$output" == "400 "*"exceeded max depth" ]]
    # As deep as may be goes all the way: pruned, validated and told about.
    run answer_to "$crds" application/json \
        <<<"{\"spec\":{\"versions\":[{\"schema\":{\"openAPIV3Schema\":$(repeat 490 '{"not":'){}$(repeat 490 '}')}}]}}"
    [[ "$output" == "422 "* ]]
}

@test "patches are held to the same levels" {
    k -n "$NS" create configmap one
    for type in merge json strategic; do
        local body
        body=$(repeat 10000 '{"a":')1$(repeat 10000 '}')
        [ "$type" != json ] || body="[{\"op\":\"add\",\"path\":\"/data\",\"value\":$body}]"
        local media=application/$type-patch+json
        [ "$type" != strategic ] || media=application/strategic-merge-patch+json
        run api PATCH "/api/v1/namespaces/$NS/configmaps/one" -H "Content-Type: $media" --data-binary @- <<<"$body"
        [ "$(jq .code <<<"$output")" = 400 ]
        [[ "$output" == *"exceeded max depth"* ]]
    done
}

@test "a body of very many values is refused before it takes memory" {
    local body=$BATS_TEST_TMPDIR/values
    k -n "$NS" create configmap one
    { echo -n '{"data":['; repeat 1000000 '[],'; echo '[]]}'; } >"$body"
    run answer_to "/api/v1/namespaces/$NS/configmaps" application/json <"$body"
    [ "$output" = "413 Request entity too large: it holds more than 100000 values" ]
    run api PATCH "/api/v1/namespaces/$NS/configmaps/one" -H 'Content-Type: application/merge-patch+json' \
        --data-binary "@$body"
    [ "$(jq .code <<<"$output")" = 413 ]
    { echo 'data:'; repeat 300000 '- a\n'; } >"$body"
    run answer_to "/api/v1/namespaces/$NS/configmaps" application/yaml <"$body"
    [ "$output" = "413 Request entity too large: it holds more than 100000 values" ]
    # Complaints are told, but not all of a hundred thousand.
    { echo -n '{"spec":{"containers":['; repeat 90000 '{},'; echo '{}]}}'; } >"$body"
    run api POST "/api/v1/namespaces/$NS/pods" -H 'Content-Type: application/json' --data-binary "@$body"
    [ "$(jq '.code, (.details.causes | length)' <<<"$output" | paste -sd' ')" = "422 1000" ]
}

@test "selectors nested without end are refused" {
    for text in "$(repeat 2000 '(')" "a in ($(repeat 2000 '(')" "$(repeat 2000 '!')a"; do
        run api GET "/api/v1/namespaces/$NS/pods" -G --data-urlencode "labelSelector=$text"
        [ "$(jq .code <<<"$output")" = 400 ]
    done
}

@test "a field selector looks where its field stands" {
    needs_kubectl 1.24
    k -n "$NS" create job one --image i
    [ "$(k -n "$NS" get jobs --field-selector status.successful=0 -o name)" = job.batch/one ]
    k -n "$NS" patch job one --subresource status --type merge -p '{"status":{"succeeded":2}}'
    [ "$(k -n "$NS" get jobs --field-selector status.successful=2 -o name)" = job.batch/one ]
    [ -z "$(k -n "$NS" get jobs --field-selector status.successful=0 -o name)" ]
    k -n "$NS" create -f - <<<"$(printf -- '---\n{apiVersion: v1, kind: Pod, metadata: {name: p},
        spec: {nodeName: here, containers: [{name: a, image: i}]}}')"
    [ "$(k -n "$NS" get pods --field-selector spec.host=here -o name)" = pod/p ]
    [ -z "$(k -n "$NS" get pods --field-selector spec.host=there -o name)" ]
    k -n "$NS" create -f - <<YAML
apiVersion: v1
kind: Event
metadata: {name: e}
involvedObject: {kind: Pod, name: p, namespace: $NS}
source: {component: me}
YAML
    [ "$(k -n "$NS" get events --field-selector source=me -o name)" = event/e ]
}
