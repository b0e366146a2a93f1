// SPDX-License-Identifier: Apache-2.0
/* The pods of a StatefulSet and the volume claims that each of them has: their names, what they are
 * made of, and to whom the claims belong. Pure functions. */
#ifndef CONTROLLERS_STATEFULSET_POD_H
#define CONTROLLERS_STATEFULSET_POD_H

#include "common/cached_object.h"

/* The ordinals that the set wants: from 'start' on, this many. */
struct statefulset_range {
    int64_t start, replicas;
};

struct statefulset_range statefulset_range(const json_t *set);
bool statefulset_wants(const json_t *set, int64_t ordinal);

/* The number behind the set's name and a hyphen; -1 when the pod's name is not made like that. */
int64_t statefulset_ordinal(const char *set_name, const char *pod_name);

/* The pod of this ordinal, from the template of that revision; the caller's. */
json_t *statefulset_make_pod(const json_t *set, const json_t *pod_template, const char *revision,
                             int64_t ordinal);
/* The pod has the labels of its name, and volumes of the set's claims. */
bool statefulset_pod_is_itself(const json_t *set, const struct cached_object *pod, int64_t ordinal);
/* Gives it these. */
void statefulset_mend_pod(const json_t *set, json_t *pod, int64_t ordinal);

/* The claims of the pod of this ordinal, one for each of the set's templates; the caller's array.
 */
json_t *statefulset_claims(const json_t *set, int64_t ordinal);

/* ---- to whom a claim belongs, by spec.persistentVolumeClaimRetentionPolicy ---- */

struct statefulset_claimant {
    const json_t *set;
    const char *pod_name, *pod_uid; /* The uid "" while there is no such pod. */
    int64_t ordinal;
};

/* Its owner references are what the policy says, or others than ours rule over it. */
bool statefulset_claim_is_right(const struct statefulset_claimant *claimant, const json_t *claim);
/* Another controller owns it: the policy does not hold. */
bool statefulset_claim_is_foreign(const struct statefulset_claimant *claimant, const json_t *claim);
/* Gives it the owner references that it should have. */
void statefulset_own_claim(const struct statefulset_claimant *claimant, json_t *claim);
/* It goes with an earlier pod of that name, and must be gone before the next one is made. */
bool statefulset_claim_is_stale(const struct statefulset_claimant *claimant, const json_t *claim);

#endif
