// SPDX-License-Identifier: Apache-2.0
/*
 * The Webhook authorizer: another server is asked by SubjectAccessReview. What it answers is kept
 * for a while, that it could not be asked is not.
 *
 * Threads: any.
 */
#ifndef APISERVER_AUTH_WEBHOOK_AUTHORIZER_H
#define APISERVER_AUTH_WEBHOOK_AUTHORIZER_H

#include "apiserver/auth/authz.h"

struct webhook_authorizer;

struct webhook_authorizer_options {
    const char *config_file; /* A kubeconfig; NULL: what a pod finds. */
    bool is_v1;              /* Else v1beta1. */
    bool denies_on_failure;
    int timeout_ms; /* 0: the usual. */
    int64_t authorized_ttl_ns, unauthorized_ttl_ns;
};

/* 400 when the kubeconfig can't be read or used. Borrows 'stopping', which may be NULL. */
struct webhook_authorizer *webhook_authorizer_new(const struct webhook_authorizer_options *options,
                                                  const atomic_bool *stopping, struct error *error);
void webhook_authorizer_free(struct webhook_authorizer *authorizer); /* NULL is fine. */
/* AUTHZ_BLOCKS when the answer is not known and the attributes want no waiting. AUTHZ_NO_OPINION,
 * or AUTHZ_DENY, with an error when the other server could not be asked. 'reason' may be NULL. */
enum authz_decision webhook_authorizer_decide(struct webhook_authorizer *authorizer,
                                              const struct authz_attributes *attributes,
                                              struct buffer *reason, struct error *error);

#endif
