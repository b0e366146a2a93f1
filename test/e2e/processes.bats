#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What every process that lives off the API does: flags, identity, leadership, health, and the
# example of common/README.md.

load helpers

setup_file() { start_server; }
teardown_file() { stop_server; }
setup() { new_namespace; }
teardown() {
    for pid in ${PIDS:-}; do
        kill -CONT "$pid" 2>/dev/null || true
        kill -KILL "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
}

# manager LOG [FLAGS…]: a controller manager that seeks leadership, with short times; sets PID.
manager() {
    local log=$BATS_TEST_TMPDIR/$1
    shift
    "$BIN/coracle-controller-manager" --kubeconfig "$DATA/pki/controllers.kubeconfig" \
        --use-service-account-credentials --healthz-bind-address 127.0.0.1:0 --leader-elect-lease-duration 6s \
        --leader-elect-renew-deadline 5s --leader-elect-retry-period 500ms "$@" \
        >"$log" 2>&1 3>&- 4>&- &
    PID=$!
    PIDS="${PIDS:-} $PID"
}

leads() {
    grep -q "controllers work" "$BATS_TEST_TMPDIR/$1"
}

holder() {
    k -n kube-system get lease kube-controller-manager -o jsonpath='{.spec.holderIdentity}'
}

pod_count() {
    k -n "$NS" get pods --no-headers 2>/dev/null | wc -l
}

has_pods() {
    [ "$(pod_count)" -eq "$1" ]
}

replicaset() {
    k apply -f - <<YAML
apiVersion: apps/v1
kind: ReplicaSet
metadata: {name: web, namespace: $NS}
spec:
  replicas: $1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, image: nginx}]}
YAML
}

@test "of two processes one works, and the other takes over when it ends" {
    manager first
    first=$PID
    wait_until 10 leads first
    manager second
    wait_until 10 grep -q "waiting for lease" "$BATS_TEST_TMPDIR/second"
    before=$(holder)
    replicaset 2
    wait_until 10 has_pods 2
    not leads second
    kill -TERM "$first"
    wait_until 10 gone "$first"
    wait_until 20 leads second
    [ "$(holder)" != "$before" ]
    replicaset 4
    wait_until 10 has_pods 4
}

@test "a leader that was frozen does nothing when it thaws, and ends" {
    manager first
    first=$PID
    wait_until 30 leads first
    manager second
    api GET "/api/v1/namespaces/$NS/pods?watch=true" -N >"$BATS_TEST_TMPDIR/watch" 3>&- 4>&- &
    PIDS="$PIDS $!"
    replicaset 3
    wait_until 30 has_pods 3
    kill -STOP "$first"
    wait_until 30 leads second
    replicaset 6
    wait_until 30 has_pods 6
    replicaset 5
    wait_until 30 has_pods 5
    kill -CONT "$first"
    wait_until 30 gone "$first"
    grep -q "leadership is lost" "$BATS_TEST_TMPDIR/first"
    has_pods 5
    # Nothing was done twice: so many pods came, and one went.
    [ "$(grep -c '^{"type":"ADDED"' "$BATS_TEST_TMPDIR/watch")" -eq 6 ]
    [ "$(grep -c '^{"type":"DELETED"' "$BATS_TEST_TMPDIR/watch")" -eq 1 ]
}

@test "a leader that is killed is replaced after its lease" {
    manager first
    wait_until 30 leads first
    kill -KILL "$PID"
    manager second
    wait_until 30 leads second
}

@test "health and metrics are served" {
    port=$(free_port)
    manager only --healthz-bind-address "127.0.0.1:$port" --leader-elect=false
    wait_until 10 leads only
    [ "$(curl -s "http://127.0.0.1:$port/healthz")" = ok ]
    [ "$(curl -s "http://127.0.0.1:$port/readyz")" = ok ]
    replicaset 1
    wait_until 10 has_pods 1
    metrics=$(curl -s "http://127.0.0.1:$port/metrics")
    grep -q '^workqueue_depth{name="replicaset-controller"} 0' <<<"$metrics"
    grep -Eq '^controller_sync_total\{name="replicaset-controller"\} [1-9]' <<<"$metrics"
    grep -Eq '^rest_client_requests_total\{code="201",host="127.0.0.1:[0-9]+",method="POST"\} [1-9]' <<<"$metrics"
    [ "$(curl -s -o /dev/null -w '%{http_code}' "http://127.0.0.1:$port/nowhere")" = 404 ]
    [ "$(curl -s -o /dev/null -w '%{http_code}' -X POST "http://127.0.0.1:$port/healthz")" = 405 ]
}

@test "controllers are chosen by name" {
    manager some --controllers=-replicaset-controller,* --leader-elect=false
    wait_until 10 leads some
    replicaset 1
    manager other --controllers=replicaset --leader-elect=false
    wait_until 10 has_pods 1
    run "$BIN/coracle-controller-manager" --controllers=nonsense
    [ "$status" -eq 2 ]
    [[ "$output" == *'"nonsense" is not in the list of known controllers'* ]]
}

@test "what can't work ends with one sentence" {
    for program in controller-manager scheduler node; do
        run "$BIN/coracle-$program" --kubeconfig /nowhere
        [ "$status" -eq 1 ]
        [ "$output" = "coracle-$program: /nowhere: No such file or directory" ]
        run "$BIN/coracle-$program"
        [ "$status" -eq 1 ]
        [[ "$output" == *"no --kubeconfig is given, and this is no pod of a cluster"* ]]
        run "$BIN/coracle-$program" --kubeconfig "$DATA/pki/admin.kubeconfig" --healthz-bind-address nonsense
        [ "$status" -eq 1 ]
        [[ "$output" == *'"nonsense" is no address with a port'* ]]
        run "$BIN/coracle-$program" --nonsense
        [ "$status" -eq 2 ]
        run "$BIN/coracle-$program" --version
        [ "$status" -eq 0 ]
        [[ "$output" == "coracle-$program v1.34.0+coracle"* ]]
    done
    run "$BIN/coracle-scheduler" --kubeconfig "$DATA/pki/admin.kubeconfig" --leader-elect-renew-deadline 20s
    [ "$status" -eq 1 ]
    [[ "$output" == *"--leader-elect-lease-duration must be greater"* ]]
}

@test "a process waits for a server that is not there yet, and can be stopped meanwhile" {
    sed 's/server: .*/server: https:\/\/127.0.0.1:1/' "$DATA/pki/admin.kubeconfig" >"$BATS_TEST_TMPDIR/lost"
    for program in "controller-manager --leader-elect=false --verbose" "scheduler --leader-elect=false" node; do
        "$BIN"/coracle-$program --kubeconfig "$BATS_TEST_TMPDIR/lost" --healthz-bind-address 127.0.0.1:0 \
            >"$BATS_TEST_TMPDIR/log" 2>&1 3>&- 4>&- &
        pid=$!
        wait_until 10 grep -q "Failed to connect" "$BATS_TEST_TMPDIR/log"
        kill -TERM "$pid"
        wait_until 10 gone "$pid"
        wait "$pid"
    done
}

counts_pods() {
    [ "$(k get namespace "$NS" -o jsonpath='{.metadata.annotations.example/pods}')" = "$1" ]
}

@test "the example of the documentation works" {
    make -s example
    build/plain/example --kubeconfig "$DATA/pki/admin.kubeconfig" >"$BATS_TEST_TMPDIR/example" 2>&1 3>&- 4>&- &
    pid=$!
    PIDS=$pid
    wait_until 20 counts_pods 0
    for name in a b; do
        k -n "$NS" run "$name" --image=nginx
    done
    wait_until 10 counts_pods 2
    k -n "$NS" delete pod a --force --grace-period=0
    wait_until 10 counts_pods 1
    k describe namespace "$NS" >/dev/null
    wait_until 10 grep -q "The namespace has 2 pods" <(k get events -n default -o custom-columns=M:.message)
    kill -TERM "$pid"
    wait_until 10 gone "$pid"
}
