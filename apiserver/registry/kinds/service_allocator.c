// SPDX-License-Identifier: Apache-2.0
#include "apiserver/registry/kinds/service.h"

#include <openssl/rand.h>
#include <string.h>

#include "apiserver/registry/kinds/service_ranges.h"
#include "common/alloc.h"
#include "common/ip.h"
#include "common/json.h"
#include "common/log.h"
#include "common/map.h"
#include "common/timestamp.h"

enum {
    attempts_max = 64, /* Of choosing, when others are quicker each time. */
    repair_interval_seconds = 180,
    grace_seconds = 60, /* What was taken since may belong to a service that is being stored. */
};

static const char ports_prefix[] = "/registry/ranges/servicenodeports/";

struct service_allocator {
    struct registry *registry;
    const struct resource *services, *addresses;
    struct service_ranges ranges;
    uint32_t port_first, port_count;

    pthread_t repairer;
    bool repairer_runs;
    pthread_mutex_t lock; /* Guards 'stopping'. */
    pthread_cond_t stop;
    bool stopping;
};

/* ---- ranges ---- */

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

static uint32_t random_below(uint32_t bound)
{
    uint32_t number = 0;
    if (RAND_bytes((unsigned char *)&number, sizeof number) != 1) {
        abort();
    }
    return number % bound;
}

/* ---- what is in the store ---- */

/* Whether an IPAddress or the record of a port names this service. */
static bool names_owner(const json_t *record, const struct service_owner *owner)
{
    const json_t *parent = json_path(record, "spec", "parentRef");
    const char *namespace = json_get_string(parent, "namespace");
    const char *name = json_get_string(parent, "name");
    const char *plural = json_get_string(parent, "resource");
    return namespace != NULL && name != NULL && plural != NULL && strcmp(plural, "services") == 0 &&
           strcmp(namespace, owner->namespace) == 0 && strcmp(name, owner->name) == 0;
}

static json_t *parent_of(const struct service_owner *owner)
{
    return json_pack("{s:{s:s, s:s, s:s}}", "parentRef", "resource", "services", "namespace",
                     owner->namespace, "name", owner->name);
}

/* Reads a key; NULL without an error when there is none. The caller's. */
static json_t *read_record(struct service_allocator *allocator, const char *key, int64_t *revision,
                           struct error *error)
{
    cleanup(store_item_clear)
    struct store_item item = {0};
    bool found = false;
    if (!store_get(allocator->registry->store, key, &item, &found, error) || !found) {
        return NULL;
    }
    *revision = item.mod_revision;
    return json_parse(item.value, item.value_length, error);
}

/* IPAddresses are named in canonical form, however the service has it. */
static char *canonical(const char *address)
{
    struct ip_network parsed;
    char text[INET6_ADDRSTRLEN];
    if (!ip_parse(address, &parsed)) {
        return duplicate(address);
    }
    ip_format(&parsed, text);
    return duplicate(text);
}

static char *address_key(const struct service_allocator *allocator, const char *address)
{
    cleanup(free_char)
    char *name = canonical(address);
    return format("%s%s", allocator->addresses->storage_prefix, name);
}

/* The service may write it in another way than the IPAddress's name. */
static bool has_address(const json_t *service, const char *address)
{
    const json_t *list = json_path(service, "spec", "clusterIPs");
    cleanup(free_char)
    char *name = canonical(address);
    for (size_t i = 0; i < json_array_size(list); i++) {
        cleanup(free_char)
        char *other = canonical(json_string_value(json_array_get(list, i)));
        if (strcmp(name, other) == 0) {
            return true;
        }
    }
    return false;
}

static bool has_port(const json_t *service, unsigned port)
{
    const json_t *ports = json_path(service, "spec", "ports");
    for (size_t i = 0; i < json_array_size(ports); i++) {
        if (json_get_int(json_array_get(ports, i), "nodePort", 0) == (json_int_t)port) {
            return true;
        }
    }
    return json_get_int(json_object_get(service, "spec"), "healthCheckNodePort", 0) ==
           (json_int_t)port;
}

static json_t *read_service(struct service_allocator *allocator, const struct service_owner *owner,
                            struct error *error)
{
    int64_t revision;
    cleanup(free_char)
    char *key =
        format("%s%s/%s", allocator->services->storage_prefix, owner->namespace, owner->name);
    return read_record(allocator, key, &revision, error);
}

/* What it means for a service that wants something that this record says is taken. One that is
 * being created finds its own name there after a crash; but not if there is a service of that name.
 */
static enum service_taken judge(struct service_allocator *allocator,
                                const struct service_owner *owner, const json_t *record,
                                struct error *error)
{
    if (!names_owner(record, owner) || owner->stored) {
        return names_owner(record, owner) ? SERVICE_HAD : SERVICE_IN_USE;
    }
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    cleanup(json_release)
    json_t *service = read_service(allocator, owner, &why);
    if (error_is_set(&why)) {
        error_move(error, &why);
        return SERVICE_FAILED;
    }
    return service ? SERVICE_IN_USE : SERVICE_HAD;
}

/* Deletes a record as it was read; false only when the store failed. */
static bool delete_record(struct service_allocator *allocator, const char *key, int64_t revision,
                          struct error *error)
{
    struct store_write write = {.operation = STORE_DELETE, .key = key, .expected = revision};
    bool conflict;
    return store_commit(allocator->registry->store, &write, &revision, NULL, &conflict, error);
}

/* Deletes the record of an address, or of a port when 'address' is NULL, if it is this service's
 * and the stored service has no use for it. */
static void release(struct service_allocator *allocator, const struct service_owner *owner,
                    const char *key, const char *address, unsigned port)
{
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    int64_t revision = 0;
    cleanup(json_release)
    json_t *record = read_record(allocator, key, &revision, &error);
    cleanup(json_release)
    json_t *service = record ? read_service(allocator, owner, &error) : NULL;
    bool used = address ? has_address(service, address) : has_port(service, port);
    if (record != NULL && !error_is_set(&error) && names_owner(record, owner) && !used) {
        delete_record(allocator, key, revision, &error);
    }
    if (error_is_set(&error)) {
        log_warning("giving back %s failed: %s", key, error.message);
    }
}

/* ---- addresses ---- */

/* Creates the IPAddress object, if there is none. */
static enum service_taken create_address(struct service_allocator *allocator,
                                         const struct service_owner *owner, const char *address,
                                         struct error *error)
{
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    cleanup(write_clear)
    struct write write = {0};
    cleanup(object_release)
    struct object *object = NULL;
    write_begin(&write, allocator->registry, NULL, NULL, allocator->addresses, WRITE_CREATE);
    cleanup(free_char)
    char *name = canonical(address);
    write_address(&write, "", name);
    write.dry_run = owner->dry_run;
    write.object =
        json_pack("{s:s, s:s, s:{s:s, s:{s:s, s:s}}, s:o}", "kind", "IPAddress", "apiVersion",
                  "networking.k8s.io/v1", "metadata", "name", name, "labels",
                  "ipaddress.kubernetes.io/ip-family", strchr(name, ':') ? "IPv6" : "IPv4",
                  "ipaddress.kubernetes.io/managed-by", "ipallocator", "spec", parent_of(owner));
    if (registry_create(&write, &object, &why)) {
        return SERVICE_TAKEN;
    }
    if (why.code == 409) {
        return SERVICE_IN_USE;
    }
    error_move(error, &why);
    return SERVICE_FAILED;
}

static enum service_taken take_wanted_address(struct service_allocator *allocator,
                                              const struct service_owner *owner,
                                              const char *address, struct error *error)
{
    if (!service_ranges_contain(&allocator->ranges, address)) {
        return SERVICE_OUT_OF_RANGE;
    }
    enum service_taken taken = create_address(allocator, owner, address, error);
    if (taken != SERVICE_IN_USE) {
        return taken;
    }
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    int64_t revision;
    cleanup(free_char)
    char *key = address_key(allocator, address);
    cleanup(json_release)
    json_t *record = read_record(allocator, key, &revision, &why);
    if (error_is_set(&why)) {
        error_move(error, &why);
        return SERVICE_FAILED;
    }
    return judge(allocator, owner, record, error);
}

/* A free one of 'count' addresses of the range, sought from a random place on. */
static enum service_taken take_some(struct service_allocator *allocator,
                                    const struct service_owner *owner,
                                    const struct ip_network *range, uint32_t first, uint32_t count,
                                    char chosen[static INET6_ADDRSTRLEN], struct error *error)
{
    struct cache_table *table = cache_table(allocator->registry->cache, allocator->addresses);
    uint32_t start = count > 0 ? random_below(count) : 0;
    for (uint32_t i = 0; i < count; i++) {
        struct ip_network address = ip_network_at(range, first + (start + i) % count);
        ip_format(&address, chosen);
        cleanup(object_release)
        struct object *present = cache_get(table, chosen);
        enum service_taken taken =
            present ? SERVICE_IN_USE : create_address(allocator, owner, chosen, error);
        if (taken != SERVICE_IN_USE) {
            return taken;
        }
    }
    return SERVICE_FULL;
}

/* The lower part of a range is left to addresses that people choose, as upstream does it. */
static enum service_taken take_from(struct service_allocator *allocator,
                                    const struct service_owner *owner,
                                    const struct ip_network *range,
                                    char chosen[static INET6_ADDRSTRLEN], struct error *error)
{
    uint32_t count = service_range_usable(range), lower = service_range_lower(range);
    enum service_taken taken =
        take_some(allocator, owner, range, 1 + lower, count - lower, chosen, error);
    return taken == SERVICE_FULL ? take_some(allocator, owner, range, 1, lower, chosen, error)
                                 : taken;
}

enum service_taken service_take_address(struct service_allocator *allocator,
                                        const struct service_owner *owner, const char *family,
                                        const char *wanted, char chosen[static INET6_ADDRSTRLEN],
                                        struct error *error)
{
    if (wanted != NULL && wanted[0] != '\0') {
        snprintf(chosen, INET6_ADDRSTRLEN, "%s", wanted);
        return take_wanted_address(allocator, owner, wanted, error);
    }
    cleanup(range_list_clear)
    struct range_list ranges =
        service_ranges_of(&allocator->ranges, strcmp(family, "IPv6") == 0 ? AF_INET6 : AF_INET);
    enum service_taken taken = SERVICE_FULL;
    for (size_t i = 0; taken == SERVICE_FULL && i < ranges.count; i++) {
        taken = take_from(allocator, owner, &ranges.list[i], chosen, error);
    }
    return taken;
}

void service_release_address(struct service_allocator *allocator, const struct service_owner *owner,
                             const char *address)
{
    cleanup(free_char)
    char *key = address_key(allocator, address);
    release(allocator, owner, key, address, 0);
}

/* ---- ports ---- */

/* Creates the record of a port, if there is none or it is this service's already. */
static enum service_taken create_port(struct service_allocator *allocator,
                                      const struct service_owner *owner, unsigned port,
                                      struct error *error)
{
    char now[TIMESTAMP_SIZE];
    timestamp_format(timestamp_now(), now);
    cleanup(json_release)
    json_t *record =
        json_pack("{s:{s:s}, s:o}", "metadata", "creationTimestamp", now, "spec", parent_of(owner));
    cleanup(free_char)
    char *value = json_text(record);
    cleanup(free_char)
    char *key = format("%s%u", ports_prefix, port);
    struct store_write write = {.key = key, .value = value, .value_length = strlen(value)};
    cleanup(store_item_clear)
    struct store_item current = {0};
    bool conflict = false, found = false;
    int64_t revision;
    bool done = owner->dry_run ? store_get(allocator->registry->store, key, &current, &found, error)
                               : store_commit(allocator->registry->store, &write, &revision,
                                              &current, &conflict, error);
    if (!done || (!found && !conflict)) {
        return done ? SERVICE_TAKEN : SERVICE_FAILED;
    }
    cleanup(json_release)
    json_t *present = json_parse(current.value, current.value_length, NULL);
    return judge(allocator, owner, present, error);
}

static bool read_ports(struct service_allocator *allocator, struct store_items *items,
                       struct error *error)
{
    cleanup(free_char)
    char *end = store_prefix_end(ports_prefix);
    return store_range(allocator->registry->store, ports_prefix, end, 0, 0, items, NULL, NULL,
                       error);
}

/* A random one of those that have no record; 0 when all have one. */
static bool find_free_port(struct service_allocator *allocator, unsigned *port, struct error *error)
{
    struct store_items items = STORE_ITEMS_INIT;
    cleanup(free_char)
    char *used = allocate_zero(allocator->port_count, 1);
    bool done = read_ports(allocator, &items, error);
    for (size_t i = 0; i < items.count; i++) {
        unsigned long at = strtoul(items.list[i].key + strlen(ports_prefix), NULL, 10);
        if (at >= allocator->port_first && at - allocator->port_first < allocator->port_count) {
            used[at - allocator->port_first] = true;
        }
    }
    store_items_clear(&items);
    uint32_t chosen = service_choose_port(used, allocator->port_count, random_below(UINT32_MAX));
    *port = chosen < allocator->port_count ? allocator->port_first + chosen : 0;
    return done;
}

enum service_taken service_take_port(struct service_allocator *allocator,
                                     const struct service_owner *owner, unsigned wanted,
                                     unsigned *chosen, struct error *error)
{
    if (wanted > 0) {
        *chosen = wanted;
        return wanted - allocator->port_first < allocator->port_count
                   ? create_port(allocator, owner, wanted, error)
                   : SERVICE_OUT_OF_RANGE;
    }
    /* Most often a random one is free; when it is not, look which are. */
    *chosen = allocator->port_first + random_below(allocator->port_count);
    for (int attempt = 0; attempt < attempts_max; attempt++) {
        enum service_taken taken = create_port(allocator, owner, *chosen, error);
        if (taken == SERVICE_TAKEN || taken == SERVICE_FAILED) {
            return taken;
        }
        if (!find_free_port(allocator, chosen, error)) {
            return SERVICE_FAILED;
        }
        if (*chosen == 0) {
            return SERVICE_FULL;
        }
    }
    return SERVICE_FULL;
}

void service_release_port(struct service_allocator *allocator, const struct service_owner *owner,
                          unsigned port)
{
    cleanup(free_char)
    char *key = format("%s%u", ports_prefix, port);
    release(allocator, owner, key, NULL, port);
}

/* ---- repair ---- */

/* 'taken' are the ports that have a record; 0 is no port. */
static void retake_port(struct service_allocator *allocator, const struct service_owner *owner,
                        json_int_t port, const struct map *taken, struct error *error)
{
    char text[16];
    snprintf(text, sizeof text, "%u", (unsigned)port);
    if (port > 0 && map_get(taken, text) == NULL &&
        create_port(allocator, owner, (unsigned)port, error) == SERVICE_IN_USE) {
        log_warning("service %s/%s has node port %u, which another one has as well",
                    owner->namespace, owner->name, (unsigned)port);
    }
}

/* Takes again what a stored service has, should that have been lost. */
static void retake(struct service_allocator *allocator, const struct object *object,
                   struct map *ports)
{
    cleanup(json_release)
    json_t *service = object_tree(object);
    struct service_owner owner = {json_path_string(service, "metadata", "namespace"),
                                  json_path_string(service, "metadata", "name"), .stored = true};
    const json_t *addresses = json_path(service, "spec", "clusterIPs");
    const json_t *list = json_path(service, "spec", "ports");
    struct cache_table *table = cache_table(allocator->registry->cache, allocator->addresses);
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    for (size_t i = 0; i < json_array_size(addresses); i++) {
        const char *address = json_string_value(json_array_get(addresses, i));
        cleanup(free_char)
        char *name = canonical(address);
        cleanup(object_release)
        struct object *present = cache_get(table, name);
        cleanup(json_release)
        json_t *record = present ? object_tree(present) : NULL;
        bool taken = record != NULL && names_owner(record, &owner);
        if (!taken && service_ranges_contain(&allocator->ranges, address) &&
            take_wanted_address(allocator, &owner, address, &error) == SERVICE_IN_USE) {
            log_warning("service %s has cluster IP %s, which another one has as well", object->key,
                        address);
        }
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        retake_port(allocator, &owner, json_get_int(json_array_get(list, i), "nodePort", 0), ports,
                    &error);
    }
    retake_port(allocator, &owner,
                json_get_int(json_object_get(service, "spec"), "healthCheckNodePort", 0), ports,
                &error);
    if (error_is_set(&error)) {
        log_warning("repairing what service %s has failed: %s", object->key, error.message);
    }
}

/* Gives back what a record says is taken, if that is a while ago and the service does not have it.
 * Whoever made an IPAddress by hand keeps it. */
static void reclaim(struct service_allocator *allocator, const json_t *record, const char *address,
                    unsigned port)
{
    int64_t taken_at = 0;
    const char *text = json_path_string(record, "metadata", "creationTimestamp");
    const json_t *parent = json_path(record, "spec", "parentRef");
    struct service_owner owner = {json_get_string(parent, "namespace"),
                                  json_get_string(parent, "name"), .stored = true};
    const char *manager =
        json_path_string(record, "metadata", "labels", "ipaddress.kubernetes.io/managed-by");
    bool ours = address == NULL || (manager != NULL && strcmp(manager, "ipallocator") == 0);
    if (!ours || owner.namespace == NULL || owner.name == NULL || text == NULL ||
        !timestamp_parse(text, &taken_at) ||
        timestamp_now() - taken_at < grace_seconds * INT64_C(1000000000)) {
        return;
    }
    cleanup(object_release)
    struct object *object =
        registry_get(allocator->registry, allocator->services, owner.namespace, owner.name);
    cleanup(json_release)
    json_t *service = object ? object_tree(object) : NULL;
    bool used = address ? has_address(service, address) : has_port(service, port);
    if (!used && address != NULL) {
        log_info("giving back cluster IP %s, which no service has", address);
        service_release_address(allocator, &owner, address);
    } else if (!used) {
        log_info("giving back node port %u, which no service has", port);
        service_release_port(allocator, &owner, port);
    }
}

static void reclaim_all(struct service_allocator *allocator, const struct store_items *ports)
{
    struct cache_table *table = cache_table(allocator->registry->cache, allocator->addresses);
    struct snapshot *addresses = cache_snapshot(table, "");
    for (size_t i = 0; i < addresses->count; i++) {
        cleanup(json_release)
        json_t *record = object_tree(addresses->objects[i]);
        reclaim(allocator, record, addresses->objects[i]->key, 0);
    }
    snapshot_free(addresses);
    for (size_t i = 0; i < ports->count; i++) {
        const struct store_item *item = &ports->list[i];
        cleanup(json_release)
        json_t *record = json_parse(item->value, item->value_length, NULL);
        reclaim(allocator, record, NULL,
                (unsigned)strtoul(item->key + strlen(ports_prefix), NULL, 10));
    }
}

static bool repair(struct service_allocator *allocator, struct error *error)
{
    struct registry *registry = allocator->registry;
    struct store_items items = STORE_ITEMS_INIT;
    struct map ports = MAP_INIT;
    bool done = read_ports(allocator, &items, error) && cache_wait_current(registry->cache, error);
    for (size_t i = 0; done && i < items.count; i++) {
        map_set(&ports, items.list[i].key + strlen(ports_prefix), &items.list[i]);
    }
    if (done) {
        struct snapshot *services =
            cache_snapshot(cache_table(registry->cache, allocator->services), "");
        for (size_t i = 0; i < services->count; i++) {
            retake(allocator, services->objects[i], &ports);
        }
        snapshot_free(services);
        reclaim_all(allocator, &items);
    }
    map_free(&ports, NULL);
    store_items_clear(&items);
    return done;
}

static void *repairer_main(void *argument)
{
    struct service_allocator *allocator = argument;
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    pthread_mutex_lock(&allocator->lock);
    while (!allocator->stopping) {
        until.tv_sec = timestamp_now() / 1000000000 + repair_interval_seconds;
        int waited = 0;
        while (!allocator->stopping && waited == 0) {
            waited = pthread_cond_timedwait(&allocator->stop, &allocator->lock, &until);
        }
        if (allocator->stopping) {
            break;
        }
        pthread_mutex_unlock(&allocator->lock);
        cleanup(error_clear)
        struct error error = ERROR_INIT;
        if (!repair(allocator, &error)) {
            log_warning("repairing cluster IPs and node ports failed: %s", error.message);
        }
        pthread_mutex_lock(&allocator->lock);
    }
    pthread_mutex_unlock(&allocator->lock);
    return NULL;
}

/* ---- life ---- */

struct service_allocator *service_allocator_new(struct registry *registry, struct error *error)
{
    struct service_allocator *allocator = allocate_struct(struct service_allocator);
    allocator->registry = registry;
    allocator->services = registry_resource(registry, "", "services");
    allocator->addresses = registry_resource(registry, "networking.k8s.io", "ipaddresses");
    allocator->ranges.more = cache_table(
        registry->cache, registry_resource(registry, "networking.k8s.io", "servicecidrs"));
    pthread_mutex_init(&allocator->lock, NULL);
    pthread_cond_init(&allocator->stop, NULL);
    if (!service_ranges_parse(&allocator->ranges, registry->service_cluster_ip_range, error) ||
        !parse_ports(allocator, registry->service_node_port_range, error)) {
        service_allocator_free(allocator);
        return NULL;
    }
    return allocator;
}

bool service_allocator_start(struct service_allocator *allocator, struct error *error)
{
    if (!repair(allocator, error)) {
        return false;
    }
    allocator->repairer_runs =
        pthread_create(&allocator->repairer, NULL, repairer_main, allocator) == 0;
    return allocator->repairer_runs || error_internal(error, "starting a thread failed");
}

void service_allocator_free(struct service_allocator *allocator)
{
    if (allocator == NULL) {
        return;
    }
    if (allocator->repairer_runs) {
        pthread_mutex_lock(&allocator->lock);
        allocator->stopping = true;
        pthread_cond_signal(&allocator->stop);
        pthread_mutex_unlock(&allocator->lock);
        pthread_join(allocator->repairer, NULL);
    }
    pthread_cond_destroy(&allocator->stop);
    pthread_mutex_destroy(&allocator->lock);
    free(allocator);
}

char *service_allocator_first(const struct service_allocator *allocator)
{
    char text[INET6_ADDRSTRLEN];
    struct ip_network first = ip_network_at(&allocator->ranges.list[0], 1);
    ip_format(&first, text);
    return duplicate(text);
}

json_t *service_allocator_ranges(const struct service_allocator *allocator)
{
    json_t *ranges = json_array();
    for (size_t i = 0; i < allocator->ranges.count; i++) {
        char text[INET6_ADDRSTRLEN];
        ip_format(&allocator->ranges.list[i], text);
        json_array_append_new(ranges, json_sprintf("%s/%d", text, allocator->ranges.list[i].bits));
    }
    return ranges;
}

size_t service_allocator_families(const struct service_allocator *allocator,
                                  const char *families[static SERVICE_FAMILIES_MAX])
{
    for (size_t i = 0; i < allocator->ranges.count; i++) {
        families[i] = ip_family_name(allocator->ranges.list[i].family);
    }
    return allocator->ranges.count;
}

void service_allocator_ports(const struct service_allocator *allocator, unsigned *first,
                             unsigned *last)
{
    *first = allocator->port_first;
    *last = allocator->port_first + allocator->port_count - 1;
}
