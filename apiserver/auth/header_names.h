// SPDX-License-Identifier: Apache-2.0
/* Headers whose names carry a key, as those of front proxies and of impersonation do. */
#ifndef APISERVER_AUTH_HEADER_NAMES_H
#define APISERVER_AUTH_HEADER_NAMES_H

/* The key behind the prefix, in lower case and with %xx decoded; NULL when the name does not begin
 * with the prefix, in any case. One that can't be decoded is taken as it is. The caller's. */
char *header_extra_key(const char *name, const char *prefix);

#endif
