// SPDX-License-Identifier: Apache-2.0
/* PodNodeSelector: what a namespace says about the nodes of its pods. */
#ifndef APISERVER_ADMISSION_POD_NODE_SELECTOR_H
#define APISERVER_ADMISSION_POD_NODE_SELECTOR_H

#include <jansson.h>

#include "common/error.h"

/* "a=b,c=d" as an object, the caller's; NULL with an error when it is something else. */
json_t *pod_node_selector_labels(const char *text, struct error *error);

#endif
