// SPDX-License-Identifier: Apache-2.0
#include "controllers/endpointslice_view.h"

#include <netinet/in.h>
#include <string.h>

#include "common/alloc.h"
#include "common/map.h"
#include "controllers/resources.h"

const char endpointslice_service_label[] = "kubernetes.io/service-name";
const char endpointslice_manager_label[] = "endpointslice.kubernetes.io/managed-by";

/* ---- hashes ---- */

/* The strings one after another with their ends, so that no two lists give the same text. */
static uint64_t hash_strings(const char *const *strings, size_t count)
{
    cleanup(buffer_free)
    struct buffer buffer = BUFFER_INIT;
    for (size_t i = 0; i < count; i++) {
        buffer_add(&buffer, strings[i], strlen(strings[i]) + 1);
    }
    return hash_bytes(buffer_text(&buffer), buffer.length);
}

struct endpoint_hash endpoint_hash(const struct endpoint *endpoint)
{
    const char flags[] = {endpoint->is_ready ? 'r' : '-', endpoint->is_serving ? 's' : '-',
                          endpoint->is_terminating ? 't' : '-', '\0'};
    const char *const identity[] = {endpoint->address, endpoint->hostname, endpoint->pod_namespace,
                                    endpoint->pod_name};
    const char *const content[] = {endpoint->node,      endpoint->zone,      endpoint->pod_uid,
                                   endpoint->hint_zone, endpoint->hint_node, flags};
    uint64_t hash = hash_strings(content, array_length(content));
    return (struct endpoint_hash){hash_strings(identity, array_length(identity)),
                                  hash != 0 ? hash : 1};
}

static const char *text_at(const json_t *object, const char *name)
{
    const char *text = json_get_string(object, name);
    return text != NULL ? text : "";
}

/* The one name that a hint gives. */
static const char *hint_at(const json_t *hints, const char *name)
{
    return text_at(json_array_get(json_object_get(hints, name), 0), "name");
}

/* Nothing is in it that struct endpoint does not tell. */
static bool is_plain(const json_t *endpoint)
{
    const json_t *conditions = json_object_get(endpoint, "conditions");
    const json_t *target = json_object_get(endpoint, "targetRef");
    const json_t *hints = json_object_get(endpoint, "hints");
    return json_array_size(json_object_get(endpoint, "addresses")) == 1 &&
           json_object_get(conditions, "ready") != NULL &&
           json_object_get(conditions, "serving") != NULL &&
           json_object_get(conditions, "terminating") != NULL &&
           strcmp(text_at(target, "kind"), "Pod") == 0 &&
           json_object_get(target, "fieldPath") == NULL &&
           json_object_get(endpoint, "deprecatedTopology") == NULL &&
           json_array_size(json_object_get(hints, "forZones")) <= 1 &&
           json_array_size(json_object_get(hints, "forNodes")) <= 1;
}

struct endpoint_hash endpoint_hash_of_json(const json_t *json)
{
    const json_t *conditions = json_object_get(json, "conditions");
    const json_t *target = json_object_get(json, "targetRef");
    const json_t *hints = json_object_get(json, "hints");
    const char *address = json_string_value(json_array_get(json_object_get(json, "addresses"), 0));
    struct endpoint endpoint = {
        .address = address != NULL ? address : "",
        .hostname = text_at(json, "hostname"),
        .node = text_at(json, "nodeName"),
        .zone = text_at(json, "zone"),
        .pod_namespace = text_at(target, "namespace"),
        .pod_name = text_at(target, "name"),
        .pod_uid = text_at(target, "uid"),
        .hint_zone = hint_at(hints, "forZones"),
        .hint_node = hint_at(hints, "forNodes"),
        .is_ready = json_get_bool(conditions, "ready", false),
        .is_serving = json_get_bool(conditions, "serving", false),
        .is_terminating = json_get_bool(conditions, "terminating", false),
    };
    struct endpoint_hash hash = endpoint_hash(&endpoint);
    hash.content = is_plain(json) ? hash.content : 0;
    return hash;
}

uint64_t endpoint_ports_hash(const json_t *ports)
{
    uint64_t sum = json_array_size(ports);
    size_t i;
    const json_t *port;
    json_array_foreach (ports, i, port) {
        cleanup(free_char)
        char *number = format("%lld", (long long)json_get_int(port, "port", 0));
        const char *const strings[] = {text_at(port, "name"), text_at(port, "protocol"), number,
                                       text_at(port, "appProtocol")};
        sum += hash_strings(strings, array_length(strings));
    }
    return sum;
}

/* ---- JSON ---- */

static void set_text(json_t *object, const char *name, const char *text)
{
    if (text[0] != '\0') {
        json_object_set_new(object, name, json_string(text));
    }
}

static void set_hint(json_t *hints, const char *name, const char *value)
{
    if (value[0] != '\0') {
        json_object_set_new(hints, name, json_pack("[{s:s}]", "name", value));
    }
}

json_t *endpoint_json(const struct endpoint *endpoint)
{
    json_t *json = json_pack(
        "{s:[s], s:{s:b, s:b, s:b}, s:{s:s, s:s, s:s, s:s}}", "addresses", endpoint->address,
        "conditions", "ready", endpoint->is_ready, "serving", endpoint->is_serving, "terminating",
        endpoint->is_terminating, "targetRef", "kind", "Pod", "namespace", endpoint->pod_namespace,
        "name", endpoint->pod_name, "uid", endpoint->pod_uid);
    set_text(json, "hostname", endpoint->hostname);
    set_text(json, "nodeName", endpoint->node);
    set_text(json, "zone", endpoint->zone);
    if (endpoint->hint_zone[0] != '\0' || endpoint->hint_node[0] != '\0') {
        json_t *hints = json_object();
        set_hint(hints, "forZones", endpoint->hint_zone);
        set_hint(hints, "forNodes", endpoint->hint_node);
        json_object_set_new(json, "hints", hints);
    }
    return json;
}

/* ---- the informer ---- */

static int family_of(const json_t *slice)
{
    const char *type = text_at(slice, "addressType");
    return strcmp(type, "IPv4") == 0 ? AF_INET : strcmp(type, "IPv6") == 0 ? AF_INET6 : 0;
}

static void *digest(const struct cached_object *object)
{
    cleanup(json_release)
    json_t *slice = cached_object_tree(object);
    const json_t *endpoints = json_object_get(slice, "endpoints");
    const char *manager =
        text_at(json_path(slice, "metadata", "labels"), endpointslice_manager_label);
    size_t count = json_array_size(endpoints), i;
    size_t head = sizeof(struct endpointslice_view) + count * sizeof(struct endpoint_hash);
    struct endpointslice_view *view = allocate_zero(1, head + strlen(manager) + 1);
    view->family = family_of(slice);
    view->ports = endpoint_ports_hash(json_object_get(slice, "ports"));
    view->manager = strcpy((char *)view + head, manager);
    view->count = count;
    const json_t *endpoint;
    json_array_foreach (endpoints, i, endpoint) {
        view->endpoints[i] = endpoint_hash_of_json(endpoint);
    }
    return view;
}

char *endpointslice_service_key(const struct cached_object *slice)
{
    cleanup(free_char)
    char *name = cached_object_label_value(slice, endpointslice_service_label);
    return name != NULL && name[0] != '\0' ? format("%s/%s", slice->namespace, name) : NULL;
}

static void index_by_service(const struct cached_object *slice, struct index_values *values)
{
    cleanup(free_char)
    char *key = endpointslice_service_key(slice);
    index_values_add(values, key != NULL ? key : "");
}

const struct cached_object_class endpointslice_class = {.digest = digest, .digest_free = free};

struct informer *endpointslice_informer(struct informer_factory *informers)
{
    struct informer *slices =
        informer_factory_get(informers, &resource_endpointslices, &endpointslice_class, NULL);
    indexer_add_index(informer_indexer(slices), "service", index_by_service);
    return slices;
}

static int compare_slice_keys(const void *a, const void *b)
{
    struct cached_object *const *first = a, *const *second = b;
    return strcmp((*first)->key, (*second)->key);
}

void endpointslice_find(const struct indexer *slices, const char *service_key, const char *manager,
                        struct cached_list *found)
{
    cleanup(cached_list_free)
    struct cached_list all = CACHED_LIST_INIT;
    indexer_find(slices, "service", service_key, &all);
    for (size_t i = 0; i < all.count; i++) {
        if (!all.items[i]->is_deleting &&
            strcmp(endpointslice_view(all.items[i])->manager, manager) == 0) {
            cached_list_add(found, all.items[i]);
        }
    }
    if (found->count > 1) {
        qsort(found->items, found->count, sizeof *found->items, compare_slice_keys);
    }
}

bool endpointslice_is_owned(const struct cached_object *slice, const char *uid)
{
    static const char *const paths[] = {"metadata.ownerReferences"};
    struct json_span owners;
    json_scan(slice->text, slice->length, paths, 1, &owners);
    if (owners.text == NULL) {
        return false;
    }
    cleanup(json_release)
    json_t *list = json_loadb(owners.text, owners.length, 0, NULL);
    size_t i;
    const json_t *owner;
    json_array_foreach (list, i, owner) {
        if (strcmp(text_at(owner, "uid"), uid) == 0) {
            return true;
        }
    }
    return false;
}
