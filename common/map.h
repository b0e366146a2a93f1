// SPDX-License-Identifier: Apache-2.0
/*
 * A hash map from strings to pointers: open addressing, keys copied or borrowed, FNV-1a with a
 * random seed a process so that nobody can choose colliding keys. Not thread-safe. Iteration order
 * is arbitrary; the map must not change during an iteration.
 *
 *     const char *key; void *value;
 *     for (size_t at = 0; map_next(&map, &at, &key, &value);) { … }
 */
#ifndef COMMON_MAP_H
#define COMMON_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct map_slot {
    char *key; /* NULL: free. */
    void *value;
    uint64_t hash;
};

struct map {
    struct map_slot *slots;
    size_t size;  /* Number of slots; 0 or a power of two. */
    size_t count; /* Number of entries. */
    /* Set before the first entry: keys are not copied, and live as long as their entries. Most
     * belong to the value; who gives an entry another value gives it that one's key. */
    bool borrows_keys;
};

#define MAP_INIT ((struct map){0})

/* The value, or NULL. */
void *map_get(const struct map *map, const char *key);
/* Like map_get for a key that is not NUL-terminated. */
void *map_get_bytes(const struct map *map, const char *key, size_t length);
/* Sets the value (never NULL) and returns the one it replaced, or NULL. A borrowed key takes the
 * place of the one before. */
void *map_set(struct map *map, const char *key, void *value);
/* Takes the entry out and returns its value, or NULL if there was none. */
void *map_remove(struct map *map, const char *key);
bool map_next(const struct map *map, size_t *at, const char **key, void **value);
/* Frees the map, and each value with 'free_value' unless that is NULL. */
void map_free(struct map *map, void (*free_value)(void *));

uint64_t hash_bytes(const void *bytes, size_t length);

#endif
