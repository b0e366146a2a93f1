#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What lists and watches promise: pages of one snapshot, resourceVersion and its match, initial events.

load helpers

setup_file() { start_server; }
teardown_file() { stop_server; }
setup() {
    new_namespace
    LIST=/api/v1/namespaces/$NS/configmaps
}

# list [NAME=VALUE…]: the answer to a list with these parameters.
list() {
    local arguments=(-G)
    for parameter in "$@"; do arguments+=(--data-urlencode "$parameter"); done
    api GET "$LIST" "${arguments[@]}"
}

names() { jq -r '[.items[].metadata.name | select(startswith("c"))] | join(" ")'; }
refusal() { jq -r '"\(.code) \(.reason): \(.message)"'; }
revision() { list | jq -r .metadata.resourceVersion; }
# token TEXT: a continue token that says this.
token() { printf '%s' "$1" | base64 -w0 | tr '+/' '-_' | tr -d =; }

make() {
    for name in "$@"; do k -n "$NS" create configmap "$name" >/dev/null; done
}

# watch_for SECONDS [NAME=VALUE…]: the events of that time.
watch_for() {
    list watch=1 timeoutSeconds="$@"
}

@test "pages show one moment, whatever happens between them" {
    make c1 c2 c3 c4 c5
    list limit=2 >"$BATS_TEST_TMPDIR/1"
    k -n "$NS" delete configmap c4 >/dev/null
    make c31
    k -n "$NS" label configmap c5 late=yes >/dev/null
    list limit=2 continue="$(jq -r .metadata.continue "$BATS_TEST_TMPDIR/1")" >"$BATS_TEST_TMPDIR/2"
    list limit=2 continue="$(jq -r .metadata.continue "$BATS_TEST_TMPDIR/2")" >"$BATS_TEST_TMPDIR/3"
    [ "$(cat "$BATS_TEST_TMPDIR"/[123] | names | tr '\n' ' ')" = "c1 c2 c3 c4 c5 " ]
    [ "$(cat "$BATS_TEST_TMPDIR"/[123] | jq -r .metadata.remainingItemCount | tr '\n' ' ')" = "3 1 null " ]
    [ "$(cat "$BATS_TEST_TMPDIR"/[123] | jq -r .metadata.resourceVersion | sort -u | wc -l)" = 1 ]
    [ "$(jq -r .metadata.continue "$BATS_TEST_TMPDIR/3")" = null ]
    [ "$(jq -r '.items[0].metadata.labels.late' "$BATS_TEST_TMPDIR/3")" = null ]
    # A page of exactly what is left has no next one, and a page without a limit takes all that is left.
    [ "$(list limit=3 continue="$(jq -r .metadata.continue "$BATS_TEST_TMPDIR/1")" | jq -r '.metadata.continue, .metadata.remainingItemCount' | tr '\n' ' ')" = "null null " ]
    [ "$(list continue="$(jq -r .metadata.continue "$BATS_TEST_TMPDIR/1")" | names)" = "c3 c4 c5" ]
}

@test "a selector takes its pages from what it selects, and nobody counts the rest" {
    make c1 c2 c3 c4
    k -n "$NS" label configmap c1 c3 c4 tier=front >/dev/null
    list limit=1 labelSelector=tier=front >"$BATS_TEST_TMPDIR/1"
    make c5 # The next page comes from the store.
    [ "$(jq -r .metadata.remainingItemCount "$BATS_TEST_TMPDIR/1")" = null ]
    local next
    next=$(jq -r .metadata.continue "$BATS_TEST_TMPDIR/1")
    [ "$(list limit=1 labelSelector=tier=front continue="$next" | names)" = c3 ]
    # Another selector on the way goes on at the same place.
    [ "$(list continue="$next" | names)" = "c2 c3 c4" ]
    [ "$(list labelSelector='!tier' continue="$next" | names)" = c2 ]
}

@test "a token of one namespace leads nowhere else" {
    make c1 c2 c3
    local other=$NS
    new_namespace
    LIST=/api/v1/namespaces/$NS/configmaps
    make c1 c2
    [ "$(list continue="$(token '{"v":"meta.k8s.io/v1","rv":-1,"start":"c1\u0000"}')" | names)" = "c2" ]
    [ "$(list continue="$(token "{\"v\":\"meta.k8s.io/v1\",\"rv\":-1,\"start\":\"../$other/c1\"}")" | refusal)" = \
        "400 BadRequest: invalid continue token: continue key is not valid: ../$other/c1" ]
}

@test "a forged token is refused with a reason" {
    local bad="400 BadRequest: invalid continue token: continue key is not valid"
    [ "$(list continue='a*b' | refusal)" = "$bad: illegal base64 data at input byte 1" ]
    [ "$(list continue=e30= | refusal)" = "$bad: illegal base64 data at input byte 3" ]
    [ "$(list continue="$(token hello)" | refusal)" = "$bad: invalid character 'h' looking for beginning of value" ]
    [ "$(list continue="$(token '{"v":"v9","rv":1,"start":"a"}')" | refusal)" = "$bad: server does not recognize this encoded version v9" ]
    [ "$(list continue="$(token '{"v":"meta.k8s.io/v1","start":"a"}')" | refusal)" = "$bad: incorrect encoded start resourceVersion (version meta.k8s.io/v1)" ]
    [ "$(list continue="$(token '{"v":"meta.k8s.io/v1","rv":1}')" | refusal)" = "$bad: encoded start key empty (version meta.k8s.io/v1)" ]
    [ "$(list continue="$(token '{"v":"meta.k8s.io/v1","rv":1,"start":"a//b"}')" | refusal)" = "$bad: a//b" ]
}

@test "limits: below one is none, and no number is refused" {
    make c1 c2 c3
    [ "$(list limit=-1 | names)" = "c1 c2 c3" ]
    [ "$(list limit=0 | names)" = "c1 c2 c3" ]
    [ "$(list limit=9223372036854775807 | names)" = "c1 c2 c3" ]
    [ "$(list limit=many | refusal)" = '400 BadRequest: strconv.ParseInt: parsing "many": invalid syntax' ]
    [ "$(list limit=9223372036854775808 | refusal)" = '400 BadRequest: strconv.ParseInt: parsing "9223372036854775808": value out of range' ]
}

@test "a collection is deleted as far as the limit and the selector say" {
    make c1 c2 c3 c4
    k -n "$NS" label configmap c1 c3 c4 tier=front >/dev/null
    api DELETE "$LIST?limit=2&labelSelector=tier%3Dfront" >/dev/null
    [ "$(list | names)" = "c2 c4" ]
    api DELETE "$LIST?labelSelector=tier%3Dfront" >/dev/null
    [ "$(list | names)" = c2 ]
}

@test "resourceVersion and its match choose the moment" {
    make c1 c2
    local then now
    then=$(revision)
    make c3
    now=$(revision)
    [ "$then" -lt "$now" ]
    # Unset: the newest. 0: any, all at once. N: not older; with a limit exactly, as ever.
    [ "$(list | names)" = "c1 c2 c3" ]
    [ "$(list resourceVersion=0 limit=1 | names)" = "c1 c2 c3" ]
    [ "$(list resourceVersion="$then" | names)" = "c1 c2 c3" ]
    [ "$(list resourceVersion="$then" limit=5 | names)" = "c1 c2" ]
    [ "$(list resourceVersion="$then" limit=5 | jq -r .metadata.resourceVersion)" = "$then" ]
    # Exact and NotOlderThan, with and without a limit.
    [ "$(list resourceVersion="$then" resourceVersionMatch=Exact | names)" = "c1 c2" ]
    [ "$(list resourceVersion="$then" resourceVersionMatch=Exact | jq -r .metadata.resourceVersion)" = "$then" ]
    list resourceVersion="$then" resourceVersionMatch=Exact limit=1 >"$BATS_TEST_TMPDIR/exact"
    [ "$(names <"$BATS_TEST_TMPDIR/exact")" = c1 ]
    [ "$(list continue="$(jq -r .metadata.continue "$BATS_TEST_TMPDIR/exact")" | names)" = c2 ]
    [ "$(list resourceVersion="$then" resourceVersionMatch=NotOlderThan | names)" = "c1 c2 c3" ]
    [ "$(list resourceVersion=0 resourceVersionMatch=NotOlderThan | names)" = "c1 c2 c3" ]
    [ "$(list resourceVersion="$then" resourceVersionMatch=NotOlderThan limit=1 | names)" = c1 ]
    [ "$(list resourceVersion="$then" resourceVersionMatch=NotOlderThan limit=1 | jq .metadata.remainingItemCount)" = 2 ]
    [ "$(list resourceVersion="$now" resourceVersionMatch=Exact | names)" = "c1 c2 c3" ]
}

@test "parameters that forbid each other are refused in upstream's words" {
    make c1 c2
    local invalid='422 Invalid: ListOptions.meta.k8s.io "" is invalid:' next now
    next=$(list limit=1 | jq -r .metadata.continue)
    now=$(revision)
    [ "$(list resourceVersionMatch=Exact | refusal)" = \
        "$invalid resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided" ]
    [ "$(list resourceVersionMatch=Exact resourceVersion=0 | refusal)" = \
        "$invalid resourceVersionMatch: Forbidden: resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"" ]
    [ "$(list resourceVersionMatch=Newest resourceVersion=1 | refusal)" = \
        "$invalid resourceVersionMatch: Unsupported value: \"Newest\": supported values: \"Exact\", \"NotOlderThan\", \"\"" ]
    [ "$(list resourceVersionMatch=Exact resourceVersion="$now" continue="$next" | refusal)" = \
        "$invalid resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden when continue is provided" ]
    [ "$(list sendInitialEvents=true | refusal)" = "$invalid sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list" ]
    [ "$(list resourceVersion="$now" continue="$next" | refusal)" = \
        "400 BadRequest: specifying resource version is not allowed when using continue" ]
    [ "$(list resourceVersion=0 continue="$next" | names)" = c2 ]
    [ "$(list resourceVersion=new | refusal)" = \
        '400 BadRequest: invalid resource version: resourceVersion: Invalid value: "new": strconv.ParseUint: parsing "new": invalid syntax' ]
    [ "$(watch_for 1 resourceVersionMatch=NotOlderThan | refusal)" = \
        "$invalid resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided" ]
    [ "$(watch_for 1 sendInitialEvents=true | refusal)" = \
        "$invalid resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan" ]
    [ "$(watch_for 1 sendInitialEvents=true resourceVersionMatch=Exact | refusal)" = \
        "$invalid [resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan, resourceVersionMatch: Unsupported value: \"Exact\": supported values: \"NotOlderThan\"]" ]
}

@test "a revision that is not there yet is too large, with a hint to come again" {
    local far=999999999 parameters
    for parameters in "" "&resourceVersionMatch=NotOlderThan" "&limit=1" "&resourceVersionMatch=Exact"; do
        api GET "$LIST?resourceVersion=$far$parameters" -D "$BATS_TEST_TMPDIR/head" >"$BATS_TEST_TMPDIR/body"
        [[ "$(refusal <"$BATS_TEST_TMPDIR/body")" == "504 Timeout: Timeout: Too large resource version: $far, current: "* ]]
        [ "$(jq -c '.details | [.causes, .retryAfterSeconds]' "$BATS_TEST_TMPDIR/body")" = \
            '[[{"reason":"ResourceVersionTooLarge","message":"Too large resource version"}],1]' ]
        grep -qi '^retry-after: 1' "$BATS_TEST_TMPDIR/head"
    done
    [[ "$(api GET "/api/v1/namespaces/$NS?resourceVersion=$far" | refusal)" == "504 Timeout: Timeout: Too large resource version: $far"* ]]
    # A watch waits for it in silence, and tells what is older to nobody.
    make c1
    [ -z "$(watch_for 1 resourceVersion=$far)" ]
}

@test "a watch begins with what there is, or without, as it is told" {
    make c1
    local now first='select(.object.metadata.name | startswith("kube") | not) | .type + " " + .object.metadata.name'
    now=$(revision)
    [ "$(watch_for 1 fieldSelector=metadata.name=c1 | jq -r '.type + " " + .object.metadata.name')" = "ADDED c1" ]
    [ "$(watch_for 1 resourceVersion=0 fieldSelector=metadata.name=c1 | jq -r "$first")" = "ADDED c1" ]
    [ -z "$(watch_for 1 resourceVersion="$now")" ]
    [ -z "$(watch_for 1 sendInitialEvents=false resourceVersionMatch=NotOlderThan)" ]
    watch_for 1 sendInitialEvents=true resourceVersionMatch=NotOlderThan allowWatchBookmarks=true \
        resourceVersion="$now" fieldSelector=metadata.name=c1 >"$BATS_TEST_TMPDIR/events"
    [ "$(jq -r .type "$BATS_TEST_TMPDIR/events" | tr '\n' ' ')" = "ADDED BOOKMARK " ]
    [ "$(jq -r 'select(.type == "BOOKMARK").object.metadata.annotations["k8s.io/initial-events-end"]' "$BATS_TEST_TMPDIR/events")" = true ]
    [ "$(jq -r 'select(.type == "BOOKMARK").object.metadata.resourceVersion' "$BATS_TEST_TMPDIR/events")" -ge "$now" ]
    # Without bookmarks nobody is told where the initial events end.
    [ "$(watch_for 1 sendInitialEvents=true resourceVersionMatch=NotOlderThan fieldSelector=metadata.name=c1 | jq -r .type)" = ADDED ]
    [ "$(watch_for 5 sendInitialEvents=true resourceVersionMatch=NotOlderThan resourceVersion=999999999 | jq -r '.type + " " + .object.reason')" = "ERROR Timeout" ]
}

@test "a token that is too old is answered with one that goes on inconsistently" {
    stop_server
    FLAGS="--etcd-compaction-interval 1s" start_server
    make c1 c2 c3 c4
    list limit=1 >"$BATS_TEST_TMPDIR/1"
    local old next
    old=$(jq -r .metadata.resourceVersion "$BATS_TEST_TMPDIR/1")
    next=$(jq -r .metadata.continue "$BATS_TEST_TMPDIR/1")
    k -n "$NS" delete configmap c2 >/dev/null
    expired() { # Compaction forgets only what changes came after.
        make "d$RANDOM$RANDOM"
        [ "$(list limit=1 continue="$next" | jq -r .code)" = 410 ]
    }
    wait_until 20 expired
    list limit=1 continue="$next" >"$BATS_TEST_TMPDIR/2"
    [[ "$(refusal <"$BATS_TEST_TMPDIR/2")" == "410 Expired: The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results."* ]]
    list limit=1 continue="$(jq -r .metadata.continue "$BATS_TEST_TMPDIR/2")" >"$BATS_TEST_TMPDIR/3"
    [ "$(names <"$BATS_TEST_TMPDIR/3")" = c3 ]
    # From there on it is consistent again.
    k -n "$NS" delete configmap c4 >/dev/null
    [ "$(list limit=1 continue="$(jq -r .metadata.continue "$BATS_TEST_TMPDIR/3")" | names)" = c4 ]
    [ "$(list resourceVersion="$old" resourceVersionMatch=Exact | refusal)" = \
        "410 Expired: The resourceVersion for the provided list is too old." ]
    [ "$(list resourceVersion="$old" limit=1 | jq -r .code)" = 410 ]
    [ "$(watch_for 5 resourceVersion=1 | jq -r '.type + " " + (.object.code | tostring) + " " + .object.reason')" = "ERROR 410 Expired" ]
}

@test "a name in the field selector finds the object in every namespace" {
    make twin-of-both
    new_namespace
    LIST=/api/v1/namespaces/$NS/configmaps
    make twin-of-both
    [ "$(k get configmaps -A --field-selector metadata.name=twin-of-both -o name | wc -l)" -eq 2 ]
    [ "$(api GET "/api/v1/configmaps/twin-of-both" | jq .code)" = 404 ]
}
