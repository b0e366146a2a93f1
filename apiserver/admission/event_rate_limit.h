// SPDX-License-Identifier: Apache-2.0
/* EventRateLimit: how many events may be written a second, by whom or about what. */
#ifndef APISERVER_ADMISSION_EVENT_RATE_LIMIT_H
#define APISERVER_ADMISSION_EVENT_RATE_LIMIT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"

struct event_rate_limit;

/* Of a Configuration of eventratelimit.admission.k8s.io/v1alpha1. The caller's. */
struct event_rate_limit *event_rate_limit_new(const json_t *configuration, struct error *error);
void event_rate_limit_free(struct event_rate_limit *limit); /* NULL is fine. */
/* Whether this event may be written now; counts it with each limit. Else 429. From any thread. */
bool event_rate_limit_accept(struct event_rate_limit *limit, const char *user,
                             const char *namespace, const json_t *event, int64_t now_ns,
                             struct error *error);

#endif
