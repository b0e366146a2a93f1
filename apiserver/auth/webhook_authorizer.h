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

/* 400 when the kubeconfig can't be read or used. */
struct webhook_authorizer *webhook_authorizer_new(const struct authz_options *options,
                                                  struct error *error);
void webhook_authorizer_free(struct webhook_authorizer *authorizer); /* NULL is fine. */
/* AUTHZ_BLOCKS when the answer is not known and the attributes want no waiting. AUTHZ_NO_OPINION
 * with an error when the other server could not be asked. 'reason' may be NULL. */
enum authz_decision webhook_authorizer_decide(struct webhook_authorizer *authorizer,
                                              const struct authz_attributes *attributes,
                                              struct buffer *reason, struct error *error);

#endif
