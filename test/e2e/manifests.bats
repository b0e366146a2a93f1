#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The manifests folder, which holds at least one object of every kind the server stores.

load helpers

MANIFESTS=test/e2e/manifests

setup_file() {
    start_server
    # Some manifests name their namespace and most do not, so the context has to give it.
    cp "$KUBECONFIG" "$BATS_FILE_TMPDIR/kubeconfig"
    export KUBECONFIG=$BATS_FILE_TMPDIR/kubeconfig
    k create namespace manifests
    k config set-context --current --namespace=manifests
    k apply -f "$MANIFESTS" >"$BATS_FILE_TMPDIR/applied"
}

teardown_file() { stop_server; }

manifest_kinds() {
    awk '/^apiVersion: / { version = $2 } /^kind: / { print version, $2 }' "$MANIFESTS"/*.yaml
}

@test "every kind that can be created and read has a manifest" {
    k api-resources --verbs=create,get --no-headers | awk '{ print $(NF - 2), $NF }' |
        sort >"$BATS_TEST_TMPDIR/served"
    [ "$(wc -l <"$BATS_TEST_TMPDIR/served")" -ge 50 ]
    run comm -23 "$BATS_TEST_TMPDIR/served" <(manifest_kinds | sort -u)
    echo "without a manifest: $output"
    [ -z "$output" ]
}

@test "each manifest is created by the first apply and unchanged by the second" {
    [ "$(grep -c ' created$' "$BATS_FILE_TMPDIR/applied")" = "$(manifest_kinds | wc -l)" ]
    [ -z "$(grep -v ' created$' "$BATS_FILE_TMPDIR/applied")" ]
    run k apply -f "$MANIFESTS"
    [ "$status" -eq 0 ]
    output=$(grep -v '^Warning: v1 Endpoints is deprecated' <<<"$output")
    # kubectl before 1.21 knows no CronJob of batch/v1: it merges lists of it as JSON, a patch without effect.
    [ "$(client_minor)" -ge 21 ] || output=$(sed '/^cronjob/s/configured$/unchanged/' <<<"$output")
    grep -v ' unchanged$' <<<"$output" || true
    [ "$(grep -c ' unchanged$' <<<"$output")" = "$(manifest_kinds | wc -l)" ]
    [ -z "$(grep -v ' unchanged$' <<<"$output")" ]
    run k get cronjobs -o jsonpath='{.items[*].metadata.generation}'
    [ "$output" = "1 1" ]
}

@test "diff sees no difference to what was applied" {
    [ "$(client_minor)" -ge 21 ] || skip "kubectl before 1.21 sees one in each CronJob"
    k diff -f "$MANIFESTS"
}

@test "each object is described" {
    needs_kubectl 1.21 # Before, CronJobs and others were described in their beta versions.
    # kubectl describes these three by asking for them in a beta version, which is not served.
    k get -f "$MANIFESTS" -o json |
        jq 'del(.items[] | select(.kind | IN("IPAddress", "ServiceCIDR", "VolumeAttributesClass")))' \
            >"$BATS_TEST_TMPDIR/objects"
    k describe -f "$BATS_TEST_TMPDIR/objects" >"$BATS_TEST_TMPDIR/described"
    [ "$(grep -c '^Name: ' "$BATS_TEST_TMPDIR/described")" = "$(($(manifest_kinds | wc -l) - 3))" ]
}

@test "each object has a row in a table, wide and narrow" {
    k get -f "$MANIFESTS" --no-headers >"$BATS_TEST_TMPDIR/rows"
    [ "$(wc -l <"$BATS_TEST_TMPDIR/rows")" = "$(manifest_kinds | wc -l)" ]
    k get -f "$MANIFESTS" --no-headers -o wide >"$BATS_TEST_TMPDIR/rows"
    [ "$(wc -l <"$BATS_TEST_TMPDIR/rows")" = "$(manifest_kinds | wc -l)" ]
}

# All of it but what a replace changes by itself: the revision, kubectl's annotation, and the labels
# that a Job without any is defaulted to, which are those of its pods.
without_traces() {
    jq '.items[] | del(.metadata.resourceVersion, .metadata.annotations)
        | if .kind == "Job" then del(.metadata.labels) else . end' "$1"
}

@test "each object is replaced by what was read, which changes nothing of it" {
    k get -f "$MANIFESTS" -o json >"$BATS_TEST_TMPDIR/before"
    k replace -f "$BATS_TEST_TMPDIR/before" >"$BATS_TEST_TMPDIR/replaced"
    [ "$(wc -l <"$BATS_TEST_TMPDIR/replaced")" = "$(manifest_kinds | wc -l)" ]
    k get -f "$MANIFESTS" -o json >"$BATS_TEST_TMPDIR/after"
    diff <(without_traces "$BATS_TEST_TMPDIR/before") <(without_traces "$BATS_TEST_TMPDIR/after")
}

@test "each object is deleted in a dry run, and stays" {
    run k delete -f "$MANIFESTS" --dry-run=server --wait=false
    [ "$status" -eq 0 ]
    [ "$(grep -c ' deleted (server dry run)$' <<<"$output")" = "$(manifest_kinds | wc -l)" ]
    [ "$(k get -f "$MANIFESTS" -o name | wc -l)" = "$(manifest_kinds | wc -l)" ]
}
