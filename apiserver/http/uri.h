// SPDX-License-Identifier: Apache-2.0
/* Percent-encoding in paths and queries. */
#ifndef APISERVER_HTTP_URI_H
#define APISERVER_HTTP_URI_H

#include <stdbool.h>
#include <stddef.h>

#include "apiserver/http/request.h"

/* Decodes %XX, and '+' to a space if 'plus_is_space'. NULL for a malformed escape, for a control
 * character and for what is not UTF-8 once decoded: nothing behind the HTTP layer meets those. The
 * caller's. */
char *uri_decode(const char *text, size_t length, bool plus_is_space);

/* Splits "a=1&b" into decoded parameters, the array and its strings the caller's (see
 * uri_free_parameters). False if some part does not decode. */
bool uri_parse_query(const char *query, struct parameter **parameters, size_t *count);
void uri_free_parameters(struct parameter *parameters, size_t count);

/* Well-formed UTF-8 without control characters (tab and line feed are accepted). */
bool uri_is_clean_text(const char *text, size_t length);

#endif
