#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# One store is enough: what is shown does not depend on it.
#
# Services of two families of addresses, further ranges to take them from, and what a change of the type
# leaves behind.

load helpers

setup_file() {
    [ "${STORE:-sqlite}" = sqlite ] || start_etcd
    export FLAGS="--service-cluster-ip-range 10.0.0.0/28,fd00:1::/112 --service-node-port-range 31000-31020"
    export SERVICES=controllers
    start_server
}
teardown_file() {
    stop_server
    [ "${STORE:-sqlite}" = sqlite ] || signal_etcd KILL
}
setup() { new_namespace; }

# make NAME [SPEC]: a service of this spec.
make() {
    jq -nc --arg name "$1" --argjson spec "${2:-{\}}" \
        '{apiVersion: "v1", kind: "Service", metadata: {name: $name}, spec: ({ports: [{port: 80}]} + $spec)}' |
        k -n "$NS" create -f -
}
# get NAME FILTER: what jq makes of a service's spec.
get() { k -n "$NS" get service "$1" -o json | jq -c ".spec | $2"; }
merge() { k -n "$NS" patch service "$1" --type merge -p "$2"; }
has_ip() { k get ipaddress "$1" >/dev/null 2>&1; }
no_ip() { ! has_ip "$1"; }
no_range() { ! k get servicecidr "$1" >/dev/null 2>&1; }
ready() { [ "$(k get servicecidr "$1" -o jsonpath='{.status.conditions[?(@.type=="Ready")].status}')" = "$2" ]; }

@test "the default range has both families" {
    [ "$(k get servicecidr kubernetes -o json | jq -c .spec.cidrs)" = '["10.0.0.0/28","fd00:1::/112"]' ]
    ready kubernetes True
    wait_until 10 eval 'k get servicecidr kubernetes -o json | jq -e ".metadata.finalizers == [\"networking.k8s.io/service-cidr-finalizer\"]"'
}

@test "a service has one family unless it asks for more" {
    make one
    [ "$(get one '[.ipFamilyPolicy, .ipFamilies, (.clusterIPs | length)]')" = '["SingleStack",["IPv4"],1]' ]
    make six '{"ipFamilies":["IPv6"]}'
    [[ "$(get six '.clusterIPs == [.clusterIP] and (.clusterIP | startswith("fd00:1::"))')" = true ]]
    make both '{"ipFamilyPolicy":"RequireDualStack","ipFamilies":["IPv6"]}'
    [ "$(get both '[.ipFamilies, (.clusterIPs | map(contains(":")))]')" = '[["IPv6","IPv4"],[true,false]]' ]
    local ip
    for ip in $(get both '.clusterIPs[]' | tr -d '"'); do
        [ "$(k get ipaddress "$ip" -o json | jq -r '[.spec.parentRef.name, .metadata.labels["ipaddress.kubernetes.io/managed-by"], (.metadata.labels["ipaddress.kubernetes.io/ip-family"] == (if .metadata.name | contains(":") then "IPv6" else "IPv4" end))] | join(" ")')" = "both ipallocator true" ]
    done
}

@test "a second family comes and goes by the policy" {
    make web
    local ip second
    ip=$(get web .clusterIP)
    merge web '{"spec":{"ipFamilyPolicy":"PreferDualStack"}}'
    [ "$(get web '[.ipFamilies, .clusterIPs[0], (.clusterIPs | length)]')" = "[[\"IPv4\",\"IPv6\"],$ip,2]" ]
    second=$(get web '.clusterIPs[1]' | tr -d '"')
    has_ip "$second"
    run merge web "{\"spec\":{\"clusterIPs\":[$ip]}}"
    [[ "$output" == *"spec.ipFamilyPolicy: Invalid value: \"PreferDualStack\": must be 'SingleStack' to release the secondary cluster IP"* ]]
    merge web '{"spec":{"ipFamilyPolicy":"SingleStack"}}'
    [ "$(get web '[.ipFamilies, .clusterIPs]')" = "[[\"IPv4\"],[$ip]]" ]
    wait_until 5 no_ip "$second"
}

@test "an address becomes a name, and an address again" {
    make web '{"type":"NodePort","externalTrafficPolicy":"Local"}'
    local ip
    ip=$(get web .clusterIP | tr -d '"')
    merge web '{"spec":{"type":"ExternalName","externalName":"web.example.com"}}'
    [ "$(get web '[has("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "externalTrafficPolicy"), (.ports[0] | has("nodePort"))] | any')" = false ]
    wait_until 5 no_ip "$ip"
    merge web '{"spec":{"type":"ClusterIP","externalName":null}}'
    has_ip "$(get web .clusterIP | tr -d '"')"
}

@test "a load balancer without node ports, and what it tells of itself" {
    make web '{"type":"LoadBalancer","allocateLoadBalancerNodePorts":false}'
    [ "$(get web '.ports[0] | has("nodePort")')" = false ]
    k -n "$NS" patch service web --subresource status --type merge -p '{"status":{"loadBalancer":{"ingress":[{"ip":"192.0.2.1"}]}}}'
    [ "$(k -n "$NS" get service web -o json | jq -c .status.loadBalancer)" = '{"ingress":[{"ip":"192.0.2.1","ipMode":"VIP"}]}' ]
    merge web '{"spec":{"type":"ClusterIP"}}'
    [ "$(k -n "$NS" get service web -o json | jq -c .status.loadBalancer)" = '{}' ]
    make port '{"type":"LoadBalancer","allocateLoadBalancerNodePorts":false,"ports":[{"port":80,"nodePort":31007}]}'
    run make other '{"type":"NodePort","ports":[{"port":80,"nodePort":31007}]}'
    [[ "$output" == *"spec.ports[0].nodePort: Invalid value: 31007: provided port is already allocated"* ]]
    run make other '{"type":"NodePort","ports":[{"port":80,"nodePort":31021}]}'
    [[ "$output" == *"The range of valid ports is 31000-31020"* ]]
}

@test "a further range gives addresses once it is ready, and stays while one is in use" {
    jq -n '{apiVersion: "networking.k8s.io/v1", kind: "ServiceCIDR", metadata: {name: "more"}, spec: {cidrs: ["10.9.0.0/24"]}}' |
        k create -f -
    wait_until 10 ready more True
    make web '{"clusterIP":"10.9.0.7"}'
    run make outside '{"clusterIP":"10.8.0.7"}'
    [[ "$output" == *'spec.clusterIPs: Invalid value: ["10.8.0.7"]: failed to allocate IP 10.8.0.7: the provided network does not match the current range'* ]]
    run k patch servicecidr more --type merge -p '{"spec":{"cidrs":["10.10.0.0/24"]}}'
    [[ "$output" == *'spec.cidrs[0]: Invalid value: "10.10.0.0/24": field is immutable'* ]]
    # More than the first range has.
    local i
    for i in {1..16}; do
        jq -nc --arg name "many-$i" '{apiVersion: "v1", kind: "Service", metadata: {name: $name}, spec: {ports: [{port: 80}]}}'
    done | k -n "$NS" create -f - >/dev/null
    [ "$(k -n "$NS" get services -o json | jq '[.items[].spec.clusterIP | select(startswith("10.9.0."))] | length > 1')" = true ]
    k delete servicecidr more --wait=false
    wait_until 10 ready more False
    [[ "$(k get servicecidr more -o jsonpath='{.status.conditions[0].reason}')" = Terminating ]]
    run make late '{"clusterIP":"10.9.0.8"}'
    [[ "$output" == *"the provided network does not match the current range"* ]]
    k -n "$NS" delete services --all >/dev/null
    wait_until 20 no_range more
}

@test "what is deprecated says so" {
    run k -n "$NS" get endpoints
    [[ "$output" == *"Warning: v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"* ]]
    run k get componentstatuses
    [[ "$output" == *"Warning: v1 ComponentStatus is deprecated in v1.19+"* ]]
}
