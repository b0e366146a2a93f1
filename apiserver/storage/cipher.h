// SPDX-License-Identifier: Apache-2.0
/*
 * The ciphers of encryption at rest, each in upstream's layout:
 *
 *   aesgcm     nonce (12 bytes), what AES-GCM makes, its tag (16); the context is authenticated
 *   aescbc     initialization vector (16 bytes), AES-CBC of the text padded as PKCS #7 says
 *   secretbox  nonce (24 bytes), tag (16), XSalsa20 of the text with Poly1305
 *
 * XSalsa20 is libsodium's, as OpenSSL has none. Threads: any; pure but for randomness.
 */
#ifndef APISERVER_STORAGE_CIPHER_H
#define APISERVER_STORAGE_CIPHER_H

#include <stdbool.h>
#include <stddef.h>

#include "common/buffer.h"
#include "common/error.h"

enum cipher { CIPHER_NONE, CIPHER_AES_GCM, CIPHER_AES_CBC, CIPHER_SECRETBOX };

enum { CIPHER_KEY_BYTES_MAX = 32 };

struct cipher_key {
    enum cipher cipher;
    unsigned char bytes[CIPHER_KEY_BYTES_MAX];
    size_t length; /* 16, 24 or 32; 32 of a secretbox. */
};

/* Whether a key of this cipher may have this length. */
bool cipher_takes_key_of(enum cipher cipher, size_t length);
/* Appends the sealed text. 'context' is where it is kept, which aesgcm binds it to. */
bool cipher_seal(const struct cipher_key *key, const char *context, const char *text, size_t length,
                 struct buffer *sealed, struct error *error);
/* The text, NUL-terminated behind '*length'; the caller's. NULL with an error when it was not
 * sealed so. */
char *cipher_open(const struct cipher_key *key, const char *context, const char *sealed,
                  size_t sealed_length, size_t *length, struct error *error);

#endif
