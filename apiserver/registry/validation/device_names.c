// SPDX-License-Identifier: Apache-2.0
#include <ctype.h>
#include <string.h>

#include "apiserver/registry/validation/check.h"
#include "apiserver/registry/validation/devices.h"
#include "apiserver/registry/validation/volume_sources.h"
#include "common/alloc.h"
#include "common/names.h"

enum { IDENTIFIER_MAX = 32, POOL_NAME_MAX = 253 };

bool validate_device_count(const json_t *list, size_t most, const struct field_path *path,
                           struct field_errors *errors)
{
    size_t count = json_array_size(list);
    if (count > most) {
        cleanup(json_release)
        json_t *shown = json_integer((json_int_t)count);
        field_error(errors, FIELD_TOO_MANY, path, shown, "must have at most %zu items", most);
    }
    return count <= most;
}

static void validate_identifier(const char *text, const struct field_path *path,
                                struct field_errors *errors)
{
    size_t length = 0;
    if (strlen(text) > IDENTIFIER_MAX) {
        field_error(errors, FIELD_TOO_LONG, path, NULL, "may not be more than %d bytes",
                    IDENTIFIER_MAX);
    }
    while (isalpha((unsigned char)text[length]) || text[length] == '_' ||
           (length > 0 && isdigit((unsigned char)text[length]))) {
        length++;
    }
    if (length == 0 || text[length] != '\0') {
        check_invalid_text(
            text,
            "a valid C identifier must start with alphabetic character or '_', followed by a "
            "string of alphanumeric characters or '_' (e.g. 'my_name',  or 'MY_NAME',  or "
            "'MyName', "
            "regex used for validation is '[A-Za-z_][A-Za-z0-9_]*')",
            path, errors);
    }
}

void validate_device_property(const char *name, bool full, const struct field_path *path,
                              struct field_errors *errors)
{
    const char *slash = strchr(name, '/');
    if (name[0] == '\0') {
        field_error(errors, FIELD_REQUIRED, path, NULL, "name required");
        return;
    }
    if (slash == NULL) {
        validate_identifier(name, path, errors);
        if (full) {
            check_invalid_text(name, "must include a domain", path, errors);
        }
        return;
    }
    if (slash == name) {
        field_error(errors, FIELD_REQUIRED, path, NULL, "the domain must not be empty");
    }
    cleanup(json_release)
    json_t *domain = json_stringn(name, (size_t)(slash - name));
    validate_csi_driver_name(domain, path, errors);
    if (slash[1] == '\0') {
        field_error(errors, FIELD_REQUIRED, path, NULL, "the name must not be empty");
    } else {
        validate_identifier(slash + 1, path, errors);
    }
}

void validate_pool_name(const json_t *name, const struct field_path *path,
                        struct field_errors *errors)
{
    const char *text = json_string_value(name) ? json_string_value(name) : "";
    if (strlen(text) > POOL_NAME_MAX) {
        field_error(errors, FIELD_TOO_LONG, path, NULL, "may not be more than %d bytes",
                    POOL_NAME_MAX);
    }
    for (const char *at = text; text[0] != '\0';) {
        size_t length = strcspn(at, "/");
        cleanup(free_char)
        char *part = duplicate_bytes(at, length);
        check_invalid_text(part, names_check_dns_subdomain(part), path, errors);
        if (at[length] == '\0') {
            return;
        }
        at += length + 1;
    }
}
