// SPDX-License-Identifier: Apache-2.0
#include "controllers/int_or_percent.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

json_int_t int_or_percent(const json_t *value, json_int_t total, bool round_up)
{
    if (json_is_integer(value)) {
        return json_integer_value(value);
    }
    const char *text = json_string_value(value);
    char *end = NULL;
    long percent = text != NULL ? strtol(text, &end, 10) : 0;
    if (text == NULL || strcmp(end, "%") != 0 || percent < 0 || percent > INT32_MAX) {
        return 0;
    }
    return (percent * total + (round_up ? 99 : 0)) / 100;
}
