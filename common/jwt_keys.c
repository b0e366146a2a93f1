// SPDX-License-Identifier: Apache-2.0
/* Keys for tokens: from PEM files, and from and to JWKs. */
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <string.h>

#include "common/alloc.h"
#include "common/base64.h"
#include "common/json.h"
#include "common/jwt.h"
#include "common/jwt_algorithms.h"

/* RSA keys with fewer bits are no protection, and more cost too much to check. */
enum { rsa_bits_min = 2048, rsa_bits_max = 8192, jwk_keys_max = 100, number_bytes_max = 1024 };

/* ---- algorithms ---- */

static const struct jwt_algorithm algorithms[] = {
    {"RS256", EVP_sha256, false, NULL, NULL, 0},
    {"ES256", EVP_sha256, false, "prime256v1", "P-256", 32},
    {"ES384", EVP_sha384, false, "secp384r1", "P-384", 48},
    {"ES512", EVP_sha512, false, "secp521r1", "P-521", 66},
    {"RS384", EVP_sha384, false, NULL, NULL, 0},
    {"RS512", EVP_sha512, false, NULL, NULL, 0},
    {"PS256", EVP_sha256, true, NULL, NULL, 0},
    {"PS384", EVP_sha384, true, NULL, NULL, 0},
    {"PS512", EVP_sha512, true, NULL, NULL, 0},
};

const struct jwt_algorithm *jwt_algorithm_find(const char *name)
{
    for (size_t i = 0; i < array_length(algorithms); i++) {
        if (strcmp(algorithms[i].name, name) == 0) {
            return &algorithms[i];
        }
    }
    return NULL;
}

bool jwt_algorithm_exists(const char *name)
{
    return jwt_algorithm_find(name) != NULL;
}

bool jwt_algorithm_fits(const struct jwt_algorithm *algorithm, EVP_PKEY *key)
{
    if (algorithm->curve == NULL) {
        int bits = EVP_PKEY_is_a(key, "RSA") ? EVP_PKEY_get_bits(key) : 0;
        return bits >= rsa_bits_min && bits <= rsa_bits_max;
    }
    char curve[64] = "";
    size_t length;
    return EVP_PKEY_is_a(key, "EC") &&
           EVP_PKEY_get_group_name(key, curve, sizeof curve, &length) == 1 &&
           strcmp(curve, algorithm->curve) == 0;
}

const struct jwt_algorithm *jwt_algorithm_of_key(EVP_PKEY *key)
{
    for (size_t i = 0; i < array_length(algorithms); i++) {
        if (jwt_algorithm_fits(&algorithms[i], key)) {
            return &algorithms[i];
        }
    }
    return NULL;
}

const struct jwt_algorithm *jwt_algorithm_of_curve(const char *jwk_curve)
{
    for (size_t i = 0; i < array_length(algorithms); i++) {
        if (algorithms[i].jwk_curve != NULL && strcmp(algorithms[i].jwk_curve, jwk_curve) == 0) {
            return &algorithms[i];
        }
    }
    return NULL;
}

/* ---- sets of keys ---- */

static void add(struct jwt_keys *keys, struct jwt_key key)
{
    keys->keys = grow(keys->keys, keys->count, &keys->capacity, sizeof *keys->keys);
    keys->keys[keys->count++] = key;
}

void jwt_keys_clear(struct jwt_keys *keys)
{
    for (size_t i = 0; i < keys->count; i++) {
        EVP_PKEY_free(keys->keys[i].key);
        free(keys->keys[i].id);
        free(keys->keys[i].algorithm);
    }
    free(keys->keys);
    *keys = (struct jwt_keys){0};
}

/* ---- PEM ---- */

/* The hash of the public key in DER, as upstream calls its keys. */
static char *key_id(EVP_PKEY *key)
{
    unsigned char *der = NULL, hash[SHA256_DIGEST_LENGTH];
    int length = i2d_PUBKEY(key, &der);
    SHA256(der, length > 0 ? (size_t)length : 0, hash);
    OPENSSL_free(der);
    return base64_encode_url(hash, sizeof hash);
}

/* The key of one PEM block; NULL when it is none. */
static EVP_PKEY *read_block(const char *name, const unsigned char *der, long length,
                            bool *is_private)
{
    *is_private = strstr(name, "PRIVATE KEY") != NULL;
    if (*is_private) {
        return d2i_AutoPrivateKey(NULL, &der, length);
    }
    if (strcmp(name, PEM_STRING_PUBLIC) == 0) {
        return d2i_PUBKEY(NULL, &der, length);
    }
    if (strcmp(name, PEM_STRING_RSA_PUBLIC) == 0) {
        return d2i_PublicKey(EVP_PKEY_RSA, NULL, &der, length);
    }
    X509 *certificate = strcmp(name, PEM_STRING_X509) == 0 ? d2i_X509(NULL, &der, length) : NULL;
    EVP_PKEY *key = certificate ? X509_get_pubkey(certificate) : NULL;
    X509_free(certificate);
    return key;
}

/* Whether the block is one that may stand beside a key without meaning anything. */
static bool is_parameters(const char *name)
{
    return strcmp(name, PEM_STRING_ECPARAMETERS) == 0;
}

static bool add_block(struct jwt_keys *keys, const char *block, const unsigned char *der,
                      long length, const char *name, struct error *error)
{
    bool is_private;
    EVP_PKEY *key = read_block(block, der, length, &is_private);
    const struct jwt_algorithm *algorithm = key ? jwt_algorithm_of_key(key) : NULL;
    if (algorithm == NULL) {
        EVP_PKEY_free(key);
        return error_bad_request(
            error,
            "%s: a %s can't be used: RSA of 2048 to 8192 bits and EC on P-256, P-384 and "
            "P-521 can",
            name, block);
    }
    add(keys, (struct jwt_key){.key = key,
                               .is_private = is_private,
                               .id = key_id(key),
                               .algorithm = is_private ? duplicate(algorithm->name) : NULL});
    return true;
}

bool jwt_keys_add_pem(struct jwt_keys *keys, const char *pem, size_t length, const char *name,
                      struct error *error)
{
    BIO *bio = BIO_new_mem_buf(pem, (int)length);
    char *block = NULL, *headers = NULL;
    unsigned char *der = NULL;
    long der_length = 0;
    bool good = true;
    size_t before = keys->count;
    while (good && PEM_read_bio(bio, &block, &headers, &der, &der_length) == 1) {
        good = is_parameters(block) || add_block(keys, block, der, der_length, name, error);
        OPENSSL_free(block);
        OPENSSL_free(headers);
        OPENSSL_clear_free(der, (size_t)der_length);
    }
    BIO_free(bio);
    ERR_clear_error();
    return good &&
           (keys->count > before || error_bad_request(error, "%s holds no key in PEM form", name));
}

/* ---- JWK ---- */

/* A number of a JWK; NULL when it is none. */
static BIGNUM *read_number(const json_t *jwk, const char *member)
{
    const char *text = json_get_string(jwk, member);
    size_t length = 0;
    cleanup(free_char)
    char *bytes = text ? base64_decode_url(text, strlen(text), &length) : NULL;
    return bytes != NULL && length > 0 && length <= number_bytes_max
               ? BN_bin2bn((unsigned char *)bytes, (int)length, NULL)
               : NULL;
}

static EVP_PKEY *make_key(const char *type, OSSL_PARAM_BLD *builder)
{
    EVP_PKEY *key = NULL;
    OSSL_PARAM *parameters = OSSL_PARAM_BLD_to_param(builder);
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    if (EVP_PKEY_fromdata_init(context) != 1 ||
        EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, parameters) != 1) {
        key = NULL;
    }
    EVP_PKEY_CTX_free(context);
    OSSL_PARAM_free(parameters);
    ERR_clear_error();
    return key;
}

static EVP_PKEY *read_rsa(const json_t *jwk)
{
    BIGNUM *modulus = read_number(jwk, "n"), *exponent = read_number(jwk, "e");
    EVP_PKEY *key = NULL;
    if (modulus != NULL && exponent != NULL && BN_num_bits(exponent) <= 64) {
        OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
        OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, modulus);
        OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_E, exponent);
        key = make_key("RSA", builder);
        OSSL_PARAM_BLD_free(builder);
    }
    BN_free(modulus);
    BN_free(exponent);
    return key;
}

static EVP_PKEY *read_ec(const json_t *jwk)
{
    const char *name = json_get_string(jwk, "crv");
    const struct jwt_algorithm *algorithm = name ? jwt_algorithm_of_curve(name) : NULL;
    BIGNUM *x = read_number(jwk, "x"), *y = read_number(jwk, "y");
    EVP_PKEY *key = NULL;
    unsigned char point[1 + 2 * 66] = {POINT_CONVERSION_UNCOMPRESSED};
    int bytes = algorithm ? (int)algorithm->coordinate_bytes : 0;
    if (bytes > 0 && x != NULL && y != NULL && BN_bn2binpad(x, point + 1, bytes) == bytes &&
        BN_bn2binpad(y, point + 1 + bytes, bytes) == bytes) {
        OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
        OSSL_PARAM_BLD_push_utf8_string(builder, OSSL_PKEY_PARAM_GROUP_NAME, algorithm->curve, 0);
        OSSL_PARAM_BLD_push_octet_string(builder, OSSL_PKEY_PARAM_PUB_KEY, point,
                                         1 + 2 * (size_t)bytes);
        key = make_key("EC", builder);
        OSSL_PARAM_BLD_free(builder);
    }
    BN_free(x);
    BN_free(y);
    return key;
}

static void add_jwk(struct jwt_keys *keys, const json_t *jwk)
{
    const char *type = json_get_string(jwk, "kty"), *use = json_get_string(jwk, "use");
    const char *id = json_get_string(jwk, "kid"), *algorithm = json_get_string(jwk, "alg");
    if (type == NULL || (use != NULL && strcmp(use, "sig") != 0)) {
        return;
    }
    EVP_PKEY *key = strcmp(type, "RSA") == 0  ? read_rsa(jwk)
                    : strcmp(type, "EC") == 0 ? read_ec(jwk)
                                              : NULL;
    if (key == NULL || jwt_algorithm_of_key(key) == NULL) {
        EVP_PKEY_free(key);
        return;
    }
    add(keys, (struct jwt_key){.key = key,
                               .id = duplicate(id ? id : ""),
                               .algorithm = algorithm ? duplicate(algorithm) : NULL});
}

bool jwt_keys_add_set(struct jwt_keys *keys, const json_t *set, struct error *error)
{
    const json_t *list = json_object_get(set, "keys");
    if (!json_is_array(list) || json_array_size(list) > jwk_keys_max) {
        return error_bad_request(error, "no set of at most %d keys", jwk_keys_max);
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        add_jwk(keys, json_array_get(list, i));
    }
    return true;
}

static void write_number(json_t *jwk, const char *member, EVP_PKEY *key, const char *parameter,
                         size_t bytes)
{
    BIGNUM *number = NULL;
    unsigned char raw[number_bytes_max];
    if (EVP_PKEY_get_bn_param(key, parameter, &number) != 1) {
        return;
    }
    int length = (int)(bytes ? bytes : (size_t)BN_num_bytes(number));
    if (length <= number_bytes_max && BN_bn2binpad(number, raw, length) == length) {
        cleanup(free_char)
        char *text = base64_encode_url(raw, (size_t)length);
        json_object_set_new(jwk, member, json_string(text));
    }
    BN_free(number);
}

json_t *jwt_key_to_json(const struct jwt_key *key)
{
    const struct jwt_algorithm *algorithm = jwt_algorithm_of_key(key->key);
    json_t *jwk = json_pack("{s:s}", "use", "sig");
    if (algorithm->curve == NULL) {
        json_object_set_new(jwk, "kty", json_string("RSA"));
    } else {
        json_object_set_new(jwk, "kty", json_string("EC"));
    }
    json_object_set_new(jwk, "kid", json_string(key->id));
    if (algorithm->curve != NULL) {
        json_object_set_new(jwk, "crv", json_string(algorithm->jwk_curve));
    }
    json_object_set_new(jwk, "alg", json_string(algorithm->name));
    if (algorithm->curve == NULL) {
        write_number(jwk, "n", key->key, OSSL_PKEY_PARAM_RSA_N, 0);
        write_number(jwk, "e", key->key, OSSL_PKEY_PARAM_RSA_E, 0);
    } else {
        write_number(jwk, "x", key->key, OSSL_PKEY_PARAM_EC_PUB_X, algorithm->coordinate_bytes);
        write_number(jwk, "y", key->key, OSSL_PKEY_PARAM_EC_PUB_Y, algorithm->coordinate_bytes);
    }
    return jwk;
}
