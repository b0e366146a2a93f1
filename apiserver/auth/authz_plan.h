// SPDX-License-Identifier: Apache-2.0
/* Which authorizers are asked, in which order: of --authorization-mode and the flags that go with
 * it, or of the AuthorizationConfiguration that --authorization-config names. */
#ifndef APISERVER_AUTH_AUTHZ_PLAN_H
#define APISERVER_AUTH_AUTHZ_PLAN_H

#include "apiserver/auth/authz.h"
#include "apiserver/auth/webhook_authorizer.h"

enum authz_mode {
    MODE_ALWAYS_ALLOW,
    MODE_ALWAYS_DENY,
    MODE_NODE,
    MODE_RBAC,
    MODE_WEBHOOK,
    MODE_COUNT
};

enum { authz_steps_max = 16 };

struct authz_plan_step {
    enum authz_mode mode;
    char *name;                                /* Of a configuration. */
    char *config_file;                         /* The webhook's, for what follows. */
    struct webhook_authorizer_options webhook; /* Of MODE_WEBHOOK. */
};

struct authz_plan {
    struct authz_plan_step steps[authz_steps_max];
    size_t count;
};

/* 400 for what does not go together. */
bool authz_plan_make(struct authz_plan *plan, const struct authz_options *options,
                     struct error *error);
void authz_plan_clear(struct authz_plan *plan); /* Also fit for cleanup(). */
bool authz_plan_has(const struct authz_plan *plan, enum authz_mode mode);

#endif
