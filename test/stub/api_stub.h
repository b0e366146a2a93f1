// SPDX-License-Identifier: Apache-2.0
/*
 * A server that answers what a test tells it to, over plain HTTP on a loopback port: for tests of
 * the API client. Each request takes the next answer of the script.
 */
#ifndef TEST_STUB_API_STUB_H
#define TEST_STUB_API_STUB_H

#include <stdbool.h>
#include <stddef.h>

struct api_stub;

struct api_stub_answer {
    int code; /* 0: the connection is cut without an answer. */
    const char *body;
    const char *retry_after; /* The header, NULL: none. */
    bool keeps_open;         /* The body is the beginning of a stream; see api_stub_release(). */
};

struct api_stub *api_stub_start(void);
void api_stub_stop(struct api_stub *stub);
/* "http://127.0.0.1:PORT" */
const char *api_stub_url(const struct api_stub *stub);

/* Appends an answer (its strings are borrowed). When there is none left, answers are 404. */
void api_stub_answer(struct api_stub *stub, struct api_stub_answer answer);
/* Lets the streams that are open end in order. */
void api_stub_release(struct api_stub *stub);
/* Blocks until so many requests have come in all. */
void api_stub_wait(struct api_stub *stub, size_t count);
size_t api_stub_count(struct api_stub *stub);
/* "GET /path?query" of the request with that number, then a space and its body if it had one; the
 * caller's. */
char *api_stub_request(struct api_stub *stub, size_t number);
/* A header of that request; the caller's, NULL when absent. Only User-Agent, Accept, Content-Type,
 * Authorization and those of impersonation are kept. */
char *api_stub_header(struct api_stub *stub, size_t number, const char *name);
/* How many requests were under way at the same time, at most. */
size_t api_stub_most_at_once(struct api_stub *stub);

#endif
