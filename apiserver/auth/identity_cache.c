// SPDX-License-Identifier: Apache-2.0
#include "apiserver/auth/identity_cache.h"

#include <openssl/crypto.h>
#include <pthread.h>
#include <string.h>

#include "common/alloc.h"
#include "common/map.h"

enum {
    rows = 256,
    ways = 4, /* 1,024 tokens. */
    token_bytes_max = 4096,
    telling_bytes = 32, /* The end of a token, of its signature, tells as much as all of it. */
};

struct place {
    char *token; /* NULL: free. */
    size_t length;
    uint64_t hash;
    struct grounds grounds;
    int64_t until_ns;
    struct user user;
};

struct row {
    pthread_mutex_t lock;
    struct place places[ways];
};

struct observer {
    struct cache_observer base;
    atomic_ullong deleted;
};

struct identity_cache {
    bool follows;
    struct observer observers[GROUND_COUNT];
    struct row rows[rows];
};

/* ---- life ---- */

static void clear_place(struct place *place)
{
    if (place->token != NULL) {
        OPENSSL_cleanse(place->token, place->length);
        free(place->token);
        user_clear(&place->user);
        *place = (struct place){0};
    }
}

struct identity_cache *identity_cache_new(void)
{
    struct identity_cache *cache = allocate_struct(struct identity_cache);
    for (size_t i = 0; i < rows; i++) {
        pthread_mutex_init(&cache->rows[i].lock, NULL);
    }
    return cache;
}

static void changed(struct cache_observer *base, const struct object *object, bool deleted)
{
    (void)object;
    struct observer *observer = container_of(base, struct observer, base);
    if (deleted) {
        atomic_fetch_add(&observer->deleted, 1);
    }
}

void identity_cache_follow(struct identity_cache *cache, struct cache *objects,
                           const struct scheme *scheme)
{
    static const char *const plurals[GROUND_COUNT] = {
        [GROUND_SERVICE_ACCOUNTS] = "serviceaccounts",
        [GROUND_SECRETS] = "secrets",
        [GROUND_PODS] = "pods",
        [GROUND_NODES] = "nodes",
    };
    for (size_t i = 0; i < GROUND_COUNT; i++) {
        cache->observers[i].base.changed = changed;
        cache_observe(cache_table(objects, scheme_resource_find(scheme, "", "v1", plurals[i])),
                      &cache->observers[i].base);
    }
    cache->follows = true;
}

void identity_cache_free(struct identity_cache *cache)
{
    for (size_t i = 0; cache != NULL && i < rows; i++) {
        for (size_t way = 0; way < ways; way++) {
            clear_place(&cache->rows[i].places[way]);
        }
        pthread_mutex_destroy(&cache->rows[i].lock);
    }
    free(cache);
}

/* ---- grounds ---- */

struct grounds identity_cache_grounds(const struct identity_cache *cache, uint64_t keys)
{
    struct grounds grounds = {.keys = keys};
    for (size_t i = 0; i < GROUND_COUNT; i++) {
        grounds.deleted[i] = atomic_load(&cache->observers[i].deleted);
    }
    return grounds;
}

static bool still_hold(const struct grounds *then, const struct grounds *now)
{
    bool hold = then->keys == now->keys;
    for (size_t i = 0; i < GROUND_COUNT; i++) {
        hold &= (then->rests_on & 1U << i) == 0 || then->deleted[i] == now->deleted[i];
    }
    return hold;
}

/* ---- places ---- */

static uint64_t hash_of(const char *token, size_t length)
{
    size_t telling = length < telling_bytes ? length : telling_bytes;
    return hash_bytes(token + length - telling, telling);
}

/* In the same time wherever they differ. */
static bool same_bytes(const char *one, const char *other, size_t length)
{
    uint64_t difference = 0;
    size_t i = 0;
    for (; i + sizeof difference <= length; i += sizeof difference) {
        uint64_t a, b;
        memcpy(&a, one + i, sizeof a);
        memcpy(&b, other + i, sizeof b);
        difference |= a ^ b;
    }
    for (; i < length; i++) {
        difference |= (unsigned char)(one[i] ^ other[i]);
    }
    return difference == 0;
}

static bool is_of(const struct place *place, uint64_t hash, const char *token, size_t length)
{
    return place->token != NULL && place->hash == hash && place->length == length &&
           same_bytes(place->token, token, length);
}

bool identity_cache_get(struct identity_cache *cache, const char *token, size_t length,
                        const struct grounds *grounds, int64_t now_ns, struct user *user)
{
    uint64_t hash = hash_of(token, length);
    struct row *row = &cache->rows[hash % rows];
    bool found = false;
    pthread_mutex_lock(&row->lock);
    for (size_t i = 0; i < ways && !found; i++) {
        const struct place *place = &row->places[i];
        found = is_of(place, hash, token, length) && place->until_ns > now_ns &&
                still_hold(&place->grounds, grounds);
        if (found) {
            *user = user_hold(&place->user);
        }
    }
    pthread_mutex_unlock(&row->lock);
    return found;
}

/* The place of this token, else a free one, else the one that runs out first. */
static struct place *choose(struct row *row, uint64_t hash, const char *token, size_t length)
{
    struct place *chosen = &row->places[0];
    for (size_t i = 0; i < ways; i++) {
        struct place *place = &row->places[i];
        if (is_of(place, hash, token, length)) {
            return place;
        }
        if (chosen->token != NULL && (place->token == NULL || place->until_ns < chosen->until_ns)) {
            chosen = place;
        }
    }
    return chosen;
}

void identity_cache_put(struct identity_cache *cache, const char *token, size_t length,
                        const struct grounds *grounds, int64_t until_ns, const struct user *user)
{
    if (length > token_bytes_max || (grounds->rests_on != 0 && !cache->follows)) {
        return;
    }
    uint64_t hash = hash_of(token, length);
    struct row *row = &cache->rows[hash % rows];
    struct place fresh = {.token = duplicate_bytes(token, length),
                          .length = length,
                          .hash = hash,
                          .grounds = *grounds,
                          .until_ns = until_ns,
                          .user = user_hold(user)};
    pthread_mutex_lock(&row->lock);
    struct place *place = choose(row, hash, token, length);
    struct place before = *place;
    *place = fresh;
    pthread_mutex_unlock(&row->lock);
    clear_place(&before);
}
