// SPDX-License-Identifier: Apache-2.0
#include "apiserver/auth/service_account_names.h"

#include <string.h>

#include "apiserver/auth/authenticator.h"
#include "common/alloc.h"
#include "common/names.h"

static const char prefix[] = "system:serviceaccount:";

bool service_account_split(const char *username, char **namespace, char **name)
{
    if (strncmp(username, prefix, sizeof prefix - 1) != 0) {
        return false;
    }
    const char *rest = username + sizeof prefix - 1;
    const char *colon = strchr(rest, ':');
    if (colon == NULL || strchr(colon + 1, ':') != NULL ||
        names_check_dns_subdomain(colon + 1) != NULL) {
        return false;
    }
    cleanup(free_char)
    char *first = duplicate_bytes(rest, (size_t)(colon - rest));
    if (names_check_dns_label(first) != NULL) {
        return false;
    }
    *namespace = steal(first);
    *name = duplicate(colon + 1);
    return true;
}

char *service_account_username(const char *namespace, const char *name)
{
    return format("%s%s:%s", prefix, namespace, name);
}

void service_account_add_groups(struct user *user, const char *namespace)
{
    cleanup(free_char)
    char *of_namespace = format("system:serviceaccounts:%s", namespace);
    user_add_group(user, "system:serviceaccounts");
    user_add_group(user, of_namespace);
}
