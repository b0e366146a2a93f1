// SPDX-License-Identifier: Apache-2.0
/* The status that controllers write of what makes pods. */
#include "apiserver/registry/validation/check.h"
#include "apiserver/registry/validation/workloads.h"
#include "common/alloc.h"
#include "common/json.h"

static const struct field_path status_path = {.name = "status"};

struct bound {
    const char *member, *most, *message;
};

#define ABOVE_REPLICAS "cannot be greater than status.replicas"

/* None is above another; the list ends with a NULL member. */
static void check_bounds(const json_t *status, const struct bound *bounds,
                         struct field_errors *errors)
{
    for (; bounds->member != NULL; bounds++) {
        if (json_get_int(status, bounds->member, 0) > json_get_int(status, bounds->most, 0)) {
            field_error(errors, FIELD_INVALID, FIELD(&status_path, bounds->member),
                        json_object_get(status, bounds->member), "%s", bounds->message);
        }
    }
}

/* How often a name was taken only grows. */
static void check_collisions(const struct write *write, struct field_errors *errors)
{
    json_t *now = json_path(write->object, "status", "collisionCount");
    const json_t *was = json_path(write->live, "status", "collisionCount");
    const struct field_path *path = FIELD(&status_path, "collisionCount");
    check_not_negative(now, path, errors);
    if (was != NULL && (now == NULL || json_integer_value(now) < json_integer_value(was))) {
        cleanup(json_release)
        json_t *shown = json_integer(json_integer_value(now));
        field_error(errors, FIELD_INVALID, path, shown, "cannot be decremented");
    }
}

void validate_deployment_status(const struct write *write, struct field_errors *errors)
{
    static const char *const counters[] = {"observedGeneration",  "replicas",
                                           "updatedReplicas",     "readyReplicas",
                                           "availableReplicas",   "unavailableReplicas",
                                           "terminatingReplicas", NULL};
    static const struct bound bounds[] = {
        {"updatedReplicas", "replicas", ABOVE_REPLICAS},
        {"readyReplicas", "replicas", ABOVE_REPLICAS},
        {"availableReplicas", "replicas", ABOVE_REPLICAS},
        {"availableReplicas", "readyReplicas", "cannot be greater than readyReplicas"},
        {NULL, NULL, NULL},
    };
    const json_t *status = json_object_get(write->object, "status");
    check_counters(status, counters, errors);
    check_bounds(status, bounds, errors);
    check_collisions(write, errors);
}

void validate_replica_status(const struct write *write, struct field_errors *errors)
{
    static const char *const counters[] = {"replicas",
                                           "fullyLabeledReplicas",
                                           "readyReplicas",
                                           "availableReplicas",
                                           "observedGeneration",
                                           "terminatingReplicas",
                                           NULL};
    static const struct bound bounds[] = {
        {"fullyLabeledReplicas", "replicas", ABOVE_REPLICAS},
        {"readyReplicas", "replicas", ABOVE_REPLICAS},
        {"availableReplicas", "replicas", ABOVE_REPLICAS},
        {"availableReplicas", "readyReplicas", "cannot be greater than readyReplicas"},
        {NULL, NULL, NULL},
    };
    const json_t *status = json_object_get(write->object, "status");
    check_counters(status, counters, errors);
    check_bounds(status, bounds, errors);
}

void validate_stateful_set_status(const struct write *write, struct field_errors *errors)
{
    static const char *const counters[] = {"replicas",
                                           "readyReplicas",
                                           "currentReplicas",
                                           "updatedReplicas",
                                           "availableReplicas",
                                           "observedGeneration",
                                           NULL};
    static const struct bound bounds[] = {
        {"readyReplicas", "replicas", ABOVE_REPLICAS},
        {"currentReplicas", "replicas", ABOVE_REPLICAS},
        {"updatedReplicas", "replicas", ABOVE_REPLICAS},
        {"availableReplicas", "replicas", ABOVE_REPLICAS},
        {"availableReplicas", "readyReplicas", "cannot be greater than status.readyReplicas"},
        {NULL, NULL, NULL},
    };
    const json_t *status = json_object_get(write->object, "status");
    check_counters(status, counters, errors);
    check_bounds(status, bounds, errors);
    check_collisions(write, errors);
}

void validate_daemon_set_status(const struct write *write, struct field_errors *errors)
{
    static const char *const counters[] = {"currentNumberScheduled",
                                           "numberMisscheduled",
                                           "desiredNumberScheduled",
                                           "numberReady",
                                           "observedGeneration",
                                           "updatedNumberScheduled",
                                           "numberAvailable",
                                           "numberUnavailable",
                                           NULL};
    check_counters(json_object_get(write->object, "status"), counters, errors);
    check_collisions(write, errors);
}
