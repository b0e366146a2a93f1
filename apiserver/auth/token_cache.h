// SPDX-License-Identifier: Apache-2.0
/*
 * What has been found out about tokens, for a while: bounded, by their hashes, so that no token is
 * kept. When a place is taken, the newer one has it.
 *
 * Threads: all of it from any thread; one lock for a few places each.
 */
#ifndef APISERVER_AUTH_TOKEN_CACHE_H
#define APISERVER_AUTH_TOKEN_CACHE_H

#include <jansson.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

struct token_cache;

/* Many threads read the tree at a time, so that nobody may as much as take a reference to a part of
 * it: jansson's counters are not made for that. */
struct finding {
    atomic_uint references;
    json_t *json;
};

void finding_release(struct finding **finding); /* For cleanup(). */

enum { TOKEN_HASH_BYTES = 32 };

struct token_hash {
    unsigned char bytes[TOKEN_HASH_BYTES];
};

/* Of the token and whatever else the finding depends on (may be NULL). */
struct token_hash token_hash(const char *token, size_t length, const char *context,
                             size_t context_length);

struct token_cache *token_cache_new(void);
void token_cache_free(struct token_cache *cache);
/* What was put there and has not run out at 'now_ns' (monotonic); the caller's reference. NULL when
 * there is nothing. */
struct finding *token_cache_get(struct token_cache *cache, const struct token_hash *hash,
                                int64_t now_ns);
/* Consumes the tree; the caller's reference. */
struct finding *token_cache_put(struct token_cache *cache, const struct token_hash *hash,
                                json_t *json, int64_t until_ns);

#endif
