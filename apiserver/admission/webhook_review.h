// SPDX-License-Identifier: Apache-2.0
/* The AdmissionReview that tells a webhook of a write. Threads: any. */
#ifndef APISERVER_ADMISSION_WEBHOOK_REVIEW_H
#define APISERVER_ADMISSION_WEBHOOK_REVIEW_H

#include "apiserver/registry/registry.h"

/* "CREATE", "UPDATE" or "DELETE". */
const char *webhook_operation(const struct write *write);
/* The review, in the given version of the resource. It may share trees with the write. The
 * caller's. */
json_t *webhook_review(const struct write *write, const struct resource *resource);

/* Of the trees of a write that is of a body. */
const struct schema *webhook_body_schema(const struct write *write);

#endif
