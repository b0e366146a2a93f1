// SPDX-License-Identifier: Apache-2.0
#include "common/jwt.h"

#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <string.h>

#include "common/alloc.h"
#include "common/base64.h"
#include "common/json.h"
#include "common/jwt_algorithms.h"

/* ---- taking tokens apart ---- */

/* A part of a token in base64url, as JSON. */
static json_t *decode_part(const char *text, size_t length, struct error *error)
{
    size_t decoded_length;
    cleanup(free_char)
    char *decoded = base64_decode_url(text, length, &decoded_length);
    if (decoded == NULL) {
        error_bad_request(error, "a part of the token is not in base64url");
        return NULL;
    }
    json_t *json = json_parse(decoded, decoded_length, error);
    if (json != NULL && !json_is_object(json)) {
        json_decref(json);
        json = NULL;
        error_bad_request(error, "a part of the token is no JSON object");
    }
    return json;
}

/* The header. What it says to be critical must be understood, and nothing of that is. */
static bool take_header(struct jwt *token, const json_t *header, struct error *error)
{
    const json_t *algorithm = json_object_get(header, "alg"), *id = json_object_get(header, "kid");
    if (!json_is_string(algorithm) || json_has_nul(algorithm) ||
        (id != NULL && (!json_is_string(id) || json_has_nul(id)))) {
        return error_bad_request(error, "the token's header is not valid");
    }
    if (json_object_get(header, "crit") != NULL) {
        return error_bad_request(error, "the token's header says crit");
    }
    token->algorithm = duplicate(json_string_value(algorithm));
    token->key_id = duplicate(id ? json_string_value(id) : "");
    return true;
}

bool jwt_parse(struct jwt *token, const char *text, size_t length, struct error *error)
{
    *token = (struct jwt){0};
    const char *first = length <= JWT_SIZE_MAX ? memchr(text, '.', length) : NULL;
    const char *second = first ? memchr(first + 1, '.', length - (size_t)(first + 1 - text)) : NULL;
    size_t rest = second ? length - (size_t)(second + 1 - text) : 0;
    if (second == NULL || memchr(second + 1, '.', rest) != NULL) {
        return error_bad_request(error, "no token of three parts");
    }
    token->signed_text = text;
    token->signed_length = (size_t)(second - text);
    cleanup(json_release)
    json_t *header = decode_part(text, (size_t)(first - text), error);
    if (header == NULL || !take_header(token, header, error)) {
        return false;
    }
    token->signature = (void *)base64_decode_url(second + 1, rest, &token->signature_length);
    if (token->signature == NULL) {
        return error_bad_request(error, "the token's signature is not in base64url");
    }
    token->claims = decode_part(first + 1, (size_t)(second - first - 1), error);
    return token->claims != NULL;
}

void jwt_clear(struct jwt *token)
{
    free(token->algorithm);
    free(token->key_id);
    free(token->signature);
    json_decref(token->claims);
    *token = (struct jwt){0};
}

/* ---- signatures ---- */

/* A context for signing or verifying; NULL when OpenSSL does not want to. */
static EVP_MD_CTX *begin(const struct jwt_algorithm *algorithm, EVP_PKEY *key, bool signs)
{
    EVP_PKEY_CTX *of_key = NULL;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    const EVP_MD *digest = algorithm->digest();
    bool begun = signs ? EVP_DigestSignInit(context, &of_key, digest, NULL, key) == 1
                       : EVP_DigestVerifyInit(context, &of_key, digest, NULL, key) == 1;
    if (begun && algorithm->is_pss) {
        begun = EVP_PKEY_CTX_set_rsa_padding(of_key, RSA_PKCS1_PSS_PADDING) == 1 &&
                EVP_PKEY_CTX_set_rsa_pss_saltlen(of_key, RSA_PSS_SALTLEN_DIGEST) == 1;
    }
    if (!begun) {
        EVP_MD_CTX_free(context);
        return NULL;
    }
    return context;
}

/* A token has the two numbers of an ECDSA signature side by side, OpenSSL wants them in DER. NULL
 * when the length is wrong. */
static unsigned char *to_der(const struct jwt_algorithm *algorithm, const unsigned char *raw,
                             size_t length, size_t *der_length)
{
    unsigned char *der = NULL;
    size_t half = algorithm->coordinate_bytes;
    if (length != 2 * half) {
        return NULL;
    }
    ECDSA_SIG *numbers = ECDSA_SIG_new();
    ECDSA_SIG_set0(numbers, BN_bin2bn(raw, (int)half, NULL),
                   BN_bin2bn(raw + half, (int)half, NULL));
    int size = i2d_ECDSA_SIG(numbers, &der);
    ECDSA_SIG_free(numbers);
    *der_length = size > 0 ? (size_t)size : 0;
    return der;
}

static bool verify(const struct jwt *token, const struct jwt_algorithm *algorithm, EVP_PKEY *key,
                   const unsigned char *signature, size_t length)
{
    EVP_MD_CTX *context = begin(algorithm, key, false);
    bool good = context != NULL && EVP_DigestVerify(context, signature, length,
                                                    (const unsigned char *)token->signed_text,
                                                    token->signed_length) == 1;
    EVP_MD_CTX_free(context);
    ERR_clear_error();
    return good;
}

bool jwt_verify(const struct jwt *token, const struct jwt_key *key)
{
    const struct jwt_algorithm *algorithm = jwt_algorithm_find(token->algorithm);
    if (algorithm == NULL || !jwt_algorithm_fits(algorithm, key->key) ||
        (key->algorithm != NULL && !key->is_private &&
         strcmp(key->algorithm, token->algorithm) != 0)) {
        return false;
    }
    if (algorithm->coordinate_bytes == 0) {
        return verify(token, algorithm, key->key, token->signature, token->signature_length);
    }
    size_t length;
    unsigned char *der = to_der(algorithm, token->signature, token->signature_length, &length);
    bool good = der != NULL && verify(token, algorithm, key->key, der, length);
    OPENSSL_free(der);
    return good;
}

/* The numbers of a signature in DER, side by side. */
static bool from_der(const struct jwt_algorithm *algorithm, struct buffer *signature)
{
    const unsigned char *at = (const unsigned char *)signature->bytes;
    int half = (int)algorithm->coordinate_bytes;
    ECDSA_SIG *numbers = d2i_ECDSA_SIG(NULL, &at, (long)signature->length);
    if (numbers == NULL) {
        return false;
    }
    buffer_reset(signature);
    unsigned char *raw = (unsigned char *)buffer_reserve(signature, 2 * (size_t)half);
    bool fits = BN_bn2binpad(ECDSA_SIG_get0_r(numbers), raw, half) == half &&
                BN_bn2binpad(ECDSA_SIG_get0_s(numbers), raw + half, half) == half;
    signature->length = 2 * (size_t)half;
    ECDSA_SIG_free(numbers);
    return fits;
}

static bool make_signature(const struct jwt_algorithm *algorithm, EVP_PKEY *key,
                           const struct buffer *text, struct buffer *signature)
{
    size_t length = (size_t)EVP_PKEY_get_size(key);
    EVP_MD_CTX *context = begin(algorithm, key, true);
    unsigned char *to = (unsigned char *)buffer_reserve(signature, length);
    bool made =
        context != NULL &&
        EVP_DigestSign(context, to, &length, (const unsigned char *)text->bytes, text->length) == 1;
    EVP_MD_CTX_free(context);
    ERR_clear_error();
    signature->length = made ? length : 0;
    return made && (algorithm->coordinate_bytes == 0 || from_der(algorithm, signature));
}

static void add_part(struct buffer *out, const void *bytes, size_t length)
{
    cleanup(free_char)
    char *encoded = base64_encode_url(bytes, length);
    buffer_addf(out, "%s%s", out->length > 0 ? "." : "", encoded);
}

static void add_json(struct buffer *out, const json_t *json)
{
    cleanup(free_char)
    char *text = json_text(json);
    add_part(out, text, strlen(text));
}

char *jwt_sign(const struct jwt_key *key, const json_t *claims, struct error *error)
{
    const struct jwt_algorithm *algorithm =
        key->algorithm ? jwt_algorithm_find(key->algorithm) : NULL;
    if (algorithm == NULL || !key->is_private) {
        error_internal(error, "tokens can't be signed with a public key");
        return NULL;
    }
    cleanup(buffer_free)
    struct buffer token = BUFFER_INIT;
    cleanup(buffer_free)
    struct buffer signature = BUFFER_INIT;
    cleanup(json_release)
    json_t *header = json_pack("{s:s, s:s}", "alg", key->algorithm, "kid", key->id);
    add_json(&token, header);
    add_json(&token, claims);
    if (!make_signature(algorithm, key->key, &token, &signature)) {
        error_internal(error, "a token could not be signed");
        return NULL;
    }
    add_part(&token, signature.bytes, signature.length);
    return buffer_steal(&token);
}
