// SPDX-License-Identifier: Apache-2.0
/* Rules of label selectors and of selectors of nodes, wherever they stand. */
#ifndef APISERVER_REGISTRY_VALIDATION_SELECTORS_H
#define APISERVER_REGISTRY_VALIDATION_SELECTORS_H

#include <jansson.h>

#include "common/error.h"

/* A metav1.LabelSelector; NULL is fine. */
void validate_label_selector(const json_t *selector, const struct field_path *path,
                             struct field_errors *errors);
/* One requirement in an access review, whose operator may be one that is not known here. */
void validate_asked_label(const json_t *requirement, const struct field_path *path,
                          struct field_errors *errors);
void validate_asked_field(const json_t *requirement, const struct field_path *path,
                          struct field_errors *errors);
/* Has no requirement at all, which selects everything. */
bool selector_is_empty(const json_t *selector);
/* A core NodeSelector: at least one term. 'strict': values of labels must be fit for labels. */
void validate_node_selector(const json_t *selector, bool strict, const struct field_path *path,
                            struct field_errors *errors);
void validate_node_selector_term(const json_t *term, bool strict, const struct field_path *path,
                                 struct field_errors *errors);

#endif
