#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# One store is enough: what is shown does not depend on it.
#
# Where pods are put, and what people are told when there is no place for them. Most nodes here are
# Node objects alone, without anybody who plays them.

load helpers

setup_file() {
    [ "${STORE:-sqlite}" = sqlite ] || start_etcd
    start_server
    scheduler
}
teardown_file() {
    stop_process scheduler
    stop_server
    [ "${STORE:-sqlite}" = sqlite ] || signal_etcd KILL
}
setup() {
    new_namespace
    k config set-context --current --namespace="$NS" >/dev/null
}
teardown() {
    api DELETE "/api/v1/namespaces/$NS/pods?gracePeriodSeconds=0" >/dev/null
    api DELETE /api/v1/nodes >/dev/null
}

# scheduler [FLAGS…]: starts it.
scheduler() { start_process scheduler "schedules pods" --leader-elect=false "$@"; }
# node NAME [ALLOCATABLE [LABELS [TAINTS]]]: ready for pods; by default with 4 CPUs.
node() {
    jq -nc --arg name "$1" --argjson more "${2:-{\}}" --argjson labels "${3:-{\}}" '{apiVersion: "v1",
        kind: "Node", metadata: {name: $name, labels: ($labels + {"kubernetes.io/hostname": $name})},
        status: {allocatable: ({cpu: "4", memory: "8Gi", pods: "110"} + $more)}}' |
        create_at /api/v1/nodes
    api PATCH "/api/v1/nodes/$1" --fail -o /dev/null -H 'Content-Type: application/merge-patch+json' \
        -d "{\"spec\":{\"taints\":${4:-[]}}}"
}
# pod NAME [SPEC]: asks for nothing unless the members of the spec say otherwise.
pod() { pod_json "$@" | create_at "/api/v1/namespaces/$NS/pods"; }
pod_json() {
    jq -nc --arg name "$1" --argjson spec "${2:-{\}}" '{apiVersion: "v1", kind: "Pod",
        metadata: {name: $name}, spec: ({containers: [{name: "c", image: "i"}]} + $spec)}'
}
# asking CPU [MORE]: the spec of a pod that asks for so much.
asking() {
    jq -nc --arg cpu "$1" --argjson more "${2:-{\}}" '{containers: [{name: "c", image: "i",
        resources: {requests: {cpu: $cpu}}}]} + $more'
}
node_of() { api GET "/api/v1/namespaces/$NS/pods/$1" | jq -r '.spec.nodeName // empty'; }
is_on() { [ "$(node_of "$1")" = "$2" ]; }
has_node() { [ -n "$(node_of "$1")" ]; }
# condition POD FIELD: of its PodScheduled.
condition() {
    api GET "/api/v1/namespaces/$NS/pods/$1" |
        jq -r --arg field "$2" '.status.conditions[]? | select(.type == "PodScheduled")[$field] // empty'
}
# says POD TEXT: what its condition says before it comes to preemption, of which preemption.bats tells.
says() {
    local message
    message=$(condition "$1" message)
    [ "${message%% no new claims to deallocate, preemption:*}" = "$2" ]
}
# told POD TEXT: an event of failure says so.
told() {
    api GET "/api/v1/namespaces/$NS/events?fieldSelector=involvedObject.name%3D$1,reason%3DFailedScheduling" |
        jq -e --arg text "$2" 'any(.items[]; .message | startswith($text))' >/dev/null
}
# refused POD TEXT: condition and event say that it has no place.
refused() {
    wait_until 20 says "$1" "$2" && wait_until 20 told "$1" "$2" &&
        [ "$(condition "$1" status),$(condition "$1" reason)" = False,Unschedulable ]
}

@test "pods are spread over simulated nodes and run there" {
    start_controllers # They take the taint off nodes that are ready.
    start_process node plays --simulate 3
    for i in 1 2 3 4 5 6 7 8 9; do pod_json "p$i" "$(asking 1)"; done | k create -f - >/dev/null
    k wait pod --all --for=condition=Ready --timeout=30s >/dev/null
    [ "$(k get pods -o json | jq -c '[.items[].spec.nodeName] | group_by(.) | map(length)')" = '[3,3,3]' ]
    stop_process node
    stop_controllers
}

@test "what became of a pod is told by its condition and an event" {
    node n
    pod p
    wait_until 20 is_on p n
    [ "$(condition p status)" = True ]
    scheduled() {
        [ "$(k get events --field-selector involvedObject.name=p,reason=Scheduled \
            -o jsonpath='{.items[*].message},{.items[*].source.component}')" = \
            "Successfully assigned $NS/p to n,default-scheduler" ]
    }
    wait_until 20 scheduled
}

@test "without nodes a pod waits for the first" {
    pod p
    refused p "no nodes available to schedule pods"
    node n
    wait_until 20 is_on p n
}

@test "node selectors and required affinity" {
    node a '{}' '{"disk":"hdd","rank":"1"}'
    node b '{}' '{"disk":"ssd","rank":"7"}'
    pod selects '{"nodeSelector":{"disk":"ssd"}}'
    pod affine '{"affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":
        {"nodeSelectorTerms":[{"matchExpressions":[{"key":"rank","operator":"Gt","values":["5"]}]}]}}}}'
    pod named '{"affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":
        {"nodeSelectorTerms":[{"matchFields":[{"key":"metadata.name","operator":"In","values":["a"]}]}]}}}}'
    pod nowhere '{"nodeSelector":{"disk":"tape"}}'
    wait_until 20 is_on selects b
    wait_until 20 is_on affine b
    wait_until 20 is_on named a
    refused nowhere "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector."
    k label node a disk=tape --overwrite >/dev/null
    wait_until 20 is_on nowhere a
}

@test "preferred affinity decides among nodes that are alike" {
    node a
    node b '{}' '{"disk":"ssd"}'
    node c
    for i in 1 2 3; do
        pod "p$i" '{"affinity":{"nodeAffinity":{"preferredDuringSchedulingIgnoredDuringExecution":
            [{"weight":100,"preference":{"matchExpressions":[{"key":"disk","operator":"In","values":["ssd"]}]}}]}}}'
        wait_until 20 is_on "p$i" b
    done
}

@test "a node that has the image already is preferred" {
    node a
    node b
    patch_status /api/v1/nodes/b '{"status": {"images": [{"names": ["example.com/large:1"], "sizeBytes": 900000000}]}}'
    for i in 1 2 3; do
        pod "large-$i" '{"containers": [{"name": "c", "image": "example.com/large:1"}]}'
        wait_until 20 is_on "large-$i" b
    done
}

@test "taints keep away who does not tolerate them" {
    node a '{}' '{}' '[{"key":"use","value":"gpu","effect":"NoSchedule"}]'
    node b '{}' '{}' '[{"key":"bad","effect":"NoExecute"}]'
    pod tolerant '{"tolerations":[{"key":"use","value":"gpu","effect":"NoSchedule"}]}'
    pod plain
    wait_until 20 is_on tolerant a
    refused plain "0/2 nodes are available: 1 node(s) had untolerated taint {bad: }, 1 node(s) had untolerated taint {use: gpu}."
    k taint node b bad:NoExecute- >/dev/null
    wait_until 20 is_on plain b
}

@test "a taint that prefers no pods is avoided while there is another node" {
    node a '{}' '{}' '[{"key":"k","effect":"PreferNoSchedule"}]'
    node b
    pod p
    wait_until 20 is_on p b
    k delete node b >/dev/null
    pod q
    wait_until 20 is_on q a
}

@test "a cordoned node gets no pods until it is uncordoned" {
    node n
    k cordon n >/dev/null
    pod p
    refused p "0/1 nodes are available: 1 node(s) were unschedulable."
    k uncordon n >/dev/null
    wait_until 20 is_on p n
}

@test "resources: who asks for more than is left waits until a pod leaves" {
    node n '{"cpu":"2"}'
    pod first "$(asking 1500m)"
    wait_until 20 is_on first n
    pod second "$(asking 1)"
    refused second "0/1 nodes are available: 1 Insufficient cpu."
    local since
    since=$(condition second lastTransitionTime)
    [ -n "$since" ]
    # A node where it can't fit is no reason to try again, but a change of its own is.
    node small '{"cpu":"100m","memory":"1k","pods":"0"}'
    k patch pod second --type json \
        -p '[{"op":"add","path":"/spec/tolerations/-","value":{"key":"k","operator":"Exists"}}]' >/dev/null
    refused second "0/2 nodes are available: 1 Too many pods, 2 Insufficient cpu."
    [ "$(condition second lastTransitionTime)" = "$since" ]
    k delete pod first --force --grace-period 0 >/dev/null 2>&1
    wait_until 20 is_on second n
}

@test "a pod that has ended makes room" {
    node n '{"pods":"1"}'
    pod first
    wait_until 20 is_on first n
    pod second
    refused second "0/1 nodes are available: 1 Too many pods."
    patch_status "/api/v1/namespaces/$NS/pods/first" '{"status":{"phase":"Succeeded"}}'
    wait_until 20 is_on second n
}

@test "extended resources" {
    node n '{"example.com/gpu":"2"}'
    local gpus='{"containers":[{"name":"c","image":"i","resources":{"limits":{"example.com/gpu":"1"}}}]}'
    pod a "$gpus"
    pod b "$gpus"
    wait_until 20 is_on a n
    wait_until 20 is_on b n
    pod c "$gpus"
    refused c "0/1 nodes are available: 1 Insufficient example.com/gpu."
    patch_status /api/v1/nodes/n '{"status":{"allocatable":{"example.com/gpu":"3"}}}'
    wait_until 20 is_on c n
}

# spread ACTION [MORE]: the spec of a pod that is to be spread over zones, among those of app=web.
spread() {
    jq -nc --arg action "$1" --argjson more "${2:-{\}}" '{topologySpreadConstraints: [{maxSkew: 1,
        topologyKey: "topology.kubernetes.io/zone", whenUnsatisfiable: $action,
        labelSelector: {matchLabels: {app: "web"}}} + $more]}'
}
# web NAME SPEC: a pod with the label app=web.
web() { pod_json "$@" | jq -c '.metadata.labels = {app: "web"}' | k create -f - >/dev/null; }
in_zone() { node "$1" "${3:-{\}}" "{\"topology.kubernetes.io/zone\":\"$2\"}"; }

@test "required spreading fills zones evenly, and waits when it cannot" {
    in_zone a1 a
    in_zone b1 b '{"pods":"2"}'
    in_zone b2 b
    k cordon b2 >/dev/null
    node bare
    for i in 1 2 3 4; do
        web "p$i" "$(spread DoNotSchedule)"
        wait_until 20 has_node "p$i"
    done
    [ "$(k get pods -o json | jq -c '[.items[].spec.nodeName] | sort')" = '["a1","a1","b1","b1"]' ]
    web p5 "$(spread DoNotSchedule)"
    wait_until 20 is_on p5 a1
    web p6 "$(spread DoNotSchedule)"
    refused p6 "0/4 nodes are available: 1 Too many pods, 1 node(s) didn't match pod topology spread constraints, 1 node(s) didn't match pod topology spread constraints (missing required label), 1 node(s) were unschedulable."
    # One more of the group in zone b, where p6 itself has no place, evens it out.
    web other '{"schedulerName":"other"}'
    api POST "/api/v1/namespaces/$NS/pods/other/binding" -H 'Content-Type: application/json' -d \
        '{"apiVersion":"v1","kind":"Binding","metadata":{"name":"other"},"target":{"kind":"Node","name":"b2"}}' >/dev/null
    wait_until 20 is_on p6 a1
    # A zone is missing of those that are wanted, until its first node comes.
    web p7 "$(spread DoNotSchedule '{"minDomains":3}')"
    refused p7 "0/4 nodes are available: 1 Too many pods, 1 node(s) didn't match pod topology spread constraints, 1 node(s) didn't match pod topology spread constraints (missing required label), 1 node(s) were unschedulable."
    in_zone c1 c
    wait_until 20 is_on p7 c1
}

@test "preferred spreading evens out zones, but never refuses" {
    in_zone a1 a
    web first "$(spread ScheduleAnyway)"
    web second "$(spread ScheduleAnyway)"
    wait_until 20 is_on first a1
    wait_until 20 is_on second a1
    in_zone b1 b
    pod heavy "$(asking 2 '{"nodeName":"b1"}')"
    wait_until 20 is_on heavy b1
    web third "$(spread ScheduleAnyway)"
    wait_until 20 is_on third b1
}

@test "host ports are given once a node and address" {
    node n
    port() { echo "{\"containers\":[{\"name\":\"c\",\"image\":\"i\",\"ports\":[{\"containerPort\":80,\"hostPort\":$1${2:-}}]}]}"; }
    pod a "$(port 8080)"
    wait_until 20 is_on a n
    pod other "$(port 8081)"
    pod udp "$(port 8080 ',"protocol":"UDP"')"
    wait_until 20 is_on other n
    wait_until 20 is_on udp n
    pod same "$(port 8080 ',"hostIP":"10.0.0.1"')"
    refused same "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports."
    k delete pod a --force --grace-period 0 >/dev/null 2>&1
    wait_until 20 is_on same n
}

@test "the more important pod goes first" {
    k create priorityclass "high-$NS" --value=1000 >/dev/null
    pod low "$(asking 3)"
    refused low "no nodes available to schedule pods"
    pod high "$(asking 3 "{\"priorityClassName\":\"high-$NS\"}")"
    refused high "no nodes available to schedule pods"
    node n
    wait_until 20 is_on high n
    refused low "0/1 nodes are available: 1 Insufficient cpu."
    k delete priorityclass "high-$NS" >/dev/null
}

@test "pods of another scheduler are left alone, but what they take up counts" {
    node n '{"cpu":"2"}'
    pod theirs "$(asking 2 '{"schedulerName":"other"}')"
    pod ours "$(asking 100m)"
    wait_until 20 is_on ours n
    not has_node theirs
    [ -z "$(condition theirs status)" ]
    k delete pod ours --force --grace-period 0 >/dev/null 2>&1
    api POST "/api/v1/namespaces/$NS/pods/theirs/binding" -H 'Content-Type: application/json' -d \
        '{"apiVersion":"v1","kind":"Binding","metadata":{"name":"theirs"},"target":{"kind":"Node","name":"n"}}' >/dev/null
    pod later "$(asking 100m)"
    refused later "0/1 nodes are available: 1 Insufficient cpu."
}

@test "a gated pod waits until its gates are gone" {
    node n
    pod p '{"schedulingGates":[{"name":"example.com/a"},{"name":"example.com/b"}]}'
    pod after
    wait_until 20 is_on after n
    [ "$(condition p reason)" = SchedulingGated ]
    k patch pod p --type json -p '[{"op":"remove","path":"/spec/schedulingGates/0"}]' >/dev/null
    pod later
    wait_until 20 is_on later n
    not has_node p
    k patch pod p --type json -p '[{"op":"remove","path":"/spec/schedulingGates"}]' >/dev/null
    wait_until 20 is_on p n
}

# apart APP: the spec of a pod that keeps away from pods of the app. near APP: that stands beside one.
apart() { beside podAntiAffinity "$1"; }
near() { beside podAffinity "$1"; }
beside() {
    jq -nc --arg kind "$1" --arg app "$2" '{affinity: {($kind): {
        requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: "kubernetes.io/hostname",
        namespaceSelector: {matchLabels: {team: "x"}}, labelSelector: {matchLabels: {app: $app}}}]}}}'
}
labelled() { pod_json "$1" "${3:-{\}}" | jq -c --arg app "$2" '.metadata.labels = {app: $app}' | k create -f - >/dev/null; }

@test "pods stand beside those that they need, and apart from those that they don't" {
    node a
    node b
    k label namespace "$NS" team=x >/dev/null
    labelled first web "$(near db)"
    refused first "0/2 nodes are available: 2 node(s) didn't match pod affinity rules."
    labelled db db "$(apart db)"
    wait_until 20 has_node db
    wait_until 20 is_on first "$(node_of db)"
    labelled other db "$(apart db)"
    wait_until 20 has_node other
    [ "$(node_of db)" != "$(node_of other)" ]
    labelled third db
    refused third "0/2 nodes are available: 2 node(s) didn't satisfy existing pods anti-affinity rules."
    labelled fourth x "$(apart db)"
    refused fourth "0/2 nodes are available: 2 node(s) didn't match pod anti-affinity rules."
    k label namespace "$NS" team=y --overwrite >/dev/null # Nobody means these pods any more.
    wait_until 20 has_node third
    wait_until 20 has_node fourth
}

@test "a configuration has profiles, and what is wrong in it is told" {
    local pid config=$BATS_TEST_TMPDIR/config.yaml
    node a
    node b
    cat >"$config" <<'YAML'
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
leaderElection: {leaderElect: false}
profiles:
- schedulerName: packs
  plugins: {score: {disabled: [{name: "*"}], enabled: [{name: NodeResourcesFit}]}}
  pluginConfig:
  - {name: NodeResourcesFit, args: {scoringStrategy: {type: MostAllocated}}}
- schedulerName: levels
  plugins: {score: {disabled: [{name: "*"}], enabled: [{name: NodeResourcesFit}]}}
  pluginConfig:
  - name: NodeResourcesFit
    args: {scoringStrategy: {type: RequestedToCapacityRatio, requestedToCapacityRatio: {shape: [
      {utilization: 0, score: 10}, {utilization: 100, score: 0}]}}}
- schedulerName: elsewhere
  pluginConfig:
  - name: NodeAffinity
    args: {addedAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [
      {matchExpressions: [{key: use, operator: Exists}]}]}}}
YAML
    "$BIN/coracle-scheduler" --kubeconfig "$DATA/pki/scheduler.kubeconfig" --config "$config" \
        --healthz-bind-address "" >"$BATS_TEST_TMPDIR/log" 2>&1 3>&- 4>&- &
    pid=$!
    for i in 1 2 3 4; do pod "p$i" "$(asking 1 '{"schedulerName":"packs"}')" && wait_until 20 has_node "p$i"; done
    [ "$(k get pods -o json | jq '[.items[].spec.nodeName] | unique | length')" = 1 ]
    for i in 1 2; do pod "r$i" "$(asking 1 '{"schedulerName":"levels"}')" && wait_until 20 has_node "r$i"; done
    [ "$(k get pods r1 r2 -o json | jq '[.items[].spec.nodeName] | unique | length')" = 1 ] # The emptier one.
    not is_on r1 "$(node_of p1)"
    pod q '{"schedulerName":"elsewhere"}'
    refused q "0/2 nodes are available: 2 node(s) didn't match scheduler-enforced node affinity."
    k label node b use=web >/dev/null
    wait_until 20 is_on q b
    kill "$pid"
    wait_until 20 gone "$pid"
    not grep -E "ERROR: |runtime error" "$BATS_TEST_TMPDIR/log"
    sed -i 's/type: Most/type: More/' "$config"
    run "$BIN/coracle-scheduler" --config "$config"
    [ "$status" = 2 ]
    [[ $output == *'profiles[0].pluginConfig[0].args.scoringStrategy.type: Unsupported value: "MoreAllocated"'* ]]
}

@test "a scheduler of another name places its own pods, and tells what it does in metrics" {
    local port pid
    port=$(free_port)
    node n '{"cpu":"2"}'
    "$BIN/coracle-scheduler" --kubeconfig "$DATA/pki/scheduler.kubeconfig" --leader-elect=false \
        --scheduler-name second --healthz-bind-address "127.0.0.1:$port" \
        >"$BATS_TEST_TMPDIR/log" 2>&1 3>&- 4>&- &
    pid=$!
    pod p "$(asking 1 '{"schedulerName":"second"}')"
    wait_until 20 is_on p n
    pod q "$(asking 2 '{"schedulerName":"second"}')"
    pod gated '{"schedulerName":"second","schedulingGates":[{"name":"g"}]}'
    refused q "0/1 nodes are available: 1 Insufficient cpu."
    tells() { curl -s "http://127.0.0.1:$port/metrics" | grep -q "^$1"; }
    wait_until 10 tells 'scheduler_schedule_attempts_total{result="scheduled",profile="second"} 1$'
    wait_until 10 tells 'scheduler_schedule_attempts_total{result="unschedulable",profile="second"} [1-9]'
    wait_until 10 tells 'scheduler_pending_pods{queue="unschedulable"} 1$'
    wait_until 10 tells 'scheduler_pending_pods{queue="gated"} 1$'
    tells 'scheduler_pod_scheduling_attempts_count 1$'
    tells 'scheduler_scheduling_attempt_duration_seconds_count{result="scheduled",profile="second"} 1$'
    tells 'scheduler_queue_incoming_pods_total{queue="active",event="UnschedulablePodAdd"} 2$'
    kill "$pid"
    wait_until 20 gone "$pid"
    not grep -E "ERROR: |runtime error" "$BATS_TEST_TMPDIR/log"
}
