// SPDX-License-Identifier: Apache-2.0
/*
 * Get and list. Everything is answered from the cache's snapshots, except for a revision that has
 * passed: a continue token, or resourceVersionMatch=Exact, whose table has changed since. Those are
 * read from the store at that revision.
 */
#include "apiserver/registry/read.h"

#include <string.h>

#include "apiserver/registry/kinds.h"
#include "apiserver/views/render.h"
#include "common/alloc.h"
#include "common/json.h"

enum { wait_revision_ms = 3000 };

/* ---- snapshots ---- */

static bool expired_position(const struct list_position *position, struct error *error)
{
    error_expired(error, "The provided continue parameter is too old to display a consistent list "
                         "result. You can start a new list without the continue parameter, or use "
                         "the continue token in this response to retrieve the remainder of the "
                         "results. Continuing with the provided token results in an inconsistent "
                         "list - objects that were created, modified, or deleted between the time "
                         "the first chunk was returned and now may show up in the list.");
    if (error != NULL) {
        error->continue_token = list_position_encode(-1, position->start, position->start_length);
    }
    return false;
}

/* What is wanted of a table: the objects behind a prefix, from a position on. */
struct wanted {
    struct registry *registry;
    struct cache_table *table;
    const struct list_query *query;
    const char *prefix;
    struct list_position position;
    int64_t beyond; /* Answer: how many more objects there are behind those of the snapshot. */
};

/* How many objects to read from the store for a page: with the one at the position, which may be
 * the last of the page before, and one that tells that there are more. All when a selector chooses,
 * as nobody knows how many it passes over. */
static size_t read_limit(const struct list_query *query)
{
    bool choosy = !selector_is_everything(query->labels) || !selector_is_everything(query->fields);
    return query->limit > 0 && query->limit < INT32_MAX && !choosy ? (size_t)query->limit + 2 : 0;
}

/* Reads from the store what the table held at a revision. */
static struct snapshot *read_old(struct wanted *wanted, int64_t revision, struct error *error)
{
    const struct object_class *class = cache_table_class(wanted->table);
    cleanup(free_char)
    char *all = format("%s%s", class->resource->storage_prefix, wanted->prefix);
    cleanup(free_char)
    char *start = format("%s%s", all, wanted->position.start ? wanted->position.start : "");
    cleanup(free_char)
    char *end = store_prefix_end(all);
    struct store_items items = STORE_ITEMS_INIT;
    size_t count = 0, limit = read_limit(wanted->query);
    int64_t total = 0;
    bool done = store_range(wanted->registry->store, start, end, limit, revision, &items, NULL,
                            limit > 0 ? &total : NULL, error);
    struct object **objects = allocate_zero(items.count, sizeof(struct object *));
    for (size_t i = 0; done && i < items.count; i++) {
        const struct store_item *item = &items.list[i];
        objects[count] = object_new(class, item->key + strlen(class->resource->storage_prefix),
                                    item->value, item->value_length, item->mod_revision, error);
        done = objects[count] != NULL;
        count += done;
    }
    wanted->beyond = limit > 0 && total > (int64_t)items.count ? total - (int64_t)items.count : 0;
    store_items_clear(&items);
    struct snapshot *snapshot = snapshot_of_objects(objects, count, revision);
    free(objects);
    if (!done) {
        snapshot_free(snapshot);
        return NULL;
    }
    return snapshot;
}

/* The table at exactly that revision. */
static struct snapshot *take_old(struct wanted *wanted, int64_t revision, struct error *error)
{
    if (!cache_wait_revision(wanted->registry->cache, revision, wait_revision_ms, error)) {
        return NULL;
    }
    if (cache_unchanged_since(wanted->table, revision)) {
        struct snapshot *snapshot = cache_snapshot(wanted->table, wanted->prefix);
        if (cache_unchanged_since(wanted->table, revision)) {
            snapshot->revision = revision;
            return snapshot;
        }
        snapshot_free(snapshot);
    }
    return read_old(wanted, revision, error);
}

static struct snapshot *take_exact(struct wanted *wanted, int64_t revision, struct error *error)
{
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    struct snapshot *snapshot = take_old(wanted, revision, &why);
    if (snapshot == NULL && why.code == 410 && wanted->query->continue_token != NULL) {
        expired_position(&wanted->position, error);
    } else if (snapshot == NULL && why.code == 410) {
        error_expired(error, "The resourceVersion for the provided list is too old.");
    } else if (snapshot == NULL) {
        error_move(error, &why);
    }
    return snapshot;
}

static struct snapshot *take(struct wanted *wanted, struct error *error)
{
    const struct list_query *query = wanted->query;
    struct cache *cache = wanted->registry->cache;
    bool continued = query->continue_token != NULL;
    if (continued && wanted->position.revision > 0) {
        return take_exact(wanted, wanted->position.revision, error);
    }
    if (!continued && query->revision > 0 &&
        (query->match == MATCH_EXACT || (query->match == MATCH_UNSET && query->limit > 0))) {
        return take_exact(wanted, query->revision, error);
    }
    bool ready = continued || query->revision == REVISION_UNSET ? cache_wait_current(cache, error)
                 : query->revision == 0
                     ? true
                     : cache_wait_revision(cache, query->revision, wait_revision_ms, error);
    return ready ? cache_snapshot(wanted->table, wanted->prefix) : NULL;
}

/* What the store could not show the cache is an error to whoever asks for it. 'key' is an object's,
 * or what those of a list have in common. */
static bool check_readable(struct registry *registry, const struct cache_table *table,
                           const char *key, struct error *error)
{
    if (registry->store->class->check_readable == NULL) {
        return true;
    }
    cleanup(free_char)
    char *whole = format("%s%s", cache_table_class(table)->resource->storage_prefix, key);
    return store_check_readable(registry->store, whole, error);
}

/* ---- list ---- */

/* The index of the first object on the page. */
static size_t find_position(const struct snapshot *snapshot, const struct wanted *wanted)
{
    size_t low = 0, high = snapshot->count, skip = strlen(wanted->prefix);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (list_position_reached(&wanted->position, snapshot->objects[middle]->key + skip)) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

/* Chooses the objects of the page, and says whether there are more and how many. */
static void choose(const struct wanted *wanted, struct list_page *page)
{
    const struct snapshot *snapshot = page->snapshot;
    const struct list_query *query = wanted->query;
    size_t capacity = 0;
    for (size_t i = find_position(snapshot, wanted); i < snapshot->count; i++) {
        struct object *object = snapshot->objects[i];
        if (!list_query_matches(query, object)) {
            continue;
        }
        if (query->limit > 0 && page->count == (size_t)query->limit) {
            const char *last = page->objects[page->count - 1]->key + strlen(wanted->prefix);
            page->continue_token = list_position_encode(snapshot->revision, last, strlen(last) + 1);
            bool all =
                selector_is_everything(query->labels) && selector_is_everything(query->fields);
            page->remaining = all ? (int64_t)(snapshot->count - i) + wanted->beyond : -1;
            return;
        }
        page->objects = grow(page->objects, page->count, &capacity, sizeof(struct object *));
        page->objects[page->count++] = object;
    }
}

bool registry_list(struct registry *registry, const struct request *request,
                   const struct list_query *query, struct list_page *page, struct error *error)
{
    *page = (struct list_page){.remaining = -1};
    cleanup(free_char)
    char *prefix = list_query_prefix(request, query);
    struct wanted wanted = {registry, cache_table(registry->cache, request->resource), query,
                            .prefix = prefix};
    bool understood = query->continue_token == NULL ||
                      list_position_decode(query->continue_token, &wanted.position, error);
    if (understood && query->continue_token != NULL && query->revision > 0) {
        understood = error_bad_request(error, "specifying resource version is not allowed when "
                                              "using continue");
    }
    page->snapshot = understood ? take(&wanted, error) : NULL;
    if (page->snapshot != NULL && !check_readable(registry, wanted.table, prefix, error)) {
        snapshot_free(steal(page->snapshot));
    }
    if (page->snapshot != NULL) {
        choose(&wanted, page);
    }
    list_position_clear(&wanted.position);
    return page->snapshot != NULL;
}

void list_page_clear(struct list_page *page)
{
    snapshot_free(page->snapshot);
    free(page->objects);
    free(page->continue_token);
    *page = (struct list_page){0};
}

void registry_serve_list(struct registry *registry, struct request *request,
                         struct response *response)
{
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    cleanup(list_query_clear)
    struct list_query query = {0};
    cleanup(renderer_clear)
    struct renderer renderer = {0};
    cleanup(list_page_clear)
    struct list_page page = {0};
    if (!list_query_parse(request, &query, &error) ||
        !renderer_init(&renderer, request, request->resource, &error) ||
        !registry_list(registry, request, &query, &page, &error)) {
        response_set_error(response, request, &error);
        return;
    }
    struct list_metadata metadata = {page.snapshot->revision, page.continue_token, page.remaining};
    size_t count = page.count;
    render_list(&renderer, request, response, steal(page.snapshot), steal(page.objects), count,
                &metadata);
}

/* ---- get ---- */

void registry_serve_get(struct registry *registry, struct request *request,
                        struct response *response)
{
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    cleanup(renderer_clear)
    struct renderer renderer = {0};
    cleanup(object_release)
    struct object *object = NULL;
    int64_t revision;
    bool ready = renderer_init(&renderer, request, request->resource, &error) &&
                 list_query_parse_revision(request, &revision, &error);
    if (ready && revision == REVISION_UNSET) {
        ready = cache_wait_current(registry->cache, &error);
    } else if (ready && revision > 0) {
        ready = cache_wait_revision(registry->cache, revision, wait_revision_ms, &error);
    }
    if (ready && registry->store->class->check_readable != NULL) {
        cleanup(free_char)
        char *key = request->resource->namespaced
                        ? format("%s/%s", request->info.namespace, request->info.name)
                        : duplicate(request->info.name);
        ready =
            check_readable(registry, cache_table(registry->cache, request->resource), key, &error);
    }
    if (ready) {
        object =
            registry_get(registry, request->resource, request->info.namespace, request->info.name);
        if (object == NULL) {
            error_not_found(&error, request->resource->group, request->resource->plural,
                            request->info.name);
        }
    }
    if (object == NULL) {
        response_set_error(response, request, &error);
        return;
    }
    render_object(&renderer, request, response, 200, object, object->revision);
}

struct object *registry_get(struct registry *registry, const struct resource *resource,
                            const char *namespace, const char *name)
{
    struct cache_table *table = cache_table(registry->cache, resource);
    if (!resource->namespaced) {
        return strchr(name, '/') == NULL ? cache_get(table, name) : NULL;
    }
    cleanup(free_char)
    char *key = concatenate(namespace, "/", name);
    return cache_get(table, key);
}

struct object *registry_get_current(struct registry *registry, const struct resource *resource,
                                    const char *namespace, const char *name)
{
    struct object *object = registry_get(registry, resource, namespace, name);
    if (object == NULL && !cache_is_local(registry->cache) &&
        cache_wait_current(registry->cache, NULL)) {
        object = registry_get(registry, resource, namespace, name);
    }
    return object;
}

const struct resource *registry_resource(const struct registry *registry, const char *group,
                                         const char *plural)
{
    return scheme_resource_stored(registry->scheme, group, plural);
}
