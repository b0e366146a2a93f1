// SPDX-License-Identifier: Apache-2.0
/*
 * --admission-control-config-file: what plugins are told beside flags.
 *
 * An AdmissionConfiguration of apiserver.config.k8s.io/v1, whose plugins each have their
 * configuration in place or in a file of their own, relative to the first. What is not known is an
 * error that names the field: a limit that is misspelt would else not be there.
 */
#ifndef APISERVER_ADMISSION_CONFIGURATION_H
#define APISERVER_ADMISSION_CONFIGURATION_H

#include <jansson.h>
#include <stdbool.h>

#include "apiserver/admission/options.h"
#include "common/error.h"

/* Reads the file into the options, unless it is NULL. Errors (400) name the file and the field. */
bool admission_configuration_read(struct admission_options *options, const char *path,
                                  struct error *error);
/* Frees what it has read. */
void admission_configuration_clear(struct admission_options *options);

/* ---- for those who read a plugin's part ---- */

/* A member that an object may have. */
struct configuration_member {
    const char *name; /* NULL ends a table. */
    json_type type;
};

/* The value is an object, and has no other members, nor such of another type; null is fine for any.
 * 'path' is where it stands: "limits[0]", "" at the root. */
bool configuration_check(const json_t *value, const char *path,
                         const struct configuration_member *members, struct error *error);
/* The member, absent or null as well, is a list of strings. */
bool configuration_check_texts(const json_t *object, const char *path, const char *name,
                               struct error *error);

#endif
