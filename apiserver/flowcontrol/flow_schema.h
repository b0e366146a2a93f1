// SPDX-License-Identifier: Apache-2.0
/*
 * FlowSchemas as they are matched: which requests are of which kind, and what tells flows apart.
 */
#ifndef APISERVER_FLOWCONTROL_FLOW_SCHEMA_H
#define APISERVER_FLOWCONTROL_FLOW_SCHEMA_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "apiserver/http/request.h"

enum { FLOW_UID_SIZE = 48 };

enum flow_distinguisher { FLOWS_ALIKE, FLOWS_BY_USER, FLOWS_BY_NAMESPACE };

struct flow_rule;
struct priority_level;
struct flow_stats;

struct flow_schema {
    char *name;
    char *level_name;
    char uid[FLOW_UID_SIZE]; /* "" of one that is not stored. */
    int64_t precedence;      /* The lowest counts, among equals the first by name. */
    enum flow_distinguisher distinguisher;
    struct flow_rule *rules;
    size_t rule_count;
    struct priority_level *level; /* Filled by flowcontrol.c, as is the next. */
    struct flow_stats *stats;
};

/* Of a FlowSchema's tree, which is valid. The caller's. */
struct flow_schema *flow_schema_new(const json_t *object);
void flow_schema_free(struct flow_schema *schema); /* NULL is fine. */

/* For qsort() of pointers: in the order of matching. */
int flow_schema_order(const void *a, const void *b);

/* The request's user and info are set. */
bool flow_schema_matches(const struct flow_schema *schema, const struct request *request);
/* What tells the flow apart within the schema; "" if nothing does. Borrowed. */
const char *flow_distinguisher_of(enum flow_distinguisher distinguisher,
                                  const struct request *request);

#endif
