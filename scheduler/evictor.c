// SPDX-License-Identifier: Apache-2.0
#include "scheduler/evictor.h"

#include <pthread.h>
#include <string.h>

#include "common/alloc.h"
#include "common/json.h"
#include "common/log.h"
#include "common/map.h"
#include "common/timestamp.h"
#include "scheduler/drain.h"

static const struct api_resource pods_resource = {"v1", "pods", "Pod", true};

struct evictor {
    struct client *client;
    struct event_recorder *events;
    evictor_finished finished;
    void *argument;

    pthread_mutex_t lock; /* Guards what follows, and what of a preemptor may change. */
    pthread_cond_t changed;
    struct map preemptors; /* struct preemptor by uid, while victims are left. */
    size_t under_way;      /* Preemptors whose end has not been told. */
};

/* The pod for which others go. */
struct preemptor {
    struct evictor *evictor;
    char *key, *uid, *scheduler_name, *node_name;
    size_t left; /* Victims not told yet. */
    bool must_retry;
};

struct victim {
    struct preemptor *preemptor;
    struct cached_object *pod;
};

/* ---- outcomes ---- */

static void preemptor_free(struct preemptor *preemptor)
{
    free(preemptor->key);
    free(preemptor->uid);
    free(preemptor->scheduler_name);
    free(preemptor->node_name);
    free(preemptor);
}

static void end(struct victim *victim, bool ok)
{
    struct preemptor *preemptor = victim->preemptor;
    struct evictor *evictor = preemptor->evictor;
    cached_object_unref(victim->pod);
    free(victim);
    pthread_mutex_lock(&evictor->lock);
    preemptor->must_retry = preemptor->must_retry || !ok;
    bool is_last = --preemptor->left == 0;
    if (is_last) {
        map_remove(&evictor->preemptors, preemptor->uid);
    }
    pthread_mutex_unlock(&evictor->lock);
    if (!is_last) {
        return;
    }
    evictor->finished(evictor->argument, preemptor->key, preemptor->uid, preemptor->must_retry);
    preemptor_free(preemptor);
    pthread_mutex_lock(&evictor->lock);
    evictor->under_way--;
    pthread_cond_signal(&evictor->changed);
    pthread_mutex_unlock(&evictor->lock);
}

/* Whether the request took effect; ends the victim's story if not. One that is gone, also if a
 * namesake took its place, needs no more. */
static bool succeeded(struct victim *victim, const struct client_response *response)
{
    if (!error_is_set(&response->error)) {
        return true;
    }
    bool is_gone = response->code == 404 || response->code == 409;
    if (!is_gone) {
        log_warning("preempting %s: %s", victim->pod->key, response->error.message);
    }
    end(victim, is_gone);
    return false;
}

/* ---- the steps ---- */

static void was_deleted(void *argument, struct client_response *response)
{
    struct victim *victim = argument;
    struct preemptor *preemptor = victim->preemptor;
    if (succeeded(victim, response)) {
        struct event_target target = event_target_of_cached(&pods_resource, victim->pod);
        cleanup(free_char)
        char *namespace = duplicate(preemptor->key);
        char *slash = strchr(namespace, '/');
        *slash = '\0';
        struct event_target related = {.api_version = "v1",
                                       .kind = "Pod",
                                       .uid = preemptor->uid,
                                       .namespace = namespace,
                                       .name = slash + 1};
        target.related = &related;
        event_record(preemptor->evictor->events, &target, "Normal", "Preempted",
                     "Preempted by pod %s on node %s", preemptor->uid, preemptor->node_name);
        end(victim, true);
    }
}

static void was_told(void *argument, struct client_response *response)
{
    struct victim *victim = argument;
    const struct cached_object *pod = victim->pod;
    if (succeeded(victim, response)) {
        client_send(victim->preemptor->evictor->client,
                    client_delete_request(&pods_resource, pod->namespace, pod->name, pod->uid),
                    was_deleted, victim);
    }
}

static void tell(struct victim *victim)
{
    const struct cached_object *pod = victim->pod;
    struct evictor *evictor = victim->preemptor->evictor;
    char now[TIMESTAMP_SIZE];
    timestamp_format(timestamp_now(), now);
    cleanup(free_char)
    char *message = format("%s: preempting to accommodate a higher priority pod",
                           victim->preemptor->scheduler_name);
    json_t *condition =
        json_pack("{s:s, s:s, s:s, s:s, s:s}", "type", "DisruptionTarget", "status", "True",
                  "reason", "PreemptionByScheduler", "message", message, "lastTransitionTime", now);
    if (pod->generation > 0) {
        json_object_set_new(condition, "observedGeneration", json_integer(pod->generation));
    }
    cleanup(json_release)
    json_t *patch = json_pack("{s:{s:s}, s:{s:[o]}}", "metadata", "uid", pod->uid, "status",
                              "conditions", condition);
    client_send(evictor->client,
                client_patch_request(&pods_resource, pod->namespace, pod->name, "status",
                                     client_strategic_merge_patch, patch),
                was_told, victim);
}

void evictor_evict(struct evictor *evictor, const struct evictor_preemptor *from,
                   struct cached_object *const *victims, size_t count)
{
    struct preemptor *preemptor = allocate_struct(struct preemptor);
    *preemptor = (struct preemptor){.evictor = evictor,
                                    .key = duplicate(from->key),
                                    .uid = duplicate(from->uid),
                                    .scheduler_name = duplicate(from->scheduler_name),
                                    .node_name = duplicate(from->node_name),
                                    .left = count};
    pthread_mutex_lock(&evictor->lock);
    map_set(&evictor->preemptors, preemptor->uid, preemptor);
    evictor->under_way++;
    pthread_mutex_unlock(&evictor->lock);
    for (size_t i = 0; i < count; i++) {
        struct victim *victim = allocate_struct(struct victim);
        *victim = (struct victim){preemptor, cached_object_ref(victims[i])};
        tell(victim);
    }
}

bool evictor_defer(struct evictor *evictor, const char *uid)
{
    pthread_mutex_lock(&evictor->lock);
    struct preemptor *preemptor = map_get(&evictor->preemptors, uid);
    if (preemptor != NULL) {
        preemptor->must_retry = true;
    }
    pthread_mutex_unlock(&evictor->lock);
    return preemptor != NULL;
}

/* ---- life ---- */

struct evictor *evictor_new(struct client *client, struct event_recorder *events,
                            evictor_finished finished, void *argument)
{
    struct evictor *evictor = allocate_struct(struct evictor);
    evictor->client = client;
    evictor->events = events;
    evictor->finished = finished;
    evictor->argument = argument;
    pthread_mutex_init(&evictor->lock, NULL);
    pthread_cond_init(&evictor->changed, NULL);
    return evictor;
}

void evictor_stop(struct evictor *evictor)
{
    drain(evictor->client, &evictor->lock, &evictor->changed, &evictor->under_way);
    map_free(&evictor->preemptors, NULL);
    pthread_cond_destroy(&evictor->changed);
    pthread_mutex_destroy(&evictor->lock);
    free(evictor);
}
