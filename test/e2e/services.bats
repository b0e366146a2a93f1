#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Cluster IPs and node ports: whose they are, when they are given back, and that several API servers on
# one etcd never give out the same twice.

load helpers

setup_file() {
    [ "${STORE:-sqlite}" = sqlite ] || start_etcd
    start_server
}
teardown_file() {
    stop_server
    [ "${STORE:-sqlite}" = sqlite ] || signal_etcd KILL
}
setup() { new_namespace; }

ip_of() { k -n "$NS" get service "$1" -o jsonpath='{.spec.clusterIP}'; }
port_of() { k -n "$NS" get service "$1" -o jsonpath='{.spec.ports[0].nodePort}'; }
has_ip() { k get ipaddress "$1" >/dev/null 2>&1; }
no_ip() { ! has_ip "$1"; }

# service NAME [SPEC]: the manifest of a service of this spec.
service() {
    jq -nc --arg name "$1" --argjson spec "${2:-{\}}" \
        '{apiVersion: "v1", kind: "Service", metadata: {name: $name}, spec: ({ports: [{port: 80}]} + $spec)}'
}
make() { service "$@" | k -n "$NS" create -f -; }

@test "the range and the first address are there from the start" {
    [ "$(k get servicecidr kubernetes -o jsonpath='{.spec.cidrs[0]}')" = 10.0.0.0/24 ]
    [ "$(k get servicecidr kubernetes -o jsonpath='{.status.conditions[0].type}={.status.conditions[0].status}')" = Ready=True ]
    [ "$(k get ipaddress 10.0.0.1 -o jsonpath='{.spec.parentRef.resource}/{.spec.parentRef.namespace}/{.spec.parentRef.name}')" = services/default/kubernetes ]
}

@test "a cluster IP is an object that names its service, and goes with it" {
    make one
    local ip
    ip=$(ip_of one)
    [ "$(k get ipaddress "$ip" -o jsonpath='{.spec.parentRef.namespace}/{.spec.parentRef.name}')" = "$NS/one" ]
    [ "$(k get ipaddress "$ip" -o json | jq -c .metadata.labels)" = \
        '{"ipaddress.kubernetes.io/ip-family":"IPv4","ipaddress.kubernetes.io/managed-by":"ipallocator"}' ]
    k -n "$NS" delete service one
    wait_until 5 no_ip "$ip"
    make two "{\"clusterIP\":\"$ip\"}"
    [ "$(ip_of two)" = "$ip" ]
}

@test "a service that needs no cluster IP any more gives it back" {
    make one
    local ip
    ip=$(ip_of one)
    k -n "$NS" patch service one --type merge -p '{"spec":{"type":"ExternalName","externalName":"a.example","clusterIP":"","clusterIPs":null}}'
    wait_until 5 no_ip "$ip"
    make none '{"clusterIP":"None"}'
    [ "$(ip_of none)" = None ]
}

@test "a node port is given back when the type changes or the service goes" {
    make one '{"type":"NodePort","ports":[{"port":80,"nodePort":32123}]}'
    run make two '{"type":"NodePort","ports":[{"port":80,"nodePort":32123}]}'
    [[ "$output" == *'spec.ports[0].nodePort: Invalid value: 32123: provided port is already allocated'* ]]
    k -n "$NS" patch service one --type merge -p '{"spec":{"type":"ClusterIP"}}'
    make two '{"type":"NodePort","ports":[{"port":80,"nodePort":32123}]}'
    k -n "$NS" delete service two
    make three '{"type":"NodePort","ports":[{"port":80,"nodePort":32123}]}'
    [ "$(port_of three)" = 32123 ]
    k -n "$NS" delete service three
}

@test "a local load balancer has a node port for health checks, and gives it back" {
    local balancer='{"type":"LoadBalancer","externalTrafficPolicy":"Local"}' port
    health_of() { k -n "$NS" get service "$1" -o jsonpath='{.spec.healthCheckNodePort}'; }
    make any "$balancer"
    port=$(health_of any)
    [ "$port" -ge 30000 ]
    [ "$port" -le 32767 ]
    [ "$port" != "$(port_of any)" ]
    # An update that leaves it out keeps it, another one is refused.
    service any "$balancer" | k -n "$NS" replace -f -
    [ "$(health_of any)" = "$port" ]
    run k -n "$NS" patch service any --type merge -p '{"spec":{"healthCheckNodePort":32401}}'
    [[ "$output" == *"spec.healthCheckNodePort: Forbidden: field is immutable"* ]]
    run make two "$(jq -c ".healthCheckNodePort = $port" <<<"$balancer")"
    [[ "$output" == *"failed to allocate requested HealthCheck NodePort $port: provided port is already allocated"* ]]
    run make two '{"type":"LoadBalancer","healthCheckNodePort":32401}'
    [[ "$output" == *'spec.healthCheckNodePort: Invalid value: 32401: may only be set when `type` is '"'LoadBalancer' and "* ]]
    run make two '{"type":"LoadBalancer","externalTrafficPolicy":"Local","healthCheckNodePort":99}'
    [[ "$output" == *"NodePort 99: provided port is not in the valid range"* ]]
    # It goes with the policy, and with the service.
    k -n "$NS" patch service any --type merge -p '{"spec":{"externalTrafficPolicy":"Cluster"}}'
    [ -z "$(health_of any)" ]
    make two "$(jq -c ".healthCheckNodePort = $port" <<<"$balancer")"
    [ "$(health_of two)" = "$port" ]
    k -n "$NS" delete service two
    make three '{"type":"NodePort","ports":[{"port":80,"nodePort":'"$port"'}]}'
    k -n "$NS" delete service any three
}

@test "what is in use or out of range is refused, and what the refused one took is given back" {
    make one
    local ip
    ip=$(ip_of one)
    run make two "{\"clusterIP\":\"$ip\"}"
    [[ "$output" == *"spec.clusterIPs: Invalid value: [\"$ip\"]: failed to allocate IP $ip: provided IP is already allocated"* ]]
    run make one "{\"clusterIP\":\"$ip\"}"
    [[ "$output" == *"provided IP is already allocated"* ]]
    run make two '{"clusterIP":"10.9.0.9"}'
    [[ "$output" == *"failed to allocate IP 10.9.0.9: the provided network does not match the current range"* ]]
    run make two '{"type":"NodePort","clusterIP":"10.0.0.9","ports":[{"port":80,"nodePort":99}]}'
    [[ "$output" == *"provided port is not in the valid range. The range of valid ports is 30000-32767"* ]]
    no_ip 10.0.0.9
    # A name that is taken gives back what was taken for it.
    run make one '{"clusterIP":"10.0.0.9"}'
    [[ "$output" == *'services "one" already exists'* ]]
    no_ip 10.0.0.9
    [ "$(ip_of one)" = "$ip" ]
    has_ip "$ip"
}

@test "TCP and UDP of one port share a node port" {
    make dns '{"type":"NodePort","ports":[{"name":"tcp","port":53},{"name":"udp","port":53,"protocol":"UDP"}]}'
    [ "$(k -n "$NS" get service dns -o json | jq '[.spec.ports[].nodePort] | unique | length')" = 1 ]
    make both '{"type":"NodePort","ports":[{"name":"t","port":53,"nodePort":32555},{"name":"u","port":54,"nodePort":32555,"protocol":"UDP"}]}'
    k -n "$NS" delete service dns both
}

@test "a dry run takes nothing" {
    local before
    before=$(k get ipaddresses -o name | wc -l)
    service one '{"type":"NodePort","clusterIP":"10.0.0.10","ports":[{"port":80,"nodePort":32200}]}' |
        k -n "$NS" create --dry-run=server -f -
    service two | k -n "$NS" create --dry-run=server -f -
    [ "$(k get ipaddresses -o name | wc -l)" = "$before" ]
    make real '{"type":"NodePort","clusterIP":"10.0.0.10","ports":[{"port":80,"nodePort":32200}]}'
    k -n "$NS" delete service real
}

@test "what was lost is taken again at the next start, and what nobody has is given back" {
    make one '{"clusterIP":"10.0.0.11"}'
    k delete ipaddress 10.0.0.11
    stop_server
    if [ "$STORE" = etcd ]; then
        local parent='"spec":{"parentRef":{"resource":"services","namespace":"default","name":"lost"}}'
        ETCDCTL_API=3 etcdctl --endpoints "$ETCD_SERVERS" put /registry/ipaddresses/10.0.0.12 \
            '{"kind":"IPAddress","apiVersion":"networking.k8s.io/v1","metadata":{"name":"10.0.0.12","uid":"1","creationTimestamp":"2020-01-01T00:00:00Z","labels":{"ipaddress.kubernetes.io/managed-by":"ipallocator"}},'"$parent}"
        ETCDCTL_API=3 etcdctl --endpoints "$ETCD_SERVERS" put /registry/ranges/servicenodeports/32300 \
            '{"metadata":{"creationTimestamp":"2020-01-01T00:00:00Z"},'"$parent}"
    fi
    start_server
    [ "$(k get ipaddress 10.0.0.11 -o jsonpath='{.spec.parentRef.name}')" = one ]
    no_ip 10.0.0.12
    make two '{"type":"NodePort","ports":[{"port":80,"nodePort":32300}]}'
    k -n "$NS" delete service two
}

# many PREFIX COUNT: creates services of type NodePort on the server of $DATA and $PORT, four at a time.
many() {
    local i
    for ((i = 0; i < $2; i += 4)); do
        for j in 0 1 2 3; do
            service "$1-$((i + j))" '{"type":"NodePort"}' |
                api POST "/api/v1/namespaces/$NS/services" -H 'Content-Type: application/json' -d @- \
                    -o /dev/null -w '%{http_code}\n' &
        done
        wait
    done 3>&-
}

@test "two API servers on one etcd give out nothing twice" {
    [ "$STORE" = etcd ] || skip "needs etcd"
    export SECOND=$BATS_FILE_TMPDIR/second SECOND_PORT=$((PORT + 1))
    mkdir -p "$SECOND"
    (BATS_FILE_TMPDIR=$SECOND DATA=$SECOND/data PORT=$SECOND_PORT; export DATA PORT; start_server)
    many first 100 >"$BATS_TEST_TMPDIR/first" &
    local other=$!
    (DATA=$SECOND/data PORT=$SECOND_PORT; many second 100 >"$BATS_TEST_TMPDIR/second")
    wait "$other"
    (BATS_FILE_TMPDIR=$SECOND; stop_server)
    [ "$(sort "$BATS_TEST_TMPDIR/first" "$BATS_TEST_TMPDIR/second" | uniq -c | xargs)" = "200 201" ]
    k -n "$NS" get services -o json >"$BATS_TEST_TMPDIR/services"
    [ "$(jq '.items | length' "$BATS_TEST_TMPDIR/services")" = 200 ]
    [ "$(jq '[.items[].spec.clusterIP] | unique | length' "$BATS_TEST_TMPDIR/services")" = 200 ]
    [ "$(jq '[.items[].spec.ports[0].nodePort] | unique | length' "$BATS_TEST_TMPDIR/services")" = 200 ]
    [ "$(k get ipaddresses -o json | jq --arg ns "$NS" '[.items[] | select(.spec.parentRef.namespace == $ns)] | length')" = 200 ]
}
