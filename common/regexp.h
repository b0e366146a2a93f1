// SPDX-License-Identifier: Apache-2.0
/*
 * Regular expressions as Kubernetes has them: Go's, which are RE2's. Here is what tells well-formed
 * ones from others, as patterns in the schemas of custom resources have to be; nothing is matched.
 *
 * Threads: any.
 */
#ifndef COMMON_REGEXP_H
#define COMMON_REGEXP_H

#include <stddef.h>

/* What is wrong with it, as Go says it ("error parsing regexp: missing closing ): `(a`"), the
 * caller's; NULL: it is well-formed. The text is UTF-8. Names of scripts in \p{…} are not looked
 * up. */
char *regexp_check(const char *text, size_t length);

#endif
