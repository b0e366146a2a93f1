// SPDX-License-Identifier: Apache-2.0
/*
 * JSON Web Tokens (RFC 7519) in their compact, signed form, and the keys they are signed with
 * (RFC 7517, RFC 7518): RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384 and ES512.
 *
 * A token is not believed before jwt_verify(): parsing tells what it says, and by which key. A key
 * says which algorithms it can be used with, so that no token chooses how it is checked; "none" and
 * symmetric algorithms don't exist here.
 *
 * What a claim means (issuer, audience, times) is the caller's to check.
 *
 * Threads: keys and parsed tokens are immutable.
 */
#ifndef COMMON_JWT_H
#define COMMON_JWT_H

#include <jansson.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"

enum { JWT_SIZE_MAX = 64 * 1024 };

/* ---- keys ---- */

struct jwt_key {
    EVP_PKEY *key;
    bool is_private; /* Tokens can be signed with it. */
    char *id;        /* "kid": of a key from a file the hash of its public part, as upstream. */
    char
        *algorithm; /* What it signs with, and of a JWK what it is limited to; NULL: not limited. */
};

struct jwt_keys {
    struct jwt_key *keys;
    size_t count, capacity;
};

void jwt_keys_clear(struct jwt_keys *keys); /* Also fit for cleanup(). */
/* Adds all that stand in the PEM text: private keys, public keys, certificates. False (400) when
 * there is none, or one that no algorithm here can use. 'name' is for the message. */
bool jwt_keys_add_pem(struct jwt_keys *keys, const char *pem, size_t length, const char *name,
                      struct error *error);
/* Adds those of a JWK set ({"keys":[…]}) that are for signatures and can be used here; the others
 * are left out. False (400) when it is no such set. */
bool jwt_keys_add_set(struct jwt_keys *keys, const json_t *set, struct error *error);
/* The public part as a JWK, with kid, use and the algorithm it signs with. The caller's. */
json_t *jwt_key_to_json(const struct jwt_key *key);

/* ---- tokens ---- */

struct jwt {
    char *algorithm;
    char *key_id; /* "" when the header has none. */
    json_t *claims;
    const char *signed_text; /* Of the text that was parsed; borrowed. */
    size_t signed_length;
    unsigned char *signature;
    size_t signature_length;
};

/* Takes a token apart; the text must outlive it. False (400) for what is none. Clear it in any
 * case.
 */
bool jwt_parse(struct jwt *token, const char *text, size_t length, struct error *error);
void jwt_clear(struct jwt *token); /* Also fit for cleanup(). */
/* The signature is of this key, by the token's algorithm, which the key must allow. */
bool jwt_verify(const struct jwt *token, const struct jwt_key *key);
/* A token that says this, signed. NULL (500) when it can't be. The caller's. */
char *jwt_sign(const struct jwt_key *key, const json_t *claims, struct error *error);

/* The algorithm is one of those that exist here. */
bool jwt_algorithm_exists(const char *name);

#endif
