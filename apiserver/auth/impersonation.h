// SPDX-License-Identifier: Apache-2.0
/*
 * Impersonation: who may may ask in somebody else's name, with the headers Impersonate-User,
 * -Group, -Uid and -Extra-<key>. Each of what they name is a question of its own to the authorizer:
 * may the caller do "impersonate" to users, groups, serviceaccounts, uids or userextras/<key> of
 * that name?
 */
#ifndef APISERVER_AUTH_IMPERSONATION_H
#define APISERVER_AUTH_IMPERSONATION_H

#include "apiserver/auth/authz.h"
#include "apiserver/http/server.h"

/* Makes 'user' whom the headers name, and leaves it alone when they name nobody. Each wish goes
 * through 'check', which is authz_check() with what it needs; its refusal is passed on. 500 when
 * there is a group, uid or extra but no user, as upstream. */
bool impersonate(const struct credentials *credentials, struct user *user,
                 bool (*check)(void *argument, const struct authz_attributes *attributes,
                               struct error *error),
                 void *argument, struct error *error);

#endif
