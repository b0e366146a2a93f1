// SPDX-License-Identifier: Apache-2.0
#ifndef APISERVER_ADMISSION_OPTIONS_H
#define APISERVER_ADMISSION_OPTIONS_H

#include <jansson.h>
#include <stdint.h>

struct event_rate_limit;
struct pod_security_configuration;
struct quota_limits;
struct webhook_credentials;

/* What plugins can be told by flags. */
struct admission_options {
    const char *enable, *disable; /* Names, separated by commas. */
    int64_t not_ready_toleration_seconds, unreachable_toleration_seconds;
    const char *configuration_file; /* --admission-control-config-file */
    /* What that says, NULL where it says nothing; see configuration.h. */
    struct event_rate_limit *event_rate_limit;
    struct pod_security_configuration *pod_security;
    struct quota_limits *quota_limits;
    json_t
        *node_selectors; /* PodNodeSelector's: texts by namespace and clusterDefaultNodeSelector. */
    json_t *tolerations; /* PodTolerationRestriction's "default" and "whitelist". */
    struct webhook_credentials *mutating_credentials, *validating_credentials; /* Of webhooks. */
    uint64_t enabled; /* A bit for each plugin of the table; set by admission_configure(). */
};

#endif
