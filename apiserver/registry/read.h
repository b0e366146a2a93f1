// SPDX-License-Identifier: Apache-2.0
/* Get, list and watch: the handlers. */
#ifndef APISERVER_REGISTRY_READ_H
#define APISERVER_REGISTRY_READ_H

#include "apiserver/registry/list_query.h"
#include "apiserver/registry/registry.h"

/* The answer to a list: those objects of a snapshot that match. */
struct list_page {
    struct snapshot *snapshot;
    struct object **objects; /* Borrowed from the snapshot. */
    size_t count;
    char *continue_token; /* NULL: there are no more. */
    int64_t remaining;    /* How many more; -1: not known. */
};

/* Blocks. */
bool registry_list(struct registry *registry, const struct request *request,
                   const struct list_query *query, struct list_page *page, struct error *error);
void list_page_clear(struct list_page *page); /* Also fit for cleanup(). */

void registry_serve_get(struct registry *registry, struct request *request,
                        struct response *response);
void registry_serve_list(struct registry *registry, struct request *request,
                         struct response *response);
void registry_serve_watch(struct registry *registry, struct request *request,
                          struct response *response);

#endif
