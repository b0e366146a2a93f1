// SPDX-License-Identifier: Apache-2.0
/* Services: defaults by type, and the allocation of cluster IPs and node ports. */
#include "apiserver/registry/kinds/service.h"

#include <arpa/inet.h>
#include <openssl/rand.h>
#include <string.h>

#include "apiserver/registry/kinds/all.h"
#include "apiserver/registry/kinds/defaults.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/log.h"
#include "common/map.h"

enum { addresses_max = 1 << 20, ports_of_service_max = 256, lower_part_max = 256 };

struct service_allocator {
    uint32_t base, size; /* Of the address range, in host order. */
    uint32_t port_first, port_count;
    pthread_mutex_t lock;        /* Guards the two below. */
    struct map addresses, ports; /* Text to anything: taken. */
};

static char taken[] = "";

/* ---- the allocator ---- */

static bool parse_range(struct service_allocator *allocator, const char *range, struct error *error)
{
    char text[INET_ADDRSTRLEN + 4];
    struct in_addr address;
    snprintf(text, sizeof text, "%s", range);
    char *slash = strchr(text, '/');
    int bits = slash ? atoi(slash + 1) : -1;
    if (slash != NULL) {
        *slash = '\0';
    }
    if (bits < 8 || bits > 30 || inet_pton(AF_INET, text, &address) != 1) {
        return error_bad_request(error,
                                 "--service-cluster-ip-range: \"%s\" is no IPv4 range of "
                                 "between 4 and 2^24 addresses",
                                 range);
    }
    uint32_t size = (uint32_t)1 << (32 - bits);
    allocator->base = ntohl(address.s_addr) & ~(size - 1);
    allocator->size = size < addresses_max ? size : addresses_max;
    return true;
}

static bool parse_ports(struct service_allocator *allocator, const char *range, struct error *error)
{
    unsigned first, last;
    if (sscanf(range, "%u-%u", &first, &last) != 2 || first == 0 || last < first || last > 65535) {
        return error_bad_request(error,
                                 "--service-node-port-range: \"%s\" is no range of ports "
                                 "such as 30000-32767",
                                 range);
    }
    allocator->port_first = first;
    allocator->port_count = last - first + 1;
    return true;
}

static void format_address(const struct service_allocator *allocator, uint32_t offset,
                           char text[static INET_ADDRSTRLEN])
{
    struct in_addr address = {.s_addr = htonl(allocator->base + offset)};
    inet_ntop(AF_INET, &address, text, INET_ADDRSTRLEN);
}

static bool in_range(const struct service_allocator *allocator, const char *text)
{
    struct in_addr address;
    if (inet_pton(AF_INET, text, &address) != 1) {
        return false;
    }
    uint32_t offset = ntohl(address.s_addr) - allocator->base;
    return offset > 0 && offset < allocator->size - 1;
}

static uint32_t random_below(uint32_t bound)
{
    uint32_t number = 0;
    if (RAND_bytes((unsigned char *)&number, sizeof number) != 1) {
        abort();
    }
    return number % bound;
}

/* A free one of 'count', tried from a random place on; false when all are taken. With the lock. */
static bool choose(struct map *used, uint32_t first, uint32_t count,
                   void (*print)(const struct service_allocator *, uint32_t, char *),
                   const struct service_allocator *allocator, char *text)
{
    uint32_t start = random_below(count);
    for (uint32_t i = 0; i < count; i++) {
        print(allocator, first + (start + i) % count, text);
        if (map_get(used, text) == NULL) {
            map_set(used, text, taken);
            return true;
        }
    }
    return false;
}

static void print_address(const struct service_allocator *allocator, uint32_t number, char *text)
{
    format_address(allocator, number, text);
}

static void print_port(const struct service_allocator *allocator, uint32_t number, char *text)
{
    (void)allocator;
    snprintf(text, INET_ADDRSTRLEN, "%u", number);
}

/* The lower part of the range is left to addresses that people choose, as upstream does it. */
static bool choose_address(struct service_allocator *allocator, char *text)
{
    uint32_t lower = allocator->size / 16;
    lower = lower > lower_part_max ? lower_part_max : lower < 16 ? 0 : lower;
    uint32_t last = allocator->size - 1; /* The broadcast address stays free. */
    return choose(&allocator->addresses, 1 + lower, last - 1 - lower, print_address, allocator,
                  text) ||
           (lower > 0 && choose(&allocator->addresses, 1, lower, print_address, allocator, text));
}

static void take_stored(struct service_allocator *allocator, const struct object *object)
{
    cleanup(json_release)
    json_t *service = object_tree(object);
    const json_t *addresses = json_path(service, "spec", "clusterIPs");
    const json_t *ports = json_path(service, "spec", "ports");
    for (size_t i = 0; i < json_array_size(addresses); i++) {
        const char *address = json_string_value(json_array_get(addresses, i));
        if (strcmp(address, "None") != 0 && map_set(&allocator->addresses, address, taken)) {
            log_warning("service %s has cluster IP %s, which another one has as well", object->key,
                        address);
        }
    }
    for (size_t i = 0; i < json_array_size(ports); i++) {
        char text[INET_ADDRSTRLEN];
        uint32_t port = (uint32_t)json_get_int(json_array_get(ports, i), "nodePort", 0);
        if (port > 0) {
            print_port(allocator, port, text);
            map_set(&allocator->ports, text, taken);
        }
    }
}

struct service_allocator *service_allocator_new(struct registry *registry, struct error *error)
{
    struct service_allocator *allocator = allocate_struct(struct service_allocator);
    pthread_mutex_init(&allocator->lock, NULL);
    if (!parse_range(allocator, registry->service_cluster_ip_range, error) ||
        !parse_ports(allocator, registry->service_node_port_range, error)) {
        service_allocator_free(allocator);
        return NULL;
    }
    const struct resource *services = registry_resource(registry, "", "services");
    struct snapshot *stored = cache_snapshot(cache_table(registry->cache, services), "");
    for (size_t i = 0; i < stored->count; i++) {
        take_stored(allocator, stored->objects[i]);
    }
    snapshot_free(stored);
    return allocator;
}

void service_allocator_free(struct service_allocator *allocator)
{
    if (allocator != NULL) {
        map_free(&allocator->addresses, NULL);
        map_free(&allocator->ports, NULL);
        pthread_mutex_destroy(&allocator->lock);
        free(allocator);
    }
}

char *service_allocator_first(const struct service_allocator *allocator)
{
    char text[INET_ADDRSTRLEN];
    format_address(allocator, 1, text);
    return duplicate(text);
}

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
    {"spec", "ipFamilies", "[\"IPv4\"]", "type", SOME_ADDRESS},
    {"spec", "ipFamilyPolicy", "\"SingleStack\"", "type", SOME_ADDRESS},
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

/* clusterIP is the first of clusterIPs; either may be given. */
static void join_addresses(json_t *spec)
{
    json_t *one = json_object_get(spec, "clusterIP");
    json_t *list = json_object_get(spec, "clusterIPs");
    if (is_type(spec, "ExternalName")) {
        json_object_del(spec, "clusterIP");
        json_object_del(spec, "clusterIPs");
    } else if (json_string_length(one) > 0) {
        json_object_set_new(spec, "clusterIPs", json_pack("[O]", one));
    } else if (json_array_size(list) > 0) {
        json_object_set(spec, "clusterIP", json_array_get(list, 0));
    }
}

static bool prepare_create(struct write *write, struct error *error)
{
    (void)error;
    json_t *spec = json_object_get(write->object, "spec");
    json_object_set_new(write->object, "status", json_pack("{s:{}}", "loadBalancer"));
    if (spec != NULL) {
        join_addresses(spec);
    }
    return true;
}

/* What an update leaves out stays as it was allocated, as long as the type keeps a use for it. */
static bool prepare_update(struct write *write, struct error *error)
{
    (void)error;
    json_t *spec = json_object_get(write->object, "spec");
    const json_t *live = json_object_get(write->live, "spec");
    if (spec == NULL || is_type(spec, "ExternalName")) {
        join_addresses(spec);
        return true;
    }
    json_t *address = json_object_get(live, "clusterIP");
    if (json_string_length(json_object_get(spec, "clusterIP")) == 0 && address != NULL &&
        !is_type(live, "ExternalName")) {
        json_object_set(spec, "clusterIP", address);
    }
    join_addresses(spec);
    bool node_ports = is_type(spec, "NodePort") || is_type(spec, "LoadBalancer");
    json_t *ports = json_object_get(spec, "ports");
    const json_t *old = json_object_get(live, "ports");
    for (size_t i = 0; i < json_array_size(ports); i++) {
        json_t *port = json_array_get(ports, i);
        for (size_t at = 0; node_ports && at < json_array_size(old); at++) {
            const json_t *was = json_array_get(old, at);
            json_t *number = json_object_get(was, "nodePort");
            if (number != NULL && json_get_int(port, "nodePort", 0) == 0 &&
                json_get_int(was, "port", 0) == json_get_int(port, "port", -1)) {
                json_object_set(port, "nodePort", number);
            }
        }
    }
    return true;
}

static void validate(const struct write *write, struct field_errors *errors)
{
    const json_t *spec = json_object_get(write->object, "spec");
    const struct field_path *path = FIELD(NULL, "spec");
    const json_t *address = json_object_get(spec, "clusterIP");
    bool headless = json_is_string(address) && strcmp(json_string_value(address), "None") == 0;
    if (write->subresource[0] != '\0') {
        return;
    }
    if (is_type(spec, "ExternalName")) {
        if (json_string_length(json_object_get(spec, "externalName")) == 0) {
            field_error(errors, FIELD_REQUIRED, FIELD(path, "externalName"), NULL, NULL);
        }
        return;
    }
    if (json_array_size(json_object_get(spec, "ports")) == 0 && !headless) {
        field_error(errors, FIELD_REQUIRED, FIELD(path, "ports"), NULL, NULL);
    }
    if (headless && !is_type(spec, "ClusterIP")) {
        field_error(errors, FIELD_INVALID, FIELD_INDEX(FIELD(path, "clusterIPs"), 0), address,
                    "may not be set to 'None' for %s services", json_get_string(spec, "type"));
    }
    const json_t *live = write->live ? json_path(write->live, "spec", "clusterIP") : NULL;
    bool was_external =
        write->live && is_type(json_object_get(write->live, "spec"), "ExternalName");
    if (json_string_length(live) > 0 && !was_external && !json_equal(live, address)) {
        field_error(errors, FIELD_INVALID, FIELD_INDEX(FIELD(path, "clusterIPs"), 0),
                    json_object_get(spec, "clusterIPs"), "may not change once set");
    }
}

/* ---- allocation around a commit ---- */

/* What a commit took and will give back: either what is new if it fails, or what is no longer used
 * if it succeeds. */
struct allocation {
    char *addresses[2];
    size_t address_count;
    char *ports[ports_of_service_max];
    size_t port_count;
};

static bool had_port(const struct write *write, json_int_t port)
{
    const json_t *ports = write->live ? json_path(write->live, "spec", "ports") : NULL;
    for (size_t i = 0; i < json_array_size(ports); i++) {
        if (json_get_int(json_array_get(ports, i), "nodePort", 0) == port) {
            return true;
        }
    }
    return false;
}

static bool had_address(const struct write *write, const char *address)
{
    return write->live != NULL &&
           json_array_has_string(json_path(write->live, "spec", "clusterIPs"), address);
}

static bool address_error(struct write *write, const json_t *value, const char *why,
                          struct error *error)
{
    struct field_errors errors = FIELD_ERRORS_INIT;
    field_error(&errors, FIELD_INVALID, FIELD_INDEX(FIELD(FIELD(NULL, "spec"), "clusterIPs"), 0),
                value, "failed to allocate IP %s: %s", json_string_value(value), why);
    return error_invalid(error, "", "Service", write->name, &errors);
}

static bool take_address(struct write *write, struct allocation *allocation, json_t *spec,
                         struct error *error)
{
    struct service_allocator *allocator = write->registry->services;
    json_t *wanted = json_object_get(spec, "clusterIP");
    const char *text = json_string_value(wanted);
    if (is_type(spec, "ExternalName") || (text != NULL && strcmp(text, "None") == 0) ||
        (text != NULL && had_address(write, text))) {
        return true;
    }
    char chosen[INET_ADDRSTRLEN];
    if (json_string_length(wanted) > 0) {
        if (!in_range(allocator, text)) {
            return address_error(write, wanted,
                                 "the provided network does not match the current range", error);
        }
        if (map_get(&allocator->addresses, text) != NULL) {
            return address_error(write, wanted, "provided IP is already allocated", error);
        }
        map_set(&allocator->addresses, text, taken);
        snprintf(chosen, sizeof chosen, "%s", text);
    } else if (!choose_address(allocator, chosen)) {
        return error_internal(error, "failed to allocate a serviceIP: range is full");
    }
    allocation->addresses[allocation->address_count++] = duplicate(chosen);
    json_object_set_new(spec, "clusterIP", json_string(chosen));
    json_object_set_new(spec, "clusterIPs", json_pack("[s]", chosen));
    return true;
}

static bool port_error(struct write *write, size_t at, const json_t *value, const char *why,
                       struct error *error)
{
    struct field_errors errors = FIELD_ERRORS_INIT;
    field_error(&errors, FIELD_INVALID,
                FIELD(FIELD_INDEX(FIELD(FIELD(NULL, "spec"), "ports"), at), "nodePort"), value,
                "%s", why);
    return error_invalid(error, "", "Service", write->name, &errors);
}

static bool take_port(struct write *write, struct allocation *allocation, json_t *port, size_t at,
                      struct error *error)
{
    struct service_allocator *allocator = write->registry->services;
    json_int_t wanted = json_get_int(port, "nodePort", 0);
    char text[INET_ADDRSTRLEN];
    if (wanted > 0 && had_port(write, wanted)) {
        return true;
    }
    if (wanted > 0) {
        print_port(allocator, (uint32_t)wanted, text);
        if ((uint32_t)wanted - allocator->port_first >= allocator->port_count) {
            cleanup(free_char)
            char *why =
                format("provided port is not in the valid range. The range of valid ports is %u-%u",
                       allocator->port_first, allocator->port_first + allocator->port_count - 1);
            return port_error(write, at, json_object_get(port, "nodePort"), why, error);
        }
        if (map_get(&allocator->ports, text) != NULL) {
            return port_error(write, at, json_object_get(port, "nodePort"),
                              "provided port is already allocated", error);
        }
        map_set(&allocator->ports, text, taken);
    } else if (!choose(&allocator->ports, allocator->port_first, allocator->port_count, print_port,
                       allocator, text)) {
        return error_internal(error, "failed to allocate a nodePort: range is full");
    }
    allocation->ports[allocation->port_count++] = duplicate(text);
    json_object_set_new(port, "nodePort", json_integer(atoi(text)));
    return true;
}

static bool wants_node_ports(const json_t *spec)
{
    return is_type(spec, "NodePort") ||
           (is_type(spec, "LoadBalancer") &&
            json_get_bool(spec, "allocateLoadBalancerNodePorts", true));
}

static void give_back(struct service_allocator *allocator, struct allocation *allocation,
                      bool really)
{
    pthread_mutex_lock(&allocator->lock);
    for (size_t i = 0; i < allocation->address_count; i++) {
        if (really) {
            map_remove(&allocator->addresses, allocation->addresses[i]);
        }
        free(allocation->addresses[i]);
    }
    for (size_t i = 0; i < allocation->port_count; i++) {
        if (really) {
            map_remove(&allocator->ports, allocation->ports[i]);
        }
        free(allocation->ports[i]);
    }
    pthread_mutex_unlock(&allocator->lock);
    free(allocation);
}

static bool begin(struct write *write, struct error *error)
{
    struct service_allocator *allocator = write->registry->services;
    json_t *spec = json_object_get(write->object, "spec");
    struct allocation *allocation = allocate_struct(struct allocation);
    json_t *ports = json_object_get(spec, "ports");
    pthread_mutex_lock(&allocator->lock);
    bool done = take_address(write, allocation, spec, error);
    for (size_t i = 0;
         done && wants_node_ports(spec) && i < json_array_size(ports) && i < ports_of_service_max;
         i++) {
        done = take_port(write, allocation, json_array_get(ports, i), i, error);
    }
    pthread_mutex_unlock(&allocator->lock);
    if (!done) {
        give_back(allocator, allocation, true);
        return false;
    }
    write->hook_state = allocation;
    return true;
}

/* What the live object had and the new one has no longer. */
static void release_unused(struct write *write)
{
    struct service_allocator *allocator = write->registry->services;
    const json_t *old = json_path(write->live, "spec", "clusterIPs");
    const json_t *now = json_path(write->object, "spec", "clusterIPs");
    const json_t *old_ports = json_path(write->live, "spec", "ports");
    pthread_mutex_lock(&allocator->lock);
    for (size_t i = 0; i < json_array_size(old); i++) {
        const char *address = json_string_value(json_array_get(old, i));
        if (!json_array_has_string(now, address)) {
            map_remove(&allocator->addresses, address);
        }
    }
    for (size_t i = 0; i < json_array_size(old_ports); i++) {
        json_int_t port = json_get_int(json_array_get(old_ports, i), "nodePort", 0);
        bool kept = false;
        const json_t *ports = json_path(write->object, "spec", "ports");
        for (size_t at = 0; at < json_array_size(ports); at++) {
            kept = kept || json_get_int(json_array_get(ports, at), "nodePort", 0) == port;
        }
        if (port > 0 && !kept) {
            char text[INET_ADDRSTRLEN];
            print_port(allocator, (uint32_t)port, text);
            map_remove(&allocator->ports, text);
        }
    }
    pthread_mutex_unlock(&allocator->lock);
}

static void end(struct write *write, bool committed)
{
    give_back(write->registry->services, write->hook_state, !committed);
    write->hook_state = NULL;
    if (committed && write->live != NULL) {
        release_unused(write);
    }
}

static void gone(struct registry *registry, const struct object *object)
{
    cleanup(json_release)
    json_t *service = object_tree(object);
    cleanup(json_release)
    json_t *nothing = json_object();
    struct write write = {.registry = registry, .live = service, .object = nothing};
    release_unused(&write);
}

const struct kind kind_service = {
    .group = "",
    .plural = "services",
    .defaults = defaults,
    .fill_defaults = fill_defaults,
    .prepare_create = prepare_create,
    .prepare_update = prepare_update,
    .validate = validate,
    .begin = begin,
    .end = end,
    .gone = gone,
};
