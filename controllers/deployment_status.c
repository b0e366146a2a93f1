// SPDX-License-Identifier: Apache-2.0
#include "controllers/deployment_status.h"

#include <string.h>

#include "common/alloc.h"
#include "common/json.h"
#include "common/timestamp.h"
#include "controllers/conditions.h"

static const int64_t second = INT64_C(1000000000);
static const char finished[] = "NewReplicaSetAvailable", timed_out[] = "ProgressDeadlineExceeded",
                  paused[] = "DeploymentPaused";

/* ---- conditions ---- */

static bool is_text(const json_t *object, const char *name, const char *text)
{
    const char *present = json_get_string(object, name);
    return present != NULL && strcmp(present, text) == 0;
}

static json_t *condition_of(const json_t *status, const char *type)
{
    return condition_find(json_object_get(status, "conditions"), type);
}

static bool has_reason(const json_t *condition, const char *reason)
{
    return is_text(condition, "reason", reason);
}

static void remove_condition(json_t *status, const char *type)
{
    json_t *conditions = json_object_get(status, "conditions");
    if (condition_remove(conditions, type) && json_array_size(conditions) == 0) {
        json_object_del(status, "conditions");
    }
}

/* Puts a condition, which is taken over, behind all others. */
static void put_condition(json_t *status, json_t *condition)
{
    remove_condition(status, json_get_string(condition, "type"));
    json_t *conditions = json_object_get(status, "conditions");
    if (conditions == NULL) {
        conditions = json_array();
        json_object_set_new(status, "conditions", conditions);
    }
    json_array_append_new(conditions, condition);
}

static void renew_condition(json_t *status, const char *type, const char *value, const char *reason,
                            const char *message, int64_t now)
{
    char time[TIMESTAMP_SIZE];
    timestamp_format(now, time);
    const json_t *old = condition_of(status, type);
    const char *since =
        is_text(old, "status", value) ? json_get_string(old, "lastTransitionTime") : NULL;
    put_condition(status, json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "type", type, "status", value,
                                    "reason", reason, "message", message, "lastUpdateTime", time,
                                    "lastTransitionTime", since != NULL ? since : time));
}

void deployment_set_condition(json_t *status, const char *type, const char *value,
                              const char *reason, const char *message, int64_t now)
{
    const json_t *old = condition_of(status, type);
    if (!is_text(old, "status", value) || !has_reason(old, reason)) {
        renew_condition(status, type, value, reason, message, now);
    }
}

bool deployment_has_deadline(const json_t *deployment)
{
    const json_t *deadline = json_path(deployment, "spec", "progressDeadlineSeconds");
    return json_is_integer(deadline) && json_integer_value(deadline) != INT32_MAX;
}

void deployment_note_pause(json_t *deployment, int64_t now)
{
    json_t *status = json_get_or_add_object(deployment, "status");
    const json_t *progress = condition_of(status, "Progressing");
    bool is_paused = json_get_bool(json_object_get(deployment, "spec"), "paused", false);
    bool was_paused = has_reason(progress, paused);
    if (!deployment_has_deadline(deployment) || has_reason(progress, timed_out)) {
        return; /* What was too late stays so until something moves. */
    }
    if (is_paused && !was_paused) {
        deployment_set_condition(status, "Progressing", "Unknown", paused, "Deployment is paused",
                                 now);
    } else if (!is_paused && was_paused) {
        deployment_set_condition(status, "Progressing", "Unknown", "DeploymentResumed",
                                 "Deployment is resumed", now);
    }
}

/* ---- the status ---- */

json_t *deployment_status(const json_t *deployment, const struct rollout *rollout, int64_t now)
{
    const json_t *old = json_object_get(deployment, "status");
    struct rollout_totals totals = rollout_totals(rollout);
    const struct {
        const char *name;
        json_int_t value;
    } counts[] = {
        {"observedGeneration",
         json_get_int(json_object_get(deployment, "metadata"), "generation", 0)},
        {"replicas", totals.actual},
        {"updatedReplicas", rollout->new != NULL ? rollout->new->actual : 0},
        {"readyReplicas", totals.ready},
        {"availableReplicas", totals.available},
        {"unavailableReplicas", totals.replicas - totals.available},
    };
    static const char *const kept[] = {"conditions", "collisionCount"};
    json_t *status = json_object();
    for (size_t i = 0; i < array_length(counts); i++) {
        if (counts[i].value > 0) {
            json_object_set_new(status, counts[i].name, json_integer(counts[i].value));
        }
    }
    for (size_t i = 0; i < array_length(kept); i++) {
        const json_t *value = json_object_get(old, kept[i]);
        if (value != NULL) {
            json_object_set_new(status, kept[i], json_deep_copy(value));
        }
    }
    if (totals.available >= rollout->replicas - rollout->max_unavailable) {
        deployment_set_condition(status, "Available", "True", "MinimumReplicasAvailable",
                                 "Deployment has minimum availability.", now);
    } else {
        deployment_set_condition(status, "Available", "False", "MinimumReplicasUnavailable",
                                 "Deployment does not have minimum availability.", now);
    }
    return status;
}

bool deployment_is_complete(const json_t *deployment, const json_t *status)
{
    json_int_t wanted = json_get_int(json_object_get(deployment, "spec"), "replicas", 1);
    return json_get_int(status, "updatedReplicas", 0) == wanted &&
           json_get_int(status, "replicas", 0) == wanted &&
           json_get_int(status, "availableReplicas", 0) == wanted &&
           json_get_int(status, "observedGeneration", 0) >=
               json_get_int(json_object_get(deployment, "metadata"), "generation", 0);
}

/* ---- progress ---- */

static json_int_t old_replicas(const json_t *status)
{
    return json_get_int(status, "replicas", 0) - json_get_int(status, "updatedReplicas", 0);
}

/* More new, ready or available pods than before, or fewer old ones. */
static bool has_progressed(const json_t *before, const json_t *after)
{
    static const char *const counts[] = {"updatedReplicas", "readyReplicas", "availableReplicas"};
    for (size_t i = 0; i < array_length(counts); i++) {
        if (json_get_int(after, counts[i], 0) > json_get_int(before, counts[i], 0)) {
            return true;
        }
    }
    return old_replicas(after) < old_replicas(before);
}

/* When the last progress will have been too long ago; 0 when there is no such time. */
static int64_t deadline_of(const json_t *deployment, const json_t *status)
{
    const json_t *progress = condition_of(status, "Progressing");
    const char *updated = json_get_string(progress, "lastUpdateTime");
    int64_t since;
    if (!deployment_has_deadline(deployment) || updated == NULL ||
        !timestamp_parse(updated, &since) || has_reason(progress, finished) ||
        has_reason(progress, timed_out)) {
        return 0;
    }
    return since +
           json_get_int(json_object_get(deployment, "spec"), "progressDeadlineSeconds", 0) * second;
}

/* "ReplicaSet "web-5d4" is progressing.": the caller's. */
static char *progress_message(const json_t *deployment, const struct rollout *rollout,
                              const char *what)
{
    bool is_set = rollout->new != NULL;
    return format("%s \"%s\" %s", is_set ? "ReplicaSet" : "Deployment",
                  json_path_string(is_set ? rollout->new->object : deployment, "metadata", "name"),
                  what);
}

static void estimate_progress(json_t *status, const json_t *deployment,
                              const struct rollout *rollout, int64_t now)
{
    const json_t *before = json_object_get(deployment, "status");
    int64_t deadline = deadline_of(deployment, status);
    cleanup(free_char)
    char *message = NULL;
    if (deployment_is_complete(deployment, status)) {
        message = progress_message(deployment, rollout, "has successfully progressed.");
        deployment_set_condition(status, "Progressing", "True", finished, message, now);
    } else if (has_progressed(before, status)) {
        /* Even with the same reason: its time of update is what the deadline counts from. */
        message = progress_message(deployment, rollout, "is progressing.");
        renew_condition(status, "Progressing", "True", "ReplicaSetUpdated", message, now);
    } else if (deadline != 0 && deadline < now) {
        message = progress_message(deployment, rollout, "has timed out progressing.");
        deployment_set_condition(status, "Progressing", "False", timed_out, message, now);
    }
}

/* The failure to create or delete pods of the new set, else of any. Borrowed; NULL: none. */
static const json_t *find_failure(const struct rollout *rollout)
{
    const json_t *failure =
        rollout->new != NULL
            ? condition_of(json_object_get(rollout->new->object, "status"), "ReplicaFailure")
            : NULL;
    for (size_t i = 0; i < rollout->count && failure == NULL; i++) {
        failure =
            condition_of(json_object_get(rollout->sets[i].object, "status"), "ReplicaFailure");
    }
    return failure;
}

static void copy_failure(json_t *status, const struct rollout *rollout)
{
    const json_t *failure = find_failure(rollout);
    const json_t *old = condition_of(status, "ReplicaFailure");
    if (failure == NULL) {
        remove_condition(status, "ReplicaFailure");
        return;
    }
    const char *value = json_get_string(failure, "status");
    const char *reason = json_get_string(failure, "reason");
    if (!is_text(old, "status", value) || !has_reason(old, reason != NULL ? reason : "")) {
        json_t *copy = json_deep_copy(failure);
        json_object_set(copy, "lastUpdateTime", json_object_get(failure, "lastTransitionTime"));
        put_condition(status, copy);
    }
}

void deployment_status_add_progress(json_t *status, const json_t *deployment,
                                    const struct rollout *rollout, int64_t now)
{
    const json_t *progress = condition_of(json_object_get(deployment, "status"), "Progressing");
    bool is_over = old_replicas(status) == 0 && has_reason(progress, finished);
    if (!deployment_has_deadline(deployment)) {
        remove_condition(status, "Progressing");
    } else if (!is_over) {
        estimate_progress(status, deployment, rollout, now);
    }
    copy_failure(status, rollout);
}

int64_t deployment_next_check(const json_t *deployment, const json_t *status, int64_t now)
{
    int64_t deadline = deadline_of(deployment, status);
    if (deadline == 0 || deployment_is_complete(deployment, status)) {
        return 0;
    }
    return (deadline > now ? deadline : now) + second; /* Times in objects are whole seconds. */
}
