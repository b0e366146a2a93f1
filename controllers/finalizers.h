// SPDX-License-Identifier: Apache-2.0
/* The finalizers of an object: names that keep it from going. Pure functions, any thread. */
#ifndef CONTROLLERS_FINALIZERS_H
#define CONTROLLERS_FINALIZERS_H

#include <jansson.h>
#include <stdbool.h>

bool finalizer_is_held(const json_t *object, const char *finalizer);
/* Adds it, or takes it away; false when nothing had to change. */
bool finalizer_set(json_t *object, const char *finalizer, bool wanted);

#endif
