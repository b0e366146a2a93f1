// SPDX-License-Identifier: Apache-2.0
#include "common/bootstrap_token.h"

#include <string.h>

#include "common/alloc.h"
#include "common/base64.h"
#include "common/json.h"
#include "common/timestamp.h"

const char bootstrap_token_type[] = "bootstrap.kubernetes.io/token";

char *bootstrap_token_datum(const json_t *secret, const char *name)
{
    size_t length;
    const char *encoded = json_path_string(secret, "data", name);
    char *text = encoded ? base64_decode(encoded, strlen(encoded), &length) : NULL;
    return text ? text : duplicate("");
}

int64_t bootstrap_token_expiry(const json_t *secret)
{
    int64_t until;
    cleanup(free_char)
    char *expiration = bootstrap_token_datum(secret, "expiration");
    if (expiration[0] == '\0') {
        return INT64_MAX;
    }
    return timestamp_parse(expiration, &until) ? until : INT64_MIN;
}

bool bootstrap_token_is_text(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        bool is_letter = text[i] >= 'a' && text[i] <= 'z';
        if (!is_letter && (text[i] < '0' || text[i] > '9')) {
            return false;
        }
    }
    return true;
}
