// SPDX-License-Identifier: Apache-2.0
#include "scheduler/volume_binder.h"

#include <pthread.h>
#include <string.h>

#include "common/alloc.h"
#include "common/json.h"
#include "common/log.h"
#include "common/timestamp.h"
#include "scheduler/drain.h"

#define SELECTED_NODE "volume.kubernetes.io/selected-node"
#define BOUND_BY_US "pv.kubernetes.io/bound-by-controller"

static const struct api_resource claims_resource = {"v1", "persistentvolumeclaims",
                                                    "PersistentVolumeClaim", true};
static const struct api_resource volumes_resource = {"v1", "persistentvolumes", "PersistentVolume",
                                                     false};

/* A pod whose claims are being bound. */
struct waiting {
    struct volume_binder *binder;
    struct queued_pod *pod;
    struct volume_plan *plan;
    char *node_name;
    int64_t until;
    size_t next_write; /* Of the plan; those before are written. */
    int64_t *versions; /* Of what was written: older objects don't count. */
    bool is_writing;   /* A request is under way. */
    bool is_forgotten; /* It is to go as soon as that is answered. */
    struct waiting *next, *previous;
};

struct volume_binder {
    struct client *client;
    struct node_cache *cache;
    struct volume_binder_hooks hooks;
    struct waiting *first;
    bool is_noted;   /* Something is different. */
    int64_t soonest; /* When the first one's time is up. */
    bool stopping;

    pthread_mutex_t lock; /* Guards what follows; taken after the scheduler's. */
    pthread_cond_t changed;
    size_t under_way;
};

static void write_next(struct waiting *waiting);

/* ---- a pod's end here ---- */

static void unlist(struct waiting *waiting)
{
    *(waiting->previous != NULL ? &waiting->previous->next : &waiting->binder->first) =
        waiting->next;
    if (waiting->next != NULL) {
        waiting->next->previous = waiting->previous;
    }
}

static void waiting_free(struct waiting *waiting)
{
    free(waiting->node_name);
    free(waiting->versions);
    free(waiting);
}

/* Consumes the message, which is NULL when the pod is gone. */
static void fail(struct waiting *waiting, char *message)
{
    const struct volume_binder_hooks *hooks = &waiting->binder->hooks;
    cleanup(free_char)
    char *why =
        message != NULL ? format("running PreBind plugin \"VolumeBinding\": %s", message) : NULL;
    if (why != NULL) {
        log_debug("%s to %s: %s", waiting->pod->key, waiting->node_name, why);
    }
    free(message);
    unlist(waiting);
    hooks->failed(hooks->argument, waiting->pod, waiting->plan, why);
    waiting_free(waiting);
}

static void succeed(struct waiting *waiting)
{
    const struct volume_binder_hooks *hooks = &waiting->binder->hooks;
    unlist(waiting);
    volume_plan_end(waiting->binder->cache->volumes, waiting->plan);
    hooks->bound(hooks->argument, waiting->pod, waiting->node_name);
    waiting_free(waiting);
}

/* ---- how far it is ---- */

static char *check_reach(const struct waiting *waiting, const struct volume *volume,
                         const struct node *node)
{
    return volume_reaches(volume, node)
               ? NULL
               : format("pv \"%s\" node affinity doesn't match node \"%s\": no matching "
                        "NodeSelectorTerms",
                        volume->name, waiting->node_name);
}

/* Both tell whether the claim is bound by now, or what is wrong ('*why', the caller's). */
static bool check_chosen(const struct waiting *waiting, size_t index, const struct node *node,
                         char **why)
{
    const struct planned_claim *planned = &waiting->plan->list[index];
    const struct volume *volume =
        map_get(&waiting->binder->cache->volumes->volumes, planned->volume_name);
    if (volume == NULL) {
        *why = format("failed to check binding: persistentvolume \"%s\" not found",
                      planned->volume_name);
        return false;
    }
    if (volume->version < waiting->versions[index]) {
        return false;
    }
    *why = check_reach(waiting, volume, node);
    if (*why == NULL && volume->claim_uid[0] == '\0') {
        *why = format("ClaimRef got reset for pv \"%s\"", volume->name);
    }
    return *why == NULL && claim_is_bound(planned->claim);
}

static bool check_made(const struct waiting *waiting, size_t index, const struct node *node,
                       char **why)
{
    const struct claim *claim = waiting->plan->list[index].claim;
    if (claim->version < waiting->versions[index]) {
        return false;
    }
    if (strcmp(claim->selected_node, waiting->node_name) != 0) {
        *why = format("provisioning failed for PVC \"%s\"", claim->name);
        return false;
    }
    const struct volume *volume =
        map_get(&waiting->binder->cache->volumes->volumes, claim->volume_name);
    *why = volume != NULL ? check_reach(waiting, volume, node) : NULL;
    return *why == NULL && volume != NULL && claim_is_bound(claim);
}

static bool check(const struct waiting *waiting, char **why)
{
    const struct node *node = map_get(&waiting->binder->cache->nodes_by_name, waiting->node_name);
    bool all = true;
    if (node == NULL || !node->exists) {
        *why = format("failed to get node \"%s\": node \"%s\" not found", waiting->node_name,
                      waiting->node_name);
        return false;
    }
    for (size_t i = 0; i < waiting->plan->count && *why == NULL; i++) {
        const struct planned_claim *planned = &waiting->plan->list[i];
        if (!planned->claim->exists) {
            *why =
                format("failed to check provisioning pvc: persistentvolumeclaim \"%s\" not found",
                       planned->claim->name);
        } else {
            bool is_bound = planned->volume_name != NULL ? check_chosen(waiting, i, node, why)
                                                         : check_made(waiting, i, node, why);
            all = all && is_bound;
        }
    }
    return all && *why == NULL;
}

static void look_at(struct waiting *waiting, int64_t now)
{
    char *why = NULL;
    bool is_done = check(waiting, &why);
    if (is_done) {
        succeed(waiting);
    } else if (why != NULL) {
        fail(waiting, format("binding volumes: %s", why));
        free(why);
    } else if (now >= waiting->until) {
        fail(waiting, duplicate("binding volumes: context deadline exceeded"));
    }
}

/* ---- writing ---- */

static void was_written(void *argument, struct client_response *response)
{
    struct waiting *waiting = argument;
    struct volume_binder *binder = waiting->binder;
    struct json_span span;
    json_scan(buffer_text(&response->body), response->body.length,
              (const char *[]){"metadata.resourceVersion"}, 1, &span);
    cleanup(free_char)
    char *version = json_span_value(span);
    binder->hooks.lock(binder->hooks.argument);
    waiting->is_writing = false;
    if (waiting->is_forgotten || binder->stopping) {
        fail(waiting, NULL);
    } else if (error_is_set(&response->error)) {
        fail(waiting, duplicate(response->error.message));
    } else {
        waiting->versions[waiting->next_write++] = version != NULL ? strtoll(version, NULL, 10) : 0;
        write_next(waiting);
    }
    binder->hooks.unlock(binder->hooks.argument);
    pthread_mutex_lock(&binder->lock);
    binder->under_way--;
    pthread_cond_signal(&binder->changed);
    pthread_mutex_unlock(&binder->lock);
}

static json_t *with_version(int64_t version, const char *annotation, const char *value)
{
    cleanup(free_char)
    char *text = format("%lld", (long long)version);
    json_t *metadata = json_pack("{s:s}", "resourceVersion", text);
    if (annotation != NULL) {
        json_object_set_new(metadata, "annotations", json_pack("{s:s}", annotation, value));
    }
    return json_pack("{s:o}", "metadata", metadata);
}

static char *namespace_of(const struct claim *claim)
{
    return duplicate_bytes(claim->key, (size_t)(claim->name - claim->key - 1));
}

static struct client_request volume_request(const struct volume *volume, const struct claim *claim)
{
    cleanup(free_char)
    char *namespace = namespace_of(claim);
    cleanup(free_char)
    char *version = format("%lld", (long long)claim->version);
    cleanup(json_release)
    json_t *patch =
        with_version(volume->version, volume->claim_key[0] == '\0' ? BOUND_BY_US : NULL, "yes");
    json_t *reference = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "kind", "PersistentVolumeClaim",
                                  "apiVersion", "v1", "namespace", namespace, "name", claim->name,
                                  "uid", claim->uid, "resourceVersion", version);
    json_object_set_new(patch, "spec", json_pack("{s:o}", "claimRef", reference));
    return client_patch_request(&volumes_resource, NULL, volume->name, NULL, client_merge_patch,
                                patch);
}

static struct client_request claim_request(const struct claim *claim, const char *node_name)
{
    cleanup(free_char)
    char *namespace = namespace_of(claim);
    cleanup(json_release)
    json_t *patch = with_version(claim->version, SELECTED_NODE, node_name);
    return client_patch_request(&claims_resource, namespace, claim->name, NULL, client_merge_patch,
                                patch);
}

static void send_request(struct waiting *waiting, struct client_request request)
{
    struct volume_binder *binder = waiting->binder;
    waiting->is_writing = true;
    pthread_mutex_lock(&binder->lock);
    binder->under_way++;
    pthread_mutex_unlock(&binder->lock);
    client_send(binder->client, request, was_written, waiting);
}

/* False when nothing needs to be written for it. */
static bool write_planned(struct waiting *waiting, const struct planned_claim *planned)
{
    const struct claim *claim = planned->claim;
    if (planned->volume_name == NULL) {
        if (!claim->exists || strcmp(claim->selected_node, waiting->node_name) == 0) {
            return false;
        }
        send_request(waiting, claim_request(claim, waiting->node_name));
        return true;
    }
    const struct volume *volume =
        map_get(&waiting->binder->cache->volumes->volumes, planned->volume_name);
    if (!claim->exists || volume == NULL ||
        (strcmp(volume->claim_key, claim->key) == 0 &&
         strcmp(volume->claim_uid, claim->uid) == 0)) {
        return false;
    }
    send_request(waiting, volume_request(volume, claim));
    return true;
}

static void write_next(struct waiting *waiting)
{
    while (waiting->next_write < waiting->plan->count) {
        if (write_planned(waiting, &waiting->plan->list[waiting->next_write])) {
            return;
        }
        waiting->next_write++;
    }
    look_at(waiting, timestamp_monotonic());
}

/* ---- the interface ---- */

void volume_binder_start(struct volume_binder *binder, struct queued_pod *pod,
                         const char *node_name, struct volume_plan *plan, int64_t until)
{
    struct waiting *waiting = allocate_struct(struct waiting);
    *waiting = (struct waiting){.binder = binder,
                                .pod = pod,
                                .plan = plan,
                                .node_name = duplicate(node_name),
                                .until = until,
                                .versions = allocate_zero(plan->count, sizeof(int64_t)),
                                .next = binder->first};
    if (waiting->next != NULL) {
        waiting->next->previous = waiting;
    }
    binder->first = waiting;
    binder->soonest = until < binder->soonest ? until : binder->soonest;
    write_next(waiting);
}

void volume_binder_forget(struct volume_binder *binder, const char *key, const char *uid)
{
    struct waiting *next;
    for (struct waiting *waiting = binder->first; waiting != NULL; waiting = next) {
        next = waiting->next;
        if (strcmp(waiting->pod->key, key) != 0 || strcmp(waiting->pod->uid, uid) != 0) {
            continue;
        }
        if (waiting->is_writing) {
            waiting->is_forgotten = true;
        } else {
            fail(waiting, NULL);
        }
    }
}

void volume_binder_note(struct volume_binder *binder)
{
    binder->is_noted = true;
}

int64_t volume_binder_look(struct volume_binder *binder, int64_t now)
{
    struct waiting *next;
    if (!binder->is_noted && now < binder->soonest) {
        return binder->soonest;
    }
    binder->is_noted = false;
    binder->soonest = INT64_MAX;
    for (struct waiting *waiting = binder->first; waiting != NULL; waiting = next) {
        next = waiting->next;
        if (waiting->until > now && waiting->until < binder->soonest) {
            binder->soonest = waiting->until;
        }
        if (!waiting->is_writing) {
            look_at(waiting, now);
        }
    }
    return binder->soonest;
}

struct volume_binder *volume_binder_new(struct client *client, struct node_cache *cache,
                                        const struct volume_binder_hooks *hooks)
{
    struct volume_binder *binder = allocate_struct(struct volume_binder);
    binder->client = client;
    binder->cache = cache;
    binder->hooks = *hooks;
    binder->soonest = INT64_MAX;
    pthread_mutex_init(&binder->lock, NULL);
    pthread_cond_init(&binder->changed, NULL);
    return binder;
}

void volume_binder_stop(struct volume_binder *binder)
{
    binder->hooks.lock(binder->hooks.argument);
    binder->stopping = true;
    struct waiting *next;
    for (struct waiting *waiting = binder->first; waiting != NULL; waiting = next) {
        next = waiting->next;
        if (!waiting->is_writing) {
            fail(waiting, NULL);
        }
    }
    binder->hooks.unlock(binder->hooks.argument);
    drain(binder->client, &binder->lock, &binder->changed, &binder->under_way);
    pthread_cond_destroy(&binder->changed);
    pthread_mutex_destroy(&binder->lock);
    free(binder);
}
