// SPDX-License-Identifier: Apache-2.0
#include "apiserver/admission/webhook_credentials.h"

#include <string.h>

#include "common/alloc.h"
#include "common/configuration.h"
#include "common/json.h"

struct webhook_user {
    char *name;
    struct client_config config;
};

struct webhook_credentials {
    struct webhook_user *users;
    size_t count;
    char *current; /* The user of the current context; NULL: there is none. */
};

/* ---- reading ---- */

static bool add_user(struct webhook_credentials *credentials, const json_t *entry, const char *path,
                     struct error *error)
{
    struct webhook_user *user = &credentials->users[credentials->count++];
    const char *name = json_get_string(entry, "name");
    user->name = duplicate(name ? name : "");
    return client_config_read_user(&user->config, json_object_get(entry, "user"), path, error);
}

static char *user_of_current_context(const json_t *document)
{
    const char *current = json_get_string(document, "current-context");
    size_t i;
    const json_t *entry;
    json_array_foreach (json_object_get(document, "contexts"), i, entry) {
        const char *name = json_get_string(entry, "name");
        const char *user = json_path_string(entry, "context", "user");
        if (current != NULL && name != NULL && user != NULL && strcmp(name, current) == 0) {
            return duplicate(user);
        }
    }
    return NULL;
}

static struct webhook_credentials *read_file(const char *path, struct error *error)
{
    cleanup(json_release)
    json_t *document = configuration_read_yaml(path, error);
    if (document == NULL) {
        return NULL;
    }
    const json_t *users = json_object_get(document, "users");
    struct webhook_credentials *credentials = allocate_struct(struct webhook_credentials);
    credentials->users = allocate_zero(json_array_size(users) + 1, sizeof *credentials->users);
    credentials->current = user_of_current_context(document);
    for (size_t i = 0; i < json_array_size(users); i++) {
        if (!add_user(credentials, json_array_get(users, i), path, error)) {
            webhook_credentials_free(credentials);
            return NULL;
        }
    }
    return credentials;
}

bool webhook_credentials_read(const json_t *configuration, struct webhook_credentials **credentials,
                              struct error *error)
{
    static const struct configuration_member members[] = {{"apiVersion", JSON_STRING},
                                                          {"kind", JSON_STRING},
                                                          {"kubeConfigFile", JSON_STRING},
                                                          {NULL, 0}};
    const char *path = json_get_string(configuration, "kubeConfigFile");
    if (!configuration_check(configuration, "", members, error)) {
        return false;
    }
    if (path == NULL || path[0] == '\0') {
        return true;
    }
    if (path[0] != '/') {
        return error_bad_request(
            error, "kubeConfigFile: Invalid value: \"%s\": must be an absolute file path", path);
    }
    return (*credentials = read_file(path, error)) != NULL;
}

void webhook_credentials_free(struct webhook_credentials *credentials)
{
    if (credentials != NULL) {
        for (size_t i = 0; i < credentials->count; i++) {
            free(credentials->users[i].name);
            client_config_clear(&credentials->users[i].config);
        }
        free(credentials->users);
        free(credentials->current);
        free(credentials);
    }
}

/* ---- finding ---- */

static const struct client_config *find(const struct webhook_credentials *credentials,
                                        const char *name)
{
    for (size_t i = 0; i < credentials->count; i++) {
        if (strcmp(credentials->users[i].name, name) == 0) {
            return &credentials->users[i].config;
        }
    }
    return NULL;
}

/* By the server's name, or with a star for its first steps: the closest first. */
static const struct client_config *find_server(const struct webhook_credentials *credentials,
                                               const char *server)
{
    const struct client_config *found = find(credentials, server);
    for (const char *dot = strchr(server, '.'); found == NULL && dot != NULL;
         dot = strchr(dot + 1, '.')) {
        cleanup(free_char)
        char *starred = format("*%s", dot);
        found = find(credentials, starred);
    }
    return found;
}

static char *copy(const char *text)
{
    return text != NULL ? duplicate(text) : NULL;
}

void webhook_credentials_add(const struct webhook_credentials *credentials, const char *host,
                             int port, struct client_config *config)
{
    if (credentials == NULL) {
        return;
    }
    cleanup(free_char)
    char *server = format(strchr(host, ':') ? "[%s]:%d" : "%s:%d", host, port);
    const struct client_config *found = find_server(credentials, server);
    if (found == NULL && port == 443) {
        found = find_server(credentials, host);
    }
    if (found == NULL) {
        found = find(credentials, "*");
    }
    if (found == NULL && credentials->current != NULL) {
        found = find(credentials, credentials->current);
    }
    if (found != NULL) {
        config->certificate = copy(found->certificate);
        config->key = copy(found->key);
        config->token = copy(found->token);
        config->token_file = copy(found->token_file);
        config->username = copy(found->username);
        config->password = copy(found->password);
    }
}
