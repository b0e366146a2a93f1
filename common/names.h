// SPDX-License-Identifier: Apache-2.0
/* Rules for names, labels and the like, as apimachinery's validation package has them. Each
 * is_valid function returns NULL when the text is right, else upstream's message (static). */
#ifndef COMMON_NAMES_H
#define COMMON_NAMES_H

#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"

const char *names_check_dns_label(const char *text);     /* IsDNS1123Label */
const char *names_check_dns_subdomain(const char *text); /* IsDNS1123Subdomain */
const char *names_check_dns1035_label(const char *text); /* IsDNS1035Label */
const char *names_check_label_value(const char *text);   /* IsValidLabelValue */
const char *names_check_path_segment(const char *text);  /* IsValidPathSegmentName */
const char *names_check_port_name(const char *text);     /* IsValidPortName, its first complaint */
const char *names_check_config_key(const char *text);    /* IsConfigMapKey */
const char *names_check_env_name(const char *text);      /* relaxed environment variable name */
const char *names_check_ip(const char *text);            /* IsValidIP */
const char *names_check_cidr(const char *text);          /* IsValidCIDR */
/* [prefix/]name. The prefix and the name part have messages of their own, so the text is built:
 * the caller's; NULL when right. */
char *names_check_qualified(const char *text); /* IsQualifiedName */
/* By the name_format of a resource: "subdomain", "label", "label1035", "path-segment". */
const char *names_check(const char *name_format, const char *text);

/* Validation of metadata.labels and metadata.annotations (total size at most 256 KiB). */
void names_validate_labels(const json_t *labels, const struct field_path *path,
                           struct field_errors *errors);
void names_validate_annotations(const json_t *annotations, const struct field_path *path,
                                struct field_errors *errors);

#endif
