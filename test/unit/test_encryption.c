// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <sodium.h>
#include <string.h>

#include "apiserver/storage/encryption.h"
#include "common/alloc.h"

static size_t unhex(const char *text, unsigned char *bytes, size_t size)
{
    size_t length = 0;
    assert_int_equal(sodium_hex2bin(bytes, size, text, strlen(text), NULL, &length, NULL), 0);
    return length;
}

static struct cipher_key key_of(enum cipher cipher, const char *hex)
{
    struct cipher_key key = {.cipher = cipher};
    key.length = unhex(hex, key.bytes, sizeof key.bytes);
    return key;
}

/* ---- ciphers ---- */

#define TEN(text) text text text text text text text text text text
#define THIRTY_TWO(text) TEN(text) TEN(text) TEN(text) text text

/* Of NIST's AES-GCM test case 4, of OpenSSL's command line, and of NaCl's own tests. */
static const struct {
    enum cipher cipher;
    const char *key, *context, *sealed, *plain;
} vectors[] = {
    {CIPHER_AES_GCM, "feffe9928665731c6d6a8f9467308308",
     "\xfe\xed\xfa\xce\xde\xad\xbe\xef\xfe\xed\xfa\xce\xde\xad\xbe\xef\xab\xad\xda\xd2",
     "cafebabefacedbaddecaf888"
     "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c7d8f6a5aac84"
     "aa051ba30b396a0aac973d58e0915bc94fbc3221a5db94fae95ae7121a47",
     "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6"
     "b525b16aedf5aa0de657ba637b39"},
    {CIPHER_AES_CBC, THIRTY_TWO("01"), "",
     TEN("02") "020202020202"
               "a01a96594d957605d34b0cf891815dc0c4d4f083a21e8eb6614b1d0649ea9931",
     "68656c6c6f2c2068656c6c6f2c2068656c6c6f"},
    {CIPHER_SECRETBOX, "1b27556473e985d462cd51197a9a46c76009549eac6474f206c4ee0844f68389", "",
     "69696ee955b62b73cd62bda875fc73d68219e0036b7a0b37"
     "f3ffc7703f9400e52a7dfb4b3d3305d98e993b9f48681273c29650ba32fc76ce48332ea7164d96a4476fb8c531a1"
     "186ac0dfc17c98dce87b4da7f011ec48c97271d2c20f9b928fe2270d6fb863d51738b48eeee314a7cc8ab9321645"
     "48e526ae90224368517acfeabd6bb3732bc0e9da99832b61ca01b6de56244a9e88d5f9b37973f622a43d14a6599b"
     "1f654cb45a74e355a5",
     "be075fc53c81f2d5cf141316ebeb0c7b5228c52a4c62cbd44b66849b64244ffce5ecbaaf33bd751a1ac728d45e6c"
     "61296cdc3c01233561f41db66cce314adb310e3be8250c46f06dceea3a7fa1348057e2f6556ad6b1318a024a838f"
     "21af1fde048977eb48f59ffd4924ca1c60902e52f0a089bc76897040e082f937763848645e0705"},
};

static void what_others_have_sealed_is_opened(void **state)
{
    (void)state;
    for (size_t i = 0; i < array_length(vectors); i++) {
        cleanup(error_clear)
        struct error error = ERROR_INIT;
        unsigned char sealed[256], plain[256];
        size_t sealed_length = unhex(vectors[i].sealed, sealed, sizeof sealed), length;
        size_t plain_length = unhex(vectors[i].plain, plain, sizeof plain);
        struct cipher_key key = key_of(vectors[i].cipher, vectors[i].key);
        cleanup(free_char)
        char *text = cipher_open(&key, vectors[i].context, (const char *)sealed, sealed_length,
                                 &length, &error);
        assert_non_null(text);
        assert_int_equal(length, plain_length);
        assert_memory_equal(text, plain, length);
    }
}

static void what_is_sealed_is_opened_again_but_not_when_it_was_changed(void **state)
{
    (void)state;
    for (size_t i = 0; i < array_length(vectors); i++) {
        struct cipher_key key = key_of(vectors[i].cipher, vectors[i].key);
        for (size_t length = 0; length < 40; length++) {
            cleanup(buffer_free)
            struct buffer sealed = BUFFER_INIT, again = BUFFER_INIT;
            char plain[40];
            size_t opened;
            memset(plain, 'x', sizeof plain);
            assert_true(cipher_seal(&key, "/a", plain, length, &sealed, NULL));
            assert_true(cipher_seal(&key, "/a", plain, length, &again, NULL));
            assert_memory_not_equal(sealed.bytes, again.bytes, sealed.length);
            buffer_free(&again);
            cleanup(free_char)
            char *text = cipher_open(&key, "/a", sealed.bytes, sealed.length, &opened, NULL);
            assert_non_null(text);
            assert_int_equal(opened, length);
            assert_memory_equal(text, plain, length);
            assert_null(cipher_open(&key, "/a", sealed.bytes, 9, &opened, NULL));
            if (vectors[i].cipher == CIPHER_AES_CBC) {
                continue; /* It is not authenticated. */
            }
            sealed.bytes[sealed.length - 1] ^= 1;
            assert_null(cipher_open(&key, "/a", sealed.bytes, sealed.length, &opened, NULL));
            sealed.bytes[sealed.length - 1] ^= 1;
            text =
                (free(text), cipher_open(&key, "/b", sealed.bytes, sealed.length, &opened, NULL));
            assert_int_equal(text == NULL, vectors[i].cipher == CIPHER_AES_GCM);
        }
    }
}

/* ---- configurations ---- */

#define HEAD "kind: EncryptionConfiguration\napiVersion: apiserver.config.k8s.io/v1\n"
#define KEY(name) "{name: " name ", secret: MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=}"
#define OTHER(name) "{name: " name ", secret: eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHg=}"

static void a_configuration_that_is_wrong_is_refused_with_its_field(void **state)
{
    (void)state;
    static const struct {
        const char *text, *complaint;
    } cases[] = {
        {"kind: Pod", "kind: must be EncryptionConfiguration"},
        {"kind: EncryptionConfiguration\napiVersion: v1",
         "apiVersion: must be apiserver.config.k8s.io/v1"},
        {HEAD, "resources: Required value: at least one resource is required"},
        {HEAD "resources: [{providers: [identity: {}]}]",
         "resources[0].resources: Required value: at least one resource is required"},
        {HEAD "resources: [{resources: ['*'], providers: [identity: {}]}]",
         "resources[0].resources[0]: use '*.' to encrypt all the resources from core API group or "
         "*.* to encrypt all resources"},
        {HEAD "resources: [{resources: [a]}]",
         "resources[0].providers: Required value: at least one provider is required"},
        {HEAD "resources: [{resources: [a], providers: [kms: {name: x}]}]",
         "resources[0].providers[0].kms: this server can't use a key management service"},
        {HEAD "resources: [{resources: [a], providers: [{identity: {}, aesgcm: {}}]}]",
         "resources[0].providers[0]: a provider must be one of aesgcm, aescbc, secretbox and "
         "identity"},
        {HEAD "resources: [{resources: [a], providers: [rot13: {}]}]",
         "resources[0].providers[0].rot13: unknown provider"},
        {HEAD "resources: [{resources: [a], providers: [aesgcm: {}]}]",
         "resources[0].providers[0].aesgcm.keys: Required value: at least one key is required"},
        {HEAD "resources: [{resources: [a], providers: [aesgcm: {keys: [{secret: x}]}]}]",
         "resources[0].providers[0].aesgcm.keys[0].name: Required value: name is a mandatory field "
         "for a key"},
        {HEAD "resources: [{resources: [a], providers: [aesgcm: {keys: [{name: x}]}]}]",
         "resources[0].providers[0].aesgcm.keys[0].secret: Required value: secret is a mandatory "
         "field for a key"},
        {HEAD
         "resources: [{resources: [a], providers: [aescbc: {keys: [{name: x, secret: '?'}]}]}]",
         "resources[0].providers[0].aescbc.keys[0].secret: secrets must be base64 encoded"},
        {HEAD
         "resources: [{resources: [a], providers: [aescbc: {keys: [{name: x, secret: eA==}]}]}]",
         "resources[0].providers[0].aescbc.keys[0].secret: secret is not of the expected length, "
         "got 1, expected one of [16 24 32]"},
        {HEAD "resources: [{resources: [a], providers: [secretbox: {keys: [" KEY(
             "x") ", {name: z, "
                  "secret: eHh4eHh4eHh4eHh4eHh4eA==}]}]}]",
         "resources[0].providers[0].secretbox.keys[1].secret: secret is not of the expected "
         "length, "
         "got 16, expected one of [32]"},
    };
    for (size_t i = 0; i < array_length(cases); i++) {
        cleanup(error_clear)
        struct error error = ERROR_INIT;
        assert_null(encryption_parse(cases[i].text, strlen(cases[i].text), &error));
        assert_string_equal(error.message, cases[i].complaint);
    }
}

static struct encryption *parse(const char *resources)
{
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    cleanup(free_char)
    char *text = format(HEAD "resources: %s", resources);
    struct encryption *encryption = encryption_parse(text, strlen(text), &error);
    if (encryption == NULL) {
        fail_msg("%s", error.message);
    }
    return encryption;
}

static void the_first_list_that_names_a_resource_covers_it(void **state)
{
    (void)state;
    static const struct {
        const char *group, *plural;
        int covered_by; /* -1: nothing. */
    } cases[] = {{"", "secrets", 0},         {"", "secret", -1},    {"apps", "secrets", 1},
                 {"apps", "deployments", 1}, {"x.io", "things", 2}, {"x.io", "others", -1},
                 {"", "configmaps", 3},      {"batch", "jobs", -1}};
    struct encryption *lists[] = {
        parse("[{resources: [secrets], providers: [identity: {}]}, {resources: ['*.apps'], "
              "providers: [aesgcm: {keys: [" KEY(
                  "a") "]}]}, {resources: [things.x.io], providers: "
                       "[aescbc: {keys: [" KEY(
                           "b") "]}]}, {resources: ['*.'], providers: [secretbox: {keys: "
                                "[" KEY("c") "]}]}]"),
        parse("[{resources: ['*.*'], providers: [identity: {}]}]")};
    static const char *const begins[] = {
        "{}", "k8s:enc:aesgcm:v1:a:", "k8s:enc:aescbc:v1:b:", "k8s:enc:secretbox:v1:c:"};
    for (size_t i = 0; i < array_length(cases); i++) {
        const struct transformer *found =
            encryption_find(lists[0], cases[i].group, cases[i].plural);
        assert_int_equal(found != NULL, cases[i].covered_by >= 0 || cases[i].group[0] == '\0');
        assert_non_null(encryption_find(lists[1], cases[i].group, cases[i].plural));
        if (cases[i].covered_by >= 0) {
            cleanup(buffer_free)
            struct buffer stored = BUFFER_INIT;
            const char *begin = begins[cases[i].covered_by];
            assert_true(transformer_seal(found, "/k", "{}", 2, &stored, NULL));
            assert_memory_equal(stored.bytes, begin, strlen(begin));
        }
    }
    encryption_free(lists[0]);
    encryption_free(lists[1]);
}

/* What comes of a value that one configuration has written and another reads: "" when it is there
 * as it was, "stale", or what is wrong. */
static void assert_read(const char *writes, const char *reads, const char *expected)
{
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    cleanup(free_char)
    char *first = format("[{resources: [a], providers: [%s]}]", writes);
    cleanup(free_char)
    char *second = format("[{resources: [a], providers: [%s]}]", reads);
    struct encryption *writer = parse(first), *reader = parse(second);
    cleanup(buffer_free)
    struct buffer stored = BUFFER_INIT;
    size_t length;
    bool stale = false;
    assert_true(
        transformer_seal(encryption_find(writer, "", "a"), "/k", "{\"a\":1}", 7, &stored, NULL));
    cleanup(free_char)
    char *value = transformer_open(encryption_find(reader, "", "a"), "/k", stored.bytes,
                                   stored.length, &length, &stale, &error);
    if (value != NULL) {
        assert_string_equal(value, "{\"a\":1}");
        assert_string_equal(stale ? "stale" : "", expected);
    } else {
        cleanup(free_char)
        char *message =
            format("Internal error occurred: unable to transform key \"/k\": %s", expected);
        assert_string_equal(error.message, message);
        assert_int_equal(error.code, 500);
    }
    encryption_free(writer);
    encryption_free(reader);
}

static void keys_are_rotated_and_what_is_old_is_known(void **state)
{
    (void)state;
#define GCM(keys) "aesgcm: {keys: [" keys "]}"
    assert_read(GCM(KEY("a")), GCM(KEY("a")), "");
    assert_read(GCM(KEY("a")), GCM(OTHER("b") ", " KEY("a")), "stale");
    assert_read(GCM(KEY("a")), "{secretbox: {keys: [" KEY("a") "]}}, {" GCM(KEY("a")) "}", "stale");
    assert_read(GCM(KEY("a")), "{identity: {}}, {" GCM(KEY("a")) "}", "stale");
    assert_read("identity: {}", "{" GCM(KEY("a")) "}, {identity: {}}", "stale");
    assert_read("identity: {}", "identity: {}", "");
    /* The same name again, with another key: tried as well. */
    assert_read(GCM(KEY("a")), "{" GCM(OTHER("a")) "}, {" GCM(KEY("a")) "}", "stale");
    assert_read(GCM(KEY("a")), GCM(OTHER("a")), "cipher: message authentication failed");
    assert_read(GCM(KEY("a")), GCM(KEY("b")),
                "no matching key was found for the provided AES transformer");
    assert_read(GCM(KEY("a")), "identity: {}", "no matching prefix found");
    assert_read("identity: {}", GCM(KEY("a")), "no matching prefix found");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_others_have_sealed_is_opened),
        cmocka_unit_test(what_is_sealed_is_opened_again_but_not_when_it_was_changed),
        cmocka_unit_test(a_configuration_that_is_wrong_is_refused_with_its_field),
        cmocka_unit_test(the_first_list_that_names_a_resource_covers_it),
        cmocka_unit_test(keys_are_rotated_and_what_is_old_is_known),
    };
    return sodium_init() < 0 || cmocka_run_group_tests(tests, NULL, NULL);
}
