// SPDX-License-Identifier: Apache-2.0
/*
 * Front proxies: who shows a certificate of the proxies' authority, with a name that is allowed,
 * may say in headers who asks. From everybody else these headers mean nothing.
 */
#include <string.h>
#include <strings.h>

#include "apiserver/auth/authenticator.h"
#include "apiserver/auth/header_names.h"
#include "common/alloc.h"

struct front_proxy {
    char **allowed_names, **username_headers, **uid_headers, **group_headers, **extra_prefixes;
};

/* All parts of a list, NULL-terminated; the caller's. */
static char **split(const struct flag_list *list)
{
    size_t count = 0, capacity = 0;
    char **parts = NULL;
    for (size_t i = 0; i < list->count; i++) {
        cleanup(free_char)
        char *copy = duplicate(list->values[i]);
        char *rest = NULL;
        for (char *part = strtok_r(copy, ", ", &rest); part != NULL;
             part = strtok_r(NULL, ", ", &rest)) {
            parts = grow(parts, count, &capacity, sizeof *parts);
            parts[count++] = duplicate(part);
        }
    }
    parts = grow(parts, count, &capacity, sizeof *parts);
    parts[count] = NULL;
    return parts;
}

static void free_parts(char **parts)
{
    for (char **part = parts; *part != NULL; part++) {
        free(*part);
    }
    free(parts);
}

static bool is_allowed(const struct front_proxy *proxy, const char *name)
{
    for (char **allowed = proxy->allowed_names; *allowed != NULL; allowed++) {
        if (strcmp(*allowed, name) == 0) {
            return true;
        }
    }
    return proxy->allowed_names[0] == NULL;
}

/* The first of these headers that says something. */
static const char *first_value(const struct credentials *credentials, char *const *names)
{
    for (; *names != NULL; names++) {
        const char *value = credentials_header(credentials, *names);
        if (value != NULL && value[0] != '\0') {
            return value;
        }
    }
    return NULL;
}

static void add_groups(const struct credentials *credentials, char *const *names, struct user *user)
{
    for (; *names != NULL; names++) {
        for (size_t i = 0; i < credentials->header_count; i++) {
            const struct request_header *header = &credentials->headers[i];
            if (strcasecmp(header->name, *names) == 0 && header->value[0] != '\0') {
                user_add_group(user, header->value);
            }
        }
    }
}

static void add_extra(const struct credentials *credentials, char *const *prefixes,
                      struct user *user)
{
    for (; *prefixes != NULL; prefixes++) {
        for (size_t i = 0; i < credentials->header_count; i++) {
            const struct request_header *header = &credentials->headers[i];
            cleanup(free_char)
            char *key = header_extra_key(header->name, *prefixes);
            if (key != NULL) {
                user_add_extra(user, key, header->value);
            }
        }
    }
}

static enum verdict ask(void *state, const struct question *question, struct identity *identity,
                        struct error *error)
{
    const struct front_proxy *proxy = state;
    const struct credentials *credentials = question->credentials;
    const struct client_certificate *certificate = credentials->certificate;
    if (certificate == NULL) {
        return VERDICT_NOT_MINE;
    }
    if (!certificate->trusted_as_proxy) {
        error_set(error, 401, "Unauthorized", "the certificate is no front proxy's");
        return VERDICT_REFUSED;
    }
    if (!is_allowed(proxy, certificate->common_name)) {
        error_set(error, 401, "Unauthorized", "x509: subject with cn=%s is not in the allowed list",
                  certificate->common_name);
        return VERDICT_REFUSED;
    }
    const char *name = first_value(credentials, proxy->username_headers);
    if (name == NULL) {
        return VERDICT_NOT_MINE;
    }
    const char *uid = first_value(credentials, proxy->uid_headers);
    user_set(&identity->user, name, uid ? uid : "");
    add_groups(credentials, proxy->group_headers, &identity->user);
    add_extra(credentials, proxy->extra_prefixes, &identity->user);
    return VERDICT_KNOWN;
}

static void free_state(void *state)
{
    struct front_proxy *proxy = state;
    free_parts(proxy->allowed_names);
    free_parts(proxy->username_headers);
    free_parts(proxy->uid_headers);
    free_parts(proxy->group_headers);
    free_parts(proxy->extra_prefixes);
    free(proxy);
}

struct authenticator front_proxy_authenticator(const struct authn_options *options)
{
    struct front_proxy *proxy = allocate_struct(struct front_proxy);
    proxy->allowed_names = split(&options->proxy_allowed_names);
    proxy->username_headers = split(&options->proxy_username_headers);
    proxy->uid_headers = split(&options->proxy_uid_headers);
    proxy->group_headers = split(&options->proxy_group_headers);
    proxy->extra_prefixes = split(&options->proxy_extra_prefixes);
    return (struct authenticator){.ask = ask, .free = free_state, .state = proxy};
}
