// SPDX-License-Identifier: Apache-2.0
/*
 * OpenAPI: /openapi/v2 (JSON, and protobuf for older clients) and /openapi/v3 with a document for
 * each group and version, made from the schemas when first asked for and kept as bytes.
 *
 * Threads: openapi_serve() from any thread.
 */
#ifndef APISERVER_VIEWS_OPENAPI_H
#define APISERVER_VIEWS_OPENAPI_H

#include "apiserver/http/request.h"

struct openapi;

struct openapi *openapi_new(struct scheme *scheme);
void openapi_free(struct openapi *openapi);
/* Answers every path below /openapi: 404 for what is not there, 304 for a known hash. */
void openapi_serve(struct openapi *openapi, struct request *request, struct response *response);

#endif
