// SPDX-License-Identifier: Apache-2.0
#include "controllers/namespace.h"

#include <string.h>

#include "common/alloc.h"
#include "common/json.h"
#include "controllers/conditions.h"

enum { finalizers_estimate_seconds = 15 };

static void append(json_t **array, const char *text)
{
    if (*array == NULL) {
        *array = json_array();
    }
    json_array_append_new(*array, json_string(text));
}

void namespace_pass_error(struct namespace_pass *pass, const char *message)
{
    append(&pass->errors, message);
}

static bool count_finalizers(struct namespace_pass *pass, const json_t *object)
{
    size_t i;
    const json_t *finalizer;
    const json_t *finalizers = json_path(object, "metadata", "finalizers");
    json_array_foreach (finalizers, i, finalizer) {
        const char *name = json_string_value(finalizer);
        if (pass->finalizers == NULL) {
            pass->finalizers = json_object();
        }
        json_object_set_new(pass->finalizers, name,
                            json_integer(json_get_int(pass->finalizers, name, 0) + 1));
    }
    return json_array_size(finalizers) > 0;
}

void namespace_pass_count(struct namespace_pass *pass, const char *namespace,
                          const struct api_resource *resource, const json_t *list, int64_t estimate)
{
    const json_t *items = json_object_get(list, "items");
    const char *slash = strchr(resource->group_version, '/');
    int group_length = slash != NULL ? (int)(slash - resource->group_version) : 0;
    const char *version = slash != NULL ? slash + 1 : resource->group_version;
    size_t i, count = json_array_size(items);
    const json_t *object;
    bool has_finalizers = false;
    if (count == 0) {
        return;
    }
    json_array_foreach (items, i, object) {
        has_finalizers = count_finalizers(pass, object) || has_finalizers;
    }
    cleanup(free_char)
    char *text = format("%s.%.*s has %zu resource instances", resource->plural, group_length,
                        resource->group_version, count);
    append(&pass->remaining, text);
    if (estimate == 0 && has_finalizers) {
        estimate = finalizers_estimate_seconds;
    }
    if (estimate == 0) {
        cleanup(free_char)
        char *why =
            format("unexpected items still remain in namespace: %s for gvr: %.*s/%s, "
                   "Resource=%s",
                   namespace, group_length, resource->group_version, version, resource->plural);
        namespace_pass_error(pass, why);
    }
    pass->estimate = estimate > pass->estimate ? estimate : pass->estimate;
}

void namespace_pass_clear(struct namespace_pass *pass)
{
    free(pass->discovery_failure);
    json_decref(pass->errors);
    json_decref(pass->remaining);
    json_decref(pass->finalizers);
    *pass = NAMESPACE_PASS_INIT;
}

int64_t namespace_pods_estimate(const json_t *pods, int64_t terminating_seconds)
{
    int64_t estimate = 0;
    size_t i;
    const json_t *pod;
    json_array_foreach (json_object_get(pods, "items"), i, pod) {
        const char *phase = json_path_string(pod, "status", "phase");
        bool is_over = phase && (strcmp(phase, "Succeeded") == 0 || strcmp(phase, "Failed") == 0);
        int64_t grace =
            json_get_int(json_object_get(pod, "spec"), "terminationGracePeriodSeconds", 0);
        estimate = !is_over && grace > estimate ? grace : estimate;
    }
    return terminating_seconds < estimate ? estimate : 0;
}

/* ---- the conditions ---- */

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The texts in order, between commas, behind a beginning; the caller's. They are consumed. */
static char *join(const char *beginning, char **texts, size_t count)
{
    cleanup(buffer_free)
    struct buffer joined = BUFFER_INIT;
    qsort(texts, count, sizeof *texts, compare_texts);
    buffer_addf(&joined, "%s", beginning);
    for (size_t i = 0; i < count; i++) {
        buffer_addf(&joined, "%s%s", i > 0 ? ", " : "", texts[i]);
        free(texts[i]);
    }
    free(texts);
    return buffer_steal(&joined);
}

static char *join_array(const char *beginning, const json_t *array)
{
    size_t i;
    const json_t *text;
    char **texts = allocate_zero(json_array_size(array) + 1, sizeof *texts);
    json_array_foreach (array, i, text) {
        texts[i] = duplicate(json_string_value(text));
    }
    return join(beginning, texts, json_array_size(array));
}

static char *finalizers_text(json_t *finalizers)
{
    size_t i = 0;
    const char *name;
    const json_t *count;
    char **texts = allocate_zero(json_object_size(finalizers) + 1, sizeof *texts);
    json_object_foreach (finalizers, name, count) {
        texts[i++] =
            format("%s in %lld resource instances", name, (long long)json_integer_value(count));
    }
    return join("Some content in the namespace has finalizers remaining: ", texts, i);
}

static char *errors_text(const json_t *errors)
{
    cleanup(free_char)
    char *beginning =
        format("Failed to delete all resource types, %zu remaining: ", json_array_size(errors));
    return join_array(beginning, errors);
}

/* True when the condition changed. 'failure' (consumed) NULL: all is well. */
static bool set(json_t *conditions, const char *type, const char *good_reason,
                const char *good_message, const char *bad_reason, char *failure)
{
    bool changed = condition_set(conditions, type, failure != NULL ? "True" : "False",
                                 failure != NULL ? bad_reason : good_reason,
                                 failure != NULL ? failure : good_message, false);
    free(failure);
    return changed;
}

bool namespace_set_conditions(json_t *status, const struct namespace_pass *pass)
{
    json_t *conditions = json_object_get(status, "conditions");
    bool changed = false;
    if (!json_is_array(conditions)) {
        conditions = json_array();
        json_object_set_new(status, "conditions", conditions);
    }
    changed |= set(conditions, "NamespaceDeletionDiscoveryFailure", "ResourcesDiscovered",
                   "All resources successfully discovered", "DiscoveryFailed",
                   pass->discovery_failure ? duplicate(pass->discovery_failure) : NULL);
    /* Aggregated discovery names group and version apart, so there is nothing to parse. */
    changed |= set(conditions, "NamespaceDeletionGroupVersionParsingFailure", "ParsedGroupVersions",
                   "All legacy kube types successfully parsed", "GroupVersionParsingFailed", NULL);
    changed |= set(conditions, "NamespaceDeletionContentFailure", "ContentDeleted",
                   "All content successfully deleted, may be waiting on finalization",
                   "ContentDeletionFailed", pass->errors ? errors_text(pass->errors) : NULL);
    changed |=
        set(conditions, "NamespaceContentRemaining", "ContentRemoved",
            "All content successfully removed", "SomeResourcesRemain",
            pass->remaining ? join_array("Some resources are remaining: ", pass->remaining) : NULL);
    changed |= set(conditions, "NamespaceFinalizersRemaining", "ContentHasNoFinalizers",
                   "All content-preserving finalizers finished", "SomeFinalizersRemain",
                   pass->finalizers ? finalizers_text(pass->finalizers) : NULL);
    return changed;
}
