// SPDX-License-Identifier: Apache-2.0
/* Lists of conditions in an object's status. */
#ifndef CONTROLLERS_CONDITIONS_H
#define CONTROLLERS_CONDITIONS_H

#include <jansson.h>
#include <stdbool.h>

/* The condition of that type in the array (NULL: an empty one). Borrowed; NULL when absent. */
json_t *condition_find(const json_t *conditions, const char *type);
bool condition_is_true(const json_t *conditions, const char *type);
/* Sets a condition {type, status, reason, message, lastTransitionTime}; the time of the last
 * transition stays when the status does. 'with_update_time' adds lastUpdateTime, now. Does nothing
 * and returns false when status, reason and message are as they were. 'reason' and 'message' may be
 * NULL: left out. */
bool condition_set(json_t *conditions, const char *type, const char *status, const char *reason,
                   const char *message, bool with_update_time);
bool condition_remove(json_t *conditions, const char *type);

#endif
