// SPDX-License-Identifier: Apache-2.0
/* What a LimitRange gives to pods and forbids them and claims. Pure functions of trees; see
 * limit_ranger.c. */
#ifndef APISERVER_ADMISSION_LIMIT_RANGE_H
#define APISERVER_ADMISSION_LIMIT_RANGE_H

#include <jansson.h>

/* Gives the pod's containers the default requests and limits that they lack, and leaves an
 * annotation that tells of it. */
void limit_range_apply(const json_t *range, json_t *pod);

/* In which ways the pod or claim breaks the limits; the caller's, NULL: in none. */
char *limit_range_refuse_pod(const json_t *range, const json_t *pod);
char *limit_range_refuse_claim(const json_t *range, const json_t *claim);

#endif
