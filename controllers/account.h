// SPDX-License-Identifier: Apache-2.0
/*
 * A service account of kube-system that a controller speaks as: makes it if it is missing, and has
 * tokens issued for it as its client needs them, for an hour each. An account that is deleted is
 * made again with the next token.
 */
#ifndef CONTROLLERS_ACCOUNT_H
#define CONTROLLERS_ACCOUNT_H

#include "common/client.h"

struct account;

/* 'base' makes the account and asks for tokens; it and 'name' are borrowed. */
struct account *account_new(struct client *base, const char *name);
/* The account's own client; borrowed. */
struct client *account_client(const struct account *account);
const char *account_name(const struct account *account);
/* Not from the loop's thread, and while 'base' is open. */
void account_free(struct account *account);

#endif
