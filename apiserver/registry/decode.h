// SPDX-License-Identifier: Apache-2.0
/* From the bytes of a request to a tree that is known to fit its schema. */
#ifndef APISERVER_REGISTRY_DECODE_H
#define APISERVER_REGISTRY_DECODE_H

#include "apiserver/http/request.h"

/* What happens with unknown and duplicate fields: ?fieldValidation=. */
enum field_validation { FIELDS_IGNORE, FIELDS_WARN, FIELDS_STRICT };

bool decode_field_validation(const struct request *request, enum field_validation *validation,
                             struct error *error);

/* Decodes the request's body (JSON, YAML or protobuf, by its Content-Type) as an object of this
 * kind and prunes it to the schema. kind and apiVersion are filled in when absent and must be the
 * expected ones otherwise. Unknown fields become warnings or, in strict validation, the error. The
 * caller's. */
json_t *decode_body(const struct request *request, struct response *response,
                    const struct schema *schema, const char *group, const char *version,
                    const char *kind, struct error *error);

/* Any kind may stand in the body: finds out which. Pruning is left to the caller. */
json_t *decode_body_any(const struct request *request, struct error *error);

/* What a body is to be. */
struct body_type {
    const struct schema *schema;
    const char *group, *version, *kind;
};

/* Prunes a tree that a patch has made; what doesn't fit, and fields the patch added and the schema
 * lacks, are reported as upstream reports them. */
bool decode_patched(const struct request *request, struct response *response,
                    const struct body_type *type, json_t *object, struct error *error);

/* "apps/v1", or "v1" in the core group. The caller's. */
char *decode_api_version(const char *group, const char *version);

#endif
