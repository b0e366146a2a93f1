// SPDX-License-Identifier: Apache-2.0
#include "scheduler/scheduler.h"

#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "common/alloc.h"
#include "common/log.h"
#include "common/timestamp.h"
#include "scheduler/affinity.h"
#include "scheduler/binder.h"
#include "scheduler/cluster.h"
#include "scheduler/cycle.h"
#include "scheduler/evictor.h"
#include "scheduler/node_images.h"
#include "scheduler/nominations.h"
#include "scheduler/preemption.h"
#include "scheduler/queue.h"
#include "scheduler/scheduler_metrics.h"
#include "scheduler/spread_selectors.h"
#include "scheduler/volume_binder.h"
#include "scheduler/volume_informers.h"

enum {
    bindings_max = 256,      /* Under way at a time. */
    bindings_few = 128,      /* Whoever waits for room goes on when so many are left. */
    collect_interval = 1024, /* Cycles, or pods gone, between two collections of unused classes. */
};

static const struct api_resource pods_resource = {"v1", "pods", "Pod", true};
static const struct api_resource nodes_resource = {"v1", "nodes", "Node", false};
static const struct api_resource namespaces_resource = {"v1", "namespaces", "Namespace", false};

struct scheduler {
    struct service *service;
    const struct scheduler_configuration *configuration;
    struct spread_selectors *selectors;
    struct informer *pods, *budgets;
    struct binder *binder;
    struct evictor *evictor;
    struct volume_binder *volume_binder;
    struct volume_informers *volumes;
    pthread_t thread;
    atomic_uint
        callers; /* Who want the lock beside the scheduling thread: it lets them go first. */

    pthread_mutex_t lock; /* Guards all that follows. */
    pthread_cond_t changed;
    struct node_cache *cache;
    struct queue queue;
    struct cluster cluster; /* Both. */
    struct decider decider;
    size_t since_collection;
    bool had_waiting_pods; /* When the scheduling thread last looked. */
    bool waits_for_room;   /* Then there were too many bindings under way for one more. */
    bool stopping;

    struct scheduler_metrics *metrics;
};

/* ---- the lock ---- */

static void lock(struct scheduler *scheduler)
{
    atomic_fetch_add(&scheduler->callers, 1);
    pthread_mutex_lock(&scheduler->lock);
    atomic_fetch_sub(&scheduler->callers, 1);
}

/* Something is different: the scheduling thread looks again. */
static void unlock_and_wake(struct scheduler *scheduler)
{
    pthread_cond_signal(&scheduler->changed);
    pthread_mutex_unlock(&scheduler->lock);
}

/* A waiting thread goes on only once it has something to do for some time. */
static bool has_room(const struct scheduler *scheduler)
{
    size_t under_way = binder_under_way(scheduler->binder);
    return scheduler->waits_for_room ? under_way <= bindings_few : under_way < bindings_max;
}

/* The same after something that concerns only pods that wait for a node. Most of what happens to
 * pods does so while none waits, or while none can be helped: five events for each of a
 * Deployment. */
static void unlock_and_wake_for_pods(struct scheduler *scheduler)
{
    if (scheduler->waits_for_room
            ? has_room(scheduler)
            : scheduler->queue.pods.count > 0 || scheduler->had_waiting_pods) {
        pthread_cond_signal(&scheduler->changed);
    }
    pthread_mutex_unlock(&scheduler->lock);
}

/* ---- events ---- */

static void release_class(struct pod_class *class, void *argument)
{
    node_cache_forget_class(argument, class);
}

static void collect_sometimes(struct scheduler *scheduler)
{
    if (++scheduler->since_collection >= collect_interval) {
        scheduler->since_collection = 0;
        scheduler_metrics_show_queue(scheduler->metrics, &scheduler->queue);
        pod_classes_collect(release_class, scheduler->cache);
    }
}

static bool is_ours(const struct scheduler *scheduler, const struct cached_object *pod)
{
    return decider_profile(&scheduler->decider, pod_of(pod)->class) != NULL;
}

static void pod_changed(void *argument, const struct cached_object *old,
                        const struct cached_object *new)
{
    struct scheduler *scheduler = argument;
    lock(scheduler);
    if (old != NULL && (new == NULL || new->is_deleting || strcmp(new->uid, old->uid) != 0)) {
        volume_binder_forget(scheduler->volume_binder, old->key, old->uid);
    }
    cluster_pod_changed(&scheduler->cluster, old, new, new != NULL &&is_ours(scheduler, new));
    if (new == NULL || pod_of(new)->is_terminated) {
        collect_sometimes(scheduler);
    }
    unlock_and_wake_for_pods(scheduler);
}

/* What the cache needs of a Node: metadata, spec and status.allocatable. */
static void *node_digest(const struct cached_object *object)
{
    static const char *const paths[] = {"metadata.labels", "spec.taints", "spec.unschedulable",
                                        "status.allocatable"};
    struct json_span spans[array_length(paths)];
    json_t *values[array_length(paths)];
    json_scan(object->text, object->length, paths, array_length(paths), spans);
    for (size_t i = 0; i < array_length(paths); i++) {
        values[i] = spans[i].text != NULL
                        ? json_loadb(spans[i].text, spans[i].length, JSON_DECODE_ANY, NULL)
                        : NULL;
    }
    return json_pack("{s:{s:s, s:o*}, s:{s:o*, s:o*}, s:{s:o*}}", "metadata", "name", object->name,
                     "labels", values[0], "spec", "taints", values[1], "unschedulable", values[2],
                     "status", "allocatable", values[3]);
}

static void node_digest_free(void *digest)
{
    json_decref(digest);
}

static const struct cached_object_class node_object_class = {
    .digest = node_digest, .digest_free = node_digest_free, .drop_text = true};

/* Images come with heartbeats, and change what is better, not what fits. */
static void put_images(struct scheduler *scheduler, const struct cached_object *object)
{
    struct json_span images;
    json_scan(object->text, object->length, (const char *[]){"status.images"}, 1, &images);
    node_images_put(scheduler->cache, node_cache_node(scheduler->cache, object->name),
                    images.text != NULL ? images.text : "", images.length);
}

static void node_changed(void *argument, const struct cached_object *old,
                         const struct cached_object *new)
{
    struct scheduler *scheduler = argument;
    lock(scheduler);
    if (new == NULL) {
        cluster_remove_node(&scheduler->cluster, old->name);
        volume_binder_note(scheduler->volume_binder);
    } else {
        cluster_put_node(&scheduler->cluster, new->digest);
        put_images(scheduler, new);
    }
    unlock_and_wake(scheduler);
}

static const struct cached_object_class namespace_object_class = {.drop_text = true};

static void namespace_changed(void *argument, const struct cached_object *old,
                              const struct cached_object *new)
{
    struct scheduler *scheduler = argument;
    cleanup(json_release)
    json_t *labels = new != NULL ? cached_object_labels(new) : NULL;
    lock(scheduler);
    if (affinity_put_namespace(scheduler->cache, new != NULL ? new->name : old->name, labels)) {
        queue_note_event(&scheduler->queue, EVENT_POD_CAME); /* It is another's pod now. */
    }
    unlock_and_wake(scheduler);
}

/* ---- outcomes of bindings, from the binder ---- */

static void binding_succeeded(void *argument, struct queued_pod *pod)
{
    struct scheduler *scheduler = argument;
    scheduler_metrics_attempted(scheduler->metrics, pod, "scheduled", timestamp_monotonic());
    lock(scheduler);
    queued_pod_free(pod); /* The informer will see it bound. */
    unlock_and_wake_for_pods(scheduler);
}

static struct cached_object *find_pod(struct scheduler *scheduler, const char *key)
{
    return indexer_get(informer_indexer(scheduler->pods), key);
}

/* The pod as the server has it, as far as is known, if it still waits for a node; else NULL. The
 * caller's. What this tells is never older than the events that were handled, so that a pod whose
 * last event says otherwise is not taken for a pending one. */
static struct cached_object *find_pending(struct scheduler *scheduler,
                                          const struct queued_pod *queued)
{
    struct cached_object *object = find_pod(scheduler, queued->key);
    if (object != NULL && (strcmp(object->uid, queued->uid) != 0 || object->is_deleting ||
                           pod_of(object)->is_terminated || *pod_of(object)->node_name != '\0')) {
        cached_object_unref(steal(object));
    }
    return object;
}

/* It isn't where this scheduler wanted it. */
static void try_again(struct scheduler *scheduler, struct queued_pod *pod, const char *why)
{
    cleanup(cached_object_release)
    struct cached_object *pending = find_pending(scheduler, pod);
    cluster_forget(&scheduler->cluster, pod);
    if (pending == NULL) {
        queued_pod_free(pod); /* It is gone, or another scheduler was quicker. */
    } else {
        if (why != NULL) {
            binder_tell_failure(scheduler->binder, pending, "SchedulerError", why, "");
        }
        queue_back_off(&scheduler->queue, pod);
        queue_put(&scheduler->queue, pending->key, pending->uid, pod_of(pending)->class);
    }
}

static void binding_failed(void *argument, struct queued_pod *pod, const char *why)
{
    struct scheduler *scheduler = argument;
    scheduler_metrics_attempted(scheduler->metrics, pod, "error", timestamp_monotonic());
    lock(scheduler);
    try_again(scheduler, pod, why);
    unlock_and_wake(scheduler);
}

/* ---- outcomes for volumes, from their binder; the lock is held ---- */

static void lock_for_volumes(void *argument)
{
    lock(argument);
}

static void unlock_after_volumes(void *argument)
{
    volume_binder_note(((struct scheduler *)argument)->volume_binder);
    unlock_and_wake(argument);
}

static void volumes_are_bound(void *argument, struct queued_pod *pod, const char *node_name)
{
    struct scheduler *scheduler = argument;
    binder_bind(scheduler->binder, pod, node_name);
}

/* Others may have the volumes then. */
static void volumes_failed(void *argument, struct queued_pod *pod, struct volume_plan *plan,
                           const char *why)
{
    struct scheduler *scheduler = argument;
    for (size_t i = 0; i < plan->count; i++) {
        const struct planned_claim *planned = &plan->list[i];
        if (planned->volume_name != NULL && planned->claim->exists) {
            struct volume_change change = {CHANGE_VOLUME, planned->volume_name,
                                           planned->claim->shape.class_name};
            cluster_volumes_changed(&scheduler->cluster, &change);
        }
    }
    volume_plan_end(scheduler->cache->volumes, plan);
    scheduler_metrics_attempted(scheduler->metrics, pod, "error", timestamp_monotonic());
    try_again(scheduler, pod, why);
}

/* ---- outcomes of preemption, from the evictor ---- */

static void victims_were_told(void *argument, const char *key, const char *uid, bool must_retry)
{
    struct scheduler *scheduler = argument;
    (void)uid;
    lock(scheduler);
    if (must_retry) {
        queue_activate(&scheduler->queue, key);
    }
    unlock_and_wake(scheduler);
}

/* ---- the scheduling thread ---- */

/* Others that are to stand on that node may have no place there after all, and look again. */
static void end_lesser_nominations(struct scheduler *scheduler, const struct node *node,
                                   int32_t priority)
{
    const struct nomination *next;
    for (const struct nomination *nominated = node->nominated; nominated != NULL;
         nominated = next) {
        next = nominated->next;
        if (nominated->class->priority >= priority) {
            continue;
        }
        cleanup(cached_object_release)
        struct cached_object *pending = find_pod(scheduler, nominated->key);
        if (pending != NULL && strcmp(pending->uid, nominated->uid) == 0) {
            binder_clear_nomination(scheduler->binder, pending);
        }
        queue_activate(&scheduler->queue, nominated->key);
        cluster_end_nomination(&scheduler->cluster, nominated->key);
    }
}

/* Those of the victims that are not on their way already are sent. */
static void evict(struct scheduler *scheduler, const struct queued_pod *pod,
                  const struct preemption *preemption)
{
    struct cached_list victims = CACHED_LIST_INIT;
    for (size_t i = 0; i < preemption->count; i++) {
        const struct placed_pod *placed = preemption->victims[i];
        cleanup(cached_object_release)
        struct cached_object *victim = find_pod(scheduler, placed->key);
        if (!placed->is_deleting && victim != NULL && strcmp(victim->uid, placed->uid) == 0) {
            cached_list_add(&victims, victim);
        }
    }
    if (victims.count > 0) {
        struct evictor_preemptor preemptor = {pod->key, pod->uid, pod->class->scheduler_name,
                                              preemption->node->name};
        evictor_evict(scheduler->evictor, &preemptor, victims.items, victims.count);
    }
    cached_list_free(&victims);
}

/* Makes room for the pod if that is possible. The node for which it is nominated then, "" when
 * there is none, NULL when that stays as it is; borrowed. '*why' tells why it is not possible, if
 * so. */
static const char *preempt(struct scheduler *scheduler, const struct queued_pod *pod, char **why)
{
    if (scheduler->cache->node_count == 0 || profile_of(pod->class)->never_preempts ||
        evictor_defer(scheduler->evictor, pod->uid)) {
        return NULL;
    }
    struct disruption_budgets budgets = disruption_budgets_list(scheduler->budgets);
    struct preemption found =
        preemption_find(&scheduler->decider, pod->class, pod->key, pod->uid, &budgets);
    const char *nominated = found.keeps_nomination ? NULL : "";
    if (found.node != NULL) {
        nominated = found.node->name;
        end_lesser_nominations(scheduler, found.node, pod->class->priority);
        evict(scheduler, pod, &found);
        cluster_nominate(&scheduler->cluster, pod->key, pod->uid, pod->class, nominated);
    } else if (!found.keeps_nomination) {
        cluster_end_nomination(&scheduler->cluster, pod->key);
    }
    scheduler_metrics_preempted(scheduler->metrics, found.count);
    *why = steal(found.why);
    preemption_clear(&found);
    disruption_budgets_free(&budgets);
    return nominated;
}

static void nothing_fits(struct scheduler *scheduler, struct queued_pod *pod)
{
    cleanup(cached_object_release)
    struct cached_object *pending = find_pending(scheduler, pod);
    scheduler_metrics_attempted(scheduler->metrics, pod, "unschedulable", timestamp_monotonic());
    if (pending != NULL) {
        cleanup(free_char)
        char *why = NULL;
        const char *nominated = preempt(scheduler, pod, &why);
        /* Before preemption upstream tries to free claims, for pods that have none as well. */
        cleanup(free_char)
        char *message = why == NULL ? duplicate(pod->class->failure)
                                    : format("%s no new claims to deallocate, preemption: %s",
                                             pod->class->failure, why);
        binder_tell_failure(scheduler->binder, pending, "Unschedulable", message, nominated);
    }
    /* What its class was told of the node for which it is nominated does not hold for it. */
    bool is_nominated = nominations_find(scheduler->cache, pod->key) != NULL;
    queue_park(&scheduler->queue, pod, is_nominated ? UINT32_MAX : pod->class->failed_plugins);
}

/* Its claims first, if something has to happen to them. */
static void begin_binding(struct scheduler *scheduler, struct queued_pod *pod,
                          const char *node_name)
{
    struct volume_plan *plan =
        pod->class->volumes != NULL ? volume_plan_take(scheduler->cache->volumes, pod->key) : NULL;
    if (plan != NULL) {
        int64_t patience = profile_of(pod->class)->bind_timeout_s * 1000000000;
        volume_binder_start(scheduler->volume_binder, pod, node_name, plan,
                            timestamp_monotonic() + patience);
    } else {
        binder_bind(scheduler->binder, pod, node_name);
    }
}

/* The lock is held. */
static void schedule(struct scheduler *scheduler, struct queued_pod *pod)
{
    spread_selectors_apply(scheduler->selectors, scheduler->cache, pod->class);
    struct node *node = decider_choose(&scheduler->decider, pod->class, pod->key, pod->uid);
    scheduler_metrics_decided(scheduler->metrics, &scheduler->decider, pod->class->scheduler_name,
                              node != NULL);
    if (node != NULL) {
        cluster_assume(&scheduler->cluster, pod, node->name);
        begin_binding(scheduler, pod, node->name);
    } else if (pod->class->failure != NULL) {
        nothing_fits(scheduler, pod);
    } else {
        queue_back_off(&scheduler->queue, pod); /* A plugin would not reserve. */
    }
}

static void wait_until(struct scheduler *scheduler, int64_t moment)
{
    scheduler_metrics_show_queue(scheduler->metrics, &scheduler->queue);
    scheduler->had_waiting_pods = scheduler->queue.pods.count > 0;
    if (moment == INT64_MAX) {
        pthread_cond_wait(&scheduler->changed, &scheduler->lock);
    } else {
        struct timespec until = {moment / 1000000000, moment % 1000000000};
        pthread_cond_timedwait(&scheduler->changed, &scheduler->lock, &until);
    }
}

static int64_t earlier(int64_t moment, int64_t other)
{
    return moment < other ? moment : other;
}

static void *schedule_all(void *argument)
{
    struct scheduler *scheduler = argument;
    pthread_mutex_lock(&scheduler->lock);
    while (!scheduler->stopping) {
        int64_t now = timestamp_monotonic();
        int64_t next = earlier(queue_wake(&scheduler->queue, now),
                               volume_binder_look(scheduler->volume_binder, now));
        scheduler->waits_for_room = !has_room(scheduler);
        struct queued_pod *pod = scheduler->waits_for_room ? NULL : queue_pop(&scheduler->queue);
        if (pod == NULL) {
            wait_until(scheduler, next);
            continue;
        }
        schedule(scheduler, pod);
        collect_sometimes(scheduler);
        if (atomic_load(&scheduler->callers) > 0) {
            pthread_mutex_unlock(&scheduler->lock);
            while (atomic_load(&scheduler->callers) > 0) {
                sched_yield();
            }
            pthread_mutex_lock(&scheduler->lock);
        }
    }
    pthread_mutex_unlock(&scheduler->lock);
    return NULL;
}

/* ---- life ---- */

static void add_informers(struct scheduler *scheduler)
{
    static const struct informer_options living = {
        .field_selector = "status.phase%21%3DSucceeded%2Cstatus.phase%21%3DFailed"};
    struct informer_factory *informers = scheduler->service->informers;
    scheduler->selectors = spread_selectors_new(informers);
    scheduler->budgets = disruption_budgets_informer(informers);
    scheduler->volumes = volume_informers_new(informers, &scheduler->cluster, lock_for_volumes,
                                              unlock_after_volumes, scheduler);
    scheduler->pods = informer_factory_get(informers, &pods_resource, &pod_object_class, &living);
    informer_add_handler(scheduler->pods, pod_changed, scheduler);
    informer_add_handler(informer_factory_get(informers, &nodes_resource, &node_object_class, NULL),
                         node_changed, scheduler);
    informer_add_handler(
        informer_factory_get(informers, &namespaces_resource, &namespace_object_class, NULL),
        namespace_changed, scheduler);
}

/* Its thread has ended, and its informers. */
static void scheduler_free(struct scheduler *scheduler)
{
    volume_binder_stop(scheduler->volume_binder);
    binder_stop(scheduler->binder);
    evictor_stop(scheduler->evictor);
    lock(scheduler);
    queue_clear(&scheduler->queue);
    pthread_mutex_unlock(&scheduler->lock);
    decider_clear(&scheduler->decider);
    node_cache_free(scheduler->cache);
    spread_selectors_free(scheduler->selectors);
    volume_informers_free(scheduler->volumes);
    scheduler_metrics_free(scheduler->metrics);
    pthread_cond_destroy(&scheduler->changed);
    pthread_mutex_destroy(&scheduler->lock);
    free(scheduler);
}

struct scheduler *scheduler_start(struct service *service,
                                  const struct scheduler_configuration *configuration,
                                  struct error *error)
{
    struct scheduler *scheduler = allocate_struct(struct scheduler);
    pthread_condattr_t attributes;
    scheduler->service = service;
    scheduler->configuration = configuration;
    scheduler->cache = node_cache_new();
    scheduler->cluster = (struct cluster){scheduler->cache, &scheduler->queue};
    scheduler->decider.cache = scheduler->cache;
    scheduler->decider.percentage_of_nodes_to_score = configuration->percentage_of_nodes_to_score;
    scheduler->decider.profiles = configuration->profiles;
    scheduler->decider.profile_count = configuration->profile_count;
    scheduler->queue.initial_backoff = configuration->initial_backoff_s * 1000000000;
    scheduler->queue.max_backoff = configuration->max_backoff_s * 1000000000;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_mutex_init(&scheduler->lock, NULL);
    pthread_cond_init(&scheduler->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    scheduler->binder =
        binder_new(service->client, service->events, binding_succeeded, binding_failed, scheduler);
    scheduler->evictor =
        evictor_new(service->client, service->events, victims_were_told, scheduler);
    scheduler->volume_binder = volume_binder_new(
        service->client, scheduler->cache,
        &(struct volume_binder_hooks){lock_for_volumes, unlock_after_volumes, volumes_are_bound,
                                      volumes_failed, scheduler});
    scheduler->metrics = scheduler_metrics_new(service->metrics);
    add_informers(scheduler);
    informer_factory_start(service->informers);
    if (!informer_factory_wait(service->informers)) {
        informer_factory_stop(service->informers); /* No handler is called any more. */
        scheduler_free(scheduler);
        error_unavailable(error, "stopped before the first lists had come");
        return NULL;
    }
    pthread_create(&scheduler->thread, NULL, schedule_all, scheduler);
    for (size_t i = 0; i < configuration->profile_count; i++) {
        log_info("schedules pods of %s", configuration->profiles[i].scheduler_name);
    }
    return scheduler;
}

void scheduler_stop(struct scheduler *scheduler)
{
    lock(scheduler);
    scheduler->stopping = true;
    unlock_and_wake(scheduler);
    pthread_join(scheduler->thread, NULL);
    scheduler_free(scheduler);
}
