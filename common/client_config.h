// SPDX-License-Identifier: Apache-2.0
/*
 * How to reach an API server and as whom: from a kubeconfig file, or from what a pod finds inside
 * its cluster.
 *
 * Of a kubeconfig: clusters, users and contexts; certificate-authority(-data), tls-server-name,
 * insecure-skip-tls-verify, client-certificate(-data), client-key(-data), token, tokenFile,
 * username and password. Paths are relative to the file. What can't be done here (exec and
 * auth-provider plugins, impersonation, proxies) is an error rather than something overlooked.
 */
#ifndef COMMON_CLIENT_CONFIG_H
#define COMMON_CLIENT_CONFIG_H

#include <jansson.h>
#include <stdbool.h>

#include "common/error.h"

/* Each string is the struct's own, NULL where it says nothing. */
struct client_config {
    char *server;            /* "https://127.0.0.1:6443", without a slash at its end. */
    char *ca;                /* PEM text; NULL: the system's authorities. */
    char *tls_server_name;   /* Name to expect in the server's certificate. */
    bool insecure;           /* insecure-skip-tls-verify */
    char *certificate, *key; /* PEM text. */
    char *token;
    char *token_file; /* Read again as it changes; wins over 'token'. */
    char *username, *password;
    char *namespace;
};

#define CLIENT_CONFIG_INIT ((struct client_config){0})

/* Reads a kubeconfig. 'context' NULL or "": its current-context. 'server' (--master) NULL or "":
 * as the file says. Errors (400) name the file and what is wrong in it. */
bool client_config_from_file(struct client_config *config, const char *path, const char *context,
                             const char *server, struct error *error);
/* Of one "user" of a kubeconfig at that path: the credentials alone. Clear it in any case. */
bool client_config_read_user(struct client_config *config, const json_t *user, const char *path,
                             struct error *error);
/* What a pod finds: KUBERNETES_SERVICE_HOST and _PORT, and the service account's folder
 * (/var/run/secrets/kubernetes.io/serviceaccount when 'folder' is NULL). */
bool client_config_in_cluster(struct client_config *config, const char *folder,
                              struct error *error);
/* What a program's flags --kubeconfig and --master ask for: the file if one is named; the server
 * alone if only that is; else as in a cluster. */
bool client_config_from_flags(struct client_config *config, const char *kubeconfig,
                              const char *server, struct error *error);
void client_config_clear(struct client_config *config); /* Also fit for cleanup(). */

/* Reads a whole file of at most 'limit' bytes; the caller's, NUL-terminated. */
char *client_config_read_file(const char *path, size_t limit, struct error *error);

#endif
