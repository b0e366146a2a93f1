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

is_ready() {
    [ "$(api GET /readyz)" = ok ]
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
