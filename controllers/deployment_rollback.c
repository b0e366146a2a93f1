// SPDX-License-Identifier: Apache-2.0
#include "controllers/deployment_rollback.h"

#include <errno.h>
#include <string.h>

#include "common/alloc.h"
#include "common/json.h"
#include "controllers/deployment_template.h"

const char rollback_annotation[] = "deprecated.deployment.rollback.to";

bool rollback_wanted(const json_t *deployment, json_int_t *revision)
{
    const char *text = json_path_string(deployment, "metadata", "annotations", rollback_annotation);
    char *end = NULL;
    if (text == NULL || text[0] == '\0') {
        return false;
    }
    errno = 0;
    *revision = strtoll(text, &end, 10);
    return *end == '\0' && errno == 0;
}

json_int_t rollback_last_revision(const struct rollout *rollout)
{
    json_int_t highest = 0, second = 0;
    for (size_t i = 0; i < rollout->count; i++) {
        json_int_t revision = revision_of(rollout->sets[i].object);
        if (revision >= highest) {
            second = highest;
            highest = revision;
        } else if (revision > second) {
            second = revision;
        }
    }
    return second;
}

const struct rollout_set *rollback_find(const struct rollout *rollout, json_int_t revision)
{
    for (size_t i = 0; i < rollout->count; i++) {
        if (revision_of(rollout->sets[i].object) == revision) {
            return &rollout->sets[i];
        }
    }
    return NULL;
}

bool rollback_to(json_t *deployment, const json_t *replicaset)
{
    const json_t *earlier = json_path(replicaset, "spec", "template");
    if (template_equals(json_path(deployment, "spec", "template"), earlier)) {
        return false;
    }
    json_t *template = json_deep_copy(earlier);
    json_object_del(json_path(template, "metadata", "labels"), "pod-template-hash");
    json_object_set_new(json_object_get(deployment, "spec"), "template", template);
    template_restore_annotations(deployment, replicaset);
    return true;
}
