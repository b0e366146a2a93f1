// SPDX-License-Identifier: Apache-2.0
/*
 * Content negotiation: which of the forms we have does this Accept header ask for.
 */
#ifndef APISERVER_HTTP_MEDIA_H
#define APISERVER_HTTP_MEDIA_H

#include <stdbool.h>
#include <stddef.h>

#include "common/buffer.h"
#include "common/error.h"

enum media_encoding { MEDIA_JSON, MEDIA_YAML };

/* What an object or list is turned into. */
enum media_transform {
    MEDIA_OBJECT,       /* Itself. */
    MEDIA_TABLE,        /* as=Table */
    MEDIA_PARTIAL,      /* as=PartialObjectMetadata */
    MEDIA_PARTIAL_LIST, /* as=PartialObjectMetadataList */
};

struct media {
    enum media_encoding encoding;
    enum media_transform transform;
    char transform_version[16]; /* "v1" or "v1beta1" of meta.k8s.io. */
    bool pretty;                /* The parameter pretty=1 of the type; see also
                                 * request_wants_pretty(). */
};

/* Chooses for a resource request. 'accept' "" means JSON. Wildcards and q-values are honoured.
 * Types that we don't have (protobuf) are passed over; if nothing remains, 406 NotAcceptable: "only
 * the following media types are accepted: application/json, application/yaml, …". "as" forms that
 * do not fit (as=Table;g=unknown) are passed over as upstream does. */
bool media_negotiate(const char *accept, struct media *media, struct error *error);

/* Chooses for discovery (design: aggregated v2, v2beta1, plain). Returns one of these. */
enum media_discovery { MEDIA_DISCOVERY_PLAIN, MEDIA_DISCOVERY_V2BETA1, MEDIA_DISCOVERY_V2 };
bool media_negotiate_discovery(const char *accept, enum media_discovery *form,
                               enum media_encoding *encoding, struct error *error);

/* Chooses among arbitrary content types; 'offered' ends with NULL, the first is the default for
 * "*" and "". Returns the index, or -1. */
int media_choose(const char *accept, const char *const *offered);

/* The kind of a request's body. */
enum media_body {
    MEDIA_BODY_JSON,
    MEDIA_BODY_YAML,
    MEDIA_BODY_PROTOBUF,
    MEDIA_BODY_JSON_PATCH,
    MEDIA_BODY_MERGE_PATCH,
    MEDIA_BODY_STRATEGIC_PATCH,
    MEDIA_BODY_APPLY_YAML,
    MEDIA_BODY_UNKNOWN,
};

/* From Content-Type, parameters ignored; "" is JSON. */
enum media_body media_body(const char *content_type);

/* Appends valid JSON indented by two spaces, as Go's json.Indent does it. */
void media_indent_json(const char *json, size_t length, struct buffer *out);

#endif
