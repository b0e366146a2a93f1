#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# One store is enough: what is shown does not depend on it.
#
# What simulated nodes make of pods, as kubectl's users see it: phases, conditions, restarts, init
# containers, deadlines, graceful ends, addresses, and what a new process makes of what it finds.

load helpers

setup_file() { start_server && start_controllers && start_nodes 2; }
teardown_file() { stop_nodes && stop_controllers && stop_server; }
setup() { new_namespace; }

# pod NAME SPEC [SIMULATION]: creates one; SPEC is JSON beside its containers, of which there is one
# named c unless it tells others; SIMULATION is what all its containers are to do.
pod() {
    jq -nc --arg name "$1" --argjson spec "$2" --arg simulation "${3:-}" '{apiVersion: "v1",
        kind: "Pod", metadata: {name: $name, annotations: {"simulate.coracle.io/all": $simulation}},
        spec: ({containers: [{name: "c", image: "a:1"}]} + $spec)}' | create_at "/api/v1/namespaces/$NS/pods"
}

# annotated NAME SPEC ANNOTATIONS: the same with annotations simulate.coracle.io/… for each container.
annotated() {
    jq -nc --arg name "$1" --argjson spec "$2" --argjson of "$3" '{apiVersion: "v1", kind: "Pod",
        metadata: {name: $name,
            annotations: ($of | with_entries(.key |= "simulate.coracle.io/" + .))},
        spec: ({containers: [{name: "c", image: "a:1"}]} + $spec)}' | create_at "/api/v1/namespaces/$NS/pods"
}

# field POD JQ: of its object.
field() { api GET "/api/v1/namespaces/$NS/pods/$1" | jq -r "$2"; }
is() { [ "$(field "$1" "$2")" = "$3" ]; }
becomes() { wait_until 20 is "$@"; }
# conditions POD: those that are true, in order.
conditions() {
    field "$1" '[.status.conditions[] | select(.status == "True").type] | sort | join(" ")'
}
# condition POD TYPE: "status reason message"
condition() {
    field "$1" ".status.conditions[] | select(.type == \"$2\") |
        [.status, .reason // \"-\", .message // \"-\"] | join(\" \")"
}
gone_pod() { ! k -n "$NS" get pod "$1" >/dev/null 2>&1; }
# shown POD: the status that kubectl get shows.
shown() { k -n "$NS" get pod "$1" --no-headers | awk '{print $2, $3}'; }
shows() { [ "$(shown "$1")" = "$2" ]; }
# told POD REASON: the messages of such events.
told() {
    api GET "/api/v1/namespaces/$NS/events?fieldSelector=involvedObject.name%3D$1,reason%3D$2" |
        jq -r '.items[].message'
}
is_told() { [ -n "$(told "$@")" ]; }

@test "a bare pod runs" {
    pod web '{}'
    k -n "$NS" wait --for=condition=Ready pod/web --timeout=20s
    [ "$(conditions web)" = "ContainersReady Initialized PodReadyToStartContainers PodScheduled Ready" ]
    is web .status.phase Running
    is web '.status.containerStatuses[0] | [.name, .image, .ready, .started, .restartCount] | join(" ")' \
        "c a:1 true true 0"
    [[ "$(field web '.status.containerStatuses[0].state.running.startedAt')" == 20*Z ]]
    is web '.status.observedGeneration == .metadata.generation' true
    is web '.status.startTime != null and .status.hostIP != null' true
    for reason in Pulled Created Started; do wait_until 10 is_told web $reason; done
    [ "$(told web Started)" = "Started container c" ]
}

@test "a pod that names its node by itself runs there and counts as scheduled" {
    pod pinned '{"nodeName": "node-2"}'
    k -n "$NS" wait --for=condition=Ready pod/pinned --timeout=20s
    [ "$(condition pinned PodScheduled)" = "True - -" ]
}

@test "a Never pod succeeds, or fails with its exit code" {
    pod good '{"restartPolicy": "Never"}' "run=0s"
    pod bad '{"restartPolicy": "Never"}' "run=0s exit=1"
    becomes good .status.phase Succeeded
    becomes bad .status.phase Failed
    is good '.status.containerStatuses[0].state.terminated | [.exitCode, .reason] | join(" ")' "0 Completed"
    is bad '.status.containerStatuses[0].state.terminated | [.exitCode, .reason] | join(" ")' "1 Error"
    [ "$(condition good Ready)" = "False PodCompleted -" ]
    [ "$(condition good Initialized)" = "True PodCompleted -" ]
    [ "$(condition bad ContainersReady)" = "False PodFailed -" ]
    [ "$(shown good)" = "0/1 Completed" ]
    [ "$(shown bad)" = "0/1 Error" ]
}

@test "one that fails once under OnFailure is started again and succeeds" {
    pod once '{"restartPolicy": "OnFailure"}' "run=0s exit=3 times=1"
    k -n "$NS" wait --for=condition=Ready pod/once --timeout=20s
    is once '.status.containerStatuses[0] | [.restartCount, .lastState.terminated.exitCode] | join(" ")' "1 3"
}

@test "one that fails again and again backs off" {
    pod loop '{}' "run=0s exit=1"
    wait_until 20 shows loop "0/1 CrashLoopBackOff"
    is loop .status.phase Running
    uid=$(field loop .metadata.uid)
    [ "$(field loop '.status.containerStatuses[0].state.waiting.message')" = \
        "back-off 10s restarting failed container=c pod=loop_$NS($uid)" ]
    is loop '.status.containerStatuses[0] | [.restartCount, .lastState.terminated.exitCode] | join(" ")' "1 1"
    [ "$(condition loop Ready)" = "False ContainersNotReady containers with unready status: [c]" ]
    wait_until 10 is_told loop BackOff
    [ "$(told loop BackOff)" = "Back-off restarting failed container c in pod loop_$NS($uid)" ]
    k -n "$NS" delete pod loop --wait --timeout=20s
}

@test "init containers run in order before the containers" {
    annotated order '{"initContainers": [{"name": "one", "image": "i"}, {"name": "two", "image": "i"}]}' \
        '{"two": "run=4s"}'
    wait_until 20 shows order "0/1 Init:1/2"
    [ "$(condition order Initialized)" = "False ContainersNotInitialized containers with incomplete status: [two]" ]
    is order '.status.containerStatuses[0].state.waiting.reason' PodInitializing
    k -n "$NS" wait --for=condition=Ready pod/order --timeout=20s
    is order '[.status.initContainerStatuses[].state.terminated.reason] | join(" ")' "Completed Completed"
    is order '.status.initContainerStatuses | .[0].state.terminated.finishedAt <= .[1].state.terminated.startedAt' true
}

@test "a failing init container fails a Never pod" {
    annotated broken '{"restartPolicy": "Never", "initContainers": [{"name": "i", "image": "i"}]}' \
        '{"i": "exit=2"}'
    becomes broken .status.phase Failed
    [ "$(shown broken)" = "0/1 Init:Error" ]
    is broken '.status.containerStatuses[0].state.waiting.reason' PodInitializing
    [ "$(condition broken Initialized)" = "False ContainersNotInitialized containers with incomplete status: [i]" ]
}

@test "a failing init container of another pod is tried again" {
    annotated again '{"initContainers": [{"name": "i", "image": "i"}]}' '{"i": "exit=2"}'
    wait_until 20 shows again "0/1 Init:CrashLoopBackOff"
    is again .status.phase Pending
}

@test "a sidecar starts first, keeps running, and ends after the containers" {
    annotated side '{"restartPolicy": "Never", "initContainers":
        [{"name": "proxy", "image": "i", "restartPolicy": "Always"}]}' '{"c": "run=4s", "proxy": "stop=1s"}'
    k -n "$NS" wait --for=condition=Ready pod/side --timeout=20s
    is side '.status.initContainerStatuses[0] | [.ready, .started] | join(" ")' "true true"
    [ "$(shown side)" = "2/2 Running" ]
    becomes side .status.phase Succeeded
    is side '.status | .initContainerStatuses[0].state.terminated.finishedAt >=
        .containerStatuses[0].state.terminated.finishedAt' true
}

@test "a sidecar that crashes does not stop the containers from being restarted" {
    annotated both '{"initContainers": [{"name": "proxy", "image": "i", "restartPolicy": "Always"}]}' \
        '{"c": "run=1s exit=1 times=1", "proxy": "run=100ms exit=1"}'
    becomes both '.status.initContainerStatuses[0].state.waiting.reason' CrashLoopBackOff
    becomes both '.status.containerStatuses[0] | .restartCount > 0 and .state.running != null' true
    is both .status.phase Running
    [[ "$(condition both Initialized)" == True* ]]
}

@test "readiness comes after its delay, or never" {
    pod late '{}' "ready=1s"
    pod never '{}' "ready=never"
    becomes late .status.phase Running
    k -n "$NS" wait --for=condition=Ready pod/late --timeout=20s
    is late '(.status.conditions[] | select(.type == "Ready").lastTransitionTime) >
        .status.containerStatuses[0].state.running.startedAt' true
    becomes never .status.phase Running
    [ "$(shown never)" = "0/1 Running" ]
    [ "$(condition never Ready)" = "False ContainersNotReady containers with unready status: [c]" ]
}

@test "a readiness gate keeps a pod unready until it opens" {
    pod gated '{"readinessGates": [{"conditionType": "example.com/open"}]}'
    [ "$(becomes gated .status.phase Running && condition gated Ready)" = \
        "False ReadinessGatesNotReady corresponding condition of pod readiness gate \"example.com/open\" does not exist." ]
    gate() {
        patch_status "/api/v1/namespaces/$NS/pods/gated" "{\"status\":{\"conditions\":[
            {\"type\":\"example.com/open\",\"status\":\"$1\"}]}}"
    }
    gate False
    refused() { [[ "$(condition gated Ready)" == *"is not \"True\", but False" ]]; }
    wait_until 20 refused
    gate True
    k -n "$NS" wait --for=condition=Ready pod/gated --timeout=20s
}

@test "a deleted pod is stopped in its time and reported as ended before it goes" {
    pod polite '{"terminationGracePeriodSeconds": 20}' "stop=1s"
    k -n "$NS" wait --for=condition=Ready pod/polite --timeout=20s
    k -n "$NS" get pod polite --watch -o json >"$BATS_TEST_TMPDIR/seen" 3>&- &
    watch=$!
    k -n "$NS" delete pod polite --wait --timeout=20s
    ended() { [ "$(jq -rs 'last | .status.phase' "$BATS_TEST_TMPDIR/seen" 2>/dev/null)" = Succeeded ]; }
    wait_until 10 ended
    kill $watch
    # While it was being stopped it went on as Running, and then it ended with its exit code.
    [ "$(jq -rs '[.[] | select(.metadata.deletionTimestamp != null).status.phase] | unique | join(" ")' \
        "$BATS_TEST_TMPDIR/seen")" = "Running Succeeded" ]
    [ "$(jq -rs 'last.status.containerStatuses[0].state.terminated.exitCode' "$BATS_TEST_TMPDIR/seen")" = 0 ]
    wait_until 10 is_told polite Killing
    [ "$(told polite Killing)" = "Stopping container c" ]
}

@test "one that does not end in its grace period is killed" {
    pod stubborn '{"terminationGracePeriodSeconds": 1}' "stop=10m"
    k -n "$NS" patch pod stubborn --type=merge -p '{"metadata":{"finalizers":["test/stay"]}}'
    k -n "$NS" wait --for=condition=Ready pod/stubborn --timeout=20s
    k -n "$NS" delete pod stubborn --wait=false
    becomes stubborn .status.phase Failed
    is stubborn '.status.containerStatuses[0].state.terminated.exitCode' 137
    k -n "$NS" patch pod stubborn --type=merge -p '{"metadata":{"finalizers":null}}'
    wait_until 20 gone_pod stubborn
}

@test "a second deletion may shorten the grace period" {
    pod hurried '{"terminationGracePeriodSeconds": 600}' "stop=10m"
    k -n "$NS" wait --for=condition=Ready pod/hurried --timeout=20s
    k -n "$NS" delete pod hurried --wait=false
    k -n "$NS" delete pod hurried --grace-period=1 --wait --timeout=20s
}

@test "a forced deletion takes the pod away at once" {
    pod forced '{}' "stop=10m"
    k -n "$NS" wait --for=condition=Ready pod/forced --timeout=20s
    k -n "$NS" delete pod forced --force --grace-period=0
    gone_pod forced
}

@test "a pod that has ended can be deleted" {
    pod over '{"restartPolicy": "Never"}' "run=0s"
    becomes over .status.phase Succeeded
    k -n "$NS" delete pod over --wait --timeout=20s
}

@test "a pod that is active for too long fails" {
    pod slow '{"activeDeadlineSeconds": 1}' "stop=1s"
    becomes slow .status.phase Failed
    is slow '.status | [.reason, .message] | join(": ")' \
        "DeadlineExceeded: Pod was active on the node longer than the specified deadline"
    wait_until 10 is_told slow DeadlineExceeded
}

@test "a new image replaces the container, whatever the restart policy says" {
    pod swap '{"restartPolicy": "Never"}' "run=forever"
    k -n "$NS" wait --for=condition=Ready pod/swap --timeout=20s
    k -n "$NS" set image pod/swap c=a:2
    becomes swap '.status.containerStatuses[0] | [.image, .restartCount, .ready] | join(" ")' "a:2 1 true"
    wait_until 10 is_told swap Killing
    [ "$(told swap Killing)" = "Container c definition changed, will be restarted" ]
}

@test "pods have addresses of their node's range, each its own" {
    k -n "$NS" create deployment many --image=a:1 --replicas=40
    k -n "$NS" rollout status deployment/many --timeout=60s
    [ "$(k -n "$NS" get pods -o json | jq -r '[.items[].status.podIP] | unique | length')" -eq 40 ]
    for node in node-1 node-2; do
        range=$(k get node $node -o jsonpath='{.spec.podCIDR}')
        [[ "$range" == *.0/24 ]]
        [ "$(k -n "$NS" get pods -o json | jq -r --arg node $node --arg prefix "${range%0/24}" \
            '[.items[] | select(.spec.nodeName == $node).status.podIP | startswith($prefix)] | all')" = true ]
    done
}

@test "a pod on the host's network has the node's address" {
    pod host '{"hostNetwork": true}'
    k -n "$NS" wait --for=condition=Ready pod/host --timeout=20s
    is host '.status.podIP == .status.hostIP' true
    node=$(field host .spec.nodeName)
    is host .status.podIP "$(k get node "$node" -o jsonpath='{.status.addresses[0].address}')"
}

# snapshot: what must not change of pods that go on: address, restarts, start, and since when ready.
snapshot() {
    k -n "$NS" get pods -o json | jq -c '.items[] | [.metadata.name, .status.phase, .status.podIP,
        .status.startTime, .status.containerStatuses[0].restartCount,
        .status.containerStatuses[0].containerID, .status.containerStatuses[0].state.running.startedAt,
        .status.containerStatuses[0].state.terminated.exitCode,
        (.status.conditions[] | select(.type == "Ready").lastTransitionTime)]'
}

attachments() { k get volumeattachments -o name; }
uses() { [ "$(k get node node-1 -o json | jq -c '.status.volumesInUse')" = "$1" ]; }

@test "a pod waits for its volume to be attached, and the node lets go of it" {
    local name="kubernetes.io/csi/disks.example.com^$NS" attachment
    create_at /api/v1/persistentvolumes <<<'{"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "'"$NS"'"},
        "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "claimRef": {"namespace": "'"$NS"'", "name": "c"},
        "csi": {"driver": "disks.example.com", "volumeHandle": "'"$NS"'"}}}'
    create_at "/api/v1/namespaces/$NS/persistentvolumeclaims" <<<'{"apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {"name": "c"}, "spec": {"storageClassName": "", "volumeName": "'"$NS"'", "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}}}}'
    pod db '{"nodeSelector": {"kubernetes.io/hostname": "node-1"},
        "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]}'
    wait_until 20 attachments_are 1
    wait_until 20 uses "[\"$name\"]"
    becomes db '.status.containerStatuses[0].state.waiting.reason' ContainerCreating
    attachment=$(attachments)
    k patch "$attachment" --subresource=status --type=merge -p '{"status": {"attached": true}}' >/dev/null
    becomes db .status.phase Running
    k -n "$NS" delete pod db --grace-period=1 >/dev/null
    wait_until 20 uses null
    wait_until 20 attachments_are 0
}
attachments_are() { [ "$(attachments | wc -l)" = "$1" ]; }

@test "a pod waits for its secrets, and for claims that are not bound, and says so" {
    pod web '{"volumes": [{"name": "s", "secret": {"secretName": "late"}}, {"name": "o", "configMap": {"name": "none", "optional": true}}]}'
    wait_until 20 is_told web FailedMount
    [ "$(told web FailedMount)" = 'MountVolume.SetUp failed for volume "s" : secret "late" not found' ]
    is web '.status.containerStatuses[0].state.waiting.reason' ContainerCreating
    k -n "$NS" create secret generic late --from-literal=a=b
    becomes web .status.phase Running
    pod db '{"nodeName": "node-1", "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]}'
    wait_until 20 is_told db FailedMount
    [ "$(told db FailedMount)" = "Unable to attach or mount volumes: unmounted volumes=[v], unattached volumes=[], failed to process volumes=[v]: error processing PVC $NS/c: failed to fetch PVC from API server: persistentvolumeclaims \"c\" not found" ]
}

@test "pods go on when the process of their nodes is killed and started again" {
    pod ended '{"restartPolicy": "Never"}' "run=0s exit=4"
    pod dying '{"terminationGracePeriodSeconds": 600}' "stop=10m"
    pod restarted '{}' "run=0s exit=1 times=1"
    k -n "$NS" create deployment web --image=a:1 --replicas=10
    k -n "$NS" rollout status deployment/web --timeout=60s
    becomes ended .status.phase Failed
    k -n "$NS" wait --for=condition=Ready pod/restarted pod/dying --timeout=20s
    kill -KILL "$(cat "$BATS_FILE_TMPDIR/node.pid")"
    before=$(snapshot)
    since=$(k get node node-1 -o jsonpath='{.status.conditions[?(@.type=="Ready")].lastTransitionTime}')
    k -n "$NS" delete pod dying ended --wait=false --grace-period=1
    k -n "$NS" scale deployment web --replicas=20
    start_process node "plays" --simulate 2
    k -n "$NS" rollout status deployment/web --timeout=60s
    wait_until 20 gone_pod dying
    wait_until 20 gone_pod ended
    after=$(snapshot)
    while read -r line; do
        [[ "$line" == '["dying"'* || "$line" == '["ended"'* ]] || grep -qxF "$line" <<<"$after"
    done <<<"$before"
    [ "$(k get pods -A -o json | jq -r '[.items[] | select(.status.podIP != .status.hostIP and
        .status.phase == "Running").status.podIP] | group_by(.) | map(select(length > 1)) | length')" = 0 ]
    [ "$(k get node node-1 -o jsonpath='{.status.conditions[?(@.type=="Ready")].lastTransitionTime}')" = "$since" ]
}

renewed() { k -n kube-node-lease get lease node-2 -o jsonpath='{.spec.renewTime}'; }
was_renewed() { [ "$(renewed)" != "$1" ]; }

@test "nodes renew their leases, which belong to them" {
    stop_process node
    start_process node "plays" --simulate 2 --node-lease-duration-seconds 1
    wait_until 20 was_renewed "$(renewed)"
    [ "$(k -n kube-node-lease get lease node-2 -o json | jq -r '[.spec.holderIdentity,
        .spec.leaseDurationSeconds, .metadata.ownerReferences[0].kind, .metadata.ownerReferences[0].name,
        .metadata.ownerReferences[0].uid] | join(" ")')" = \
        "node-2 1 Node node-2 $(k get node node-2 -o jsonpath='{.metadata.uid}')" ]
}

@test "a node that is annotated as dead falls silent until it is brought back" {
    pod victim '{"nodeName": "node-2"}' "stop=0s"
    k -n "$NS" wait --for=condition=Ready pod/victim --timeout=20s
    k annotate node node-2 simulate.coracle.io/dead=true
    wait_until 20 grep -q "node node-2 seems dead" "$BATS_FILE_TMPDIR/node.log"
    k -n "$NS" delete pod victim --wait=false
    # The other node works meanwhile; a lease of 1 s would have been renewed several times.
    pod other '{"nodeName": "node-1", "restartPolicy": "Never"}' "run=3s"
    last=$(renewed)
    becomes other .status.phase Succeeded
    [ "$(renewed)" = "$last" ]
    is victim .status.phase Running
    patch_status /api/v1/nodes/node-2 '{"status":{"conditions":[
        {"type":"Ready","status":"Unknown","reason":"NodeStatusUnknown","lastTransitionTime":"2020-01-01T00:00:00Z"}]}}'
    k annotate node node-2 simulate.coracle.io/dead-
    wait_until 20 gone_pod victim
    wait_until 20 was_renewed "$last"
    k wait --for=condition=Ready node/node-2 --timeout=20s
    [ "$(k get node node-2 -o json | jq -r '.status.conditions[] | select(.type == "Ready").lastTransitionTime
        > "2021"')" = true ]
}
