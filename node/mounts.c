// SPDX-License-Identifier: Apache-2.0
/* Asks for one thing after the other: a claim, its volume, and the volume's driver. */
#include "node/mounts.h"

#include <string.h>

#include "common/alloc.h"
#include "common/client.h"
#include "common/json.h"
#include "node/pod_worker.h"

enum { ask_again_ms = 1000 };

static const struct api_resource claims_resource = {"v1", "persistentvolumeclaims",
                                                    "PersistentVolumeClaim", true};
static const struct api_resource volumes_resource = {"v1", "persistentvolumes", "PersistentVolume",
                                                     false};
static const struct api_resource drivers_resource = {"storage.k8s.io/v1", "csidrivers", "CSIDriver",
                                                     false};

struct mount {
    char *claim, *volume, *driver; /* Names; the latter two once they are known. */
    char *attached_as;             /* What the node's status calls it, NULL: nothing. */
};

struct mounts {
    struct worker_host *host;
    char *namespace;
    struct mount *list;
    size_t count, at; /* Those before 'at' are known. */
    bool is_asking, is_released, is_dropped;
    struct loop_timer timer;
    void (*changed)(void *argument);
    void *argument;
};

static void ask(void *argument);

static void mounts_free(struct mounts *mounts)
{
    for (size_t i = 0; i < mounts->count; i++) {
        free(mounts->list[i].claim);
        free(mounts->list[i].volume);
        free(mounts->list[i].driver);
        free(mounts->list[i].attached_as);
    }
    free(mounts->list);
    free(mounts->namespace);
    free(mounts);
}

/* ---- answers ---- */

static void go_on(struct mounts *mounts)
{
    if (++mounts->at == mounts->count) {
        mounts->changed(mounts->argument);
    } else {
        ask(mounts);
    }
}

static void ask_later(struct mounts *mounts)
{
    loop_timer_set(client_loop(mounts->host->client), &mounts->timer,
                   ask_again_ms + random() % ask_again_ms, ask, mounts);
}

static void claim_is_known(struct mounts *mounts, const json_t *claim)
{
    const char *phase = json_path_string(claim, "status", "phase");
    const char *volume = json_path_string(claim, "spec", "volumeName");
    if (volume == NULL || phase == NULL || strcmp(phase, "Bound") != 0) {
        ask_later(mounts);
        return;
    }
    mounts->list[mounts->at].volume = duplicate(volume);
    ask(mounts);
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
        ask_later(mounts);
    } else if (mount->volume != NULL) {
        volume_is_known(mounts, object);
    } else {
        claim_is_known(mounts, object);
    }
}

static void ask(void *argument)
{
    struct mounts *mounts = argument;
    const struct mount *mount = &mounts->list[mounts->at];
    char *path = mount->driver != NULL ? client_path(&drivers_resource, NULL, mount->driver, NULL)
                 : mount->volume != NULL
                     ? client_path(&volumes_resource, NULL, mount->volume, NULL)
                     : client_path(&claims_resource, mounts->namespace, mount->claim, NULL);
    mounts->is_asking = true;
    worker_host_send(mounts->host, (struct client_request){.method = "GET", .path = path},
                     was_answered, mounts);
}

/* ---- the interface ---- */

/* The claim's name, the caller's; NULL when it is another kind of volume. */
static char *claim_of(const json_t *pod, const json_t *volume)
{
    const char *claim = json_path_string(volume, "persistentVolumeClaim", "claimName");
    const char *pod_name = json_path_string(pod, "metadata", "name");
    const char *name = json_get_string(volume, "name");
    if (claim != NULL) {
        return duplicate(claim);
    }
    return json_object_get(volume, "ephemeral") != NULL && name != NULL && pod_name != NULL
               ? format("%s-%s", pod_name, name)
               : NULL;
}

struct mounts *mounts_new(struct worker_host *host, const json_t *pod,
                          void (*changed)(void *argument), void *argument)
{
    const json_t *list = json_path(pod, "spec", "volumes");
    struct mount *found = NULL;
    size_t i, count = 0, capacity = 0;
    const json_t *volume;
    json_array_foreach (list, i, volume) {
        char *claim = claim_of(pod, volume);
        if (claim != NULL) {
            found = grow(found, count, &capacity, sizeof *found);
            found[count++] = (struct mount){.claim = claim};
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
                        .changed = changed,
                        .argument = argument};
    ask(mounts);
    return mounts;
}

bool mounts_are_there(const struct mounts *mounts)
{
    if (mounts == NULL) {
        return true;
    }
    for (size_t i = 0; i < mounts->count; i++) {
        const char *name = mounts->list[i].attached_as;
        if (name != NULL && !mounts->host->is_attached(mounts->host, name)) {
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
    loop_timer_cancel(client_loop(mounts->host->client), &mounts->timer);
    mounts->is_dropped = true;
    if (!mounts->is_asking) {
        mounts_free(mounts);
    }
}
