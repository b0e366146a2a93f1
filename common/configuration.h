// SPDX-License-Identifier: Apache-2.0
/* Configuration files: YAML that is read strictly, so that what is misspelt is told and not
 * overlooked. */
#ifndef COMMON_CONFIGURATION_H
#define COMMON_CONFIGURATION_H

#include <jansson.h>
#include <stdbool.h>

#include "common/error.h"

/* Reads a file of at most 1 MiB. Errors (400) name it. The caller's. */
json_t *configuration_read_yaml(const char *path, struct error *error);

/* A member that an object may have. */
struct configuration_member {
    const char *name; /* NULL ends a table. */
    json_type type;   /* JSON_TRUE: any boolean. */
};

/* The value is an object, and has no other members, nor such of another type; null is fine for any.
 * 'path' is where it stands: "limits[0]", "" at the root. */
bool configuration_check(const json_t *value, const char *path,
                         const struct configuration_member *members, struct error *error);
/* The member, absent or null as well, is a list of strings. */
bool configuration_check_texts(const json_t *object, const char *path, const char *name,
                               struct error *error);

#endif
