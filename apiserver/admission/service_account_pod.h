// SPDX-License-Identifier: Apache-2.0
/* What a service account does to the spec of a pod that runs as it, and what it forbids. Functions
 * of what they are given alone; see service_account.c. */
#ifndef APISERVER_ADMISSION_SERVICE_ACCOUNT_POD_H
#define APISERVER_ADMISSION_SERVICE_ACCOUNT_POD_H

#include <jansson.h>
#include <stdbool.h>

#include "apiserver/storage/object.h"

/* Sets the account's name, its secrets for pulling images unless the pod has some, and, unless pod
 * or account don't want it, the volume with a token and its mounts. */
void service_account_apply(const struct object *account, json_t *spec);

/* What of secrets and tokens a mirror pod uses, which it may not; static, NULL: nothing. */
const char *service_account_refuse_mirror(const json_t *spec);

/* Which secret the pod (or only its ephemeral containers) uses that is not among the account's; the
 * caller's, NULL: none. */
char *service_account_refuse_secrets(const json_t *account, const json_t *spec,
                                     bool only_ephemeral);

#endif
