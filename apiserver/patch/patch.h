// SPDX-License-Identifier: Apache-2.0
/*
 * Patches applied to trees. The tree belongs to the caller; what a patch brings is shared with it
 * by reference, so the patch must not be changed afterwards. Pure functions, any thread.
 */
#ifndef APISERVER_PATCH_PATCH_H
#define APISERVER_PATCH_PATCH_H

#include <jansson.h>
#include <stdbool.h>

#include "common/error.h"
#include "common/schema.h"

/* JSON Patch (RFC 6902). May replace '*object' as a whole. On an error the tree may have been
 * changed in part. A malformed patch is 400, one that does not apply 422, one of more than 10,000
 * operations 413. */
bool patch_json(const json_t *patch, json_t **object, struct error *error);

/* JSON Merge Patch (RFC 7386). */
bool patch_merge(const json_t *patch, json_t **object, struct error *error);

/* Strategic merge patch: lists merge by their key as the schema says; the directives $patch,
 * $retainKeys, $setElementOrder/x and $deleteFromPrimitiveList/x are obeyed and never end up in the
 * object. */
bool patch_strategic(const struct schema *schema, const json_t *patch, json_t *object,
                     struct error *error);

#endif
