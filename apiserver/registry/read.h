// SPDX-License-Identifier: Apache-2.0
/* Get, list and watch: what a query asks for, and the handlers. */
#ifndef APISERVER_REGISTRY_READ_H
#define APISERVER_REGISTRY_READ_H

#include "apiserver/registry/registry.h"
#include "common/selector.h"

#define REVISION_UNSET INT64_C(-1)

/* The parameters that lists, watches and collection deletes share. */
struct list_query {
    struct selector *labels, *fields;
    int64_t limit;    /* 0: all. */
    int64_t revision; /* resourceVersion; REVISION_UNSET when not given. */
    enum { MATCH_UNSET, MATCH_EXACT, MATCH_NOT_OLDER } match;
    const char *continue_token; /* Borrowed from the request; NULL when not given. */
};

/* False (400 or 422) for what can't be. Clear it in any case. */
bool list_query_parse(const struct request *request, struct list_query *query, struct error *error);
void list_query_clear(struct list_query *query);
bool list_query_matches(const struct list_query *query, const struct object *object);
/* The common beginning of the keys that can match: "default/" or "". The caller's. */
char *list_query_prefix(const struct request *request, const struct list_query *query);

/* The objects that the request addresses, before selectors. The caller's. */
struct snapshot *registry_list(struct registry *registry, const struct request *request,
                               const struct list_query *query, struct error *error);

void registry_serve_get(struct registry *registry, struct request *request,
                        struct response *response);
void registry_serve_list(struct registry *registry, struct request *request,
                         struct response *response);
void registry_serve_watch(struct registry *registry, struct request *request,
                          struct response *response);

#endif
