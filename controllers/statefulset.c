// SPDX-License-Identifier: Apache-2.0
/*
 * StatefulSet: pods that keep their names, and with them their volume claims.
 *
 * sync(): claim the pods and revisions that match the selector; find or make the revision of the
 * template; do what the plan says (controllers/statefulset_plan.h); write what there is to the
 * status; drop revisions that nobody needs.
 *
 * A key waits until the informers show all that was written for it: a round never decides on a view
 * older than its own deeds. As pods' names are fixed, no view, however old, could make one twice.
 */
#include <string.h>

#include "common/alloc.h"
#include "common/timestamp.h"
#include "controllers/all.h"
#include "controllers/controller.h"
#include "controllers/history.h"
#include "controllers/own_writes.h"
#include "controllers/owner.h"
#include "controllers/pod_view.h"
#include "controllers/resources.h"
#include "controllers/statefulset_act.h"
#include "controllers/statefulset_pod.h"
#include "controllers/workload.h"

enum {
    own_write_check_ms = 100, /* What shows it brings the set again, unless that came before. */
};

enum { SETS, PODS, CLAIMS, REVISIONS, KINDS };

struct statefulset_state {
    struct controller *controller;
    struct workload workload;
    struct informer *informers[KINDS];
    struct own_writes *writes[KINDS];
};

static struct indexer *indexer_of(const struct statefulset_state *state, int kind)
{
    return informer_indexer(state->informers[kind]);
}

/* ---- what changed ---- */

static bool is_named_alike(const struct cached_object *set, const struct cached_object *pod)
{
    return statefulset_ordinal(set->name, pod->name) >= 0;
}

static void pod_changed(void *argument, const struct cached_object *old,
                        const struct cached_object *new)
{
    struct statefulset_state *state = argument;
    const struct cached_object *pod = new != NULL ? new : old;
    if (strcmp(pod->owner_kind, "StatefulSet") == 0) {
        cleanup(free_char)
        char *key = format("%s/%s", pod->namespace, pod->owner_name);
        workload_add_with_pods(&state->workload, key, pod->owner_uid);
    }
    if (old != NULL && strcmp(old->owner_uid, pod->owner_uid) != 0) {
        controller_add_owner(state->controller, old, "StatefulSet");
    }
    if (new != NULL &&new->owner_uid[0] == '\0' && !new->is_deleting) {
        workload_add_possible_owners(&state->workload, new, is_named_alike);
    }
}

static void revision_changed(void *argument, const struct cached_object *old,
                             const struct cached_object *new)
{
    struct statefulset_state *state = argument;
    controller_add_owner(state->controller, new != NULL ? new : old, "StatefulSet");
}

/* A pod may have waited for the end of a claim, to be made with a new one. */
static void claim_changed(void *argument, const struct cached_object *old,
                          const struct cached_object *new)
{
    struct statefulset_state *state = argument;
    if (new != NULL) {
        return;
    }
    cleanup(cached_list_free)
    struct cached_list sets = CACHED_LIST_INIT;
    indexer_find(indexer_of(state, SETS), "namespace", old->namespace, &sets);
    for (size_t i = 0; i < sets.count; i++) {
        cleanup(free_char)
        char *middle = format("-%s-", sets.items[i]->name);
        if (strstr(old->name, middle) != NULL) {
            controller_add_object(state->controller, sets.items[i]);
        }
    }
}

/* ---- revisions ---- */

struct revisions {
    json_t *history;          /* Owned, as the others. */
    json_t *current, *update; /* NULL: there are none, and a set that is going gets none. */
    json_int_t collisions;
};

static void revisions_free(struct revisions *revisions)
{
    json_decref(revisions->history);
    json_decref(revisions->current);
    json_decref(revisions->update);
}

/* Finds the revision that keeps the template, brings it to the front or makes it. */
static json_t *find_update(struct statefulset_state *state, const struct cached_object *cached,
                           const json_t *set, struct revisions *revisions, struct error *error)
{
    struct client *client = state->controller->client;
    cleanup(json_release)
    json_t *data = history_data(json_path(set, "spec", "template"));
    json_int_t next = history_next(revisions->history);
    json_t *equal = history_find(revisions->history, data), *written;
    if (equal != NULL && (history_number(equal) + 1 == next || cached->is_deleting)) {
        return json_incref(equal);
    }
    if (cached->is_deleting) {
        return NULL;
    }
    written = equal != NULL
                  ? history_renumber(client, equal, next, error)
                  : history_create(client, set, data, next, &revisions->collisions, error);
    if (written != NULL) {
        own_writes_note(state->writes[REVISIONS], cached->key, written);
    }
    return written;
}

static bool find_revisions(struct statefulset_state *state, const struct cached_object *cached,
                           const json_t *set, struct revisions *revisions, struct error *error)
{
    const json_t *status = json_object_get(set, "status");
    const char *current = json_get_string(status, "currentRevision");
    *revisions = (struct revisions){
        .history = history_of(state->controller->client, &resource_statefulsets, set,
                              indexer_of(state, REVISIONS), error),
        .collisions = json_get_int(status, "collisionCount", 0),
    };
    if (revisions->history == NULL) {
        return false;
    }
    revisions->update = find_update(state, cached, set, revisions, error);
    if (revisions->update == NULL) {
        return cached->is_deleting;
    }
    json_t *found = current != NULL ? history_find_name(revisions->history, current) : NULL;
    revisions->current = json_incref(found != NULL ? found : revisions->update);
    return true;
}

/* Revisions of pods, and those that the set comes from and goes to, are needed. */
static bool truncate_history(struct statefulset_state *state, const char *key, const json_t *set,
                             const struct revisions *revisions, const struct cached_list *pods,
                             struct error *error)
{
    struct map live = MAP_INIT;
    map_set(&live, history_name(revisions->current), state);
    map_set(&live, history_name(revisions->update), state);
    for (size_t i = 0; i < pods->count; i++) {
        cleanup(free_char)
        char *name = cached_object_label_value(pods->items[i], history_hash_label);
        if (name != NULL) {
            map_set(&live, name, state);
        }
    }
    cleanup(json_release)
    json_t *surplus =
        history_surplus(revisions->history, &live,
                        json_get_int(json_object_get(set, "spec"), "revisionHistoryLimit", 10));
    map_free(&live, NULL);
    bool succeeded = true;
    size_t i;
    const json_t *revision;
    json_array_foreach (surplus, i, revision) {
        cleanup(cached_object_release)
        struct cached_object *cached =
            informer_get(state->informers[REVISIONS],
                         json_path_string(set, "metadata", "namespace"), history_name(revision));
        succeeded = succeeded && history_delete(state->controller->client, revision, error);
        if (succeeded && cached != NULL) {
            own_writes_note_deletion(state->writes[REVISIONS], key, cached);
        }
    }
    return succeeded;
}

/* ---- the round ---- */

static bool manage(struct statefulset_state *state, const char *key, json_t *set,
                   const struct revisions *revisions, const struct cached_list *pods,
                   struct error *error)
{
    const char *current = history_name(revisions->current);
    const char *update = history_name(revisions->update);
    int64_t next_check, now = timestamp_now();
    cleanup(statefulset_members_free)
    struct statefulset_members members = statefulset_members(set, pods);
    cleanup(statefulset_plan_free)
    struct statefulset_plan plan = statefulset_plan(set, &members, update, now);
    struct statefulset_actor actor = {state->controller, state->informers[CLAIMS],
                                      state->writes[PODS], state->writes[CLAIMS]};
    struct statefulset_subject subject = {key, set, revisions->current, revisions->update};
    cleanup(error_clear)
    struct error failure = ERROR_INIT;
    size_t replaced;
    bool acted = statefulset_act(&actor, &subject, &plan, &replaced, &failure);
    cleanup(json_release)
    json_t *status = statefulset_status(set, &members, current, update, revisions->collisions,
                                        replaced, now, &next_check);
    if (!workload_write_status(state->controller, &resource_statefulsets, set, status,
                               state->writes[SETS], key, error)) {
        return false;
    }
    if (next_check != 0) {
        controller_add_after(state->controller, key, (next_check - now) / 1000000 + 1);
    }
    return acted || error_move(error, &failure);
}

static bool work_on(struct statefulset_state *state, const struct cached_object *cached,
                    struct error *error)
{
    cleanup(json_release)
    json_t *set = cached_object_tree(cached);
    cleanup(cached_list_free)
    struct cached_list pods = CACHED_LIST_INIT;
    cleanup(revisions_free)
    struct revisions revisions = {0};
    if (!workload_claim_pods(&state->workload, cached, set, is_named_alike, NULL, &pods, error) ||
        !find_revisions(state, cached, set, &revisions, error)) {
        return false;
    }
    return revisions.update == NULL ||
           (manage(state, cached->key, set, &revisions, &pods, error) &&
            truncate_history(state, cached->key, set, &revisions, &pods, error));
}

static bool sync_statefulset(void *argument, const char *key, struct error *error)
{
    struct statefulset_state *state = argument;
    bool are_seen = true;
    for (int kind = 0; kind < KINDS; kind++) {
        are_seen =
            own_writes_are_seen(state->writes[kind], key, indexer_of(state, kind)) && are_seen;
    }
    cleanup(cached_object_release)
    struct cached_object *set = indexer_get(indexer_of(state, SETS), key);
    if (set == NULL) {
        for (int kind = 0; kind < KINDS; kind++) {
            own_writes_forget(state->writes[kind], key);
        }
        return true;
    }
    if (!are_seen) {
        controller_add_after(state->controller, key, own_write_check_ms);
        return true;
    }
    return work_on(state, set, error);
}

/* ---- life ---- */

static void *start(struct controller *controller, struct error *error)
{
    (void)error;
    struct statefulset_state *state = allocate_struct(struct statefulset_state);
    struct informer_factory *informers = controller->informers;
    state->controller = controller;
    state->informers[SETS] = informer_factory_get(informers, &resource_statefulsets, NULL, NULL);
    state->informers[PODS] = pod_informer(informers);
    state->informers[CLAIMS] =
        informer_factory_get(informers, &resource_persistent_volume_claims, NULL, NULL);
    state->informers[REVISIONS] = history_informer(informers);
    state->workload = (struct workload){controller, &resource_statefulsets, state->informers[SETS],
                                        state->informers[PODS]};
    for (int kind = 0; kind < KINDS; kind++) {
        state->writes[kind] = own_writes_new();
    }
    informer_add_handler(state->informers[SETS], controller_handle_object, controller);
    informer_add_handler(state->informers[PODS], pod_changed, state);
    informer_add_handler(state->informers[CLAIMS], claim_changed, state);
    informer_add_handler(state->informers[REVISIONS], revision_changed, state);
    return state;
}

static void stop(void *argument)
{
    struct statefulset_state *state = argument;
    for (int kind = 0; kind < KINDS; kind++) {
        own_writes_free(state->writes[kind]);
    }
    free(state);
}

const struct controller_type statefulset_controller = {
    .name = "statefulset-controller",
    .alias = "statefulset",
    .account = "statefulset-controller",
    .workers = 5,
    .start = start,
    .sync = sync_statefulset,
    .stop = stop,
};
