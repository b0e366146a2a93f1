// SPDX-License-Identifier: Apache-2.0
#include "apiserver/auth/header_names.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/alloc.h"

/* The value of a hexadecimal digit in lower case, -1 for others. */
static int digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Decodes in place; false, and nothing is done, when a % is followed by something else. */
static bool decode(char *text)
{
    for (const char *at = text; (at = strchr(at, '%')) != NULL; at++) {
        if (digit(at[1]) < 0 || digit(at[2]) < 0 || (at[1] == '0' && at[2] == '0')) {
            return false;
        }
    }
    char *to = text;
    for (const char *from = text; *from != '\0'; from++) {
        if (*from == '%') {
            *to++ = (char)(digit(from[1]) * 16 + digit(from[2]));
            from += 2;
        } else {
            *to++ = *from;
        }
    }
    *to = '\0';
    return true;
}

char *header_extra_key(const char *name, const char *prefix)
{
    size_t length = strlen(prefix);
    if (strncasecmp(name, prefix, length) != 0) {
        return NULL;
    }
    char *key = duplicate(name + length);
    for (char *at = key; *at != '\0'; at++) {
        *at = (char)(*at >= 'A' && *at <= 'Z' ? *at - 'A' + 'a' : *at);
    }
    decode(key);
    return key;
}
