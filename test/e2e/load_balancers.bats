#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# One store is enough: what is shown does not depend on it.
#
# Services of type LoadBalancer and their addresses, of a pool of two of IPv4 and many of IPv6.

load helpers

setup_file() {
    FLAGS="--service-cluster-ip-range=10.96.0.0/16,fd00:96::/112" SERVICES=controllers \
        CONTROLLERS_FLAGS="--load-balancer-addresses=192.0.2.10-192.0.2.11,2001:db8::10/124" start_server
}

teardown_file() {
    stop_server
}

setup() {
    new_namespace
}

teardown() {
    k delete service --all -n "$NS"
}

# make NAME [SPEC_MEMBERS]
make() {
    k create -n "$NS" -f - <<EOF
{"apiVersion":"v1","kind":"Service","metadata":{"name":"$1"},"spec":{"type":"LoadBalancer","ports":[{"port":80}]${2:+,$2}}}
EOF
}

addresses() {
    k get service "$1" -n "$NS" -o jsonpath='{.status.loadBalancer.ingress[*].ip}'
}

has_addresses() {
    [ "$(addresses "$1")" = "$2" ]
}

events() {
    k get events -n "$NS" --field-selector "involvedObject.name=$1" -o jsonpath='{range .items[*]}{.reason}: {.message}{"\n"}{end}'
}

@test "a service gets an address, which kubectl shows" {
    make web
    wait_until 10 has_addresses web 192.0.2.10
    [ "$(k get service web -n "$NS" --no-headers | awk '{ print $4 }')" = 192.0.2.10 ]
    [ "$(k get service web -n "$NS" -o jsonpath='{.status.loadBalancer.ingress[0].ipMode}')" = VIP ]
    wait_until 10 has_event web "EnsuredLoadBalancer: Ensured load balancer"
}

has_event() {
    events "$1" | grep -qF "$2"
}

@test "an address is given once, and again when its service has gone or changed" {
    make a
    wait_until 10 has_addresses a 192.0.2.10
    make b
    wait_until 10 has_addresses b 192.0.2.11
    make c
    make d
    wait_until 10 has_event c "SyncLoadBalancerFailed: Error syncing load balancer: failed to ensure load balancer: no address of --load-balancer-addresses is free for it"
    has_addresses c ""
    k patch service b -n "$NS" -p '{"spec":{"type":"ClusterIP"}}'
    wait_until 10 one_has 192.0.2.11
    has_addresses b ""
    k delete service a -n "$NS"
    wait_until 10 one_has 192.0.2.10
    [ "$(addresses c)" != "$(addresses d)" ]
}

one_has() {
    [ "$(addresses c)" = "$1" ] || [ "$(addresses d)" = "$1" ]
}

@test "an address can be asked for, and each family has its own" {
    make wish '"loadBalancerIP":"192.0.2.11"'
    wait_until 10 has_addresses wish 192.0.2.11
    make both '"ipFamilyPolicy":"RequireDualStack"'
    wait_until 10 has_addresses both "192.0.2.10 2001:db8::10"
    make six '"ipFamilies":["IPv6"]'
    wait_until 10 has_addresses six 2001:db8::11
}

@test "another's class is left alone" {
    make foreign '"loadBalancerClass":"example.com/lb"'
    make own
    wait_until 10 has_addresses own 192.0.2.10
    has_addresses foreign ""
}
