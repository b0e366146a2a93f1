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
#include <stddef.h>
#include <stdint.h>

struct token_cache;

enum { TOKEN_HASH_BYTES = 32 };

struct token_hash {
    unsigned char bytes[TOKEN_HASH_BYTES];
};

/* Of the token and whatever else the finding depends on (may be NULL). */
struct token_hash token_hash(const char *token, size_t length, const char *context,
                             size_t context_length);

struct token_cache *token_cache_new(void);
void token_cache_free(struct token_cache *cache);
/* What was put there and has not run out at 'now_ns' (monotonic); a reference, the caller's, to
 * something that nobody changes any more. NULL when there is nothing. */
json_t *token_cache_get(struct token_cache *cache, const struct token_hash *hash, int64_t now_ns);
void token_cache_put(struct token_cache *cache, const struct token_hash *hash, json_t *finding,
                     int64_t until_ns);

#endif
