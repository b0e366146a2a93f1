// SPDX-License-Identifier: Apache-2.0
#include "controllers/pod_control.h"

#include <string.h>

#include "common/alloc.h"
#include "common/json.h"
#include "common/names.h"
#include "controllers/owner.h"
#include "controllers/resources.h"

enum {
    batch_max = 512,
    doubt_ms = 1000, /* How long the informer may take to show what became of a request. */
};

json_t *pod_control_make(const json_t *owner, const json_t *pod_template)
{
    static const char *const copied[] = {"labels", "annotations", "finalizers"};
    const json_t *from = json_object_get(pod_template, "metadata");
    const char *owner_name = json_path_string(owner, "metadata", "name");
    cleanup(free_char)
    char *prefix = format("%s-", owner_name);
    cleanup(free_char)
    char *sample = format("%sa", prefix);
    json_t *pod = json_pack(
        "{s:s, s:s, s:{s:s, s:[o]}, s:O}", "kind", "Pod", "apiVersion", "v1", "metadata",
        "generateName", names_check_dns_subdomain(sample) == NULL ? prefix : owner_name,
        "ownerReferences", owner_reference(owner), "spec", json_object_get(pod_template, "spec"));
    json_t *metadata = json_object_get(pod, "metadata");
    for (size_t i = 0; i < array_length(copied); i++) {
        json_t *value = json_object_get(from, copied[i]);
        if (value != NULL) {
            json_object_set(metadata, copied[i], value);
        }
    }
    return pod;
}

bool pod_control_is_namespace_terminating(const struct error *error)
{
    size_t i;
    const json_t *cause;
    json_array_foreach (error->causes, i, cause) {
        const char *reason = json_get_string(cause, "reason");
        if (reason != NULL && strcmp(reason, "NamespaceTerminating") == 0) {
            return true;
        }
    }
    return false;
}

/* Keeps the first of several errors. */
static bool keep_first(struct error *first, struct error *error)
{
    if (first != NULL && !error_is_set(first)) {
        error_move(first, error);
    }
    error_clear(error);
    return false;
}

/* The answer does not tell whether the request took effect. What was expected of it stays expected
 * for a moment, so that nothing is done twice. */
static bool is_in_doubt(struct expectations *expectations, const char *key,
                        const struct error *error)
{
    if (error->code < 500) {
        return false;
    }
    expectations_doubt(expectations, key, doubt_ms);
    return true;
}

/* ---- creating ---- */

static void tell_creation(struct controller *controller, const json_t *owner,
                          const struct buffer *pod)
{
    static const char *const path[] = {"metadata.name"};
    struct json_span span;
    json_scan(pod->bytes, pod->length, path, 1, &span);
    cleanup(free_char)
    char *name = json_span_value(span);
    event_record_about(controller->events, owner, "Normal", "SuccessfulCreate", "Created pod: %s",
                       name != NULL ? name : "");
}

static bool create_batch(struct controller *controller, const json_t *owner, json_t *const *pods,
                         size_t count, struct expectations *expectations, const char *key,
                         size_t *created, struct error *error)
{
    const char *namespace = json_path_string(owner, "metadata", "namespace");
    struct client_call *calls = allocate_zero(count, sizeof *calls);
    bool succeeded = true;
    for (size_t i = 0; i < count; i++) {
        calls[i].request = client_create_request(&resource_pods, namespace, pods[i]);
        calls[i].wants_text = true;
    }
    client_call_all(controller->client, calls, count);
    for (size_t i = 0; i < count; i++) {
        if (calls[i].result != NULL) {
            tell_creation(controller, owner, &calls[i].text);
            buffer_free(&calls[i].text);
            (*created)++;
            continue;
        }
        if (!is_in_doubt(expectations, key, &calls[i].error)) {
            expectations_saw_creation(expectations, key); /* It will not come. */
        }
        if (!pod_control_is_namespace_terminating(&calls[i].error)) {
            event_record_about(controller->events, owner, "Warning", "FailedCreate",
                               "Error creating: %s", calls[i].error.message);
        }
        succeeded = keep_first(error, &calls[i].error);
    }
    free(calls);
    return succeeded;
}

bool pod_control_create(struct controller *controller, const json_t *owner, json_t *pod,
                        size_t count, struct expectations *expectations, const char *key,
                        struct error *error)
{
    size_t created;
    json_t **pods = allocate(count * sizeof(json_t *));
    for (size_t i = 0; i < count; i++) {
        pods[i] = pod;
    }
    bool succeeded =
        pod_control_create_all(controller, owner, pods, count, expectations, key, &created, error);
    free(pods);
    return succeeded;
}

bool pod_control_create_all(struct controller *controller, const json_t *owner, json_t *const *pods,
                            size_t count, struct expectations *expectations, const char *key,
                            size_t *created, struct error *error)
{
    size_t done = 0;
    *created = 0;
    bool succeeded = true;
    expectations_expect_creations(expectations, key, count);
    size_t batch = expectations_batch(expectations, key);
    for (; done < count && succeeded; batch = batch * 2 < batch_max ? batch * 2 : batch_max) {
        size_t now = batch < count - done ? batch : count - done;
        succeeded =
            create_batch(controller, owner, pods + done, now, expectations, key, created, error);
        expectations_set_batch(expectations, key, succeeded ? now : 0);
        done += now;
    }
    for (; done < count; done++) {
        expectations_saw_creation(expectations, key);
    }
    return succeeded;
}

/* ---- deleting ---- */

bool pod_control_delete(struct controller *controller, const json_t *owner,
                        struct cached_object *const *pods, size_t count,
                        struct expectations *expectations, const char *key, struct error *error)
{
    struct client_call *calls = allocate_zero(count ? count : 1, sizeof *calls);
    bool succeeded = true;
    for (size_t i = 0; i < count; i++) {
        expectations_expect_deletion(expectations, key, pods[i]->uid);
        calls[i].request =
            client_delete_request(&resource_pods, pods[i]->namespace, pods[i]->name, pods[i]->uid);
        calls[i].wants_text = true;
    }
    client_call_all(controller->client, calls, count);
    for (size_t i = 0; i < count; i++) {
        if (calls[i].result != NULL) {
            event_record_about(controller->events, owner, "Normal", "SuccessfulDelete",
                               "Deleted pod: %s", pods[i]->name);
            buffer_free(&calls[i].text);
            continue;
        }
        if (!is_in_doubt(expectations, key, &calls[i].error)) {
            expectations_saw_deletion(expectations, key, pods[i]->uid);
        }
        if (calls[i].error.code != 404) {
            event_record_about(controller->events, owner, "Warning", "FailedDelete",
                               "Error deleting: %s", calls[i].error.message);
            succeeded = keep_first(error, &calls[i].error);
        }
        error_clear(&calls[i].error);
    }
    free(calls);
    return succeeded;
}
