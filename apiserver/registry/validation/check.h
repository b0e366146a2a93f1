// SPDX-License-Identifier: Apache-2.0
/*
 * The vocabulary of semantic validation: what the rules of the kinds have in common.
 *
 * Structural validation (common/schema_rules.h) has looked at the object before: what a schema can
 * say about one field (required, enumerations, ranges, formats) is not repeated here. The functions
 * of this folder add what one field allows in another, with upstream's paths, reasons and words.
 * They take trees that are pruned and defaulted, and never change them. All of them may be called
 * from any thread.
 */
#ifndef APISERVER_REGISTRY_VALIDATION_CHECK_H
#define APISERVER_REGISTRY_VALIDATION_CHECK_H

#include <jansson.h>
#include <stdbool.h>

#include "common/alloc.h"
#include "common/error.h"
#include "common/map.h"

/* ---- reading ---- */

/* The text of a member, "" when it is absent: as Go reads a string. Borrowed. */
const char *check_text(const json_t *object, const char *name);
bool check_is(const json_t *object, const char *name, const char *text);
bool check_has(const json_t *object, const char *name);
/* What the object has of the members in the array 'names', each at its name's place in 'members',
 * NULL where there is none. An object has few of all that it could have, so this costs much less
 * than to ask for each. */
#define check_members(object, names, members)                                                      \
    check_members_list((object), (names), array_length(names), (members))
void check_members_list(const json_t *object, const char *const *names, size_t count,
                        const json_t **members);
/* An absent and an empty value count as equal, as two nil ones do in Go. */
bool check_equal(const json_t *a, const json_t *b);
/* One of the texts; the list ends with NULL. */
bool check_one_of(const char *text, const char *const *list);
bool check_starts_with(const char *text, const char *prefix);
/* Adds to the set each text that the elements of the list have as that member; NULL: that they are
 * themselves. Lists are long when somebody wants them to be: look elements up in a set, never in
 * the list. */
void check_collect(struct map *set, const json_t *list, const char *member);

/* ---- adding errors ---- */

/* The error of a message of common/names.h; nothing when it is NULL. */
void check_message(const json_t *value, const char *message, const struct field_path *path,
                   struct field_errors *errors);
/* The same about a text that is no value of the tree. */
void check_invalid_text(const char *text, const char *message, const struct field_path *path,
                        struct field_errors *errors);
void check_duplicate_text(const char *text, const struct field_path *path,
                          struct field_errors *errors);
/* Unsupported value, whose supported ones end with NULL. */
void check_not_supported(const char *text, const char *const *supported,
                         const struct field_path *path, struct field_errors *errors);
/* Something is wrong at this path, or below it. */
bool check_any_below(const struct field_errors *errors, const struct field_path *path);

/* ---- rules that many kinds share ---- */

/* A number above 0, which an absent one is not. */
void check_positive(const json_t *number, const struct field_path *path,
                    struct field_errors *errors);
void check_not_negative(const json_t *number, const struct field_path *path,
                        struct field_errors *errors);
/* So are all of these members of a status; the list ends with NULL. */
void check_counters(const json_t *status, const char *const *members, struct field_errors *errors);
/* A port: a number from 1 to 65535, or a name. */
void check_port(const json_t *port, const struct field_path *path, struct field_errors *errors);
/* A relative path without "..". */
void check_descending_path(const json_t *value, const struct field_path *path,
                           struct field_errors *errors);
bool check_has_backsteps(const char *text);
/* Such a path that doesn't begin with ".." either: those names are the volumes' own. */
void check_local_path(const json_t *value, const struct field_path *path,
                      struct field_errors *errors);
/* A DNS label, or a DNS subdomain, when the value is there and not empty. */
void check_label(const json_t *value, const struct field_path *path, struct field_errors *errors);
void check_subdomain(const json_t *value, const struct field_path *path,
                     struct field_errors *errors);
/* "example.com/path" (IsDomainPrefixedPath). */
void check_domain_prefixed_path(const json_t *value, const struct field_path *path,
                                struct field_errors *errors);
/* A number that is not negative, or a percentage: "25%". */
void check_int_or_percent(const json_t *value, const struct field_path *path,
                          struct field_errors *errors);
/* Its number; that of the percentage; 0 for what is neither. */
json_int_t check_int_or_percent_value(const json_t *value);
void check_at_most_100_percent(const json_t *value, const struct field_path *path,
                               struct field_errors *errors);
/* conditions.c: a list of metav1.Condition, one of each type. */
void check_conditions(const json_t *conditions, const struct field_path *path,
                      struct field_errors *errors);
/* "field is immutable", unless both are equal. */
void check_immutable(const json_t *value, const json_t *old, const struct field_path *path,
                     struct field_errors *errors);

#endif
