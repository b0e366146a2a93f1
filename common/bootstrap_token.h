// SPDX-License-Identifier: Apache-2.0
/*
 * Secrets of type bootstrap.kubernetes.io/token in kube-system: "bootstrap-token-<id>" holds the
 * token "<id>.<secret>", what it may be used for, and until when. Pure functions of their trees.
 */
#ifndef COMMON_BOOTSTRAP_TOKEN_H
#define COMMON_BOOTSTRAP_TOKEN_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

enum { BOOTSTRAP_TOKEN_ID_LENGTH = 6, BOOTSTRAP_TOKEN_SECRET_LENGTH = 16 };

extern const char bootstrap_token_type[];

/* One of the secret's data, decoded; "" when it has none. The caller's. */
char *bootstrap_token_datum(const json_t *secret, const char *name);
/* Nanoseconds since 1970; INT64_MAX: it doesn't end; INT64_MIN: its time can't be read, and so it
 * has ended. */
int64_t bootstrap_token_expiry(const json_t *secret);
/* Lower case letters and digits alone; the text need not end with a NUL. */
bool bootstrap_token_is_text(const char *text, size_t length);

#endif
