// SPDX-License-Identifier: Apache-2.0
/*
 * What each namespace is given: the decisions of the controllers of service accounts
 * (serviceaccount.c) and of the CA's certificate (root_ca.c), as functions of what they saw.
 *
 * Threads: pure functions.
 */
#ifndef CONTROLLERS_NAMESPACE_DEFAULTS_H
#define CONTROLLERS_NAMESPACE_DEFAULTS_H

#include "common/cached_object.h"

/* The account "default" to create, the caller's; NULL when there is nothing to do. 'namespace' and
 * 'present' (the account that is there) may be NULL. */
json_t *serviceaccount_missing(const struct cached_object *namespace,
                               const struct cached_object *present);

/* The config map "kube-root-ca.crt" to write, the caller's; NULL when there is nothing to do.
 * 'present' is the one that is there, or NULL: one that somebody changed is put right, and keeps
 * what else stands in its metadata. 'data' is what it must hold. */
json_t *root_ca_map_wanted(const struct cached_object *namespace, const json_t *present,
                           const json_t *data);

#endif
