// SPDX-License-Identifier: Apache-2.0
#include "controllers/daemonset_history.h"

#include <string.h>

#include "common/alloc.h"
#include "common/json.h"
#include "controllers/history.h"
#include "controllers/resources.h"

/* What the functions below have in common. */
struct search {
    struct client *client;
    struct own_writes *writes;
    const char *key;
    const json_t *set;
    const struct cached_list *pods;
};

static const char *hash_of(const json_t *revision)
{
    const char *hash = json_path_string(revision, "metadata", "labels", history_hash_label);
    return hash != NULL ? hash : history_name(revision);
}

/* ---- a new revision ---- */

/* Another revision has the name: the next round tries one more. Unless the count is another by now
 * than the one that was tried. */
static void count_collision(const struct search *search, struct error *error)
{
    const json_t *metadata = json_object_get(search->set, "metadata");
    json_int_t tried = json_get_int(json_object_get(search->set, "status"), "collisionCount", -1);
    cleanup(json_release)
    json_t *fresh =
        client_get(search->client, &resource_daemonsets, json_get_string(metadata, "namespace"),
                   json_get_string(metadata, "name"), error);
    json_t *status = fresh != NULL ? json_get_or_add_object(fresh, "status") : NULL;
    if (status == NULL || json_get_int(status, "collisionCount", -1) != tried) {
        return;
    }
    json_object_set_new(status, "collisionCount", json_integer(tried < 0 ? 1 : tried + 1));
    cleanup(json_release)
    json_t *written = client_update(search->client, &resource_daemonsets, "status", fresh, error);
}

static json_t *make_revision(const struct search *search, const json_t *data, json_int_t number,
                             struct error *error)
{
    const char *namespace = json_path_string(search->set, "metadata", "namespace");
    char hash[TEMPLATE_HASH_SIZE];
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    template_hash(json_path(search->set, "spec", "template"),
                  json_get_int(json_object_get(search->set, "status"), "collisionCount", -1), hash);
    cleanup(json_release)
    json_t *revision = history_revision(search->set, data, history_hash_label, hash, number);
    json_t *made =
        client_create(search->client, &resource_controllerrevisions, namespace, revision, &why);
    if (made == NULL && why.code == 409 && strcmp(why.reason, "AlreadyExists") == 0) {
        made = client_get(search->client, &resource_controllerrevisions, namespace,
                          history_name(revision), &why);
        if (made != NULL && !history_keeps(made, data)) {
            json_decref(made);
            made = NULL;
            count_collision(search, NULL);
        }
    }
    if (made == NULL) {
        error_move(error, &why);
        return NULL;
    }
    own_writes_note(search->writes, search->key, made);
    return made;
}

/* ---- several of the same ---- */

/* The pods of a revision become another's. */
static bool relabel_pods(const struct search *search, const char *from, const char *to,
                         struct error *error)
{
    for (size_t i = 0; i < search->pods->count; i++) {
        const struct cached_object *pod = search->pods->items[i];
        cleanup(free_char)
        char *hash = cached_object_label_value(pod, history_hash_label);
        if (hash == NULL || strcmp(hash, from) != 0) {
            continue;
        }
        cleanup(json_release)
        json_t *patch = json_pack("{s:{s:s, s:{s:s}}}", "metadata", "uid", pod->uid, "labels",
                                  history_hash_label, to);
        cleanup(error_clear)
        struct error why = ERROR_INIT;
        cleanup(json_release)
        json_t *patched = client_patch(search->client, &resource_pods, pod->namespace, pod->name,
                                       NULL, client_strategic_merge_patch, patch, &why);
        if (patched == NULL && why.code != 404) {
            return error_move(error, &why);
        }
    }
    return true;
}

/* Of those that keep the same template the last one stays. */
static bool drop_equals(const struct search *search, const json_t *equals, struct error *error)
{
    const json_t *kept = json_array_get(equals, json_array_size(equals) - 1);
    for (size_t i = 0; i + 1 < json_array_size(equals); i++) {
        const json_t *revision = json_array_get(equals, i);
        if (!relabel_pods(search, hash_of(revision), hash_of(kept), error) ||
            !history_delete(search->client, revision, error)) {
            return false;
        }
    }
    return true;
}

/* ---- the history ---- */

static json_t *find_current(const struct search *search, const json_t *data, const json_t *equals,
                            const json_t *old, struct error *error)
{
    json_int_t next = history_next(old);
    json_t *last = json_array_get(equals, json_array_size(equals) - 1);
    if (json_array_size(equals) == 0) {
        return make_revision(search, data, next, error);
    }
    if (!drop_equals(search, equals, error)) {
        return NULL;
    }
    if (history_number(last) >= next) {
        return json_incref(last);
    }
    json_t *written = history_renumber(search->client, last, next, error);
    if (written != NULL) {
        own_writes_note(search->writes, search->key, written);
    }
    return written;
}

bool daemonset_history_find(struct controller *controller, const struct cached_object *cached,
                            const json_t *set, const struct indexer *revisions,
                            const struct cached_list *pods, struct own_writes *writes,
                            struct daemonset_history *history, struct error *error)
{
    struct search search = {controller->client, writes, cached->key, set, pods};
    *history = (struct daemonset_history){0};
    cleanup(json_release)
    json_t *all = history_of(controller->client, &resource_daemonsets, set, revisions, error);
    if (all == NULL) {
        return false;
    }
    cleanup(json_release)
    json_t *data = history_data(json_path(set, "spec", "template"));
    cleanup(json_release)
    json_t *equals = json_array();
    size_t i;
    json_t *revision;
    history->old = json_array();
    json_array_foreach (all, i, revision) {
        json_array_append(history_keeps(revision, data) ? equals : history->old, revision);
    }
    history->current = find_current(&search, data, equals, history->old, error);
    if (history->current == NULL) {
        return false;
    }
    history->hash = duplicate(hash_of(history->current));
    return true;
}

void daemonset_history_free(struct daemonset_history *history)
{
    json_decref(history->current);
    json_decref(history->old);
    free(history->hash);
}

bool daemonset_history_truncate(struct controller *controller, const json_t *set,
                                const struct cached_list *pods,
                                const struct daemonset_history *history, struct error *error)
{
    struct map live = MAP_INIT;
    json_int_t surplus = (json_int_t)json_array_size(history->old) -
                         json_get_int(json_object_get(set, "spec"), "revisionHistoryLimit", 10);
    bool succeeded = true;
    for (size_t i = 0; i < pods->count; i++) {
        cleanup(free_char)
        char *hash = cached_object_label_value(pods->items[i], history_hash_label);
        if (hash != NULL) {
            map_set(&live, hash, &live);
        }
    }
    size_t i;
    const json_t *revision;
    json_array_foreach (history->old, i, revision) {
        if (surplus > 0 && succeeded && map_get(&live, hash_of(revision)) == NULL) {
            succeeded = history_delete(controller->client, revision, error);
            surplus--;
        }
    }
    map_free(&live, NULL);
    return succeeded;
}
