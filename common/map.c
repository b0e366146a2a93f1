// SPDX-License-Identifier: Apache-2.0
#include "common/map.h"

#include <pthread.h>
#include <string.h>
#include <sys/random.h>

#include "common/alloc.h"

static uint64_t hash_seed;
static pthread_once_t hash_seed_once = PTHREAD_ONCE_INIT;

static void choose_seed(void)
{
    if (getrandom(&hash_seed, sizeof hash_seed, 0) != (ssize_t)sizeof hash_seed) {
        hash_seed = (uint64_t)(uintptr_t)&hash_seed ^ (uint64_t)getpid();
    }
}

/* Both halves of a product: each bit of the number has a say in each of the hash. */
static uint64_t mix(uint64_t number)
{
    __extension__ unsigned __int128 product =
        (unsigned __int128)(number ^ UINT64_C(0x9e3779b97f4a7c15)) * UINT64_C(0xd6e8feb86659fd93);
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

uint64_t hash_bytes(const void *bytes, size_t length)
{
    pthread_once(&hash_seed_once, choose_seed);
    const unsigned char *at = bytes;
    uint64_t hash = hash_seed ^ length, word;
    for (; length > sizeof word; at += sizeof word, length -= sizeof word) {
        memcpy(&word, at, sizeof word);
        hash = mix(hash ^ word);
    }
    word = 0;
    if (length > 0) {
        memcpy(&word, at, length);
    }
    return mix(mix(hash ^ word));
}

/* The slot that holds the key, or the free one where it would go. The map has slots. */
static struct map_slot *find(const struct map *map, const char *key, size_t length, uint64_t hash)
{
    size_t mask = map->size - 1;
    for (size_t i = hash & mask;; i = (i + 1) & mask) {
        struct map_slot *slot = &map->slots[i];
        if (slot->key == NULL || (slot->hash == hash && strncmp(slot->key, key, length) == 0 &&
                                  slot->key[length] == '\0')) {
            return slot;
        }
    }
}

void *map_get_bytes(const struct map *map, const char *key, size_t length)
{
    if (map->count == 0) {
        return NULL;
    }
    struct map_slot *slot = find(map, key, length, hash_bytes(key, length));
    return slot->key ? slot->value : NULL;
}

void *map_get(const struct map *map, const char *key)
{
    return map_get_bytes(map, key, strlen(key));
}

static void resize(struct map *map, size_t size)
{
    struct map old = *map;
    map->slots = allocate_zero(size, sizeof *map->slots);
    map->size = size;
    for (size_t i = 0; i < old.size; i++) {
        struct map_slot *slot = &old.slots[i];
        if (slot->key != NULL) {
            *find(map, slot->key, strlen(slot->key), slot->hash) = *slot;
        }
    }
    free(old.slots);
}

void *map_set(struct map *map, const char *key, void *value)
{
    if ((map->count + 1) * 4 > map->size * 3) {
        resize(map, map->size ? map->size * 2 : 16);
    }
    size_t length = strlen(key);
    uint64_t hash = hash_bytes(key, length);
    struct map_slot *slot = find(map, key, length, hash);
    if (slot->key != NULL) {
        void *old = slot->value;
        slot->value = value;
        if (map->borrows_keys) {
            slot->key = (char *)key;
        }
        return old;
    }
    *slot = (struct map_slot){map->borrows_keys ? (char *)key : duplicate(key), value, hash};
    map->count++;
    return NULL;
}

static void free_key(const struct map *map, struct map_slot *slot)
{
    if (!map->borrows_keys) {
        free(slot->key);
    }
}

void *map_remove(struct map *map, const char *key)
{
    if (map->count == 0) {
        return NULL;
    }
    size_t length = strlen(key);
    struct map_slot *slot = find(map, key, length, hash_bytes(key, length));
    if (slot->key == NULL) {
        return NULL;
    }
    void *value = slot->value;
    free_key(map, slot);
    *slot = (struct map_slot){0};
    map->count--;
    /* Close the gap: whatever follows in the same run is put in again. */
    size_t mask = map->size - 1;
    for (size_t i = ((size_t)(slot - map->slots) + 1) & mask; map->slots[i].key != NULL;
         i = (i + 1) & mask) {
        struct map_slot moved = map->slots[i];
        map->slots[i] = (struct map_slot){0};
        *find(map, moved.key, strlen(moved.key), moved.hash) = moved;
    }
    return value;
}

bool map_next(const struct map *map, size_t *at, const char **key, void **value)
{
    for (; *at < map->size; (*at)++) {
        if (map->slots[*at].key != NULL) {
            *key = map->slots[*at].key;
            *value = map->slots[*at].value;
            (*at)++;
            return true;
        }
    }
    return false;
}

void map_free(struct map *map, void (*free_value)(void *))
{
    for (size_t i = 0; i < map->size; i++) {
        if (map->slots[i].key != NULL) {
            free_key(map, &map->slots[i]);
            if (free_value != NULL) {
                free_value(map->slots[i].value);
            }
        }
    }
    free(map->slots);
    *map = MAP_INIT;
}
