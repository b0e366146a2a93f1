// SPDX-License-Identifier: Apache-2.0
/* Tokens and sets of keys, whatever they say. */
#include "test/fuzz/fuzz.h"

#include "common/jwt.h"

static void try_keys(const char *text, size_t length, const struct jwt *token)
{
    cleanup(json_release)
    json_t *set = json_parse(text, length, NULL);
    cleanup(jwt_keys_clear)
    struct jwt_keys keys = {0};
    if (set == NULL || !jwt_keys_add_set(&keys, set, NULL)) {
        return;
    }
    for (size_t i = 0; i < keys.count; i++) {
        cleanup(json_release)
        json_t *jwk = jwt_key_to_json(&keys.keys[i]);
        fuzz_expect(jwk != NULL);
        if (token != NULL) {
            jwt_verify(token, &keys.keys[i]);
        }
    }
}

/* A token, and behind a line break a set of keys. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cleanup(free_char)
    char *text = duplicate_bytes(data, size);
    const char *end = memchr(text, '\n', size);
    size_t length = end ? (size_t)(end - text) : size;
    cleanup(jwt_clear)
    struct jwt token = {0};
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    bool parsed = jwt_parse(&token, text, length, &error);
    fuzz_expect(parsed == !error_is_set(&error));
    fuzz_expect(!parsed || (json_is_object(token.claims) && token.algorithm && token.key_id));
    if (end != NULL) {
        try_keys(end + 1, size - length - 1, parsed ? &token : NULL);
    }
    return 0;
}
