// SPDX-License-Identifier: Apache-2.0
#include "controllers/disruption_status.h"

#include "common/alloc.h"
#include "common/timestamp.h"
#include "controllers/conditions.h"
#include "controllers/int_or_percent.h"
#include "controllers/pod_view.h"

const int64_t disruption_deletion_timeout = INT64_C(120) * 1000000000;

static const char condition_type[] = "DisruptionAllowed";

bool disruption_needs_scale(const json_t *budget)
{
    const json_t *spec = json_object_get(budget, "spec");
    return json_object_get(spec, "maxUnavailable") != NULL ||
           json_is_string(json_object_get(spec, "minAvailable"));
}

struct disruption_wish disruption_wish(const json_t *budget, json_int_t scale, size_t pod_count)
{
    const json_t *spec = json_object_get(budget, "spec");
    const json_t *max_unavailable = json_object_get(spec, "maxUnavailable");
    const json_t *min_available = json_object_get(spec, "minAvailable");
    struct disruption_wish wish = {0};
    if (max_unavailable != NULL) {
        json_int_t desired = scale - int_or_percent(max_unavailable, scale, true);
        wish = (struct disruption_wish){scale, desired > 0 ? desired : 0};
    } else if (json_is_integer(min_available)) {
        wish = (struct disruption_wish){(json_int_t)pod_count, json_integer_value(min_available)};
    } else if (min_available != NULL) {
        wish = (struct disruption_wish){scale, int_or_percent(min_available, scale, true)};
    }
    return wish;
}

/* When the pod was evicted, by the budget's status; 0: it was not. */
static int64_t evicted_at(const json_t *disrupted, const struct cached_object *pod)
{
    const char *text = json_get_string(disrupted, pod->name);
    int64_t time = 0;
    return text != NULL && timestamp_parse(text, &time) ? time : 0;
}

/* The entries that still stand for a pod which is about to go. */
static json_t *pending_evictions(const json_t *disrupted, const struct cached_list *pods,
                                 int64_t now, int64_t *next_check, struct cached_list *overdue)
{
    json_t *pending = json_object();
    for (size_t i = 0; i < pods->count; i++) {
        const struct cached_object *pod = pods->items[i];
        json_t *entry = json_object_get(disrupted, pod->name);
        int64_t until = evicted_at(disrupted, pod) + disruption_deletion_timeout;
        if (entry == NULL || pod->is_deleting) {
            continue;
        }
        if (until >= now) {
            json_object_set(pending, pod->name, entry);
            *next_check = *next_check == 0 || until < *next_check ? until : *next_check;
        } else if (overdue != NULL) {
            cached_list_add(overdue, pod);
        }
    }
    return pending;
}

static json_int_t count_healthy(const json_t *pending, const struct cached_list *pods)
{
    json_int_t healthy = 0;
    for (size_t i = 0; i < pods->count; i++) {
        const struct cached_object *pod = pods->items[i];
        healthy += !pod->is_deleting && json_object_get(pending, pod->name) == NULL &&
                   pod_view(pod)->is_ready;
    }
    return healthy;
}

static void set_condition(json_t *status, const char *value, const char *reason,
                          const char *message)
{
    json_t *conditions = json_object_get(status, "conditions");
    if (!json_is_array(conditions)) {
        conditions = json_array();
        json_object_set_new(status, "conditions", conditions);
    }
    condition_set(conditions, condition_type, value, reason, message, false);
    json_int_t generation = json_get_int(status, "observedGeneration", 0);
    if (generation > 0) {
        json_object_set_new(condition_find(conditions, condition_type), "observedGeneration",
                            json_integer(generation));
    }
}

static json_t *copy_of_status(const json_t *budget)
{
    const json_t *status = json_object_get(budget, "status");
    return status != NULL ? json_deep_copy(status) : json_object();
}

json_t *disruption_status(const json_t *budget, const struct cached_list *pods,
                          struct disruption_wish wish, int64_t now, int64_t *next_check,
                          struct cached_list *overdue)
{
    *next_check = 0;
    json_t *status = copy_of_status(budget);
    json_t *pending =
        pending_evictions(json_object_get(status, "disruptedPods"), pods, now, next_check, overdue);
    json_int_t healthy = count_healthy(pending, pods);
    json_int_t allowed = healthy - wish.desired;
    /* A budget without pods lets none go: the first may come before this is computed again. */
    allowed = wish.expected > 0 && allowed > 0 ? allowed : 0;
    const json_t *metadata = json_object_get(budget, "metadata");
    json_object_set_new(status, "observedGeneration",
                        json_integer(json_get_int(metadata, "generation", 0)));
    json_object_set_new(status, "currentHealthy", json_integer(healthy));
    json_object_set_new(status, "desiredHealthy", json_integer(wish.desired));
    json_object_set_new(status, "expectedPods", json_integer(wish.expected));
    json_object_set_new(status, "disruptionsAllowed", json_integer(allowed));
    if (json_object_size(pending) > 0) {
        json_object_set(status, "disruptedPods", pending);
    } else {
        json_object_del(status, "disruptedPods");
    }
    json_decref(pending);
    set_condition(status, allowed > 0 ? "True" : "False",
                  allowed > 0 ? "SufficientPods" : "InsufficientPods", "");
    return status;
}

json_t *disruption_status_failed(const json_t *budget, const struct error *error)
{
    static const char *const counts[] = {"currentHealthy", "desiredHealthy", "expectedPods"};
    json_t *status = copy_of_status(budget);
    for (size_t i = 0; i < array_length(counts); i++) {
        json_object_set_new(status, counts[i], json_integer(json_get_int(status, counts[i], 0)));
    }
    json_object_set_new(status, "disruptionsAllowed", json_integer(0));
    set_condition(status, "False", "SyncFailed", error->message != NULL ? error->message : "");
    return status;
}
