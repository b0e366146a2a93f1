// SPDX-License-Identifier: Apache-2.0
/* Pieces of serving a request that subresources share with the main road. */
#ifndef APISERVER_REGISTRY_SERVE_H
#define APISERVER_REGISTRY_SERVE_H

#include "apiserver/registry/registry.h"

/* Answers with one object in the form that the request asks for. */
void serve_object(struct registry *registry, struct request *request, struct response *response,
                  int status, const struct object *object);
/* Brings a tree from another version of the resource to the stored one, and back. */
void serve_to_storage(const struct write *write, const struct resource *resource, json_t *object);
void serve_from_storage(const struct write *write, const struct resource *resource, json_t *object);
/* Each ?dryRun= is "All", and ?fieldManager= not too long. */
bool serve_check_options(const struct request *request, struct error *error);
/* Applies the request's body, by its Content-Type, to the tree. The type is
 * known to be one of a patch's. */
bool serve_apply_patch(const struct request *request, const struct schema *schema, json_t **object,
                       struct error *error);

#endif
