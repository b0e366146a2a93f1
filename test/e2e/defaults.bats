#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# One store is enough: what is shown does not depend on it.
#
# Defaults that depend on other fields: each kind is created with the least it needs.

load helpers

setup_file() { start_server; }
teardown_file() { stop_server; }
setup() { new_namespace; }

# created KIND NAME: makes what standard input describes, as YAML, and keeps the answer.
created() {
    # Without a first line of its own kubectl takes a brace for JSON.
    ANSWER=$({ echo ---; cat; } | k -n "$NS" create --validate=false -o json -f -)
}

# holds FILTER…: each jq filter is true of what was created last.
holds() {
    local filter
    for filter in "$@"; do
        jq -e "$filter" >/dev/null <<<"$ANSWER" || {
            echo "not true: $filter" >&2
            jq . <<<"$ANSWER" >&2
            return 1
        }
    done
}

# pod_with SPEC: a pod whose spec is this, in YAML on one line.
pod_with() {
    created <<YAML
{apiVersion: v1, kind: Pod, metadata: {generateName: p-}, spec: $1}
YAML
}

@test "images without a tag or tagged latest are always pulled" {
    pod_with '{containers: [{name: a, image: nginx}, {name: b, image: "nginx:latest"},
      {name: c, image: "nginx:1.27"}, {name: d, image: "host:5000/nginx"},
      {name: e, image: "nginx@sha256:0123456789012345678901234567890123456789012345678901234567890123"},
      {name: f, image: "nginx:latest@sha256:0123456789012345678901234567890123456789012345678901234567890123"}],
      volumes: [{name: v, image: {reference: "r:1"}}, {name: w, image: {reference: r}}]}'
    holds '[.spec.containers[].imagePullPolicy] ==
        ["Always","Always","IfNotPresent","Always","IfNotPresent","Always"]' \
        '[.spec.volumes[].image.pullPolicy] == ["IfNotPresent","Always"]'
}

@test "a pod requests what it is limited to and links services" {
    pod_with '{containers: [{name: a, image: i, resources: {limits: {cpu: 1, memory: 1Gi},
      requests: {cpu: 500m}}}], initContainers: [{name: b, image: i, resources: {limits: {cpu: 2}}}]}'
    holds '.spec.containers[0].resources.requests == {"cpu":"500m","memory":"1Gi"}' \
        '.spec.initContainers[0].resources.requests == {"cpu":"2"}' \
        '.spec.enableServiceLinks' '.status.phase == "Pending"' '.metadata.generation == 1'
}

@test "amounts finer than a thousandth are rounded up" {
    pod_with '{containers: [{name: a, image: i, resources: {limits: {cpu: 1500u, memory: "0.0005"}}}]}'
    holds '.spec.containers[0].resources.limits == {"cpu":"2m","memory":"1m"}'
}

@test "a pod's class of service is that of the whole, if that says what it needs" {
    pod_with '{resources: {limits: {cpu: 1, memory: 1Gi}}, containers: [{name: a, image: i}]}'
    holds '.status.qosClass == "Guaranteed"'
    pod_with '{resources: {requests: {cpu: 2, memory: 2Gi}}, containers: [{name: a, image: i,
      resources: {limits: {cpu: 1, memory: 1Gi}}}]}'
    holds '.status.qosClass == "Burstable"'
}

@test "labels of a pod join the selectors that name their keys" {
    created <<'YAML'
apiVersion: v1
kind: Pod
metadata: {generateName: p-, labels: {app: web, hash: "1"}}
spec:
  containers: [{name: a, image: i}]
  topologySpreadConstraints:
    - {maxSkew: 1, topologyKey: zone, whenUnsatisfiable: ScheduleAnyway, labelSelector: {matchLabels: {app: web}}, matchLabelKeys: [hash, other]}
  affinity:
    podAffinity:
      requiredDuringSchedulingIgnoredDuringExecution:
        - {topologyKey: zone, labelSelector: {}, matchLabelKeys: [hash], mismatchLabelKeys: [app]}
    podAntiAffinity:
      preferredDuringSchedulingIgnoredDuringExecution:
        - {weight: 1, podAffinityTerm: {topologyKey: zone, labelSelector: {}, matchLabelKeys: [app]}}
YAML
    holds '.spec.topologySpreadConstraints[0].labelSelector.matchExpressions == [{key: "hash", operator: "In", values: ["1"]}]' \
        '.spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].labelSelector.matchExpressions ==
            [{key: "hash", operator: "In", values: ["1"]}, {key: "app", operator: "NotIn", values: ["web"]}]' \
        '.spec.affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].podAffinityTerm.labelSelector.matchExpressions ==
            [{key: "app", operator: "In", values: ["web"]}]'
    # Whoever updates it finds it as valid as it was.
    k -n "$NS" label pod "$(jq -r .metadata.name <<<"$ANSWER")" hash-
}

@test "AppArmor profiles of annotations become fields, with a warning" {
    local manifest='{"apiVersion":"v1","kind":"Pod","metadata":{"name":"armored","annotations":{
        "container.apparmor.security.beta.kubernetes.io/a":"localhost/mine",
        "container.apparmor.security.beta.kubernetes.io/b":"runtime/default"}},
        "spec":{"securityContext":{"appArmorProfile":{"type":"RuntimeDefault"}},
            "containers":[{"name":"a","image":"i"},{"name":"b","image":"i"}]}}'
    ANSWER=$(k -n "$NS" create -o json -f - <<<"$manifest" 2>"$BATS_TEST_TMPDIR/said")
    holds '.spec.containers[0].securityContext.appArmorProfile == {type: "Localhost", localhostProfile: "mine"}' \
        '.spec.containers[1].securityContext == null'
    [ "$(cat "$BATS_TEST_TMPDIR/said")" = \
        'Warning: metadata.annotations[container.apparmor.security.beta.kubernetes.io/a]: deprecated since v1.30; use the "appArmorProfile" field instead' ]
}

@test "a pod as a whole requests what its containers do, else its limits" {
    pod_with '{resources: {limits: {cpu: 4, memory: 1Gi}}, containers: [
      {name: a, image: i, resources: {requests: {cpu: 1}}},
      {name: b, image: i, resources: {requests: {cpu: 500m}, limits: {hugepages-2Mi: 4Mi, cpu: 1, memory: 1Gi}}}],
      initContainers: [{name: c, image: i, resources: {requests: {cpu: 2500m}}},
        {name: d, image: i, restartPolicy: Always, resources: {requests: {cpu: 250m}}}]}'
    holds '.spec.resources.requests == {"cpu":"2500m","memory":"1Gi","hugepages-2Mi":"4Mi"}' \
        '.spec.resources.limits["hugepages-2Mi"] == "4Mi"'
}

@test "ports of a pod on the node's network are the node's" {
    pod_with '{hostNetwork: true, containers: [{name: a, image: i, ports: [{containerPort: 80}]}],
      initContainers: [{name: b, image: i, ports: [{containerPort: 81, hostPort: 81}]}]}'
    holds '.spec.containers[0].ports[0].hostPort == 80' \
        '.spec.initContainers[0].ports[0].hostPort == 81'
}

@test "a gated pod says that it is not scheduled" {
    pod_with '{schedulingGates: [{name: example.com/wait}], containers: [{name: a, image: i}]}'
    holds '.status.conditions | length == 1' '.status.conditions[0] | .type == "PodScheduled"
        and .status == "False" and .reason == "SchedulingGated" and .lastProbeTime == null
        and .message == "Scheduling is blocked due to non-empty scheduling gates"'
}

@test "a volume without a source is an empty directory" {
    pod_with '{containers: [{name: a, image: i}], volumes: [{name: v}]}'
    holds '.spec.volumes[0] == {"name":"v","emptyDir":{}}'
}

@test "templates get what pods get, but not what only pods get" {
    local template='{metadata: {labels: {a: b}}, spec: {serviceAccountName: x, containers: [
      {name: a, image: i, ports: [{containerPort: 80}], resources: {limits: {cpu: 1}}}], hostNetwork: true}}'
    local selector='selector: {matchLabels: {a: b}}'
    while IFS='|' read -r kind version spec path; do
        created <<<"{apiVersion: $version, kind: $kind, metadata: {name: t}, $spec}"
        ANSWER=$(jq "$path" <<<"$ANSWER")
        holds '.containers[0].imagePullPolicy == "Always"' '.serviceAccount == "x"' \
            'has("enableServiceLinks") | not' '.containers[0].resources | has("requests") | not' \
            '.restartPolicy != null and .securityContext == {} and .dnsPolicy == "ClusterFirst"'
    done <<KINDS
Deployment|apps/v1|spec: {$selector, template: $(tr '\n' ' ' <<<"$template")}|.spec.template.spec
ReplicaSet|apps/v1|spec: {$selector, template: $(tr '\n' ' ' <<<"$template")}|.spec.template.spec
StatefulSet|apps/v1|spec: {$selector, template: $(tr '\n' ' ' <<<"$template")}|.spec.template.spec
DaemonSet|apps/v1|spec: {$selector, template: $(tr '\n' ' ' <<<"$template")}|.spec.template.spec
ReplicationController|v1|spec: {template: $(tr '\n' ' ' <<<"$template")}|.spec.template.spec
PodTemplate|v1|template: $(tr '\n' ' ' <<<"$template")|.template.spec
Job|batch/v1|spec: {template: $(tr '\n' ' ' <<<"${template/spec: {/spec: {restartPolicy: Never, }")}|.spec.template.spec
CronJob|batch/v1|spec: {schedule: '* * * * *', jobTemplate: {spec: {template: $(tr '\n' ' ' <<<"${template/spec: {/spec: {restartPolicy: Never, }")}}}|.spec.jobTemplate.spec.template.spec
KINDS
}

# workload KIND SPEC: one of apps/v1 with this beside its selector and template.
workload() {
    created <<YAML
apiVersion: apps/v1
kind: $1
metadata: {generateName: w-}
spec: {selector: {matchLabels: {a: b}}, $2 template: {metadata: {labels: {a: b}},
  spec: {containers: [{name: a, image: i}]}}}
YAML
}

@test "rolling updates have their limits" {
    workload Deployment ''
    holds '.spec.strategy == {"type":"RollingUpdate","rollingUpdate":{"maxUnavailable":"25%","maxSurge":"25%"}}'
    workload Deployment 'strategy: {rollingUpdate: {maxSurge: 1}},'
    holds '.spec.strategy.rollingUpdate == {"maxUnavailable":"25%","maxSurge":1}'
    workload Deployment 'strategy: {type: Recreate},'
    holds '.spec.strategy == {"type":"Recreate"}'
    workload DaemonSet ''
    holds '.spec.updateStrategy == {"type":"RollingUpdate","rollingUpdate":{"maxUnavailable":1,"maxSurge":0}}'
    workload DaemonSet 'updateStrategy: {type: OnDelete},'
    holds '.spec.updateStrategy == {"type":"OnDelete"}'
    workload StatefulSet 'serviceName: s, volumeClaimTemplates: [{metadata: {name: v},
      spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}],'
    holds '.spec.updateStrategy == {"type":"RollingUpdate","rollingUpdate":{"partition":0}}' \
        '.spec.volumeClaimTemplates[0] | .kind == "PersistentVolumeClaim" and .apiVersion == "v1"
            and .spec.volumeMode == "Filesystem" and .status == {"phase":"Pending"}'
    workload StatefulSet 'updateStrategy: {type: RollingUpdate},'
    holds '.spec.updateStrategy == {"type":"RollingUpdate"}'
    workload StatefulSet 'updateStrategy: {type: RollingUpdate, rollingUpdate: {}},'
    holds '.spec.updateStrategy == {"type":"RollingUpdate","rollingUpdate":{"partition":0}}'
}

@test "a replication controller takes selector and labels from its template" {
    created <<'YAML'
{apiVersion: v1, kind: ReplicationController, metadata: {name: r}, spec: {template: {metadata:
  {labels: {a: b}}, spec: {containers: [{name: a, image: i}]}}}}
YAML
    holds '.spec.selector == {"a":"b"}' '.metadata.labels == {"a":"b"}' '.spec.replicas == 1'
}

# job SPEC: with this beside its template.
job() {
    created <<YAML
{apiVersion: batch/v1, kind: Job, metadata: {generateName: j-}, spec: {$1 template: {metadata:
  {labels: {a: b}}, spec: {restartPolicy: Never, containers: [{name: a, image: i}]}}}}
YAML
}

@test "a job runs once unless it says more" {
    job ''
    holds '.spec | .completions == 1 and .parallelism == 1 and .backoffLimit == 6
        and .completionMode == "NonIndexed" and .suspend == false and .manualSelector == false
        and .podReplacementPolicy == "TerminatingOrFailed"' '.metadata.labels == {"a":"b"}' \
        '.spec.selector.matchLabels["batch.kubernetes.io/controller-uid"] == .metadata.uid'
    job 'completions: 3,'
    holds '.spec | .completions == 3 and .parallelism == 1'
    job 'parallelism: 2,'
    holds '.spec | .parallelism == 2 and (has("completions") | not)'
    job 'completions: 2, completionMode: Indexed, backoffLimitPerIndex: 1,'
    holds '.spec.backoffLimit == 2147483647'
    job 'podFailurePolicy: {rules: [{action: Ignore, onPodConditions: [{type: Gone}]}]},'
    holds '.spec.podReplacementPolicy == "Failed"' \
        '.spec.podFailurePolicy.rules[0].onPodConditions[0].status == "True"'
}

@test "the job in a cron job is left as it is" {
    created <<'YAML'
{apiVersion: batch/v1, kind: CronJob, metadata: {name: c}, spec: {schedule: '* * * * *', jobTemplate:
  {spec: {template: {spec: {restartPolicy: Never, containers: [{name: a, image: i}]}}}}}}
YAML
    holds '.spec.jobTemplate.spec | keys == ["template"]' '.spec | .concurrencyPolicy == "Allow"
        and .suspend == false and .successfulJobsHistoryLimit == 3 and .failedJobsHistoryLimit == 1'
}

# service SPEC
service() {
    created <<YAML
{apiVersion: v1, kind: Service, metadata: {generateName: s-}, spec: $1}
YAML
}

@test "a service's defaults follow its type" {
    service '{ports: [{port: 80}]}'
    holds '.spec | .type == "ClusterIP" and .ports == [{"port":80,"protocol":"TCP","targetPort":80}]
        and .internalTrafficPolicy == "Cluster" and .sessionAffinity == "None"
        and .ipFamilies == ["IPv4"] and .ipFamilyPolicy == "SingleStack"
        and .clusterIPs == [.clusterIP] and (has("externalTrafficPolicy") | not)' \
        '.status == {"loadBalancer":{}}'
    service '{ports: [{port: 80, targetPort: web}], externalIPs: [192.0.2.1]}'
    holds '.spec.externalTrafficPolicy == "Cluster"' '.spec.ports[0].targetPort == "web"'
    service '{ports: [{port: 80}], type: NodePort}'
    holds '.spec.externalTrafficPolicy == "Cluster"' \
        '.spec | has("allocateLoadBalancerNodePorts") | not'
    service '{ports: [{port: 80}], type: LoadBalancer, sessionAffinity: ClientIP}'
    holds '.spec | .externalTrafficPolicy == "Cluster" and .allocateLoadBalancerNodePorts
        and .sessionAffinityConfig == {"clientIP":{"timeoutSeconds":10800}}'
    service '{type: ExternalName, externalName: example.com,
        sessionAffinityConfig: {clientIP: {timeoutSeconds: 1}}}'
    holds '.spec | has("internalTrafficPolicy", "ipFamilies", "clusterIP", "sessionAffinityConfig") | not'
}

@test "an address of a load balancer has a mode" {
    needs_kubectl 1.24
    service '{ports: [{port: 80}], type: LoadBalancer}'
    local name
    name=$(jq -r .metadata.name <<<"$ANSWER")
    ANSWER=$(k -n "$NS" patch service "$name" --subresource status --type merge -o json \
        -p '{"status":{"loadBalancer":{"ingress":[{"ip":"192.0.2.1"},{"hostname":"a.example"}]}}}')
    holds '.status.loadBalancer.ingress == [{"ip":"192.0.2.1","ipMode":"VIP"},{"hostname":"a.example"}]'
}

# autoscaler VERSION SPEC
autoscaler() {
    created <<YAML
{apiVersion: autoscaling/$1, kind: HorizontalPodAutoscaler, metadata: {generateName: h-}, spec:
  {scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}, maxReplicas: 3, $2}}
YAML
}

@test "an autoscaler goes by the processor and has rules for both directions" {
    autoscaler v2 ''
    holds '.spec.minReplicas == 1' '.spec.metrics == [{"type":"Resource","resource":{"name":"cpu",
        "target":{"type":"Utilization","averageUtilization":80}}}]' '.spec | has("behavior") | not'
    autoscaler v1 ''
    holds '.spec.targetCPUUtilizationPercentage == 80'
    autoscaler v2 'behavior: {scaleDown: {policies: [{type: Pods, value: 1, periodSeconds: 60}]}}'
    holds '.spec.behavior.scaleUp == {"stabilizationWindowSeconds":0,"selectPolicy":"Max","policies":[
        {"type":"Pods","value":4,"periodSeconds":15},{"type":"Percent","value":100,"periodSeconds":15}]}' \
        '.spec.behavior.scaleDown == {"selectPolicy":"Max","policies":[{"type":"Pods","value":1,"periodSeconds":60}]}'
}

@test "a network policy is about what it has rules for" {
    created <<<'{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: a}, spec: {podSelector: {}}}'
    holds '.spec.policyTypes == ["Ingress"]'
    created <<<'{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: b},
        spec: {podSelector: {}, egress: [{ports: [{port: 53}]}]}}'
    holds '.spec.policyTypes == ["Ingress","Egress"]' '.spec.egress[0].ports[0].protocol == "TCP"'
}

@test "users and groups are of the group that knows them" {
    created <<'YAML'
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: b}
roleRef: {kind: Role, name: r}
subjects: [{kind: User, name: u}, {kind: Group, name: g}, {kind: ServiceAccount, name: s, namespace: other}]
YAML
    holds '.roleRef.apiGroup == "rbac.authorization.k8s.io"' \
        '[.subjects[].apiGroup] == ["rbac.authorization.k8s.io","rbac.authorization.k8s.io",null]'
}

@test "a container's limits and requests follow the range" {
    created <<'YAML'
{apiVersion: v1, kind: LimitRange, metadata: {name: l}, spec: {limits: [{type: Container,
  max: {cpu: 2, memory: 1Gi}, min: {cpu: 100m, example.com/disk: 1}, default: {cpu: 1}},
  {type: Pod, max: {cpu: 4}}]}}
YAML
    holds '.spec.limits[0].default == {"cpu":"1","memory":"1Gi"}' \
        '.spec.limits[0].defaultRequest == {"cpu":"1","memory":"1Gi","example.com/disk":"1"}' \
        '.spec.limits[1] | has("default", "defaultRequest") | not'
    created <<'YAML'
{apiVersion: v1, kind: LimitRange, metadata: {name: m}, spec: {limits: [{type: Container,
  maxLimitRequestRatio: {cpu: 2}}]}}
YAML
    holds '.spec.limits == [{"type":"Container","maxLimitRequestRatio":{"cpu":"2"}}]'
}

@test "what a node has can be used, and its first range is its range" {
    created <<<"{apiVersion: v1, kind: Node, metadata: {name: $NS}, spec: {podCIDR: 10.1.0.0/24},
        status: {capacity: {cpu: 4}}}"
    holds '.status.allocatable == {"cpu":"4"}' '.spec.podCIDRs == ["10.1.0.0/24"]'
    k delete node "$NS"
    created <<<"{apiVersion: v1, kind: Node, metadata: {name: $NS}, spec: {podCIDRs: [10.2.0.0/24]}}"
    holds '.spec.podCIDR == "10.2.0.0/24"'
    k delete node "$NS"
}

@test "a namespace carries its name and its finalizer" {
    created <<<"{apiVersion: v1, kind: Namespace, metadata: {generateName: n-}}"
    holds '.metadata.labels["kubernetes.io/metadata.name"] == .metadata.name' \
        '.spec.finalizers == ["kubernetes"]' '.status.phase == "Active"'
}

# claim SPEC
claim() {
    created <<YAML
{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {generateName: c-}, spec:
  {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}, $1}}
YAML
}

@test "the source of a claim is told by both its names" {
    claim 'dataSource: {kind: PersistentVolumeClaim, name: a}'
    holds '.spec.dataSourceRef == {"kind":"PersistentVolumeClaim","name":"a"}' \
        '.spec.volumeMode == "Filesystem"' '.status.phase == "Pending"'
    claim 'dataSourceRef: {apiGroup: example.com, kind: Image, name: a}'
    holds '.spec.dataSource == {"apiGroup":"example.com","kind":"Image","name":"a"}'
    claim 'dataSourceRef: {kind: PersistentVolumeClaim, name: a, namespace: other}'
    holds '.spec.dataSourceRef == {"kind":"PersistentVolumeClaim","name":"a"}' \
        '.spec.dataSource == .spec.dataSourceRef'
    claim 'dataSource: {apiGroup: example.com, kind: Image, name: a}'
    holds '.spec | has("dataSource") or has("dataSourceRef") | not'
}

@test "a definition has all its names, and calls web hooks at their port" {
    created <<'YAML'
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: gadgets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: gadgets, kind: Gadget}
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]
  conversion: {strategy: Webhook, webhook: {conversionReviewVersions: [v1],
    clientConfig: {service: {name: a, namespace: b}}}}
YAML
    holds '.spec.names | .singular == "gadget" and .listKind == "GadgetList"' \
        '.status.storedVersions == ["v1"]' '.spec.conversion.webhook.clientConfig.service.port == 443'
    k delete crd gadgets.example.com
    created <<'YAML'
{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: things.example.com},
  spec: {group: example.com, scope: Cluster, names: {plural: things, kind: Thing}, versions:
  [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]}}
YAML
    holds '.spec.conversion == {"strategy":"None"}'
    k delete crd things.example.com
}

@test "one device is claimed unless more are, and taints have a time" {
    created <<'YAML'
{apiVersion: resource.k8s.io/v1, kind: ResourceClaim, metadata: {name: c}, spec: {devices: {requests: [
  {name: a, exactly: {deviceClassName: x}}, {name: b, exactly: {deviceClassName: x, allocationMode: All}},
  {name: c, firstAvailable: [{name: s, deviceClassName: x}, {name: t, deviceClassName: x, count: 2}]}]}}}
YAML
    holds '.spec.devices.requests[0].exactly.count == 1' \
        '.spec.devices.requests[1].exactly | has("count") | not' \
        '[.spec.devices.requests[2].firstAvailable[].count] == [1,2]'
    created <<'YAML'
{apiVersion: resource.k8s.io/v1, kind: ResourceClaimTemplate, metadata: {name: c}, spec: {spec:
  {devices: {requests: [{name: a, exactly: {deviceClassName: x}}]}}}}
YAML
    holds '.spec.spec.devices.requests[0].exactly | .count == 1 and .allocationMode == "ExactCount"'
    created <<YAML
{apiVersion: resource.k8s.io/v1, kind: ResourceSlice, metadata: {name: $NS}, spec: {driver: d.example.com,
  nodeName: some, pool: {name: p, generation: 1, resourceSliceCount: 1}, devices: [{name: d, taints:
  [{key: k, effect: NoSchedule}]}]}}
YAML
    holds '.spec.devices[0].taints[0].timeAdded | test("^20.*Z$")'
    k delete resourceslice "$NS"
}
