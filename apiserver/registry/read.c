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
#include "common/base64.h"
#include "common/json.h"

enum { wait_revision_ms = 3000 };

/* ---- parameters ---- */

static bool parse_limit(const struct request *request, int64_t *limit, struct error *error)
{
    const char *text = request_parameter(request, "limit");
    char *end = NULL;
    *limit = text && text[0] ? strtoll(text, &end, 10) : 0;
    if (end != NULL && (*end != '\0' || *limit < 0)) {
        return error_bad_request(error, "unable to parse limit parameter: \"%s\" is not a number",
                                 text);
    }
    return true;
}

static bool parse_revision(const struct request *request, int64_t *revision, struct error *error)
{
    const char *text = request_parameter(request, "resourceVersion");
    char *end = NULL;
    *revision = REVISION_UNSET;
    if (text == NULL || text[0] == '\0') {
        return true;
    }
    *revision = strtoll(text, &end, 10);
    if (*end != '\0' || text[0] == '-' || text[0] == '+') {
        struct field_errors errors = FIELD_ERRORS_INIT;
        cleanup(json_release)
        json_t *value = json_string(text);
        field_error(&errors, FIELD_INVALID, FIELD(NULL, "resourceVersion"), value,
                    "strconv.ParseUint: parsing \"%s\": invalid syntax", text);
        return error_invalid(error, request->resource->group, request->resource->kind, "", &errors);
    }
    return true;
}

static bool bad_match(const struct request *request, const char *why, bool forbidden,
                      struct error *error)
{
    struct field_errors errors = FIELD_ERRORS_INIT;
    cleanup(json_release)
    json_t *value = json_string(request_parameter(request, "resourceVersionMatch"));
    if (forbidden) {
        field_error(&errors, FIELD_FORBIDDEN, FIELD(NULL, "resourceVersionMatch"), NULL, "%s", why);
    } else {
        static const char *const supported[] = {"Exact", "NotOlderThan", "", NULL};
        field_error_not_supported(&errors, FIELD(NULL, "resourceVersionMatch"), value, supported);
    }
    return error_invalid(error, "meta.k8s.io", "ListOptions", "", &errors);
}

static bool parse_match(const struct request *request, struct list_query *query,
                        struct error *error)
{
    const char *text = request_parameter(request, "resourceVersionMatch");
    if (text == NULL || text[0] == '\0' || strcmp(request->info.verb, "watch") == 0) {
        query->match = MATCH_UNSET; /* A watch has rules of its own. */
        return true;
    }
    query->match = strcmp(text, "Exact") == 0          ? MATCH_EXACT
                   : strcmp(text, "NotOlderThan") == 0 ? MATCH_NOT_OLDER
                                                       : MATCH_UNSET;
    if (query->continue_token != NULL) {
        return bad_match(request, "resourceVersionMatch is forbidden when continue is provided",
                         true, error);
    }
    if (query->revision == REVISION_UNSET) {
        return bad_match(request,
                         "resourceVersionMatch is forbidden unless resourceVersion is provided",
                         true, error);
    }
    if (query->match == MATCH_UNSET) {
        return bad_match(request, NULL, false, error);
    }
    if (query->match == MATCH_EXACT && query->revision == 0) {
        return bad_match(request,
                         "resourceVersionMatch \"Exact\" is forbidden for resourceVersion \"0\"",
                         true, error);
    }
    return true;
}

/* The keys of a field selector must be fields that this kind offers. */
static bool check_fields(const struct resource *resource, const struct selector *fields,
                         struct error *error)
{
    for (size_t i = 0; i < selector_key_count(fields); i++) {
        const char *key = selector_key(fields, i);
        bool known = strcmp(key, "metadata.name") == 0 ||
                     (resource->namespaced && strcmp(key, "metadata.namespace") == 0);
        for (size_t at = 0; !known && resource->selectable_fields != NULL &&
                            resource->selectable_fields[at] != NULL;
             at++) {
            known = strcmp(resource->selectable_fields[at], key) == 0;
        }
        if (!known) {
            return error_bad_request(error, "field label not supported: %s", key);
        }
    }
    return true;
}

bool list_query_parse(const struct request *request, struct list_query *query, struct error *error)
{
    *query = (struct list_query){0};
    const char *labels = request_parameter(request, "labelSelector");
    const char *fields = request_parameter(request, "fieldSelector");
    query->continue_token = request_parameter(request, "continue");
    if (query->continue_token != NULL && query->continue_token[0] == '\0') {
        query->continue_token = NULL;
    }
    query->labels = selector_parse_labels(labels ? labels : "", error);
    query->fields = query->labels ? selector_parse_fields(fields ? fields : "", error) : NULL;
    const struct resource *storage = scheme_storage_resource(request->scheme, request->resource);
    return query->fields != NULL && check_fields(storage, query->fields, error) &&
           parse_limit(request, &query->limit, error) &&
           parse_revision(request, &query->revision, error) && parse_match(request, query, error);
}

void list_query_clear(struct list_query *query)
{
    selector_free(query->labels);
    selector_free(query->fields);
    *query = (struct list_query){0};
}

bool list_query_matches(const struct list_query *query, const struct object *object)
{
    return (selector_is_everything(query->labels) ||
            selector_matches(query->labels, object_label, object)) &&
           (selector_is_everything(query->fields) ||
            selector_matches(query->fields, object_field, object));
}

char *list_query_prefix(const struct request *request, const struct list_query *query)
{
    const char *namespace = request->info.namespace;
    if (namespace[0] == '\0') {
        namespace = selector_required_value(query->fields, "metadata.namespace");
    }
    bool one = request->resource->namespaced && namespace != NULL && namespace[0] != '\0';
    return one ? format("%s/", namespace) : duplicate("");
}

/* ---- continue tokens ---- */

/* Where a list goes on: upstream's form, base64url of
 * {"v":"meta.k8s.io/v1","rv":12,"start":"default/a\u0000"}. */
struct position {
    int64_t revision; /* -1: whatever there is by then. */
    char *start;      /* The first key of the next page. */
};

static char *position_encode(int64_t revision, const char *last_key)
{
    cleanup(buffer_free)
    struct buffer json = BUFFER_INIT;
    buffer_addf(&json, "{\"v\":\"meta.k8s.io/v1\",\"rv\":%lld,\"start\":", (long long)revision);
    cleanup(json_release)
    json_t *key = json_stringn(last_key, strlen(last_key) + 1);
    json_encode(key, &json);
    buffer_add_char(&json, '}');
    char *token = base64_encode_url(json.bytes, json.length);
    return token;
}

static bool position_decode(const char *token, struct position *position, struct error *error)
{
    size_t length = 0;
    cleanup(free_char)
    char *text = base64_decode_url(token, strlen(token), &length);
    cleanup(json_release)
    json_t *json = text ? json_loadb(text, length, JSON_ALLOW_NUL, NULL) : NULL;
    const json_t *start = json_object_get(json, "start");
    const json_t *revision = json_object_get(json, "rv");
    const char *version = json_get_string(json, "v");
    const char *key = json_string_value(start);
    bool valid = version != NULL && strcmp(version, "meta.k8s.io/v1") == 0 &&
                 json_is_integer(revision) && key != NULL && key[0] != '\0' && key[0] != '/' &&
                 strstr(key, "..") == NULL;
    if (!valid) {
        return error_bad_request(error, "continue key is not valid: %s",
                                 json == NULL ? "encoded continue token is not well formed"
                                              : "it was not made by this server");
    }
    *position = (struct position){json_integer_value(revision), NULL};
    /* "key\0" is the first key behind "key". */
    position->start = duplicate_bytes(key, json_string_length(start));
    return true;
}

static bool starts_at(const struct position *position, const struct object *object)
{
    /* start is a key followed by NUL: everything behind that key. */
    return position->start == NULL || strcmp(object->key, position->start) > 0;
}

/* ---- snapshots ---- */

static bool expired_position(const struct position *position, struct error *why,
                             struct error *error)
{
    error_clear(why);
    error_expired(error, "The provided continue parameter is too old to display a consistent list "
                         "result. You can start a new list without the continue parameter, or use "
                         "the continue token in this response to retrieve the remainder of the "
                         "results. Continuing with the provided token results in an inconsistent "
                         "list - objects that were created, modified, or deleted between the time "
                         "the first chunk was returned and now may show up in the list.");
    if (error != NULL) {
        error->continue_token = position_encode(-1, position->start);
    }
    return false;
}

/* Reads from the store what the table held at a revision. */
static struct snapshot *read_old(struct registry *registry, struct cache_table *table,
                                 const char *prefix, int64_t revision, struct error *error)
{
    const struct object_class *class = cache_table_class(table);
    cleanup(free_char)
    char *start = format("%s%s", class->resource->storage_prefix, prefix);
    cleanup(free_char)
    char *end = store_prefix_end(start);
    struct store_items items = STORE_ITEMS_INIT;
    struct object **objects = NULL;
    size_t count = 0;
    bool done = store_range(registry->store, start, end, 0, revision, &items, NULL, NULL, error);
    objects = allocate_zero(items.count, sizeof *objects);
    for (size_t i = 0; done && i < items.count; i++) {
        const struct store_item *item = &items.list[i];
        objects[count] = object_new(class, item->key + strlen(class->resource->storage_prefix),
                                    item->value, item->value_length, item->mod_revision, error);
        done = objects[count] != NULL;
        count += done;
    }
    store_items_clear(&items);
    struct snapshot *snapshot = snapshot_of_objects(objects, count, revision);
    free(objects);
    if (!done) {
        snapshot_free(snapshot);
        return NULL;
    }
    return snapshot;
}

static struct snapshot *take_old(struct registry *registry, struct cache_table *table,
                                 const char *prefix, int64_t revision, struct error *error)
{
    if (!cache_wait_revision(registry->cache, revision, wait_revision_ms, error)) {
        return NULL;
    }
    if (cache_unchanged_since(table, revision)) {
        struct snapshot *snapshot = cache_snapshot(table, prefix);
        if (cache_unchanged_since(table, revision)) {
            snapshot->revision = revision;
            return snapshot;
        }
        snapshot_free(snapshot);
    }
    return read_old(registry, table, prefix, revision, error);
}

static struct snapshot *take_continued(struct registry *registry, struct cache_table *table,
                                       const char *prefix, const struct position *position,
                                       struct error *error)
{
    if (position->revision <= 0) {
        return cache_wait_current(registry->cache, error) ? cache_snapshot(table, prefix) : NULL;
    }
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    struct snapshot *snapshot = take_old(registry, table, prefix, position->revision, &why);
    if (snapshot == NULL && why.code == 410) {
        expired_position(position, &why, error);
    } else if (snapshot == NULL) {
        error_move(error, &why);
    }
    return snapshot;
}

static struct snapshot *take(struct registry *registry, struct cache_table *table,
                             const char *prefix, const struct list_query *query,
                             const struct position *position, struct error *error)
{
    if (query->continue_token != NULL) {
        return take_continued(registry, table, prefix, position, error);
    }
    if (query->match == MATCH_EXACT ||
        (query->match == MATCH_UNSET && query->revision > 0 && query->limit > 0)) {
        return take_old(registry, table, prefix, query->revision, error);
    }
    bool ready = query->revision == REVISION_UNSET ? cache_wait_current(registry->cache, error)
                 : query->revision == 0            ? true
                                        : cache_wait_revision(registry->cache, query->revision,
                                                              wait_revision_ms, error);
    return ready ? cache_snapshot(table, prefix) : NULL;
}

/* ---- list ---- */

/* The objects of a page. '*more' tells whether further ones match, '*rest' how many objects follow
 * the page whether they match or not. */
static struct object **choose(const struct snapshot *snapshot, const struct list_query *query,
                              const struct position *position, size_t *count, bool *more,
                              size_t *rest)
{
    struct object **chosen = NULL;
    size_t capacity = 0;
    *count = 0;
    *more = false;
    *rest = 0;
    for (size_t i = 0; i < snapshot->count; i++) {
        struct object *object = snapshot->objects[i];
        if (!starts_at(position, object) || !list_query_matches(query, object)) {
            continue;
        }
        if (query->limit > 0 && *count == (size_t)query->limit) {
            *more = true;
            *rest = snapshot->count - i;
            break;
        }
        chosen = grow(chosen, *count, &capacity, sizeof(struct object *));
        chosen[(*count)++] = object;
    }
    return chosen;
}

struct snapshot *registry_list(struct registry *registry, const struct request *request,
                               const struct list_query *query, struct error *error)
{
    struct cache_table *table = cache_table(registry->cache, request->resource);
    cleanup(free_char)
    char *prefix = list_query_prefix(request, query);
    return take(registry, table, prefix, query, &(struct position){0}, error);
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
    struct position position = {0};
    struct cache_table *table = cache_table(registry->cache, request->resource);
    bool understood =
        list_query_parse(request, &query, &error) &&
        (query.continue_token == NULL || position_decode(query.continue_token, &position, &error));
    cleanup(free_char)
    char *start = position.start;
    if (understood && query.continue_token != NULL && query.revision > 0) {
        understood = error_bad_request(&error, "specifying resource version is not allowed when "
                                               "using continue");
    }
    cleanup(free_char)
    char *prefix = understood ? list_query_prefix(request, &query) : NULL;
    struct snapshot *snapshot =
        understood && renderer_init(&renderer, request, request->resource, &error)
            ? take(registry, table, prefix, &query, &position, &error)
            : NULL;
    if (snapshot == NULL) {
        response_set_error(response, request, &error);
        return;
    }
    size_t count, rest;
    bool more;
    struct object **objects = choose(snapshot, &query, &position, &count, &more, &rest);
    struct list_metadata metadata = {.revision = snapshot->revision, .remaining = -1};
    if (more) {
        int64_t at = position.revision < 0 ? -1 : snapshot->revision;
        metadata.continue_token = position_encode(at, objects[count - 1]->key);
        bool unfiltered =
            selector_is_everything(query.labels) && selector_is_everything(query.fields);
        metadata.remaining = unfiltered ? (int64_t)rest : -1;
    }
    render_list(&renderer, request, response, snapshot, objects, count, &metadata);
    free(metadata.continue_token);
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
                 parse_revision(request, &revision, &error);
    if (ready && revision == REVISION_UNSET) {
        ready = cache_wait_current(registry->cache, &error);
    } else if (ready && revision > 0) {
        ready = cache_wait_revision(registry->cache, revision, wait_revision_ms, &error);
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
    char *key = format("%s/%s", namespace, name);
    return cache_get(table, key);
}

const struct resource *registry_resource(const struct registry *registry, const char *group,
                                         const char *plural)
{
    const struct scheme_group *found = scheme_group_find(registry->scheme, group);
    const struct resource *resource =
        found ? scheme_resource_find(registry->scheme, group, found->versions[0], plural) : NULL;
    return resource ? scheme_storage_resource(registry->scheme, resource) : NULL;
}
