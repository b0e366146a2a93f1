// SPDX-License-Identifier: Apache-2.0
#include "controllers/statefulset_plan.h"

#include <string.h>

#include "common/alloc.h"
#include "common/json.h"
#include "controllers/history.h"
#include "controllers/int_or_percent.h"
#include "controllers/pod_view.h"
#include "controllers/statefulset_pod.h"

/* ---- members ---- */

static int compare_members(const void *a, const void *b)
{
    const struct statefulset_member *first = a, *second = b;
    return first->ordinal < second->ordinal ? -1 : first->ordinal > second->ordinal;
}

struct statefulset_members statefulset_members(const json_t *set, const struct cached_list *pods)
{
    const char *name = json_path_string(set, "metadata", "name");
    struct statefulset_members members = {
        .items = allocate_zero(pods->count + 1, sizeof *members.items),
    };
    for (size_t i = 0; i < pods->count; i++) {
        int64_t ordinal = statefulset_ordinal(name, pods->items[i]->name);
        if (ordinal >= 0) {
            members.items[members.count++] = (struct statefulset_member){pods->items[i], ordinal};
        }
    }
    qsort(members.items, members.count, sizeof *members.items, compare_members);
    return members;
}

void statefulset_members_free(struct statefulset_members *members)
{
    free(members->items);
}

/* ---- what a pod is like ---- */

static bool is_running_and_ready(const struct cached_object *pod)
{
    return pod_view(pod)->phase == POD_RUNNING && pod_view(pod)->is_ready;
}

static bool is_healthy(const struct cached_object *pod)
{
    return is_running_and_ready(pod) && !pod->is_deleting;
}

static bool has_ended(const struct cached_object *pod)
{
    return pod_view(pod)->phase == POD_FAILED || pod_view(pod)->phase == POD_SUCCEEDED;
}

static bool is_of(const struct cached_object *pod, const char *revision)
{
    size_t length;
    const char *label = cached_object_label(pod, history_hash_label, &length);
    return label != NULL && length == strlen(revision) && strncmp(label, revision, length) == 0;
}

/* ---- the plan ---- */

/* One round of planning. */
struct planner {
    const json_t *set;
    const struct statefulset_members *members;
    struct statefulset_range range;
    size_t first, behind; /* The members within the range: from 'first' until before 'behind'. */
    bool is_ordered;
    json_int_t min_ready;
    int64_t now, partition;
    const char *update;
    size_t made;
    struct statefulset_plan *plan;
};

static void add(struct planner *planner, enum statefulset_action action, int64_t ordinal,
                struct cached_object *pod)
{
    struct statefulset_plan *plan = planner->plan;
    plan->steps = grow(plan->steps, plan->count, &plan->capacity, sizeof *plan->steps);
    plan->steps[plan->count++] = (struct statefulset_step){
        .action = action,
        .ordinal = ordinal,
        .pod = pod,
        .is_current = ordinal < planner->range.start + planner->partition,
    };
}

/* Whether the round may go on to the next one. */
static bool plan_replica(struct planner *planner, const struct statefulset_member *member)
{
    struct cached_object *pod = member->pod;
    if (has_ended(pod)) {
        if (!pod->is_deleting) {
            add(planner, STATEFULSET_DELETE, member->ordinal, pod);
        }
        return !planner->is_ordered;
    }
    if (pod_view(pod)->phase == POD_PENDING) {
        add(planner, STATEFULSET_MAKE_CLAIMS, member->ordinal, pod);
    }
    bool is_available = is_healthy(pod) && pod_is_available(pod, planner->min_ready, planner->now);
    if (planner->is_ordered && !is_available) {
        return false;
    }
    add(planner, STATEFULSET_CHECK, member->ordinal, pod);
    return true;
}

static bool plan_replicas(struct planner *planner)
{
    size_t at = planner->first;
    int64_t end = planner->range.start + planner->range.replicas;
    for (int64_t ordinal = planner->range.start; ordinal < end; ordinal++) {
        if (at < planner->behind && planner->members->items[at].ordinal == ordinal) {
            if (!plan_replica(planner, &planner->members->items[at++])) {
                return false;
            }
            continue;
        }
        add(planner, STATEFULSET_CREATE, ordinal, NULL);
        if (planner->is_ordered || ++planner->made == STATEFULSET_BURST) {
            return false; /* The rest when these were seen. */
        }
    }
    return true;
}

static bool is_condemned(const struct planner *planner, size_t i)
{
    return i < planner->first || i >= planner->behind;
}

/* The lowest one that is not healthy may go before others are. */
static const struct cached_object *first_unhealthy(const struct planner *planner)
{
    for (size_t i = 0; i < planner->members->count; i++) {
        const struct cached_object *pod = planner->members->items[i].pod;
        if (is_condemned(planner, i) && !is_healthy(pod)) {
            return pod;
        }
    }
    return NULL;
}

static bool plan_condemned(struct planner *planner)
{
    const struct cached_object *unhealthy = first_unhealthy(planner);
    for (size_t i = planner->members->count; i > 0; i--) {
        const struct statefulset_member *member = &planner->members->items[i - 1];
        if (is_condemned(planner, i - 1)) {
            add(planner, STATEFULSET_CHECK_CLAIMS, member->ordinal, member->pod);
        }
    }
    for (size_t i = planner->members->count; i > 0; i--) {
        const struct statefulset_member *member = &planner->members->items[i - 1];
        struct cached_object *pod = member->pod;
        if (!is_condemned(planner, i - 1)) {
            continue;
        }
        if (!pod->is_deleting && (!planner->is_ordered || pod == unhealthy ||
                                  (is_running_and_ready(pod) &&
                                   pod_is_available(pod, planner->min_ready, planner->now)))) {
            add(planner, STATEFULSET_DELETE, member->ordinal, pod);
        }
        if (planner->is_ordered) {
            return false;
        }
    }
    return true;
}

/* How many pods may be missing during an update; at least one. */
static json_int_t max_unavailable(const struct planner *planner)
{
    json_int_t allowed = int_or_percent(
        json_path(planner->set, "spec", "updateStrategy", "rollingUpdate", "maxUnavailable"),
        planner->range.replicas, true);
    return allowed > 1 ? allowed : 1;
}

/* One at a time: an old pod goes even while it is not healthy, a new one is waited for. */
static void replace_one(struct planner *planner)
{
    for (size_t i = planner->behind; i > planner->first; i--) {
        const struct statefulset_member *member = &planner->members->items[i - 1];
        if (member->ordinal < planner->range.start + planner->partition) {
            return;
        }
        if (!is_of(member->pod, planner->update) && !member->pod->is_deleting) {
            add(planner, STATEFULSET_REPLACE, member->ordinal, member->pod);
            return;
        }
        if (!is_healthy(member->pod)) {
            return;
        }
    }
}

static void replace_several(struct planner *planner, json_int_t allowed)
{
    json_int_t missing = planner->range.replicas - (json_int_t)(planner->behind - planner->first);
    for (size_t i = planner->first; i < planner->behind; i++) {
        missing += !is_healthy(planner->members->items[i].pod);
    }
    for (size_t i = planner->behind; i > planner->first && missing < allowed; i--) {
        const struct statefulset_member *member = &planner->members->items[i - 1];
        if (member->ordinal >= planner->range.start + planner->partition &&
            !is_of(member->pod, planner->update) && !member->pod->is_deleting) {
            add(planner, STATEFULSET_REPLACE, member->ordinal, member->pod);
            missing++;
        }
    }
}

static void plan_update(struct planner *planner)
{
    const char *type = json_path_string(planner->set, "spec", "updateStrategy", "type");
    json_int_t allowed = max_unavailable(planner);
    if (type != NULL && strcmp(type, "OnDelete") == 0) {
        return;
    }
    /* A pod that is being made now is not healthy yet. */
    bool is_complete = planner->range.replicas == (json_int_t)(planner->behind - planner->first);
    if (allowed > 1) {
        replace_several(planner, allowed);
    } else if (is_complete) {
        replace_one(planner);
    }
}

struct statefulset_plan statefulset_plan(const json_t *set,
                                         const struct statefulset_members *members,
                                         const char *update, int64_t now)
{
    const json_t *spec = json_object_get(set, "spec");
    const char *policy = json_get_string(spec, "podManagementPolicy");
    struct statefulset_plan plan = {0};
    struct planner planner = {
        .set = set,
        .members = members,
        .range = statefulset_range(set),
        .is_ordered = policy == NULL || strcmp(policy, "Parallel") != 0,
        .min_ready = json_get_int(spec, "minReadySeconds", 0),
        .now = now,
        .partition =
            json_get_int(json_path(spec, "updateStrategy", "rollingUpdate"), "partition", 0),
        .update = update,
        .plan = &plan,
    };
    while (planner.first < members->count &&
           members->items[planner.first].ordinal < planner.range.start) {
        planner.first++;
    }
    planner.behind = planner.first;
    while (planner.behind < members->count &&
           statefulset_wants(set, members->items[planner.behind].ordinal)) {
        planner.behind++;
    }
    if (json_path(set, "metadata", "deletionTimestamp") == NULL && plan_replicas(&planner) &&
        plan_condemned(&planner)) {
        plan_update(&planner);
    }
    return plan;
}

void statefulset_plan_free(struct statefulset_plan *plan)
{
    free(plan->steps);
}

/* ---- the status ---- */

static void set_count(json_t *status, const char *name, json_int_t value, bool always)
{
    if (always || value != 0) {
        json_object_set_new(status, name, json_integer(value));
    }
}

json_t *statefulset_status(const json_t *set, const struct statefulset_members *members,
                           const char *current, const char *update, json_int_t collisions,
                           size_t replaced, int64_t now, int64_t *next_check)
{
    const json_t *spec = json_object_get(set, "spec");
    const char *type = json_path_string(spec, "updateStrategy", "type");
    json_int_t min_ready = json_get_int(spec, "minReadySeconds", 0);
    json_int_t replicas = json_get_int(spec, "replicas", 1), all = (json_int_t)members->count;
    json_int_t ready = 0, available = 0, of_current = 0, of_update = 0;
    *next_check = 0;
    for (size_t i = 0; i < members->count; i++) {
        const struct cached_object *pod = members->items[i].pod;
        int64_t becomes_available = pod_view(pod)->ready_since + min_ready * 1000000000;
        bool is_ready = is_running_and_ready(pod);
        ready += is_ready;
        if (is_ready && pod_is_available(pod, min_ready, now)) {
            available++;
        } else if (is_ready && (*next_check == 0 || becomes_available < *next_check)) {
            *next_check = becomes_available;
        }
        of_current += !pod->is_deleting && is_of(pod, current);
        of_update += !pod->is_deleting && is_of(pod, update);
    }
    of_current -= (json_int_t)replaced < of_current ? (json_int_t)replaced : of_current;
    if ((type == NULL || strcmp(type, "OnDelete") != 0) && of_update == replicas &&
        ready == replicas && all == replicas) {
        of_current = of_update; /* The rollout is complete. */
        current = update;
    }
    json_t *status = json_object();
    set_count(status, "observedGeneration",
              json_get_int(json_object_get(set, "metadata"), "generation", 0), false);
    set_count(status, "replicas", all, true);
    set_count(status, "readyReplicas", ready, false);
    set_count(status, "currentReplicas", of_current, false);
    set_count(status, "updatedReplicas", of_update, false);
    json_object_set_new(status, "currentRevision", json_string(current));
    json_object_set_new(status, "updateRevision", json_string(update));
    set_count(status, "collisionCount", collisions, true);
    set_count(status, "availableReplicas", available, true);
    return status;
}
