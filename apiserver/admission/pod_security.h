// SPDX-License-Identifier: Apache-2.0
/*
 * The Pod Security Standards: what a pod may ask for at the levels baseline and restricted, as of
 * some minor version of Kubernetes.
 *
 * Pure functions of trees; the plugin that asks them is pod_security.c.
 */
#ifndef APISERVER_ADMISSION_POD_SECURITY_H
#define APISERVER_ADMISSION_POD_SECURITY_H

#include <jansson.h>

#include "common/buffer.h"
#include "common/error.h"

/* From the most permissive to the strictest. */
enum pod_security_level { POD_SECURITY_PRIVILEGED, POD_SECURITY_BASELINE, POD_SECURITY_RESTRICTED };

enum { POD_SECURITY_LATEST = 1 << 30 }; /* The version "latest", newer than any other. */

struct pod_security_standard {
    enum pod_security_level level;
    int minor; /* 24 for "v1.24", or POD_SECURITY_LATEST. */
};

/* What holds in a namespace. */
struct pod_security_policy {
    struct pod_security_standard enforce, audit, warn;
};

bool pod_security_parse_level(const char *text, enum pod_security_level *level);
/* "latest" or "v1.24", without leading zeros. */
bool pod_security_parse_version(const char *text, int *minor);

/* What a namespace's labels ask for; 'defaults' (NULL: privileged) where they say nothing, and
 * 'warn' as strict as 'enforce' unless they say otherwise. Labels that can't be understood are
 * added to 'errors' (may be NULL); enforced is then the strictest, and nobody is warned. */
struct pod_security_policy pod_security_policy_of(const json_t *labels,
                                                  const struct pod_security_policy *defaults,
                                                  struct field_errors *errors);
/* "restricted:latest". */
void pod_security_print(const struct pod_security_standard *standard, struct buffer *text);

/* Whether a pod, or a template of pods, keeps to a standard. If not, appends why: to 'reasons'
 * (may be NULL) "host namespaces, privileged", to 'details' (may be NULL) the same with what is
 * wrong in brackets. */
bool pod_security_allows(const struct pod_security_standard *standard, const json_t *metadata,
                         const json_t *spec, struct buffer *reasons, struct buffer *details);

#endif
