// SPDX-License-Identifier: Apache-2.0
/* LabelSelectors as text: for people, and for queries. */
#ifndef CONTROLLERS_LABEL_SELECTOR_TEXT_H
#define CONTROLLERS_LABEL_SELECTOR_TEXT_H

#include <jansson.h>

/* As Go prints one: "&LabelSelector{MatchLabels:map[string]string{a: b,},…}", "nil" for none. The
 * caller's. */
char *label_selector_text(const json_t *selector);
/* As the parameter labelSelector takes it: "a=b,c in (d,e)"; "" for none. The caller's. */
char *label_selector_query(const json_t *selector);

#endif
