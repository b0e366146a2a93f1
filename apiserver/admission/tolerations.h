// SPDX-License-Identifier: Apache-2.0
#ifndef APISERVER_ADMISSION_TOLERATIONS_H
#define APISERVER_ADMISSION_TOLERATIONS_H

#include <jansson.h>
#include <stdbool.h>

/* Whatever 'toleration' tolerates, 'wider' tolerates as well. */
bool toleration_covers(const json_t *wider, const json_t *toleration);
/* Those of both lists (NULL: none) in their order, without those that others cover. The caller's.
 */
json_t *tolerations_merge(const json_t *first, const json_t *second);

#endif
