// SPDX-License-Identifier: Apache-2.0
/*
 * The audit policy: which requests are recorded, and how much of them. The first rule that matches
 * a request decides; one that no rule matches is not recorded.
 *
 * Threads: immutable once it is read.
 */
#ifndef APISERVER_AUDIT_POLICY_H
#define APISERVER_AUDIT_POLICY_H

#include "apiserver/http/request.h"

struct audit_policy;

/* Each records what the one before it does, and more. */
enum audit_level { AUDIT_NONE, AUDIT_METADATA, AUDIT_REQUEST, AUDIT_REQUEST_RESPONSE };
enum { AUDIT_LEVEL_COUNT = AUDIT_REQUEST_RESPONSE + 1 };
extern const char *const audit_level_names[AUDIT_LEVEL_COUNT];

enum audit_stage {
    AUDIT_REQUEST_RECEIVED,
    AUDIT_RESPONSE_STARTED,
    AUDIT_RESPONSE_COMPLETE,
    AUDIT_PANIC,
};
enum { AUDIT_STAGE_COUNT = AUDIT_PANIC + 1 };
extern const char *const audit_stage_names[AUDIT_STAGE_COUNT];

/* What the policy says of a request. */
struct audit_choice {
    enum audit_level level;
    unsigned omitted_stages; /* A bit for each. */
    bool omits_managed_fields;
};

/* A Policy of audit.k8s.io/v1, YAML or JSON. What is wrong is an error (400) that names the field.
 */
struct audit_policy *audit_policy_parse(const char *text, size_t length, struct error *error);
void audit_policy_free(struct audit_policy *policy); /* NULL is fine. */

/* By request->info, request->path and request->user. */
struct audit_choice audit_policy_choose(const struct audit_policy *policy,
                                        const struct request *request);

#endif
