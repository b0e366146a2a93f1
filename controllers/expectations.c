// SPDX-License-Identifier: Apache-2.0
#include "controllers/expectations.h"

#include <pthread.h>

#include "common/alloc.h"
#include "common/map.h"
#include "common/timestamp.h"

static const int64_t lifetime = 300 * INT64_C(1000000000);
static const int64_t batch_lifetime = 5 * INT64_C(1000000000);

struct expectation {
    size_t creations;
    struct map deletions; /* By uid. */
    int64_t until;        /* When it is given up, monotonic. */
    size_t batch;         /* Creations that went well together, */
    int64_t batch_until;  /* and how long that counts. */
};

struct expectations {
    pthread_mutex_t lock; /* Guards what follows. */
    struct map map;
};

struct expectations *expectations_new(void)
{
    struct expectations *expectations = allocate_struct(struct expectations);
    pthread_mutex_init(&expectations->lock, NULL);
    return expectations;
}

static void expectation_free(void *argument)
{
    struct expectation *expectation = argument;
    map_free(&expectation->deletions, NULL);
    free(expectation);
}

void expectations_free(struct expectations *expectations)
{
    if (expectations != NULL) {
        map_free(&expectations->map, expectation_free);
        pthread_mutex_destroy(&expectations->lock);
        free(expectations);
    }
}

static struct expectation *get_or_add(struct expectations *expectations, const char *key)
{
    struct expectation *expectation = map_get(&expectations->map, key);
    if (expectation == NULL) {
        expectation = allocate_struct(struct expectation);
        map_set(&expectations->map, key, expectation);
    }
    return expectation;
}

static struct expectation *expect(struct expectations *expectations, const char *key)
{
    struct expectation *expectation = get_or_add(expectations, key);
    expectation->until = timestamp_monotonic() + lifetime;
    return expectation;
}

void expectations_expect_creations(struct expectations *expectations, const char *key, size_t count)
{
    pthread_mutex_lock(&expectations->lock);
    expect(expectations, key)->creations += count;
    pthread_mutex_unlock(&expectations->lock);
}

void expectations_expect_deletion(struct expectations *expectations, const char *key,
                                  const char *uid)
{
    pthread_mutex_lock(&expectations->lock);
    map_set(&expect(expectations, key)->deletions, uid, expectations);
    pthread_mutex_unlock(&expectations->lock);
}

void expectations_saw_creation(struct expectations *expectations, const char *key)
{
    pthread_mutex_lock(&expectations->lock);
    struct expectation *expectation = map_get(&expectations->map, key);
    if (expectation != NULL && expectation->creations > 0) {
        expectation->creations--;
    }
    pthread_mutex_unlock(&expectations->lock);
}

void expectations_saw_deletion(struct expectations *expectations, const char *key, const char *uid)
{
    pthread_mutex_lock(&expectations->lock);
    struct expectation *expectation = map_get(&expectations->map, key);
    if (expectation != NULL) {
        map_remove(&expectation->deletions, uid);
    }
    pthread_mutex_unlock(&expectations->lock);
}

bool expectations_expects_deletion(struct expectations *expectations, const char *key,
                                   const char *uid)
{
    pthread_mutex_lock(&expectations->lock);
    const struct expectation *expectation = map_get(&expectations->map, key);
    bool expects = expectation != NULL && map_get(&expectation->deletions, uid) != NULL;
    pthread_mutex_unlock(&expectations->lock);
    return expects;
}

void expectations_doubt(struct expectations *expectations, const char *key, int64_t delay_ms)
{
    int64_t until = timestamp_monotonic() + delay_ms * 1000000;
    pthread_mutex_lock(&expectations->lock);
    struct expectation *expectation = map_get(&expectations->map, key);
    if (expectation != NULL && until < expectation->until) {
        expectation->until = until;
    }
    pthread_mutex_unlock(&expectations->lock);
}

/* Nothing is expected any more. */
static void give_up(struct expectations *expectations, const char *key,
                    struct expectation *expectation, int64_t now)
{
    if (expectation->batch_until > now) {
        expectation->creations = 0;
        map_free(&expectation->deletions, NULL);
        return;
    }
    map_remove(&expectations->map, key);
    expectation_free(expectation);
}

int64_t expectations_wait_ms(struct expectations *expectations, const char *key)
{
    int64_t now = timestamp_monotonic(), left_ns = 0;
    pthread_mutex_lock(&expectations->lock);
    struct expectation *expectation = map_get(&expectations->map, key);
    if (expectation != NULL && (expectation->creations > 0 || expectation->deletions.count > 0)) {
        left_ns = expectation->until - now;
    }
    if (expectation != NULL && left_ns <= 0) {
        give_up(expectations, key, expectation, now);
    }
    pthread_mutex_unlock(&expectations->lock);
    return left_ns > 0 ? left_ns / 1000000 + 1 : 0;
}

void expectations_set_batch(struct expectations *expectations, const char *key, size_t size)
{
    pthread_mutex_lock(&expectations->lock);
    struct expectation *expectation = get_or_add(expectations, key);
    expectation->batch = size;
    expectation->batch_until = size > 0 ? timestamp_monotonic() + batch_lifetime : 0;
    pthread_mutex_unlock(&expectations->lock);
}

size_t expectations_batch(struct expectations *expectations, const char *key)
{
    pthread_mutex_lock(&expectations->lock);
    const struct expectation *expectation = map_get(&expectations->map, key);
    bool counts = expectation != NULL && expectation->batch_until > timestamp_monotonic();
    size_t size = counts ? expectation->batch : 1;
    pthread_mutex_unlock(&expectations->lock);
    return size;
}

void expectations_forget(struct expectations *expectations, const char *key)
{
    pthread_mutex_lock(&expectations->lock);
    struct expectation *expectation = map_remove(&expectations->map, key);
    if (expectation != NULL) {
        expectation_free(expectation);
    }
    pthread_mutex_unlock(&expectations->lock);
}
