// SPDX-License-Identifier: Apache-2.0
/* AlwaysPullImages: no pod runs an image only because it is on the node already; whoever runs it
 * must be able to pull it. */
#include <string.h>

#include "apiserver/admission/admission.h"
#include "common/alloc.h"
#include "common/json.h"

static bool has_image(const json_t *pod, const char *list, const json_t *image)
{
    size_t i;
    const json_t *container;
    json_array_foreach (json_path(pod, "spec", list), i, container) {
        if (json_equal(json_object_get(container, "image"), image)) {
            return true;
        }
    }
    return false;
}

static const char *const lists[] = {"initContainers", "containers", "ephemeralContainers"};

static bool has_image_anywhere(const json_t *pod, const json_t *image)
{
    bool found = false;
    for (size_t i = 0; i < array_length(lists); i++) {
        found |= has_image(pod, lists[i], image);
    }
    return found;
}

/* An update matters when it brings an image that was not there. */
static bool brings_image(const struct write *write)
{
    for (size_t i = 0; i < array_length(lists); i++) {
        size_t at;
        const json_t *container;
        json_array_foreach (json_path(write->object, "spec", lists[i]), at, container) {
            if (!has_image_anywhere(write->live, json_object_get(container, "image"))) {
                return true;
            }
        }
    }
    return false;
}

static bool admit(struct write *write, struct error *error)
{
    (void)error;
    if (!admission_is_about(write, "", "pods") ||
        (write->operation == WRITE_UPDATE && !brings_image(write))) {
        return true;
    }
    for (size_t i = 0; i < array_length(lists); i++) {
        size_t at;
        json_t *container;
        json_array_foreach (json_path(write->object, "spec", lists[i]), at, container) {
            json_object_set_new(container, "imagePullPolicy", json_string("Always"));
        }
    }
    return true;
}

const struct admission_plugin admission_always_pull_images = {
    .name = "AlwaysPullImages",
    .admit = admit,
};
