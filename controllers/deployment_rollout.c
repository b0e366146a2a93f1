// SPDX-License-Identifier: Apache-2.0
#include "controllers/deployment_rollout.h"

#include <string.h>

#include "common/alloc.h"
#include "common/json.h"
#include "common/timestamp.h"
#include "controllers/deployment_template.h"
#include "controllers/int_or_percent.h"

static json_int_t smaller(json_int_t a, json_int_t b)
{
    return a < b ? a : b;
}

/* ---- what there is ---- */

void rollout_load(struct rollout *rollout, const json_t *deployment)
{
    const json_t *spec = json_object_get(deployment, "spec");
    const json_t *limits = json_path(spec, "strategy", "rollingUpdate");
    const char *type = json_path_string(spec, "strategy", "type");
    json_int_t replicas = json_get_int(spec, "replicas", 1);
    *rollout = ROLLOUT_INIT;
    rollout->replicas = replicas;
    rollout->is_rolling = type == NULL || strcmp(type, "Recreate") != 0;
    rollout->actual_before = json_get_int(json_object_get(deployment, "status"), "replicas", 0);
    if (!rollout->is_rolling) {
        return;
    }
    json_int_t surge = int_or_percent(json_object_get(limits, "maxSurge"), replicas, true);
    json_int_t missing = int_or_percent(json_object_get(limits, "maxUnavailable"), replicas, false);
    if (surge == 0 && missing == 0) {
        missing = 1; /* Percentages can both round to nothing, and then nothing could ever move. */
    }
    rollout->max_surge = surge;
    rollout->max_unavailable = smaller(missing, replicas);
}

void rollout_set_replace(struct rollout_set *set, json_t *replicaset)
{
    const json_t *status = json_object_get(replicaset, "status");
    const char *created = json_path_string(replicaset, "metadata", "creationTimestamp");
    json_decref(set->object);
    set->object = replicaset;
    set->creation = 0;
    if (created != NULL) {
        timestamp_parse(created, &set->creation);
    }
    set->replicas = json_get_int(json_object_get(replicaset, "spec"), "replicas", 1);
    set->target = set->replicas;
    set->actual = json_get_int(status, "replicas", 0);
    set->ready = json_get_int(status, "readyReplicas", 0);
    set->available = json_get_int(status, "availableReplicas", 0);
    set->desired_before = annotated_desired_replicas(replicaset);
    set->max_before = annotated_max_replicas(replicaset);
}

void rollout_add(struct rollout *rollout, json_t *replicaset)
{
    rollout->sets = grow(rollout->sets, rollout->count, &rollout->capacity, sizeof *rollout->sets);
    rollout->sets[rollout->count] = (struct rollout_set){0};
    rollout_set_replace(&rollout->sets[rollout->count++], replicaset);
}

static const char *name_of(const struct rollout_set *set)
{
    return json_path_string(set->object, "metadata", "name");
}

static int compare_ages(const void *a, const void *b)
{
    const struct rollout_set *first = a, *second = b;
    if (first->creation != second->creation) {
        return first->creation < second->creation ? -1 : 1;
    }
    return strcmp(name_of(first), name_of(second));
}

void rollout_find_new(struct rollout *rollout, const json_t *pod_template)
{
    if (rollout->count > 1) {
        qsort(rollout->sets, rollout->count, sizeof *rollout->sets, compare_ages);
    }
    rollout->new = NULL;
    for (size_t i = 0; i < rollout->count && rollout->new == NULL; i++) {
        if (template_equals(pod_template, json_path(rollout->sets[i].object, "spec", "template"))) {
            rollout->new = &rollout->sets[i];
        }
    }
}

void rollout_free(struct rollout *rollout)
{
    for (size_t i = 0; i < rollout->count; i++) {
        json_decref(rollout->sets[i].object);
    }
    free(rollout->sets);
    *rollout = ROLLOUT_INIT;
}

struct rollout_totals rollout_totals(const struct rollout *rollout)
{
    struct rollout_totals totals = {0};
    for (size_t i = 0; i < rollout->count; i++) {
        const struct rollout_set *set = &rollout->sets[i];
        totals.replicas += set->replicas;
        totals.actual += set->actual;
        totals.ready += set->ready;
        totals.available += set->available;
    }
    return totals;
}

bool rollout_has_targets(const struct rollout *rollout)
{
    for (size_t i = 0; i < rollout->count; i++) {
        if (rollout->sets[i].target != rollout->sets[i].replicas) {
            return true;
        }
    }
    return false;
}

/* ---- scaling ---- */

bool rollout_needs_scaling(const struct rollout *rollout)
{
    for (size_t i = 0; i < rollout->count; i++) {
        const struct rollout_set *set = &rollout->sets[i];
        if (set->replicas > 0 && set->desired_before >= 0 &&
            set->desired_before != rollout->replicas) {
            return true;
        }
    }
    return false;
}

/* The only active set; with none active the new or the youngest one; NULL when several are. */
static struct rollout_set *only_active_or_latest(struct rollout *rollout)
{
    struct rollout_set *active = NULL;
    for (size_t i = 0; i < rollout->count; i++) {
        if (rollout->sets[i].replicas > 0) {
            if (active != NULL) {
                return NULL;
            }
            active = &rollout->sets[i];
        }
    }
    if (active == NULL && rollout->count > 0) {
        active = rollout->new != NULL ? rollout->new : &rollout->sets[rollout->count - 1];
    }
    return active;
}

/* The new set has all the pods that the Deployment wants, available, and was scaled for that. */
static bool is_saturated(const struct rollout *rollout)
{
    const struct rollout_set *new = rollout->new;
    return new != NULL &&new->replicas == rollout->replicas &&new->desired_before ==
           rollout->replicas &&new->available == rollout->replicas;
}

/* By how much a set of this size changes when the whole does, rounded half away from zero. */
static json_int_t proportion(const struct rollout *rollout, const struct rollout_set *set)
{
    if (rollout->replicas == 0) {
        return -set->replicas;
    }
    json_int_t max = rollout->replicas + rollout->max_surge;
    json_int_t before = set->max_before > 0 ? set->max_before : rollout->actual_before;
    if (before == 0) {
        return 0;
    }
    return (2 * set->replicas * max + before) / (2 * before) - set->replicas;
}

/* The largest first; of equals the youngest when growing, the oldest when shrinking. */
static void sort_by_size(struct rollout_set **sets, size_t count, bool youngest_first)
{
    for (size_t i = 1; i < count; i++) {
        struct rollout_set *set = sets[i];
        size_t at = i;
        for (; at > 0 && (sets[at - 1]->replicas < set->replicas ||
                          (sets[at - 1]->replicas == set->replicas && youngest_first &&
                           sets[at - 1]->creation < set->creation));
             at--) {
            sets[at] = sets[at - 1];
        }
        sets[at] = set;
    }
}

/* Shares out what is to be added (or taken: negative); what rounding leaves goes to the largest. */
static void scale_in_proportion(struct rollout *rollout)
{
    struct rollout_set **active = allocate_zero(rollout->count, sizeof *active);
    json_int_t total = 0, added = 0;
    size_t count = 0;
    for (size_t i = 0; i < rollout->count; i++) {
        if (rollout->sets[i].replicas > 0) {
            active[count++] = &rollout->sets[i];
            total += rollout->sets[i].replicas;
        }
    }
    json_int_t allowed = rollout->replicas > 0 ? rollout->replicas + rollout->max_surge : 0;
    json_int_t to_add = allowed - total;
    sort_by_size(active, count, to_add > 0);
    for (size_t i = 0; i < count && to_add != added; i++) {
        json_int_t share = proportion(rollout, active[i]), left = to_add - added;
        share = (to_add > 0) == (share > left) ? left : share;
        active[i]->target += share;
        added += share;
    }
    if (count > 0) {
        active[0]->target += to_add - added;
        active[0]->target = active[0]->target > 0 ? active[0]->target : 0;
    }
    free(active);
}

void rollout_scale(struct rollout *rollout)
{
    struct rollout_set *only = only_active_or_latest(rollout);
    if (only != NULL) {
        only->target = rollout->replicas;
    } else if (is_saturated(rollout)) {
        rollout_step_down(rollout);
    } else if (rollout->is_rolling && rollout->count > 0) {
        scale_in_proportion(rollout);
    }
}

/* ---- rolling ---- */

json_int_t rollout_new_replicas(const struct rollout *rollout)
{
    json_int_t present = rollout->new != NULL ? rollout->new->replicas : 0;
    if (!rollout->is_rolling) {
        return rollout->replicas;
    }
    json_int_t room = rollout->replicas + rollout->max_surge - rollout_totals(rollout).replicas;
    if (room <= 0) {
        return present;
    }
    return present + smaller(room, rollout->replicas - present);
}

/* Takes up to 'budget' pods that are not available from the old sets; returns how many. */
static json_int_t drop_unavailable(struct rollout *rollout, json_int_t budget)
{
    json_int_t dropped = 0;
    for (size_t i = 0; i < rollout->count && dropped < budget; i++) {
        struct rollout_set *set = &rollout->sets[i];
        json_int_t unavailable = set->replicas - set->available;
        if (set != rollout->new &&unavailable > 0) {
            json_int_t count = smaller(budget - dropped, unavailable);
            set->target -= count;
            dropped += count;
        }
    }
    return dropped;
}

static void shrink_old(struct rollout *rollout)
{
    struct rollout_totals totals = rollout_totals(rollout);
    json_int_t min_available = rollout->replicas - rollout->max_unavailable;
    json_int_t not_yet = rollout->new->replicas - rollout->new->available;
    json_int_t budget = totals.replicas - min_available - not_yet;
    if (totals.replicas == rollout->new->replicas || budget <= 0) {
        return;
    }
    drop_unavailable(rollout, budget);
    json_int_t surplus = totals.available - min_available;
    for (size_t i = 0; i < rollout->count && surplus > 0; i++) {
        struct rollout_set *set = &rollout->sets[i];
        if (set != rollout->new) {
            json_int_t count = smaller(surplus, set->target);
            set->target -= count;
            surplus -= count;
        }
    }
}

void rollout_step_rolling(struct rollout *rollout)
{
    struct rollout_set *new = rollout->new;
    new->target =
        new->replicas > rollout->replicas ? rollout->replicas : rollout_new_replicas(rollout);
    if (new->target == new->replicas) {
        shrink_old(rollout);
    }
}

void rollout_step_down(struct rollout *rollout)
{
    for (size_t i = 0; i < rollout->count; i++) {
        if (&rollout->sets[i] != rollout->new) {
            rollout->sets[i].target = 0;
        }
    }
}

/* ---- history ---- */

static bool is_unused(const struct rollout_set *set)
{
    const json_t *metadata = json_object_get(set->object, "metadata");
    const json_t *status = json_object_get(set->object, "status");
    return set->actual == 0 && set->replicas == 0 &&
           json_get_int(metadata, "generation", 0) <= json_get_int(status, "observedGeneration", 0);
}

size_t rollout_find_expired(const struct rollout *rollout, json_int_t history_limit,
                            struct rollout_set **found)
{
    size_t count = 0, expired = 0;
    for (size_t i = 0; i < rollout->count; i++) {
        struct rollout_set *set = &rollout->sets[i];
        if (set == rollout->new || json_path(set->object, "metadata", "deletionTimestamp")) {
            continue;
        }
        size_t at = count++;
        for (; at > 0 && revision_of(found[at - 1]->object) > revision_of(set->object); at--) {
            found[at] = found[at - 1];
        }
        found[at] = set;
    }
    json_int_t surplus = (json_int_t)count - history_limit;
    for (json_int_t i = 0; i < surplus; i++) {
        if (is_unused(found[i])) {
            found[expired++] = found[i];
        }
    }
    return expired;
}
