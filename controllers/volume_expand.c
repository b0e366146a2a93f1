// SPDX-License-Identifier: Apache-2.0
/*
 * persistentvolume-expander-controller: claims that ask for more than they have. Nearly all volumes
 * are an external controller's to grow, and the claim is told that it waits for one. Those that the
 * binder of this process makes for trying things out have no size of their own: they are as large
 * as they are said to be, and the claim goes through the same steps as any other, first "in
 * progress" with the condition Resizing, then the volume's capacity, then its own.
 */
#include <string.h>

#include "common/alloc.h"
#include "common/quantity.h"
#include "common/timestamp.h"
#include "controllers/all.h"
#include "controllers/controller.h"
#include "controllers/resources.h"
#include "controllers/volume_match.h"
#include "controllers/volume_provision.h"
#include "controllers/volume_reclaim.h"

struct expand_state {
    struct controller *controller;
    struct informer *claims, *volumes;
};

static void claim_changed(void *argument, const struct cached_object *old,
                          const struct cached_object *new)
{
    struct expand_state *state = argument;
    (void)old;
    if (new != NULL) {
        controller_add_object(state->controller, new);
    }
}

static json_t *tree_of(struct informer *informer, const char *key)
{
    cleanup(cached_object_release)
    struct cached_object *cached = indexer_get(informer_indexer(informer), key);
    return cached != NULL ? cached_object_tree(cached) : NULL;
}

static bool is_less(const json_t *text, const json_t *than)
{
    struct quantity amount = {0}, other = {0};
    return json_is_string(text) && json_is_string(than) &&
           quantity_parse(json_string_value(text), &amount) &&
           quantity_parse(json_string_value(than), &other) && quantity_compare(&amount, &other) < 0;
}

/* It is bound, and asks for more than it has. */
static bool wants_more(const json_t *claim)
{
    const char *phase = json_path_string(claim, "status", "phase");
    return phase != NULL && strcmp(phase, "Bound") == 0 &&
           is_less(json_path(claim, "status", "capacity", "storage"),
                   json_path(claim, "spec", "resources", "requests", "storage"));
}

/* ---- the steps ---- */

static bool is_in_progress(const json_t *claim, const json_t *size)
{
    const char *status = json_path_string(claim, "status", "allocatedResourceStatuses", "storage");
    const json_t *allocated = json_path(claim, "status", "allocatedResources", "storage");
    return status != NULL && allocated != NULL && json_equal(allocated, size);
}

/* Who makes it grow, for others to see. */
static void sign(json_t *claim)
{
    json_object_set_new(
        json_get_or_add_object(json_get_or_add_object(claim, "metadata"), "annotations"),
        "volume.kubernetes.io/storage-resizer", json_string(volume_host_path));
}

static bool begin(struct expand_state *state, json_t *claim, json_t *size, struct error *error)
{
    char now[TIMESTAMP_SIZE];
    timestamp_format(timestamp_now(), now);
    json_t *status = json_get_or_add_object(claim, "status");
    sign(claim);
    json_object_set_new(status, "conditions",
                        json_pack("[{s:s, s:s, s:s, s:n}]", "type", "Resizing", "status", "True",
                                  "lastTransitionTime", now, "lastProbeTime"));
    json_object_set(json_get_or_add_object(status, "allocatedResources"), "storage", size);
    json_object_set_new(json_get_or_add_object(status, "allocatedResourceStatuses"), "storage",
                        json_string("ControllerResizeInProgress"));
    cleanup(json_release)
    json_t *written = client_update(state->controller->client, &resource_persistent_volume_claims,
                                    "status", claim, error);
    return written != NULL;
}

static bool grow_volume(struct expand_state *state, const json_t *volume, json_t *size,
                        struct error *error)
{
    cleanup(json_release)
    json_t *patch = json_pack("{s:{s:{s:O}}}", "spec", "capacity", "storage", size);
    cleanup(json_release)
    json_t *written = client_patch(state->controller->client, &resource_persistent_volumes, NULL,
                                   json_path_string(volume, "metadata", "name"), NULL,
                                   client_merge_patch, patch, error);
    return written != NULL;
}

static bool finish(struct expand_state *state, json_t *claim, json_t *size, struct error *error)
{
    json_t *status = json_get_or_add_object(claim, "status");
    json_object_set(json_get_or_add_object(status, "capacity"), "storage", size);
    json_object_del(status, "allocatedResourceStatuses");
    json_object_del(status, "conditions");
    cleanup(json_release)
    json_t *written = client_update(state->controller->client, &resource_persistent_volume_claims,
                                    "status", claim, error);
    if (written == NULL) {
        return false;
    }
    event_record_about(state->controller->events, claim, "Normal", "VolumeResizeSuccessful",
                       "ExpandVolume succeeded for volume %s/%s",
                       json_path_string(claim, "metadata", "namespace"),
                       json_path_string(claim, "metadata", "name"));
    return true;
}

/* One step; what it writes brings the next. */
static bool expand_here(struct expand_state *state, json_t *claim, const json_t *volume,
                        struct error *error)
{
    json_t *size = json_path(claim, "spec", "resources", "requests", "storage");
    if (!is_in_progress(claim, size)) {
        return begin(state, claim, size, error);
    }
    return (!is_less(json_path(volume, "spec", "capacity", "storage"), size) ||
            grow_volume(state, volume, size, error)) &&
           finish(state, claim, size, error);
}

static bool sync_claim(void *argument, const char *key, struct error *error)
{
    struct expand_state *state = argument;
    cleanup(json_release)
    json_t *claim = tree_of(state->claims, key);
    if (claim == NULL || !wants_more(claim)) {
        return true;
    }
    const char *name = json_path_string(claim, "spec", "volumeName");
    cleanup(json_release)
    json_t *volume = name != NULL ? tree_of(state->volumes, name) : NULL;
    if (volume == NULL) {
        return error_set(error, 404, "NotFound", "failed to get PV \"%s\"",
                         name != NULL ? name : "");
    }
    if (!volume_is_bound_to(volume, claim)) {
        return error_internal(error, "persistent Volume is not bound to PVC being updated : %s",
                              key);
    }
    if (volume_is_made_here(state->controller, volume)) {
        return expand_here(state, claim, volume, error);
    }
    event_record_about(state->controller->events, claim, "Normal", "ExternalExpanding",
                       "waiting for an external controller to expand this PVC");
    return true;
}

static void *start_expand(struct controller *controller, struct error *error)
{
    (void)error;
    struct expand_state *state = allocate_struct(struct expand_state);
    state->controller = controller;
    state->claims =
        informer_factory_get(controller->informers, &resource_persistent_volume_claims, NULL, NULL);
    state->volumes =
        informer_factory_get(controller->informers, &resource_persistent_volumes, NULL, NULL);
    informer_add_handler(state->claims, claim_changed, state);
    return state;
}

const struct controller_type volume_expand_controller = {
    .name = "persistentvolume-expander-controller",
    .alias = "persistentvolume-expander",
    .event_source = "volume_expand",
    .account = "expand-controller",
    .workers = 1,
    .start = start_expand,
    .sync = sync_claim,
    .stop = free,
};
