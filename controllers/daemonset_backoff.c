// SPDX-License-Identifier: Apache-2.0
#include "controllers/daemonset_backoff.h"

#include <pthread.h>
#include <stdbool.h>

#include "common/alloc.h"
#include "common/map.h"

enum { looked_through_at = 1000 };

static const int64_t first_delay = INT64_C(1000000000);
static const int64_t longest_delay = 900 * INT64_C(1000000000);

struct backoff {
    int64_t delay, since;
};

struct daemonset_backoffs {
    pthread_mutex_t lock; /* Guards what follows. */
    struct map by_key;    /* struct backoff */
};

struct daemonset_backoffs *daemonset_backoffs_new(void)
{
    struct daemonset_backoffs *backoffs = allocate_struct(struct daemonset_backoffs);
    pthread_mutex_init(&backoffs->lock, NULL);
    return backoffs;
}

void daemonset_backoffs_free(struct daemonset_backoffs *backoffs)
{
    if (backoffs != NULL) {
        map_free(&backoffs->by_key, free);
        pthread_mutex_destroy(&backoffs->lock);
        free(backoffs);
    }
}

static bool has_expired(const struct backoff *backoff, int64_t now)
{
    return now - backoff->since > 2 * longest_delay;
}

/* Drops what nobody asked about for long, so that the map does not grow for ever. */
static void drop_expired(struct map *by_key, int64_t now)
{
    struct map kept = MAP_INIT;
    const char *key;
    void *value;
    for (size_t at = 0; map_next(by_key, &at, &key, &value);) {
        if (has_expired(value, now)) {
            free(value);
        } else {
            map_set(&kept, key, value);
        }
    }
    map_free(by_key, NULL);
    *by_key = kept;
}

static struct backoff *add(struct map *by_key, const char *key, int64_t now)
{
    if (by_key->count > 0 && by_key->count % looked_through_at == 0) {
        drop_expired(by_key, now);
    }
    struct backoff *backoff = allocate_struct(struct backoff);
    map_set(by_key, key, backoff);
    return backoff;
}

int64_t daemonset_back_off(struct daemonset_backoffs *backoffs, const char *key, int64_t now)
{
    int64_t left = 0;
    pthread_mutex_lock(&backoffs->lock);
    struct backoff *backoff = map_get(&backoffs->by_key, key);
    if (backoff == NULL || has_expired(backoff, now)) {
        backoff = backoff != NULL ? backoff : add(&backoffs->by_key, key, now);
        *backoff = (struct backoff){first_delay, now};
    } else if (now - backoff->since < backoff->delay) {
        left = backoff->delay - (now - backoff->since);
    } else {
        int64_t doubled = backoff->delay * 2;
        *backoff = (struct backoff){doubled < longest_delay ? doubled : longest_delay, now};
    }
    pthread_mutex_unlock(&backoffs->lock);
    return left;
}
