#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# StatefulSets and DaemonSets whose controllers are killed at random moments of rollouts: no ordinal is
# ever there twice, no node has two pods, and never is more missing than may be. ROUNDS says how often
# they are killed.

load helpers

ROUNDS=${ROUNDS:-10}

setup_file() { start_server && start_nodes 3; }
teardown_file() { each_of stop_nodes stop_server; }
setup() { new_namespace && k config set-context --current --namespace "$NS" >/dev/null; }

# declare_sets IMAGE REPLICAS
declare_sets() {
    local template
    template='"metadata": {"labels": {"app": "NAME"}, "annotations": {"simulate.coracle.io/c": "ready=20ms stop=20ms"}},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": [{"name": "c", "image": "'$1'"}]}'
    k apply -f - >/dev/null <<JSON
{"apiVersion": "v1", "kind": "List", "items": [
  {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "web"}, "spec": {"replicas": $2, "serviceName": "web",
    "selector": {"matchLabels": {"app": "web"}}, "template": {${template/NAME/web}}}},
  {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "all"}, "spec": {"replicas": $2, "serviceName": "all",
    "podManagementPolicy": "Parallel", "selector": {"matchLabels": {"app": "all"}}, "template": {${template/NAME/all}}}},
  {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "agent"}, "spec": {
    "selector": {"matchLabels": {"app": "agent"}}, "template": {${template/NAME/agent}}}}]}
JSON
}

kill_controllers() {
    kill -KILL "$(cat "$BATS_FILE_TMPDIR/controller-manager.pid")"
    not grep -E "Sanitizer|runtime error" "$BATS_FILE_TMPDIR/controller-manager.log"
}

# are_as_declared IMAGE REPLICAS
are_as_declared() {
    k get pods,statefulsets,daemonsets -o json | jq -e --arg image "$1" --argjson replicas "$2" '
        [.items[] | select(.kind == "Pod")] as $pods
        | ($pods | map(.metadata.labels.app) | group_by(.) | map("\(.[0]) \(length)")) == ["agent 3", "all \($replicas)", "web \($replicas)"]
        and all($pods[]; .spec.containers[0].image == $image and .metadata.deletionTimestamp == null
            and any(.status.conditions[]?; .type == "Ready" and .status == "True"))
        and all(.items[] | select(.kind == "StatefulSet") | .status; .currentRevision == .updateRevision
            and .readyReplicas == $replicas and .updatedReplicas == $replicas)
        and all(.items[] | select(.kind == "DaemonSet") | .status; .numberAvailable == 3 and .updatedNumberScheduled == 3)' >/dev/null
}

show_state() {
    k get statefulsets,daemonsets,pods -o wide >&2 || true
    tail -n 40 "$BATS_FILE_TMPDIR/controller-manager.log" >&2
    return 1
}

# What the watched events of pods say against a rule; nothing if it was kept. 'pods' are those that
# there are when an event comes, 'full' that all nodes have had a pod that was ready.
faults() {
    jq -nc '
        def is_ready: . != null and .metadata.deletionTimestamp == null and any(.status.conditions[]?; .type == "Ready" and .status == "True");
        def goes: .metadata.deletionTimestamp != null;
        def ordinal: .metadata.name | capture("-(?<n>[0-9]+)$").n | tonumber;
        def node: .spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchFields[0].values[0];
        def of($app): [.pods[] | select(.metadata.labels.app == $app)];
        def say($what): .faults += [$what];
        reduce inputs as $event ({pods: {}, full: false, faults: []};
            $event.object as $pod | $pod.metadata.name as $name | $pod.metadata.labels.app as $app | .pods[$name] as $before
            | if $event.type == "ADDED" and $before != null then say("\($name) is there twice") else . end
            | if $event.type == "ADDED" and $app == "web" and
                (. as $s | [range(0; $pod | ordinal) | $s.pods["web-\(.)"] | is_ready] | all | not)
              then say("\($name) came too early") else . end
            | if $app == "web" and $before != null and ($before | goes | not) and ($event.type == "DELETED" or ($pod | goes)) and
                ([of("web")[] | is_ready] | all | not)
              then say("\($name) went too early") else . end
            | if $event.type == "DELETED" then del(.pods[$name]) else .pods[$name] = $pod end
            | if $app == "agent" and ([of("agent")[] | select(goes | not) | node] | group_by(.) | any(length > 1))
              then say("\($pod | node) has two pods") else . end
            | .full = (.full or ([of("agent")[] | select(is_ready)] | length == 3))
            | if $app == "agent" and .full and ([of("agent")[] | select(is_ready)] | length < 2)
              then say("two nodes miss their pods") else . end)
        | .faults[]' "$1"
}

@test "controllers killed at random make nothing twice and take no more than they may" {
    local watched=$BATS_TEST_TMPDIR/watched watch
    api GET "/api/v1/namespaces/$NS/pods?watch=true" -N >"$watched" 3>&- &
    watch=$!
    for ((round = 1; round <= ROUNDS; round++)); do
        declare_sets "image:$((round / 3))" $((3 + round % 2))
        start_controllers
        sleep "0.$((RANDOM % 10))" # A random moment of the work, not a wait for anything.
        kill_controllers
    done
    start_controllers
    declare_sets image:last 3
    wait_until 60 are_as_declared image:last 3 || show_state
    kill "$watch"
    [ "$(jq -s length "$watched")" -gt 100 ]
    run faults "$watched"
    echo "$output"
    [ -z "$output" ] && [ "$status" -eq 0 ]
    stop_controllers
}

# event TYPE NAME APP [NODE [READY [DELETION]]]
event() {
    jq -nc --arg type "$1" --arg name "$2" --arg app "$3" --arg node "${4-}" --arg ready "${5-True}" --arg deletion "${6-}" '
        {type: $type, object: {metadata: ({name: $name, labels: {app: $app}} + if $deletion == "" then {} else {deletionTimestamp: $deletion} end),
            spec: {affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchFields: [{values: [$node]}]}]}}}},
            status: {conditions: [{type: "Ready", status: $ready}]}}}'
}

finds() {
    faults "$BATS_TEST_TMPDIR/events" | grep -qx "\"$1\""
}

@test "what would be against the rules is found" {
    { event ADDED all-1 all; event ADDED all-1 all; } >"$BATS_TEST_TMPDIR/events"
    finds "all-1 is there twice"
    { event ADDED web-0 web "" False; event ADDED web-1 web; } >"$BATS_TEST_TMPDIR/events"
    finds "web-1 came too early"
    { event ADDED web-0 web; event MODIFIED web-0 web "" False; event ADDED web-1 web; event DELETED web-1 web; } >"$BATS_TEST_TMPDIR/events"
    finds "web-1 went too early"
    { event ADDED agent-a agent n1; event ADDED agent-b agent n1; } >"$BATS_TEST_TMPDIR/events"
    finds "n1 has two pods"
    { for n in 1 2 3; do event ADDED "agent-$n" agent "n$n"; done; for n in 1 2; do event MODIFIED "agent-$n" agent "n$n" True now; done; } >"$BATS_TEST_TMPDIR/events"
    finds "two nodes miss their pods"
    { event ADDED web-0 web; event ADDED web-1 web; event MODIFIED web-1 web "" True now; event DELETED web-1 web; event ADDED web-1 web; } >"$BATS_TEST_TMPDIR/events"
    [ -z "$(faults "$BATS_TEST_TMPDIR/events")" ]
}
