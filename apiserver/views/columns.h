// SPDX-License-Identifier: Apache-2.0
/*
 * Functions that compute a Table's cell from an object, for columns whose value is no plain path.
 *
 * A column's value names one, with the paths it works on behind it: "or_none .spec.nodeName". Each
 * returns a new value: a string, or a number for integer columns.
 */
#ifndef APISERVER_VIEWS_COLUMNS_H
#define APISERVER_VIEWS_COLUMNS_H

#include <jansson.h>
#include <stddef.h>

enum { column_paths_max = 8 };

struct column_input {
    const json_t *object;                   /* The whole object, in its stored version. */
    const json_t *values[column_paths_max]; /* At the paths; NULL when absent. */
    size_t count;
};

typedef json_t *(*column_function)(const struct column_input *input);

/* NULL for an unknown name. The name ends with a space or NUL. */
column_function column_find(const char *name);

/* "5m" for a time in RFC 3339; 'absent' for NULL. */
json_t *column_age(const json_t *time, const char *absent);

/* Pods' columns; in columns_pods.c. */
json_t *column_pod_ready(const struct column_input *input);
json_t *column_pod_status(const struct column_input *input);
json_t *column_pod_restarts(const struct column_input *input);
json_t *column_pod_readiness_gates(const struct column_input *input);
json_t *column_pod_ip(const struct column_input *input);

#endif
