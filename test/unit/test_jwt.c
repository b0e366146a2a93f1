// SPDX-License-Identifier: Apache-2.0
/* Tokens: what signs, what verifies, and the many ways in which a token is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

/* cmocka needs the headers above. */
#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <string.h>

#include "common/alloc.h"
#include "common/base64.h"
#include "common/json.h"
#include "common/jwt.h"

enum { KEY_RSA, KEY_P256, KEY_P384, KEY_P521, KEYS };

static struct jwt_keys keys; /* One of each. */
static const char *const algorithm_of[KEYS] = {"RS256", "ES256", "ES384", "ES512"};

static char *pem_of(EVP_PKEY *key, bool is_private)
{
    char *text;
    BIO *bio = BIO_new(BIO_s_mem());
    if (is_private) {
        PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL);
    } else {
        PEM_write_bio_PUBKEY(bio, key);
    }
    long length = BIO_get_mem_data(bio, &text);
    char *pem = duplicate_bytes(text, (size_t)length);
    BIO_free(bio);
    return pem;
}

static int make_keys(void **state)
{
    (void)state;
    EVP_PKEY *made[KEYS] = {EVP_RSA_gen(2048), EVP_EC_gen("P-256"), EVP_EC_gen("P-384"),
                            EVP_EC_gen("P-521")};
    for (size_t i = 0; i < KEYS; i++) {
        cleanup(free_char)
        char *pem = pem_of(made[i], true);
        assert_true(jwt_keys_add_pem(&keys, pem, strlen(pem), "test", NULL));
        EVP_PKEY_free(made[i]);
    }
    return 0;
}

static int free_keys(void **state)
{
    (void)state;
    jwt_keys_clear(&keys);
    return 0;
}

static char *sign(size_t key, const char *claims)
{
    cleanup(json_release)
    json_t *tree = json_parse(claims, strlen(claims), NULL);
    char *token = jwt_sign(&keys.keys[key], tree, NULL);
    assert_non_null(token);
    return token;
}

/* Whether the text is a token of this key. */
static bool is_of(const char *text, const struct jwt_key *key)
{
    cleanup(jwt_clear)
    struct jwt token = {0};
    return jwt_parse(&token, text, strlen(text), NULL) && jwt_verify(&token, key);
}

static bool is_token(const char *text)
{
    cleanup(jwt_clear)
    struct jwt token = {0};
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    bool parsed = jwt_parse(&token, text, strlen(text), &error);
    assert_int_equal(error.code, parsed ? 0 : 400);
    return parsed;
}

/* "<header>.<payload>.<signature>" of parts in clear text. */
static char *join(const char *header, const char *payload, const char *signature)
{
    cleanup(free_char)
    char *first = base64_encode_url(header, strlen(header));
    cleanup(free_char)
    char *second = base64_encode_url(payload, strlen(payload));
    return format("%s.%s.%s", first, second, signature);
}

static void each_key_signs_what_it_alone_verifies(void **state)
{
    (void)state;
    for (size_t i = 0; i < KEYS; i++) {
        cleanup(free_char)
        char *text = sign(i, "{\"sub\":\"jane\",\"n\":1}");
        cleanup(jwt_clear)
        struct jwt token = {0};
        assert_true(jwt_parse(&token, text, strlen(text), NULL));
        assert_string_equal(token.algorithm, algorithm_of[i]);
        assert_string_equal(token.key_id, keys.keys[i].id);
        assert_string_equal(json_get_string(token.claims, "sub"), "jane");
        for (size_t other = 0; other < KEYS; other++) {
            assert_int_equal(jwt_verify(&token, &keys.keys[other]), other == i);
        }
    }
}

static void a_key_of_the_same_kind_is_another_key(void **state)
{
    (void)state;
    cleanup(jwt_keys_clear)
    struct jwt_keys others = {0};
    EVP_PKEY *made = EVP_EC_gen("P-256");
    cleanup(free_char)
    char *pem = pem_of(made, true);
    EVP_PKEY_free(made);
    assert_true(jwt_keys_add_pem(&others, pem, strlen(pem), "test", NULL));
    cleanup(free_char)
    char *text = sign(KEY_P256, "{}");
    free(others.keys[0].id);
    others.keys[0].id = duplicate(keys.keys[KEY_P256].id);
    assert_false(is_of(text, &others.keys[0]));
}

static void what_is_changed_or_cut_does_not_verify(void **state)
{
    (void)state;
    for (size_t i = 0; i < KEYS; i++) {
        cleanup(free_char)
        char *text = sign(i, "{\"sub\":\"jane\"}");
        size_t length = strlen(text);
        for (size_t at = 0; at < length; at++) {
            cleanup(free_char)
            char *changed = duplicate(text);
            changed[at] = changed[at] == 'A' ? 'z' : 'A';
            /* The last character holds bits that don't count; base64 may let them pass. */
            assert_true(at == length - 1 || !is_of(changed, &keys.keys[i]));
            changed[at] = '\0';
            assert_false(is_of(changed, &keys.keys[i]));
        }
    }
}

static void no_token_chooses_how_it_is_checked(void **state)
{
    (void)state;
    static const char *const claimed[] = {"none", "None", "HS256",  "HS512",
                                          "RS1",  "",     "ES256K", "EdDSA"};
    cleanup(free_char)
    char *public = pem_of(keys.keys[KEY_RSA].key, false);
    for (size_t i = 0; i < array_length(claimed); i++) {
        cleanup(free_char)
        char *header = format("{\"alg\":\"%s\"}", claimed[i]);
        cleanup(free_char)
        char *unsigned_text = join(header, "{}", "");
        unsigned char hash[EVP_MAX_MD_SIZE];
        unsigned hash_length;
        HMAC(EVP_sha256(), public, (int)strlen(public), (unsigned char *)unsigned_text,
             strlen(unsigned_text) - 1, hash, &hash_length);
        cleanup(free_char)
        char *signature = base64_encode_url(hash, hash_length);
        cleanup(free_char)
        char *symmetric = format("%s%s", unsigned_text, signature);
        for (size_t key = 0; key < KEYS; key++) {
            assert_false(is_of(unsigned_text, &keys.keys[key]));
            assert_false(is_of(symmetric, &keys.keys[key]));
        }
    }
}

static void an_algorithm_of_another_digest_or_padding_does_not_verify(void **state)
{
    (void)state;
    static const char *const others[] = {"RS384", "RS512", "PS256", "ES256", "ES384"};
    cleanup(free_char)
    char *text = sign(KEY_RSA, "{}");
    const char *rest = strchr(text, '.');
    for (size_t i = 0; i < array_length(others); i++) {
        cleanup(free_char)
        char *header = format("{\"alg\":\"%s\"}", others[i]);
        cleanup(free_char)
        char *first = base64_encode_url(header, strlen(header));
        cleanup(free_char)
        char *swapped = format("%s%s", first, rest);
        assert_false(is_of(swapped, &keys.keys[KEY_RSA]));
    }
}

static void what_is_no_token_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",
        ".",
        "..",
        "...",
        "a.b",
        "a.b.c",
        "e30.e30.e30.e30",
        "e30.e30.",
        "bnVsbA.e30.",                  /* null */
        "W10.e30.",                     /* [] */
        "eyJhbGciOjF9.e30.",            /* {"alg":1} */
        "eyJhbGciOiJhIn0.W10.",         /* claims [] */
        "eyJhbGciOiJhIn0.e30.!",        /* signature */
        "eyJhbGciOiJhIn0=.e30.",        /* padding */
        "eyJhbGciOiJhXHUwMDAwIn0.e30.", /* {"alg":"a\u0000"} */
        " eyJhbGciOiJhIn0.e30.",
    };
    for (size_t i = 0; i < array_length(wrong); i++) {
        assert_false(is_token(wrong[i]));
    }
    static const char *const headers[] = {"{\"alg\":\"a\",\"kid\":1}", "{\"kid\":\"1\"}",
                                          "{\"alg\":\"a\",\"crit\":[\"exp\"]}"};
    for (size_t i = 0; i < array_length(headers); i++) {
        cleanup(free_char)
        char *text = join(headers[i], "{}", "");
        assert_false(is_token(text));
    }
    assert_true(is_token("eyJhbGciOiJhIn0.e30."));
}

static void an_oversized_token_is_refused(void **state)
{
    (void)state;
    cleanup(free_char)
    char *large = allocate(JWT_SIZE_MAX + 2);
    memset(large, 'A', JWT_SIZE_MAX + 1);
    large[JWT_SIZE_MAX + 1] = '\0';
    memcpy(large, "eyJhbGciOiJhIn0.e30.", 20);
    assert_false(is_token(large));
    large[JWT_SIZE_MAX] = '\0';
    assert_true(is_token(large));
}

static void a_public_key_or_certificate_verifies_and_signs_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; i < KEYS; i++) {
        cleanup(jwt_keys_clear)
        struct jwt_keys public = {0};
        cleanup(free_char)
        char *pem = pem_of(keys.keys[i].key, false);
        assert_true(jwt_keys_add_pem(&public, pem, strlen(pem), "test", NULL));
        assert_string_equal(public.keys[0].id, keys.keys[i].id);
        cleanup(free_char)
        char *text = sign(i, "{}");
        assert_true(is_of(text, &public.keys[0]));
        cleanup(json_release)
        json_t *claims = json_object();
        assert_null(jwt_sign(&public.keys[0], claims, NULL));
    }
}

static void a_key_survives_as_a_jwk(void **state)
{
    (void)state;
    for (size_t i = 0; i < KEYS; i++) {
        cleanup(jwt_keys_clear)
        struct jwt_keys read = {0};
        cleanup(json_release)
        json_t *set =
            json_pack("{s:[o, {s:s, s:s}, {s:s}]}", "keys", jwt_key_to_json(&keys.keys[i]), "kty",
                      "oct", "k", "AA", "use", "enc");
        assert_true(jwt_keys_add_set(&read, set, NULL));
        assert_int_equal(read.count, 1);
        assert_string_equal(read.keys[0].id, keys.keys[i].id);
        assert_string_equal(read.keys[0].algorithm, algorithm_of[i]);
        cleanup(free_char)
        char *text = sign(i, "{}");
        assert_true(is_of(text, &read.keys[0]));
    }
}

static void the_example_of_the_rfc_verifies(void **state)
{
    (void)state;
    cleanup(jwt_keys_clear)
    struct jwt_keys read = {0};
    cleanup(json_release)
    json_t *set = json_pack("{s:[{s:s, s:s, s:s, s:s}]}", "keys", "kty", "EC", "crv", "P-256", "x",
                            "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y",
                            "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0");
    assert_true(jwt_keys_add_set(&read, set, NULL));
    assert_true(is_of("eyJhbGciOiJFUzI1NiJ9"
                      ".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFt"
                      "cGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
                      ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSA"
                      "pmWQxfKTUJqPP3-Kg6NU1Q",
                      &read.keys[0]));
}

static void a_jwk_that_names_another_algorithm_does_not_verify(void **state)
{
    (void)state;
    cleanup(jwt_keys_clear)
    struct jwt_keys read = {0};
    json_t *jwk = jwt_key_to_json(&keys.keys[KEY_RSA]);
    json_object_set_new(jwk, "alg", json_string("PS256"));
    cleanup(json_release)
    json_t *set = json_pack("{s:[o]}", "keys", jwk);
    assert_true(jwt_keys_add_set(&read, set, NULL));
    cleanup(free_char)
    char *text = sign(KEY_RSA, "{}");
    assert_false(is_of(text, &read.keys[0]));
}

static void files_without_usable_keys_are_refused(void **state)
{
    (void)state;
    EVP_PKEY *made[] = {EVP_RSA_gen(1024), EVP_EC_gen("P-224"),
                        EVP_PKEY_Q_keygen(NULL, NULL, "ED25519")};
    for (size_t i = 0; i < array_length(made); i++) {
        cleanup(error_clear)
        struct error error = ERROR_INIT;
        cleanup(jwt_keys_clear)
        struct jwt_keys none = {0};
        cleanup(free_char)
        char *pem = pem_of(made[i], true);
        EVP_PKEY_free(made[i]);
        assert_false(jwt_keys_add_pem(&none, pem, strlen(pem), "file", &error));
        assert_non_null(strstr(error.message, "file: a PRIVATE KEY can't be used"));
    }
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    struct jwt_keys none = {0};
    assert_false(jwt_keys_add_pem(&none, "text", 4, "file", &error));
    assert_string_equal(error.message, "file holds no key in PEM form");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_key_signs_what_it_alone_verifies),
        cmocka_unit_test(a_key_of_the_same_kind_is_another_key),
        cmocka_unit_test(what_is_changed_or_cut_does_not_verify),
        cmocka_unit_test(no_token_chooses_how_it_is_checked),
        cmocka_unit_test(an_algorithm_of_another_digest_or_padding_does_not_verify),
        cmocka_unit_test(what_is_no_token_is_refused),
        cmocka_unit_test(an_oversized_token_is_refused),
        cmocka_unit_test(a_public_key_or_certificate_verifies_and_signs_nothing),
        cmocka_unit_test(a_key_survives_as_a_jwk),
        cmocka_unit_test(the_example_of_the_rfc_verifies),
        cmocka_unit_test(a_jwk_that_names_another_algorithm_does_not_verify),
        cmocka_unit_test(files_without_usable_keys_are_refused),
    };
    return cmocka_run_group_tests_name("jwt", tests, make_keys, free_keys);
}
