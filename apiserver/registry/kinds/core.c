// SPDX-License-Identifier: Apache-2.0
/* Small hooks of the core group, and of kinds that serve the cluster as a whole. */
#include <string.h>

#include "apiserver/registry/kinds/all.h"
#include "apiserver/registry/kinds/defaults.h"
#include "apiserver/registry/validation/cluster.h"
#include "apiserver/registry/validation/warnings.h"
#include "common/alloc.h"
#include "common/json.h"

/* ---- events: one stored object, two views ---- */

/* Members that core and events.k8s.io name differently. */
static const struct {
    const char *core, *events;
} event_names[] = {
    {"involvedObject", "regarding"},
    {"message", "note"},
    {"source", "deprecatedSource"},
    {"firstTimestamp", "deprecatedFirstTimestamp"},
    {"lastTimestamp", "deprecatedLastTimestamp"},
    {"count", "deprecatedCount"},
    {"reportingComponent", "reportingController"},
};

static void rename_member(json_t *object, const char *from, const char *to)
{
    json_t *value = json_object_get(object, from);
    if (value != NULL) {
        json_object_set(object, to, value);
        json_object_del(object, from);
    }
}

static void event_from_storage(json_t *object, const struct resource *resource)
{
    bool renamed = strcmp(resource->group, "events.k8s.io") == 0;
    for (size_t i = 0; renamed && i < array_length(event_names); i++) {
        rename_member(object, event_names[i].core, event_names[i].events);
    }
    /* Core events always tell who reports them; these have no word for nobody. */
    static const char *const reporters[] = {"reportingController", "reportingInstance"};
    for (size_t i = 0; renamed && i < array_length(reporters); i++) {
        if (json_string_length(json_object_get(object, reporters[i])) == 0) {
            json_object_del(object, reporters[i]);
        }
    }
}

static void event_to_storage(json_t *object, const struct resource *resource)
{
    bool renamed = strcmp(resource->group, "events.k8s.io") == 0;
    for (size_t i = 0; renamed && i < array_length(event_names); i++) {
        rename_member(object, event_names[i].events, event_names[i].core);
    }
}

const struct kind kind_event = {
    .group = "",
    .plural = "events",
    .validate = validate_event,
    .expires = true,
    .from_storage = event_from_storage,
    .to_storage = event_to_storage,
};

/* ---- nodes ---- */

static void node_fill_defaults(json_t *object)
{
    json_t *status = json_object_get(object, "status");
    json_t *capacity = json_object_get(status, "capacity");
    if (capacity != NULL) {
        default_set(status, "allocatable", json_copy(capacity));
    }
    default_pair(json_object_get(object, "spec"), "podCIDR", "podCIDRs", NULL);
}

const struct kind kind_node = {
    .group = "",
    .plural = "nodes",
    .fill_defaults = node_fill_defaults,
    .validate = validate_node,
    .created_with_status = true,
    .warn = warn_about_node,
};

/* ---- what others go by ---- */

const struct kind kind_lease = {
    .group = "coordination.k8s.io",
    .plural = "leases",
    .validate = validate_lease,
};

const struct kind kind_disruption_budget = {
    .group = "policy",
    .plural = "poddisruptionbudgets",
    .validate = validate_disruption_budget,
};
