// SPDX-License-Identifier: Apache-2.0
/*
 * Who the bearers of tokens are, for some seconds, as upstream's cache of tokens.
 *
 * What is kept is as good as a look: an identity says what kinds of objects it rests on (a service
 * account's token on the account, and on the pod, secret or node that it is bound to), and none is
 * taken from here after any object of these kinds was deleted. Objects that only change, or are
 * being deleted for a while yet, end no token at once.
 *
 * Tokens are kept whole, beside keys and secrets of which this process is full anyway: to compare
 * one takes a fraction of what it takes to hash it. Bounded; when a place is taken, the newer one
 * has it.
 *
 * Threads: all of it from any thread, but for new, follow and free; one lock for a few places each.
 */
#ifndef APISERVER_AUTH_IDENTITY_CACHE_H
#define APISERVER_AUTH_IDENTITY_CACHE_H

#include "apiserver/http/request.h"
#include "apiserver/storage/cache.h"

struct identity_cache;

/* Nothing is kept for longer. */
static const int64_t identity_cache_time_ns = INT64_C(10) * 1000000000;

enum ground { GROUND_SERVICE_ACCOUNTS, GROUND_SECRETS, GROUND_PODS, GROUND_NODES, GROUND_COUNT };

/* How things stood when somebody was asked. */
struct grounds {
    uint64_t keys;                  /* The generation of the keys of service accounts. */
    uint64_t deleted[GROUND_COUNT]; /* How many objects of each kind. */
    unsigned rests_on;              /* Bits of the kinds that count. */
};

struct identity_cache *identity_cache_new(void);
/* Learns of deletions from now on; before, only what rests on no objects is kept. */
void identity_cache_follow(struct identity_cache *cache, struct cache *objects,
                           const struct scheme *scheme);
void identity_cache_free(struct identity_cache *cache); /* NULL is fine. */

/* How things stand; to be asked for before anything is looked up. */
struct grounds identity_cache_grounds(const struct identity_cache *cache, uint64_t keys);
/* True with a hold of the user whose token it is; 'now_ns' is monotonic. */
bool identity_cache_get(struct identity_cache *cache, const char *token, size_t length,
                        const struct grounds *grounds, int64_t now_ns, struct user *user);
/* Keeps a hold of the user, which is shared. */
void identity_cache_put(struct identity_cache *cache, const char *token, size_t length,
                        const struct grounds *grounds, int64_t until_ns, const struct user *user);

#endif
