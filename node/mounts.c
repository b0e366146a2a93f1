// SPDX-License-Identifier: Apache-2.0
/* Asks for one thing after the other: a claim, its volume, and the volume's driver; a secret; and
 * so on. */
#include "node/mounts.h"

#include <string.h>

#include "common/alloc.h"
#include "common/client.h"
#include "common/json.h"
#include "common/timestamp.h"
#include "node/pod_worker.h"

enum {
    ask_again_ms = 1000,
    tell_again_ms = 10000, /* A kubelet tries a pod again about as often. */
    patience_ms = 123000,
};

static const struct api_resource claims_resource = {"v1", "persistentvolumeclaims",
                                                    "PersistentVolumeClaim", true};
static const struct api_resource volumes_resource = {"v1", "persistentvolumes", "PersistentVolume",
                                                     false};
static const struct api_resource drivers_resource = {"storage.k8s.io/v1", "csidrivers", "CSIDriver",
                                                     false};
static const struct api_resource secrets_resource = {"v1", "secrets", "Secret", true};
static const struct api_resource config_maps_resource = {"v1", "configmaps", "ConfigMap", true};

/* What a volume of a pod is made of. */
enum source { SOURCE_CLAIM, SOURCE_SECRET, SOURCE_CONFIG_MAP };

static const struct {
    const char *member, *name_member; /* In the pod's volume. */
    const char *called;               /* In messages. */
    const struct api_resource *resource;
} sources[] = {
    [SOURCE_CLAIM] = {"persistentVolumeClaim", "claimName", "PVC", &claims_resource},
    [SOURCE_SECRET] = {"secret", "secretName", "secret", &secrets_resource},
    [SOURCE_CONFIG_MAP] = {"configMap", "name", "configmap", &config_maps_resource},
};

struct mount {
    enum source source;
    char *pod_volume; /* Its name in the pod. */
    char *name;       /* Of the claim, or of the secret. */
    bool is_optional;
    json_t *items;         /* Keys that must be there; NULL: all. */
    char *volume, *driver; /* Of a claim; names, once they are known. */
    char *attached_as;     /* What the node's status calls it, NULL: nothing. */
};

struct mounts {
    struct worker_host *host;
    char *namespace;
    struct mount *list;
    size_t count, at; /* Those before 'at' are known. */
    bool is_asking, is_released, is_dropped;
    struct loop_timer timer, patience;
    struct mounts_listener listener;
    char *told; /* What the listener was told last, and when (timestamp_monotonic()). */
    int64_t told_at;
};

static void ask(void *argument);

static struct loop *loop_of(const struct mounts *mounts)
{
    return client_loop(mounts->host->client);
}

static void mounts_free(struct mounts *mounts)
{
    for (size_t i = 0; i < mounts->count; i++) {
        free(mounts->list[i].pod_volume);
        free(mounts->list[i].name);
        json_decref(mounts->list[i].items);
        free(mounts->list[i].volume);
        free(mounts->list[i].driver);
        free(mounts->list[i].attached_as);
    }
    free(mounts->list);
    free(mounts->namespace);
    free(mounts->told);
    free(mounts);
}

/* ---- what is missing ---- */

/* Consumes the message, which is not repeated at once. */
static void tell(struct mounts *mounts, char *message)
{
    int64_t now = timestamp_monotonic();
    bool is_news = mounts->told == NULL || strcmp(mounts->told, message) != 0;
    if (is_news || now - mounts->told_at >= tell_again_ms * INT64_C(1000000)) {
        mounts->told_at = now;
        mounts->listener.failed(mounts->listener.argument, message);
    }
    free(mounts->told);
    mounts->told = message;
}

static void ask_later(struct mounts *mounts)
{
    loop_timer_set(loop_of(mounts), &mounts->timer, ask_again_ms + random() % ask_again_ms, ask,
                   mounts);
}

/* Of a claim, as what finds out about claims says it. Consumes the reason. */
static void claim_has_failed(struct mounts *mounts, char *reason)
{
    const struct mount *mount = &mounts->list[mounts->at];
    tell(mounts,
         format("Unable to attach or mount volumes: unmounted volumes=[%s], unattached "
                "volumes=[], failed to process volumes=[%s]: error processing PVC %s/%s: "
                "%s",
                mount->pod_volume, mount->pod_volume, mounts->namespace, mount->name, reason));
    free(reason);
    ask_later(mounts);
}

/* Of a secret or a config map. Consumes the reason. */
static void set_up_has_failed(struct mounts *mounts, char *reason)
{
    tell(mounts, format("MountVolume.SetUp failed for volume \"%s\" : %s",
                        mounts->list[mounts->at].pod_volume, reason));
    free(reason);
    ask_later(mounts);
}

static bool is_unattached(const struct mounts *mounts, size_t i)
{
    const char *name = mounts->list[i].attached_as;
    return name != NULL && !mounts->host->is_attached(mounts->host, name);
}

static void wait_patiently(struct mounts *mounts);

static void patience_is_over(void *argument)
{
    struct mounts *mounts = argument;
    cleanup(buffer_free)
    struct buffer unmounted = BUFFER_INIT;
    cleanup(buffer_free)
    struct buffer unattached = BUFFER_INIT;
    if (mounts->is_released || mounts_are_there(mounts)) {
        return;
    }
    for (size_t i = 0; i < mounts->count; i++) {
        const char *name = mounts->list[i].pod_volume;
        if (i >= mounts->at || is_unattached(mounts, i)) {
            buffer_addf(&unmounted, "%s%s", unmounted.length > 0 ? " " : "", name);
        }
        if (is_unattached(mounts, i)) {
            buffer_addf(&unattached, "%s%s", unattached.length > 0 ? " " : "", name);
        }
    }
    tell(mounts, format("Unable to attach or mount volumes: unmounted volumes=[%s], unattached "
                        "volumes=[%s], failed to process volumes=[]: context deadline exceeded",
                        buffer_text(&unmounted), buffer_text(&unattached)));
    wait_patiently(mounts);
}

static void wait_patiently(struct mounts *mounts)
{
    int wanted = mounts->host->mount_patience_ms;
    loop_timer_set(loop_of(mounts), &mounts->patience, wanted > 0 ? wanted : patience_ms,
                   patience_is_over, mounts);
}

/* ---- answers ---- */

static void go_on(struct mounts *mounts)
{
    if (++mounts->at == mounts->count) {
        mounts->listener.changed(mounts->listener.argument);
    } else {
        ask(mounts);
    }
}

static void claim_is_known(struct mounts *mounts, const json_t *claim)
{
    const char *phase = json_path_string(claim, "status", "phase");
    const char *volume = json_path_string(claim, "spec", "volumeName");
    if (volume == NULL || phase == NULL || strcmp(phase, "Bound") != 0) {
        claim_has_failed(mounts, duplicate("PVC is not bound"));
        return;
    }
    mounts->list[mounts->at].volume = duplicate(volume);
    ask(mounts);
}

static bool has_key(const json_t *object, const char *key)
{
    return json_object_get(json_object_get(object, "data"), key) != NULL ||
           json_object_get(json_object_get(object, "binaryData"), key) != NULL;
}

/* A secret or a config map. */
static void keys_are_known(struct mounts *mounts, const json_t *object)
{
    const struct mount *mount = &mounts->list[mounts->at];
    size_t i;
    const json_t *item;
    json_array_foreach (mount->items, i, item) {
        const char *key = json_get_string(item, "key");
        if (key != NULL && !has_key(object, key) && !mount->is_optional) {
            bool is_secret = mount->source == SOURCE_SECRET;
            set_up_has_failed(mounts, format("references non-existent %s key: %s",
                                             is_secret ? "secret" : "config", key));
            return;
        }
    }
    go_on(mounts);
}

static void volume_is_known(struct mounts *mounts, const json_t *volume)
{
    struct mount *mount = &mounts->list[mounts->at];
    const json_t *csi = json_path(volume, "spec", "csi");
    const char *driver = json_get_string(csi, "driver");
    const char *handle = json_get_string(csi, "volumeHandle");
    if (driver == NULL || handle == NULL) {
        go_on(mounts);
        return;
    }
    mount->driver = duplicate(driver);
    mount->attached_as = format("kubernetes.io/csi/%s^%s", driver, handle);
    ask(mounts);
}

static void driver_is_known(struct mounts *mounts, const json_t *driver)
{
    struct mount *mount = &mounts->list[mounts->at];
    if (!json_get_bool(json_object_get(driver, "spec"), "attachRequired", true)) {
        free(steal(mount->attached_as));
    } else if (!mounts->is_released) {
        mounts->host->use_volume(mounts->host, mount->attached_as, 1);
    }
    go_on(mounts);
}

static void is_known(struct mounts *mounts, const json_t *object)
{
    const struct mount *mount = &mounts->list[mounts->at];
    if (mount->source != SOURCE_CLAIM) {
        keys_are_known(mounts, object);
    } else if (mount->volume != NULL) {
        volume_is_known(mounts, object);
    } else {
        claim_is_known(mounts, object);
    }
}

static void is_missing(struct mounts *mounts, const struct client_response *response)
{
    const struct mount *mount = &mounts->list[mounts->at];
    if (response->code != 404) { /* The API server has its troubles. */
        ask_later(mounts);
    } else if (mount->source != SOURCE_CLAIM && mount->is_optional) {
        go_on(mounts);
    } else if (mount->source != SOURCE_CLAIM) {
        set_up_has_failed(
            mounts, format("%s \"%s\" not found", sources[mount->source].called, mount->name));
    } else {
        claim_has_failed(mounts,
                         format("failed to fetch %s from API server: %s",
                                mount->volume != NULL ? "PV" : "PVC", response->error.message));
    }
}

static void was_answered(void *argument, struct client_response *response)
{
    struct mounts *mounts = argument;
    mounts->is_asking = false;
    if (mounts->is_dropped) {
        mounts_free(mounts);
        return;
    }
    const struct mount *mount = &mounts->list[mounts->at];
    cleanup(json_release)
    json_t *object = error_is_set(&response->error)
                         ? NULL
                         : json_parse(buffer_text(&response->body), response->body.length, NULL);
    if (mount->driver != NULL && (object != NULL || response->code == 404)) {
        driver_is_known(mounts, object);
    } else if (object == NULL) {
        is_missing(mounts, response);
    } else {
        is_known(mounts, object);
    }
}

static void ask(void *argument)
{
    struct mounts *mounts = argument;
    const struct mount *mount = &mounts->list[mounts->at];
    char *path = mount->driver != NULL   ? client_path(&drivers_resource, NULL, mount->driver, NULL)
                 : mount->volume != NULL ? client_path(&volumes_resource, NULL, mount->volume, NULL)
                                         : client_path(sources[mount->source].resource,
                                                       mounts->namespace, mount->name, NULL);
    mounts->is_asking = true;
    worker_host_send(mounts->host, (struct client_request){.method = "GET", .path = path},
                     was_answered, mounts);
}

/* ---- the interface ---- */

/* What the volume needs; false when that is nothing. */
static bool read_volume(const json_t *pod, const json_t *volume, struct mount *mount)
{
    const char *pod_name = json_path_string(pod, "metadata", "name");
    const char *volume_name = json_get_string(volume, "name");
    *mount = (struct mount){0};
    for (size_t i = 0; i < array_length(sources) && mount->name == NULL; i++) {
        const json_t *source = json_object_get(volume, sources[i].member);
        const char *name = json_get_string(source, sources[i].name_member);
        if (name != NULL) {
            *mount = (struct mount){.source = (enum source)i,
                                    .name = duplicate(name),
                                    .is_optional = json_get_bool(source, "optional", false),
                                    .items = json_incref(json_object_get(source, "items"))};
        }
    }
    if (json_object_get(volume, "ephemeral") != NULL && volume_name != NULL && pod_name != NULL) {
        mount->name = format("%s-%s", pod_name, volume_name);
    }
    mount->pod_volume =
        mount->name != NULL ? duplicate(volume_name != NULL ? volume_name : "") : NULL;
    return mount->name != NULL;
}

struct mounts *mounts_new(struct worker_host *host, const json_t *pod,
                          struct mounts_listener listener)
{
    struct mount *found = NULL, next;
    size_t i, count = 0, capacity = 0;
    const json_t *volume;
    json_array_foreach (json_path(pod, "spec", "volumes"), i, volume) {
        if (read_volume(pod, volume, &next)) {
            found = grow(found, count, &capacity, sizeof *found);
            found[count++] = next;
        }
    }
    if (count == 0) {
        return NULL;
    }
    struct mounts *mounts = allocate_struct(struct mounts);
    *mounts =
        (struct mounts){.host = host,
                        .namespace = duplicate(json_path_string(pod, "metadata", "namespace")),
                        .list = found,
                        .count = count,
                        .listener = listener};
    wait_patiently(mounts);
    ask(mounts);
    return mounts;
}

bool mounts_are_there(const struct mounts *mounts)
{
    if (mounts == NULL) {
        return true;
    }
    for (size_t i = 0; i < mounts->count; i++) {
        if (is_unattached(mounts, i)) {
            return false;
        }
    }
    return mounts->at == mounts->count;
}

void mounts_release(struct mounts *mounts)
{
    if (mounts == NULL || mounts->is_released) {
        return;
    }
    mounts->is_released = true;
    loop_timer_cancel(loop_of(mounts), &mounts->patience);
    for (size_t i = 0; i < mounts->at; i++) {
        if (mounts->list[i].attached_as != NULL) {
            mounts->host->use_volume(mounts->host, mounts->list[i].attached_as, -1);
        }
    }
}

void mounts_drop(struct mounts *mounts)
{
    if (mounts == NULL) {
        return;
    }
    mounts_release(mounts);
    loop_timer_cancel(loop_of(mounts), &mounts->timer);
    loop_timer_cancel(loop_of(mounts), &mounts->patience);
    mounts->is_dropped = true;
    if (!mounts->is_asking) {
        mounts_free(mounts);
    }
}
