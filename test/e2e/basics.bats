#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0

load helpers

setup_file() { start_server; }
teardown_file() { stop_server; }
setup() { new_namespace; }

@test "a first start has the system namespaces and the kubernetes service" {
    run k get namespaces -o name
    [ "$status" -eq 0 ]
    for name in default kube-system kube-public kube-node-lease; do
        [[ "$output" == *"namespace/$name"* ]]
    done
    run k get service kubernetes -o jsonpath='{.spec.clusterIP} {.spec.ports[0].port}'
    [ "$output" = "10.0.0.1 443" ]
}

@test "a config map is created, read, changed and deleted" {
    k -n "$NS" create configmap one --from-literal=a=b
    [ "$(k -n "$NS" get configmap one -o jsonpath='{.data.a}')" = b ]
    k -n "$NS" patch configmap one --type merge -p '{"data":{"a":"c"}}'
    [ "$(k -n "$NS" get configmap one -o jsonpath='{.data.a}')" = c ]
    k -n "$NS" delete configmap one
    run k -n "$NS" get configmap one
    [ "$status" -ne 0 ]
    [[ "$output" == *'configmaps "one" not found'* ]]
}

@test "a second apply says unchanged" {
    cat >"$BATS_TEST_TMPDIR/web.yaml" <<YAML
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        image: nginx:1.27
        ports: [{containerPort: 80}]
        resources: {requests: {cpu: 100m, memory: 64Mi}}
---
apiVersion: v1
kind: Service
metadata:
  name: web
spec:
  selector: {app: web}
  ports: [{port: 80}]
YAML
    run k -n "$NS" apply -f "$BATS_TEST_TMPDIR/web.yaml"
    echo "$output"
    [ "$status" -eq 0 ]
    [[ "$output" == *"deployment.apps/web created"* ]]
    run k -n "$NS" apply -f "$BATS_TEST_TMPDIR/web.yaml"
    echo "$output"
    [ "$status" -eq 0 ]
    [[ "$output" == *"deployment.apps/web unchanged"* ]]
    [[ "$output" == *"service/web unchanged"* ]]
    sed -i s/1.27/1.28/ "$BATS_TEST_TMPDIR/web.yaml"
    run k -n "$NS" apply -f "$BATS_TEST_TMPDIR/web.yaml"
    [[ "$output" == *"deployment.apps/web configured"* ]]
    [ "$(k -n "$NS" get deployment web -o jsonpath='{.metadata.generation}')" = 2 ]
}

@test "a stale update is refused with conflict" {
    k -n "$NS" create configmap one --from-literal=a=1
    k -n "$NS" get configmap one -o json >"$BATS_TEST_TMPDIR/old.json"
    k -n "$NS" patch configmap one --type merge -p '{"data":{"a":"2"}}'
    run k -n "$NS" replace -f "$BATS_TEST_TMPDIR/old.json"
    [ "$status" -ne 0 ]
    [[ "$output" == *"the object has been modified; please apply your changes to the latest version and try again"* ]]
}

@test "an invalid object is refused with the path of each cause" {
    run k -n "$NS" create -f - <<YAML
apiVersion: v1
kind: Pod
metadata: {name: Bad_Name}
spec:
  containers:
  - {name: a, image: b, ports: [{containerPort: 70000}]}
YAML
    [ "$status" -ne 0 ]
    [[ "$output" == *'metadata.name: Invalid value: "Bad_Name": a lowercase RFC 1123 subdomain'* ]]
    [[ "$output" == *"spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive"* ]]
}

@test "an unknown field is refused when kubectl validates strictly" {
    run k -n "$NS" create -f - <<YAML
apiVersion: v1
kind: ConfigMap
metadata: {name: one}
dat: {a: b}
YAML
    [ "$status" -ne 0 ]
    [[ "$output" == *'unknown field "dat"'* ]]
}

@test "nothing is created in a namespace that is missing or terminating" {
    run k -n missing create configmap one
    [[ "$output" == *'namespaces "missing" not found'* ]]
    k delete namespace "$NS" --wait=false
    [ "$(k get namespace "$NS" -o jsonpath='{.status.phase}')" = Terminating ]
    run k -n "$NS" create configmap one
    [[ "$output" == *"because it is being terminated"* ]]
}

@test "lists are selected by labels and fields and cut in pages" {
    for i in 1 2 3 4 5; do k -n "$NS" create configmap "c$i" --from-literal=i=$i; done
    k -n "$NS" label configmap c1 c2 tier=front
    [ "$(k -n "$NS" get configmaps -l tier=front -o name | wc -l)" = 2 ]
    [ "$(k -n "$NS" get configmaps -l '!tier' -o name | wc -l)" = 3 ]
    [ "$(k -n "$NS" get configmaps --field-selector metadata.name=c3 -o name)" = configmap/c3 ]
    [ "$(k -n "$NS" get configmaps --chunk-size 2 -o name | wc -l)" = 5 ]
    api GET "/api/v1/namespaces/$NS/configmaps?limit=2" >"$BATS_TEST_TMPDIR/page"
    [ "$(jq .metadata.remainingItemCount "$BATS_TEST_TMPDIR/page")" = 3 ]
}

@test "a watch reports what happens" {
    k -n "$NS" get configmaps --watch --output-watch-events >"$BATS_TEST_TMPDIR/events" 3>&- &
    local watch=$!
    k -n "$NS" create configmap one --from-literal=a=1
    wait_until 10 grep -q "ADDED" "$BATS_TEST_TMPDIR/events"
    k -n "$NS" patch configmap one --type merge -p '{"data":{"a":"2"}}'
    wait_until 10 grep -q "MODIFIED" "$BATS_TEST_TMPDIR/events"
    k -n "$NS" delete configmap one
    wait_until 10 grep -q "DELETED" "$BATS_TEST_TMPDIR/events"
    kill "$watch"
}

@test "two services never get the same cluster IP or node port" {
    for i in $(seq 1 8); do
        k -n "$NS" create service nodeport "s$i" --tcp=80 &
    done
    wait
    [ "$(k -n "$NS" get services -o jsonpath='{range .items[*]}{.spec.clusterIP}{"\n"}{end}' | sort -u | wc -l)" = 8 ]
    [ "$(k -n "$NS" get services -o jsonpath='{range .items[*]}{.spec.ports[0].nodePort}{"\n"}{end}' | sort -u | wc -l)" = 8 ]
}

@test "a pod is bound once and deleted gracefully" {
    k -n "$NS" run one --image=busybox
    local bind='{"apiVersion":"v1","kind":"Binding","metadata":{"name":"one"},"target":{"kind":"Node","name":"n1"}}'
    run api POST "/api/v1/namespaces/$NS/pods/one/binding" -H 'Content-Type: application/json' -d "$bind"
    [ "$(jq -r .status <<<"$output")" = Success ]
    run api POST "/api/v1/namespaces/$NS/pods/one/binding" -H 'Content-Type: application/json' -d "$bind"
    [[ "$(jq -r .message <<<"$output")" == *'is already assigned to node "n1"'* ]]
    [ "$(k -n "$NS" get pod one -o jsonpath='{.status.qosClass}')" = BestEffort ]
    k -n "$NS" delete pod one --wait=false
    [ -n "$(k -n "$NS" get pod one -o jsonpath='{.metadata.deletionTimestamp}')" ]
    k -n "$NS" delete pod one --grace-period=0 --force
    run k -n "$NS" get pod one
    [ "$status" -ne 0 ]
}

@test "scale, label, annotate, set image, expose, autoscale" {
    k -n "$NS" create deployment web --image=nginx --replicas=1
    k -n "$NS" scale deployment web --replicas=4
    [ "$(k -n "$NS" get deployment web -o jsonpath='{.spec.replicas}')" = 4 ]
    k -n "$NS" label deployment web tier=front
    k -n "$NS" annotate deployment web note=hello
    k -n "$NS" set image deployment/web nginx=nginx:2
    k -n "$NS" set env deployment/web A=b
    k -n "$NS" set resources deployment/web --limits=cpu=200m
    k -n "$NS" expose deployment web --port 80
    k -n "$NS" autoscale deployment web --max 5 --cpu-percent 50
    [ "$(k -n "$NS" get deployment web -o jsonpath='{.spec.template.spec.containers[0].image}')" = nginx:2 ]
    [ "$(k -n "$NS" get hpa web -o jsonpath='{.spec.maxReplicas}')" = 5 ]
}

@test "everybody else is refused" {
    run curl -s --cacert "$DATA/pki/ca.crt" "https://127.0.0.1:$PORT/api/v1/pods"
    [[ "$(jq -r .message <<<"$output")" == *'User "system:anonymous" cannot list resource "pods"'* ]]
    run curl -s --cacert "$DATA/pki/ca.crt" -H 'Authorization: Bearer wrong' "https://127.0.0.1:$PORT/api/v1/pods"
    [ "$(jq .code <<<"$output")" = 401 ]
    [ "$(curl -s --cacert "$DATA/pki/ca.crt" "https://127.0.0.1:$PORT/readyz")" = ok ]
}

@test "names, and their beginnings, are checked to their end" {
    local core=/api/v1/namespaces/$NS/configmaps roles=/apis/rbac.authorization.k8s.io/v1/clusterroles
    while read -r path metadata field; do
        run api POST "$path" -H 'Content-Type: application/json' -d "{\"metadata\":{$metadata}}"
        [ "$(jq -r '"\(.code) \(.details.causes[0].field)"' <<<"$output")" = "422 metadata.$field" ]
    done <<BODIES
$core "name":"a\u0000b" name
$core "generateName":"a\u0000b" generateName
$core "generateName":"Ab-" generateName
$roles "name":"a\u0000b" name
BODIES
    run api POST "$core" -H 'Content-Type: application/json' -d '{"metadata":{"generateName":"a-"}}'
    [[ "$(jq -r .metadata.name <<<"$output")" == a-????? ]]
}

@test "server-side apply is refused with the patch types that there are" {
    k -n "$NS" create deployment web --image=nginx
    local path
    for path in "/api/v1/namespaces/$NS/configmaps/new" "/apis/apps/v1/namespaces/$NS/deployments/web" \
        "/apis/apps/v1/namespaces/$NS/deployments/web/status" "/apis/apps/v1/namespaces/$NS/deployments/web/scale"; do
        run api PATCH "$path?fieldManager=me&force=true" -H 'Content-Type: application/apply-patch+yaml' -d '{"metadata":{}}'
        [ "$(jq -r '"\(.code) \(.reason): \(.message)"' <<<"$output")" = "415 UnsupportedMediaType: the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json" ]
    done
    run k -n "$NS" get configmap new
    [[ "$output" == *'configmaps "new" not found'* ]]
}

@test "fields that another server's managers own stay recorded" {
    needs_kubectl 1.21
    api POST "/api/v1/namespaces/$NS/configmaps" -H 'Content-Type: application/json' \
        -d '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","managedFields":[{"manager":"m","operation":"Update","apiVersion":"v1","fieldsType":"FieldsV1","fieldsV1":{"f:data":{}}}]},"data":{"a":"1"}}'
    k -n "$NS" patch configmap a --type merge -p '{"metadata":{"managedFields":null},"data":{"a":"2"}}'
    [ "$(k -n "$NS" get configmap a -o json --show-managed-fields | jq -r '.metadata.managedFields[0].manager + .data.a')" = m2 ]
}

@test "discovery, explain and versions" {
    run k api-resources
    [ "$status" -eq 0 ]
    [[ "$output" == *deployments* ]]
    run k api-versions
    [[ "$output" == *apps/v1* ]]
    run k explain pod.spec.containers
    [ "$status" -eq 0 ]
    [[ "$output" == *image* ]]
    run k version
    [[ "$output" == *v1.34.0+coracle* ]]
}

@test "tables show the columns that people know" {
    k -n "$NS" create deployment web --image=nginx --replicas=2
    run k -n "$NS" get deployments
    [[ "$output" == *NAME*READY*UP-TO-DATE*AVAILABLE*AGE* ]]
    [[ "$output" == *web*0/2* ]]
    run k -n "$NS" get deployments -o wide
    [[ "$output" == *CONTAINERS*IMAGES*SELECTOR*app=web* ]]
}

@test "component statuses tell of the leaders' leases and of the store" {
    run k get componentstatuses
    [ "$status" -eq 0 ]
    [[ "$output" == *"Warning: v1 ComponentStatus is deprecated in v1.19+"* ]]
    [[ "$output" == *scheduler*Unhealthy*"nobody holds the lease kube-system/kube-scheduler"* ]]
    k apply -f - <<YAML
apiVersion: coordination.k8s.io/v1
kind: Lease
metadata: {name: kube-scheduler, namespace: kube-system}
spec: {holderIdentity: one, leaseDurationSeconds: 3600, renewTime: "$(date -u +%FT%T.000000Z)"}
YAML
    local found='[.items[] | {(.metadata.name): .conditions[0] | "\(.type) \(.status)"}] | add'
    [ "$(api GET /api/v1/componentstatuses | jq -c ".metadata, ($found)")" = '{}
{"controller-manager":"Healthy False","scheduler":"Healthy True","etcd-0":"Healthy True"}' ]
    k -n kube-system patch lease kube-scheduler --type merge \
        -p '{"spec":{"renewTime":"2020-01-01T00:00:00.000000Z"}}'
    run k get componentstatus scheduler -o jsonpath='{.conditions[0].status} {.conditions[0].message}'
    [[ "$output" == *"False the lease kube-system/kube-scheduler was last renewed at 2020-01-01"* ]]
    k -n kube-system delete lease kube-scheduler
    [ "$(k get componentstatuses etcd-0 --no-headers 2>/dev/null | xargs)" = "etcd-0 Healthy ok" ]
    run k get componentstatus other
    [[ "$output" == *"Component not found: other"* ]]
}

@test "a scale is printed with what is wanted and what is there" {
    needs_kubectl 1.24
    k -n "$NS" create deployment web --image=nginx --replicas=4
    run k -n "$NS" get deployment web --subresource=scale
    [ "$status" -eq 0 ]
    [ "$(xargs <<<"${lines[0]}")" = "NAME DESIRED AVAILABLE AGE" ]
    [[ "$(xargs <<<"${lines[1]}")" =~ ^web\ 4\ 0\ [0-9]+s$ ]]
    local scale=/apis/apps/v1/namespaces/$NS/deployments/web/scale
    local as='g=meta.k8s.io;v=v1'
    [ "$(api GET "$scale" -H "Accept: application/json;as=Table;$as" | jq -r '.rows[0].object.kind')" = PartialObjectMetadata ]
    [ "$(api GET "$scale?includeObject=Object" -H "Accept: application/json;as=Table;$as" | jq -c '.rows[0].object | [.kind, .spec.replicas]')" = '["Scale",4]' ]
    [ "$(api GET "$scale?includeObject=None" -H "Accept: application/json;as=Table;$as" | jq -c '.rows[0].object')" = null ]
    [ "$(api GET "$scale" -H "Accept: application/json;as=PartialObjectMetadata;$as" | jq -c '[.kind, .metadata.name, .spec]')" = '["PartialObjectMetadata","web",null]' ]
    [ "$(k -n "$NS" get deployment web --subresource=scale -o jsonpath='{.kind} {.spec.replicas}')" = "Scale 4" ]
}
