#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What clients are told while etcd is dead or frozen, and that service goes on when it is back.

load helpers

setup_file() {
    [ "${STORE:-sqlite}" = etcd ] || return 0
    start_etcd
    start_server
}

setup() {
    [ "${STORE:-sqlite}" = etcd ] || skip "needs etcd"
}

teardown_file() {
    [ "${STORE:-sqlite}" = etcd ] || return 0
    stop_server
    signal_etcd KILL
}

# answers SECONDS METHOD PATH [CURL ARGUMENTS…]: the status and reason, or nothing when it takes longer.
answers() {
    local seconds=$1
    shift
    api "$@" --max-time "$seconds" -w ' %{http_code}' | tr -d '\n' |
        sed -n 's/.*"reason": *"\([^"]*\)".* \([0-9]*\)$/\2 \1/p'
}

body='{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"}}'
create() {
    answers "$1" POST /api/v1/namespaces/default/configmaps -H 'Content-Type: application/json' -d "$body"
}

@test "a dead etcd is told as 503 long before a client's patience ends, and readyz names it" {
    signal_etcd KILL
    wait_until 10 gone "$(cat "$BATS_FILE_TMPDIR/etcd.pid")"
    [ "$(answers 4 GET /api/v1/namespaces/default/pods)" = "503 ServiceUnavailable" ]
    [ "$(create 4)" = "503 ServiceUnavailable" ]
    api GET /readyz --max-time 4 | grep -q '^\[-\]etcd failed: reason withheld'
    # What needs nothing of the store is still served.
    [ "$(api GET '/api/v1/namespaces/default?resourceVersion=0' -o /dev/null -w '%{http_code}')" = 200 ]
    start_etcd
    wait_until 30 is_ready
    [ "$(api GET /api/v1/namespaces/default/configmaps -o /dev/null -w '%{http_code}')" = 200 ]
}

@test "a frozen etcd is told within seconds, and what was sent to it as unknown" {
    signal_etcd STOP
    [ "$(answers 9 GET /api/v1/namespaces/default/pods)" = "503 ServiceUnavailable" ]
    [ "$(create 9)" = "504 Timeout" ]
    api GET /readyz --max-time 5 | grep -q '^\[-\]etcd failed: reason withheld'
    signal_etcd CONT
    wait_until 30 is_ready
    [ "$(api GET /api/v1/namespaces/default/configmaps -o /dev/null -w '%{http_code}')" = 200 ]
}

# writes UNTIL_FILE: creates config maps until that file is there, and records what became of each.
writes() {
    local i code
    for i in $(seq 1 100000); do
        [ ! -e "$1" ] || break
        code=$(api POST /api/v1/namespaces/outage/configmaps -H 'Content-Type: application/json' -o /dev/null \
            -w '%{http_code}' -d "{\"metadata\":{\"name\":\"w-$i\"}}")
        echo "$code w-$i" >>"$BATS_TEST_TMPDIR/writes"
        [ "$code" = 201 ] || sleep 0.1
    done
}

# more_writes PATTERN: waits until there is a new write whose status code matches.
more_writes() {
    local before
    before=$(grep -c "^$1" "$BATS_TEST_TMPDIR/writes" || true)
    wait_until 30 more_than "$before" "$1"
}

more_than() {
    [ "$(grep -c "^$2" "$BATS_TEST_TMPDIR/writes")" -gt "$1" ]
}

@test "writes and a watch go on after outages, and nothing acknowledged is lost or told twice" {
    k create namespace outage
    : >"$BATS_TEST_TMPDIR/writes"
    api GET '/api/v1/namespaces/outage/configmaps?watch=true' -N >"$BATS_TEST_TMPDIR/watch" 3>&- &
    local watch=$!
    writes "$BATS_TEST_TMPDIR/enough" 3>&- &
    local writer=$!
    more_writes 201
    signal_etcd TERM
    wait_until 10 gone "$(cat "$BATS_FILE_TMPDIR/etcd.pid")"
    more_writes 5
    start_etcd
    wait_until 30 is_ready
    more_writes 201
    signal_etcd STOP
    more_writes 5
    signal_etcd CONT
    wait_until 30 is_ready
    more_writes 201
    touch "$BATS_TEST_TMPDIR/enough"
    wait "$writer"
    api GET /api/v1/namespaces/outage/configmaps | jq -r '.items[].metadata.name' | grep ^w- |
        sort >"$BATS_TEST_TMPDIR/found"
    sed -n 's/^201 //p' "$BATS_TEST_TMPDIR/writes" | sort >"$BATS_TEST_TMPDIR/acknowledged"
    cut -d' ' -f1 "$BATS_TEST_TMPDIR/writes" | sort | uniq -c
    [ -z "$(comm -23 "$BATS_TEST_TMPDIR/acknowledged" "$BATS_TEST_TMPDIR/found")" ]
    # The watch has told of each object once, those included whose writer got no answer.
    watch_told_all() {
        jq -r .object.metadata.name "$BATS_TEST_TMPDIR/watch" | grep ^w- | sort | diff - "$BATS_TEST_TMPDIR/found"
    }
    wait_until 10 watch_told_all
    kill "$watch"
}
