// SPDX-License-Identifier: Apache-2.0
/* metadata on the write road: what the server sets, what it checks. */
#ifndef APISERVER_REGISTRY_METADATA_H
#define APISERVER_REGISTRY_METADATA_H

#include "apiserver/registry/registry.h"

/* Gives the object the name and namespace that the request addresses; 400 when it has others. */
bool metadata_take_names(struct write *write, struct error *error);
/* Completes metadata of a new object: name (from generateName if need be), namespace, uid,
 * creationTimestamp, generation; drops what only the server sets. */
bool metadata_prepare_create(struct write *write, struct error *error);
/* Makes a name from metadata.generateName, anew at each call. */
void metadata_generate_name(struct write *write);
/* Puts back what an update may not change, and checks name, namespace, uid and resourceVersion
 * against the live object. */
bool metadata_prepare_update(struct write *write, struct error *error);
/* Counts the generation on when the update changes the spec. To be called when the defaults are in:
 * a patch that takes one away, as a JSON merge of a list does, changes nothing. */
void metadata_count_generation(struct write *write);
/* The one place where field ownership is computed, for every write that is stored: the new object
 * is complete and valid, the live one stands beside it, and the request tells the manager.
 * Ownership is not tracked yet: what another API server has recorded in managedFields stays as it
 * is. */
void metadata_own_fields(struct write *write);
void metadata_validate(const struct write *write, struct field_errors *errors);
/* The resourceVersion that a client named; 0 when none, -1 when it is no number. */
int64_t metadata_revision(const json_t *object);

#endif
