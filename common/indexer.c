// SPDX-License-Identifier: Apache-2.0
/*
 * Each key has a slot with its present object and the slot's entries in the buckets of the indexes.
 * When a new version of an object has the same index values, which is nearly always so, only the
 * pointer in its slot changes.
 */
#include "common/indexer.h"

#include <pthread.h>
#include <string.h>

#include "common/alloc.h"
#include "common/map.h"

enum { indexes_max = 8 };

struct bucket {
    char *value;
    struct entry **entries;
    size_t count, capacity;
};

struct entry {
    struct slot *slot;
    struct bucket *bucket;
    size_t position;    /* In the bucket. */
    struct entry *next; /* Of the same slot and index, in the order of the values. */
};

struct slot {
    struct cached_object *object;
    uint32_t round;
    struct entry *entries[]; /* One list for each index. */
};

struct index {
    const char *name;
    index_function function;
    struct map buckets;
};

struct indexer {
    pthread_rwlock_t lock; /* Guards all that follows. */
    struct map slots;      /* By keys that are the objects' own. */
    struct index indexes[indexes_max];
    size_t index_count;
};

struct index_values {
    char **list;
    size_t count, capacity;
};

/* ---- index functions ---- */

void index_values_add(struct index_values *values, const char *value)
{
    if (value[0] != '\0') {
        values->list = grow(values->list, values->count, &values->capacity, sizeof(char *));
        values->list[values->count++] = duplicate(value);
    }
}

void index_by_namespace(const struct cached_object *object, struct index_values *values)
{
    index_values_add(values, object->namespace);
}

void index_by_owner(const struct cached_object *object, struct index_values *values)
{
    index_values_add(values, object->owner_uid);
}

/* ---- life ---- */

struct indexer *indexer_new(void)
{
    struct indexer *indexer = allocate_struct(struct indexer);
    pthread_rwlock_init(&indexer->lock, NULL);
    indexer->slots.borrows_keys = true;
    return indexer;
}

static void bucket_free(void *argument)
{
    struct bucket *bucket = argument;
    free(bucket->value);
    free(bucket->entries);
    free(bucket);
}

static void free_entries(struct entry *entry)
{
    while (entry != NULL) {
        struct entry *next = entry->next;
        free(entry);
        entry = next;
    }
}

void indexer_free(struct indexer *indexer)
{
    if (indexer == NULL) {
        return;
    }
    const char *key;
    void *value;
    for (size_t at = 0; map_next(&indexer->slots, &at, &key, &value);) {
        struct slot *slot = value;
        for (size_t i = 0; i < indexer->index_count; i++) {
            free_entries(slot->entries[i]);
        }
        cached_object_unref(slot->object);
        free(slot);
    }
    for (size_t i = 0; i < indexer->index_count; i++) {
        map_free(&indexer->indexes[i].buckets, bucket_free);
    }
    map_free(&indexer->slots, NULL);
    pthread_rwlock_destroy(&indexer->lock);
    free(indexer);
}

static const struct index *find_index(const struct indexer *indexer, const char *name)
{
    for (size_t i = 0; i < indexer->index_count; i++) {
        if (strcmp(indexer->indexes[i].name, name) == 0) {
            return &indexer->indexes[i];
        }
    }
    return NULL;
}

void indexer_add_index(struct indexer *indexer, const char *name, index_function function)
{
    if (find_index(indexer, name) != NULL) {
        return;
    }
    if (indexer->index_count == indexes_max || indexer->slots.count > 0) {
        abort(); /* The caller's mistake, and the same in each run. */
    }
    indexer->indexes[indexer->index_count++] = (struct index){name, function, MAP_INIT};
}

/* ---- changes ---- */

static void entry_insert(struct index *index, struct slot *slot, struct entry **list,
                         const char *value)
{
    struct bucket *bucket = map_get(&index->buckets, value);
    if (bucket == NULL) {
        bucket = allocate_struct(struct bucket);
        bucket->value = duplicate(value);
        map_set(&index->buckets, value, bucket);
    }
    struct entry *entry = allocate_struct(struct entry);
    *entry = (struct entry){slot, bucket, bucket->count, NULL};
    bucket->entries =
        grow(bucket->entries, bucket->count, &bucket->capacity, sizeof(struct entry *));
    bucket->entries[bucket->count++] = entry;
    *list = entry;
}

static void entry_remove(struct index *index, struct entry *entry)
{
    struct bucket *bucket = entry->bucket;
    struct entry *last = bucket->entries[--bucket->count];
    bucket->entries[entry->position] = last;
    last->position = entry->position;
    if (bucket->count == 0) {
        map_remove(&index->buckets, bucket->value);
        bucket_free(bucket);
    }
    free(entry);
}

static void remove_entries(struct index *index, struct entry **list)
{
    while (*list != NULL) {
        struct entry *next = (*list)->next;
        entry_remove(index, *list);
        *list = next;
    }
}

static bool has_values(const struct entry *entry, const struct index_values *values)
{
    size_t i = 0;
    for (; entry != NULL && i < values->count; entry = entry->next, i++) {
        if (strcmp(entry->bucket->value, values->list[i]) != 0) {
            return false;
        }
    }
    return entry == NULL && i == values->count;
}

static void index_slot(struct indexer *indexer, struct slot *slot)
{
    for (size_t i = 0; i < indexer->index_count; i++) {
        struct index *index = &indexer->indexes[i];
        struct index_values values = {.count = 0};
        index->function(slot->object, &values);
        if (!has_values(slot->entries[i], &values)) {
            remove_entries(index, &slot->entries[i]);
            struct entry **list = &slot->entries[i];
            for (size_t n = 0; n < values.count; n++) {
                entry_insert(index, slot, list, values.list[n]);
                list = &(*list)->next;
            }
        }
        for (size_t n = 0; n < values.count; n++) {
            free(values.list[n]);
        }
        free(values.list);
    }
}

struct cached_object *indexer_put(struct indexer *indexer, struct cached_object *object,
                                  uint32_t round)
{
    pthread_rwlock_wrlock(&indexer->lock);
    struct slot *slot = map_get(&indexer->slots, object->key);
    if (slot == NULL) {
        slot = allocate_zero(1, sizeof *slot + indexer->index_count * sizeof(struct entry *));
    }
    struct cached_object *old = slot->object;
    slot->object = object;
    map_set(&indexer->slots, object->key, slot);
    slot->round = round;
    index_slot(indexer, slot);
    pthread_rwlock_unlock(&indexer->lock);
    return old;
}

struct cached_object *indexer_remove(struct indexer *indexer, const char *key)
{
    struct cached_object *object = NULL;
    pthread_rwlock_wrlock(&indexer->lock);
    struct slot *slot = map_remove(&indexer->slots, key);
    if (slot != NULL) {
        for (size_t i = 0; i < indexer->index_count; i++) {
            remove_entries(&indexer->indexes[i], &slot->entries[i]);
        }
        object = slot->object;
        free(slot);
    }
    pthread_rwlock_unlock(&indexer->lock);
    return object;
}

bool indexer_confirm(struct indexer *indexer, const char *key, int64_t resource_version,
                     uint32_t round)
{
    pthread_rwlock_wrlock(&indexer->lock);
    struct slot *slot = map_get(&indexer->slots, key);
    bool same = slot != NULL && slot->object->resource_version == resource_version;
    if (same) {
        slot->round = round;
    }
    pthread_rwlock_unlock(&indexer->lock);
    return same;
}

/* ---- reads ---- */

static void read_lock(const struct indexer *indexer)
{
    pthread_rwlock_rdlock((pthread_rwlock_t *)&indexer->lock);
}

static void read_unlock(const struct indexer *indexer)
{
    pthread_rwlock_unlock((pthread_rwlock_t *)&indexer->lock);
}

struct cached_object *indexer_get(const struct indexer *indexer, const char *key)
{
    read_lock(indexer);
    const struct slot *slot = map_get(&indexer->slots, key);
    struct cached_object *object = slot != NULL ? cached_object_ref(slot->object) : NULL;
    read_unlock(indexer);
    return object;
}

static const struct bucket *bucket_of(const struct indexer *indexer, const char *name,
                                      const char *value)
{
    const struct index *index = find_index(indexer, name);
    return index != NULL ? map_get(&index->buckets, value) : NULL;
}

void indexer_find(const struct indexer *indexer, const char *index, const char *value,
                  struct cached_list *list)
{
    read_lock(indexer);
    const struct bucket *bucket = bucket_of(indexer, index, value);
    for (size_t i = 0; bucket != NULL && i < bucket->count; i++) {
        cached_list_add(list, bucket->entries[i]->slot->object);
    }
    read_unlock(indexer);
}

size_t indexer_count_of(const struct indexer *indexer, const char *index, const char *value)
{
    read_lock(indexer);
    const struct bucket *bucket = bucket_of(indexer, index, value);
    size_t count = bucket != NULL ? bucket->count : 0;
    read_unlock(indexer);
    return count;
}

static void add_if_selected(const struct slot *slot, const struct selector *selector,
                            struct cached_list *list)
{
    if (selector == NULL || selector_matches(selector, cached_object_label, slot->object)) {
        cached_list_add(list, slot->object);
    }
}

void indexer_select(const struct indexer *indexer, const char *namespace,
                    const struct selector *selector, struct cached_list *list)
{
    const char *key;
    void *value;
    read_lock(indexer);
    if (namespace != NULL && *namespace != '\0') {
        const struct bucket *bucket = bucket_of(indexer, "namespace", namespace);
        for (size_t i = 0; bucket != NULL && i < bucket->count; i++) {
            add_if_selected(bucket->entries[i]->slot, selector, list);
        }
    } else {
        for (size_t at = 0; map_next(&indexer->slots, &at, &key, &value);) {
            add_if_selected(value, selector, list);
        }
    }
    read_unlock(indexer);
}

size_t indexer_count(const struct indexer *indexer)
{
    read_lock(indexer);
    size_t count = indexer->slots.count;
    read_unlock(indexer);
    return count;
}

void indexer_find_stale(const struct indexer *indexer, uint32_t round, struct cached_list *list)
{
    const char *key;
    void *value;
    read_lock(indexer);
    for (size_t at = 0; map_next(&indexer->slots, &at, &key, &value);) {
        const struct slot *slot = value;
        if (slot->round != round) {
            cached_list_add(list, slot->object);
        }
    }
    read_unlock(indexer);
}
