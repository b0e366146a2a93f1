#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What people do with kubectl.

load helpers

setup_file() { start_server; }
teardown_file() { stop_server; }
setup() { new_namespace; }

@test "get prints yaml, json, jsonpath, columns of one's own, and sorts" {
    k -n "$NS" create configmap b --from-literal=x=1
    k -n "$NS" create configmap a --from-literal=x=2
    k -n "$NS" get configmap a -o yaml | grep -q '^  x: "2"'
    [ "$(k -n "$NS" get configmap a -o json | jq -r .data.x)" = 2 ]
    [ "$(k -n "$NS" get configmaps --sort-by=.data.x -o jsonpath='{.items[*].metadata.name}')" = "b a" ]
    run k -n "$NS" get configmaps -o custom-columns=N:.metadata.name,X:.data.x --no-headers
    [[ "$output" == *a*2* ]]
    k get configmaps -A --no-headers | grep -q "^$NS "
}

@test "diff tells what an apply would change, and changes nothing" {
    k -n "$NS" create configmap one --from-literal=a=1 --dry-run=client -o yaml >"$BATS_TEST_TMPDIR/one.yaml"
    k -n "$NS" apply -f "$BATS_TEST_TMPDIR/one.yaml"
    k -n "$NS" diff -f "$BATS_TEST_TMPDIR/one.yaml"
    sed -i 's/a: "1"/a: "2"/' "$BATS_TEST_TMPDIR/one.yaml"
    run k -n "$NS" diff -f "$BATS_TEST_TMPDIR/one.yaml"
    [ "$status" -eq 1 ]
    [[ "$output" == *'+  a: "2"'* ]]
    [ "$(k -n "$NS" get configmap one -o jsonpath='{.data.a}')" = 1 ]
}

@test "edit and replace" {
    k -n "$NS" create configmap one --from-literal=a=before
    KUBE_EDITOR='sed -i s/before/after/' k -n "$NS" edit configmap one
    [ "$(k -n "$NS" get configmap one -o jsonpath='{.data.a}')" = after ]
    k -n "$NS" get configmap one -o yaml | sed 's/^  a: .*/  a: "9"/' | k -n "$NS" replace -f -
    [ "$(k -n "$NS" get configmap one -o jsonpath='{.data.a}')" = 9 ]
}

@test "the three kinds of patches" {
    k -n "$NS" create deployment web --image=a:1
    k -n "$NS" patch deployment web -p '{"spec":{"template":{"spec":{"containers":[{"name":"side","image":"b:1"}]}}}}'
    [ "$(k -n "$NS" get deployment web -o jsonpath='{.spec.template.spec.containers[*].name}')" = "side a" ] ||
        [ "$(k -n "$NS" get deployment web -o jsonpath='{.spec.template.spec.containers[*].name}')" = "a side" ]
    k -n "$NS" patch deployment web --type json -p '[{"op":"replace","path":"/spec/replicas","value":4}]'
    k -n "$NS" patch deployment web --type merge -p '{"metadata":{"annotations":{"a":"b"}}}'
    [ "$(k -n "$NS" get deployment web -o jsonpath='{.spec.replicas} {.metadata.annotations.a}')" = "4 b" ]
    run k -n "$NS" patch deployment web --type json -p '[{"op":"test","path":"/spec/replicas","value":5}]'
    [ "$status" -ne 0 ]
}

@test "a patch of a wrong type is told as upstream does, which depends on the type of the patch" {
    k -n "$NS" create deployment web --image i
    run k -n "$NS" patch deployment web -p '{"spec":{"replicas":"3"}}'
    [ "$output" = 'The request is invalid: patch: Invalid value: "map[spec:map[replicas:3]]": unrecognized type: int32' ]
    run k -n "$NS" patch deployment web -p '{"spec":{"template":{"spec":{"containers":{"name":"c","image":null,"stdin":[true,1.5]}}}}}'
    [ "$output" = 'The request is invalid: patch: Invalid value: "map[spec:map[template:map[spec:map[containers:map[image:<nil> name:c stdin:[true 1.5]]]]]]": cannot restore slice from map' ]
    run k -n "$NS" patch deployment web -p '{"metadata":{"labels":"x"}}'
    [ "$output" = 'The request is invalid: patch: Invalid value: "map[metadata:map[labels:x]]": cannot restore map from string' ]
    run k -n "$NS" patch deployment web -p '{"metadata":{"labels":{"a":5}}}'
    [ "$output" = 'The request is invalid: patch: Invalid value: "map[metadata:map[labels:map[a:5]]]": cannot convert int64 to string' ]
    run k -n "$NS" patch deployment web --type merge -p '{"spec":{"replicas":"3"}}'
    [[ "$output" == 'The request is invalid: patch: Invalid value: "{\"apiVersion\":\"apps/v1\",\"kind\":\"Deployment\",'*'": json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32' ]]
    run k -n "$NS" patch deployment web --type merge -p '{"kind":"Pod","apiVersion":"v1"}'
    [[ "$output" == 'The request is invalid: patch: Invalid value: '*'": converting (v1.Pod) to (apps.Deployment): unknown conversion' ]]
}

@test "a merge patch that names a list without its defaults changes nothing" {
    k -n "$NS" create deployment web --image=a:1
    k -n "$NS" get deployment web -o json >"$BATS_TEST_TMPDIR/before"
    k -n "$NS" patch deployment web --type merge \
        -p '{"spec":{"template":{"spec":{"containers":[{"name":"a","image":"a:1"}]}}}}'
    k -n "$NS" get deployment web -o json | diff "$BATS_TEST_TMPDIR/before" -
}

@test "delete by selector and all at once" {
    for i in 1 2 3; do k -n "$NS" create configmap "c$i"; done
    k -n "$NS" label configmap c1 c2 gone=soon
    k -n "$NS" delete configmaps -l gone=soon
    [ "$(k -n "$NS" get configmaps -o name)" = configmap/c3 ]
    k -n "$NS" delete configmaps --all
    [ -z "$(k -n "$NS" get configmaps -o name)" ]
}

@test "wait ends when the condition is there" {
    k -n "$NS" run one --image=a
    k -n "$NS" wait pod/one --for=condition=Ready --timeout=20s 3>&- &
    local waiting=$!
    api PATCH "/api/v1/namespaces/$NS/pods/one/status" -H 'Content-Type: application/merge-patch+json' \
        -d '{"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True"}]}}' >/dev/null
    wait "$waiting"
}

@test "wait ends when a field has a value, and when the object is gone" {
    needs_kubectl 1.23
    k -n "$NS" run one --image=a
    k -n "$NS" wait pod/one --for=jsonpath='{.status.phase}'=Running --timeout=20s 3>&- &
    local waiting=$!
    api PATCH "/api/v1/namespaces/$NS/pods/one/status" -H 'Content-Type: application/merge-patch+json' \
        -d '{"status":{"phase":"Running"}}' >/dev/null
    wait "$waiting"
    k -n "$NS" wait pod/one --for=delete --timeout=20s 3>&- &
    waiting=$!
    k -n "$NS" delete pod one --now
    wait "$waiting"
}

@test "get --raw, proxy and dry runs" {
    k get --raw /api/v1/namespaces/default | jq -e '.metadata.name == "default"'
    k -n "$NS" create configmap dry --dry-run=server -o name
    run k -n "$NS" get configmap dry
    [ "$status" -ne 0 ]
    k proxy --port 0 3>&- >"$BATS_TEST_TMPDIR/proxy" &
    local proxy=$!
    wait_until 10 grep -q 'serve on' "$BATS_TEST_TMPDIR/proxy"
    curl -s "http://$(sed 's/.* on //' "$BATS_TEST_TMPDIR/proxy")/version" | jq -e '.minor == "34"'
    kill "$proxy"
}

# created WHAT [ARGUMENTS…]: kubectl makes it, and the server has it under the printed name.
created() {
    run k -n "$NS" create -o name "$@"
    echo "create $*: $output"
    [ "$status" -eq 0 ] && [ "$(k -n "$NS" get "$output" -o name)" = "$output" ]
}

@test "every generator of create" {
    created clusterrole "r-$NS" --verb=get,list --resource=pods,deployments.apps/scale
    created clusterrole "a-$NS" --aggregation-rule=example.com/part=yes
    created clusterrole "n-$NS" --verb=get --non-resource-url=/logs/*
    created clusterrolebinding "b-$NS" --clusterrole=view --user=u --group=g --serviceaccount="$NS:default"
    created configmap literal --from-literal=a=b
    created configmap files --from-file=test/e2e/manifests
    created configmap environment --from-env-file=<(echo a=b)
    created deployment web --image=a:1 --replicas=2 --port=80 -- run it
    created ingress i --class=nginx --rule='a.b/c*=s:80,tls=t' --annotation=a=b
    created job j --image=a -- sleep 1
    created namespace "n-$NS"
    created priorityclass "p-$NS" --value=7 --preemption-policy=Never
    created quota q --hard=pods=1,cpu=2 --scopes=NotTerminating
    created role r --verb=get --resource=pods --resource-name=one
    created rolebinding rb --role=r --user=u
    created secret docker-registry d --docker-username=u --docker-password=p --docker-email=a@b.c
    created secret generic s --from-literal=a=b --type=example.com/any
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=a -days 1 \
        -keyout "$BATS_TEST_TMPDIR/key" -out "$BATS_TEST_TMPDIR/crt"
    created secret tls t --cert="$BATS_TEST_TMPDIR/crt" --key="$BATS_TEST_TMPDIR/key"
    created service clusterip cip --tcp=80:8080
    created service clusterip headless --clusterip=None
    created service externalname en --external-name=a.b
    created service loadbalancer lb --tcp=80
    created service nodeport np --tcp=80 --node-port=$((30000 + RANDOM % 2000))
    created serviceaccount sa
}

@test "create what older clients make in beta versions" {
    needs_kubectl 1.21
    created cronjob c --image=a --schedule='* * * * *' --restart=OnFailure
    created job from-c --from=cronjob/c
    [ "$(k -n "$NS" get job from-c -o jsonpath='{.metadata.ownerReferences[0].kind}')" = CronJob ]
    created poddisruptionbudget p --selector=a=b --min-available=50%
}

@test "get shows rows by label, field and namespace, with labels, and of several kinds at once" {
    k -n "$NS" run one --image=a --labels=app=x,tier=front
    k -n "$NS" run two --image=a --labels=app=y
    k -n "$NS" create configmap one
    [ "$(k -n "$NS" get pods -l 'app in (x, z)' -o name)" = pod/one ]
    [ "$(k -n "$NS" get pods --field-selector=status.phase=Pending,metadata.name!=one -o name)" = pod/two ]
    k get pods -A --no-headers | grep -q "^$NS  *two "
    k -n "$NS" get pods -o wide --show-labels | grep -q '^NAME .* NOMINATED NODE .* LABELS$'
    k -n "$NS" get pods -L tier | grep -q '^one .* front$'
    [ "$(k -n "$NS" get pod/one configmap/one -o name)" = $'pod/one\nconfigmap/one' ]
    [ "$(k -n "$NS" get pods -o go-template='{{range .items}}{{.metadata.name}} {{end}}')" = "one two " ]
    [ -z "$(k -n "$NS" get pod three --ignore-not-found)" ]
    run k -n "$NS" get pods one three -o name
    [ "$status" -eq 1 ]
    [ "$output" = $'pod/one\nError from server (NotFound): pods "three" not found' ]
}

@test "get of a subresource" {
    needs_kubectl 1.24
    k -n "$NS" create deployment web --image=a --replicas=3
    [ "$(k -n "$NS" get deployment web --subresource=scale -o jsonpath='{.kind} {.spec.replicas}')" = "Scale 3" ]
    k -n "$NS" patch deployment web --subresource=scale --type merge -p '{"spec":{"replicas":5}}'
    k -n "$NS" patch deployment web --subresource=status --type merge -p '{"status":{"replicas":4},"spec":{"replicas":9}}'
    [ "$(k -n "$NS" get deployment web -o jsonpath='{.spec.replicas} {.status.replicas}')" = "5 4" ]
}

@test "a watch prints a row for each change, until its time is over" {
    k -n "$NS" run one --image=a
    k -n "$NS" get pods --watch --no-headers >"$BATS_TEST_TMPDIR/rows" 3>&- &
    local watch=$!
    wait_until 10 grep -q '^one .*Pending' "$BATS_TEST_TMPDIR/rows"
    api PATCH "/api/v1/namespaces/$NS/pods/one/status" -H 'Content-Type: application/merge-patch+json' \
        -d '{"status":{"phase":"Failed","reason":"Evicted"}}' >/dev/null
    wait_until 10 grep -q '^one .*Evicted' "$BATS_TEST_TMPDIR/rows"
    kill "$watch"
    # The server ends a watch in good order when its time is over.
    k get --raw "/api/v1/namespaces/$NS/pods?watch=true&timeoutSeconds=1" | jq -e '.type == "ADDED"'
}

@test "describe tells of each main kind" {
    k -n "$NS" create deployment web --image=a:7 --replicas=2
    k -n "$NS" create service clusterip web --tcp=80
    k -n "$NS" create secret generic s --from-literal=key=secret
    k -n "$NS" run one --image=a:8
    k -n "$NS" describe deployment web | grep -q '^Replicas: *2 desired'
    k -n "$NS" describe service web | grep -q '^Selector: *app=web'
    k -n "$NS" describe secret s | grep -q '^key: *6 bytes'
    k -n "$NS" describe pod one | grep -q '^ *Image: *a:8'
    k describe namespace "$NS" | grep -q '^Status: *Active'
    api POST "/api/v1/namespaces/$NS/events" -H 'Content-Type: application/json' -d "$(
        k -n "$NS" get pod one -o json | jq '{metadata: {name: "e"}, reason: "Seen", message: "by a test",
            type: "Warning", count: 3, involvedObject: {kind, name: .metadata.name,
            namespace: .metadata.namespace, uid: .metadata.uid, apiVersion}}')" >/dev/null
    k -n "$NS" describe pod one | grep -q 'Warning *Seen .*by a test'
    k -n "$NS" get events --no-headers | grep -q 'Warning *Seen *pod/one *by a test'
}

@test "apply of files, a folder, a stream and a kustomization" {
    local folder=$BATS_TEST_TMPDIR/app
    mkdir "$folder"
    for name in one two; do
        printf 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s, labels: {app: %s}}\ndata: {a: "1", b: "2"}\n' \
            "$name" "$NS" >"$folder/$name.yaml"
    done
    k -n "$NS" apply -f "$folder/one.yaml" -f "$folder/two.yaml"
    run k -n "$NS" apply -f "$folder"
    [ "$output" = $'configmap/one unchanged\nconfigmap/two unchanged' ]
    # What is gone from the file goes from the object; what somebody else added stays.
    k -n "$NS" patch configmap one --type merge -p '{"data":{"c":"3"}}'
    sed 's/, b: "2"//' "$folder/one.yaml" | k -n "$NS" apply -f -
    [ "$(k -n "$NS" get configmap one -o json | jq -c .data)" = '{"a":"1","c":"3"}' ]
    k -n "$NS" apply view-last-applied configmap one -o json | jq -e '.data == {a: "1"}'
    printf 'resources: [one.yaml]\nnamePrefix: my-\n' >"$folder/kustomization.yaml"
    k -n "$NS" apply -k "$folder"
    [ "$(k -n "$NS" get configmap my-one -o jsonpath='{.data.b}')" = 2 ]
}

@test "apply prunes what is no longer among the files" {
    needs_kubectl 1.25 # Before, it asks for kinds in versions that are no longer served.
    k -n "$NS" create configmap one --dry-run=client -o json | jq '.metadata.labels = {app: "a"}' >"$BATS_TEST_TMPDIR/1.json"
    jq '.metadata.name = "two"' "$BATS_TEST_TMPDIR/1.json" >"$BATS_TEST_TMPDIR/2.json"
    k -n "$NS" create configmap other
    k -n "$NS" label configmap other app=a
    k -n "$NS" apply -f "$BATS_TEST_TMPDIR"
    rm "$BATS_TEST_TMPDIR/2.json"
    run k -n "$NS" apply -f "$BATS_TEST_TMPDIR" --prune -l app=a
    [ "$status" -eq 0 ]
    [[ "$output" == *"configmap/two pruned"* ]]
    # What was never applied stays.
    [ "$(k -n "$NS" get configmaps -o name)" = $'configmap/one\nconfigmap/other' ]
}

@test "label and annotate set, keep, overwrite and remove" {
    k -n "$NS" create configmap one
    k -n "$NS" label configmap one a=1 b=2
    run k -n "$NS" label configmap one a=2
    [ "$status" -ne 0 ]
    k -n "$NS" label configmap one a=3 b- --overwrite
    k -n "$NS" annotate configmap --all note='some text' other=x
    k -n "$NS" annotate configmap one other-
    k -n "$NS" get configmap one -o json | jq -e '.metadata |
        .labels == {a: "3"} and .annotations == {note: "some text"}'
    run k -n "$NS" label configmap one a='not valid'
    [ "$status" -ne 0 ]
}

@test "set changes images, environment, resources, service accounts and subjects" {
    k -n "$NS" create deployment web --image=a:1
    k -n "$NS" set image deployment/web '*=a:2'
    k -n "$NS" set env deployment/web A=b C=d
    k -n "$NS" set env deployment/web C-
    k -n "$NS" set resources deployment web --limits=cpu=200m,memory=64Mi --requests=cpu=100m
    k -n "$NS" set serviceaccount deployment web robot
    k -n "$NS" get deployment web -o json | jq -e '.metadata.generation == 6 and
        (.spec.template.spec | .serviceAccountName == "robot" and (.containers[0] | .image == "a:2"
        and .env == [{name: "A", value: "b"}]
        and .resources == {limits: {cpu: "200m", memory: "64Mi"}, requests: {cpu: "100m"}}))'
    k -n "$NS" create rolebinding rb --role=r --user=u
    k -n "$NS" set subject rolebinding rb --group=g
    [ "$(k -n "$NS" get rolebinding rb -o jsonpath='{.subjects[*].name}')" = "u g" ]
    k -n "$NS" create service clusterip web --tcp=80
    k -n "$NS" set selector service web app=other
    [ "$(k -n "$NS" get service web -o jsonpath='{.spec.selector.app}')" = other ]
}

@test "scale, on a condition and of many; expose; autoscale" {
    k -n "$NS" create deployment web --image=a --port=8080
    k -n "$NS" create deployment two --image=a
    k -n "$NS" scale deployment web --current-replicas=1 --replicas=4
    run k -n "$NS" scale deployment web --current-replicas=1 --replicas=5
    [ "$status" -ne 0 ]
    [[ "$output" == *"xpected replicas to be 1, was 4"* ]]
    k -n "$NS" scale deployment --all --replicas=2
    [ "$(k -n "$NS" get deployments -o jsonpath='{.items[*].spec.replicas}')" = "2 2" ]
    k -n "$NS" expose deployment web --name=front --port=80 --target-port=8080 --type=NodePort
    [ "$(k -n "$NS" get service front -o jsonpath='{.spec.type} {.spec.ports[0].targetPort} {.spec.selector.app}')" = "NodePort 8080 web" ]
    k -n "$NS" autoscale deployment web --min=2 --max=5 --cpu-percent=50
    [ "$(k -n "$NS" get hpa web -o jsonpath='{.spec.minReplicas}-{.spec.maxReplicas}')" = 2-5 ]
}

@test "rollouts are restarted, paused and resumed" {
    k -n "$NS" create deployment web --image=a
    k -n "$NS" rollout restart deployment web
    [ -n "$(k -n "$NS" get deployment web -o jsonpath='{.spec.template.metadata.annotations.kubectl\.kubernetes\.io/restartedAt}')" ]
    k -n "$NS" rollout pause deployment web
    [ "$(k -n "$NS" get deployment web -o jsonpath='{.spec.paused}')" = true ]
    k -n "$NS" rollout resume deployment web
    run k -n "$NS" rollout resume deployment web
    [[ "$output" == *"is not paused"* ]]
    k -n "$NS" rollout history deployment web
}

@test "nodes are cordoned, tainted and drained" {
    k create -f - <<<"{\"apiVersion\": \"v1\", \"kind\": \"Node\", \"metadata\": {\"name\": \"$NS\"}}"
    k cordon "$NS"
    [ "$(k get node "$NS" -o jsonpath='{.spec.unschedulable}')" = true ]
    k uncordon "$NS"
    k taint node "$NS" a=b:NoSchedule
    [ "$(k get node "$NS" -o jsonpath='{.spec.taints[?(@.key=="a")].value}')" = b ]
    k taint node "$NS" a:NoSchedule-
    k -n "$NS" apply -f - <<YAML
apiVersion: v1
kind: Pod
metadata: {name: one}
spec: {nodeName: $NS, terminationGracePeriodSeconds: 0, containers: [{name: a, image: a}]}
YAML
    k drain "$NS" --force --timeout=20s
    [ -z "$(k -n "$NS" get pods -o name)" ]
    k delete node "$NS"
}

@test "certificate requests are approved and denied once" {
    needs_kubectl 1.22
    for name in a b; do
        sed -n '/kind: CertificateSigningRequest/,/^---/p' test/e2e/manifests/cluster.yaml |
            sed "1i apiVersion: certificates.k8s.io/v1
                s/name: jane/name: $name-$NS/; /^---/d" | k create -f -
    done
    k certificate approve "a-$NS"
    k certificate deny "b-$NS"
    k get csr "a-$NS" | grep -q 'Approved$'
    k get csr "b-$NS" | grep -q 'Denied$'
    run k certificate deny "a-$NS"
    [ "$status" -ne 0 ]
}

@test "auth tells what one may do, and reconciles roles" {
    [ "$(k auth can-i create pods)" = yes ]
    k auth can-i --list | grep -q '^\*\.\* '
    for time in first second; do
        k auth reconcile -f - <<YAML
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader, namespace: $NS}
rules: [{apiGroups: [""], resources: [pods], verbs: [get]}]
YAML
    done
    [ "$(k -n "$NS" get role reader -o jsonpath='{.rules[*].resources[*]}')" = pods ]
}

@test "auth whoami names the user and the groups" {
    needs_kubectl 1.28
    [ "$(k auth whoami -o jsonpath='{.status.userInfo.username}')" = kubernetes-admin ]
}

@test "delete what a file, a field or nothing but a kind says" {
    k -n "$NS" run one --image=a
    k -n "$NS" run two --image=a
    k -n "$NS" delete pods --field-selector=metadata.name=one --now
    [ "$(k -n "$NS" get pods -o name)" = pod/two ]
    k -n "$NS" delete pods --all --grace-period=0 --force
    k -n "$NS" create configmap one --dry-run=client -o yaml >"$BATS_TEST_TMPDIR/one.yaml"
    k -n "$NS" create -f "$BATS_TEST_TMPDIR/one.yaml"
    k -n "$NS" delete -f "$BATS_TEST_TMPDIR/one.yaml" --dry-run=server
    k -n "$NS" replace --force -f "$BATS_TEST_TMPDIR/one.yaml"
    k -n "$NS" delete -f "$BATS_TEST_TMPDIR/one.yaml"
    k -n "$NS" delete -f "$BATS_TEST_TMPDIR/one.yaml" --ignore-not-found
    run k -n "$NS" delete -f "$BATS_TEST_TMPDIR/one.yaml"
    [ "$status" -ne 0 ]
}

@test "explain, also of everything below, and of another version" {
    k explain deployment.spec.strategy | grep -q 'rollingUpdate'
    k explain pods --recursive >"$BATS_TEST_TMPDIR/pods"
    grep -q 'terminationGracePeriodSeconds' "$BATS_TEST_TMPDIR/pods"
    grep -q 'topologySpreadConstraints' "$BATS_TEST_TMPDIR/pods"
    k explain hpa.spec --api-version=autoscaling/v1 | grep -q targetCPUUtilizationPercentage
    run k explain pods.spec.nothing
    [ "$status" -ne 0 ]
}

@test "api-resources, api-versions, cluster-info and version" {
    [ "$(k api-resources --api-group=apps -o name | sort | head -n 1)" = controllerrevisions.apps ]
    k api-resources --namespaced=false --no-headers | grep -q '^nodes  *no  *v1  *false  *Node$'
    k api-versions | grep -qx autoscaling/v2
    k cluster-info | grep -q "is running at .*https://127.0.0.1:$PORT"
    k cluster-info dump --namespaces "$NS" >/dev/null
    [ "$(k version -o json | jq -r .serverVersion.gitVersion)" = v1.34.0+coracle ]
}

@test "raw requests of each verb" {
    k create --raw "/api/v1/namespaces/$NS/configmaps" -f - <<<'{"metadata":{"name":"one"}}'
    k get --raw "/api/v1/namespaces/$NS/configmaps/one" | jq '.data = {a: "b"}' >"$BATS_TEST_TMPDIR/one"
    k replace --raw "/api/v1/namespaces/$NS/configmaps/one" -f "$BATS_TEST_TMPDIR/one" | jq -e '.data.a == "b"'
    k delete --raw "/api/v1/namespaces/$NS/configmaps/one" | jq -e '.status == "Success"'
    [ "$(k get --raw /livez)" = ok ]
    k get --raw '/readyz?verbose' | grep -q '^readyz check passed$'
    run k get --raw /nothing
    [[ "$output" == *"the server could not find the requested resource"* ]]
}
