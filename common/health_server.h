// SPDX-License-Identifier: Apache-2.0
/*
 * A small HTTP server for a process that is only a client of the API: /healthz, /livez and /readyz
 * for whoever supervises it, /metrics for Prometheus. Plain HTTP, meant for a loopback address.
 */
#ifndef COMMON_HEALTH_SERVER_H
#define COMMON_HEALTH_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "common/metrics.h"

struct health_server;

/* Serves on "address:port" ("[::1]:port"); port 0 chooses one. 'is_ready' (for /readyz; called from
 * the server's thread) says whether the process can work. 400 when the address is none or taken. */
struct health_server *health_server_start(const char *address, struct metrics *metrics,
                                          bool (*is_ready)(void *argument), void *argument,
                                          struct error *error);
uint16_t health_server_port(const struct health_server *server);
void health_server_stop(struct health_server *server); /* NULL is fine. */

#endif
