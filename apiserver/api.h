// SPDX-License-Identifier: Apache-2.0
/*
 * The API: which part answers which path. Ties registry, discovery, OpenAPI, health and metrics to
 * the HTTP layer as its handler.
 */
#ifndef APISERVER_API_H
#define APISERVER_API_H

#include "apiserver/audit/audit.h"
#include "apiserver/auth/authn.h"
#include "apiserver/http/server.h"
#include "apiserver/registry/registry.h"
#include "common/metrics.h"

struct api {
    struct registry *registry;
    struct auditor *auditor;         /* NULL: nothing is recorded. */
    struct flowcontrol *flowcontrol; /* NULL: nothing limits requests. */
    struct metrics *metrics;
    struct metric *request_total, *request_duration, *response_sizes;
    struct openapi *openapi; /* Made when first asked for. */
    int64_t started_ns;
};

void api_set_up(struct api *api, struct registry *registry);
void api_clear(struct api *api);
/* The handler for server_start(); its argument is the api. */
struct handler api_handler(struct api *api);

#endif
