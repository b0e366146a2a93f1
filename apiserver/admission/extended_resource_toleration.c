// SPDX-License-Identifier: Apache-2.0
/* ExtendedResourceToleration: nodes with special devices may be tainted with the device's name;
 * pods that ask for the device tolerate that. */
#include <string.h>

#include "apiserver/admission/admission.h"
#include "common/alloc.h"
#include "common/json.h"

/* "example.com/device", and not one of Kubernetes' own names. */
static bool is_extended(const char *name)
{
    const char *slash = strchr(name, '/');
    static const char own[] = "kubernetes.io";
    if (slash == NULL || strncmp(name, "requests.", strlen("requests.")) == 0) {
        return false;
    }
    size_t length = (size_t)(slash - name);
    return length < strlen(own) || memcmp(slash - strlen(own), own, strlen(own)) != 0;
}

static void tolerate(json_t *spec, const char *key)
{
    json_t *tolerations = json_object_get(spec, "tolerations");
    json_t *wanted =
        json_pack("{s:s, s:s, s:s}", "key", key, "operator", "Exists", "effect", "NoSchedule");
    if (!json_is_array(tolerations)) {
        tolerations = json_array();
        json_object_set_new(spec, "tolerations", tolerations);
    }
    for (size_t i = 0; i < json_array_size(tolerations); i++) {
        if (json_equal(json_array_get(tolerations, i), wanted)) {
            json_decref(wanted);
            return;
        }
    }
    json_array_append_new(tolerations, wanted);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The names that any container asks for, each once; in their order. */
static json_t *requested(const json_t *spec)
{
    static const char *const lists[] = {"containers", "initContainers"};
    json_t *names = json_object();
    for (size_t i = 0; i < array_length(lists); i++) {
        size_t at;
        const json_t *container;
        json_array_foreach (json_object_get(spec, lists[i]), at, container) {
            const char *name;
            json_t *amount;
            json_object_foreach (json_path(container, "resources", "requests"), name, amount) {
                if (is_extended(name)) {
                    json_object_set_new(names, name, json_true());
                }
            }
        }
    }
    return names;
}

static bool admit(struct write *write, struct error *error)
{
    json_t *spec = json_object_get(write->object, "spec");
    (void)error;
    if (!admission_is_about(write, "", "pods") || !json_is_object(spec)) {
        return true;
    }
    cleanup(json_release)
    json_t *names = requested(spec);
    size_t count = 0;
    const char **sorted = allocate_zero(json_object_size(names) + 1, sizeof *sorted);
    const char *name;
    json_t *value;
    json_object_foreach (names, name, value) {
        sorted[count++] = name;
    }
    qsort(sorted, count, sizeof *sorted, compare_names);
    for (size_t i = 0; i < count; i++) {
        tolerate(spec, sorted[i]);
    }
    free(sorted);
    return true;
}

const struct admission_plugin admission_extended_resource_toleration = {
    .name = "ExtendedResourceToleration",
    .admit = admit,
};
