// SPDX-License-Identifier: Apache-2.0
/*
 * What objects take of a ResourceQuota: which of its resources an object counts for, whether it is
 * in its scopes, and how much it takes. The API server charges by it, the controller recounts.
 *
 * Pure functions of trees. 'group' and 'plural' name the kind of the object.
 */
#ifndef COMMON_QUOTA_H
#define COMMON_QUOTA_H

#include <jansson.h>
#include <stdbool.h>

#include "common/amounts.h"

/* Objects of the kind count for a resource of a quota's "hard" list. */
bool quota_tracks(const char *group, const char *plural, const char *resource);

/* The object lies in all scopes of the quota's spec. */
bool quota_scopes_match(const json_t *quota, const char *group, const char *plural,
                        const json_t *object);

/* Of a list of scopes ({scopeName, operator, values}) those that the object lies in are appended to
 * 'found', in one form, fit for json_equal(). */
void quota_find_scopes(const json_t *scopes, const char *group, const char *plural,
                       const json_t *object, json_t *found);
/* The scopes of a quota's spec, as such a list. The caller's. */
json_t *quota_scopes(const json_t *quota);

/* Adds what the object takes of all resources that its kind counts for; 'now' in nanoseconds
 * decides whether a pod that is being deleted still counts. */
void quota_add_usage(const char *group, const char *plural, const json_t *object, int64_t now,
                     struct amounts *usage);

/* The same for a number of objects of a kind of which nothing but the number counts. */
void quota_add_count(const char *group, const char *plural, size_t count, struct amounts *usage);

/* A pod must say for each of its containers what it takes of these resources ("hard" of the quota):
 * "must specify limits.cpu for: a,b; …", the caller's; NULL when it does, or need not. */
char *quota_missing(const json_t *hard, const char *group, const char *plural,
                    const json_t *object);

/* "pods=1,requests.cpu=2" of those resources, by name. The caller's. */
char *quota_text(const struct amounts *amounts);

#endif
