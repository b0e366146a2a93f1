// SPDX-License-Identifier: Apache-2.0
#include "apiserver/auth/token_cache.h"

#include <openssl/evp.h>
#include <openssl/sha.h>
#include <pthread.h>
#include <string.h>

#include "common/alloc.h"

enum { rows = 512, ways = 4 }; /* 2,048 tokens. */

struct place {
    struct token_hash hash;
    struct finding *finding; /* NULL: free. */
    int64_t until_ns;
};

struct row {
    pthread_mutex_t lock;
    struct place places[ways];
};

struct token_cache {
    struct row rows[rows];
};

static void finding_unref(struct finding *finding)
{
    if (finding != NULL && atomic_fetch_sub(&finding->references, 1) == 1) {
        json_decref(finding->json);
        free(finding);
    }
}

void finding_release(struct finding **finding)
{
    finding_unref(*finding);
}

static const EVP_MD *sha256;

static void find_sha256(void)
{
    sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
}

/* OpenSSL's SHA256() looks the algorithm up each time, which takes as long as a token's hash. */
static void hash_to(const void *bytes, size_t length, unsigned char hash[static TOKEN_HASH_BYTES])
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, find_sha256);
    if (sha256 == NULL || EVP_Digest(bytes, length, hash, NULL, sha256, NULL) != 1) {
        SHA256(bytes, length, hash);
    }
}

struct token_hash token_hash(const char *token, size_t length, const char *context,
                             size_t context_length)
{
    struct token_hash hash;
    if (context == NULL) {
        hash_to(token, length, hash.bytes);
        return hash;
    }
    /* The hash of two hashes, so that no end of the one is taken for a beginning of the other. */
    unsigned char both[2 * TOKEN_HASH_BYTES];
    hash_to(token, length, both);
    hash_to(context, context_length, both + TOKEN_HASH_BYTES);
    hash_to(both, sizeof both, hash.bytes);
    return hash;
}

struct token_cache *token_cache_new(void)
{
    struct token_cache *cache = allocate_struct(struct token_cache);
    for (size_t i = 0; i < rows; i++) {
        pthread_mutex_init(&cache->rows[i].lock, NULL);
    }
    return cache;
}

void token_cache_free(struct token_cache *cache)
{
    for (size_t i = 0; cache != NULL && i < rows; i++) {
        for (size_t way = 0; way < ways; way++) {
            finding_unref(cache->rows[i].places[way].finding);
        }
        pthread_mutex_destroy(&cache->rows[i].lock);
    }
    free(cache);
}

static struct row *row_of(struct token_cache *cache, const struct token_hash *hash)
{
    return &cache->rows[(hash->bytes[0] << 8 | hash->bytes[1]) % rows];
}

struct finding *token_cache_get(struct token_cache *cache, const struct token_hash *hash,
                                int64_t now_ns)
{
    struct row *row = row_of(cache, hash);
    struct finding *finding = NULL;
    pthread_mutex_lock(&row->lock);
    for (size_t i = 0; i < ways; i++) {
        struct place *place = &row->places[i];
        if (place->finding != NULL && place->until_ns > now_ns &&
            memcmp(place->hash.bytes, hash->bytes, TOKEN_HASH_BYTES) == 0) {
            finding = place->finding;
            atomic_fetch_add(&finding->references, 1);
        }
    }
    pthread_mutex_unlock(&row->lock);
    return finding;
}

/* The place of this hash, else a free one, else the one that runs out first. */
static struct place *choose(struct row *row, const struct token_hash *hash)
{
    struct place *chosen = &row->places[0];
    for (size_t i = 0; i < ways; i++) {
        struct place *place = &row->places[i];
        if (place->finding != NULL &&
            memcmp(place->hash.bytes, hash->bytes, TOKEN_HASH_BYTES) == 0) {
            return place;
        }
        if (chosen->finding != NULL &&
            (place->finding == NULL || place->until_ns < chosen->until_ns)) {
            chosen = place;
        }
    }
    return chosen;
}

struct finding *token_cache_put(struct token_cache *cache, const struct token_hash *hash,
                                json_t *json, int64_t until_ns)
{
    struct row *row = row_of(cache, hash);
    struct finding *fresh = allocate_struct(struct finding);
    atomic_store(&fresh->references, 2); /* The cache's and the caller's. */
    fresh->json = json;
    pthread_mutex_lock(&row->lock);
    struct place *place = choose(row, hash);
    struct finding *before = place->finding;
    *place = (struct place){.hash = *hash, .finding = fresh, .until_ns = until_ns};
    pthread_mutex_unlock(&row->lock);
    finding_unref(before);
    return fresh;
}
