#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# One store is enough: what is shown does not depend on it.
#
# Pod Security Standards, as clients meet them. What each check accepts and refuses stands in
# test/pod_security.

load helpers

setup_file() { start_server; }
teardown_file() { stop_server; }
setup() { new_namespace; }

# pod NAME [SPEC FIELDS]
pod() {
    k create -f - <<YAML
apiVersion: v1
kind: Pod
metadata: {name: $1, namespace: $NS}
spec:
  containers: [{name: c, image: nginx}]
  ${2:-}
YAML
}

label() { k label --overwrite namespace "$NS" "${@/#/pod-security.kubernetes.io/}"; }

ordinary='allowPrivilegeEscalation != false (container "c" must set securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container "c" must set securityContext.capabilities.drop=["ALL"]), runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true), seccompProfile (pod or container "c" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")'

@test "a pod that violates what is enforced is forbidden" {
    label enforce=restricted
    run pod web
    [ "$status" -eq 1 ]
    [ "$output" = "Error from server (Forbidden): error when creating \"STDIN\": pods \"web\" is forbidden: violates PodSecurity \"restricted:latest\": $ordinary" ]
    label enforce=baseline enforce-version=v1.30
    run pod web
    [ "$status" -eq 0 ]
    run pod host 'hostPID: true'
    [[ "$output" == *'violates PodSecurity "baseline:v1.30": host namespaces (hostPID=true)' ]]
}

@test "a pod that violates what is warned of is created with a warning" {
    label warn=restricted
    run pod web
    [ "$status" -eq 0 ]
    [ "${lines[0]}" = "Warning: would violate PodSecurity \"restricted:latest\": $ordinary" ]
    [ "${lines[1]}" = 'pod/web created' ]
}

@test "whoever creates a template of pods is warned, not refused" {
    label enforce=baseline
    run k -n "$NS" create -f - <<'YAML'
apiVersion: batch/v1
kind: CronJob
metadata: {name: nightly}
spec:
  schedule: "0 0 * * *"
  jobTemplate: {spec: {template: {spec: {hostNetwork: true, restartPolicy: Never, containers: [{name: c, image: nginx}]}}}}
YAML
    [ "$status" -eq 0 ]
    [ "${lines[0]}" = 'Warning: would violate PodSecurity "baseline:latest": host namespaces (hostNetwork=true)' ]
    run k -n "$NS" create deployment web --image nginx
    [ "$output" = 'deployment.apps/web created' ]
}

@test "only an update that matters is looked at" {
    pod web
    label enforce=restricted
    k -n "$NS" label pod web a=b
    run k -n "$NS" set image pod/web c=other
    [ "$status" -eq 1 ]
    [[ "$output" == *'pods "web" is forbidden: violates PodSecurity "restricted:latest": '* ]]
    run k -n "$NS" debug web --image busybox --profile general
    [[ "$output" == *'violates PodSecurity'* ]]
}

@test "a namespace's new labels tell of the pods that violate them" {
    pod host 'hostPID: true'
    pod one
    pod two
    run label enforce=restricted
    [ "$status" -eq 0 ]
    [ "${lines[0]}" = "Warning: existing pods in namespace \"$NS\" violate the new PodSecurity enforce level \"restricted:latest\"" ]
    reasons='allowPrivilegeEscalation != false, unrestricted capabilities, runAsNonRoot != true, seccompProfile'
    [ "${lines[1]}" = "Warning: host: host namespaces, $reasons" ]
    [ "${lines[2]}" = "Warning: one (and 1 other pod): $reasons" ]
    run label enforce=baseline
    [ "$output" = "namespace/$NS labeled" ]
}

@test "labels that nobody understands are refused, unless they were there" {
    run label enforce=none warn-version=1.2
    [ "$status" -eq 1 ]
    [[ "$output" == *"The Namespace \"$NS\" is invalid: "* ]]
    [[ "$output" == *'metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: "none": must be one of privileged, baseline, restricted'* ]]
    [[ "$output" == *'metadata.labels[pod-security.kubernetes.io/warn-version]: Invalid value: "1.2": must be "latest" or "v1.x"'* ]]
    run k create -f - <<<"{apiVersion: v1, kind: Namespace, metadata: {name: $NS-x, labels: {pod-security.kubernetes.io/audit: x}}}"
    [ "$status" -eq 1 ]
}
