// SPDX-License-Identifier: Apache-2.0
/*
 * What the fuzzers share.
 *
 * Each file here is a program of its own: libFuzzer calls LLVMFuzzerTestOneInput() with bytes that
 * it thinks up from the seeds in corpus/NAME/, and what the sanitizers or fuzz_expect() complain of
 * ends it with the input kept. An input is any bytes: what a fuzzer wants of it beside its text, it
 * takes from the first bytes or lines.
 */
#ifndef TEST_FUZZ_FUZZ_H
#define TEST_FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "common/error.h"
#include "common/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What must hold for any input. */
#define fuzz_expect(statement)                                                                     \
    do {                                                                                           \
        if (!(statement)) {                                                                        \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #statement);         \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* A refusal is the client's fault and says why. */
static inline void fuzz_expect_refusal(const struct error *error)
{
    fuzz_expect(error->code >= 400 && error->code < 500);
    fuzz_expect(error->message != NULL && error->message[0] != '\0');
    cleanup(json_release)
    json_t *status = error_to_status(error);
    fuzz_expect(json_is_string(json_object_get(status, "message")));
}

/* The same value, however it came about: of numbers the text counts, for a whole real reads back as
 * an integer. */
static inline bool fuzz_same(const json_t *a, const json_t *b)
{
    cleanup(free_char)
    char *a_text = json_text(a);
    cleanup(free_char)
    char *b_text = json_text(b);
    if (strcmp(a_text, b_text) == 0) {
        return true;
    }
    /* The order of members may differ: YAML is written sorted. */
    cleanup(json_release)
    json_t *a_read = json_parse(a_text, strlen(a_text), NULL);
    cleanup(json_release)
    json_t *b_read = json_parse(b_text, strlen(b_text), NULL);
    return a_read != NULL && b_read != NULL && json_equal(a_read, b_read);
}

/* Cuts the next line off the input, as a string; what is behind a NUL in it is lost. The caller's.
 */
static inline char *fuzz_line(const uint8_t **data, size_t *size)
{
    const uint8_t *end = *size > 0 ? memchr(*data, '\n', *size) : NULL;
    size_t length = end != NULL ? (size_t)(end - *data) : *size;
    char *line = duplicate_bytes(length > 0 ? (const char *)*data : "", length);
    size_t step = length + (end != NULL ? 1 : 0);
    *data += step;
    *size -= step;
    return line;
}

#endif
