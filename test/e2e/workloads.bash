# SPDX-License-Identifier: Apache-2.0
# Sets, jobs and CronJobs that are worked on while things break, and what must hold of them whatever
# happens. All in the namespace that is kubectl's default.

# template RUN: of a pod whose container runs as RUN says.
template() {
    echo "{\"metadata\": {\"annotations\": {\"simulate.coracle.io/c\": \"$1\"}}, \"spec\": {\"restartPolicy\": \"Never\", \"terminationGracePeriodSeconds\": 0, \"containers\": [{\"name\": \"c\", \"image\": \"a\"}]}}"
}

# job NAME SPEC RUN
job() {
    k create -f - >/dev/null <<JSON
{"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "$1"}, "spec": {$2, "template": $(template "$3")}}
JSON
}

# cron_job NAME: a run of it is due; what has ended is not kept.
cron_job() {
    k create -f - >/dev/null <<JSON
{"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "$1"}, "spec": {"schedule": "0 0 1 1 *", "successfulJobsHistoryLimit": 0,
  "jobTemplate": {"spec": {"template": $(template run=20ms)}}}}
JSON
    patch_status "/apis/batch/v1/namespaces/$NS/cronjobs/$1" '{"status": {"lastScheduleTime": "2020-06-01T00:00:00Z"}}'
}

# The jobs are over, and have counted what there is to count.
has_counted() {
    k get jobs,pods -o json | jq -e '
        def of($name; $phase): [.items[] | select(.kind == "Pod" and .metadata.labels["job-name"] == $name
            and .status.phase == $phase)] | length;
        def job($name): .items[] | select(.kind == "Job" and .metadata.name == $name) | .status;
        . as $all
        | all("plain", "indexed", "failing"; . as $name | $all | job($name)
            | (.uncountedTerminatedPods == {} and any(.conditions[]?; .type == "Complete" or .type == "Failed")
               and (.active // 0) == 0 and .terminating == 0))
        and (job("plain").succeeded == 30 and of("plain"; "Succeeded") == 30)
        and (job("indexed") | .succeeded == 30 and .completedIndexes == "0-29")
        and (job("failing").failed == 5 and of("failing"; "Failed") == 5)
        and all(.items[] | select(.kind == "Pod"); (.metadata.finalizers // []) == [])' >/dev/null
}

# each_run_once WATCHED: of the jobs that were seen, no two were one CronJob's. (One that came and went
# while nobody could watch is seen by what have_run finds.)
each_run_once() {
    jq -es --argjson runs "$(k get cronjobs -o name | wc -l)" '[.[] | if .type == "LISTED" then .items[] else .object end
        | .metadata | select(.ownerReferences != null) | {name, uid}] | unique | (length > 0 and length <= $runs and (group_by(.name) | all(length == 1)))' "$1" >/dev/null
}

have_run() {
    k get cronjobs,jobs -o json | jq -e '[.items[] | select(.kind == "CronJob")] as $all
        | ($all | all(.[]; .status.lastSuccessfulTime != null and .status.active == null))
        and ([.items[] | select(.kind == "Job" and .metadata.ownerReferences != null)] | length == 0)' >/dev/null
}

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

# are_as_declared IMAGE REPLICAS
are_as_declared() {
    k get pods,statefulsets,daemonsets -o json | jq -e --arg image "$1" --argjson replicas "$2" '
        [.items[] | select(.kind == "Pod" and .metadata.labels.app != null)] as $pods
        | ($pods | map(.metadata.labels.app) | group_by(.) | map("\(.[0]) \(length)")) == ["agent 3", "all \($replicas)", "web \($replicas)"]
        and all($pods[]; .spec.containers[0].image == $image and .metadata.deletionTimestamp == null
            and any(.status.conditions[]?; .type == "Ready" and .status == "True"))
        and all(.items[] | select(.kind == "StatefulSet") | .status; .currentRevision == .updateRevision
            and .readyReplicas == $replicas and .updatedReplicas == $replicas)
        and all(.items[] | select(.kind == "DaemonSet") | .status; .numberAvailable == 3 and .updatedNumberScheduled == 3)' >/dev/null
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
            if $event.type == "LISTED" then .pods = ($event.items | map({(.metadata.name): .}) | add // {}) else
            $event.object as $pod | $pod.metadata.name as $name | $pod.metadata.labels.app as $app | .pods[$name] as $before
            | if $event.type == "ADDED" and $before != null then say("\($name) is there twice") else . end
            | if $event.type == "ADDED" and $app == "web" and
                (. as $s | [range(0; $pod | ordinal) | $s.pods["web-\(.)"] | is_ready] | all | not)
              then say("\($name) came too early") else . end
            | if $app == "web" and $before != null and ($before | goes | not) and ($event.type == "DELETED" or ($pod | goes)) and
                ([of("web")[] | select(.metadata.name != $name) | is_ready] | all | not)
              then say("\($name) went too early") else . end
            | if $event.type == "DELETED" then del(.pods[$name]) else .pods[$name] = $pod end
            | if $app == "agent" and ([of("agent")[] | select(goes | not) | node] | group_by(.) | any(length > 1))
              then say("\($pod | node) has two pods") else . end
            | .full = (.full or ([of("agent")[] | select(is_ready)] | length == 3))
            | if $app == "agent" and .full and ([of("agent")[] | select(is_ready)] | length < 2)
              then say("two nodes miss their pods") else . end end)
        | .faults[]' "$1"
}

# record PATH FILE: appends what a watch of the path tells, until FILE.end is there, also while the API
# server comes and goes. A list of all that there is, of type LISTED, stands where the watch begins.
record() {
    local version=
    until [ -e "$2.end" ]; do
        if [ -z "$version" ]; then
            api GET "$1" 2>/dev/null | jq -c 'select(.items) | {type: "LISTED", version: .metadata.resourceVersion, items}' >"$2.part"
            version=$(jq -r .version "$2.part")
            cat "$2.part" >>"$2"
            continue
        fi
        api GET "$1?watch=true&allowWatchBookmarks=true&resourceVersion=$version" -N --max-time 2 2>/dev/null |
            jq -cR --unbuffered 'fromjson? | select(.type or .status == "Failure")' >"$2.part" || true
        jq -c 'select(.type | IN("ADDED", "MODIFIED", "DELETED"))' "$2.part" >>"$2"
        # What the server knows of no more is looked up anew.
        version=$(jq -rs --arg version "$version" 'if any(.[]; .type == "ERROR" or .status == "Failure") then ""
            else last.object.metadata.resourceVersion // $version end' "$2.part")
        sleep 0.05
    done
}

# begin_recording: of the namespace's pods and jobs; end_recording waits until all has been written.
begin_recording() {
    recorded=$BATS_TEST_TMPDIR/recorded
    record "/api/v1/namespaces/$NS/pods" "$recorded-pods" 3>&- &
    recorders=($!)
    record "/apis/batch/v1/namespaces/$NS/jobs" "$recorded-jobs" 3>&- &
    recorders+=($!)
    wait_until 10 test -s "$recorded-pods" && wait_until 10 test -s "$recorded-jobs"
}
end_recording() {
    touch "$recorded-pods.end" "$recorded-jobs.end"
    wait "${recorders[@]}"
}
