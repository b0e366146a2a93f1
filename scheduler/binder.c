// SPDX-License-Identifier: Apache-2.0
#include "scheduler/binder.h"

#include <pthread.h>
#include <string.h>

#include "common/alloc.h"
#include "common/json.h"
#include "common/log.h"
#include "common/timestamp.h"
#include "scheduler/drain.h"

enum { ask_again_ms = 500 };

static const struct api_resource pods_resource = {"v1", "pods", "Pod", true};

struct binder {
    struct client *client;
    struct event_recorder *events;
    binder_succeeded succeeded;
    binder_failed failed;
    void *argument;

    pthread_mutex_t lock; /* Guards what follows. */
    pthread_cond_t changed;
    size_t under_way;
    bool stopping;
};

struct binding {
    struct binder *binder;
    struct queued_pod *pod;
    char *node_name;
    struct loop_timer timer; /* Until the pod is read again. */
};

static void ask_where_it_is(void *argument);
static bool is_stopping(struct binder *binder);

/* ---- names ---- */

/* The parts of "namespace/name"; the namespace is the caller's. */
static const char *split_key(const char *key, char **namespace)
{
    const char *slash = strchr(key, '/');
    *namespace = duplicate_bytes(key, (size_t)(slash - key));
    return slash + 1;
}

static void record(struct binder *binder, const char *key, const char *uid, const char *type,
                   const char *reason, const char *message)
{
    char *namespace;
    const char *name = split_key(key, &namespace);
    struct event_target target = {
        .api_version = "v1", .kind = "Pod", .namespace = namespace, .name = name, .uid = uid};
    event_record(binder->events, &target, type, reason, "%s", message);
    free(namespace);
}

/* ---- outcomes ---- */

/* The binding is over, and its outcome has been told. */
static void end(struct binding *binding)
{
    struct binder *binder = binding->binder;
    free(binding->node_name);
    free(binding);
    pthread_mutex_lock(&binder->lock);
    binder->under_way--;
    pthread_cond_signal(&binder->changed);
    pthread_mutex_unlock(&binder->lock);
}

static void succeed(struct binding *binding)
{
    struct binder *binder = binding->binder;
    cleanup(free_char)
    char *message = format("Successfully assigned %s to %s", binding->pod->key, binding->node_name);
    record(binder, binding->pod->key, binding->pod->uid, "Normal", "Scheduled", message);
    binder->succeeded(binder->argument, binding->pod);
    end(binding);
}

static void fail(struct binding *binding, const char *why)
{
    struct binder *binder = binding->binder;
    binder->failed(binder->argument, binding->pod, why);
    end(binding);
}

static void pod_was_read(void *argument, struct client_response *response)
{
    struct binding *binding = argument;
    if (response->code == 404 || is_stopping(binding->binder)) {
        fail(binding, NULL);
        return;
    }
    if (error_is_set(&response->error)) {
        loop_timer_set(client_loop(binding->binder->client), &binding->timer, ask_again_ms,
                       ask_where_it_is, binding);
        return;
    }
    cleanup(json_release)
    json_t *pod = json_parse(buffer_text(&response->body), response->body.length, NULL);
    const char *uid = json_path_string(pod, "metadata", "uid");
    const char *node = json_path_string(pod, "spec", "nodeName");
    bool is_same = uid != NULL && strcmp(uid, binding->pod->uid) == 0;
    if (is_same && node != NULL && strcmp(node, binding->node_name) == 0) {
        succeed(binding);
    } else {
        fail(binding, NULL);
    }
}

static void ask_where_it_is(void *argument)
{
    struct binding *binding = argument;
    char *namespace;
    const char *name = split_key(binding->pod->key, &namespace);
    struct client_request request = {.method = "GET",
                                     .path = client_path(&pods_resource, namespace, name, NULL)};
    free(namespace);
    client_send(binding->binder->client, request, pod_was_read, binding);
}

static void binding_was_answered(void *argument, struct client_response *response)
{
    struct binding *binding = argument;
    if (!error_is_set(&response->error)) {
        succeed(binding);
    } else if (response->code >= 400 && response->code < 500) {
        cleanup(free_char)
        char *why = format("binding rejected: running Bind plugin \"DefaultBinder\": %s",
                           response->error.message);
        log_debug("%s to %s: %s", binding->pod->key, binding->node_name, why);
        fail(binding, why);
    } else {
        ask_where_it_is(binding);
    }
}

/* ---- requests ---- */

static struct client_request binding_request(const struct queued_pod *pod, const char *node_name)
{
    char *namespace;
    const char *name = split_key(pod->key, &namespace);
    struct client_request request = {
        .method = "POST", .path = client_path(&pods_resource, namespace, name, "binding")};
    buffer_addf(&request.body,
                "{\"kind\":\"Binding\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"%s\","
                "\"namespace\":\"%s\",\"uid\":\"%s\"},\"target\":{\"kind\":\"Node\",\"name\":"
                "\"%s\"}}",
                name, namespace, pod->uid, node_name);
    free(namespace);
    return request;
}

void binder_bind(struct binder *binder, struct queued_pod *pod, const char *node_name)
{
    struct binding *binding = allocate_struct(struct binding);
    binding->binder = binder;
    binding->pod = pod;
    binding->node_name = duplicate(node_name);
    pthread_mutex_lock(&binder->lock);
    binder->under_way++;
    pthread_mutex_unlock(&binder->lock);
    client_send(binder->client, binding_request(pod, node_name), binding_was_answered, binding);
}

size_t binder_under_way(struct binder *binder)
{
    pthread_mutex_lock(&binder->lock);
    size_t count = binder->under_way;
    pthread_mutex_unlock(&binder->lock);
    return count;
}

static bool is_stopping(struct binder *binder)
{
    pthread_mutex_lock(&binder->lock);
    bool stopping = binder->stopping;
    pthread_mutex_unlock(&binder->lock);
    return stopping;
}

static void condition_was_written(void *argument, struct client_response *response)
{
    (void)argument;
    if (error_is_set(&response->error) && response->code != 404) {
        log_debug("writing a condition: %s", response->error.message);
    }
}

/* Sends a change of the pod's status (consumed). */
static void patch_status(struct binder *binder, const struct cached_object *pod, json_t *status)
{
    cleanup(json_release)
    json_t *patch = json_pack("{s:{s:s}, s:o}", "metadata", "uid", pod->uid, "status", status);
    client_send(binder->client,
                client_patch_request(&pods_resource, pod->namespace, pod->name, "status",
                                     client_strategic_merge_patch, patch),
                condition_was_written, NULL);
}

static void add_condition(json_t *status, const struct cached_object *pod, const char *reason,
                          const char *message)
{
    char now[TIMESTAMP_SIZE];
    timestamp_format(timestamp_now(), now);
    json_t *condition = json_pack("{s:s, s:s, s:s, s:s, s:n}", "type", "PodScheduled", "status",
                                  "False", "reason", reason, "message", message, "lastProbeTime");
    if (pod->generation > 0) {
        json_object_set_new(condition, "observedGeneration", json_integer(pod->generation));
    }
    if (pod_of(pod)->told == NULL) {
        json_object_set_new(condition, "lastTransitionTime", json_string(now));
    }
    json_object_set_new(status, "conditions", json_pack("[o]", condition));
}

static void add_nomination(json_t *status, const char *node_name)
{
    json_object_set_new(status, "nominatedNodeName",
                        *node_name != '\0' ? json_string(node_name) : json_null());
}

void binder_tell_failure(struct binder *binder, const struct cached_object *pod, const char *reason,
                         const char *message, const char *nominated_node)
{
    const char *told = pod_of(pod)->told, *nominated = pod_of(pod)->nominated_node;
    json_t *status = json_object();
    record(binder, pod->key, pod->uid, "Warning", "FailedScheduling", message);
    if (told == NULL || strcmp(told, message) != 0) {
        add_condition(status, pod, reason, message);
    }
    if (nominated_node != NULL && strcmp(nominated_node, nominated != NULL ? nominated : "") != 0) {
        add_nomination(status, nominated_node);
    }
    if (json_object_size(status) > 0) {
        patch_status(binder, pod, status);
    } else {
        json_decref(status);
    }
}

void binder_clear_nomination(struct binder *binder, const struct cached_object *pod)
{
    json_t *status = json_object();
    add_nomination(status, "");
    patch_status(binder, pod, status);
}

/* ---- life ---- */

struct binder *binder_new(struct client *client, struct event_recorder *events,
                          binder_succeeded succeeded, binder_failed failed, void *argument)
{
    struct binder *binder = allocate_struct(struct binder);
    binder->client = client;
    binder->events = events;
    binder->succeeded = succeeded;
    binder->failed = failed;
    binder->argument = argument;
    pthread_mutex_init(&binder->lock, NULL);
    pthread_cond_init(&binder->changed, NULL);
    return binder;
}

void binder_stop(struct binder *binder)
{
    pthread_mutex_lock(&binder->lock);
    binder->stopping = true;
    pthread_mutex_unlock(&binder->lock);
    drain(binder->client, &binder->lock, &binder->changed, &binder->under_way);
    pthread_cond_destroy(&binder->changed);
    pthread_mutex_destroy(&binder->lock);
    free(binder);
}
