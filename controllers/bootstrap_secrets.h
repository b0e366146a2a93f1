// SPDX-License-Identifier: Apache-2.0
/* Bootstrap tokens, for the controllers that look after them. */
#ifndef CONTROLLERS_BOOTSTRAP_SECRETS_H
#define CONTROLLERS_BOOTSTRAP_SECRETS_H

#include "common/informer.h"

/* The secrets of kube-system that are bootstrap tokens. */
struct informer *bootstrap_secrets_informer(struct informer_factory *informers);

/* ---- cluster-info ---- */

/* The config map's data as they are to be: with a signature of its kubeconfig,
 * "jws-kubeconfig-<id>", for each of the secrets (trees) that are tokens for signing and valid at
 * 'now' (nanoseconds since 1970), and no other. The caller's. */
json_t *bootstrap_signed_data(const json_t *data, json_t *const *secrets, size_t count,
                              int64_t now);

#endif
