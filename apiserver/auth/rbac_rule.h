// SPDX-License-Identifier: Apache-2.0
/*
 * Rules of RBAC (PolicyRule): what one allows, and what a list of them covers.
 *
 * A rule is compiled once from its JSON; what decisions ask first is in three words of bits, one
 * bit for each hash of a verb, group and resource, so that nearly all rules that do not match are
 * passed over without looking at a string.
 *
 * Threads: immutable once made.
 */
#ifndef APISERVER_AUTH_RBAC_RULE_H
#define APISERVER_AUTH_RBAC_RULE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"

/* Texts that stand in one rule; 'list' has 'count' of them. */
struct rbac_texts {
    char **list;
    size_t count;
};

struct rbac_rule {
    struct rbac_texts verbs, groups, resources, names, urls;
    uint64_t verb_bits, group_bits, resource_bits;
};

struct rbac_rules {
    struct rbac_rule *list;
    size_t count, capacity;
};

#define RBAC_RULES_INIT ((struct rbac_rules){0})

/* Compiles the 'rules' of a role: an array of PolicyRules, or NULL for none. */
void rbac_rules_compile(struct rbac_rules *rules, const json_t *json);
/* Appends a copy of one rule. */
void rbac_rules_add(struct rbac_rules *rules, const struct rbac_rule *rule);
void rbac_rules_clear(struct rbac_rules *rules); /* Also fit for cleanup(). */
/* A rule as PolicyRule; empty lists are left out. The caller's. */
json_t *rbac_rule_json(const struct rbac_rule *rule);

/* What is asked of rules. 'resource' has the subresource behind a slash ("pods/log"). */
struct rbac_question {
    const char *verb, *group, *resource, *subresource, *name;
    const char *path; /* For what is no resource; NULL else. */
    uint64_t verb_bits, group_bits, resource_bits;
};

/* Fills in the bits. */
void rbac_question_prepare(struct rbac_question *question);
/* Whether the rule allows it: "*" is any verb, group or resource, and "*" before "/scale" any
 * resource with that subresource; a path's rule may end in "*". */
bool rbac_rule_allows(const struct rbac_rule *rule, const struct rbac_question *question);

/* Whether 'owner' holds all that 'wanted' grants, taken apart to single verbs on single resources.
 * What is not held is appended to 'missing' (may be NULL), in single verbs. A rule that would come
 * to 100,000 of them and is within none of the owner's alone counts as not held. */
bool rbac_rules_cover(const struct rbac_rules *owner, const struct rbac_rules *wanted,
                      struct rbac_rules *missing);
/* Appends the rules as upstream describes what is missing, those of one resource put together:
 *   {APIGroups:[""], Resources:["pods"], Verbs:["get" "list"]}
 * one a line, in order of their text. */
void rbac_rules_describe(const struct rbac_rules *rules, struct buffer *out);

#endif
