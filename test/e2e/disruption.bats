#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# One store is enough: what is shown does not depend on it.
#
# Budgets of disruption: what their status says, what evictions they allow, and draining nodes.

load helpers

setup_file() {
    [ "${STORE:-sqlite}" = sqlite ] || start_etcd
    start_server
    start_controllers
    start_nodes 3
    k wait node --all --for condition=Ready --timeout 30s
}
teardown_file() {
    each_of stop_nodes stop_controllers stop_server
    [ "${STORE:-sqlite}" = sqlite ] || signal_etcd KILL
}
setup() { new_namespace; }
teardown() {
    k delete namespace "$NS" --wait=false
    k get nodes -o name | xargs -r -n 1 "$KUBECTL" uncordon
}

# web REPLICAS: a Deployment whose pods are all ready.
web() {
    k -n "$NS" create deployment web --image=i --replicas="$1"
    k -n "$NS" rollout status deployment web --timeout 60s
}
# budget NAME SPEC [LABEL]: for the pods of that label, app=web by default.
budget() {
    jq -nc --arg name "$1" --argjson spec "$2" --arg app "${3:-web}" '{apiVersion: "policy/v1",
        kind: "PodDisruptionBudget", metadata: {name: $name},
        spec: ($spec + {selector: {matchLabels: {app: $app}}})}' | k -n "$NS" create -f -
}
# counts BUDGET: "allowed current/desired/expected reason"
counts() {
    k -n "$NS" get pdb "$1" -o json | jq -r '.metadata.generation as $generation | .status |
        select(.observedGeneration == $generation) |
        "\(.disruptionsAllowed) \(.currentHealthy)/\(.desiredHealthy)/\(.expectedPods) \(.conditions[0].reason)"'
}
has_counts() { [ "$(counts "$1")" = "$2" ]; }
first_pod() { k -n "$NS" get pods -l app=web -o jsonpath='{.items[0].metadata.name}'; }
# evict POD [OPTIONS] [QUERY]: the Status that answers.
evict() {
    jq -nc --arg name "$1" --argjson options "${2:-null}" '{apiVersion: "policy/v1",
        kind: "Eviction", metadata: {name: $name}, deleteOptions: $options}' |
        api POST "/api/v1/namespaces/$NS/pods/$1/eviction${3:-}" \
            -H 'Content-Type: application/json' --data-binary @-
}
is_evicted() { [ "$(evict "$1" | jq .code)" = 201 ]; }
is_gone() { ! k -n "$NS" get pod "$1" >/dev/null 2>&1; }

@test "a budget counts the pods that are there and those that owners want" {
    web 4
    budget number '{"minAvailable":3}'
    budget part '{"minAvailable":"50%"}'
    budget missing '{"maxUnavailable":"30%"}'
    wait_until 10 has_counts number "1 4/3/4 SufficientPods"
    wait_until 10 has_counts part "2 4/2/4 SufficientPods"
    wait_until 10 has_counts missing "2 4/2/4 SufficientPods"
    k -n "$NS" scale deployment web --replicas 1
    wait_until 30 has_counts number "0 1/3/1 InsufficientPods"
    wait_until 30 has_counts part "0 1/1/1 InsufficientPods"
}

@test "a budget whose pods have an owner without scale lets none go, and says why" {
    k -n "$NS" create -f - <<<'{"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"},
        "spec": {"managedBy": "example.com/other", "template": {"spec": {"restartPolicy": "Never",
        "containers": [{"name": "c", "image": "i"}]}}}}'
    local uid
    uid=$(k -n "$NS" get job j -o jsonpath='{.metadata.uid}')
    jq -nc --arg uid "$uid" '{apiVersion: "v1", kind: "Pod", metadata: {name: "p",
        labels: {app: "job"}, ownerReferences: [{apiVersion: "batch/v1", kind: "Job", name: "j",
        uid: $uid, controller: true}]}, spec: {restartPolicy: "Never",
        containers: [{name: "c", image: "i"}]}}' | k -n "$NS" create -f -
    budget b '{"maxUnavailable":1}' job
    k -n "$NS" wait pdb b --for condition=DisruptionAllowed=False --timeout 10s
    [ "$(k -n "$NS" get pdb b -o json | jq -r '.status.conditions[0] | "\(.reason): \(.message)"')" = \
        "SyncFailed: jobs.batch does not implement the scale subresource" ]
}

@test "an eviction beyond the budget is refused with 429, its cause and no time to wait for" {
    web 2
    budget b '{"minAvailable":2}'
    wait_until 10 has_counts b "0 2/2/2 InsufficientPods"
    local pod
    pod=$(first_pod)
    [ "$(evict "$pod" | jq -cS .)" = "$(jq -ncS '{kind: "Status", apiVersion: "v1", metadata: {},
        status: "Failure", reason: "TooManyRequests", code: 429,
        message: "Cannot evict pod as it would violate the pod'"'"'s disruption budget.",
        details: {causes: [{reason: "DisruptionBudget",
            message: "The disruption budget b needs 2 healthy pods and has 2 currently"}]}}')" ]
    [ -z "$(k -n "$NS" get pod "$pod" -o jsonpath='{.metadata.deletionTimestamp}')" ]
}

@test "an eviction within the budget takes from it, tells the pod why, and deletes it" {
    web 3
    budget b '{"maxUnavailable":1}'
    wait_until 10 has_counts b "1 3/2/3 SufficientPods"
    stop_controllers # What the eviction writes stands still, to be looked at.
    local pod
    pod=$(first_pod)
    k -n "$NS" patch pod "$pod" --type merge -p '{"metadata":{"finalizers":["test/stay"]}}'
    [ "$(evict "$pod" | jq -c '[.status, .code]')" = '["Success",201]' ]
    [ "$(k -n "$NS" get pdb b -o json | jq -r --arg pod "$pod" '.status |
        "\(.disruptionsAllowed) \(.conditions[0].status) \(.disruptedPods | keys[0] == $pod)"')" = \
        "0 False true" ]
    [ "$(k -n "$NS" get pod "$pod" -o json | jq -r '.status.conditions[] |
        select(.type == "DisruptionTarget") | "\(.status) \(.reason) \(.message)"')" = \
        "True EvictionByEvictionAPI Eviction API: evicting" ]
    [ -n "$(k -n "$NS" get pod "$pod" -o jsonpath='{.metadata.deletionTimestamp}')" ]
    k -n "$NS" patch pod "$pod" --type merge -p '{"metadata":{"finalizers":null}}'
    start_controllers
    wait_until 30 has_counts b "1 3/2/3 SufficientPods"
}

@test "of many evictions at once as many succeed as the budget allows" {
    web 8
    budget b '{"maxUnavailable":3}'
    wait_until 10 has_counts b "3 8/5/8 SufficientPods"
    stop_controllers
    local pod pids=()
    for pod in $(k -n "$NS" get pods -l app=web -o jsonpath='{.items[*].metadata.name}'); do
        evict "$pod" >"$BATS_TEST_TMPDIR/$pod.json" &
        pids+=($!)
    done
    wait "${pids[@]}"
    [ "$(cat "$BATS_TEST_TMPDIR"/*.json | jq -s '[.[] | select(.code == 201)] | length')" = 3 ]
    [ "$(cat "$BATS_TEST_TMPDIR"/*.json | jq -s '[.[] | select(.code == 429)] | length')" = 5 ]
    [ "$(k -n "$NS" get pdb b -o jsonpath='{.status.disruptionsAllowed}')" = 0 ]
    start_controllers
}

@test "a dry run takes nothing, but is refused as the eviction would be" {
    web 2
    budget b '{"maxUnavailable":1}'
    wait_until 10 has_counts b "1 2/1/2 SufficientPods"
    local pod
    pod=$(first_pod)
    [ "$(evict "$pod" null '?dryRun=All' | jq .code)" = 201 ]
    [ "$(evict "$pod" '{"dryRun":["All"]}' | jq .code)" = 201 ]
    has_counts b "1 2/1/2 SufficientPods"
    k -n "$NS" patch pdb b --type merge -p '{"spec":{"maxUnavailable":0}}'
    wait_until 10 has_counts b "0 2/2/2 InsufficientPods"
    [ "$(evict "$pod" null '?dryRun=All' | jq .code)" = 429 ]
}

@test "preconditions of an eviction are kept" {
    web 1
    [ "$(evict "$(first_pod)" '{"preconditions":{"uid":"other"}}' | jq -r .reason)" = Conflict ]
    [ "$(evict "$(first_pod)" '{"preconditions":{"resourceVersion":"1"}}' | jq -r .reason)" = Conflict ]
    [ "$(evict missing | jq -r .reason)" = NotFound ]
}

@test "a pod with two budgets can't be evicted" {
    web 1
    budget a '{"maxUnavailable":1}'
    budget b '{"maxUnavailable":1}'
    [ "$(evict "$(first_pod)" | jq -c '[.code, .reason, .message]')" = \
        '[500,null,"This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."]' ]
}

@test "pods that have not begun need no budget, and unready ones only if it says so" {
    needs_kubectl 1.23
    budget b '{"minAvailable":1}'
    k -n "$NS" create -f - <<<'{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pending",
        "labels": {"app": "web"}}, "spec": {"nodeSelector": {"no": "node"},
        "containers": [{"name": "c", "image": "i"}]}}'
    [ "$(evict pending | jq .code)" = 201 ]
    wait_until 10 is_gone pending
    k -n "$NS" create -f - <<<'{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "unready",
        "labels": {"app": "web"}}, "spec": {"readinessGates": [{"conditionType": "never"}],
        "containers": [{"name": "c", "image": "i"}]}}'
    k -n "$NS" wait pod unready --for jsonpath='{.status.phase}'=Running --timeout 20s
    wait_until 10 has_counts b "0 0/1/1 InsufficientPods"
    [ "$(evict unready | jq .code)" = 429 ]
    k -n "$NS" patch pdb b --type merge -p '{"spec":{"unhealthyPodEvictionPolicy":"AlwaysAllow"}}'
    wait_until 10 is_evicted unready # Once the budget's status is of its new generation.
    wait_until 20 is_gone unready
}

@test "draining a node waits for the budget, and ends" {
    needs_kubectl 1.22 # Older ones evict by policy/v1beta1.
    web 3
    budget b '{"maxUnavailable":1}'
    wait_until 10 has_counts b "1 3/2/3 SufficientPods"
    local node
    node=$(k -n "$NS" get pod "$(first_pod)" -o jsonpath='{.spec.nodeName}')
    k drain "$node" --ignore-daemonsets --delete-emptydir-data --force --timeout 90s
    [ -z "$(k -n "$NS" get pods -o json | jq -r --arg node "$node" \
        '.items[] | select(.spec.nodeName == $node) | .metadata.name')" ]
    k -n "$NS" rollout status deployment web --timeout 60s
}

@test "a drain that no budget allows does not end before it is allowed" {
    needs_kubectl 1.22
    web 1
    budget b '{"minAvailable":1}'
    wait_until 10 has_counts b "0 1/1/1 InsufficientPods"
    local pod node
    pod=$(first_pod)
    node=$(k -n "$NS" get pod "$pod" -o jsonpath='{.spec.nodeName}')
    k drain "$node" --ignore-daemonsets --force --timeout 90s >"$BATS_TEST_TMPDIR/drain" 2>&1 &
    local drain=$!
    wait_until 20 grep -q "violate the pod's disruption budget" "$BATS_TEST_TMPDIR/drain"
    [ "$(first_pod)" = "$pod" ]
    k -n "$NS" patch pdb b --type merge -p '{"spec":{"minAvailable":0}}'
    wait "$drain"
    wait_until 20 is_gone "$pod"
}
