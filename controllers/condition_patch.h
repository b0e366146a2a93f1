// SPDX-License-Identifier: Apache-2.0
/* A request that sets one condition in an object's status, whatever else is there. */
#ifndef CONTROLLERS_CONDITION_PATCH_H
#define CONTROLLERS_CONDITION_PATCH_H

#include "common/cached_object.h"
#include "common/client.h"

/* Of this very object (its uid), with the time of transition now. 'reason' and 'message' NULL: left
 * as they are; "": taken away. */
struct client_request condition_patch_request(const struct api_resource *resource,
                                              const struct cached_object *object, const char *type,
                                              const char *status, const char *reason,
                                              const char *message);

#endif
