// SPDX-License-Identifier: Apache-2.0
/* Compression of large answers, at level 1 as upstream: a body that wraps another one. */
#include <string.h>
#include <strings.h>
#include <zlib.h>

#include "apiserver/http/internal.h"
#include "common/alloc.h"

enum { threshold_bytes = 128 << 10, gzip_window_bits = 15 + 16, chunk_bytes = 32 << 10 };

struct gzip_body {
    struct body body;
    struct body *inner;  /* NULL: only 'first'. */
    struct buffer first; /* What has been produced already. */
    size_t first_used;
    z_stream stream;
    unsigned char chunk[chunk_bytes];
    bool input_ended, ended, failed;
};

/* Gives the compressor its next input. */
static void refill(struct gzip_body *gzip)
{
    if (gzip->first_used < gzip->first.length) {
        gzip->stream.next_in = (unsigned char *)gzip->first.bytes + gzip->first_used;
        gzip->stream.avail_in = (unsigned)(gzip->first.length - gzip->first_used);
        gzip->first_used = gzip->first.length;
        return;
    }
    ssize_t count =
        gzip->inner ? gzip->inner->class->read(gzip->inner, (char *)gzip->chunk, sizeof gzip->chunk)
                    : BODY_END;
    if (count > 0) {
        gzip->stream.next_in = gzip->chunk;
        gzip->stream.avail_in = (unsigned)count;
    } else {
        gzip->input_ended = true;
        gzip->failed = count != BODY_END;
    }
}

static ssize_t gzip_read(struct body *body, char *out, size_t size)
{
    struct gzip_body *gzip = container_of(body, struct gzip_body, body);
    gzip->stream.next_out = (unsigned char *)out;
    gzip->stream.avail_out = (unsigned)size;
    while (gzip->stream.avail_out > 0 && !gzip->ended && !gzip->failed) {
        if (gzip->stream.avail_in == 0 && !gzip->input_ended) {
            refill(gzip);
        }
        int code = deflate(&gzip->stream, gzip->input_ended ? Z_FINISH : Z_NO_FLUSH);
        gzip->ended = code == Z_STREAM_END;
    }
    size_t written = size - gzip->stream.avail_out;
    if (gzip->failed) {
        return BODY_FAIL;
    }
    return written > 0 ? (ssize_t)written : BODY_END;
}

static void gzip_close(struct body *body)
{
    struct gzip_body *gzip = container_of(body, struct gzip_body, body);
    deflateEnd(&gzip->stream);
    if (gzip->inner != NULL) {
        gzip->inner->class->close(gzip->inner);
    }
    buffer_free(&gzip->first);
    free(gzip);
}

static const struct body_class gzip_class = {gzip_read, gzip_close};

/* Reads the body until it is known to be large. True when it is, or when it 'failed'; else all of
 * it is in 'bytes'. */
static bool is_large(struct response *response, bool *failed)
{
    struct body *body = response->body;
    while (body != NULL && response->bytes.length <= threshold_bytes) {
        char *place = buffer_reserve(&response->bytes, chunk_bytes);
        ssize_t count = body->class->read(body, place, chunk_bytes);
        if (count <= 0) {
            body->class->close(body);
            body = response->body = NULL;
            *failed = count != BODY_END;
            break;
        }
        response->bytes.length += (size_t)count;
    }
    return *failed || response->bytes.length > threshold_bytes;
}

bool gzip_accepted(const char *accept_encoding)
{
    static const char name[] = "gzip";
    for (const char *at = accept_encoding; *at != '\0'; at += *at == ',') {
        at += strspn(at, " \t");
        size_t length = strcspn(at, ",; \t");
        bool named = length == sizeof name - 1 && strncasecmp(at, name, length) == 0;
        at += length;
        size_t rest = strcspn(at, ",");
        const char *quality = memchr(at, '=', rest);
        if (named) {
            return quality == NULL || strtod(quality + 1, NULL) > 0;
        }
        at += rest;
    }
    return false;
}

void gzip_response(struct response *response)
{
    bool failed = false;
    if ((response->body != NULL && response->body->stream) || !is_large(response, &failed)) {
        return;
    }
    struct gzip_body *gzip = allocate_struct(struct gzip_body);
    gzip->body.class = &gzip_class;
    gzip->inner = response->body;
    gzip->failed = failed;
    gzip->first = response->bytes;
    response->bytes = BUFFER_INIT;
    deflateInit2(&gzip->stream, 1, Z_DEFLATED, gzip_window_bits, 8, Z_DEFAULT_STRATEGY);
    response->body = &gzip->body;
    response_add_header(response, "Content-Encoding", "gzip");
    response_add_header(response, "Vary", "Accept-Encoding");
}
