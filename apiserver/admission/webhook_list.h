// SPDX-License-Identifier: Apache-2.0
/*
 * All admission webhooks, in the order in which they are asked: by the names of the configurations
 * in which they stand, then as they stand there. Follows the cache, change by change.
 *
 * Threads: any.
 */
#ifndef APISERVER_ADMISSION_WEBHOOK_LIST_H
#define APISERVER_ADMISSION_WEBHOOK_LIST_H

#include "apiserver/admission/options.h"
#include "apiserver/admission/webhook.h"
#include "apiserver/storage/cache.h"
#include "common/metrics.h"

enum webhook_type { WEBHOOKS_MUTATING, WEBHOOKS_VALIDATING, WEBHOOK_TYPES };

struct webhook_lists;

/* The webhooks of one moment. */
struct webhooks {
    struct webhook **webhooks; /* A reference each. */
    size_t count;
};

/* 'stopping' ends what is under way; 'options' have the credentials. Both are borrowed. */
struct webhook_lists *webhook_lists_new(struct cache *cache, const struct scheme *scheme,
                                        const struct admission_options *options,
                                        const atomic_bool *stopping);
void webhook_lists_free(struct webhook_lists *lists); /* When no change comes any more. */

/* Costs next to nothing when there is none. */
struct webhooks webhooks_get(struct webhook_lists *lists, enum webhook_type type);
void webhooks_clear(struct webhooks *webhooks); /* Also fit for cleanup(). */

/* A configuration is there, or is changed (its tree), or is gone (NULL). For the cache and tests.
 */
void webhook_lists_put(struct webhook_lists *lists, enum webhook_type type, const char *name,
                       const json_t *configuration);

/* Metrics of what is asked; before requests are served. */
void webhook_lists_measure(struct webhook_lists *lists, struct metrics *metrics);
/* A webhook was asked about an operation; 'code' and 'error_type' are of a refusal, 'error_type'
 * NULL: it had none. */
void webhook_lists_count(struct webhook_lists *lists, const char *name, enum webhook_type type,
                         const char *operation, int64_t duration_ns, const char *error_type,
                         int code);

#endif
