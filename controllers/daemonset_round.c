// SPDX-License-Identifier: Apache-2.0
#include "controllers/daemonset_round.h"

#include <string.h>

#include "common/alloc.h"
#include "common/json.h"
#include "common/map.h"
#include "controllers/history.h"
#include "controllers/int_or_percent.h"
#include "controllers/node_view.h"
#include "controllers/pod_view.h"

/* ---- what there is ---- */

static bool is_over(const struct cached_object *pod)
{
    return pod_view(pod)->phase == POD_SUCCEEDED || pod_view(pod)->phase == POD_FAILED;
}

/* By node; there, those that are over and going last, scheduled ones first, then by age. */
static int compare_pods(const void *a, const void *b)
{
    const struct cached_object *first = *(struct cached_object *const *)a;
    const struct cached_object *second = *(struct cached_object *const *)b;
    int nodes = strcmp(pod_view(first)->target_node, pod_view(second)->target_node);
    bool is_gone = first->is_deleting && is_over(first);
    bool other_is_gone = second->is_deleting && is_over(second);
    bool is_scheduled = pod_view(first)->is_scheduled;
    if (nodes != 0 || is_gone != other_is_gone) {
        return nodes != 0 ? nodes : is_gone - other_is_gone;
    }
    if (is_scheduled != pod_view(second)->is_scheduled) {
        return is_scheduled ? -1 : 1;
    }
    if (first->creation != second->creation) {
        return first->creation < second->creation ? -1 : 1;
    }
    return strcmp(first->name, second->name);
}

static void add_nodes(struct daemonset_round *round, const json_t *pod_template,
                      const struct cached_list *nodes, struct map *places)
{
    for (size_t i = 0; i < nodes->count; i++) {
        const struct cached_object *node = nodes->items[i];
        struct daemonset_place *place = &round->places[round->count++];
        *place = (struct daemonset_place){
            .node = node->name,
            .is_there = true,
            .fit = daemonset_fit(pod_template, node->name, node_view(node)->labels,
                                 node_view(node)->taints),
        };
        round->desired += place->fit.should_run;
        map_set(places, node->name, place);
    }
}

static void add_pods(struct daemonset_round *round, const struct cached_list *pods,
                     const struct map *places)
{
    struct daemonset_place *place = NULL;
    memcpy(round->pods, pods->items, pods->count * sizeof(struct cached_object *));
    qsort(round->pods, pods->count, sizeof(struct cached_object *), compare_pods);
    for (size_t i = 0; i < pods->count; i++) {
        struct cached_object *pod = round->pods[i];
        const char *node = pod_view(pod)->target_node;
        if (node[0] == '\0') {
            continue; /* Nobody knows where it belongs. */
        }
        if (place == NULL || strcmp(place->node, node) != 0) {
            place = map_get(places, node);
            place = place != NULL ? place : &round->places[round->count++];
            place->node = node;
            place->pods = &round->pods[i];
        }
        place->all++;
        place->count += !(pod->is_deleting && is_over(pod));
    }
}

static void set_limits(struct daemonset_round *round)
{
    const json_t *rolling = json_path(round->set, "spec", "updateStrategy", "rollingUpdate");
    round->max_unavailable =
        int_or_percent(json_object_get(rolling, "maxUnavailable"), round->desired, true);
    round->max_surge = int_or_percent(json_object_get(rolling, "maxSurge"), round->desired, true);
    if (round->desired > 0 && round->max_unavailable == 0 && round->max_surge == 0) {
        round->max_unavailable = 1;
    }
}

void daemonset_round_start(struct daemonset_round *round, const json_t *set,
                           const json_t *pod_template, const char *hash,
                           const struct cached_list *nodes, const struct cached_list *pods,
                           int64_t now)
{
    struct map places = MAP_INIT;
    *round = (struct daemonset_round){
        .set = set,
        .hash = hash,
        .min_ready = json_get_int(json_object_get(set, "spec"), "minReadySeconds", 0),
        .now = now,
        .places = allocate_zero(nodes->count + pods->count + 1, sizeof *round->places),
        .pods = allocate_zero(pods->count + 1, sizeof(struct cached_object *)),
    };
    add_nodes(round, pod_template, nodes, &places);
    if (pods->count > 0) {
        add_pods(round, pods, &places);
    }
    map_free(&places, NULL);
    set_limits(round);
}

void daemonset_round_free(struct daemonset_round *round)
{
    free(round->places);
    free(round->pods);
}

void daemonset_plan_free(struct daemonset_plan *plan)
{
    free(plan->create);
    cached_list_free(&plan->remove);
    cached_list_free(&plan->failed);
    cached_list_free(&plan->succeeded);
}

static bool is_available(const struct daemonset_round *round, const struct cached_object *pod)
{
    return pod_is_available(pod, round->min_ready, round->now);
}

static bool is_new(const struct daemonset_round *round, const struct cached_object *pod)
{
    size_t length;
    const char *label = cached_object_label(pod, history_hash_label, &length);
    return label != NULL && length == strlen(round->hash) &&
           strncmp(label, round->hash, length) == 0;
}

static void create_on(struct daemonset_plan *plan, const char *node)
{
    plan->create =
        grow(plan->create, plan->create_count, &plan->create_capacity, sizeof *plan->create);
    plan->create[plan->create_count++] = node;
}

/* ---- one pod a node ---- */

/* Beside an old pod that is ready a new one may stand until it is available; any others, and the
 * old one otherwise, are too many. */
static void prune_surge(const struct daemonset_round *round, const struct cached_list *running,
                        struct daemonset_plan *plan)
{
    const struct cached_object *new_pod = NULL, *old_pod = NULL;
    for (size_t i = 0; i < running->count; i++) {
        const struct cached_object *pod = running->items[i];
        const struct cached_object **slot = is_new(round, pod) ? &new_pod : &old_pod;
        if (*slot == NULL) {
            *slot = pod;
        } else {
            cached_list_add(&plan->remove, pod);
        }
    }
    if (new_pod != NULL && old_pod != NULL &&
        (!pod_view(old_pod)->is_ready || is_available(round, new_pod))) {
        cached_list_add(&plan->remove, old_pod);
    }
}

/* Sorts out those that have ended. */
static void find_running(const struct daemonset_place *place, struct cached_list *running,
                         struct daemonset_plan *plan)
{
    for (size_t i = 0; i < place->count; i++) {
        const struct cached_object *pod = place->pods[i];
        if (pod->is_deleting) {
            continue;
        }
        if (pod_view(pod)->phase == POD_FAILED) {
            cached_list_add(&plan->failed, pod);
        } else if (pod_view(pod)->phase == POD_SUCCEEDED) {
            cached_list_add(&plan->succeeded, pod);
            cached_list_add(&plan->remove, pod);
        } else {
            cached_list_add(running, pod);
        }
    }
}

static void keep_one(const struct daemonset_round *round, const struct daemonset_place *place,
                     struct daemonset_plan *plan)
{
    cleanup(cached_list_free)
    struct cached_list running = CACHED_LIST_INIT;
    find_running(place, &running, plan);
    if (round->max_surge == 0) {
        for (size_t i = 1; i < running.count; i++) {
            cached_list_add(&plan->remove, running.items[i]);
        }
    } else if (running.count > 1) {
        prune_surge(round, &running, plan);
    } else if (running.count == 0 && place->fit.should_run) {
        create_on(plan, place->node); /* The old one may still be going. */
    }
}

void daemonset_round_manage(const struct daemonset_round *round, struct daemonset_plan *plan)
{
    for (size_t i = 0; i < round->count; i++) {
        const struct daemonset_place *place = &round->places[i];
        if (place->fit.should_run && place->count == 0) {
            create_on(plan, place->node);
        } else if (place->fit.may_stay) {
            keep_one(round, place, plan);
        } else {
            for (size_t n = 0; n < place->count; n++) {
                /* Pods on a node that is gone are for those who clean up after nodes; one that
                 * waits for such a node would wait for ever. */
                bool is_ours = place->is_there || !pod_view(place->pods[n])->is_scheduled;
                if (is_ours && !place->pods[n]->is_deleting) {
                    cached_list_add(&plan->remove, place->pods[n]);
                }
            }
        }
    }
}

/* ---- updates ---- */

/* The one new and the one old pod of a place that are not being deleted. False when there are
 * several of a sort, about which the next round does something. */
static bool find_pair(const struct daemonset_round *round, const struct daemonset_place *place,
                      const struct cached_object **new_pod, const struct cached_object **old_pod)
{
    *new_pod = *old_pod = NULL;
    for (size_t i = 0; i < place->count; i++) {
        const struct cached_object *pod = place->pods[i];
        if (pod->is_deleting) {
            continue;
        }
        const struct cached_object **slot = is_new(round, pod) ? new_pod : old_pod;
        if (*slot != NULL) {
            return false;
        }
        *slot = pod;
    }
    return true;
}

/* A node that should run a pod, or one that has some. */
static bool counts(const struct daemonset_place *place)
{
    return place->fit.should_run || place->count > 0;
}

static void update_by_deleting(const struct daemonset_round *round, struct daemonset_plan *plan)
{
    cleanup(cached_list_free)
    struct cached_list candidates = CACHED_LIST_INIT;
    json_int_t unavailable = 0;
    for (size_t i = 0; i < round->count; i++) {
        const struct cached_object *new_pod, *old_pod;
        if (!counts(&round->places[i])) {
            continue;
        }
        bool is_clear = find_pair(round, &round->places[i], &new_pod, &old_pod);
        if (!is_clear || (new_pod == NULL) == (old_pod == NULL)) {
            unavailable++; /* Something is going on there. */
        } else if (new_pod != NULL) {
            unavailable += !is_available(round, new_pod);
        } else if (!is_available(round, old_pod)) {
            cached_list_add(&plan->remove, old_pod); /* Nothing is lost by replacing it. */
            unavailable++;
        } else {
            cached_list_add(&candidates, old_pod);
        }
    }
    for (size_t i = 0; i < candidates.count && unavailable < round->max_unavailable; i++) {
        cached_list_add(&plan->remove, candidates.items[i]);
        unavailable++;
    }
}

/* What is known when all places were seen. */
struct surge {
    json_int_t surging, available;
    struct cached_list sunset; /* Available old pods where none should be any more. */
    const struct daemonset_place **candidates;
    size_t candidate_count;
};

static void surge_on(const struct daemonset_round *round, const struct daemonset_place *place,
                     struct surge *surge, struct daemonset_plan *plan)
{
    const struct cached_object *new_pod, *old_pod;
    if (!find_pair(round, place, &new_pod, &old_pod)) {
        surge->surging++;
        return;
    }
    bool old_is_available = old_pod != NULL && is_available(round, old_pod);
    bool new_is_available = new_pod != NULL && is_available(round, new_pod);
    surge->available += old_pod != NULL ? old_is_available : new_is_available;
    if (old_pod == NULL) {
        return;
    }
    if (new_pod != NULL) {
        if (!old_is_available || new_is_available) {
            cached_list_add(&plan->remove, old_pod);
        } else {
            surge->surging++;
        }
    } else if (!place->fit.should_run) {
        cached_list_add(old_is_available ? &surge->sunset : &plan->remove, old_pod);
    } else if (!old_is_available) {
        create_on(plan, place->node);
    } else {
        surge->candidates[surge->candidate_count++] = place;
    }
}

static void update_by_surging(const struct daemonset_round *round, struct daemonset_plan *plan)
{
    struct surge surge = {
        .candidates = allocate_zero(round->count + 1, sizeof(struct daemonset_place *)),
    };
    for (size_t i = 0; i < round->count; i++) {
        if (counts(&round->places[i])) {
            surge_on(round, &round->places[i], &surge, plan);
        }
    }
    for (size_t i = 0; i < surge.candidate_count && surge.surging < round->max_surge; i++) {
        create_on(plan, surge.candidates[i]->node);
        surge.surging++;
    }
    /* Where a pod may not be any more it stays until there are enough elsewhere. */
    for (size_t i = 0; i < surge.sunset.count && surge.available > round->desired; i++) {
        cached_list_add(&plan->remove, surge.sunset.items[i]);
        surge.available--;
    }
    cached_list_free(&surge.sunset);
    free(surge.candidates);
}

void daemonset_round_update(const struct daemonset_round *round, struct daemonset_plan *plan)
{
    const char *type = json_path_string(round->set, "spec", "updateStrategy", "type");
    if (type != NULL && strcmp(type, "OnDelete") == 0) {
        return;
    }
    if (round->max_surge == 0) {
        update_by_deleting(round, plan);
    } else {
        update_by_surging(round, plan);
    }
}

/* ---- the status ---- */

struct counts {
    json_int_t current, misscheduled, ready, available, updated;
};

static void count_place(const struct daemonset_round *round, const struct daemonset_place *place,
                        struct counts *counts, int64_t *next_check)
{
    if (!place->is_there || place->all == 0) {
        return;
    }
    if (!place->fit.should_run) {
        counts->misscheduled++;
        return;
    }
    const struct cached_object *pod = place->pods[0];
    int64_t becomes_available = pod_view(pod)->ready_since + round->min_ready * 1000000000;
    counts->current++;
    counts->ready += pod_view(pod)->is_ready;
    counts->updated += is_new(round, pod);
    if (is_available(round, pod)) {
        counts->available++;
    } else if (pod_view(pod)->is_ready && (*next_check == 0 || becomes_available < *next_check)) {
        *next_check = becomes_available;
    }
}

json_t *daemonset_round_status(const struct daemonset_round *round, bool was_managed,
                               int64_t *next_check)
{
    struct counts counts = {0};
    *next_check = 0;
    for (size_t i = 0; i < round->count; i++) {
        count_place(round, &round->places[i], &counts, next_check);
    }
    json_t *old = json_object_get(round->set, "status");
    json_t *status = old != NULL ? json_deep_copy(old) : json_object();
    const struct {
        const char *name;
        json_int_t value;
        bool always;
    } fields[] = {
        {"currentNumberScheduled", counts.current, true},
        {"numberMisscheduled", counts.misscheduled, true},
        {"desiredNumberScheduled", round->desired, true},
        {"numberReady", counts.ready, true},
        {"updatedNumberScheduled", counts.updated, false},
        {"numberAvailable", counts.available, false},
        {"numberUnavailable", round->desired - counts.available, false},
    };
    for (size_t i = 0; i < array_length(fields); i++) {
        if (fields[i].always || fields[i].value != 0) {
            json_object_set_new(status, fields[i].name, json_integer(fields[i].value));
        } else {
            json_object_del(status, fields[i].name);
        }
    }
    if (was_managed) {
        json_int_t generation =
            json_get_int(json_object_get(round->set, "metadata"), "generation", 0);
        json_object_set_new(status, "observedGeneration", json_integer(generation));
    }
    return status;
}
