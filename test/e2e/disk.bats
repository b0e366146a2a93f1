#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# A real disk that is full, and one that can't be written to. (test/storage has the same with errors
# that are made up, at every kind of write.)

load helpers

setup_file() {
    [ "${STORE:-sqlite}" = sqlite ] || return 0
    export DISK=$BATS_FILE_TMPDIR/disk DATA=$BATS_FILE_TMPDIR/disk/data
    mkdir "$DISK"
    mount -t tmpfs -o size=8m tmpfs "$DISK" 2>/dev/null || return 0
    start_server
}

setup() {
    [ "${STORE:-sqlite}" = sqlite ] || skip "the store is etcd's"
    mountpoint -q "$DISK" || skip "may not mount a small disk"
}

teardown_file() {
    [ "${STORE:-sqlite}" = sqlite ] && mountpoint -q "$DISK" || return 0
    local failed=0
    stop_server || failed=1
    umount "$DISK"
    return $failed
}

# create NAME: a config map of 100 kB; prints the status code, and leaves the answer in 'answer'.
create() {
    printf '{"metadata":{"name":"%s"},"data":{"a":"%0100000d"}}' "$1" 0 |
        api POST /api/v1/namespaces/default/configmaps -H 'Content-Type: application/json' \
            --data-binary @- -o "$BATS_FILE_TMPDIR/answer" -w '%{http_code}'
}

names() {
    api GET /api/v1/namespaces/default/configmaps | jq -r '.items[].metadata.name' | grep '^big-' | sort -V
}

@test "writes to a full disk are refused with a clear word, and those before are kept" {
    local i
    for i in $(seq 200); do
        [ "$(create "big-$i")" = 201 ] || break
        echo "big-$i" >>"$BATS_FILE_TMPDIR/acknowledged"
    done
    [ "$i" -lt 200 ]
    jq -e '.kind == "Status" and .code == 500 and (.message | test("no space left for"))' "$BATS_FILE_TMPDIR/answer"
    diff <(names) "$BATS_FILE_TMPDIR/acknowledged"
}

@test "with space again, writing goes on without a restart" {
    mount -o remount,size=64m "$DISK"
    [ "$(create big-1000)" = 201 ]
    echo big-1000 >>"$BATS_FILE_TMPDIR/acknowledged"
    diff <(names) "$BATS_FILE_TMPDIR/acknowledged"
}

@test "nothing is lost over a restart" {
    stop_server
    start_server
    diff <(names) "$BATS_FILE_TMPDIR/acknowledged"
}

@test "a disk that can't be written to is told at the start" {
    stop_server
    mount -o remount,ro "$DISK"
    run timeout 20 "$BIN/coracle-apiserver" --secure-port "$(free_port)" --store-file "$DATA/store.db" \
        --tls-cert-file "$DATA/pki/apiserver.crt" --tls-private-key-file "$DATA/pki/apiserver.key" \
        --client-ca-file "$DATA/pki/ca.crt"
    echo "$output"
    [ "$status" -eq 1 ]
    [[ "$output" == *"$DATA/store.db"* ]]
    mount -o remount,rw "$DISK"
    start_server
    diff <(names) "$BATS_FILE_TMPDIR/acknowledged"
}
