#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Every acknowledged write survives SIGKILL of the API server at any moment. ROUNDS= sets how often.

load helpers

ROUNDS=${ROUNDS:-20}

server_pid() {
    pgrep -P "$(cat "$BATS_FILE_TMPDIR/pid")" -f coracle-apiserver
}

create() {
    [ "$(api POST /api/v1/namespaces/default/configmaps -H 'Content-Type: application/json' \
        -o /dev/null -w '%{http_code}' \
        -d "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"$1\"}}" 2>/dev/null)" = 201 ]
}

@test "no acknowledged write is lost when the API server is killed" {
    export DATA=$BATS_FILE_TMPDIR/durable
    : >"$BATS_TEST_TMPDIR/acknowledged"
    : >"$BATS_TEST_TMPDIR/tried"
    for round in $(seq 1 "$ROUNDS"); do
        start_server
        local server
        server=$(server_pid)
        (sleep "0.$((RANDOM % 4))$((RANDOM % 10))"; kill -KILL "$server") 3>&- &
        local killer=$!
        for i in $(seq 1 1000); do
            echo "w-$round-$i" >>"$BATS_TEST_TMPDIR/tried"
            create "w-$round-$i" || break
            echo "w-$round-$i" >>"$BATS_TEST_TMPDIR/acknowledged"
        done
        wait "$killer" || true
        wait_until 20 gone "$(cat "$BATS_FILE_TMPDIR/pid")"
    done
    start_server
    k get configmaps -o name | sed s,configmap/,, | grep ^w- | sort >"$BATS_TEST_TMPDIR/found"
    stop_server
    sort -o "$BATS_TEST_TMPDIR/acknowledged" "$BATS_TEST_TMPDIR/acknowledged"
    sort -o "$BATS_TEST_TMPDIR/tried" "$BATS_TEST_TMPDIR/tried"
    echo "acknowledged: $(wc -l <"$BATS_TEST_TMPDIR/acknowledged")"
    [ -s "$BATS_TEST_TMPDIR/acknowledged" ]
    # Everything acknowledged is there, and nothing that was never asked for.
    [ -z "$(comm -23 "$BATS_TEST_TMPDIR/acknowledged" "$BATS_TEST_TMPDIR/found")" ]
    [ -z "$(comm -13 "$BATS_TEST_TMPDIR/tried" "$BATS_TEST_TMPDIR/found")" ]
}

@test "a store that can't grow refuses writes, serves reads, and takes writes again when it can" {
    [ "${STORE:-sqlite}" = sqlite ] || skip "etcd keeps its own files"
    command -v prlimit >/dev/null || skip "needs prlimit"
    export DATA=$BATS_FILE_TMPDIR/full
    start_server
    local server code=201 i
    server=$(server_pid)
    create kept
    prlimit --pid "$server" --fsize=1000000:
    head -c 200000 /dev/zero | tr '\0' x >"$BATS_TEST_TMPDIR/value"
    for ((i = 0; i < 20 && code == 201; i++)); do
        printf '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"big-%d"},"data":{"a":"%s"}}' \
            "$i" "$(cat "$BATS_TEST_TMPDIR/value")" >"$BATS_TEST_TMPDIR/big.json"
        code=$(api POST /api/v1/namespaces/default/configmaps -H 'Content-Type: application/json' \
            -o "$BATS_TEST_TMPDIR/answer" -w '%{http_code}' -d "@$BATS_TEST_TMPDIR/big.json")
    done
    cat "$BATS_TEST_TMPDIR/answer"
    [ "$code" = 503 ]
    [ "$(jq -r '.kind + .reason' "$BATS_TEST_TMPDIR/answer")" = StatusServiceUnavailable ]
    grep -q "can't be written" "$BATS_TEST_TMPDIR/answer"
    k get configmap kept
    [ "$(k get configmaps -o name | grep -c /big-)" = $((i - 1)) ]
    prlimit --pid "$server" --fsize=unlimited:
    create after
    k get configmap after
    stop_server
    start_server
    k get configmap kept after "big-$((i - 2))"
    stop_server
}
