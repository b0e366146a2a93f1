// SPDX-License-Identifier: Apache-2.0
#include "controllers/history.h"

#include <string.h>

#include "common/alloc.h"
#include "common/json.h"
#include "controllers/owner.h"
#include "controllers/resources.h"

const char history_hash_label[] = "controller-revision-hash";

/* ---- what there is ---- */

struct informer *history_informer(struct informer_factory *informers)
{
    struct informer *revisions =
        informer_factory_get(informers, &resource_controllerrevisions, NULL, NULL);
    indexer_add_index(informer_indexer(revisions), "owner", index_by_owner);
    indexer_add_index(informer_indexer(revisions), "orphan", owner_index_orphans);
    return revisions;
}

static int compare_revisions(const void *a, const void *b)
{
    const json_t *first = *(json_t *const *)a, *second = *(json_t *const *)b;
    json_int_t number = history_number(first), other = history_number(second);
    const char *created = json_path_string(first, "metadata", "creationTimestamp");
    const char *created_other = json_path_string(second, "metadata", "creationTimestamp");
    int order = strcmp(created ? created : "", created_other ? created_other : "");
    if (number != other) {
        return number < other ? -1 : 1;
    }
    return order != 0 ? order : strcmp(history_name(first), history_name(second));
}

static json_t *sorted(const struct cached_list *list)
{
    json_t **trees = allocate_zero(list->count + 1, sizeof(json_t *));
    for (size_t i = 0; i < list->count; i++) {
        trees[i] = cached_object_tree(list->items[i]);
    }
    qsort(trees, list->count, sizeof(json_t *), compare_revisions);
    json_t *history = json_array();
    for (size_t i = 0; i < list->count; i++) {
        json_array_append_new(history, trees[i]);
    }
    free(trees);
    return history;
}

json_t *history_of(struct client *client, const struct api_resource *owner_resource,
                   const json_t *owner, const struct indexer *revisions, struct error *error)
{
    struct selector *selector = owner_selector(owner, error);
    if (selector == NULL) {
        return NULL;
    }
    cleanup(cached_list_free)
    struct cached_list candidates = CACHED_LIST_INIT;
    cleanup(cached_list_free)
    struct cached_list claimed = CACHED_LIST_INIT;
    indexer_find(revisions, "owner", json_path_string(owner, "metadata", "uid"), &candidates);
    indexer_find(revisions, "orphan", json_path_string(owner, "metadata", "namespace"),
                 &candidates);
    struct owner_claim claim = {
        client, owner_resource, owner, selector, &resource_controllerrevisions, NULL};
    bool succeeded = owner_claim(&claim, &candidates, &claimed, error);
    selector_free(selector);
    return succeeded ? sorted(&claimed) : NULL;
}

/* ---- one revision ---- */

json_t *history_data(const json_t *pod_template)
{
    json_t *copy = json_deep_copy(pod_template);
    json_object_set_new(copy, "$patch", json_string("replace"));
    return json_pack("{s:{s:o}}", "spec", "template", copy);
}

json_t *history_template(const json_t *revision)
{
    json_t *copy = json_deep_copy(json_path(revision, "data", "spec", "template"));
    json_object_del(copy, "$patch");
    return copy != NULL ? copy : json_object();
}

static uint32_t fnv32(uint32_t hash, const char *text)
{
    for (; *text != '\0'; text++) {
        hash = (hash * 16777619u) ^ (unsigned char)*text;
    }
    return hash;
}

void history_hash(const json_t *data, json_int_t collisions, char hash[static TEMPLATE_HASH_SIZE])
{
    char *text = json_dumps(data, JSON_COMPACT | JSON_SORT_KEYS);
    uint32_t sum = fnv32(2166136261u, text != NULL ? text : "");
    free(text);
    if (collisions >= 0) {
        cleanup(free_char)
        char *count = format("%lld", (long long)collisions);
        sum = fnv32(sum, count);
    }
    template_hash_spell(sum, hash);
}

/* A copy of a map, empty when there is none. */
static json_t *copy_of(const json_t *map)
{
    return map != NULL ? json_deep_copy(map) : json_object();
}

json_t *history_revision(const json_t *owner, const json_t *data, const char *hash_label,
                         const char *hash, json_int_t number)
{
    enum { prefix_max = 223 };
    const json_t *metadata = json_object_get(owner, "metadata");
    cleanup(free_char)
    char *name = format("%.*s-%s", prefix_max, json_get_string(metadata, "name"), hash);
    json_t *labels = copy_of(json_path(owner, "spec", "template", "metadata", "labels"));
    json_object_set_new(labels, hash_label, json_string(hash));
    return json_pack("{s:s, s:s, s:{s:s, s:O, s:o, s:o, s:[o]}, s:O, s:I}", "kind",
                     "ControllerRevision", "apiVersion", "apps/v1", "metadata", "name", name,
                     "namespace", json_object_get(metadata, "namespace"), "labels", labels,
                     "annotations", copy_of(json_object_get(metadata, "annotations")),
                     "ownerReferences", owner_reference(owner), "data", data, "revision", number);
}

json_int_t history_number(const json_t *revision)
{
    return json_get_int(revision, "revision", 0);
}

const char *history_name(const json_t *revision)
{
    const char *name = json_path_string(revision, "metadata", "name");
    return name != NULL ? name : "";
}

bool history_keeps(const json_t *revision, const json_t *data)
{
    return json_equal(json_object_get(revision, "data"), data);
}

/* ---- all of them ---- */

json_int_t history_next(const json_t *history)
{
    size_t count = json_array_size(history);
    return count > 0 ? history_number(json_array_get(history, count - 1)) + 1 : 1;
}

json_t *history_find(const json_t *history, const json_t *data)
{
    for (size_t i = json_array_size(history); i > 0; i--) {
        if (history_keeps(json_array_get(history, i - 1), data)) {
            return json_array_get(history, i - 1);
        }
    }
    return NULL;
}

json_t *history_find_name(const json_t *history, const char *name)
{
    size_t i;
    json_t *revision;
    json_array_foreach (history, i, revision) {
        if (strcmp(history_name(revision), name) == 0) {
            return revision;
        }
    }
    return NULL;
}

json_t *history_surplus(const json_t *history, const struct map *live, json_int_t limit)
{
    json_t *surplus = json_array();
    size_t i;
    json_t *revision;
    json_array_foreach (history, i, revision) {
        if (map_get(live, history_name(revision)) == NULL) {
            json_array_append(surplus, revision);
        }
    }
    while (json_array_size(surplus) > 0 && limit-- > 0) {
        json_array_remove(surplus, json_array_size(surplus) - 1); /* The youngest are kept. */
    }
    return surplus;
}

/* ---- writing ---- */

static bool is_taken(const struct error *error)
{
    return error->code == 409 && strcmp(error->reason, "AlreadyExists") == 0;
}

json_t *history_create(struct client *client, const json_t *owner, const json_t *data,
                       json_int_t number, json_int_t *collisions, struct error *error)
{
    const char *namespace = json_path_string(owner, "metadata", "namespace");
    for (;;) {
        char hash[TEMPLATE_HASH_SIZE];
        cleanup(error_clear)
        struct error why = ERROR_INIT;
        history_hash(data, *collisions, hash);
        cleanup(json_release)
        json_t *revision =
            history_revision(owner, data, "controller.kubernetes.io/hash", hash, number);
        json_t *created =
            client_create(client, &resource_controllerrevisions, namespace, revision, &why);
        if (created != NULL) {
            return created;
        }
        if (!is_taken(&why)) {
            error_move(error, &why);
            return NULL;
        }
        json_t *present = client_get(client, &resource_controllerrevisions, namespace,
                                     history_name(revision), error);
        if (present == NULL || history_keeps(present, data)) {
            return present;
        }
        json_decref(present);
        ++*collisions;
    }
}

json_t *history_renumber(struct client *client, const json_t *revision, json_int_t number,
                         struct error *error)
{
    cleanup(json_release)
    json_t *copy = json_copy((json_t *)revision);
    json_object_set_new(copy, "revision", json_integer(number));
    return client_update(client, &resource_controllerrevisions, NULL, copy, error);
}

bool history_delete(struct client *client, const json_t *revision, struct error *error)
{
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    cleanup(json_release)
    json_t *options = client_delete_options(json_path_string(revision, "metadata", "uid"), NULL);
    return client_delete(client, &resource_controllerrevisions,
                         json_path_string(revision, "metadata", "namespace"),
                         history_name(revision), options, &why) ||
           why.code == 404 || why.code == 409 || error_move(error, &why);
}
