// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

/* cmocka needs the headers above. */
#include <cmocka.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "common/base64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

static void what_is_encoded_is_decoded(void **state)
{
    (void)state;
    unsigned char bytes[300];
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (unsigned char)(i * 73 + i / 7);
    }
    for (size_t length = 0; length <= sizeof bytes; length++) {
        cleanup(free_char)
        char *text = base64_encode(bytes, length);
        cleanup(free_char)
        char *url = base64_encode_url(bytes, length);
        size_t decoded_length, url_length;
        cleanup(free_char)
        char *decoded = base64_decode(text, strlen(text), &decoded_length);
        cleanup(free_char)
        char *decoded_url = base64_decode_url(url, strlen(url), &url_length);
        assert_non_null(decoded);
        assert_non_null(decoded_url);
        assert_int_equal(decoded_length, length);
        assert_int_equal(url_length, length);
        assert_memory_equal(decoded, bytes, length);
        assert_memory_equal(decoded_url, bytes, length);
    }
}

static void known_texts_are_known(void **state)
{
    (void)state;
    static const struct {
        const char *plain, *text;
    } known[] = {{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foob", "Zm9vYg=="}};
    for (size_t i = 0; i < array_length(known); i++) {
        cleanup(free_char)
        char *text = base64_encode(known[i].plain, strlen(known[i].plain));
        assert_string_equal(text, known[i].text);
    }
}

/* All digits in their order, 64 characters of 48 bytes. */
static void each_digit_has_its_character(void **state)
{
    (void)state;
    char bytes[48];
    for (int i = 0; i < 64; i += 4) {
        uint32_t group = (uint32_t)(i << 18 | (i + 1) << 12 | (i + 2) << 6 | (i + 3));
        bytes[i / 4 * 3] = (char)(group >> 16);
        bytes[i / 4 * 3 + 1] = (char)(group >> 8);
        bytes[i / 4 * 3 + 2] = (char)group;
    }
    cleanup(free_char)
    char *text = base64_encode(bytes, sizeof bytes);
    cleanup(free_char)
    char *url = base64_encode_url(bytes, sizeof bytes);
    assert_memory_equal(text, alphabet, 62);
    assert_memory_equal(url, alphabet, 62);
    assert_string_equal(text + 62, "+/");
    assert_string_equal(url + 62, "-_");
}

/* Each place of a text with each character that has no business there. */
static void what_is_no_base64_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {"QUJDREVGR0g", "QUJDREVGR0hJ",
                                        "QUJDREVGR0hJQUJDREVGR0hJQUJDREVGR0hJ"};
    for (size_t i = 0; i < array_length(texts); i++) {
        for (size_t at = 0; at < strlen(texts[i]); at++) {
            for (int c = 1; c < 256; c++) {
                char text[40];
                size_t length;
                strcpy(text, texts[i]);
                text[at] = (char)c;
                bool fits = strchr(alphabet, c) != NULL || c == '-' || c == '_';
                cleanup(free_char)
                char *decoded = base64_decode_url(text, strlen(text), &length);
                assert_int_equal(decoded != NULL, fits);
                if (strlen(text) % 4 == 0 && (c != '=' || at + 1 < strlen(text))) {
                    fits = strchr(alphabet, c) != NULL || c == '+' || c == '/';
                    cleanup(free_char)
                    char *padded = base64_decode(text, strlen(text), &length);
                    assert_int_equal(padded != NULL, fits);
                }
            }
        }
    }
    static const char *const bad[] = {
        "Q", "QQ", "QQ=", "QUJ", "Q===", "====", "QU-D", "QU_D", "QQ==QQ==", "QUJ=QUJD", "QUJD\n"};
    for (size_t i = 0; i < array_length(bad); i++) {
        size_t length;
        assert_null(base64_decode(bad[i], strlen(bad[i]), &length));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_encoded_is_decoded),
        cmocka_unit_test(known_texts_are_known),
        cmocka_unit_test(each_digit_has_its_character),
        cmocka_unit_test(what_is_no_base64_is_refused),
    };
    return cmocka_run_group_tests_name("base64", tests, NULL, NULL);
}
