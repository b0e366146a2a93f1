// SPDX-License-Identifier: Apache-2.0
#include "apiserver/storage/cipher.h"

#include <limits.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <sodium.h>
#include <string.h>

#include "common/alloc.h"

enum { gcm_nonce_bytes = 12, gcm_tag_bytes = 16, block_bytes = 16 };

static void free_context(EVP_CIPHER_CTX **context)
{
    EVP_CIPHER_CTX_free(*context);
}

/* By the length of the key. */
static const EVP_CIPHER *aes(const struct cipher_key *key)
{
    bool gcm = key->cipher == CIPHER_AES_GCM;
    switch (key->length) {
    case 16:
        return gcm ? EVP_aes_128_gcm() : EVP_aes_128_cbc();
    case 24:
        return gcm ? EVP_aes_192_gcm() : EVP_aes_192_cbc();
    default:
        return gcm ? EVP_aes_256_gcm() : EVP_aes_256_cbc();
    }
}

bool cipher_takes_key_of(enum cipher cipher, size_t length)
{
    return length == 32 || (cipher != CIPHER_SECRETBOX && (length == 16 || length == 24));
}

/* ---- sealing ---- */

/* Appends random bytes; NULL when there are none to be had. */
static unsigned char *add_random(struct buffer *out, size_t length)
{
    unsigned char *bytes = (unsigned char *)buffer_reserve(out, length);
    if (RAND_bytes(bytes, (int)length) != 1) {
        return NULL;
    }
    out->length += length;
    return bytes;
}

static bool seal_aes(const struct cipher_key *key, const char *place, const char *text,
                     size_t length, struct buffer *sealed)
{
    bool gcm = key->cipher == CIPHER_AES_GCM;
    size_t nonce_bytes = gcm ? gcm_nonce_bytes : block_bytes;
    buffer_reserve(sealed, nonce_bytes + length + block_bytes + gcm_tag_bytes);
    const unsigned char *nonce = add_random(sealed, nonce_bytes);
    cleanup(free_context)
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    unsigned char *out = (unsigned char *)buffer_reserve(sealed, length + block_bytes);
    int ignored, written = 0, last = 0;
    if (nonce == NULL || context == NULL ||
        EVP_EncryptInit_ex(context, aes(key), NULL, key->bytes, nonce) != 1 ||
        (gcm && EVP_EncryptUpdate(context, NULL, &ignored, (const unsigned char *)place,
                                  (int)strlen(place)) != 1) ||
        EVP_EncryptUpdate(context, out, &written, (const unsigned char *)text, (int)length) != 1 ||
        EVP_EncryptFinal_ex(context, out + written, &last) != 1) {
        return false;
    }
    sealed->length += (size_t)written + (size_t)last;
    if (!gcm) {
        return true;
    }
    char *tag = buffer_reserve(sealed, gcm_tag_bytes);
    sealed->length += gcm_tag_bytes;
    return EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, gcm_tag_bytes, tag) == 1;
}

static bool seal_secretbox(const struct cipher_key *key, const char *text, size_t length,
                           struct buffer *sealed)
{
    unsigned char nonce[crypto_secretbox_NONCEBYTES];
    if (RAND_bytes(nonce, sizeof nonce) != 1) {
        return false;
    }
    buffer_add(sealed, nonce, sizeof nonce);
    char *out = buffer_reserve(sealed, length + crypto_secretbox_MACBYTES);
    sealed->length += length + crypto_secretbox_MACBYTES;
    return crypto_secretbox_easy((unsigned char *)out, (const unsigned char *)text, length, nonce,
                                 key->bytes) == 0;
}

bool cipher_seal(const struct cipher_key *key, const char *context, const char *text, size_t length,
                 struct buffer *sealed, struct error *error)
{
    bool done = length <= INT_MAX / 2;
    switch (key->cipher) {
    case CIPHER_NONE:
        buffer_add(sealed, text, length);
        break;
    case CIPHER_AES_GCM:
    case CIPHER_AES_CBC:
        done = done && seal_aes(key, context, text, length, sealed);
        break;
    case CIPHER_SECRETBOX:
        done = done && seal_secretbox(key, text, length, sealed);
        break;
    }
    return done || error_internal(error, "the value can't be encrypted");
}

/* ---- opening ---- */

static char *open_gcm(const struct cipher_key *key, const char *place, const char *sealed,
                      size_t sealed_length, size_t *length, struct error *error)
{
    if (sealed_length < gcm_nonce_bytes + gcm_tag_bytes || sealed_length > INT_MAX / 2) {
        error_internal(error, "the stored data was shorter than the required size");
        return NULL;
    }
    *length = sealed_length - gcm_nonce_bytes - gcm_tag_bytes;
    cleanup(free_char)
    char *text = allocate(*length + 1);
    cleanup(free_context)
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    int ignored;
    unsigned char tag[gcm_tag_bytes];
    const unsigned char *bytes = (const unsigned char *)sealed;
    memcpy(tag, sealed + sealed_length - gcm_tag_bytes, gcm_tag_bytes);
    if (EVP_DecryptInit_ex(context, aes(key), NULL, key->bytes, bytes) != 1 ||
        EVP_DecryptUpdate(context, NULL, &ignored, (const unsigned char *)place,
                          (int)strlen(place)) != 1 ||
        EVP_DecryptUpdate(context, (unsigned char *)text, &ignored, bytes + gcm_nonce_bytes,
                          (int)*length) != 1 ||
        EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, gcm_tag_bytes, tag) != 1 ||
        EVP_DecryptFinal_ex(context, (unsigned char *)text + *length, &ignored) != 1) {
        error_internal(error, "cipher: message authentication failed");
        return NULL;
    }
    text[*length] = '\0';
    return steal(text);
}

static char *open_cbc(const struct cipher_key *key, const char *sealed, size_t sealed_length,
                      size_t *length, struct error *error)
{
    if (sealed_length < 2 * block_bytes || sealed_length > INT_MAX / 2) {
        error_internal(error, "the stored data was shorter than the required size");
        return NULL;
    }
    if (sealed_length % block_bytes != 0) {
        error_internal(error, "the stored data is not a multiple of the block size");
        return NULL;
    }
    cleanup(free_char)
    char *text = allocate(sealed_length + 1);
    cleanup(free_context)
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    const unsigned char *bytes = (const unsigned char *)sealed;
    int written = 0, last = 0;
    if (EVP_DecryptInit_ex(context, aes(key), NULL, key->bytes, bytes) != 1 ||
        EVP_DecryptUpdate(context, (unsigned char *)text, &written, bytes + block_bytes,
                          (int)(sealed_length - block_bytes)) != 1 ||
        EVP_DecryptFinal_ex(context, (unsigned char *)text + written, &last) != 1) {
        error_internal(error, "invalid padding on input");
        return NULL;
    }
    *length = (size_t)written + (size_t)last;
    text[*length] = '\0';
    return steal(text);
}

static char *open_secretbox(const struct cipher_key *key, const char *sealed, size_t sealed_length,
                            size_t *length, struct error *error)
{
    const unsigned char *bytes = (const unsigned char *)sealed;
    if (sealed_length < crypto_secretbox_NONCEBYTES + crypto_secretbox_MACBYTES) {
        error_internal(error, "the stored data was shorter than the required size");
        return NULL;
    }
    *length = sealed_length - crypto_secretbox_NONCEBYTES - crypto_secretbox_MACBYTES;
    char *text = allocate(*length + 1);
    if (crypto_secretbox_open_easy((unsigned char *)text, bytes + crypto_secretbox_NONCEBYTES,
                                   sealed_length - crypto_secretbox_NONCEBYTES, bytes,
                                   key->bytes) != 0) {
        free(text);
        error_internal(error, "the value was sealed with another key, or changed");
        return NULL;
    }
    text[*length] = '\0';
    return text;
}

char *cipher_open(const struct cipher_key *key, const char *context, const char *sealed,
                  size_t sealed_length, size_t *length, struct error *error)
{
    switch (key->cipher) {
    case CIPHER_AES_GCM:
        return open_gcm(key, context, sealed, sealed_length, length, error);
    case CIPHER_AES_CBC:
        return open_cbc(key, sealed, sealed_length, length, error);
    case CIPHER_SECRETBOX:
        return open_secretbox(key, sealed, sealed_length, length, error);
    default:
        *length = sealed_length;
        return duplicate_bytes(sealed, sealed_length);
    }
}
