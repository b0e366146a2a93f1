#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# One store is enough: what is shown does not depend on it.
#
# The admission plugins, as clients meet them.

load helpers

setup_file() { start_server; }
teardown_file() { stop_server; }
setup() { new_namespace; }

# pod NAME [SPEC FIELDS]: creates a pod and prints it.
pod() {
    k create -o json -f - <<YAML
apiVersion: v1
kind: Pod
metadata: {name: $1, namespace: $NS}
spec:
  containers: [{name: c, image: nginx}]
  ${2:-}
YAML
}

toleration() {
    jq -c ".spec.tolerations[] | select(.key == \"node.kubernetes.io/$1\")"
}

@test "a pod tolerates a lost node for five minutes" {
    created=$(pod plain)
    [ "$(toleration not-ready <<<"$created" | jq -cS .)" = \
        '{"effect":"NoExecute","key":"node.kubernetes.io/not-ready","operator":"Exists","tolerationSeconds":300}' ]
    [ "$(toleration unreachable <<<"$created" | jq .tolerationSeconds)" = 300 ]
}

@test "a pod's own tolerations of a lost node stay" {
    created=$(pod brief 'tolerations: [{key: node.kubernetes.io/not-ready, operator: Exists, effect: NoExecute, tolerationSeconds: 5}]')
    [ "$(toleration not-ready <<<"$created" | jq .tolerationSeconds)" = 5 ]
    [ "$(toleration unreachable <<<"$created" | jq .tolerationSeconds)" = 300 ]
    created=$(pod all 'tolerations: [{operator: Exists}]')
    [ "$(jq '.spec.tolerations | length' <<<"$created")" = 1 ]
}

@test "a new node takes no pods until it is ready" {
    k create -f - <<<'{"apiVersion": "v1", "kind": "Node", "metadata": {"name": "fresh"}}'
    [ "$(k get node fresh -o json | jq -cS .spec.taints)" = \
        '[{"effect":"NoSchedule","key":"node.kubernetes.io/not-ready"}]' ]
}

@test "a pod gets the priority of its class" {
    k create priorityclass "$NS-high" --value=1000 --preemption-policy=Never
    created=$(pod high "priorityClassName: $NS-high")
    [ "$(jq -c '[.spec.priority, .spec.preemptionPolicy]' <<<"$created")" = '[1000,"Never"]' ]
    [ "$(pod none | jq -c '[.spec.priority, .spec.preemptionPolicy]')" = \
        '[0,"PreemptLowerPriority"]' ]
    [ "$(pod system 'priorityClassName: system-node-critical' | jq .spec.priority)" = 2000001000 ]
}

@test "an unknown priority class and a priority of one's own are forbidden" {
    run pod lost 'priorityClassName: nowhere'
    [[ "$output" == *'pods "lost" is forbidden: no PriorityClass with name nowhere was found'* ]]
    run pod sly 'priority: 7'
    [[ "$output" == *'the integer value of priority (7) must not be provided in pod spec; priority admission controller computed 0 from the given PriorityClass name'* ]]
}

@test "the default priority class counts, and there is only one" {
    k create priorityclass "$NS-default" --value=42 --global-default
    [ "$(pod usual | jq -c '[.spec.priority, .spec.priorityClassName]')" = "[42,\"$NS-default\"]" ]
    run k create priorityclass "$NS-second" --value=43 --global-default
    [[ "$output" == *"PriorityClass $NS-default is already marked as default"* ]]
    k delete priorityclass "$NS-default"
}

@test "an update leaves the priority alone" {
    pod kept
    k -n "$NS" label pod kept a=b
    [ "$(k -n "$NS" get pod kept -o jsonpath='{.spec.priority}')" = 0 ]
    k -n "$NS" get pod kept -o json | jq 'del(.spec.priority, .spec.preemptionPolicy)' | k replace -f -
    [ "$(k -n "$NS" get pod kept -o jsonpath='{.spec.preemptionPolicy}')" = PreemptLowerPriority ]
}

@test "the cluster's own namespaces are not deleted" {
    for namespace in default kube-system kube-public; do
        run k delete namespace "$namespace"
        [[ "$output" == *"namespaces \"$namespace\" is forbidden: this namespace may not be deleted"* ]]
    done
}

@test "plugins are chosen by flags" {
    run "$BIN/coracle-apiserver" --tls-cert-file x --tls-private-key-file y --store-file z \
        --enable-admission-plugins Nonsense
    [ "$status" -eq 2 ]
    [[ "$output" == *'enable-admission-plugins plugin "Nonsense" is unknown; see --help' ]]
    run "$BIN/coracle-apiserver" --tls-cert-file x --tls-private-key-file y --store-file z \
        --enable-admission-plugins AlwaysAdmit,ImagePolicyWebhook
    [[ "$output" == *'enable-admission-plugins plugin "ImagePolicyWebhook" is not there yet' ]]
    stop_server
    # All that a cluster of upstream's may say.
    FLAGS="--disable-admission-plugins=ServiceAccount,Priority,DefaultTolerationSeconds,ValidatingAdmissionPolicy,ImagePolicyWebhook
        --enable-admission-plugins=AlwaysAdmit,ClusterTrustBundleAttest,DefaultIngressClass,PodTopologyLabels" start_server
    [ "$(pod bare | jq -c '[.spec.priority, .spec.tolerations]')" = '[null,null]' ]
    stop_server
    FLAGS="--enable-admission-plugins=AlwaysDeny" start_server
    run k create configmap none
    [[ "$output" == *"configmaps \"none\" is forbidden: admission control is denying all modifications"* ]]
    stop_server
    start_server
}
