// SPDX-License-Identifier: Apache-2.0
/*
 * An answer of HTTP/1.1, taken apart as its bytes come, in whatever pieces.
 *
 *     struct http_parser parser;
 *     http_parser_init(&parser, take_body, argument);
 *     while (receives(bytes, &length)) {
 *         outcome = http_parser_feed(&parser, bytes, length, &used);
 *     }
 *
 * Not thread-safe.
 */
#ifndef COMMON_HTTP_PARSER_H
#define COMMON_HTTP_PARSER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"

enum http_outcome {
    HTTP_INCOMPLETE, /* More is to come. */
    HTTP_COMPLETE,
    HTTP_MALFORMED, /* What came is no answer, or one too large to be meant. */
    HTTP_STOPPED,   /* 'take' did not want more. */
};

struct http_parser {
    int code;                    /* 0 until the head has come. */
    int64_t retry_after_seconds; /* 0: it does not say. */
    bool keeps_alive;            /* The connection may carry another exchange after this one. */
    bool has_begun;              /* At least a byte has come. */

    bool (*take)(void *argument, const char *bytes, size_t length);
    void *argument;
    int state;
    uint64_t left;      /* Of the body, or of a chunk. */
    struct buffer line; /* What has come of the head, or of a line between chunks. */
};

/* 'take' is given the body piece by piece and returns whether it goes on. */
void http_parser_init(struct http_parser *parser,
                      bool (*take)(void *argument, const char *bytes, size_t length),
                      void *argument);
/* The next bytes; '*used' tells how many of them belong to the answer. Not after another outcome
 * than HTTP_INCOMPLETE. */
enum http_outcome http_parser_feed(struct http_parser *parser, const char *bytes, size_t length,
                                   size_t *used);
/* The connection has ended. HTTP_COMPLETE when that is how the answer ends, else HTTP_INCOMPLETE.
 */
enum http_outcome http_parser_end(const struct http_parser *parser);
void http_parser_clear(struct http_parser *parser);

#endif
