#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# One store is enough: what is shown does not depend on it.
#
# DaemonSets keep a pod on each node that fits.

load helpers

setup_file() { start_server && start_controllers && start_nodes 3; }
teardown_file() { each_of stop_nodes stop_controllers stop_server; }
setup() { new_namespace && k config set-context --current --namespace "$NS" >/dev/null; }
teardown() { k delete daemonset --all >/dev/null; }

# set_of NAME SPEC [SPEC OF PODS [ANNOTATION OF PODS]]: containers "c"; the annotation says how they run.
set_of() {
    k apply -f - >/dev/null <<JSON
{"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "$1"}, "spec": {${2:+$2, }
  "selector": {"matchLabels": {"app": "$1"}},
  "template": {"metadata": {"labels": {"app": "$1"}, "annotations": {"simulate.coracle.io/c": "${4:-run=forever}"}},
   "spec": {${3:+$3, }"terminationGracePeriodSeconds": 0, "containers": [{"name": "c", "image": "a"}]}}}}
JSON
}

field() { k get "$1" -o jsonpath="{$2}"; }
is() { [ "$(field "$1" "$2")" = "$3" ]; }
# nodes_of NAME: where its pods are, sorted.
nodes_of() { k get pods -l "app=$1" -o json | jq -r '[.items[] | select(.metadata.deletionTimestamp == null) | .spec.nodeName] | sort | join(" ")'; }
are_on() { [ "$(nodes_of "$1")" = "$2" ]; }
events_tell() {
    k get events --field-selector "reason=$1" -o jsonpath='{range .items[*]}{.message}{"\n"}{end}' | grep -qx "$2"
}
rolled_out() { k rollout status "daemonset/$1" --timeout=20s; }
image() { k patch daemonset "$1" -p "{\"spec\": {\"template\": {\"spec\": {\"containers\": [{\"name\": \"c\", \"image\": \"$2\"}]}}}}" >/dev/null; }
images() { k get pods -l "app=$1" -o jsonpath='{.items[*].spec.containers[0].image}'; }
have_images() { [ "$(images "$1")" = "$2" ]; }

@test "each node has a pod that the scheduler put there" {
    set_of agent ""
    rolled_out agent
    are_on agent "node-1 node-2 node-3"
    k get daemonset agent -o json | jq -e '.status == {currentNumberScheduled: 3, desiredNumberScheduled: 3, numberAvailable: 3,
        numberMisscheduled: 0, numberReady: 3, observedGeneration: 1, updatedNumberScheduled: 3}
        and .metadata.annotations["deprecated.daemonset.template.generation"] == "1"'
    k get pods -o json | jq -e --arg name "$(field controllerrevisions '.items[0].metadata.name')" '.items[0] as $pod | $pod.spec
        | .affinity == {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [
            {matchFields: [{key: "metadata.name", operator: "In", values: [.nodeName]}]}]}}}
        and ([.tolerations[] | "\(.key | ltrimstr("node.kubernetes.io/")):\(.effect):\(.operator)"] == ["not-ready:NoExecute:Exists",
            "unreachable:NoExecute:Exists", "disk-pressure:NoSchedule:Exists", "memory-pressure:NoSchedule:Exists",
            "pid-pressure:NoSchedule:Exists", "unschedulable:NoSchedule:Exists"])
        and $pod.metadata.labels == {app: "agent", "pod-template-generation": "1",
            "controller-revision-hash": ($name | ltrimstr("agent-"))}
        and ($pod.metadata.name | test("^agent-[a-z0-9]{5}$"))'
    wait_until 20 events_tell SuccessfulCreate "Created pod: agent-....."
    k cordon node-1 >/dev/null
    k delete pods --all >/dev/null
    wait_until 20 are_on agent "node-1 node-2 node-3" # They tolerate what keeps others away.
    k uncordon node-1 >/dev/null
}

@test "labels and taints of nodes say where pods belong" {
    set_of agent "" '"nodeSelector": {"disk": "fast"}'
    wait_until 20 is daemonset/agent .status.observedGeneration 1
    is daemonset/agent .status.desiredNumberScheduled 0
    k label node node-1 node-3 disk=fast >/dev/null
    wait_until 20 is daemonset/agent .status.numberReady 2
    are_on agent "node-1 node-3"
    k taint node node-3 full=yes:NoSchedule >/dev/null
    wait_until 20 is daemonset/agent .status.numberMisscheduled 1
    is daemonset/agent .status.desiredNumberScheduled 1
    are_on agent "node-1 node-3" # It may stay.
    k taint node node-3 full- >/dev/null
    wait_until 20 is daemonset/agent .status.numberReady 2
    k label node node-1 disk- >/dev/null
    wait_until 20 are_on agent node-3
    k label node node-3 disk- >/dev/null
    wait_until 20 are_on agent ""
}

@test "a rollout goes node by node, and is undone" {
    set_of agent ""
    rolled_out agent
    image agent b
    rolled_out agent
    have_images agent "b b b"
    is daemonset/agent '.metadata.annotations.deprecated\.daemonset\.template\.generation' 2
    [ "$(k rollout history daemonset/agent | awk 'NR > 2 && NF {print $1}' | tr '\n' ' ')" = "1 2 " ]
    k rollout undo daemonset/agent >/dev/null
    rolled_out agent
    have_images agent "a a a"
    [ "$(k get controllerrevisions -o jsonpath='{.items[*].revision}' | tr ' ' '\n' | sort | tr '\n' ' ')" = "2 3 " ]
    k patch daemonset agent -p '{"spec": {"revisionHistoryLimit": 0}}' >/dev/null
    wait_until 20 is controllerrevisions '.items[*].revision' 3
}

@test "a broken rollout stops at the first node" {
    set_of agent ""
    rolled_out agent
    set_of agent "" "" ready=never
    wait_until 20 is daemonset/agent .status.updatedNumberScheduled 1
    wait_until 20 is daemonset/agent .status.numberUnavailable 1
    is daemonset/agent .status.numberReady 2
    k rollout undo daemonset/agent >/dev/null
    rolled_out agent
}

@test "with a surge the new pod is ready before the old one goes" {
    set_of agent '"updateStrategy": {"rollingUpdate": {"maxSurge": "100%", "maxUnavailable": 0}}'
    rolled_out agent
    set_of agent '"updateStrategy": {"rollingUpdate": {"maxSurge": "100%", "maxUnavailable": 0}}' "" ready=never
    wait_until 20 is pods '.items[*].status.phase' "Running Running Running Running Running Running"
    [ "$(field pods '.items[*].status.conditions[?(@.type=="Ready")].status' | tr ' ' '\n' | grep -c True)" = 3 ]
    set_of agent '"updateStrategy": {"rollingUpdate": {"maxSurge": "100%", "maxUnavailable": 0}}' "" run=60s
    rolled_out agent
    wait_until 20 are_on agent "node-1 node-2 node-3"
}

@test "with OnDelete pods are replaced only by hand" {
    set_of agent '"updateStrategy": {"type": "OnDelete"}'
    wait_until 20 is daemonset/agent .status.numberReady 3
    image agent b
    wait_until 20 is daemonset/agent .status.observedGeneration 2
    have_images agent "a a a"
    k delete "$(k get pods -o name | head -1)" >/dev/null
    wait_until 20 is daemonset/agent .status.updatedNumberScheduled 1
    wait_until 20 is daemonset/agent .status.numberReady 3
}

@test "failed pods are replaced, and told of" {
    set_of agent ""
    rolled_out agent
    local pod node
    pod=$(field pods '.items[0].metadata.name') node=$(field pods '.items[0].spec.nodeName')
    patch_status "/api/v1/namespaces/$NS/pods/$pod" '{"status": {"phase": "Failed", "reason": "Evicted"}}'
    wait_until 20 events_tell FailedDaemonPod "Found failed daemon pod $NS/$pod on node $node, will try to kill it"
    wait_until 20 are_on agent "node-1 node-2 node-3"
    wait_until 20 is daemonset/agent .status.numberReady 3
}

@test "a node that comes gets a pod, and one that goes takes it along" {
    set_of agent ""
    rolled_out agent
    k create -f - >/dev/null <<'JSON'
{"apiVersion": "v1", "kind": "Node", "metadata": {"name": "new"}, "spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]}}
JSON
    is daemonset/agent .status.desiredNumberScheduled 3
    k taint node new a- >/dev/null
    wait_until 20 is daemonset/agent .status.desiredNumberScheduled 4
    k delete node new >/dev/null
    wait_until 20 is daemonset/agent .status.desiredNumberScheduled 3
    wait_until 20 are_on agent "node-1 node-2 node-3"
}
