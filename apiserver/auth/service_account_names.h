// SPDX-License-Identifier: Apache-2.0
/* How service accounts are called as users: system:serviceaccount:<namespace>:<name>. */
#ifndef APISERVER_AUTH_SERVICE_ACCOUNT_NAMES_H
#define APISERVER_AUTH_SERVICE_ACCOUNT_NAMES_H

#include <stdbool.h>

#include "apiserver/http/request.h"

/* Splits the name of such a user; both parts are the caller's. False for another user. */
bool service_account_split(const char *username, char **namespace, char **name);
char *service_account_username(const char *namespace, const char *name); /* The caller's. */
/* The groups that all service accounts are in, and all of the namespace. */
void service_account_add_groups(struct user *user, const char *namespace);

#endif
