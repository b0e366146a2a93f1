// SPDX-License-Identifier: Apache-2.0
/* How an object is to be deleted: from the body and the query of a request. */
#ifndef APISERVER_REGISTRY_DELETE_OPTIONS_H
#define APISERVER_REGISTRY_DELETE_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "apiserver/http/request.h"
#include "common/error.h"

struct delete_options {
    int64_t grace_period_seconds;                           /* -1: not given. */
    char *precondition_uid, *precondition_resource_version; /* NULL: none. */
    char *propagation_policy; /* "Background", "Foreground", "Orphan", NULL: the kind's default. */
    bool orphan_dependents_given, orphan_dependents; /* The deprecated form. */
};

/* The body of a delete: DeleteOptions that fit their schema, {} when there is none. The caller's.
 */
json_t *delete_options_body(const struct request *request, struct error *error);
/* Options from the body and, where that has none, the query. Clear them in any case. */
bool delete_options_read(const struct request *request, const json_t *body,
                         struct delete_options *options, struct error *error);
void delete_options_clear(struct delete_options *options);

#endif
