// SPDX-License-Identifier: Apache-2.0
#include "apiserver/auth/impersonation.h"

#include <string.h>
#include <strings.h>

#include "apiserver/auth/authenticator.h"
#include "apiserver/auth/header_names.h"
#include "apiserver/auth/service_account_names.h"
#include "common/alloc.h"

static const char user_header[] = "Impersonate-User", group_header[] = "Impersonate-Group",
                  uid_header[] = "Impersonate-Uid", extra_prefix[] = "Impersonate-Extra-";
static const char anonymous[] = "system:anonymous", authenticated[] = "system:authenticated",
                  unauthenticated[] = "system:unauthenticated";
static const char authentication_group[] = "authentication.k8s.io";

struct impersonation {
    struct user *requestor;
    bool (*check)(void *argument, const struct authz_attributes *attributes, struct error *error);
    void *argument;
    struct user user; /* Who they want to be. */
};

/* Whether the requestor may "impersonate" this. */
static bool may(const struct impersonation *impersonation, const char *group, const char *plural,
                const char *subresource, const char *namespace, const char *name,
                struct error *error)
{
    struct authz_attributes attributes =
        AUTHZ_RESOURCE(impersonation->requestor, "impersonate", group, plural);
    attributes.version = group[0] ? "v1" : "";
    attributes.subresource = subresource;
    attributes.namespace = namespace;
    attributes.name = name;
    return impersonation->check(impersonation->argument, &attributes, error);
}

static bool take_user(struct impersonation *impersonation, const char *name, bool names_groups,
                      struct error *error)
{
    cleanup(free_char)
    char *namespace = NULL;
    cleanup(free_char)
    char *account = NULL;
    user_set(&impersonation->user, name, "");
    if (!service_account_split(name, &namespace, &account)) {
        return may(impersonation, "", "users", "", "", name, error);
    }
    if (!names_groups) {
        service_account_add_groups(&impersonation->user, namespace);
    }
    return may(impersonation, "", "serviceaccounts", "", namespace, account, error);
}

static bool take_groups(struct impersonation *impersonation, const struct credentials *credentials,
                        struct error *error)
{
    for (size_t i = 0; i < credentials->header_count; i++) {
        const struct request_header *header = &credentials->headers[i];
        if (strcasecmp(header->name, group_header) != 0) {
            continue;
        }
        if (!may(impersonation, "", "groups", "", "", header->value, error)) {
            return false;
        }
        user_add_group(&impersonation->user, header->value);
    }
    return true;
}

static bool take_extra(struct impersonation *impersonation, const struct credentials *credentials,
                       struct error *error)
{
    for (size_t i = 0; i < credentials->header_count; i++) {
        const struct request_header *header = &credentials->headers[i];
        cleanup(free_char)
        char *key = header_extra_key(header->name, extra_prefix);
        if (key == NULL) {
            continue;
        }
        if (!may(impersonation, authentication_group, "userextras", key, "", header->value,
                 error)) {
            return false;
        }
        user_add_extra(&impersonation->user, key, header->value);
    }
    return true;
}

static bool take_uid(struct impersonation *impersonation, const char *uid, struct error *error)
{
    if (uid == NULL || uid[0] == '\0') {
        return true;
    }
    free(impersonation->user.uid);
    impersonation->user.uid = duplicate(uid);
    return may(impersonation, authentication_group, "uids", "", "", uid, error);
}

/* As upstream prints references to what is wanted. */
static bool refuse_without_user(const struct credentials *credentials, struct error *error)
{
    cleanup(buffer_free)
    struct buffer wanted = BUFFER_INIT;
    for (size_t i = 0; i < credentials->header_count; i++) {
        const struct request_header *header = &credentials->headers[i];
        const char *space = wanted.length > 0 ? " " : "";
        cleanup(free_char)
        char *key = header_extra_key(header->name, extra_prefix);
        if (strcasecmp(header->name, group_header) == 0) {
            buffer_addf(&wanted, "%s{Group  %s    }", space, header->value);
        } else if (key != NULL) {
            buffer_addf(&wanted, "%s{UserInfo  %s  authentication.k8s.io/v1  %s}", space,
                        header->value, key);
        } else if (strcasecmp(header->name, uid_header) == 0 && header->value[0] != '\0') {
            buffer_addf(&wanted, "%s{UID  %s  authentication.k8s.io/v1  }", space, header->value);
        }
    }
    return wanted.length == 0 ||
           error_internal(error, "requested [%s] without impersonating a user",
                          buffer_text(&wanted));
}

/* The group that goes with being somebody or nobody, unless one of the two is named. */
static void add_common_group(struct user *user)
{
    bool is_nobody = strcmp(user->name, anonymous) == 0;
    if (is_nobody ||
        (!user_in_group(user, authenticated) && !user_in_group(user, unauthenticated))) {
        user_add_group(user, is_nobody ? unauthenticated : authenticated);
    }
}

static bool take_all(struct impersonation *impersonation, const struct credentials *credentials,
                     const char *name, struct error *error)
{
    bool names_groups = credentials_header(credentials, group_header) != NULL;
    return take_user(impersonation, name, names_groups, error) &&
           take_groups(impersonation, credentials, error) &&
           take_extra(impersonation, credentials, error) &&
           take_uid(impersonation, credentials_header(credentials, uid_header), error);
}

bool impersonate(const struct credentials *credentials, struct user *user,
                 bool (*check)(void *argument, const struct authz_attributes *attributes,
                               struct error *error),
                 void *argument, struct error *error)
{
    const char *name = credentials_header(credentials, user_header);
    if (name == NULL || name[0] == '\0') {
        return refuse_without_user(credentials, error);
    }
    struct impersonation impersonation = {.requestor = user, .check = check, .argument = argument};
    if (!take_all(&impersonation, credentials, name, error)) {
        user_clear(&impersonation.user);
        return false;
    }
    add_common_group(&impersonation.user);
    user_clear(user);
    *user = impersonation.user;
    return true;
}
