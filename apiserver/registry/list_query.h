// SPDX-License-Identifier: Apache-2.0
/* What the query of a list, watch or collection delete asks for, and where a list goes on. */
#ifndef APISERVER_REGISTRY_LIST_QUERY_H
#define APISERVER_REGISTRY_LIST_QUERY_H

#include "apiserver/http/request.h"
#include "apiserver/storage/object.h"
#include "common/selector.h"

#define REVISION_UNSET INT64_C(-1)

/* The parameters that lists, watches and collection deletes share. */
struct list_query {
    struct selector *labels, *fields;
    int64_t limit;    /* 0: all. */
    int64_t revision; /* resourceVersion; REVISION_UNSET when not given. */
    enum { MATCH_UNSET, MATCH_EXACT, MATCH_NOT_OLDER } match;
    /* sendInitialEvents; for a watch that begins at no revision it is INITIAL_YES by default. */
    enum { INITIAL_UNSET, INITIAL_NO, INITIAL_YES } initial_events;
    const char *continue_token; /* Borrowed from the request; NULL when not given. */
};

/* False (400, or 422 for combinations that are forbidden) for what can't be. Clear it in any case.
 */
bool list_query_parse(const struct request *request, struct list_query *query, struct error *error);
void list_query_clear(struct list_query *query);
bool list_query_matches(const struct list_query *query, const struct object *object);
/* The common beginning of the keys that can match: "default/" or "". The caller's. */
char *list_query_prefix(const struct request *request, const struct list_query *query);
/* ?resourceVersion= alone; REVISION_UNSET when there is none. */
bool list_query_parse_revision(const struct request *request, int64_t *revision,
                               struct error *error);

/* Where a list goes on. As a token it has upstream's form, base64url of
 * {"v":"meta.k8s.io/v1","rv":12,"start":"a\u0000"}: whoever edits it can move within what they may
 * list, but not out of it. */
struct list_position {
    int64_t revision; /* At which the list is read; below 0: whatever there is by then. */
    char *start;      /* The first key of the page, behind the list's prefix; NULL: the very first.
                       * May end with a NUL: right behind the last key of the page before. */
    size_t start_length;
};

/* The token; the caller's. */
char *list_position_encode(int64_t revision, const char *start, size_t length);
/* 400 for what is no token. Clear it in any case. */
bool list_position_decode(const char *token, struct list_position *position, struct error *error);
void list_position_clear(struct list_position *position); /* Also fit for cleanup(). */
/* Whether the key (behind the prefix) is on this page or a later one. */
bool list_position_reached(const struct list_position *position, const char *key);

#endif
