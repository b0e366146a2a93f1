// SPDX-License-Identifier: Apache-2.0
#include "controllers/own_writes.h"

#include <pthread.h>
#include <string.h>

#include "common/alloc.h"
#include "common/map.h"
#include "common/timestamp.h"

static const int64_t patience = (int64_t)10 * 1000000000;

struct write {
    struct write *next;
    char *object_key, *uid;
    int64_t resource_version; /* 0: it was deleted. */
    int64_t deadline;         /* Monotonic. */
};

struct own_writes {
    pthread_mutex_t lock;
    struct map keys; /* The list of struct write by key; never an empty one. */
};

static void write_free(struct write *write)
{
    free(write->object_key);
    free(write->uid);
    free(write);
}

static void list_free(void *list)
{
    for (struct write *write = list, *next; write != NULL; write = next) {
        next = write->next;
        write_free(write);
    }
}

struct own_writes *own_writes_new(void)
{
    struct own_writes *writes = allocate_struct(struct own_writes);
    pthread_mutex_init(&writes->lock, NULL);
    return writes;
}

void own_writes_free(struct own_writes *writes)
{
    map_free(&writes->keys, list_free);
    pthread_mutex_destroy(&writes->lock);
    free(writes);
}

static struct write *take(struct own_writes *writes, const char *key)
{
    pthread_mutex_lock(&writes->lock);
    struct write *list = map_remove(&writes->keys, key);
    pthread_mutex_unlock(&writes->lock);
    return list;
}

static void keep(struct own_writes *writes, const char *key, struct write *list)
{
    if (list != NULL) {
        pthread_mutex_lock(&writes->lock);
        map_set(&writes->keys, key, list);
        pthread_mutex_unlock(&writes->lock);
    }
}

static void note(struct own_writes *writes, const char *key, char *object_key, const char *uid,
                 int64_t resource_version)
{
    struct write *write = allocate_struct(struct write);
    *write = (struct write){.next = take(writes, key),
                            .object_key = object_key,
                            .uid = duplicate(uid),
                            .resource_version = resource_version,
                            .deadline = timestamp_monotonic() + patience};
    keep(writes, key, write);
}

void own_writes_note(struct own_writes *writes, const char *key, const json_t *written)
{
    const json_t *metadata = json_object_get(written, "metadata");
    const char *namespace = json_get_string(metadata, "namespace");
    const char *name = json_get_string(metadata, "name");
    const char *uid = json_get_string(metadata, "uid");
    const char *version = json_get_string(metadata, "resourceVersion");
    if (name == NULL || uid == NULL || version == NULL) {
        return;
    }
    char *object_key = namespace != NULL ? format("%s/%s", namespace, name) : duplicate(name);
    note(writes, key, object_key, uid, strtoll(version, NULL, 10));
}

void own_writes_note_deletion(struct own_writes *writes, const char *key,
                              const struct cached_object *deleted)
{
    note(writes, key, duplicate(deleted->key), deleted->uid, 0);
}

static bool is_seen(const struct write *write, const struct indexer *indexer)
{
    cleanup(cached_object_release)
    struct cached_object *object = indexer_get(indexer, write->object_key);
    bool is_there = object != NULL && strcmp(object->uid, write->uid) == 0;
    return write->resource_version == 0
               ? !is_there || object->is_deleting
               : is_there && object->resource_version >= write->resource_version;
}

bool own_writes_are_seen(struct own_writes *writes, const char *key, const struct indexer *indexer)
{
    struct write *list = take(writes, key);
    int64_t now = timestamp_monotonic();
    for (struct write **at = &list; *at != NULL;) {
        struct write *write = *at;
        if (is_seen(write, indexer) || now > write->deadline) {
            *at = write->next;
            write_free(write);
        } else {
            at = &write->next;
        }
    }
    keep(writes, key, list);
    return list == NULL;
}

void own_writes_forget(struct own_writes *writes, const char *key)
{
    list_free(take(writes, key));
}
