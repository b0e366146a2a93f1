// SPDX-License-Identifier: Apache-2.0
#include "common/client_config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/alloc.h"
#include "common/base64.h"
#include "common/json.h"
#include "common/yaml.h"

enum { largest_file = 1024 * 1024 };

static const char service_account_folder[] = "/var/run/secrets/kubernetes.io/serviceaccount";

char *client_config_read_file(const char *path, size_t limit, struct error *error)
{
    cleanup(close_stream)
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        error_bad_request(error, "%s: %s", path, strerror(errno));
        return NULL;
    }
    cleanup(buffer_free)
    struct buffer text = BUFFER_INIT;
    size_t got;
    do {
        got = fread(buffer_reserve(&text, 16384), 1, 16384, file);
        text.length += got;
    } while (got > 0 && text.length <= limit);
    if (ferror(file)) {
        error_bad_request(error, "%s: %s", path, strerror(errno));
        return NULL;
    }
    if (text.length > limit) {
        error_bad_request(error, "%s: larger than %zu bytes", path, limit);
        return NULL;
    }
    buffer_add_char(&text, '\0');
    return buffer_steal(&text);
}

/* ---- the parts of a kubeconfig ---- */

/* The entry of that name in a list of {name, <member>}: its member. */
static const json_t *named(const json_t *document, const char *list, const char *name,
                           const char *member, const char *path, struct error *error)
{
    size_t i;
    const json_t *entry;
    json_array_foreach (json_object_get(document, list), i, entry) {
        const char *entry_name = json_get_string(entry, "name");
        if (entry_name != NULL && strcmp(entry_name, name) == 0) {
            return json_object_get(entry, member);
        }
    }
    error_bad_request(error, "%s: there is no \"%s\" among its %s", path, name, list);
    return NULL;
}

static char *beside(const char *path, const char *name)
{
    const char *slash = strrchr(path, '/');
    return name[0] == '/' || slash == NULL ? duplicate(name)
                                           : format("%.*s/%s", (int)(slash - path), path, name);
}

/* Text that is given inline as base64 in 'data_name', or else in the file named by 'file_name'. */
static bool text_of(const json_t *object, const char *file_name, const char *data_name,
                    const char *path, char **text, struct error *error)
{
    const char *data = json_get_string(object, data_name);
    const char *file = json_get_string(object, file_name);
    if (data != NULL && *data != '\0') {
        size_t length;
        *text = base64_decode(data, strlen(data), &length);
        return *text != NULL || error_bad_request(error, "%s: %s is no base64", path, data_name);
    }
    if (file != NULL && *file != '\0') {
        cleanup(free_char)
        char *full = beside(path, file);
        *text = client_config_read_file(full, largest_file, error);
        return *text != NULL;
    }
    return true;
}

static char *copy_of(const json_t *object, const char *name)
{
    const char *text = json_get_string(object, name);
    return text != NULL && *text != '\0' ? duplicate(text) : NULL;
}

static bool refuse_members(const json_t *object, const char *const *names, const char *path,
                           struct error *error)
{
    for (; *names != NULL; names++) {
        if (json_object_get(object, *names) != NULL) {
            return error_bad_request(error, "%s: \"%s\" is not supported", path, *names);
        }
    }
    return true;
}

static bool set_server(struct client_config *config, const char *server, const char *origin,
                       struct error *error)
{
    if (server == NULL ||
        (strncmp(server, "https://", 8) != 0 && strncmp(server, "http://", 7) != 0)) {
        return error_bad_request(error, "%s: the server's address must begin with https://",
                                 origin);
    }
    free(config->server);
    config->server = duplicate(server);
    size_t length = strlen(config->server);
    while (length > 0 && config->server[length - 1] == '/') {
        config->server[--length] = '\0';
    }
    return true;
}

static bool read_cluster(struct client_config *config, const json_t *cluster, const char *path,
                         struct error *error)
{
    static const char *const refused[] = {"proxy-url", NULL};
    config->tls_server_name = copy_of(cluster, "tls-server-name");
    config->insecure = json_get_bool(cluster, "insecure-skip-tls-verify", false);
    return refuse_members(cluster, refused, path, error) &&
           set_server(config, json_get_string(cluster, "server"), path, error) &&
           text_of(cluster, "certificate-authority", "certificate-authority-data", path,
                   &config->ca, error);
}

bool client_config_read_user(struct client_config *config, const json_t *user, const char *path,
                             struct error *error)
{
    static const char *const refused[] = {"exec",   "auth-provider", "as", "as-groups",
                                          "as-uid", "as-user-extra", NULL};
    const char *token_file = json_get_string(user, "tokenFile");
    config->token_file = token_file != NULL && *token_file ? beside(path, token_file) : NULL;
    config->token = copy_of(user, "token");
    config->username = copy_of(user, "username");
    config->password = copy_of(user, "password");
    if (!refuse_members(user, refused, path, error) ||
        !text_of(user, "client-certificate", "client-certificate-data", path, &config->certificate,
                 error) ||
        !text_of(user, "client-key", "client-key-data", path, &config->key, error)) {
        return false;
    }
    if ((config->certificate == NULL) != (config->key == NULL)) {
        return error_bad_request(error, "%s: a client certificate and its key belong together",
                                 path);
    }
    return true;
}

static bool read_document(struct client_config *config, const json_t *document, const char *path,
                          const char *wanted, struct error *error)
{
    const char *current = json_get_string(document, "current-context");
    const char *name = wanted != NULL && *wanted != '\0' ? wanted : current;
    if (name == NULL || *name == '\0') {
        return error_bad_request(error, "%s: it names no current-context", path);
    }
    const json_t *context = named(document, "contexts", name, "context", path, error);
    const char *cluster_name = json_get_string(context, "cluster");
    const char *user_name = json_get_string(context, "user");
    if (context == NULL) {
        return false;
    }
    if (cluster_name == NULL || user_name == NULL) {
        return error_bad_request(error, "%s: context \"%s\" needs a cluster and a user", path,
                                 name);
    }
    config->namespace = copy_of(context, "namespace");
    const json_t *cluster = named(document, "clusters", cluster_name, "cluster", path, error);
    const json_t *user = cluster ? named(document, "users", user_name, "user", path, error) : NULL;
    return user != NULL && read_cluster(config, cluster, path, error) &&
           client_config_read_user(config, user, path, error);
}

bool client_config_from_file(struct client_config *config, const char *path, const char *context,
                             const char *server, struct error *error)
{
    *config = CLIENT_CONFIG_INIT;
    cleanup(free_char)
    char *text = client_config_read_file(path, largest_file, error);
    if (text == NULL) {
        return false;
    }
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    cleanup(json_release)
    json_t *document = yaml_parse(text, strlen(text), NULL, NULL, &why);
    if (document == NULL) {
        return error_wrap(error, &why, "%s", path);
    }
    if (!read_document(config, document, path, context, error) ||
        (server != NULL && *server && !set_server(config, server, "--master", error))) {
        client_config_clear(config);
        return false;
    }
    return true;
}

bool client_config_in_cluster(struct client_config *config, const char *folder, struct error *error)
{
    *config = CLIENT_CONFIG_INIT;
    folder = folder != NULL ? folder : service_account_folder;
    const char *host = getenv("KUBERNETES_SERVICE_HOST"), *port = getenv("KUBERNETES_SERVICE_PORT");
    if (host == NULL || port == NULL || *host == '\0' || *port == '\0') {
        return error_bad_request(error, "no --kubeconfig is given, and this is no pod of a "
                                        "cluster: KUBERNETES_SERVICE_HOST and "
                                        "KUBERNETES_SERVICE_PORT are not set");
    }
    cleanup(free_char)
    char *ca_file = format("%s/ca.crt", folder);
    cleanup(free_char)
    char *namespace_file = format("%s/namespace", folder);
    config->token_file = format("%s/token", folder);
    config->server =
        format(strchr(host, ':') != NULL ? "https://[%s]:%s" : "https://%s:%s", host, port);
    config->ca = client_config_read_file(ca_file, largest_file, error);
    cleanup(free_char)
    char *token =
        config->ca ? client_config_read_file(config->token_file, largest_file, error) : NULL;
    if (token == NULL) {
        client_config_clear(config);
        return false;
    }
    config->namespace = client_config_read_file(namespace_file, 256, NULL);
    return true;
}

bool client_config_from_flags(struct client_config *config, const char *kubeconfig,
                              const char *server, struct error *error)
{
    if (kubeconfig != NULL && *kubeconfig != '\0') {
        return client_config_from_file(config, kubeconfig, NULL, server, error);
    }
    if (server != NULL && *server != '\0') {
        *config = CLIENT_CONFIG_INIT;
        return set_server(config, server, "--master", error);
    }
    return client_config_in_cluster(config, NULL, error);
}

void client_config_clear(struct client_config *config)
{
    free(config->server);
    free(config->ca);
    free(config->tls_server_name);
    free(config->certificate);
    if (config->key != NULL) {
        explicit_bzero(config->key, strlen(config->key));
    }
    free(config->key);
    free(config->token);
    free(config->token_file);
    free(config->username);
    free(config->password);
    free(config->namespace);
    *config = CLIENT_CONFIG_INIT;
}
