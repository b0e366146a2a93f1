// SPDX-License-Identifier: Apache-2.0
/* The storage class that claims get that ask for none. */
#ifndef CONTROLLERS_VOLUME_CLASS_H
#define CONTROLLERS_VOLUME_CLASS_H

#include <jansson.h>

#include "common/informer.h"

/* The newest of the classes that are marked as the default, as admission takes it; the caller's,
 * NULL when there is none. */
char *volume_class_default(struct informer *classes);

/* The claim says nothing of a class: not even that it wants none. */
bool volume_class_is_open(const json_t *claim);

#endif
