// SPDX-License-Identifier: Apache-2.0
/* The OpenAPI v2 document in the protobuf form that older clients ask for (gnostic's openapi.v2).
 */
#ifndef APISERVER_VIEWS_OPENAPI_PROTOBUF_H
#define APISERVER_VIEWS_OPENAPI_PROTOBUF_H

#include <jansson.h>

#include "common/buffer.h"

extern const char openapi_protobuf_type[];     /* Its media type, in answers. */
extern const char openapi_protobuf_old_type[]; /* As clients ask for it; no valid media type. */

/* Appends the document, which is given as JSON. */
void openapi_encode_protobuf(const json_t *document, struct buffer *out);

#endif
