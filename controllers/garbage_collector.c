// SPDX-License-Identifier: Apache-2.0
/*
 * Garbage collection: objects whose owners are all gone are deleted, and an owner that is being
 * deleted in the foreground goes after the dependents that block it, or leaves them as orphans.
 *
 * Informers of all kinds' metadata keep the graph of owner references. Keys are uids: sync() asks
 * the graph what there is to do about one of them, looks at the server's objects before it changes
 * any, and takes one step. Deleting is never based on what the graph has not seen: an owner counts
 * as absent only when its deletion was seen, or when the server was asked for it in vain.
 *
 * Kinds that appear while it runs are found when a CustomResourceDefinition or an APIService
 * changes. Those that disappear leave an informer behind that finds nothing.
 */
#include <pthread.h>
#include <string.h>

#include "common/alloc.h"
#include "common/log.h"
#include "common/timestamp.h"
#include "controllers/all.h"
#include "controllers/controller.h"
#include "controllers/discovery.h"
#include "controllers/garbage_actions.h"
#include "controllers/garbage_graph.h"

enum {
    start_attempts = 20,
    start_interval_ms = 500,
    discovery_delay_ms = 1000, /* After a definition changed, until its kind is served. */
    discovery_interval_s = 30, /* At least, between searches for kinds that nobody serves. */
};

static const char discovery_key[] = "discovery"; /* No uid. */

/* One kind that is watched; the argument of its handler. */
struct watched {
    struct garbage_state *state;
    const struct api_resource *resource;
    struct informer *informer;
    struct watched *next;
};

struct garbage_state {
    struct controller *controller;
    struct garbage_graph *graph;
    pthread_mutex_t lock;   /* Guards what follows. */
    struct discovery kinds; /* Only grows: its items are referred to. */
    struct watched *watched;
    int64_t discovered_at; /* Monotonic. */
};

/* ---- what informers tell ---- */

static void apply(struct garbage_state *state, const struct garbage_effects *effects)
{
    for (size_t i = 0; i < effects->count; i++) {
        controller_add(state->controller, effects->uids[i]);
    }
    for (size_t i = 0; i < effects->complaint_count; i++) {
        const struct garbage_complaint *complaint = &effects->complaints[i];
        struct event_target target =
            event_target_of_cached(complaint->resource, complaint->dependent);
        event_record(state->controller->events, &target, "Warning", "OwnerRefInvalidNamespace",
                     "%s", complaint->message);
    }
}

static bool brings_kinds(const struct api_resource *resource)
{
    return strcmp(resource->plural, "customresourcedefinitions") == 0 ||
           strcmp(resource->plural, "apiservices") == 0;
}

static void object_changed(void *argument, const struct cached_object *old,
                           const struct cached_object *new)
{
    struct watched *watched = argument;
    struct garbage_state *state = watched->state;
    cleanup(garbage_effects_free)
    struct garbage_effects effects = GARBAGE_EFFECTS_INIT;
    if (new == NULL) {
        garbage_graph_forget(state->graph, old->uid, &effects);
    } else {
        cleanup(cached_object_release)
        struct cached_object *kept = indexer_get(informer_indexer(watched->informer), new->key);
        garbage_graph_observe(state->graph, watched->resource, kept, new->text, new->length,
                              &effects);
    }
    apply(state, &effects);
    if (brings_kinds(watched->resource)) {
        controller_add_after(state->controller, discovery_key, discovery_delay_ms);
    }
}

/* ---- kinds ---- */

/* Events expire by themselves, and there are many. */
static bool is_event(const struct api_resource *resource)
{
    return strcmp(resource->plural, "events") == 0 &&
           (strcmp(resource->group_version, "v1") == 0 ||
            strncmp(resource->group_version, "events.k8s.io/", 14) == 0);
}

static bool is_collected(const struct discovered *kind)
{
    const unsigned needed = DISCOVERY_LIST | DISCOVERY_WATCH | DISCOVERY_DELETE;
    return kind->is_preferred && (kind->verbs & needed) == needed && !is_event(&kind->resource);
}

/* Another version of it is watched already: the objects are the same. */
static bool is_watched(const struct garbage_state *state, const struct api_resource *resource)
{
    size_t group = strcspn(resource->group_version, "/");
    group = resource->group_version[group] == '/' ? group + 1 : 0;
    const struct watched *watched = state->watched;
    while (watched != NULL && (strcmp(watched->resource->plural, resource->plural) != 0 ||
                               strncmp(watched->resource->group_version, resource->group_version,
                                       group > 0 ? group : SIZE_MAX) != 0)) {
        watched = watched->next;
    }
    return watched != NULL;
}

static void watch_kind(struct garbage_state *state, const struct discovered *kind)
{
    static const struct informer_options options = {.metadata_only = true, .is_unindexed = true};
    static const struct cached_object_class class = {.drop_text = true};
    struct watched *watched = allocate_struct(struct watched);
    *watched = (struct watched){
        .state = state,
        .resource = &kind->resource,
        .informer =
            informer_factory_get(state->controller->informers, &kind->resource, &class, &options),
        .next = state->watched,
    };
    state->watched = watched;
    informer_add_handler(watched->informer, object_changed, watched);
}

/* Asks for the kinds there are, and watches those that are new. */
static bool discover(struct garbage_state *state, struct error *error)
{
    cleanup(discovery_free)
    struct discovery fresh = DISCOVERY_INIT;
    if (!discovery_read(state->controller->client, &fresh, error)) {
        return false;
    }
    pthread_mutex_lock(&state->lock);
    size_t known = state->kinds.count;
    discovery_merge(&state->kinds, &fresh);
    for (size_t i = known; i < state->kinds.count; i++) {
        if (is_collected(state->kinds.items[i]) &&
            !is_watched(state, &state->kinds.items[i]->resource)) {
            watch_kind(state, state->kinds.items[i]);
        }
    }
    state->discovered_at = timestamp_monotonic();
    pthread_mutex_unlock(&state->lock);
    return true;
}

static const struct api_resource *find_kind(struct garbage_state *state,
                                            const struct garbage_place *place, bool *is_old)
{
    pthread_mutex_lock(&state->lock);
    const struct discovered *kind = discovery_find(&state->kinds, place->api_version, place->kind);
    *is_old =
        timestamp_monotonic() - state->discovered_at > (int64_t)discovery_interval_s * 1000000000;
    pthread_mutex_unlock(&state->lock);
    return kind != NULL ? &kind->resource : NULL;
}

static bool discover_and_start(struct garbage_state *state, struct error *error)
{
    if (!discover(state, error)) {
        return false;
    }
    informer_factory_start(state->controller->informers);
    return true;
}

/* Gives the place of a reference its resource. */
static bool resolve(struct garbage_state *state, struct garbage_place *place, struct error *error)
{
    bool is_old;
    place->resource = find_kind(state, place, &is_old);
    if (place->resource == NULL && is_old) {
        if (!discover_and_start(state, error)) {
            return false;
        }
        place->resource = find_kind(state, place, &is_old);
    }
    return place->resource != NULL ||
           error_set(error, 404, "NotFound", "unable to get REST mapping for %s/%s.",
                     place->api_version, place->kind);
}

/* ---- owners ---- */

/* Asks the server for an owner. '*state_of' is what came out, OWNER_UNKNOWN when the reference
 * means nothing: a namespaced owner of an object that is in no namespace. */
static bool verify(struct garbage_state *state, struct garbage_place *place,
                   enum garbage_owner *state_of, struct error *error)
{
    cleanup(garbage_effects_free)
    struct garbage_effects effects = GARBAGE_EFFECTS_INIT;
    cleanup(json_release)
    json_t *live = NULL;
    if (!resolve(state, place, error)) {
        return false;
    }
    bool namespaced = place->resource->namespaced;
    *state_of = OWNER_UNKNOWN;
    if (namespaced && place->namespace[0] == '\0') {
        garbage_graph_ignore(state->graph, place, &effects);
        apply(state, &effects);
        return true;
    }
    struct garbage_place where = *place;
    where.namespace = namespaced ? place->namespace : NULL;
    if (!garbage_read(state->controller->client, &where, &live, error)) {
        return false;
    }
    if (live == NULL) {
        *state_of = OWNER_ABSENT;
        garbage_graph_absent(state->graph, place, !namespaced, &effects);
        apply(state, &effects);
    } else {
        bool waits =
            json_object_get(live, "deletionTimestamp") != NULL &&
            json_array_has_string(json_object_get(live, "finalizers"), "foregroundDeletion");
        *state_of = waits ? OWNER_WAITING : OWNER_SOLID;
    }
    return true;
}

static bool verify_virtual(struct garbage_state *state, struct garbage_place *place,
                           struct error *error)
{
    enum garbage_owner state_of;
    if (!verify(state, place, &state_of, error)) {
        return false;
    }
    return (state_of != OWNER_SOLID && state_of != OWNER_WAITING) ||
           error_set(error, 409, "Conflict", "%s %s has not been seen by an informer yet",
                     place->kind, place->name);
}

/* What one reference of an object is worth. */
static bool classify(struct garbage_state *state, const struct garbage_place *place,
                     const json_t *reference, enum garbage_owner *state_of, struct error *error)
{
    *state_of = garbage_graph_owner(state->graph, place->uid, reference);
    if (*state_of != OWNER_UNKNOWN) {
        return true;
    }
    const char *api_version = json_get_string(reference, "apiVersion");
    const char *kind = json_get_string(reference, "kind");
    const char *name = json_get_string(reference, "name");
    const char *uid = json_get_string(reference, "uid");
    cleanup(garbage_place_clear)
    struct garbage_place owner = {
        .api_version = duplicate(api_version != NULL ? api_version : ""),
        .kind = duplicate(kind != NULL ? kind : ""),
        .namespace = duplicate(place->namespace),
        .name = duplicate(name != NULL ? name : ""),
        .uid = duplicate(uid != NULL ? uid : ""),
    };
    return verify(state, &owner, state_of, error);
}

struct verdict {
    json_t *solid; /* The references to keep. */
    size_t counts[OWNER_UNKNOWN + 1];
};

static bool judge(struct garbage_state *state, const struct garbage_place *place,
                  const json_t *owners, struct verdict *verdict, struct error *error)
{
    size_t i;
    json_t *reference;
    json_array_foreach (owners, i, reference) {
        enum garbage_owner state_of;
        if (!classify(state, place, reference, &state_of, error)) {
            return false;
        }
        verdict->counts[state_of]++;
        if (state_of == OWNER_SOLID) {
            json_array_append(verdict->solid, reference);
        }
    }
    return true;
}

/* ---- the steps ---- */

/* Its owners wait for it to go, and it has dependents of its own: these go first. */
static bool delete_in_foreground(struct garbage_state *state, const struct garbage_place *place,
                                 json_t **live, bool breaks_cycle, struct error *error)
{
    struct client *client = state->controller->client;
    if (breaks_cycle) {
        cleanup(json_release)
        json_t *owners = garbage_owners_unblocked(json_object_get(*live, "ownerReferences"));
        if (!garbage_write_owners(client, place, live, owners, error)) {
            return false;
        }
    }
    return garbage_delete(client, place, *live, "Foreground", error);
}

static bool collect(struct garbage_state *state, const struct garbage_place *place, json_t **live,
                    const struct verdict *verdict, struct error *error)
{
    struct client *client = state->controller->client;
    bool one_waits, is_waited_for = verdict->counts[OWNER_WAITING] > 0;
    if (verdict->counts[OWNER_UNKNOWN] > 0) {
        return true; /* No reason to delete, and none that time would bring. */
    }
    if (verdict->counts[OWNER_SOLID] > 0) {
        return (verdict->counts[OWNER_ABSENT] == 0 && !is_waited_for) ||
               garbage_write_owners(client, place, live, verdict->solid, error);
    }
    if (is_waited_for && garbage_graph_has_dependents(state->graph, place->uid, &one_waits)) {
        return delete_in_foreground(state, place, live, one_waits, error);
    }
    log_debug("deleting %s %s/%s, whose owners are gone", place->kind, place->namespace,
              place->name);
    return garbage_delete(client, place, *live, garbage_policy(*live), error);
}

static bool check_owners(struct garbage_state *state, const struct garbage_place *place,
                         struct error *error)
{
    cleanup(json_release)
    json_t *live = NULL;
    if (!garbage_read(state->controller->client, place, &live, error)) {
        return false;
    }
    const json_t *owners = json_object_get(live, "ownerReferences");
    if (json_array_size(owners) == 0 || json_object_get(live, "deletionTimestamp") != NULL) {
        return true;
    }
    struct verdict verdict = {.solid = json_array()};
    bool done = judge(state, place, owners, &verdict, error) &&
                collect(state, place, &live, &verdict, error);
    json_decref(verdict.solid);
    return done;
}

static bool orphan_dependents(struct garbage_state *state, const struct garbage_place *place,
                              struct error *error)
{
    struct client *client = state->controller->client;
    size_t count;
    struct garbage_place *dependents = garbage_graph_dependents(state->graph, place->uid, &count);
    bool done = garbage_release(client, dependents, count, place->uid, error) &&
                garbage_remove_finalizer(client, place, "orphan", error);
    for (size_t i = 0; i < count; i++) {
        garbage_place_clear(&dependents[i]);
    }
    free(dependents);
    return done;
}

static bool sync_garbage(void *argument, const char *key, struct error *error)
{
    struct garbage_state *state = argument;
    cleanup(garbage_place_clear)
    struct garbage_place place = GARBAGE_PLACE_INIT;
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    bool done = true;
    if (strcmp(key, discovery_key) == 0) {
        return discover_and_start(state, error);
    }
    switch (garbage_graph_task(state->graph, key, &place)) {
    case GARBAGE_NOTHING:
        break;
    case GARBAGE_VERIFY:
        done = verify_virtual(state, &place, &why);
        break;
    case GARBAGE_CHECK_OWNERS:
        done = check_owners(state, &place, &why);
        break;
    case GARBAGE_ORPHAN:
        done = orphan_dependents(state, &place, &why);
        break;
    case GARBAGE_FINISH_FOREGROUND:
        done =
            garbage_remove_finalizer(state->controller->client, &place, "foregroundDeletion", &why);
        break;
    }
    return done || error_wrap(error, &why, "%s %s/%s", place.kind, place.namespace, place.name);
}

/* ---- life ---- */

static void stop(void *argument)
{
    struct garbage_state *state = argument;
    while (state->watched != NULL) {
        struct watched *watched = state->watched;
        state->watched = watched->next;
        free(watched);
    }
    garbage_graph_free(state->graph);
    discovery_free(&state->kinds);
    pthread_mutex_destroy(&state->lock);
    free(state);
}

/* The server may be starting as well. */
static void *start(struct controller *controller, struct error *error)
{
    struct garbage_state *state = allocate_struct(struct garbage_state);
    state->controller = controller;
    state->graph = garbage_graph_new();
    pthread_mutex_init(&state->lock, NULL);
    for (int attempt = 1; !discover(state, error); attempt++) {
        log_debug("the API's resources are not known yet: %s", error->message);
        if (attempt == start_attempts ||
            !informer_factory_pause(controller->informers, start_interval_ms)) {
            stop(state);
            return NULL;
        }
        error_clear(error);
    }
    return state;
}

const struct controller_type garbage_collector_controller = {
    .name = "garbage-collector-controller",
    .alias = "garbagecollector",
    .account = "generic-garbage-collector",
    .workers = 20,
    .start = start,
    .sync = sync_garbage,
    .stop = stop,
};
