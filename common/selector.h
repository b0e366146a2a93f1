// SPDX-License-Identifier: Apache-2.0
/*
 * Label and field selectors, parsed once and matched against sets of strings.
 *
 * Immutable after parsing and free to share among threads.
 */
#ifndef COMMON_SELECTOR_H
#define COMMON_SELECTOR_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"

struct selector;

/* Looks up a label's or field's value; NULL when there is none. Need not be NUL-terminated: the
 * length goes to '*length'. */
typedef const char *(*selector_lookup)(const void *argument, const char *key, size_t *length);

/* "a=b,c!=d,e in (f,g),h notin (i),j,!k,l>5,m<7"; "" matches everything. Errors (400) as
 * upstream's labels.Parse words them: "unable to parse requirement: …". The caller's. */
struct selector *selector_parse_labels(const char *text, struct error *error);
/* "metadata.name=x,status.phase!=Running" with backslash escapes. */
struct selector *selector_parse_fields(const char *text, struct error *error);
/* A metav1.LabelSelector object; NULL or json null matches nothing, {} everything. */
struct selector *selector_from_object(const json_t *label_selector, struct error *error);
/* A plain map of labels that must all be there. */
struct selector *selector_from_map(const json_t *labels);
void selector_free(struct selector *selector); /* NULL is fine. */

bool selector_is_everything(const struct selector *selector);
bool selector_matches(const struct selector *selector, selector_lookup lookup,
                      const void *argument);
/* Against a JSON object of strings (NULL: empty). */
bool selector_matches_object(const struct selector *selector, const json_t *labels);

/* The keys that the selector asks for, each once, in order; for checking field labels. */
size_t selector_key_count(const struct selector *selector);
const char *selector_key(const struct selector *selector, size_t index);
/* What it asks for, as the API shows it: a list of {key, operator, values}, without what the API
 * has no operator for (l>5). The caller's. */
json_t *selector_requirements(const struct selector *selector);
/* The one value that a key must have for the selector to match, or NULL: lets a caller narrow down
 * by metadata.name or metadata.namespace. */
const char *selector_required_value(const struct selector *selector, const char *key);

#endif
