// SPDX-License-Identifier: Apache-2.0
/* What exists from the start: the system namespaces, and the kubernetes service with its endpoints.
 */
#ifndef APISERVER_BOOTSTRAP_H
#define APISERVER_BOOTSTRAP_H

#include "apiserver/registry/registry.h"

/* Creates what is missing and puts right what is wrong. Blocks. */
bool bootstrap(struct registry *registry, struct error *error);

#endif
