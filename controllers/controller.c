// SPDX-License-Identifier: Apache-2.0
#include "controllers/controller.h"

#include <pthread.h>
#include <string.h>

#include "common/alloc.h"
#include "common/log.h"
#include "common/stack_size.h"
#include "common/timestamp.h"
#include "controllers/account.h"

enum { patience_seconds = 2 }; /* With what workers do when they are to end. */

/* Of one controller or several. */
struct shared_account {
    struct account *account;
    struct shared_account *next;
};

struct running {
    struct controller controller;
    struct controller_set *set;
    void *state;
    pthread_t *workers;
    size_t worker_count;
    struct running *next;
};

struct controller_set {
    struct service *service;
    struct running *first;
    struct shared_account *accounts;
    struct work_queue_metrics *queue_metrics;
    struct metric *syncs, *errors, *durations;
};

/* ---- keys ---- */

void controller_add(struct controller *controller, const char *key)
{
    work_queue_add(controller->queue, key);
}

void controller_add_after(struct controller *controller, const char *key, int64_t delay_ms)
{
    work_queue_add_after(controller->queue, key, delay_ms);
}

void controller_add_object(struct controller *controller, const struct cached_object *object)
{
    work_queue_add(controller->queue, object->key);
}

void controller_add_owner(struct controller *controller, const struct cached_object *object,
                          const char *owner_kind)
{
    if (strcmp(object->owner_kind, owner_kind) == 0) {
        cleanup(free_char)
        char *key = object->namespace[0] != '\0'
                        ? format("%s/%s", object->namespace, object->owner_name)
                        : duplicate(object->owner_name);
        work_queue_add(controller->queue, key);
    }
}

void controller_handle_object(void *controller, const struct cached_object *old,
                              const struct cached_object *new)
{
    controller_add_object(controller, new != NULL ? new : old);
}

void controller_split_key(const char *key, char **namespace, char **name)
{
    const char *slash = strchr(key, '/');
    *namespace = slash != NULL ? duplicate_bytes(key, (size_t)(slash - key)) : duplicate("");
    *name = duplicate(slash != NULL ? slash + 1 : key);
}

/* ---- the list of controllers ---- */

/* One word of the list against a controller: its name or alias, or "*". */
static bool is_named(const struct controller_type *type, const char *word, size_t length)
{
    return (strlen(type->name) == length && memcmp(type->name, word, length) == 0) ||
           (type->alias != NULL && strlen(type->alias) == length &&
            memcmp(type->alias, word, length) == 0);
}

bool controller_is_listed(const struct controller_type *type, const char *list)
{
    bool all = false;
    for (const char *word = list; *word != '\0';) {
        size_t length = strcspn(word, ",");
        if (length == 1 && word[0] == '*') {
            all = !type->is_off_by_default;
        } else if (word[0] == '-' && is_named(type, word + 1, length - 1)) {
            return false;
        } else if (is_named(type, word, length)) {
            return true;
        }
        word += length + (word[length] == ',');
    }
    return all;
}

bool controller_list_check(const char *list, struct error *error)
{
    for (const char *word = list; *word != '\0';) {
        size_t length = strcspn(word, ","), skip = word[0] == '-';
        bool known = length == 1 && word[0] == '*';
        for (size_t i = 0; controller_types[i] != NULL && !known; i++) {
            known = is_named(controller_types[i], word + skip, length - skip);
        }
        if (!known) {
            return error_bad_request(error,
                                     "\"%.*s\" is not in the list of known controllers; see "
                                     "--help",
                                     (int)length, word);
        }
        word += length + (word[length] == ',');
    }
    return true;
}

/* ---- workers ---- */

static void sync_key(struct running *running, const char *key)
{
    struct controller *controller = &running->controller;
    const char *name = controller->type->name;
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    int64_t start = timestamp_monotonic();
    bool succeeded = controller->type->sync(running->state, key, &error);
    metric_add(running->set->syncs, 1, metric_labels(name));
    metric_observe(running->set->durations, (double)(timestamp_monotonic() - start) * 1e-9,
                   metric_labels(name));
    if (succeeded) {
        work_queue_forget(controller->queue, key);
        return;
    }
    metric_add(running->set->errors, 1, metric_labels(name));
    bool is_usual = error.code == 409 || work_queue_failures(controller->queue, key) < 3;
    log_write(is_usual ? LOG_DEBUG : LOG_WARNING, "%s: %s: %s", name, key,
              error.message != NULL ? error.message : "failed");
    work_queue_add_rate_limited(controller->queue, key);
}

static void *work(void *argument)
{
    struct running *running = argument;
    for (char *key; (key = work_queue_get(running->controller.queue)) != NULL; free(key)) {
        sync_key(running, key);
        work_queue_done(running->controller.queue, key);
    }
    return NULL;
}

static void start_workers(struct running *running)
{
    const struct controller_type *type = running->controller.type;
    running->worker_count = type->workers_of != NULL
                                ? (size_t)type->workers_of(running->controller.settings)
                                : (size_t)type->workers;
    running->workers = allocate_zero(running->worker_count, sizeof(pthread_t));
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, SMALL_STACK_BYTES);
    for (size_t i = 0; i < running->worker_count; i++) {
        pthread_create(&running->workers[i], &attributes, work, running);
    }
    pthread_attr_destroy(&attributes);
}

/* ---- the set ---- */

static struct client *client_of(struct controller_set *set, const struct controller_type *type,
                                const struct controller_settings *settings)
{
    struct client *own = set->service->client;
    if (!settings->use_service_account_credentials || type->account == NULL) {
        return own;
    }
    struct shared_account *shared = set->accounts;
    while (shared != NULL && strcmp(account_name(shared->account), type->account) != 0) {
        shared = shared->next;
    }
    if (shared == NULL) {
        shared = allocate_struct(struct shared_account);
        shared->account = account_new(own, type->account);
        shared->next = set->accounts;
        set->accounts = shared;
    }
    return account_client(shared->account);
}

static bool start_controller(struct controller_set *set, struct service *service,
                             const struct controller_type *type,
                             const struct controller_settings *settings, struct error *error)
{
    struct running *running = allocate_struct(struct running);
    struct client *client = client_of(set, type, settings);
    running->set = set;
    running->controller = (struct controller){
        .type = type,
        .settings = settings,
        .service = service,
        .client = client,
        .informers = service->informers,
        .events = event_recorder_new(
            client, type->event_source != NULL ? type->event_source : type->name, NULL),
        .queue = work_queue_new(type->name, set->queue_metrics),
    };
    running->next = set->first;
    set->first = running;
    running->state = type->start(&running->controller, error);
    return running->state != NULL;
}

struct controller_set *controller_set_start(struct service *service,
                                            const struct controller_type *const *types,
                                            const char *list,
                                            const struct controller_settings *settings,
                                            struct error *error)
{
    static const char *const labels[] = {"name", NULL};
    static const double bounds[] = {0.0001, 0.001, 0.01, 0.1, 1, 10};
    struct controller_set *set = allocate_struct(struct controller_set);
    set->service = service;
    set->queue_metrics = work_queue_metrics_new(service->metrics);
    set->syncs = metrics_counter(service->metrics, "controller_sync_total",
                                 "Keys that controllers have worked on.", labels);
    set->errors = metrics_counter(service->metrics, "controller_sync_errors_total",
                                  "Of those, the ones to be tried again.", labels);
    set->durations =
        metrics_histogram(service->metrics, "controller_sync_duration_seconds",
                          "How long working on a key took.", labels, bounds, array_length(bounds));
    bool started = true;
    for (size_t i = 0; types[i] != NULL && started; i++) {
        if (controller_is_listed(types[i], list)) {
            started = start_controller(set, service, types[i], settings, error);
        }
    }
    informer_factory_start(service->informers);
    if (!started || !informer_factory_wait(service->informers)) {
        controller_set_stop(set);
        return NULL;
    }
    for (struct running *running = set->first; running != NULL; running = running->next) {
        start_workers(running);
    }
    return set;
}

/* Those that wait for a server which does not answer go on when the client is closed. */
static void join_workers(struct controller_set *set)
{
    struct timespec until = timestamp_after(patience_seconds * INT64_C(1000000000));
    for (struct running *running = set->first; running != NULL; running = running->next) {
        for (size_t i = 0; i < running->worker_count; i++) {
            if (pthread_timedjoin_np(running->workers[i], NULL, &until) != 0) {
                client_close(set->service->client);
                pthread_join(running->workers[i], NULL);
            }
        }
    }
}

static void stop_controller(struct running *running)
{
    event_recorder_free(running->controller.events);
    if (running->state != NULL) {
        running->controller.type->stop(running->state);
    }
}

void controller_set_stop(struct controller_set *set)
{
    if (set == NULL) {
        return;
    }
    informer_factory_stop(set->service->informers); /* No handler is called any more. */
    for (struct running *running = set->first; running != NULL; running = running->next) {
        work_queue_stop(running->controller.queue);
    }
    join_workers(set);
    for (struct running *running = set->first; running != NULL; running = running->next) {
        stop_controller(running);
    }
    while (set->first != NULL) {
        struct running *running = set->first;
        set->first = running->next;
        work_queue_free(running->controller.queue);
        free(running->workers);
        free(running);
    }
    while (set->accounts != NULL) {
        struct shared_account *shared = set->accounts;
        set->accounts = shared->next;
        account_free(shared->account);
        free(shared);
    }
    work_queue_metrics_free(set->queue_metrics);
    free(set);
}
