#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Deployments roll out, roll back, pause, scale and fail as kubectl's users expect.

load helpers

setup_file() { start_server && start_controllers && start_nodes 2; }
teardown_file() { each_of stop_nodes stop_controllers stop_server; }
setup() { new_namespace; }

# deployment NAME REPLICAS SPEC…: applies one with pods of image a:1; the rest is more of its spec.
deployment() {
    k -n "$NS" apply -f - <<JSON
{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "$1"},
 "spec": {"replicas": $2, "selector": {"matchLabels": {"app": "$1"}}, ${3:+$3,}
  "template": {"metadata": {"labels": {"app": "$1"}},
   "spec": {"containers": [{"name": "c", "image": "a:1"}]}}}}
JSON
}

# break_image NAME: gives it an image named broken, whose pods never become ready.
break_image() {
    k -n "$NS" patch deployment "$1" -p "$(template broken '"ready=never"')"
}

# mend_image NAME IMAGE
mend_image() {
    k -n "$NS" patch deployment "$1" -p "$(template "$2" null)"
}

template() {
    echo "{\"spec\":{\"template\":{\"metadata\":{\"annotations\":{\"simulate.coracle.io/all\":$2}},
        \"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"$1\"}]}}}}"
}

# rolled_out NAME: the rollout ends, and kubectl says so.
rolled_out() {
    run k -n "$NS" rollout status "deployment/$1" --timeout=30s
    echo "$output"
    [ "$status" -eq 0 ]
    [[ "$output" == *"deployment \"$1\" successfully rolled out"* ]]
}

field() {
    k -n "$NS" get "$1" -o jsonpath="{$2}"
}

is() {
    [ "$(field "$1" "$2")" = "$3" ]
}

# set_of IMAGE: the name of the ReplicaSet whose pods have it.
set_of() {
    k -n "$NS" get rs -o json |
        jq -r --arg image "$1" '.items[] | select(.spec.template.spec.containers[0].image == $image).metadata.name'
}

# sizes: of the ReplicaSets, by image, as "a:1=3 a:2=0".
sizes() {
    k -n "$NS" get rs -o json | jq -r '[.items[] | .spec.template.spec.containers[0].image + "=" +
        (.spec.replicas | tostring)] | sort | join(" ")'
}

sizes_are() {
    [ "$(sizes)" = "$1" ]
}

# condition NAME TYPE: "status reason message"
condition() {
    k -n "$NS" get deployment "$1" -o json |
        jq -r --arg type "$2" '.status.conditions[]? | select(.type == $type) | "\(.status) \(.reason) \(.message)"'
}

condition_is() {
    [ "$(condition "$1" "$2")" = "$3" ]
}

events_tell() {
    k -n "$NS" get events --field-selector "reason=$1" -o jsonpath='{range .items[*]}{.message}{"\n"}{end}' |
        grep -qxF "$2"
}

images() {
    k -n "$NS" get pods -o jsonpath='{range .items[*]}{.spec.containers[0].image}{"\n"}{end}' | sort | uniq -c |
        awk '{print $2 "x" $1}' | paste -sd ' '
}

images_are() {
    [ "$(images)" = "$1" ]
}

@test "what is applied becomes available, by way of a ReplicaSet named after its template" {
    deployment web 3
    rolled_out web
    local set hash
    set=$(set_of a:1)
    hash=${set#web-}
    [[ "$hash" =~ ^[bcdf456789]{1,10}$ ]]
    [ "$(field "rs/$set" '.metadata.labels.pod-template-hash')" = "$hash" ]
    [ "$(field "rs/$set" '.spec.selector.matchLabels.pod-template-hash')" = "$hash" ]
    [ "$(field "rs/$set" '.spec.template.metadata.labels.pod-template-hash')" = "$hash" ]
    [ "$(field "rs/$set" '.metadata.ownerReferences[0].name')" = web ]
    [ "$(k -n "$NS" get deployment web -o json | jq -c '.status | del(.conditions)')" = \
        '{"availableReplicas":3,"observedGeneration":1,"readyReplicas":3,"replicas":3,"updatedReplicas":3}' ]
    condition_is web Available "True MinimumReplicasAvailable Deployment has minimum availability."
    wait_until 20 condition_is web Progressing \
        "True NewReplicaSetAvailable ReplicaSet \"$set\" has successfully progressed."
    wait_until 20 events_tell ScalingReplicaSet "Scaled up replica set $set from 0 to 3"
    [ "$(k -n "$NS" get rs "$set" -o json | jq -c .metadata.annotations)" = \
        '{"deployment.kubernetes.io/desired-replicas":"3","deployment.kubernetes.io/max-replicas":"4","deployment.kubernetes.io/revision":"1"}' ]
    [ "$(field deployment/web '.metadata.annotations.deployment\.kubernetes\.io/revision')" = 1 ]
    [ "$(k -n "$NS" get deployment web --no-headers | awk '{print $2, $3, $4}')" = "3/3 3 3" ]
    k -n "$NS" describe deployment web | grep -q "^NewReplicaSet: *$set (3/3 replicas created)"
}

@test "a new image replaces the pods, and undo brings the old ones back" {
    deployment web 3
    rolled_out web
    k -n "$NS" set image deployment/web c=a:2
    k -n "$NS" annotate deployment/web kubernetes.io/change-cause="a better image"
    rolled_out web
    wait_until 20 images_are a:2x3
    sizes_are "a:1=0 a:2=3"
    wait_until 20 events_tell ScalingReplicaSet "Scaled down replica set $(set_of a:1) from 1 to 0"
    k -n "$NS" rollout history deployment/web | grep -q '^2 *a better image$'
    k -n "$NS" rollout history deployment/web --revision=1 | grep -q 'Image:.*a:1'
    k -n "$NS" rollout undo deployment/web
    rolled_out web
    wait_until 20 images_are a:1x3
    sizes_are "a:1=3 a:2=0"
    local old
    old=$(set_of a:1)
    [ "$(field "rs/$old" '.metadata.annotations.deployment\.kubernetes\.io/revision')" = 3 ]
    [ "$(field "rs/$old" '.metadata.annotations.deployment\.kubernetes\.io/revision-history')" = 1 ]
    wait_until 20 is deployment/web '.metadata.annotations.deployment\.kubernetes\.io/revision' 3
    [ "$(k -n "$NS" rollout history deployment/web | awk '/^[0-9]/ {print $1}' | paste -sd ' ')" = "2 3" ]
    k -n "$NS" rollout undo deployment/web --to-revision=2
    rolled_out web
    wait_until 20 images_are a:2x3
}

# go_back NAME TO: as the field spec.rollbackTo did.
go_back() { k -n "$NS" annotate --overwrite deployment "$1" "deprecated.deployment.rollback.to=$2"; }
is_told_of() { k -n "$NS" get events -o json | jq -e --arg message "$1" 'any(.items[]; .reason + ": " + .message == $message)' >/dev/null; }

@test "an annotation asks for an earlier revision, once" {
    deployment web 1
    rolled_out web
    for image in a:2 a:3; do
        k -n "$NS" set image deployment/web "c=$image"
        rolled_out web
    done
    local image=.spec.template.spec.containers[0].image
    go_back web 1
    wait_until 20 is deployment/web "$image" a:1
    wait_until 20 is deployment/web '.metadata.annotations.deployment\.kubernetes\.io/revision' 4
    wait_until 10 is_told_of 'DeploymentRollback: Rolled back deployment "web" to revision 1'
    go_back web 0 # The one before this.
    wait_until 20 is deployment/web "$image" a:3
    go_back web 77
    wait_until 10 is_told_of 'DeploymentRollbackRevisionNotFound: Unable to find the revision to rollback to.'
    go_back web 5
    wait_until 10 is_told_of 'DeploymentRollbackTemplateUnchanged: The rollback revision contains the same template as current deployment "web"'
    wait_until 10 is deployment/web '.metadata.annotations.deprecated\.deployment\.rollback\.to' ""
    is deployment/web "$image" a:3
    run go_back web x
    [[ "$output" == *'failed to parse annotation[deprecated.deployment.rollback.to]=x as int64: strconv.ParseInt: parsing "x": invalid syntax' ]]
}

@test "restart makes new pods of the same image" {
    deployment web 2
    rolled_out web
    local before
    before=$(k -n "$NS" get pods -o name | sort)
    k -n "$NS" rollout restart deployment/web
    rolled_out web
    wait_until 20 sizes_are "a:1=0 a:1=2" || wait_until 1 sizes_are "a:1=2 a:1=0"
    wait_until 20 images_are a:1x2
    [ -z "$(comm -12 <(echo "$before") <(k -n "$NS" get pods -o name | sort))" ]
}

@test "what is changed during a pause is rolled out once on resume" {
    deployment web 2
    rolled_out web
    k -n "$NS" rollout pause deployment/web
    wait_until 20 condition_is web Progressing "Unknown DeploymentPaused Deployment is paused"
    k -n "$NS" set image deployment/web c=a:2
    k -n "$NS" set image deployment/web c=a:3
    k -n "$NS" scale deployment/web --replicas=3
    wait_until 20 sizes_are "a:1=3"
    wait_until 20 is deployment/web .status.observedGeneration "$(field deployment/web .metadata.generation)"
    sizes_are "a:1=3"
    run k -n "$NS" rollout undo deployment/web
    [ "$status" -ne 0 ]
    k -n "$NS" rollout resume deployment/web
    rolled_out web
    wait_until 20 images_are a:3x3
    sizes_are "a:1=0 a:3=3"
}

@test "a rollout that gets nowhere fails at its deadline, and undo repairs it" {
    deployment web 4 '"progressDeadlineSeconds": 2'
    rolled_out web
    break_image web
    run k -n "$NS" rollout status deployment/web --timeout=30s
    [ "$status" -ne 0 ]
    [[ "$output" == *'deployment "web" exceeded its progress deadline'* ]]
    condition_is web Progressing \
        "False ProgressDeadlineExceeded ReplicaSet \"$(set_of broken)\" has timed out progressing."
    condition_is web Available "True MinimumReplicasAvailable Deployment has minimum availability."
    # maxSurge is 1 and maxUnavailable 1: one old pod went, two new ones wait.
    sizes_are "a:1=3 broken=2"
    is deployment/web .status.unavailableReplicas 2
    k -n "$NS" rollout undo deployment/web
    rolled_out web
    wait_until 20 images_are a:1x4
    wait_until 20 is deployment/web '.status.conditions[?(@.type=="Progressing")].reason' NewReplicaSetAvailable
}

@test "scaling in the midst of a rollout is proportional" {
    deployment web 10 '"strategy": {"rollingUpdate": {"maxSurge": 3, "maxUnavailable": 2}}'
    rolled_out web
    break_image web
    wait_until 30 sizes_are "a:1=8 broken=5"
    k -n "$NS" scale deployment/web --replicas=15
    wait_until 30 sizes_are "a:1=11 broken=7"
    mend_image web a:3
    rolled_out web
    sizes_are "a:1=0 a:3=15 broken=0"
}

@test "a rollout keeps to its limits all the way" {
    deployment web 10 '"strategy": {"rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}}'
    rolled_out web
    k -n "$NS" get pods -o json --watch --output-watch-events >"$BATS_TEST_TMPDIR/pods" 3>&- 4>&- &
    local pods=$! sets
    k -n "$NS" get rs -o json --watch --output-watch-events >"$BATS_TEST_TMPDIR/sets" 3>&- 4>&- &
    sets=$!
    wait_until 20 grep -q '"type"' "$BATS_TEST_TMPDIR/sets"
    wait_until 20 count_is 10 "$BATS_TEST_TMPDIR/pods"
    k -n "$NS" set image deployment/web c=a:2
    rolled_out web
    wait_until 20 images_are a:2x10
    kill "$pods" "$sets"
    # After each event: the pods that are ready and stay, and those that all ReplicaSets ask for.
    jq -n 'reduce inputs as $event ({pods: {}, least: 99};
        .pods[$event.object.metadata.name] = ($event.type != "DELETED" and
            $event.object.metadata.deletionTimestamp == null and
            any($event.object.status.conditions[]?; .type == "Ready" and .status == "True"))
        | ([.pods[] | select(.)] | length) as $ready
        | if (.pods | length) >= 10 then .least = ([.least, $ready] | min) else . end)
        | .least' "$BATS_TEST_TMPDIR/pods" >"$BATS_TEST_TMPDIR/least"
    jq -n 'reduce inputs as $event ({sets: {}, most: 0};
        .sets[$event.object.metadata.name] = $event.object.spec.replicas
        | .most = ([.most, ([.sets[]] | add)] | max)) | .most' "$BATS_TEST_TMPDIR/sets" >"$BATS_TEST_TMPDIR/most"
    [ "$(cat "$BATS_TEST_TMPDIR/least")" -ge 8 ]
    [ "$(cat "$BATS_TEST_TMPDIR/least")" -le 10 ]
    [ "$(cat "$BATS_TEST_TMPDIR/most")" -eq 13 ]
}

# count_is NUMBER FILE: so many events were written to it.
count_is() {
    [ "$(grep -o '"type": *"ADDED"' "$2" | wc -l)" -ge "$1" ]
}

@test "scaling up and down touches no template" {
    deployment web 1
    rolled_out web
    k -n "$NS" scale deployment/web --replicas=4
    rolled_out web
    sizes_are "a:1=4"
    wait_until 20 events_tell ScalingReplicaSet "Scaled up replica set $(set_of a:1) from 1 to 4"
    k -n "$NS" scale deployment/web --replicas=0
    wait_until 20 sizes_are "a:1=0"
    wait_until 20 images_are ""
    is deployment/web '.metadata.annotations.deployment\.kubernetes\.io/revision' 1
    # A ReplicaSet that somebody else scales is set right.
    k -n "$NS" scale "rs/$(set_of a:1)" --replicas=2
    wait_until 20 sizes_are "a:1=0"
}

@test "Recreate waits until the last old pod is gone" {
    k -n "$NS" apply -f - <<JSON
{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
 "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "strategy": {"type": "Recreate"},
  "template": {"metadata": {"labels": {"app": "web"}, "annotations": {"simulate.coracle.io/all": "stop=300s"}},
   "spec": {"terminationGracePeriodSeconds": 300, "containers": [{"name": "c", "image": "a:1"}]}}}}
JSON
    rolled_out web
    k -n "$NS" set image deployment/web c=a:2
    wait_until 20 is rs .items[0].status.replicas 0
    wait_until 20 is deployment/web .status.observedGeneration 2
    local first second
    first=$(k -n "$NS" get pods -o jsonpath='{.items[0].metadata.name}')
    second=$(k -n "$NS" get pods -o jsonpath='{.items[1].metadata.name}')
    sizes_are "a:1=0"
    k -n "$NS" delete pod "$first" --grace-period=0 --force
    k -n "$NS" label deployment web nudge=1
    sizes_are "a:1=0"
    k -n "$NS" delete pod "$second" --grace-period=0 --force
    rolled_out web
    sizes_are "a:1=0 a:2=2"
    images_are a:2x2
    condition_is web Available "True MinimumReplicasAvailable Deployment has minimum availability."
}

@test "old ReplicaSets beyond the history are deleted" {
    deployment web 1 '"revisionHistoryLimit": 1'
    local image
    for image in a:2 a:3 a:4; do
        rolled_out web
        k -n "$NS" set image deployment/web "c=$image"
    done
    rolled_out web
    wait_until 20 sizes_are "a:3=0 a:4=1"
    k -n "$NS" patch deployment web -p '{"spec":{"revisionHistoryLimit":0}}'
    wait_until 20 sizes_are "a:4=1"
}

@test "minReadySeconds is waited for" {
    deployment web 2 '"minReadySeconds": 100000, "progressDeadlineSeconds": 200000'
    wait_until 20 is deployment/web .status.readyReplicas 2
    is deployment/web .status.availableReplicas ""
    condition_is web Available "False MinimumReplicasUnavailable Deployment does not have minimum availability."
    k -n "$NS" patch deployment web -p '{"spec":{"minReadySeconds":1}}'
    rolled_out web
    is deployment/web .metadata.annotations.deployment\\.kubernetes\\.io/revision 1
}

# bare_set NAME: a ReplicaSet of nobody's, for pods of image a:1 with app=web.
bare_set() {
    k -n "$NS" create -f - <<JSON
{"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "$1", "labels": {"app": "web"}},
 "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "web"}},
  "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "a:1"}]}}}}
JSON
}

@test "a ReplicaSet that matches is adopted and one that no more does released" {
    bare_set stray
    deployment web 2
    rolled_out web
    [ "$(k -n "$NS" get rs -o jsonpath='{.items[*].metadata.name}')" = stray ]
    is rs/stray '.metadata.ownerReferences[0].kind' Deployment
    is rs/stray .spec.replicas 2
    condition_is web Progressing "True NewReplicaSetAvailable ReplicaSet \"stray\" has successfully progressed."
    k -n "$NS" label rs stray app=other --overwrite
    wait_until 20 is rs/stray '.metadata.ownerReferences[*].kind' ""
    wait_until 20 sizes_are "a:1=2 a:1=2"
}

@test "a name that is taken by something else gives another hash" {
    deployment web 1
    rolled_out web
    local name
    name=$(set_of a:1)
    k -n "$NS" label rs "$name" app=other --overwrite
    wait_until 20 is deployment/web .status.collisionCount 1
    wait_until 20 sizes_are "a:1=1 a:1=1"
    rolled_out web
    [ "$(k -n "$NS" get rs -l app=web -o jsonpath='{.items[*].metadata.name}')" != "$name" ]
}

@test "pods that can't be made are a failure of the Deployment" {
    k -n "$NS" apply -f - <<JSON
{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
 "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "web"}},
  "template": {"metadata": {"labels": {"app": "web"}, "finalizers": ["no finalizer"]},
   "spec": {"containers": [{"name": "c", "image": "a:1"}]}}}}
JSON
    wait_until 20 is deployment/web '.status.conditions[?(@.type=="ReplicaFailure")].reason' FailedCreate
    k -n "$NS" patch deployment web --type merge -p '{"spec":{"template":{"metadata":{"finalizers":null}}}}'
    rolled_out web
    wait_until 20 is deployment/web '.status.conditions[?(@.type=="ReplicaFailure")].reason' ""
}

@test "one that is being deleted is not rolled out any more" {
    deployment web 1
    rolled_out web
    k -n "$NS" patch deployment web --type merge -p '{"metadata":{"finalizers":["example.com/wait"]}}'
    k -n "$NS" delete deployment web --wait=false
    k -n "$NS" set image deployment/web c=a:2
    k -n "$NS" scale deployment/web --replicas=3
    wait_until 20 is deployment/web .status.observedGeneration "$(field deployment/web .metadata.generation)"
    sizes_are "a:1=1"
    k -n "$NS" patch deployment web --type merge -p '{"metadata":{"finalizers":null}}'
    run k -n "$NS" get deployment web
    [[ "$output" == *NotFound* ]]
}

@test "controllers that were away catch up" {
    deployment web 2
    rolled_out web
    stop_controllers
    k -n "$NS" set image deployment/web c=a:2
    k -n "$NS" scale deployment/web --replicas=3
    start_controllers
    rolled_out web
    wait_until 20 images_are a:2x3
}

nothing_is_left() {
    [ -z "$(k -n "$NS" get deployments,rs,pods -o name)" ]
}

@test "deletion takes ReplicaSets and pods along, or leaves them to be adopted" {
    deployment web 2
    rolled_out web
    local set
    set=$(set_of a:1)
    k -n "$NS" delete deployment web --cascade=orphan
    wait_until 20 is "rs/$set" '.metadata.ownerReferences[*].kind' ""
    deployment web 2
    rolled_out web
    [ "$(set_of a:1)" = "$set" ]
    is "rs/$set" '.metadata.ownerReferences[0].uid' "$(field deployment/web .metadata.uid)"
    is deployment/web .status.collisionCount ""
    images_are a:1x2
    k -n "$NS" delete deployment web
    wait_until 30 nothing_is_left
    deployment web 2
    rolled_out web
    k -n "$NS" delete deployment web --cascade=foreground
    wait_until 30 nothing_is_left
}
