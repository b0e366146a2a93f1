#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The API's conventions, request by request: what client libraries rely on beyond what kubectl shows.

load helpers

setup_file() { start_server; }
teardown_file() { stop_server; }
setup() {
    new_namespace
    BASE=/api/v1/namespaces/$NS
}

# send METHOD PATH JSON [CURL ARGUMENTS…]
send() {
    local method=$1 path=$2 body=$3
    shift 3
    api "$method" "$path" -H 'Content-Type: application/json' --data-binary "$body" "$@"
}

# patch TYPE PATH JSON: TYPE is json, merge or strategic-merge.
patch() {
    api PATCH "$2" -H "Content-Type: application/$1-patch+json" --data-binary "$3"
}

code() { "$@" -o /dev/null -w '%{http_code}'; }
headers() { "$@" -o /dev/null -D - | tr -d '\r'; }

# is ACTUAL EXPECTED
is() {
    [ "$1" = "$2" ] || {
        printf 'is:     %s\nwanted: %s\n' "$1" "$2" >&2
        return 1
    }
}

config_map() {
    printf '{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"%s","labels":{"l":"%s"}},"data":{"a":"%s"}}' \
        "$1" "${2:-x}" "${3:-1}"
}

a_pod() {
    printf '{"kind":"Pod","apiVersion":"v1","metadata":{"name":"%s"},"spec":{"containers":[{"name":"c","image":"i"%s}]}}' \
        "$1" "${2:-}"
}

version_of() { api GET "$1" | jq -r .metadata.resourceVersion; }

# ---- objects ----

@test "an object gets a uid, a creation time and, where there is one, a generation" {
    created=$(send POST "$BASE/configmaps" "$(config_map a)")
    jq -e '.metadata | (.uid | test("^[0-9a-f-]{36}$")) and (.creationTimestamp | fromdate) and .generation == null' <<<"$created"
    # Where the server does not count, one may do so oneself, once.
    counted=$(config_map b | jq '.metadata.generation = 7')
    is "$(send POST "$BASE/configmaps" "$counted" | jq .metadata.generation)" 7
    is "$(jq '.metadata.generation = 8' <<<"$counted" | api PUT "$BASE/configmaps/b" -H 'Content-Type: application/json' --data-binary @- | jq .metadata.generation)" 7
    counted=$(config_map c | jq '.metadata.generation = -1')
    is "$(send POST "$BASE/configmaps" "$counted" | jq -r .message)" \
        'ConfigMap "c" is invalid: metadata.generation: Invalid value: -1: must be greater than or equal to 0'
    deployment=$(k -n "$NS" create deployment web --image=i -o json)
    is "$(jq .metadata.generation <<<"$deployment")" 1
    path=/apis/apps/v1/namespaces/$NS/deployments/web
    is "$(jq '.spec.replicas = 3' <<<"$deployment" | api PUT "$path" -H 'Content-Type: application/json' --data-binary @- | jq .metadata.generation)" 2
    k -n "$NS" label deployment web a=b
    is "$(api GET "$path" | jq .metadata.generation)" 2
    api GET "$path" | jq '.status.replicas = 7 | .spec.replicas = 99' |
        api PUT "$path/status" -H 'Content-Type: application/json' --data-binary @- >"$BATS_TEST_TMPDIR/out"
    is "$(jq -c '[.metadata.generation, .status.replicas, .spec.replicas]' "$BATS_TEST_TMPDIR/out")" '[2,7,3]'
    api GET "$path" | jq '.status.replicas = 1' | api PUT "$path" -H 'Content-Type: application/json' --data-binary @- >"$BATS_TEST_TMPDIR/out"
    is "$(jq -c '[.metadata.generation, .status.replicas]' "$BATS_TEST_TMPDIR/out")" '[2,7]'
}

@test "an update that changes nothing is not written" {
    send POST "$BASE/configmaps" "$(config_map a)" >/dev/null
    before=$(version_of "$BASE/configmaps/a")
    send PUT "$BASE/configmaps/a" "$(config_map a)" >/dev/null
    is "$(version_of "$BASE/configmaps/a")" "$before"
    send PUT "$BASE/configmaps/a" "$(config_map a x 2)" >/dev/null
    [ "$(version_of "$BASE/configmaps/a")" -gt "$before" ]
}

@test "a name is generated, and another when it is taken" {
    for _ in 1 2 3; do
        send POST "$BASE/configmaps" '{"metadata":{"generateName":"pre-"}}' | jq -r .metadata.name
    done >"$BATS_TEST_TMPDIR/names"
    is "$(sort -u "$BATS_TEST_TMPDIR/names" | grep -cE '^pre-[bcdfghjklmnpqrstvwxz2456789]{5}$')" 3
}

@test "some kinds are created by PUT, others are not" {
    is "$(code send PUT "/apis/coordination.k8s.io/v1/namespaces/$NS/leases/l" '{"kind":"Lease","apiVersion":"coordination.k8s.io/v1","metadata":{"name":"l"}}')" 201
    is "$(code send PUT "$BASE/endpoints/e" '{"kind":"Endpoints","apiVersion":"v1","metadata":{"name":"e"}}')" 201
    is "$(code send PUT "$BASE/configmaps/c" "$(config_map c)")" 404
    is "$(code send PUT "$BASE/events/v" '{"kind":"Event","apiVersion":"v1","metadata":{"name":"v"},"involvedObject":{"namespace":"'"$NS"'"}}')" 201
}

@test "a body that is wrong is told of before that there is nothing to replace" {
    local path=/api/v1/namespaces/$NS/configmaps/nothing
    put() { api PUT "$path" -H 'Content-Type: application/json' -d "$1" | jq -r '"\(.code) \(.message)"'; }
    [ "$(put '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"other"}}')" = \
        "400 the name of the object (other) does not match the name on the URL (nothing)" ]
    [[ "$(put '{"apiVersion":"v1","kind":"Secret","metadata":{"name":"nothing"}}')" == "400 "* ]]
    [ "$(put '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"nothing"}}')" = '404 configmaps "nothing" not found' ]
}

@test "managed fields that a client sends survive" {
    body=$(config_map a | jq -c '.metadata.managedFields = [{"manager":"m","operation":"Update","apiVersion":"v1","time":"2026-01-01T00:00:00Z","fieldsType":"FieldsV1","fieldsV1":{"f:data":{"f:a":{}}}}]')
    send POST "$BASE/configmaps" "$body" >/dev/null
    is "$(api GET "$BASE/configmaps/a" | jq -c '[.metadata.managedFields[] | select(.manager == "m") | .fieldsV1]')" '[{"f:data":{"f:a":{}}}]'
}

@test "unknown and repeated fields are warned of, ignored or refused" {
    body='{"metadata":{"name":"a"},"data":{"a":"1","a":"2"},"bogus":1}'
    headers send POST "$BASE/configmaps?fieldValidation=Warn&dryRun=All" "$body" >"$BATS_TEST_TMPDIR/out"
    grep -q '^Warning: 299 - "unknown field \\"bogus\\""' "$BATS_TEST_TMPDIR/out"
    grep -q '^Warning: 299 - "duplicate field \\"data.a\\""' "$BATS_TEST_TMPDIR/out"
    is "$(headers send POST "$BASE/configmaps?fieldValidation=Ignore&dryRun=All" "$body" | grep -c ^Warning)" 0
    send POST "$BASE/configmaps?fieldValidation=Strict" "$body" >"$BATS_TEST_TMPDIR/out"
    is "$(jq -r .code "$BATS_TEST_TMPDIR/out")" 400
    grep -q 'strict decoding error: unknown field \\"bogus\\", duplicate field \\"data.a\\"\|strict decoding error: duplicate field \\"data.a\\", unknown field \\"bogus\\"' "$BATS_TEST_TMPDIR/out"
    is "$(send POST "$BASE/configmaps" "$body" | jq -r '.data.a')" 2
}

@test "a dry run answers and keeps nothing" {
    is "$(code send POST "$BASE/configmaps?dryRun=All" "$(config_map a)")" 201
    is "$(code api GET "$BASE/configmaps/a")" 404
    is "$(send POST "$BASE/configmaps?dryRun=Some" "$(config_map a)" | jq .code)" 422
    send POST "$BASE/configmaps" "$(config_map a)" >/dev/null
    is "$(send PUT "$BASE/configmaps/a?dryRun=All" "$(config_map a x 9)" | jq -r .data.a)" 9
    is "$(api GET "$BASE/configmaps/a" | jq -r .data.a)" 1
    is "$(code api DELETE "$BASE/configmaps/a?dryRun=All")" 200
    is "$(code api GET "$BASE/configmaps/a")" 200
}

@test "preconditions are kept" {
    send POST "$BASE/configmaps" "$(config_map a)" >/dev/null
    send DELETE "$BASE/configmaps/a" '{"preconditions":{"uid":"another"}}' >"$BATS_TEST_TMPDIR/out"
    is "$(jq -r '.code, .reason' "$BATS_TEST_TMPDIR/out" | tr '\n' ' ')" "409 Conflict "
    grep -q 'the UID in the precondition (another) does not match the UID in record' "$BATS_TEST_TMPDIR/out"
    is "$(send DELETE "$BASE/configmaps/a" '{"preconditions":{"resourceVersion":"1"}}' | jq .code)" 409
    is "$(send DELETE "$BASE/configmaps/a" "{\"preconditions\":{\"uid\":\"$(api GET "$BASE/configmaps/a" | jq -r .metadata.uid)\"}}" | jq -r .status)" Success
}

@test "a delete whose options do not fit deletes nothing" {
    send POST "$BASE/configmaps" "$(config_map a)" >/dev/null
    local handled='DeleteOptions in version "v1" cannot be handled as a DeleteOptions: json: cannot unmarshal'
    local invalid='DeleteOptions.meta.k8s.io "" is invalid:'
    told() { send DELETE "$BASE/configmaps/a$2" "$1" | jq -r '"\(.code) \(.message)"'; }
    is "$(told '{"gracePeriodSeconds":"x"}')" "400 $handled string into Go struct field DeleteOptions.gracePeriodSeconds of type int64"
    is "$(told '{"dryRun":"All"}')" "400 $handled string into Go struct field DeleteOptions.dryRun of type []string"
    [[ "$(told '{"preconditions":5}')" == "400 $handled number into Go struct field DeleteOptions.preconditions of type "* ]]
    is "$(told '{"dryRun":["All","Some"]}')" "422 $invalid dryRun: Unsupported value: [\"All\",\"Some\"]: supported values: \"All\""
    is "$(told '' '?dryRun=All&dryRun=Some')" "422 $invalid dryRun: Unsupported value: [\"All\",\"Some\"]: supported values: \"All\""
    is "$(told '{"propagationPolicy":"Foo"}')" \
        "422 $invalid propagationPolicy: Unsupported value: \"Foo\": supported values: \"Foreground\", \"Background\", \"Orphan\", \"nil\""
    is "$(told '{"propagationPolicy":"Orphan","orphanDependents":false}')" \
        "422 $invalid propagationPolicy: Invalid value: \"Orphan\": orphanDependents and deletionPropagation cannot be both set"
    is "$(told '' '?gracePeriodSeconds=x')" '400 strconv.ParseInt: parsing "x": invalid syntax'
    is "$(told '{"kind":"Pod"}')" "400 the body of a delete must be DeleteOptions, not Pod"
    is "$(told '{"dryRun":["All","All"]}')" "null null"
    is "$(code api GET "$BASE/configmaps/a")" 200
    is "$(send DELETE "$BASE/configmaps/a" '{"dryRun":[]}' | jq -r .status)" Success
    is "$(code api GET "$BASE/configmaps/a")" 404
}

@test "a body of another kind or version is told from one that nobody knows" {
    told() { send POST "$1" "$2" | jq -r '"\(.code) \(.message)"'; }
    local scheme='in scheme "pkg/api/legacyscheme/scheme.go:30"'
    is "$(told "$BASE/pods" '{"kind":"Service","apiVersion":"v1"}')" \
        '400 Service in version "v1" cannot be handled as a Pod: converting (v1.Service) to (core.Pod): unknown conversion'
    is "$(told "$BASE/pods" '{"kind":"Deployment","apiVersion":"apps/v1"}')" \
        '400 Deployment in version "v1" cannot be handled as a Pod: converting (v1.Deployment) to (core.Pod): unknown conversion'
    is "$(told "${BASE/api/apis\/rbac.authorization.k8s.io}/roles" '{"kind":"Pod","apiVersion":"v1"}')" \
        '400 Pod in version "v1" cannot be handled as a Role: converting (v1.Pod) to (rbac.Role): unknown conversion'
    is "$(told "$BASE/pods" '{"kind":"Nope"}')" \
        "400 Nope in version \"v1\" cannot be handled as a Pod: no kind \"Nope\" is registered for version \"v1\" $scheme"
    is "$(told "$BASE/pods" '{"kind":"Pod","apiVersion":"v2"}')" \
        "400 Pod in version \"v2\" cannot be handled as a Pod: no kind \"Pod\" is registered for version \"v2\" $scheme"
    is "$(told "${BASE/api/apis\/autoscaling}/horizontalpodautoscalers" '{"kind":"HorizontalPodAutoscaler","apiVersion":"autoscaling/v2"}')" \
        "400 the API version in the data (autoscaling/v2) does not match the expected API version (autoscaling/v1)"
}

@test "a scale or an eviction that does not fit changes nothing" {
    told() { jq -r '"\(.code) \(.message)"'; }
    k -n "$NS" create deployment web --image i --replicas 3
    local scale=${BASE/api/apis\/apps}/deployments/web/scale
    [[ "$(patch merge "$scale" '{"spec":{"replicas":"x"}}' | told)" == '422 '*'of type int32' ]]
    is "$(patch strategic-merge "$scale" '{"spec":{"replicas":"x"}}' | told)" \
        '422  "" is invalid: patch: Invalid value: "map[spec:map[replicas:x]]": unrecognized type: int32'
    is "$(send PUT "$scale" '{"metadata":{"name":"other"},"spec":{"replicas":1}}' | told)" \
        '400 the name of the object (other) does not match the name on the URL (web)'
    is "$(k -n "$NS" get deployment web -o jsonpath='{.spec.replicas}')" 3
    k -n "$NS" run one --image i
    is "$(send POST "$BASE/pods/one/eviction" '{"kind":"Pod","apiVersion":"v1"}' | told)" \
        '400 Pod in version "v1" cannot be handled as a Eviction: converting (v1.Pod) to (policy.Eviction): unknown conversion'
    [[ "$(send POST "$BASE/pods/one/eviction" '{"deleteOptions":{"preconditions":{"uid":5}}}' | told)" == \
        '400 Eviction in version "v1" cannot be handled as a Eviction: json: cannot unmarshal number '* ]]
    k -n "$NS" get pod one
}

@test "a delete answers with a status or with the object" {
    send POST "$BASE/configmaps" "$(config_map a)" >/dev/null
    is "$(api DELETE "$BASE/configmaps/a" | jq -c '[.kind, .status, .details.kind, .details.name, (.details.uid | length)]')" \
        '["Status","Success","configmaps","a",36]'
    send POST "$BASE/configmaps" "$(config_map b | jq -c '.metadata.finalizers = ["example.com/stay"]')" >/dev/null
    is "$(api DELETE "$BASE/configmaps/b" | jq -c '[.kind, (.metadata.deletionTimestamp != null)]')" '["ConfigMap",true]'
    is "$(patch merge "$BASE/configmaps/b" '{"metadata":{"finalizers":null}}' | jq -r .kind)" ConfigMap
    is "$(code api GET "$BASE/configmaps/b")" 404
}

@test "how dependents are to be treated is recorded for the collector" {
    for policy in Foreground:foregroundDeletion Orphan:orphan; do
        name=${policy,,}
        name=${name%%:*}
        send POST "$BASE/configmaps" "$(config_map "$name")" >/dev/null
        is "$(api DELETE "$BASE/configmaps/$name?propagationPolicy=${policy%%:*}" | jq -c .metadata.finalizers)" "[\"${policy##*:}\"]"
    done
    is "$(api DELETE "$BASE/configmaps/x?propagationPolicy=Sometimes" | jq .code)" 422
}

# ---- pods, secrets, events ----

@test "a pod's class follows from its resources" {
    is "$(send POST "$BASE/pods" "$(a_pod a)" | jq -r .status.qosClass)" BestEffort
    is "$(send POST "$BASE/pods" "$(a_pod b ',"resources":{"requests":{"cpu":"1"}}')" | jq -r .status.qosClass)" Burstable
    is "$(send POST "$BASE/pods" "$(a_pod c ',"resources":{"limits":{"cpu":"1","memory":"1Gi"}}')" | jq -r .status.qosClass)" Guaranteed
}

@test "addresses that are told once and as a list stay in step" {
    local path=$BASE/pods/p addresses='.status | [.hostIP, [.hostIPs[].ip], .podIP, [.podIPs[].ip]]'
    send POST "$BASE/pods" "$(a_pod p)" >/dev/null
    is "$(patch merge "$path/status" '{"status":{"hostIP":"1.1.1.1","podIP":"2.2.2.2"}}' | jq -c "$addresses")" '["1.1.1.1",["1.1.1.1"],"2.2.2.2",["2.2.2.2"]]'
    is "$(patch merge "$path/status" '{"status":{"hostIP":"1.1.1.3","podIP":"2.2.2.3"}}' | jq -c "$addresses")" '["1.1.1.3",["1.1.1.3"],"2.2.2.3",["2.2.2.3"]]'
    is "$(patch merge "$path/status" '{"status":{"hostIP":null,"podIP":null,"hostIPs":[{"ip":"1.1.1.4"},{"ip":"::4"}],"podIPs":[{"ip":"2.2.2.4"},{"ip":"::5"}]}}' | jq -c "$addresses")" '["1.1.1.4",["1.1.1.4","::4"],"2.2.2.4",["2.2.2.4","::5"]]'
    is "$(send POST /api/v1/nodes '{"metadata":{"name":"'"$NS"'-a"},"spec":{"podCIDR":"10.1.0.0/24"}}' | jq -c .spec.podCIDRs)" '["10.1.0.0/24"]'
    is "$(send POST /api/v1/nodes '{"metadata":{"name":"'"$NS"'-b"},"spec":{"podCIDRs":["10.2.0.0/24","fd00::/64"]}}' | jq -r .spec.podCIDR)" 10.2.0.0/24
    api DELETE "/api/v1/nodes/$NS-a" >/dev/null
    api DELETE "/api/v1/nodes/$NS-b" >/dev/null
}

@test "a strategic patch of a pod's status leaves all else as it was, whatever it names" {
    local path=$BASE/pods/p all='[.metadata.labels.l, .spec.containers[0].name, .spec.nodeName, .status.phase, .status.qosClass]'
    send POST "$BASE/pods" "$(a_pod p)" >/dev/null
    is "$(patch strategic-merge "$path/status" '{"status":{"phase":"Running"}}' | jq -c "$all")" '[null,"c",null,"Running","BestEffort"]'
    is "$(patch strategic-merge "$path/status" '{"metadata":{"labels":{"l":"v"}},"spec":{"nodeName":"n","containers":null}}' | jq -c "$all")" '["v","c",null,"Running","BestEffort"]'
    is "$(patch strategic-merge "$path/status" '{"spec":null,"status":{"$patch":"merge","phase":"Failed"}}' | jq -c "$all")" '["v","c",null,"Failed","BestEffort"]'
    is "$(patch strategic-merge "$path/status" '{"$retainKeys":["apiVersion","kind","metadata","status"],"status":{"phase":"Succeeded"}}' | jq -c "$all")" '["v","c",null,"Succeeded","BestEffort"]'
    is "$(patch strategic-merge "$path/status?fieldValidation=Strict" '{"spec":{"nope":1}}' | jq .code)" 422
    is "$(patch strategic-merge "$path/status" '{"status":{"phase":1}}' | jq .code)" 422
}

@test "a service account has an older name as well" {
    local account='.spec | [.serviceAccount, .serviceAccountName]'
    send POST "/api/v1/namespaces/$NS/serviceaccounts" '{"metadata":{"name":"s"}}' >/dev/null
    is "$(send POST "$BASE/pods" "$(a_pod p | jq -c '.spec.serviceAccount = "s"')" | jq -c "$account")" '["s","s"]'
    is "$(send POST "$BASE/pods" "$(a_pod q | jq -c '.spec.serviceAccountName = "s"')" | jq -c "$account")" '["s","s"]'
    is "$(send POST "$BASE/podtemplates" "$(a_pod t | jq -c '{metadata: .metadata, template: {metadata: {labels: {a: "b"}}, spec: (.spec | .serviceAccount = "s" | .serviceAccountName = "n")}}')" | jq -c ".template | $account")" '["n","n"]'
}

@test "a pod is bound by either subresource, once, and then changes little" {
    binding='{"kind":"Binding","apiVersion":"v1","metadata":{"name":"NAME"},"target":{"kind":"Node","name":"n1"}}'
    send POST "$BASE/pods" "$(a_pod a)" >/dev/null
    send POST "$BASE/pods" "$(a_pod b)" >/dev/null
    is "$(send POST "$BASE/pods/a/binding" "${binding/NAME/a}" | jq -r .status)" Success
    is "$(send POST "$BASE/bindings" "${binding/NAME/b}" | jq -r .status)" Success
    is "$(api GET "$BASE/pods/b" | jq -r '.spec.nodeName, (.status.conditions[] | select(.type == "PodScheduled") | .status)' | tr '\n' ' ')" "n1 True "
    is "$(send POST "$BASE/pods/a/binding" "${binding/NAME/a}" | jq .code)" 409
    patch merge "$BASE/pods/a" '{"spec":{"hostNetwork":true}}' >"$BATS_TEST_TMPDIR/out"
    is "$(jq .code "$BATS_TEST_TMPDIR/out")" 422
    grep -q 'pod updates may not change fields other than' "$BATS_TEST_TMPDIR/out"
    is "$(patch strategic-merge "$BASE/pods/a" '{"spec":{"containers":[{"name":"c","image":"j"}]}}' | jq -r '.spec.containers[0].image')" j
}

@test "containers are added and resized by their subresources alone" {
    send POST "$BASE/pods" "$(a_pod a ',"resources":{"requests":{"cpu":"1"}}')" >/dev/null
    is "$(patch strategic-merge "$BASE/pods/a/ephemeralcontainers" '{"spec":{"ephemeralContainers":[{"name":"e","image":"i"}]}}' | jq -r '.spec.ephemeralContainers[0].name')" e
    is "$(patch strategic-merge "$BASE/pods/a/resize" '{"spec":{"containers":[{"name":"c","resources":{"requests":{"cpu":"2"}}}]}}' | jq -r '.spec.containers[0].resources.requests.cpu')" 2
    is "$(patch strategic-merge "$BASE/pods/a" '{"spec":{"containers":[{"name":"c","resources":{"requests":{"cpu":"3"}}}]}}' | jq .code)" 422
}

@test "evictions are taken in both versions of their body" {
    for version in v1 v1beta1; do
        send POST "$BASE/pods" "$(a_pod "$version")" >/dev/null
        is "$(send POST "$BASE/pods/$version/eviction" '{"kind":"Eviction","apiVersion":"policy/'$version'","metadata":{"name":"'$version'"}}' | jq -r '.status, .code' | tr '\n' ' ')" "Success 201 "
        is "$(code api GET "$BASE/pods/$version")" 404
    done
}

@test "a secret's plain words are stored encoded" {
    is "$(send POST "$BASE/secrets" '{"metadata":{"name":"s"},"stringData":{"a":"b"}}' | jq -c '[.data.a, .stringData, .type]')" '["Yg==",null,"Opaque"]'
}

@test "an event is one object under two groups" {
    send POST "$BASE/events" '{"metadata":{"name":"e"},"involvedObject":{"kind":"Pod","namespace":"'"$NS"'","name":"p"},"reason":"R","message":"M","type":"Normal","count":3}' >/dev/null
    is "$(api GET "/apis/events.k8s.io/v1/namespaces/$NS/events/e" | jq -c '[.regarding.name, .note, .deprecatedCount, .reason]')" '["p","M",3,"R"]'
    is "$(api GET "$BASE/events?fieldSelector=involvedObject.name%3Dp,reason%3DR" | jq '.items | length')" 1
}

@test "an event loses nothing between its two views" {
    local event core events=/apis/events.k8s.io/v1/namespaces/$NS/events
    event='{"metadata":{"name":"e"},"involvedObject":{"kind":"Pod","namespace":"'"$NS"'","name":"p"},"reason":"R","message":"M","type":"Normal","count":3,"firstTimestamp":"2024-01-01T00:00:00Z","lastTimestamp":"2024-01-02T00:00:00Z","source":{"component":"c","host":"h"},"eventTime":"2024-01-03T00:00:00.000000Z","series":{"count":2,"lastObservedTime":"2024-01-04T00:00:00.000000Z"},"related":{"kind":"Node","name":"n"},"action":"A","reportingComponent":"x.io/y","reportingInstance":"z"}'
    send POST "$BASE/events" "$event" >/dev/null
    core=$(api GET "$BASE/events/e" | jq -cS 'del(.metadata.resourceVersion)')
    is "$(jq -cS 'del(.metadata, .kind, .apiVersion)' <<<"$core")" "$(jq -cS 'del(.metadata)' <<<"$event")"
    is "$(api GET "$events/e" | jq -c '[.deprecatedFirstTimestamp, .deprecatedLastTimestamp, .deprecatedSource.host, .series.count, .reportingController, .reportingInstance]')" '["2024-01-01T00:00:00Z","2024-01-02T00:00:00Z","h",2,"x.io/y","z"]'
    patch merge "$events/e" '{"metadata":{"labels":{"a":"b"}}}' >/dev/null
    is "$(api GET "$BASE/events/e" | jq -cS 'del(.metadata.resourceVersion, .metadata.labels)')" "$core"
}

@test "an event that nobody reports says so in one view alone" {
    local events=/apis/events.k8s.io/v1/namespaces/$NS/events
    send POST "$BASE/events" '{"metadata":{"name":"e"},"involvedObject":{"kind":"Pod","namespace":"'"$NS"'","name":"p"},"reason":"R"}' >/dev/null
    is "$(api GET "$BASE/events/e" | jq -c '[.reportingComponent, .reportingInstance, .source]')" '["","",{}]'
    is "$(api GET "$events/e" | jq -c '[keys[], .deprecatedSource, .deprecatedFirstTimestamp]')" '["apiVersion","deprecatedFirstTimestamp","deprecatedLastTimestamp","deprecatedSource","eventTime","kind","metadata","reason","regarding",{},null]'
    patch merge "$events/e" '{"metadata":{"labels":{"a":"b"}}}' >/dev/null
    is "$(api GET "$BASE/events/e" | jq -c '[.reportingComponent, .reportingInstance, .source]')" '["","",{}]'
}

@test "a namespace is finalized by its subresource" {
    send POST /api/v1/namespaces '{"metadata":{"name":"'"$NS"'-f"}}' >/dev/null
    is "$(api DELETE "/api/v1/namespaces/$NS-f" | jq -r .status.phase)" Terminating
    is "$(send POST "/api/v1/namespaces/$NS-f/configmaps" "$(config_map a)" | jq -c '[.code, .reason, .details.causes[0].reason]')" '[403,"Forbidden","NamespaceTerminating"]'
    api GET "/api/v1/namespaces/$NS-f" | jq '.spec.finalizers = []' |
        api PUT "/api/v1/namespaces/$NS-f/finalize" -H 'Content-Type: application/json' --data-binary @- >/dev/null
    is "$(code api GET "/api/v1/namespaces/$NS-f")" 404
}

# ---- media types ----

@test "answers come in the form that is asked for" {
    send POST "$BASE/configmaps" "$(config_map a)" >/dev/null
    is "$(api GET "$BASE/configmaps/a" -H 'Accept: application/yaml' | head -n 1)" "apiVersion: v1"
    is "$(api GET "$BASE/configmaps/a" -H 'Accept: application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1' | jq -c '[.kind, .apiVersion, .metadata.name, .data]')" '["PartialObjectMetadata","meta.k8s.io/v1","a",null]'
    is "$(api GET "$BASE/configmaps" -H 'Accept: application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1' | jq -r .kind)" PartialObjectMetadataList
    table='Accept: application/json;as=Table;g=meta.k8s.io;v=v1'
    is "$(api GET "$BASE/configmaps" -H "$table" | jq -c '[.kind, [.columnDefinitions[].name], .rows[0].object.kind]')" '["Table",["Name","Data","Age"],"PartialObjectMetadata"]'
    is "$(api GET "$BASE/configmaps?includeObject=None" -H "$table" | jq '.rows[0].object')" null
    is "$(api GET "$BASE/configmaps?includeObject=Object" -H "$table" | jq -r '.rows[0].object.kind')" ConfigMap
}

@test "what can't be read or written in a form is refused with the forms that can" {
    is "$(api GET "$BASE/configmaps" -H 'Accept: text/html' | jq -c '[.code, .reason]')" '[406,"NotAcceptable"]'
    api POST "$BASE/configmaps" -H 'Content-Type: text/plain' --data-binary x >"$BATS_TEST_TMPDIR/out"
    is "$(jq -c '[.code, .reason]' "$BATS_TEST_TMPDIR/out")" '[415,"UnsupportedMediaType"]'
    grep -q 'application/json' "$BATS_TEST_TMPDIR/out"
    send POST "$BASE/configmaps" "$(config_map a)" >/dev/null
    is "$(send PATCH "$BASE/configmaps/a" '{}' | jq .code)" 415
    head -c 3200000 /dev/zero | tr '\0' ' ' >"$BATS_TEST_TMPDIR/large"
    is "$(api POST "$BASE/configmaps" -H 'Content-Type: application/json' --data-binary "@$BATS_TEST_TMPDIR/large" | jq -c '[.code, .reason]')" '[413,"RequestEntityTooLarge"]'
}

# ---- watches ----

# watch PATH [CURL ARGUMENTS…]: the events of a watch that ends by itself.
watch() {
    local path=$1
    shift
    api GET "$path&timeoutSeconds=1" -N "$@"
}

@test "old paths of watches work" {
    send POST "$BASE/configmaps" "$(config_map a)" >/dev/null
    is "$(watch "/api/v1/watch/namespaces/$NS/configmaps/a?x=y" | jq -r '[.type, .object.metadata.name] | join(" ")')" "ADDED a"
    is "$(watch "/api/v1/watch/configmaps?labelSelector=l%3Dx" | jq -r 'select(.object.metadata.namespace == "'"$NS"'") | .type')" ADDED
}

@test "a watch tells of what enters and leaves a selection" {
    start=$(api GET "$BASE/configmaps" | jq -r .metadata.resourceVersion)
    send POST "$BASE/configmaps" "$(config_map a out)" >/dev/null
    send PUT "$BASE/configmaps/a" "$(config_map a in)" >/dev/null
    send PUT "$BASE/configmaps/a" "$(config_map a in 2)" >/dev/null
    send PUT "$BASE/configmaps/a" "$(config_map a out)" >/dev/null
    is "$(watch "$BASE/configmaps?watch=1&labelSelector=l%3Din&resourceVersion=$start" | jq -r .type | tr '\n' ' ')" "ADDED MODIFIED DELETED "
}

@test "a watch with initial events closes them with a bookmark" {
    send POST "$BASE/configmaps" "$(config_map a)" >/dev/null
    watch "$BASE/configmaps?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true" |
        jq -c '[.type, .object.metadata.annotations["k8s.io/initial-events-end"]]' >"$BATS_TEST_TMPDIR/out"
    is "$(sed -n '1p;2p' "$BATS_TEST_TMPDIR/out" | tr '\n' ' ')" '["ADDED",null] ["BOOKMARK","true"] '
}

@test "a watch prints rows, and metadata alone, when asked so" {
    send POST "$BASE/configmaps" "$(config_map a)" >/dev/null
    is "$(watch "$BASE/configmaps?watch=1" -H 'Accept: application/json;as=Table;g=meta.k8s.io;v=v1' | jq -c '[.type, .object.kind, .object.rows[0].cells[0]]')" '["ADDED","Table","a"]'
    is "$(watch "$BASE/configmaps?watch=1" -H 'Accept: application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1' | jq -c '[.object.kind, .object.data]')" '["PartialObjectMetadata",null]'
}

@test "a watch from a version that is forgotten says so" {
    watch "$BASE/configmaps?watch=1&resourceVersion=1" >"$BATS_TEST_TMPDIR/out"
    if [ "${STORE:-sqlite}" = sqlite ]; then
        stop_server && start_server # What was before the start is not in the log of changes.
        for _ in $(seq 1 5); do send POST "$BASE/configmaps" '{"metadata":{"generateName":"x"}}' >/dev/null; done
        watch "$BASE/configmaps?watch=1&resourceVersion=1" >"$BATS_TEST_TMPDIR/out"
        is "$(head -n 1 "$BATS_TEST_TMPDIR/out" | jq -c '[.type, .object.code, .object.reason]')" '["ERROR",410,"Expired"]'
        grep -q 'too old resource version: 1' "$BATS_TEST_TMPDIR/out"
    fi
}

# ---- discovery and documents ----

@test "discovery is plain or aggregated, as asked" {
    is "$(api GET /api | jq -c '[.kind, .versions]')" '["APIVersions",["v1"]]'
    is "$(api GET /apis | jq -r '.groups[0].name')" apiregistration.k8s.io
    for version in v2 v2beta1; do
        accept="application/json;g=apidiscovery.k8s.io;v=$version;as=APIGroupDiscoveryList"
        headers api GET /apis -H "Accept: $accept" | grep -q "^Content-Type: $accept"
        is "$(api GET /apis -H "Accept: $accept" | jq -r '.items[] | select(.metadata.name == "apps") | .versions[0].resources[] | select(.resource == "deployments") | .singularResource')" deployment
    done
    is "$(api GET /apis/autoscaling | jq -r .preferredVersion.groupVersion)" autoscaling/v2
    is "$(api GET /api/v1 | jq -c '.resources[] | select(.name == "pods/eviction") | [.group, .version, .kind]')" '["policy","v1","Eviction"]'
    is "$(api GET /api/v1 | jq -r '.resources[] | select(.name == "pods") | .storageVersionHash | length')" 12
}

@test "the OpenAPI documents are there, and need not be sent twice" {
    path=$(api GET /openapi/v3 | jq -r '.paths["apis/apps/v1"].serverRelativeURL')
    [[ "$path" == *"?hash="* ]]
    headers api GET "$path" >"$BATS_TEST_TMPDIR/out"
    grep -qi '^Cache-Control: public, immutable' "$BATS_TEST_TMPDIR/out"
    headers api GET "${path%%\?*}?hash=0" >"$BATS_TEST_TMPDIR/elsewhere"
    grep -q "^Location: $path" "$BATS_TEST_TMPDIR/elsewhere"
    etag=$(grep -i '^etag:' "$BATS_TEST_TMPDIR/out" | cut -d' ' -f2)
    is "$(code api GET "$path" -H "If-None-Match: $etag")" 304
    is "$(api GET "$path" | jq -cS '.components.schemas["io.k8s.api.apps.v1.Deployment"]["x-kubernetes-group-version-kind"]')" '[{"group":"apps","kind":"Deployment","version":"v1"}]'
    is "$(api GET "$path" | jq '[.paths["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"].patch.parameters[].name] | index("fieldValidation") != null')" true
    is "$(api GET /openapi/v2 | jq -r .swagger)" 2.0
    headers api GET /openapi/v2 -H 'Accept: application/com.github.proto-openapi.spec.v2@v1.0+protobuf' |
        grep -q '^Content-Type: application/com.github.proto-openapi.spec.v2.v1.0+protobuf'
}

@test "metrics have upstream's names" {
    api GET "$BASE/configmaps" >/dev/null
    api GET /metrics >"$BATS_TEST_TMPDIR/out"
    for name in apiserver_request_total apiserver_request_duration_seconds_bucket \
        apiserver_storage_objects apiserver_longrunning_requests process_resident_memory_bytes; do
        grep -q "^$name" "$BATS_TEST_TMPDIR/out"
    done
}
