// SPDX-License-Identifier: Apache-2.0
#include "apiserver/storage/table.h"

#include <string.h>

#include "common/alloc.h"

static void chunk_unref(struct chunk *chunk)
{
    if (atomic_fetch_sub_explicit(&chunk->references, 1, memory_order_acq_rel) != 1) {
        return;
    }
    for (uint32_t i = 0; i < chunk->count; i++) {
        object_unref(chunk->objects[i]);
    }
    free(chunk);
}

static struct chunk *chunk_new(void)
{
    struct chunk *chunk = allocate(sizeof *chunk);
    atomic_init(&chunk->references, 1);
    chunk->count = 0;
    return chunk;
}

/* The chunk at this place, fit to be changed: a copy if a snapshot shares it. */
static struct chunk *own_chunk(struct chunks *chunks, size_t at)
{
    struct chunk *chunk = chunks->list[at];
    if (atomic_load_explicit(&chunk->references, memory_order_acquire) == 1) {
        return chunk;
    }
    struct chunk *copy = chunk_new();
    copy->count = chunk->count;
    for (uint32_t i = 0; i < chunk->count; i++) {
        copy->objects[i] = object_ref(chunk->objects[i]);
    }
    chunks->list[at] = copy;
    chunk_unref(chunk);
    return copy;
}

/* Number of objects in a chunk with a key below 'key'. */
static uint32_t position_in(const struct chunk *chunk, const char *key)
{
    uint32_t low = 0, high = chunk->count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (strcmp(chunk->objects[middle]->key, key) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* The chunk in which 'key' is or would be: the last that begins at or below it. */
static size_t chunk_of(const struct chunks *chunks, const char *key)
{
    size_t low = 0, high = chunks->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (strcmp(chunks->list[middle]->objects[0]->key, key) <= 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low > 0 ? low - 1 : 0;
}

struct object *chunks_get(const struct chunks *chunks, const char *key)
{
    if (chunks->count == 0) {
        return NULL;
    }
    const struct chunk *chunk = chunks->list[chunk_of(chunks, key)];
    uint32_t at = position_in(chunk, key);
    bool found = at < chunk->count && strcmp(chunk->objects[at]->key, key) == 0;
    return found ? chunk->objects[at] : NULL;
}

static void insert_chunk(struct chunks *chunks, size_t at, struct chunk *chunk)
{
    chunks->list = grow(chunks->list, chunks->count, &chunks->capacity, sizeof *chunks->list);
    memmove(chunks->list + at + 1, chunks->list + at, (chunks->count - at) * sizeof *chunks->list);
    chunks->list[at] = chunk;
    chunks->count++;
}

/* Splits a full chunk. Keys that come in order leave full chunks behind: only the last object moves
 * when the new key goes to the very end. */
static void split_chunk(struct chunks *chunks, size_t at, bool append)
{
    struct chunk *chunk = own_chunk(chunks, at);
    struct chunk *upper = chunk_new();
    uint32_t keep = append ? chunk_max - 1 : chunk_max / 2;
    upper->count = chunk->count - keep;
    memcpy(upper->objects, chunk->objects + keep, upper->count * sizeof *upper->objects);
    chunk->count = keep;
    insert_chunk(chunks, at + 1, upper);
}

struct object *chunks_put(struct chunks *chunks, struct object *object)
{
    if (chunks->count == 0) {
        insert_chunk(chunks, 0, chunk_new());
    }
    size_t place = chunks->objects > 0 ? chunk_of(chunks, object->key) : 0;
    uint32_t at = position_in(chunks->list[place], object->key);
    struct chunk *chunk = own_chunk(chunks, place);
    if (at < chunk->count && strcmp(chunk->objects[at]->key, object->key) == 0) {
        struct object *old = chunk->objects[at];
        chunk->objects[at] = object;
        return old;
    }
    if (chunk->count == chunk_max) {
        split_chunk(chunks, place, at == chunk_max && place + 1 == chunks->count);
        return chunks_put(chunks, object);
    }
    memmove(chunk->objects + at + 1, chunk->objects + at,
            (chunk->count - at) * sizeof *chunk->objects);
    chunk->objects[at] = object;
    chunk->count++;
    chunks->objects++;
    return NULL;
}

struct object *chunks_remove(struct chunks *chunks, const char *key)
{
    if (chunks_get(chunks, key) == NULL) {
        return NULL;
    }
    size_t place = chunk_of(chunks, key);
    struct chunk *chunk = own_chunk(chunks, place);
    uint32_t at = position_in(chunk, key);
    struct object *object = chunk->objects[at];
    chunk->count--;
    memmove(chunk->objects + at, chunk->objects + at + 1,
            (chunk->count - at) * sizeof *chunk->objects);
    chunks->objects--;
    if (chunk->count == 0) {
        chunk_unref(chunk);
        chunks->count--;
        memmove(chunks->list + place, chunks->list + place + 1,
                (chunks->count - place) * sizeof *chunks->list);
    }
    return object;
}

struct snapshot *chunks_snapshot(const struct chunks *chunks, const char *prefix)
{
    struct snapshot *snapshot = allocate_struct(struct snapshot);
    size_t prefix_length = strlen(prefix), capacity = 0;
    if (chunks->objects == 0) {
        return snapshot;
    }
    if (prefix_length == 0) {
        snapshot->objects = allocate_zero(chunks->objects, sizeof *snapshot->objects);
        capacity = chunks->objects;
    }
    snapshot->chunks = allocate_zero(chunks->count, sizeof *snapshot->chunks);
    for (size_t i = chunks->count ? chunk_of(chunks, prefix) : 0; i < chunks->count; i++) {
        struct chunk *chunk = chunks->list[i];
        size_t before = snapshot->count;
        bool past = false;
        for (uint32_t at = position_in(chunk, prefix); at < chunk->count && !past; at++) {
            past = strncmp(chunk->objects[at]->key, prefix, prefix_length) != 0;
            if (!past) {
                snapshot->objects =
                    grow(snapshot->objects, snapshot->count, &capacity, sizeof *snapshot->objects);
                snapshot->objects[snapshot->count++] = chunk->objects[at];
            }
        }
        if (snapshot->count > before) {
            atomic_fetch_add_explicit(&chunk->references, 1, memory_order_relaxed);
            snapshot->chunks[snapshot->chunk_count++] = chunk;
        }
        if (past) {
            break;
        }
    }
    return snapshot;
}

struct snapshot *snapshot_of_objects(struct object **objects, size_t count, int64_t revision)
{
    struct snapshot *snapshot = allocate_struct(struct snapshot);
    snapshot->revision = revision;
    snapshot->objects = allocate_zero(count, sizeof *objects);
    snapshot->chunks = allocate_zero(count / chunk_max + 1, sizeof *snapshot->chunks);
    for (size_t i = 0; i < count; i++) {
        if (i % chunk_max == 0) {
            snapshot->chunks[snapshot->chunk_count++] = chunk_new();
        }
        struct chunk *chunk = snapshot->chunks[snapshot->chunk_count - 1];
        chunk->objects[chunk->count++] = objects[i];
        snapshot->objects[snapshot->count++] = objects[i];
    }
    return snapshot;
}

void snapshot_free(struct snapshot *snapshot)
{
    if (snapshot == NULL) {
        return;
    }
    for (size_t i = 0; i < snapshot->chunk_count; i++) {
        chunk_unref(snapshot->chunks[i]);
    }
    free(snapshot->chunks);
    free(snapshot->objects);
    free(snapshot);
}

void chunks_free(struct chunks *chunks)
{
    for (size_t i = 0; i < chunks->count; i++) {
        chunk_unref(chunks->list[i]);
    }
    free(chunks->list);
    *chunks = (struct chunks){0};
}
