// SPDX-License-Identifier: Apache-2.0
/* Volumes, claims, and what tells how they are made. */
#include <string.h>

#include "apiserver/registry/kinds/all.h"
#include "apiserver/registry/kinds/defaults.h"
#include "apiserver/registry/validation/check.h"
#include "apiserver/registry/validation/storage.h"
#include "apiserver/registry/validation/warnings.h"
#include "common/json.h"
#include "common/timestamp.h"

/* ---- volumes ---- */

static const char transition_time[] = "lastPhaseTransitionTime";

static void set_transition_time(json_t *status)
{
    char now[TIMESTAMP_SIZE];
    timestamp_format(timestamp_now(), now);
    json_object_set_new(status, transition_time, json_string(now));
}

static bool volume_prepare_create(struct write *write, struct error *error)
{
    (void)error;
    json_t *status = json_pack("{s:s}", "phase", "Pending");
    set_transition_time(status);
    json_object_set_new(write->object, "status", status);
    return true;
}

/* Whoever changes the phase may tell when that was, and need not. */
static bool volume_prepare_update(struct write *write, struct error *error)
{
    (void)error;
    json_t *status = json_object_get(write->object, "status");
    const json_t *live = json_object_get(write->live, "status");
    if (!check_equal(json_object_get(status, "phase"), json_object_get(live, "phase")) &&
        check_equal(json_object_get(status, transition_time),
                    json_object_get(live, transition_time))) {
        set_transition_time(status);
    }
    return true;
}

const struct kind kind_persistent_volume = {
    .group = "",
    .plural = "persistentvolumes",
    .prepare_create = volume_prepare_create,
    .prepare_update = volume_prepare_update,
    .validate = validate_persistent_volume,
    .warn = warn_about_persistent_volume,
};

/* ---- claims ---- */

/* What the old name of the source can stand for; all else is ignored there. */
static bool is_claim_or_snapshot(const json_t *source)
{
    const char *group = check_text(source, "apiGroup");
    return (group[0] == '\0' && check_is(source, "kind", "PersistentVolumeClaim")) ||
           (strcmp(group, "snapshot.storage.k8s.io") == 0 &&
            check_is(source, "kind", "VolumeSnapshot"));
}

/* The source has two names that say the same. Sources in other namespaces are not there: a feature
 * that is off in upstream. */
static void claim_fill_defaults(json_t *object)
{
    json_t *spec = json_object_get(object, "spec");
    json_t *source = json_object_get(spec, "dataSource");
    json_t *reference = json_object_get(spec, "dataSourceRef");
    json_object_del(reference, "namespace");
    if (source != NULL && reference == NULL && !is_claim_or_snapshot(source)) {
        json_object_del(spec, "dataSource");
    } else if (source != NULL) {
        default_set(spec, "dataSourceRef", json_copy(source));
    } else if (reference != NULL) {
        json_object_set_new(spec, "dataSource", json_copy(reference));
    }
}

static bool claim_prepare_create(struct write *write, struct error *error)
{
    (void)error;
    json_object_set_new(write->object, "status", json_pack("{s:s}", "phase", "Pending"));
    return true;
}

const struct kind kind_persistent_volume_claim = {
    .group = "",
    .plural = "persistentvolumeclaims",
    .fill_defaults = claim_fill_defaults,
    .prepare_create = claim_prepare_create,
    .validate = validate_volume_claim,
    .warn = warn_about_volume_claim,
};

/* ---- storage.k8s.io ---- */

static const char group[] = "storage.k8s.io";

const struct kind kind_storage_class = {
    .group = group,
    .plural = "storageclasses",
    .validate = validate_storage_class,
    .warn = warn_about_storage_class,
};

const struct kind kind_volume_attachment = {
    .group = group,
    .plural = "volumeattachments",
    .validate = validate_volume_attachment,
};

const struct kind kind_volume_attributes_class = {
    .group = group,
    .plural = "volumeattributesclasses",
    .validate = validate_volume_attributes_class,
};

const struct kind kind_csi_driver = {
    .group = group,
    .plural = "csidrivers",
    .validate = validate_csi_driver,
};

const struct kind kind_csi_node = {
    .group = group,
    .plural = "csinodes",
    .validate = validate_csi_node,
};

const struct kind kind_csi_storage_capacity = {
    .group = group,
    .plural = "csistoragecapacities",
    .validate = validate_csi_storage_capacity,
    .warn = warn_about_csi_storage_capacity,
};
