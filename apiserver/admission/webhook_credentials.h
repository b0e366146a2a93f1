// SPDX-License-Identifier: Apache-2.0
/*
 * As whom webhooks are asked: the users of a kubeconfig, whose names say for which servers they
 * are ("hooks.example.com:8443", "hook.default.svc", "*.example.com", "*").
 *
 * Threads: immutable.
 */
#ifndef APISERVER_ADMISSION_WEBHOOK_CREDENTIALS_H
#define APISERVER_ADMISSION_WEBHOOK_CREDENTIALS_H

#include <jansson.h>

#include "common/client_config.h"

struct webhook_credentials;

/* Of a WebhookAdmissionConfiguration's kubeConfigFile. '*credentials' stays NULL when it names
 * none. False (400) for what can't be read. */
bool webhook_credentials_read(const json_t *configuration, struct webhook_credentials **credentials,
                              struct error *error);
void webhook_credentials_free(struct webhook_credentials *credentials); /* NULL is fine. */
/* Adds those for this server to the config, or nothing if there are none. NULL is fine. */
void webhook_credentials_add(const struct webhook_credentials *credentials, const char *host,
                             int port, struct client_config *config);

#endif
