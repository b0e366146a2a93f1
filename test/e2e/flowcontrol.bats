#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# One store is enough: what is shown does not depend on it.
#
# API Priority and Fairness: the objects that every cluster has, and a tenant that floods the server.

load helpers

LEVELS=/apis/flowcontrol.apiserver.k8s.io/v1/prioritylevelconfigurations
SCHEMAS=/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas
DUMPS=/debug/api_priority_and_fairness

setup_file() {
    # A request waits for its turn for half a second.
    export FLAGS="--max-requests-inflight=8 --max-mutating-requests-inflight=4 --request-timeout=2s --max-connections-per-client=60"
    start_server
    make_tenants
    make_large_list
}
teardown_file() { stop_server; }

# What "greedy" asks for shares one seat; one more waits.
make_tenants() {
    k create clusterrole tenants --verb="*" --resource=secrets,configmaps,services
    k create clusterrolebinding tenants --clusterrole=tenants --user=greedy --user=modest
    k apply -f - <<'YAML'
apiVersion: flowcontrol.apiserver.k8s.io/v1
kind: PriorityLevelConfiguration
metadata: {name: greedy}
spec:
  type: Limited
  limited:
    nominalConcurrencyShares: 1
    borrowingLimitPercent: 0
    limitResponse: {type: Queue, queuing: {queues: 1, handSize: 1, queueLengthLimit: 1}}
---
apiVersion: flowcontrol.apiserver.k8s.io/v1
kind: FlowSchema
metadata: {name: greedy}
spec:
  priorityLevelConfiguration: {name: greedy}
  matchingPrecedence: 700
  distinguisherMethod: {type: ByUser}
  rules:
  - subjects: [{kind: User, user: {name: greedy}}]
    resourceRules: [{verbs: ["*"], apiGroups: ["*"], resources: ["*"], clusterScope: true, namespaces: ["*"]}]
YAML
    wait_until 10 served_by_own_level greedy
}

# A list that fits no socket's buffers: who doesn't read it holds a seat.
make_large_list() {
    head -c 900000 /dev/zero | tr '\0' x >"$BATS_FILE_TMPDIR/large"
    local i
    for i in $(seq 16); do
        k create configmap "large-$i" --from-file="$BATS_FILE_TMPDIR/large" >/dev/null
    done
}

# as USER METHOD PATH [CURL ARGUMENTS…]
as() {
    local user=$1
    shift
    api "$@" -H "Impersonate-User: $user"
}

uid() {
    k get "$1" "$2" -o jsonpath='{.metadata.uid}'
}

served_by_own_level() {
    as "$1" GET /api/v1/namespaces/default/secrets -o /dev/null -D - |
        grep -qi "x-kubernetes-pf-prioritylevel-uid: $(uid prioritylevelconfiguration "$1")"
}

# metric NAME LABELS: its value.
metric() {
    api GET /metrics | grep "^apiserver_flowcontrol_$1{.*$2" | awk '{ print $NF }'
}

metric_is() {
    [ "$(metric "$1" "$2")" = "$3" ]
}

spec_is() {
    api GET "$1" | jq -e --argjson wanted "$2" '.spec == $wanted' >/dev/null
}

# hold_the_seat: a list that is not read; its process's id goes to READER.
hold_the_seat() {
    as greedy GET /api/v1/namespaces/default/configmaps --limit-rate 1 -o /dev/null 3>&- &
    READER=$!
    wait_until 10 metric_is current_executing_requests 'priority_level="greedy"' 1
}

@test "levels and schemas are there from the start, with their shares and rules" {
    output=$(k get prioritylevelconfigurations -o jsonpath='{range .items[*]}{.metadata.name} {.spec.limited.nominalConcurrencyShares} {.spec.limited.lendablePercent} {.spec.limited.limitResponse.queuing.queues}{"\n"}{end}')
    [ "$(grep -v greedy <<<"$output")" = "catch-all 5 0 
exempt   
global-default 20 50 128
leader-election 10 0 16
node-high 40 25 64
system 30 33 64
workload-high 40 50 128
workload-low 100 90 128" ]
    output=$(k get flowschemas -o jsonpath='{range .items[*]}{.metadata.name} {.spec.matchingPrecedence} {.spec.priorityLevelConfiguration.name} {.metadata.annotations.apf\.kubernetes\.io/autoupdate-spec}{"\n"}{end}')
    [ "$(grep -v greedy <<<"$output")" = "catch-all 10000 catch-all true
endpoint-controller 150 workload-high true
exempt 1 exempt true
global-default 9900 global-default true
kube-controller-manager 800 workload-high true
kube-scheduler 800 workload-high true
kube-system-service-accounts 900 workload-high true
probes 2 exempt true
service-accounts 9000 workload-low true
system-leader-election 100 leader-election true
system-node-high 400 node-high true
system-nodes 500 system true
workload-leader-election 200 leader-election true" ]
    spec_is $LEVELS/exempt '{"type": "Exempt", "exempt": {"nominalConcurrencyShares": 0, "lendablePercent": 0}}'
}

@test "a mandatory object that is changed or deleted is put right" {
    local spec
    spec=$(api GET $SCHEMAS/catch-all | jq .spec)
    k annotate --overwrite flowschema catch-all apf.kubernetes.io/autoupdate-spec=false
    wait_until 10 is_autoupdated catch-all
    k delete flowschema catch-all
    wait_until 10 spec_is $SCHEMAS/catch-all "$spec"
    k delete prioritylevelconfiguration exempt
    wait_until 10 spec_is $LEVELS/exempt '{"type": "Exempt", "exempt": {"nominalConcurrencyShares": 0, "lendablePercent": 0}}'
}

@test "a suggested object stays changed once it is said to be somebody's own" {
    k patch flowschema service-accounts --type=merge -p '{"spec": {"matchingPrecedence": 9001}}'
    wait_until 10 precedence_is service-accounts 9000
    k patch flowschema service-accounts --type=merge -p '{"metadata": {"annotations": {"apf.kubernetes.io/autoupdate-spec": "false"}}, "spec": {"matchingPrecedence": 9002}}'
    k delete flowschema catch-all # When this is back, the other has been looked at too.
    wait_until 10 precedence_is catch-all 10000
    precedence_is service-accounts 9002
}

is_autoupdated() {
    [ "$(k get flowschema "$1" -o jsonpath='{.metadata.annotations.apf\.kubernetes\.io/autoupdate-spec}')" = true ]
}

precedence_is() {
    [ "$(k get flowschema "$1" -o jsonpath='{.spec.matchingPrecedence}')" = "$2" ]
}

@test "a schema whose level is not there says so" {
    api GET $SCHEMAS/greedy | jq '.metadata = {name: "lost"} | .spec.priorityLevelConfiguration.name = "none"' |
        api POST $SCHEMAS --fail-with-body -o /dev/null -H 'Content-Type: application/json' -d @-
    wait_until 10 dangling_is True
    k get prioritylevelconfiguration greedy -o json | jq '.metadata = {name: "none"}' | k create -f -
    wait_until 10 dangling_is False
    k delete flowschema lost
    k delete prioritylevelconfiguration none
}

dangling_is() {
    [ "$(k get flowschema lost -o jsonpath='{.status.conditions[?(@.type=="Dangling")].status}')" = "$1" ]
}

@test "answers name the schema and the level" {
    output=$(as modest GET /api/v1/namespaces/default/secrets -o /dev/null -D -)
    grep -i "x-kubernetes-pf-flowschema-uid: $(uid flowschema global-default)" <<<"$output"
    grep -i "x-kubernetes-pf-prioritylevel-uid: $(uid prioritylevelconfiguration global-default)" <<<"$output"
}

@test "who finds no seat waits, then is asked to come again, while others are served" {
    local first before
    hold_the_seat
    before=$(metric rejected_requests_total 'priority_level="greedy",reason="queue-full"')
    as greedy GET /api/v1/namespaces/default/secrets -o /dev/null -w '%{http_code}' >"$BATS_TEST_TMPDIR/first" 3>&- &
    first=$!
    wait_until 10 metric_is current_inqueue_requests 'priority_level="greedy"' 1
    api GET $DUMPS/dump_requests | grep -E '^greedy, +greedy, +0, +0, +greedy,'
    output=$(as greedy GET /api/v1/namespaces/default/secrets -D -)
    grep -i 'retry-after: 1' <<<"$output"
    grep -o '{.*' <<<"$(tr -d '\n' <<<"$output")" | jq -e '.code == 429 and .reason == "TooManyRequests" and .details.retryAfterSeconds == 1'
    as modest GET /api/v1/namespaces/default/secrets --fail-with-body -o /dev/null
    k get secrets >/dev/null
    wait "$first"
    [ "$(cat "$BATS_TEST_TMPDIR/first")" = 429 ] # It has waited for its part of --request-timeout.
    [ "$(metric rejected_requests_total 'priority_level="greedy",reason="queue-full"')" -gt "${before:-0}" ]
    [ "$(metric rejected_requests_total 'priority_level="greedy",reason="time-out"')" -ge 1 ]
    kill "$(pgrep -P "$READER")"
    wait_until 10 metric_is current_executing_requests 'priority_level="greedy"' 0
    as greedy GET /api/v1/namespaces/default/secrets --fail-with-body -o /dev/null
}

@test "a flood of writes is bounded and nobody else notices" {
    local i
    as greedy POST "/api/v1/namespaces/default/secrets?n=[1-400]" -Z --parallel-max 24 --parallel-immediate \
        -H 'Content-Type: application/json' -d '{"metadata": {"generateName": "flood-"}}' \
        -w '%{http_code}\n' -o /dev/null >"$BATS_TEST_TMPDIR/flood" 3>&- &
    for i in $(seq 10); do
        as modest GET /api/v1/namespaces/default/services --fail-with-body -o /dev/null
    done
    wait $!
    grep -q 201 "$BATS_TEST_TMPDIR/flood"
    [ "$(grep -cE '^(201|429)$' "$BATS_TEST_TMPDIR/flood")" = 400 ]
    [ "$(metric current_executing_requests 'priority_level="greedy"')" = 0 ]
}

# idle_clients FIFO: as many connections that say nothing as one address may have, until the fifo's
# other end is closed.
idle_clients() {
    local i connection
    for ((i = 0; i < 60; i++)); do exec {connection}<>"/dev/tcp/127.0.0.1/$PORT"; done
    cat "$1"
}

is_refused() {
    ! api GET /readyz -o /dev/null 2>/dev/null
}

@test "a client with too many connections is refused more, and another is served" {
    local fifo=$BATS_TEST_TMPDIR/fifo client end
    mkfifo "$fifo"
    idle_clients "$fifo" 3>&- &
    client=$!
    exec {end}>"$fifo" # Waits until all are open.
    wait_until 10 is_refused
    [ "$(api GET /readyz --interface 127.0.0.2)" = ok ]
    wait_until 10 grep -q "refusing connections: 127.0.0.1 has 60 of at most 60" "$BATS_FILE_TMPDIR/log"
    exec {end}>&-
    wait "$client"
    wait_until 10 is_ready
}

@test "seats, queues and levels can be looked at" {
    metric_is nominal_limit_seats 'priority_level="greedy"' 1
    metric_is upper_limit_seats 'priority_level="greedy"' 1
    [ "$(metric dispatched_requests_total 'priority_level="greedy"')" -gt 1 ]
    api GET $DUMPS/dump_priority_levels | grep -E '^greedy, +0, +true, +false, +0, +0, +[1-9]'
    api GET $DUMPS/dump_queues | grep -E '^greedy, +0, +0, +0, +0, '
    [ "$(as modest GET $DUMPS/dump_queues -o /dev/null -w '%{http_code}')" = 403 ]
}
