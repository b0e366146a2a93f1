// SPDX-License-Identifier: Apache-2.0
#include "controllers/volume_match.h"

#include <string.h>

#include "common/alloc.h"
#include "common/json.h"
#include "common/quantity.h"
#include "common/selector.h"

static const char class_annotation[] = "volume.beta.kubernetes.io/storage-class";

static const char *text_or_empty(const char *text)
{
    return text != NULL ? text : "";
}

const char *volume_class(const json_t *object)
{
    const char *old = json_path_string(object, "metadata", "annotations", class_annotation);
    return text_or_empty(old != NULL ? old : json_path_string(object, "spec", "storageClassName"));
}

static bool is_same(const json_t *a, const json_t *b, const char *member)
{
    return strcmp(text_or_empty(json_get_string(a, member)),
                  text_or_empty(json_get_string(b, member))) == 0;
}

bool volume_is_for(const json_t *volume, const json_t *claim)
{
    const json_t *reference = json_path(volume, "spec", "claimRef");
    const json_t *metadata = json_object_get(claim, "metadata");
    const char *uid = text_or_empty(json_get_string(reference, "uid"));
    return reference != NULL && is_same(reference, metadata, "namespace") &&
           is_same(reference, metadata, "name") &&
           (*uid == '\0' || is_same(reference, metadata, "uid"));
}

bool volume_is_bound_to(const json_t *volume, const json_t *claim)
{
    const char *uid = json_path_string(volume, "spec", "claimRef", "uid");
    return uid != NULL && *uid != '\0' && volume_is_for(volume, claim);
}

static struct quantity amount(const json_t *text)
{
    struct quantity quantity = {0};
    if (!json_is_string(text) || !quantity_parse(json_string_value(text), &quantity)) {
        quantity = (struct quantity){0};
    }
    return quantity;
}

static struct quantity capacity_of(const json_t *volume)
{
    return amount(json_path(volume, "spec", "capacity", "storage"));
}

static bool is_large_enough(const json_t *volume, const json_t *claim)
{
    struct quantity has = capacity_of(volume);
    struct quantity wanted = amount(json_path(claim, "spec", "resources", "requests", "storage"));
    return quantity_compare(&has, &wanted) >= 0;
}

static const char *mode_of(const json_t *object)
{
    const char *mode = json_path_string(object, "spec", "volumeMode");
    return mode != NULL ? mode : "Filesystem";
}

static bool has_access_modes(const json_t *volume, const json_t *claim)
{
    const json_t *has = json_path(volume, "spec", "accessModes");
    size_t i;
    const json_t *mode;
    json_array_foreach (json_path(claim, "spec", "accessModes"), i, mode) {
        if (!json_array_has_string(has, text_or_empty(json_string_value(mode)))) {
            return false;
        }
    }
    return true;
}

const char *volume_mismatch(const json_t *volume, const json_t *claim)
{
    if (json_path(volume, "metadata", "deletionTimestamp") != NULL) {
        return "the volume is marked for deletion"; /* Upstream adds its name here. */
    }
    if (!is_large_enough(volume, claim)) {
        return "requested PV is too small";
    }
    if (strcmp(volume_class(volume), volume_class(claim)) != 0) {
        return "storageClassName does not match";
    }
    if (!is_same(json_object_get(volume, "spec"), json_object_get(claim, "spec"),
                 "volumeAttributesClassName")) {
        return "volumeAttributesClassName does not match";
    }
    if (strcmp(mode_of(volume), mode_of(claim)) != 0) {
        return "incompatible volumeMode";
    }
    return has_access_modes(volume, claim) ? NULL : "incompatible accessMode";
}

static bool is_free(const json_t *volume)
{
    const char *phase = json_path_string(volume, "status", "phase");
    return json_path(volume, "spec", "claimRef") == NULL && phase != NULL &&
           strcmp(phase, "Available") == 0;
}

static bool is_better(const json_t *volume, const json_t *than)
{
    struct quantity size = capacity_of(volume), other = capacity_of(than);
    int order = quantity_compare(&size, &other);
    /* Of two that are as large the one with fewer modes leaves more to others. */
    size_t modes = json_array_size(json_path(volume, "spec", "accessModes"));
    size_t other_modes = json_array_size(json_path(than, "spec", "accessModes"));
    return modes != other_modes ? modes < other_modes : order < 0;
}

size_t volume_find_best(json_t *const *volumes, size_t count, const json_t *claim, bool may_choose)
{
    const json_t *wanted = json_path(claim, "spec", "selector");
    struct selector *selector = wanted != NULL ? selector_from_object(wanted, NULL) : NULL;
    size_t best = count;
    bool wrong = wanted != NULL && selector == NULL;
    for (size_t i = 0; i < count && !wrong; i++) {
        if (volume_is_for(volumes[i], claim)) {
            if (volume_mismatch(volumes[i], claim) == NULL) {
                best = i;
                break;
            }
            continue;
        }
        if (may_choose && is_free(volumes[i]) &&
            (selector == NULL ||
             selector_matches_object(selector, json_path(volumes[i], "metadata", "labels"))) &&
            volume_mismatch(volumes[i], claim) == NULL &&
            (best == count || is_better(volumes[i], volumes[best]))) {
            best = i;
        }
    }
    selector_free(selector);
    return best;
}
