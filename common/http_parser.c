// SPDX-License-Identifier: Apache-2.0
/*
 * The head is looked at once it is there as a whole, mostly where it lies; only what comes in
 * pieces is copied. How the body ends is said by Transfer-Encoding, else by Content-Length, else by
 * the end of the connection (RFC 9112, 6.3).
 */
#include "common/http_parser.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "common/alloc.h"

enum { head_bytes_max = 64 * 1024, line_bytes_max = 4096, chunk_digits_max = 15 };

enum state {
    IN_HEAD,
    IN_BODY,        /* 'left' bytes of it are to come. */
    IN_BODY_TO_END, /* Until the connection ends. */
    IN_CHUNK_SIZE,
    IN_CHUNK,     /* 'left' bytes of it are to come. */
    IN_CHUNK_END, /* An empty line. */
    IN_TRAILER,   /* Lines, up to an empty one. */
};

/* A part of a head. */
struct part {
    const char *text;
    size_t length;
};

/* What a head says of the body. */
struct framing {
    bool is_chunked, has_length;
    uint64_t length;
};

void http_parser_init(struct http_parser *parser,
                      bool (*take)(void *argument, const char *bytes, size_t length),
                      void *argument)
{
    *parser = (struct http_parser){.take = take, .argument = argument, .state = IN_HEAD};
}

void http_parser_clear(struct http_parser *parser)
{
    buffer_free(&parser->line);
}

/* ---- fields ---- */

static bool part_is(struct part part, const char *text)
{
    return part.length == strlen(text) && strncasecmp(part.text, text, part.length) == 0;
}

static struct part trim(struct part part)
{
    while (part.length > 0 && strchr(" \t\r", part.text[part.length - 1]) != NULL) {
        part.length--;
    }
    while (part.length > 0 && (*part.text == ' ' || *part.text == '\t')) {
        part.text++;
        part.length--;
    }
    return part;
}

/* Digits only, and few enough not to overflow. */
static bool read_number(struct part part, uint64_t *number)
{
    *number = 0;
    for (size_t i = 0; i < part.length; i++) {
        if (part.text[i] < '0' || part.text[i] > '9') {
            return false;
        }
        *number = *number * 10 + (uint64_t)(part.text[i] - '0');
    }
    return part.length > 0 && part.length <= 18;
}

/* Seconds, or a date. */
static int64_t read_retry_after(struct part part)
{
    uint64_t seconds;
    if (read_number(part, &seconds)) {
        return (int64_t)seconds;
    }
    cleanup(free_char)
    char *text = duplicate_bytes(part.text, part.length);
    time_t date = curl_getdate(text, NULL), now = time(NULL);
    return date > now ? date - now : 0;
}

static bool read_length(struct part value, struct framing *framing)
{
    uint64_t length;
    if (!read_number(value, &length) || (framing->has_length && framing->length != length)) {
        return false;
    }
    framing->has_length = true;
    framing->length = length;
    return true;
}

static bool read_field(struct http_parser *parser, struct part name, struct part value,
                       struct framing *framing)
{
    if (part_is(name, "Content-Length")) {
        return read_length(value, framing);
    }
    if (part_is(name, "Transfer-Encoding")) {
        framing->is_chunked = part_is(value, "chunked");
        return framing->is_chunked;
    }
    if (part_is(name, "Connection")) {
        parser->keeps_alive = parser->keeps_alive && !part_is(value, "close");
    } else if (part_is(name, "Retry-After")) {
        parser->retry_after_seconds = read_retry_after(value);
    }
    return true;
}

/* ---- the head ---- */

/* "HTTP/1.1 200 OK" */
static bool read_status(struct http_parser *parser, struct part line)
{
    uint64_t code;
    if (line.length < 12 || memcmp(line.text, "HTTP/1.", 7) != 0 || line.text[8] != ' ' ||
        !read_number((struct part){line.text + 9, 3}, &code) || code < 100) {
        return false;
    }
    parser->code = (int)code;
    parser->keeps_alive = line.text[7] != '0';
    return true;
}

static struct part next_line(const char **at, const char *end)
{
    const char *start = *at, *stop = memchr(start, '\n', (size_t)(end - start));
    stop = stop != NULL ? stop : end;
    *at = stop < end ? stop + 1 : end;
    return trim((struct part){start, (size_t)(stop - start)});
}

static bool read_fields(struct http_parser *parser, const char *at, const char *end,
                        struct framing *framing)
{
    while (at < end) {
        struct part line = next_line(&at, end);
        const char *colon = memchr(line.text, ':', line.length);
        if (line.length == 0) {
            continue;
        }
        if (colon == NULL) {
            return false;
        }
        size_t name_length = (size_t)(colon - line.text);
        struct part name = {line.text, name_length};
        struct part value = {colon + 1, line.length - name_length - 1};
        if (!read_field(parser, name, trim(value), framing)) {
            return false;
        }
    }
    return true;
}

static enum http_outcome begin_body(struct http_parser *parser, const struct framing *framing)
{
    bool has_none = parser->code == 204 || parser->code == 304;
    if (framing->is_chunked && !has_none) {
        parser->state = IN_CHUNK_SIZE;
    } else if (framing->has_length || has_none) {
        parser->state = IN_BODY;
        parser->left = has_none ? 0 : framing->length;
        return parser->left == 0 ? HTTP_COMPLETE : HTTP_INCOMPLETE;
    } else {
        parser->state = IN_BODY_TO_END;
        parser->keeps_alive = false;
    }
    return HTTP_INCOMPLETE;
}

static enum http_outcome read_head(struct http_parser *parser, const char *at, size_t length)
{
    const char *end = at + length;
    struct framing framing = {0};
    if (!read_status(parser, next_line(&at, end)) || parser->code == 101 ||
        !read_fields(parser, at, end, &framing)) {
        return HTTP_MALFORMED;
    }
    if (parser->code / 100 == 1) { /* What counts comes after it. */
        parser->code = 0;
        return HTTP_INCOMPLETE;
    }
    return begin_body(parser, &framing);
}

/* The length of a head with its empty line; 0: it is not there yet. */
static size_t head_length(const char *bytes, size_t length)
{
    const char *at = bytes, *end = bytes + length;
    while ((at = memchr(at, '\n', (size_t)(end - at))) != NULL) {
        at++;
        if (at < end && *at == '\n') {
            return (size_t)(at + 1 - bytes);
        }
        if (at + 1 < end && at[0] == '\r' && at[1] == '\n') {
            return (size_t)(at + 2 - bytes);
        }
    }
    return 0;
}

static enum http_outcome feed_head(struct http_parser *parser, const char *bytes, size_t length,
                                   size_t *used)
{
    size_t before = parser->line.length;
    if (before == 0) {
        *used = head_length(bytes, length);
        if (*used > 0) {
            return read_head(parser, bytes, *used);
        }
    }
    buffer_add(&parser->line, bytes, length);
    size_t head = head_length(parser->line.bytes, parser->line.length);
    *used = head > 0 ? head - before : length;
    if (head == 0) {
        return parser->line.length > head_bytes_max ? HTTP_MALFORMED : HTTP_INCOMPLETE;
    }
    enum http_outcome outcome = read_head(parser, parser->line.bytes, head);
    buffer_reset(&parser->line);
    return outcome;
}

/* ---- the body ---- */

static enum http_outcome feed_body(struct http_parser *parser, const char *bytes, size_t length,
                                   size_t *used)
{
    bool is_counted = parser->state != IN_BODY_TO_END;
    *used = is_counted && parser->left < length ? (size_t)parser->left : length;
    parser->left -= is_counted ? *used : 0;
    if (!parser->take(parser->argument, bytes, *used)) {
        return HTTP_STOPPED;
    }
    if (!is_counted || parser->left > 0) {
        return HTTP_INCOMPLETE;
    }
    if (parser->state == IN_BODY) {
        return HTTP_COMPLETE;
    }
    parser->state = IN_CHUNK_END;
    return HTTP_INCOMPLETE;
}

static int digit_of(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* Hexadecimal digits, perhaps with an extension that means nothing here. */
static bool read_chunk_size(struct http_parser *parser, struct part line)
{
    size_t digits = 0;
    parser->left = 0;
    while (digits < line.length && digit_of(line.text[digits]) >= 0) {
        parser->left = parser->left * 16 + (uint64_t)digit_of(line.text[digits++]);
    }
    bool has_end = digits == line.length || strchr("; \t", line.text[digits]) != NULL;
    return digits > 0 && digits <= chunk_digits_max && has_end;
}

static enum http_outcome read_line(struct http_parser *parser, struct part line)
{
    switch ((enum state)parser->state) {
    case IN_CHUNK_SIZE:
        if (!read_chunk_size(parser, line)) {
            return HTTP_MALFORMED;
        }
        parser->state = parser->left > 0 ? IN_CHUNK : IN_TRAILER;
        return HTTP_INCOMPLETE;
    case IN_CHUNK_END:
        parser->state = IN_CHUNK_SIZE;
        return line.length == 0 ? HTTP_INCOMPLETE : HTTP_MALFORMED;
    default:
        return line.length == 0 ? HTTP_COMPLETE : HTTP_INCOMPLETE; /* Trailers mean nothing here. */
    }
}

static enum http_outcome feed_line(struct http_parser *parser, const char *bytes, size_t length,
                                   size_t *used)
{
    const char *end = memchr(bytes, '\n', length);
    size_t part = end != NULL ? (size_t)(end - bytes) : length;
    *used = end != NULL ? part + 1 : length;
    if (parser->line.length + part > line_bytes_max) {
        return HTTP_MALFORMED;
    }
    if (end != NULL && parser->line.length == 0) {
        return read_line(parser, trim((struct part){bytes, part}));
    }
    buffer_add(&parser->line, bytes, part);
    if (end == NULL) {
        return HTTP_INCOMPLETE;
    }
    enum http_outcome outcome =
        read_line(parser, trim((struct part){parser->line.bytes, parser->line.length}));
    buffer_reset(&parser->line);
    return outcome;
}

/* ---- all ---- */

enum http_outcome http_parser_feed(struct http_parser *parser, const char *bytes, size_t length,
                                   size_t *used)
{
    enum http_outcome outcome = HTTP_INCOMPLETE;
    *used = 0;
    while (*used < length && outcome == HTTP_INCOMPLETE) {
        const char *at = bytes + *used;
        size_t left = length - *used, part;
        parser->has_begun = true;
        switch ((enum state)parser->state) {
        case IN_HEAD:
            outcome = feed_head(parser, at, left, &part);
            break;
        case IN_BODY:
        case IN_BODY_TO_END:
        case IN_CHUNK:
            outcome = feed_body(parser, at, left, &part);
            break;
        default:
            outcome = feed_line(parser, at, left, &part);
            break;
        }
        *used += part;
    }
    return outcome;
}

enum http_outcome http_parser_end(const struct http_parser *parser)
{
    return parser->state == IN_BODY_TO_END ? HTTP_COMPLETE : HTTP_INCOMPLETE;
}
