#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Every acknowledged write survives SIGKILL of the API server, or of etcd, at any moment. ROUNDS= sets
# how often each is killed.

load helpers

ROUNDS=${ROUNDS:-20}

server_pid() {
    pgrep -P "$(cat "$BATS_FILE_TMPDIR/pid")" -f coracle-apiserver
}

setup() {
    export DATA=$BATS_TEST_TMPDIR/data
    : >"$BATS_TEST_TMPDIR/acknowledged"
    : >"$BATS_TEST_TMPDIR/tried"
}

teardown() {
    stop_server || true
    [ "${STORE:-sqlite}" = sqlite ] || signal_etcd KILL
}

# write_until_killed ROUND PID: creates config maps until that fails, which the death of the process
# makes it do, at some moment of the next 400 ms.
write_until_killed() {
    (sleep "0.$((RANDOM % 4))$((RANDOM % 10))"; kill -KILL "$2") 3>&- &
    local killer=$! i
    for i in $(seq 1 1000); do
        echo "w$BATS_TEST_NUMBER-$1-$i" >>"$BATS_TEST_TMPDIR/tried"
        create "w$BATS_TEST_NUMBER-$1-$i" || break
        echo "w$BATS_TEST_NUMBER-$1-$i" >>"$BATS_TEST_TMPDIR/acknowledged"
    done
    wait "$killer"
    wait_until 20 gone "$2"
}

create() {
    [ "$(api POST /api/v1/namespaces/default/configmaps -H 'Content-Type: application/json' \
        -o /dev/null -w '%{http_code}' -d "{\"metadata\":{\"name\":\"$1\"}}" 2>/dev/null)" = 201 ]
}

# Everything acknowledged is there, and nothing that was never asked for.
nothing_is_lost() {
    k get configmaps -o name | sed s,configmap/,, | grep "^w$BATS_TEST_NUMBER-" | sort >"$BATS_TEST_TMPDIR/found"
    sort -o "$BATS_TEST_TMPDIR/acknowledged" "$BATS_TEST_TMPDIR/acknowledged"
    sort -o "$BATS_TEST_TMPDIR/tried" "$BATS_TEST_TMPDIR/tried"
    echo "acknowledged: $(wc -l <"$BATS_TEST_TMPDIR/acknowledged")"
    [ -s "$BATS_TEST_TMPDIR/acknowledged" ]
    [ -z "$(comm -23 "$BATS_TEST_TMPDIR/acknowledged" "$BATS_TEST_TMPDIR/found")" ]
    [ -z "$(comm -13 "$BATS_TEST_TMPDIR/tried" "$BATS_TEST_TMPDIR/found")" ]
}

@test "no acknowledged write is lost when the API server is killed" {
    [ "${STORE:-sqlite}" = sqlite ] || start_etcd
    for round in $(seq 1 "$ROUNDS"); do
        start_server
        write_until_killed "$round" "$(server_pid)"
        wait_until 20 gone "$(cat "$BATS_FILE_TMPDIR/pid")"
    done
    start_server
    nothing_is_lost
}

@test "no acknowledged write is lost when etcd is killed" {
    [ "${STORE:-sqlite}" = etcd ] || skip "needs etcd"
    start_etcd
    start_server
    for round in $(seq 1 "$ROUNDS"); do
        write_until_killed "$round" "$(cat "$BATS_FILE_TMPDIR/etcd.pid")"
        start_etcd
        wait_until 30 is_ready
    done
    nothing_is_lost
}
