// SPDX-License-Identifier: Apache-2.0
/* IntOrString fields that say "3" or "25%" of something. */
#ifndef CONTROLLERS_INT_OR_PERCENT_H
#define CONTROLLERS_INT_OR_PERCENT_H

#include <jansson.h>
#include <stdbool.h>

/* The number itself, or that part of 'total', rounded up or down; 0 when absent or neither. */
json_int_t int_or_percent(const json_t *value, json_int_t total, bool round_up);

#endif
