// SPDX-License-Identifier: Apache-2.0
#include "apiserver/admission/webhook_list.h"

#include <pthread.h>
#include <string.h>

#include "common/alloc.h"
#include "common/json.h"

struct list_observer {
    struct cache_observer base;
    struct webhook_lists *lists;
    enum webhook_type type;
};

struct webhook_lists {
    pthread_mutex_t lock; /* Guards the lists. */
    struct webhooks lists[WEBHOOK_TYPES];
    atomic_size_t counts[WEBHOOK_TYPES]; /* So that nobody takes the lock for nothing. */
    const atomic_bool *stopping;
    const struct webhook_credentials *credentials[WEBHOOK_TYPES]; /* Each may be NULL. */
    struct list_observer observers[WEBHOOK_TYPES];
    struct metric *durations, *rejections; /* NULL: nobody measures. */
};

/* ---- changes ---- */

/* The webhooks of all other configurations, and those of this one in their place. */
static struct webhooks replaced(const struct webhooks *old, const char *name,
                                const struct webhooks *mine)
{
    struct webhooks all = {
        .webhooks = allocate_zero(old->count + mine->count + 1, sizeof(struct webhook *))};
    size_t at = 0;
    for (; at < old->count && strcmp(old->webhooks[at]->configuration, name) < 0; at++) {
        all.webhooks[all.count++] = webhook_ref(old->webhooks[at]);
    }
    for (size_t i = 0; i < mine->count; i++) {
        all.webhooks[all.count++] = webhook_ref(mine->webhooks[i]);
    }
    for (; at < old->count; at++) {
        if (strcmp(old->webhooks[at]->configuration, name) != 0) {
            all.webhooks[all.count++] = webhook_ref(old->webhooks[at]);
        }
    }
    return all;
}

void webhook_lists_put(struct webhook_lists *lists, enum webhook_type type, const char *name,
                       const json_t *configuration)
{
    const json_t *list = json_object_get(configuration, "webhooks");
    cleanup(webhooks_clear)
    struct webhooks mine = {.webhooks =
                                allocate_zero(json_array_size(list) + 1, sizeof(struct webhook *))};
    for (size_t i = 0; i < json_array_size(list); i++) {
        mine.webhooks[mine.count++] =
            webhook_new(name, json_array_get(list, i), lists->credentials[type], lists->stopping);
    }
    pthread_mutex_lock(&lists->lock);
    struct webhooks old = lists->lists[type];
    lists->lists[type] = replaced(&old, name, &mine);
    atomic_store(&lists->counts[type], lists->lists[type].count);
    pthread_mutex_unlock(&lists->lock);
    webhooks_clear(&old);
}

static void changed(struct cache_observer *base, const struct object *object, bool deleted)
{
    struct list_observer *observer = container_of(base, struct list_observer, base);
    cleanup(json_release)
    json_t *tree = deleted ? NULL : object_tree(object);
    webhook_lists_put(observer->lists, observer->type, object_name(object), tree);
}

/* ---- life ---- */

struct webhook_lists *webhook_lists_new(struct cache *cache, const struct scheme *scheme,
                                        const struct admission_options *options,
                                        const atomic_bool *stopping)
{
    static const char *const plurals[] = {"mutatingwebhookconfigurations",
                                          "validatingwebhookconfigurations"};
    struct webhook_lists *lists = allocate_struct(struct webhook_lists);
    lists->stopping = stopping;
    lists->credentials[WEBHOOKS_MUTATING] = options->mutating_credentials;
    lists->credentials[WEBHOOKS_VALIDATING] = options->validating_credentials;
    pthread_mutex_init(&lists->lock, NULL);
    for (int i = 0; cache != NULL && i < WEBHOOK_TYPES; i++) {
        const struct resource *resource =
            scheme_resource_find(scheme, "admissionregistration.k8s.io", "v1", plurals[i]);
        lists->observers[i] = (struct list_observer){
            .base = {.changed = changed}, .lists = lists, .type = (enum webhook_type)i};
        cache_observe(cache_table(cache, resource), &lists->observers[i].base);
    }
    return lists;
}

void webhook_lists_free(struct webhook_lists *lists)
{
    if (lists == NULL) {
        return;
    }
    for (int i = 0; i < WEBHOOK_TYPES; i++) {
        webhooks_clear(&lists->lists[i]);
    }
    pthread_mutex_destroy(&lists->lock);
    free(lists);
}

struct webhooks webhooks_get(struct webhook_lists *lists, enum webhook_type type)
{
    static const struct webhooks none = {0};
    struct webhooks nothing = {0};
    if (lists == NULL || atomic_load(&lists->counts[type]) == 0) {
        return nothing;
    }
    pthread_mutex_lock(&lists->lock);
    struct webhooks copy = replaced(&lists->lists[type], "", &none);
    pthread_mutex_unlock(&lists->lock);
    return copy;
}

void webhooks_clear(struct webhooks *webhooks)
{
    for (size_t i = 0; i < webhooks->count; i++) {
        webhook_unref(webhooks->webhooks[i]);
    }
    free(webhooks->webhooks);
    *webhooks = (struct webhooks){0};
}

/* ---- metrics ---- */

void webhook_lists_measure(struct webhook_lists *lists, struct metrics *metrics)
{
    static const double seconds[] = {0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 10, 25};
    static const char *const durations[] = {"name", "type", "operation", "rejected", NULL};
    static const char *const rejections[] = {"name",       "type",           "operation",
                                             "error_type", "rejection_code", NULL};
    lists->durations =
        metrics_histogram(metrics, "apiserver_admission_webhook_admission_duration_seconds",
                          "How long admission webhooks took to answer, in seconds.", durations,
                          seconds, array_length(seconds));
    lists->rejections =
        metrics_counter(metrics, "apiserver_admission_webhook_rejection_count",
                        "Number of requests that admission webhooks refused.", rejections);
}

void webhook_lists_count(struct webhook_lists *lists, const char *name, enum webhook_type type,
                         const char *operation, int64_t duration_ns, const char *error_type,
                         int code)
{
    const char *type_name = type == WEBHOOKS_MUTATING ? "admit" : "validating";
    if (lists->durations == NULL) {
        return;
    }
    metric_observe(lists->durations, (double)duration_ns / 1e9,
                   metric_labels(name, type_name, operation, error_type ? "true" : "false"));
    if (error_type != NULL) {
        cleanup(free_char)
        char *code_text = format("%d", code < 600 ? code : 600);
        metric_add(lists->rejections, 1,
                   metric_labels(name, type_name, operation, error_type, code_text));
    }
}
