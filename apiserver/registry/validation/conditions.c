// SPDX-License-Identifier: Apache-2.0
/* metav1.Condition, as newer kinds have them in their status. */
#include <ctype.h>
#include <string.h>

#include "apiserver/registry/validation/check.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/names.h"

enum { reason_max = 1024, message_max = 32768 };

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

/* "Scaled", "FailedUp:Quota": letters, digits and "_,:". */
static bool is_reason(const char *text)
{
    size_t length = strlen(text);
    if (!isalpha((unsigned char)text[0]) || !is_word(text[length - 1])) {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        if (!is_word(text[i]) && text[i] != ',' && text[i] != ':') {
            return false;
        }
    }
    return true;
}

static void validate_reason(const json_t *reason, const struct field_path *path,
                            struct field_errors *errors)
{
    const char *text = json_string_value(reason);
    if (text == NULL || text[0] == '\0') {
        field_error(errors, FIELD_REQUIRED, path, NULL, "must be set");
        return;
    }
    if (!is_reason(text)) {
        field_error(errors, FIELD_INVALID, path, reason,
                    "a condition reason must start with alphabetic character, optionally followed "
                    "by a string of alphanumeric characters or '_,:', and must end with an "
                    "alphanumeric character or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName',  "
                    "or 'ReasonA,ReasonB',  or 'ReasonA:ReasonB', regex used for validation is "
                    "'[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?')");
    }
    if (strlen(text) > reason_max) {
        field_error(errors, FIELD_TOO_LONG, path, NULL, "may not be more than %d bytes",
                    reason_max);
    }
}

static void validate_condition(const json_t *condition, const struct field_path *path,
                               struct field_errors *errors)
{
    static const char *const statuses[] = {"False", "True", "Unknown", NULL};
    const char *type = check_text(condition, "type"), *status = check_text(condition, "status");
    const json_t *generation = json_object_get(condition, "observedGeneration");
    cleanup(free_char)
    char *message = names_check_qualified(type);
    check_invalid_text(type, message, FIELD(path, "type"), errors);
    if (!check_one_of(status, statuses)) {
        check_not_supported(status, statuses, FIELD(path, "status"), errors);
    }
    if (json_integer_value(generation) < 0) {
        field_error(errors, FIELD_INVALID, FIELD(path, "observedGeneration"), generation,
                    "must be greater than or equal to zero");
    }
    if (!json_is_string(json_object_get(condition, "lastTransitionTime"))) {
        field_error(errors, FIELD_REQUIRED, FIELD(path, "lastTransitionTime"), NULL, "must be set");
    }
    validate_reason(json_object_get(condition, "reason"), FIELD(path, "reason"), errors);
    if (strlen(check_text(condition, "message")) > message_max) {
        field_error(errors, FIELD_TOO_LONG, FIELD(path, "message"), NULL,
                    "may not be more than %d bytes", message_max);
    }
}

void check_conditions(const json_t *conditions, const struct field_path *path,
                      struct field_errors *errors)
{
    struct map seen = MAP_INIT;
    for (size_t i = 0; i < json_array_size(conditions); i++) {
        const json_t *condition = json_array_get(conditions, i);
        const struct field_path *here = FIELD_INDEX(path, i);
        const char *type = check_text(condition, "type");
        if (map_set(&seen, type, &seen) != NULL) {
            check_duplicate_text(type, FIELD(here, "type"), errors);
        }
        validate_condition(condition, here, errors);
    }
    map_free(&seen, NULL);
}
