// SPDX-License-Identifier: Apache-2.0
/* Services: defaults by type, and the allocation of cluster IPs and node ports. */
#include "apiserver/registry/kinds/service.h"

#include <string.h>

#include "apiserver/registry/kinds/all.h"
#include "apiserver/registry/kinds/defaults.h"
#include "apiserver/registry/kinds/service_families.h"
#include "apiserver/registry/validation/check.h"
#include "apiserver/registry/validation/networking.h"
#include "apiserver/registry/validation/warnings.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/log.h"
#include "common/map.h"

enum { ports_of_service_max = 256 };

/* ---- defaults ---- */

static bool is_type(const json_t *spec, const char *type)
{
    const char *present = json_get_string(spec, "type");
    return present != NULL && strcmp(present, type) == 0;
}

#define SOME_ADDRESS "ClusterIP|NodePort|LoadBalancer"

static const struct conditional_default defaults[] = {
    {"spec", "sessionAffinityConfig", "{\"clientIP\":{\"timeoutSeconds\":10800}}",
     "sessionAffinity", "ClientIP"},
    {"spec.sessionAffinityConfig", "clientIP", "{\"timeoutSeconds\":10800}", NULL, NULL},
    {"spec.sessionAffinityConfig.clientIP", "timeoutSeconds", "10800", NULL, NULL},
    {"spec", "externalTrafficPolicy", "\"Cluster\"", "type", "NodePort|LoadBalancer"},
    {"spec", "allocateLoadBalancerNodePorts", "true", "type", "LoadBalancer"},
    {"spec", "internalTrafficPolicy", "\"Cluster\"", "type", SOME_ADDRESS},
    {0},
};

static void fill_ports(json_t *ports)
{
    for (size_t i = 0; i < json_array_size(ports); i++) {
        json_t *port = json_array_get(ports, i);
        json_t *target = json_object_get(port, "targetPort");
        json_t *number = json_object_get(port, "port");
        bool none = target == NULL ||
                    (json_is_integer(target) && json_integer_value(target) == 0) ||
                    (json_is_string(target) && json_string_length(target) == 0);
        if (none && number != NULL) {
            json_object_set(port, "targetPort", number);
        }
    }
}

/* Where traffic comes in is told of addresses alone, not of names. */
static void fill_ingress_modes(json_t *ingress)
{
    for (size_t i = 0; i < json_array_size(ingress); i++) {
        json_t *point = json_array_get(ingress, i);
        if (json_string_length(json_object_get(point, "ip")) > 0) {
            default_set(point, "ipMode", json_string("VIP"));
        }
    }
}

static void fill_defaults(json_t *object)
{
    json_t *spec = json_object_get(object, "spec");
    const char *affinity = json_get_string(spec, "sessionAffinity");
    fill_ports(json_object_get(spec, "ports"));
    if (affinity != NULL && strcmp(affinity, "None") == 0) {
        json_object_del(spec, "sessionAffinityConfig");
    }
    if (is_type(spec, "ClusterIP") && json_array_size(json_object_get(spec, "externalIPs")) > 0) {
        default_set(spec, "externalTrafficPolicy", json_string("Cluster"));
    }
    if (is_type(spec, "LoadBalancer")) {
        fill_ingress_modes(json_path(object, "status", "loadBalancer", "ingress"));
    }
}

/* The families that the cluster has addresses of, the default first. */
static void fill_families(const struct write *write, json_t *spec, const json_t *live,
                          struct field_errors *errors)
{
    const char *cluster[SERVICE_FAMILIES_MAX] = {"IPv4"};
    size_t count = 1;
    if (write->registry->services != NULL) {
        count = service_allocator_families(write->registry->services, cluster);
    }
    service_fill_families(spec, live, cluster, count, errors);
}

static bool prepare_create(struct write *write, struct error *error)
{
    (void)error;
    json_t *spec = json_object_get(write->object, "spec");
    json_t *address = json_object_get(spec, "clusterIP");
    json_object_set_new(write->object, "status", json_pack("{s:{}}", "loadBalancer"));
    if (json_string_length(address) > 0 &&
        json_array_size(json_object_get(spec, "clusterIPs")) == 0) {
        json_object_set_new(spec, "clusterIPs", json_pack("[O]", address));
    }
    cleanup(field_errors_clear)
    struct field_errors errors = FIELD_ERRORS_INIT; /* Validation finds them again. */
    fill_families(write, spec, NULL, &errors);
    return true;
}

static bool is_reachable_from_outside(const json_t *spec)
{
    return is_type(spec, "NodePort") || is_type(spec, "LoadBalancer");
}

/* Each node then answers, at a port of its own, whether it has endpoints. */
static bool needs_health_port(const json_t *spec)
{
    const char *policy = json_get_string(spec, "externalTrafficPolicy");
    return is_type(spec, "LoadBalancer") && policy != NULL && strcmp(policy, "Local") == 0;
}

static json_int_t health_port(const json_t *spec)
{
    return json_get_int(spec, "healthCheckNodePort", 0);
}

static bool lists_port(const json_t *ports, json_int_t port)
{
    for (size_t i = 0; i < json_array_size(ports); i++) {
        if (json_get_int(json_array_get(ports, i), "nodePort", 0) == port) {
            return true;
        }
    }
    return false;
}

static void drop_if_same(json_t *spec, const json_t *live, const char *name)
{
    if (service_same_list(spec, live, name)) {
        json_object_del(spec, name);
    }
}

static bool has_address(const json_t *spec)
{
    return !is_type(spec, "ExternalName");
}

static bool has_outside_policy(const json_t *spec)
{
    return is_reachable_from_outside(spec) ||
           (is_type(spec, "ClusterIP") &&
            json_array_size(json_object_get(spec, "externalIPs")) > 0);
}

static void drop_node_ports(json_t *ports, const json_t *old)
{
    bool same = json_array_size(ports) == json_array_size(old);
    for (size_t i = 0; same && i < json_array_size(ports); i++) {
        same = json_get_int(json_array_get(ports, i), "nodePort", 0) ==
               json_get_int(json_array_get(old, i), "nodePort", 0);
    }
    for (size_t i = 0; same && i < json_array_size(ports); i++) {
        json_object_del(json_array_get(ports, i), "nodePort");
    }
}

/* What only the former type had a use for goes with it, unless the client changed it as well: then
 * validation tells. As upstream, so that changing the type alone is enough. */
static void drop_unused(json_t *spec, const json_t *live)
{
    bool was_balancer = is_type(live, "LoadBalancer"), is_balancer = is_type(spec, "LoadBalancer");
    if (has_address(live) && !has_address(spec)) {
        if (service_same_list(spec, live, "clusterIPs")) {
            json_object_del(spec, "clusterIP");
            json_object_del(spec, "clusterIPs");
        }
        drop_if_same(spec, live, "ipFamilies");
        drop_if_same(spec, live, "ipFamilyPolicy");
    }
    if (is_reachable_from_outside(live) && !is_reachable_from_outside(spec)) {
        drop_node_ports(json_object_get(spec, "ports"), json_object_get(live, "ports"));
    }
    if (needs_health_port(live) && !needs_health_port(spec)) {
        drop_if_same(spec, live, "healthCheckNodePort");
    }
    if (was_balancer && !is_balancer) {
        drop_if_same(spec, live, "allocateLoadBalancerNodePorts");
        drop_if_same(spec, live, "loadBalancerClass");
    }
    if (has_outside_policy(live) && !has_outside_policy(spec)) {
        drop_if_same(spec, live, "externalTrafficPolicy");
    }
}

/* Node ports that are not named stay those of the ports of the same name. */
static void keep_node_ports(json_t *ports, const json_t *old)
{
    for (size_t i = 0; i < json_array_size(ports); i++) {
        json_t *port = json_array_get(ports, i);
        json_int_t kept = 0;
        for (size_t at = 0; at < json_array_size(old); at++) {
            const json_t *was = json_array_get(old, at);
            if (strcmp(check_text(was, "name"), check_text(port, "name")) == 0) {
                kept = json_get_int(was, "nodePort", 0);
            }
        }
        if (json_get_int(port, "nodePort", 0) == 0 && kept > 0 && !lists_port(ports, kept)) {
            json_object_set_new(port, "nodePort", json_integer(kept));
        }
    }
}

/* clusterIP and the first of clusterIPs are one: whoever changes the single one, knowing nothing of
 * the list, means both. */
static void join_addresses(json_t *spec, const json_t *live)
{
    json_t *one = json_object_get(spec, "clusterIP");
    if (strcmp(check_text(spec, "clusterIP"), check_text(live, "clusterIP")) == 0 ||
        !service_same_list(spec, live, "clusterIPs")) {
        return;
    }
    if (json_string_length(one) == 0) {
        json_object_del(spec, "clusterIPs");
    } else {
        json_object_set_new(spec, "clusterIPs", json_pack("[O]", one));
    }
}

/* What an update leaves out stays as it was allocated, as long as the type keeps a use for it. */
static void keep_allocated(json_t *spec, const json_t *live)
{
    json_t *addresses = json_object_get(live, "clusterIPs");
    if (has_address(spec) && has_address(live)) {
        if (json_string_length(json_object_get(spec, "clusterIP")) == 0) {
            json_object_set(spec, "clusterIP", json_object_get(live, "clusterIP"));
        }
        if (json_array_size(json_object_get(spec, "clusterIPs")) == 0 && addresses != NULL) {
            json_object_set(spec, "clusterIPs", addresses);
        }
    }
    if (is_reachable_from_outside(spec) && is_reachable_from_outside(live)) {
        keep_node_ports(json_object_get(spec, "ports"), json_object_get(live, "ports"));
    }
    if (needs_health_port(live) && needs_health_port(spec) && health_port(spec) == 0 &&
        health_port(live) > 0) {
        json_object_set(spec, "healthCheckNodePort", json_object_get(live, "healthCheckNodePort"));
    }
}

static bool prepare_update(struct write *write, struct error *error)
{
    (void)error;
    json_t *spec = json_object_get(write->object, "spec");
    const json_t *live = json_object_get(write->live, "spec");
    if (spec == NULL || write->subresource[0] != '\0') {
        return true;
    }
    join_addresses(spec, live);
    keep_allocated(spec, live);
    drop_unused(spec, live);
    if (is_type(live, "LoadBalancer") && !is_type(spec, "LoadBalancer")) {
        json_object_set_new(json_get_or_add_object(write->object, "status"), "loadBalancer",
                            json_object());
    }
    cleanup(field_errors_clear)
    struct field_errors errors = FIELD_ERRORS_INIT; /* Validation finds them again. */
    fill_families(write, spec, live, &errors);
    return true;
}

static void validate(const struct write *write, struct field_errors *errors)
{
    const json_t *spec = json_object_get(write->object, "spec");
    if (write->subresource[0] == '\0') {
        size_t before = json_array_size(errors->causes);
        cleanup(json_release)
        json_t *copy = json_deep_copy(spec);
        fill_families(write, copy, write->live ? json_object_get(write->live, "spec") : NULL,
                      errors);
        if (json_array_size(errors->causes) > before) {
            return; /* What else is wrong would only follow from it. */
        }
    }
    validate_service(write, errors);
}

/* ---- allocation around a commit ---- */

/* What a commit took, and gives back if it fails. */
struct allocation {
    char addresses[SERVICE_FAMILIES_MAX][INET6_ADDRSTRLEN]; /* "": none. */
    unsigned ports[ports_of_service_max + 1];               /* With the one for health checks. */
    size_t port_count;
};

static struct service_owner owner_of(const struct write *write)
{
    return (struct service_owner){write->namespace, write->name, write->live != NULL,
                                  write->dry_run};
}

static bool had_port(const struct write *write, json_int_t port)
{
    return write->live != NULL && lists_port(json_path(write->live, "spec", "ports"), port);
}

static bool had_address(const struct write *write, const char *address)
{
    return write->live != NULL &&
           json_array_has_string(json_path(write->live, "spec", "clusterIPs"), address);
}

static bool address_error(struct write *write, const json_t *addresses, const char *address,
                          const char *why, struct error *error)
{
    struct field_errors errors = FIELD_ERRORS_INIT;
    field_error(&errors, FIELD_INVALID, FIELD(FIELD(NULL, "spec"), "clusterIPs"), addresses,
                "failed to allocate IP %s: %s", address, why);
    return error_invalid(error, "", "Service", write->name, &errors);
}

/* One address of this family, put at this place of the list. */
static bool take_address(struct write *write, struct allocation *allocation, json_t *addresses,
                         size_t at, const char *family, struct error *error)
{
    const char *wanted = json_string_value(json_array_get(addresses, at));
    struct service_owner owner = owner_of(write);
    char chosen[INET6_ADDRSTRLEN];
    switch (
        service_take_address(write->registry->services, &owner, family, wanted, chosen, error)) {
    case SERVICE_TAKEN:
        snprintf(allocation->addresses[at], sizeof allocation->addresses[at], "%s", chosen);
        break;
    case SERVICE_HAD:
        break;
    case SERVICE_IN_USE:
        return address_error(write, addresses, wanted, "provided IP is already allocated", error);
    case SERVICE_OUT_OF_RANGE:
        return address_error(write, addresses, wanted,
                             "the provided network does not match the current range", error);
    case SERVICE_FULL:
        return error_internal(error, "Internal error occurred: failed to allocate a serviceIP: "
                                     "range is full");
    case SERVICE_FAILED:
        return false;
    }
    return wanted != NULL ? json_array_set_new(addresses, at, json_string(chosen)) == 0
                          : json_array_append_new(addresses, json_string(chosen)) == 0;
}

static bool take_addresses(struct write *write, struct allocation *allocation, json_t *spec,
                           struct error *error)
{
    const json_t *families = json_object_get(spec, "ipFamilies");
    if (is_type(spec, "ExternalName") || service_is_headless(spec)) {
        return true;
    }
    /* The list may be the live object's. */
    json_t *addresses = json_is_array(json_object_get(spec, "clusterIPs"))
                            ? json_copy(json_object_get(spec, "clusterIPs"))
                            : json_array();
    json_object_set_new(spec, "clusterIPs", addresses);
    for (size_t i = 0; i < json_array_size(families) && i < SERVICE_FAMILIES_MAX; i++) {
        const char *wanted = json_string_value(json_array_get(addresses, i));
        if (!(wanted != NULL && had_address(write, wanted)) &&
            !take_address(write, allocation, addresses, i,
                          json_string_value(json_array_get(families, i)), error)) {
            return false;
        }
    }
    json_object_set(spec, "clusterIP", json_array_get(addresses, 0));
    return true;
}

static bool port_error(struct write *write, size_t at, unsigned port, const char *why,
                       struct error *error)
{
    struct field_errors errors = FIELD_ERRORS_INIT;
    cleanup(json_release)
    json_t *value = json_integer(port);
    field_error(&errors, FIELD_INVALID,
                FIELD(FIELD_INDEX(FIELD(FIELD(NULL, "spec"), "ports"), at), "nodePort"), value,
                "%s", why);
    return error_invalid(error, "", "Service", write->name, &errors);
}

static char *out_of_range(const struct write *write)
{
    unsigned first, last;
    service_allocator_ports(write->registry->services, &first, &last);
    return format("provided port is not in the valid range. The range of valid ports is %u-%u",
                  first, last);
}

static bool refuse_port(struct write *write, size_t at, unsigned port, enum service_taken why,
                        struct error *error)
{
    if (why == SERVICE_IN_USE) {
        return port_error(write, at, port, "provided port is already allocated", error);
    }
    if (why == SERVICE_FULL) {
        return error_internal(error, "Internal error occurred: failed to allocate a nodePort: "
                                     "range is full");
    }
    if (why == SERVICE_OUT_OF_RANGE) {
        cleanup(free_char)
        char *text = out_of_range(write);
        return port_error(write, at, port, text, error);
    }
    return false;
}

/* The node port of another entry for the same port: TCP and UDP share one. 0 when none has. */
static unsigned shared_port(const json_t *ports, size_t at)
{
    json_int_t number = json_get_int(json_array_get(ports, at), "port", 0);
    for (size_t i = 0; i < json_array_size(ports); i++) {
        const json_t *other = json_array_get(ports, i);
        json_int_t port = json_get_int(other, "nodePort", 0);
        if (i != at && port > 0 && json_get_int(other, "port", 0) == number) {
            return (unsigned)port;
        }
    }
    return 0;
}

static bool took_port(const struct allocation *allocation, unsigned port)
{
    for (size_t i = 0; i < allocation->port_count; i++) {
        if (allocation->ports[i] == port) {
            return true;
        }
    }
    return false;
}

static bool take_port(struct write *write, struct allocation *allocation, json_t *ports, size_t at,
                      struct error *error)
{
    json_t *port = json_array_get(ports, at);
    struct service_owner owner = owner_of(write);
    json_int_t given = json_get_int(port, "nodePort", 0);
    unsigned wanted = given > 0 ? (unsigned)given : shared_port(ports, at), chosen = wanted;
    if (wanted == 0 || !(had_port(write, wanted) || took_port(allocation, wanted))) {
        enum service_taken taken =
            service_take_port(write->registry->services, &owner, wanted, &chosen, error);
        if (taken != SERVICE_TAKEN && taken != SERVICE_HAD) {
            return refuse_port(write, at, wanted, taken, error);
        }
        if (taken == SERVICE_TAKEN) {
            allocation->ports[allocation->port_count++] = chosen;
        }
    }
    json_object_set_new(port, "nodePort", json_integer(chosen));
    return true;
}

static bool refuse_health_port(json_int_t port, const char *why, struct error *error)
{
    return error_internal(error,
                          "Internal error occurred: failed to allocate requested HealthCheck "
                          "NodePort %lld: %s",
                          (long long)port, why);
}

static bool take_health_port(struct write *write, struct allocation *allocation, json_t *spec,
                             struct error *error)
{
    struct service_owner owner = owner_of(write);
    json_int_t wanted = health_port(spec);
    unsigned chosen;
    if (!needs_health_port(spec) || (wanted > 0 && write->live != NULL &&
                                     health_port(json_object_get(write->live, "spec")) == wanted)) {
        return true;
    }
    bool twice = wanted > 0 && lists_port(json_object_get(spec, "ports"), wanted);
    switch (twice ? SERVICE_IN_USE
                  : service_take_port(write->registry->services, &owner, (unsigned)wanted, &chosen,
                                      error)) {
    case SERVICE_TAKEN:
        allocation->ports[allocation->port_count++] = chosen;
        break;
    case SERVICE_HAD:
        break;
    case SERVICE_FULL:
        return error_internal(error, "Internal error occurred: failed to allocate a HealthCheck "
                                     "NodePort 0: range is full");
    case SERVICE_FAILED:
        return false;
    case SERVICE_IN_USE:
        return refuse_health_port(wanted, "provided port is already allocated", error);
    case SERVICE_OUT_OF_RANGE: {
        cleanup(free_char)
        char *why = out_of_range(write);
        return refuse_health_port(wanted, why, error);
    }
    }
    json_object_set_new(spec, "healthCheckNodePort", json_integer(chosen));
    return true;
}

static bool wants_node_ports(const json_t *spec)
{
    return is_type(spec, "NodePort") ||
           (is_type(spec, "LoadBalancer") &&
            json_get_bool(spec, "allocateLoadBalancerNodePorts", true));
}

static void give_back(const struct write *write, const struct allocation *allocation)
{
    struct service_allocator *allocator = write->registry->services;
    struct service_owner owner = owner_of(write);
    for (size_t i = 0; i < SERVICE_FAMILIES_MAX; i++) {
        if (allocation->addresses[i][0] != '\0') {
            service_release_address(allocator, &owner, allocation->addresses[i]);
        }
    }
    for (size_t i = 0; i < allocation->port_count; i++) {
        service_release_port(allocator, &owner, allocation->ports[i]);
    }
}

static bool begin(struct write *write, struct error *error)
{
    json_t *spec = json_object_get(write->object, "spec");
    struct allocation *allocation = allocate_struct(struct allocation);
    json_t *ports = json_object_get(spec, "ports");
    bool done = take_addresses(write, allocation, spec, error);
    for (size_t i = 0; done && i < json_array_size(ports) && i < ports_of_service_max; i++) {
        bool asked = json_get_int(json_array_get(ports, i), "nodePort", 0) > 0;
        if (wants_node_ports(spec) || (asked && is_reachable_from_outside(spec))) {
            done = take_port(write, allocation, ports, i, error);
        }
    }
    done = done && take_health_port(write, allocation, spec, error);
    if (!done) {
        if (!write->dry_run) {
            give_back(write, allocation);
        }
        free(allocation);
        return false;
    }
    write->hook_state = allocation;
    return true;
}

/* Gives back what the live object had and the new one (NULL: none) has no longer. */
static void release_unused(struct registry *registry, const struct service_owner *owner,
                           const json_t *live, const json_t *object)
{
    const json_t *old = json_path(live, "spec", "clusterIPs");
    const json_t *now = json_path(object, "spec", "clusterIPs");
    const json_t *old_ports = json_path(live, "spec", "ports");
    for (size_t i = 0; i < json_array_size(old); i++) {
        const char *address = json_string_value(json_array_get(old, i));
        if (strcmp(address, "None") != 0 && !json_array_has_string(now, address)) {
            service_release_address(registry->services, owner, address);
        }
    }
    for (size_t i = 0; i < json_array_size(old_ports); i++) {
        json_int_t port = json_get_int(json_array_get(old_ports, i), "nodePort", 0);
        if (port > 0 && !lists_port(json_path(object, "spec", "ports"), port)) {
            service_release_port(registry->services, owner, (unsigned)port);
        }
    }
    json_int_t health = health_port(json_object_get(live, "spec"));
    if (health > 0 && health != health_port(json_object_get(object, "spec"))) {
        service_release_port(registry->services, owner, (unsigned)health);
    }
}

static void end(struct write *write, bool committed)
{
    struct allocation *allocation = steal(write->hook_state);
    struct service_owner owner = owner_of(write);
    if (committed && write->live != NULL) {
        release_unused(write->registry, &owner, write->live, write->object);
    } else if (!committed && !write->dry_run && !write->fate_unknown) {
        give_back(write, allocation);
    }
    free(allocation);
}

static void gone(struct registry *registry, const struct object *object)
{
    cleanup(json_release)
    json_t *service = object_tree(object);
    struct service_owner owner = {json_path_string(service, "metadata", "namespace"),
                                  json_path_string(service, "metadata", "name"), false, false};
    release_unused(registry, &owner, service, NULL);
}

const struct kind kind_service = {
    .group = "",
    .plural = "services",
    .defaults = defaults,
    .fill_defaults = fill_defaults,
    .prepare_create = prepare_create,
    .prepare_update = prepare_update,
    .validate = validate,
    .warn = warn_about_service,
    .begin = begin,
    .end = end,
    .gone = gone,
};
