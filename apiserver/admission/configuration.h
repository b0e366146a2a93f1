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
#include "common/configuration.h"
#include "common/error.h"

/* Reads the file into the options, unless it is NULL. Errors (400) name the file and the field. */
bool admission_configuration_read(struct admission_options *options, const char *path,
                                  struct error *error);
/* Frees what it has read. */
void admission_configuration_clear(struct admission_options *options);

#endif
