// SPDX-License-Identifier: Apache-2.0
#include "controllers/discovery.h"

#include <string.h>

#include "common/alloc.h"
#include "common/json.h"

static const char aggregated[] =
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

static const struct {
    const char *name;
    unsigned bit;
} verbs[] = {
    {"get", DISCOVERY_GET},       {"list", DISCOVERY_LIST},
    {"watch", DISCOVERY_WATCH},   {"patch", DISCOVERY_PATCH},
    {"delete", DISCOVERY_DELETE}, {"deletecollection", DISCOVERY_DELETE_COLLECTION},
};

bool discovery_read(struct client *client, struct discovery *discovery, struct error *error)
{
    struct client_call calls[] = {
        {.request = {.method = "GET", .path = duplicate("/api"), .accept = aggregated}},
        {.request = {.method = "GET", .path = duplicate("/apis"), .accept = aggregated}},
    };
    bool succeeded = true;
    client_call_all(client, calls, array_length(calls));
    for (size_t i = 0; i < array_length(calls); i++) {
        if (calls[i].result != NULL) {
            discovery_add(discovery, calls[i].result);
            json_decref(calls[i].result);
        } else {
            succeeded = error_move(succeeded ? error : NULL, &calls[i].error);
        }
    }
    return succeeded;
}

static bool is_known(const struct discovery *discovery, size_t from, const char *plural)
{
    for (size_t i = from; i < discovery->count; i++) {
        if (strcmp(discovery->items[i]->resource.plural, plural) == 0) {
            return true;
        }
    }
    return false;
}

static void append(struct discovery *discovery, struct discovered *item)
{
    discovery->items =
        grow(discovery->items, discovery->count, &discovery->capacity, sizeof *discovery->items);
    discovery->items[discovery->count++] = item;
}

static bool has_subresource(const json_t *resource, const char *name)
{
    size_t i;
    const json_t *one;
    json_array_foreach (json_object_get(resource, "subresources"), i, one) {
        const char *found = json_get_string(one, "subresource");
        if (found != NULL && strcmp(found, name) == 0) {
            return true;
        }
    }
    return false;
}

/* One resource of a group version; the group's begin at 'group_start'. */
static void add_resource(struct discovery *discovery, size_t group_start, const char *group_version,
                         const json_t *resource)
{
    const char *plural = json_get_string(resource, "resource");
    const char *kind = json_path_string(resource, "responseKind", "kind");
    const char *scope = json_get_string(resource, "scope");
    const json_t *names = json_object_get(resource, "verbs");
    if (plural == NULL || kind == NULL || scope == NULL) {
        return;
    }
    struct discovered *item = allocate_struct(struct discovered);
    item->has_scale = has_subresource(resource, "scale");
    item->is_preferred = !is_known(discovery, group_start, plural);
    item->resource = (struct api_resource){duplicate(group_version), duplicate(plural),
                                           duplicate(kind), strcmp(scope, "Namespaced") == 0};
    for (size_t i = 0; i < array_length(verbs); i++) {
        item->verbs |= json_array_has_string(names, verbs[i].name) ? verbs[i].bit : 0;
    }
    append(discovery, item);
}

static void add_version(struct discovery *discovery, size_t group_start, const char *group,
                        const json_t *version)
{
    const char *name = json_get_string(version, "version");
    const char *freshness = json_get_string(version, "freshness");
    if (name == NULL) {
        return;
    }
    cleanup(free_char)
    char *group_version = *group != '\0' ? format("%s/%s", group, name) : duplicate(name);
    if (freshness != NULL && strcmp(freshness, "Stale") == 0) {
        cleanup(free_char)
        char *why = format("stale GroupVersion discovery: %s", group_version);
        if (discovery->failures == NULL) {
            discovery->failures = json_object();
        }
        json_object_set_new(discovery->failures, group_version, json_string(why));
    }
    size_t i;
    const json_t *resource;
    json_array_foreach (json_object_get(version, "resources"), i, resource) {
        add_resource(discovery, group_start, group_version, resource);
    }
}

void discovery_add(struct discovery *discovery, const json_t *list)
{
    size_t i, n;
    const json_t *group, *version;
    json_array_foreach (json_object_get(list, "items"), i, group) {
        const char *name = json_path_string(group, "metadata", "name");
        size_t start = discovery->count;
        json_array_foreach (json_object_get(group, "versions"), n, version) {
            add_version(discovery, start, name != NULL ? name : "", version);
        }
    }
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

char *discovery_failure(const struct discovery *discovery)
{
    size_t count = json_object_size(discovery->failures), i = 0;
    const char *key;
    const json_t *why;
    cleanup(buffer_free)
    struct buffer text = BUFFER_INIT;
    if (count == 0) {
        return NULL;
    }
    const char **names = allocate_zero(count, sizeof *names);
    json_object_foreach (discovery->failures, key, why) {
        names[i++] = key;
    }
    qsort(names, count, sizeof *names, compare_names);
    buffer_add_literal(&text, "unable to retrieve the complete list of server APIs: ");
    for (i = 0; i < count; i++) {
        buffer_addf(&text, "%s%s: %s", i > 0 ? ", " : "", names[i],
                    json_get_string(discovery->failures, names[i]));
    }
    free(names);
    return buffer_steal(&text);
}

const struct discovered *discovery_find(const struct discovery *discovery, const char *api_version,
                                        const char *kind)
{
    for (size_t i = 0; i < discovery->count; i++) {
        const struct api_resource *resource = &discovery->items[i]->resource;
        if (strcmp(resource->kind, kind) == 0 &&
            strcmp(resource->group_version, api_version) == 0 &&
            (discovery->items[i]->verbs & DISCOVERY_GET) != 0) {
            return discovery->items[i];
        }
    }
    return NULL;
}

static bool has_resource(const struct discovery *discovery, size_t count,
                         const struct api_resource *resource)
{
    for (size_t i = 0; i < count; i++) {
        const struct api_resource *known = &discovery->items[i]->resource;
        if (strcmp(known->plural, resource->plural) == 0 &&
            strcmp(known->group_version, resource->group_version) == 0) {
            return true;
        }
    }
    return false;
}

void discovery_merge(struct discovery *into, struct discovery *from)
{
    size_t known = into->count, left = 0;
    for (size_t i = 0; i < from->count; i++) {
        if (has_resource(into, known, &from->items[i]->resource)) {
            from->items[left++] = from->items[i];
        } else {
            append(into, from->items[i]);
        }
    }
    from->count = left;
}

void discovery_free(struct discovery *discovery)
{
    for (size_t i = 0; i < discovery->count; i++) {
        struct api_resource *resource = &discovery->items[i]->resource;
        free((char *)resource->group_version);
        free((char *)resource->plural);
        free((char *)resource->kind);
        free(discovery->items[i]);
    }
    free(discovery->items);
    json_decref(discovery->failures);
    *discovery = DISCOVERY_INIT;
}
