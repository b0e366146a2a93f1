// SPDX-License-Identifier: Apache-2.0
/*
 * Faults on purpose, for tests of what lives off the API: a part of the requests of the cluster's
 * own services (users whose names begin with "system:") is answered with 409, 429 or 500, or its
 * connection is cut, before or after the request has taken effect. Off unless a flag says
 * otherwise.
 *
 * Threads: any.
 */
#ifndef APISERVER_FAULTS_H
#define APISERVER_FAULTS_H

#include "apiserver/http/request.h"

enum fault {
    FAULT_NONE,
    FAULT_CONFLICT,
    FAULT_TOO_MANY,
    FAULT_INTERNAL,
    FAULT_CUT,
    FAULT_CUT_AFTER
};

/* Which fault this request meets, if any, when 'percent' of them are to meet one. */
enum fault fault_choose(const struct request *request, int64_t percent);
/* Answers instead of serving the request. Not for FAULT_NONE and FAULT_CUT_AFTER. */
void fault_answer(enum fault fault, const struct request *request, struct response *response);
/* Makes the answer one that never arrives. */
void fault_cut(struct response *response);

#endif
