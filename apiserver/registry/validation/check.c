// SPDX-License-Identifier: Apache-2.0
#include "apiserver/registry/validation/check.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "common/json.h"
#include "common/names.h"

/* ---- reading ---- */

const char *check_text(const json_t *object, const char *name)
{
    const char *text = json_get_string(object, name);
    return text ? text : "";
}

bool check_is(const json_t *object, const char *name, const char *text)
{
    return strcmp(check_text(object, name), text) == 0;
}

bool check_has(const json_t *object, const char *name)
{
    return json_object_get(object, name) != NULL;
}

void check_members_list(const json_t *object, const char *const *names, size_t count,
                        const json_t **members)
{
    const char *key;
    json_t *member;
    for (size_t i = 0; i < count; i++) {
        members[i] = NULL;
    }
    json_object_foreach ((json_t *)object, key, member) {
        size_t i = 0;
        while (i < count && (names[i][0] != key[0] || strcmp(names[i], key) != 0)) {
            i++;
        }
        if (i < count) {
            members[i] = member;
        }
    }
}

static bool is_empty(const json_t *value)
{
    return value == NULL || json_is_null(value) ||
           (json_is_array(value) && json_array_size(value) == 0) ||
           (json_is_object(value) && json_object_size(value) == 0);
}

bool check_equal(const json_t *a, const json_t *b)
{
    return (is_empty(a) && is_empty(b)) || (a != NULL && b != NULL && json_equal(a, b));
}

bool check_one_of(const char *text, const char *const *list)
{
    for (; *list != NULL; list++) {
        if (text[0] == (*list)[0] && strcmp(text, *list) == 0) {
            return true;
        }
    }
    return false;
}

bool check_starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

void check_collect(struct map *set, const json_t *list, const char *member)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_t *element = json_array_get(list, i);
        const char *text = member ? check_text(element, member) : json_string_value(element);
        if (text != NULL) {
            map_set(set, text, element);
        }
    }
}

/* ---- adding errors ---- */

void check_message(const json_t *value, const char *message, const struct field_path *path,
                   struct field_errors *errors)
{
    if (message != NULL) {
        field_error(errors, FIELD_INVALID, path, value, "%s", message);
    }
}

void check_invalid_text(const char *text, const char *message, const struct field_path *path,
                        struct field_errors *errors)
{
    if (message != NULL) {
        cleanup(json_release)
        json_t *value = json_string(text);
        check_message(value, message, path, errors);
    }
}

void check_duplicate_text(const char *text, const struct field_path *path,
                          struct field_errors *errors)
{
    cleanup(json_release)
    json_t *value = json_string(text);
    field_error(errors, FIELD_DUPLICATE, path, value, NULL);
}

void check_not_supported(const char *text, const char *const *supported,
                         const struct field_path *path, struct field_errors *errors)
{
    cleanup(json_release)
    json_t *value = json_string(text);
    field_error_not_supported(errors, path, value, supported);
}

bool check_any_below(const struct field_errors *errors, const struct field_path *path)
{
    if (!field_errors_any(errors)) {
        return false;
    }
    cleanup(free_char)
    char *prefix = field_path_text(path);
    size_t length = strlen(prefix);
    for (size_t i = 0; i < json_array_size(errors->causes); i++) {
        const char *field = check_text(json_array_get(errors->causes, i), "field");
        if (strncmp(field, prefix, length) == 0 &&
            (field[length] == '\0' || field[length] == '.' || field[length] == '[')) {
            return true;
        }
    }
    return false;
}

/* ---- shared rules ---- */

void check_positive(const json_t *number, const struct field_path *path,
                    struct field_errors *errors)
{
    if (json_integer_value(number) <= 0) {
        cleanup(json_release)
        json_t *shown = json_integer(json_integer_value(number));
        field_error(errors, FIELD_INVALID, path, shown, "must be greater than zero");
    }
}

void check_not_negative(const json_t *number, const struct field_path *path,
                        struct field_errors *errors)
{
    if (json_integer_value(number) < 0) {
        field_error(errors, FIELD_INVALID, path, number, "must be greater than or equal to 0");
    }
}

void check_counters(const json_t *status, const char *const *members, struct field_errors *errors)
{
    for (; *members != NULL; members++) {
        check_not_negative(json_object_get(status, *members),
                           FIELD(FIELD(NULL, "status"), *members), errors);
    }
}

void check_port(const json_t *port, const struct field_path *path, struct field_errors *errors)
{
    if (json_is_string(port)) {
        check_message(port, names_check_port_name(json_string_value(port)), path, errors);
        return;
    }
    json_int_t number = json_integer_value(port); /* An absent one is 0. */
    if (number < 1 || number > 65535) {
        cleanup(json_release)
        json_t *shown = json_integer(number);
        field_error(errors, FIELD_INVALID, path, shown, "must be between 1 and 65535, inclusive");
    }
}

bool check_has_backsteps(const char *text)
{
    for (;;) {
        size_t length = strcspn(text, "/");
        if (length == 2 && memcmp(text, "..", 2) == 0) {
            return true;
        }
        if (text[length] == '\0') {
            return false;
        }
        text += length + 1;
    }
}

void check_descending_path(const json_t *value, const struct field_path *path,
                           struct field_errors *errors)
{
    const char *text = json_string_value(value);
    if (text == NULL) {
        return;
    }
    if (text[0] == '/') {
        field_error(errors, FIELD_INVALID, path, value, "must be a relative path");
    }
    if (check_has_backsteps(text)) {
        field_error(errors, FIELD_INVALID, path, value, "must not contain '..'");
    }
}

void check_local_path(const json_t *value, const struct field_path *path,
                      struct field_errors *errors)
{
    const char *text = json_string_value(value);
    check_descending_path(value, path, errors);
    if (text != NULL && check_starts_with(text, "..") && !check_starts_with(text, "../")) {
        field_error(errors, FIELD_INVALID, path, value, "must not start with '..'");
    }
}

void check_label(const json_t *value, const struct field_path *path, struct field_errors *errors)
{
    if (json_string_length(value) > 0) {
        check_message(value, names_check_dns_label(json_string_value(value)), path, errors);
    }
}

void check_subdomain(const json_t *value, const struct field_path *path,
                     struct field_errors *errors)
{
    if (json_string_length(value) > 0) {
        check_message(value, names_check_dns_subdomain(json_string_value(value)), path, errors);
    }
}

/* What may stand behind the domain: pchars of RFC 3986, percent signs left out. */
static bool is_path_character(char c)
{
    return isalnum((unsigned char)c) || (c != '\0' && strchr("-._~!$&'()*+,;=:/@%", c) != NULL);
}

void check_domain_prefixed_path(const json_t *value, const struct field_path *path,
                                struct field_errors *errors)
{
    const char *text = json_string_value(value) ? json_string_value(value) : "";
    const char *slash = strchr(text, '/');
    if (text[0] == '\0') {
        field_error(errors, FIELD_REQUIRED, path, NULL, NULL);
        return;
    }
    if (slash == NULL || slash == text || slash[1] == '\0') {
        field_error(errors, FIELD_INVALID, path, value,
                    "must be a domain-prefixed path (such as \"acme.io/foo\")");
        return;
    }
    cleanup(free_char)
    char *domain = duplicate_bytes(text, (size_t)(slash - text));
    check_invalid_text(domain, names_check_dns_subdomain(domain), path, errors);
    for (const char *at = slash + 1; *at != '\0'; at++) {
        if (!is_path_character(*at)) {
            check_invalid_text(slash + 1, "Invalid path", path, errors);
            return;
        }
    }
}

static bool is_percent(const char *text)
{
    size_t digits = strspn(text, "0123456789");
    return digits > 0 && strcmp(text + digits, "%") == 0;
}

void check_int_or_percent(const json_t *value, const struct field_path *path,
                          struct field_errors *errors)
{
    if (json_is_string(value) && !is_percent(json_string_value(value))) {
        field_error(errors, FIELD_INVALID, path, value,
                    "a valid percent string must be a numeric string followed by an ending '%%' "
                    "(e.g. '1%%',  or '93%%', regex used for validation is '[0-9]+%%')");
    } else if (json_is_integer(value) && json_integer_value(value) < 0) {
        field_error(errors, FIELD_INVALID, path, value, "must be greater than or equal to 0");
    }
}

json_int_t check_int_or_percent_value(const json_t *value)
{
    return json_is_string(value) ? strtoll(json_string_value(value), NULL, 10)
                                 : json_integer_value(value);
}

void check_at_most_100_percent(const json_t *value, const struct field_path *path,
                               struct field_errors *errors)
{
    if (json_is_string(value) && is_percent(json_string_value(value)) &&
        check_int_or_percent_value(value) > 100) {
        field_error(errors, FIELD_INVALID, path, value, "must not be greater than 100%%");
    }
}

void check_immutable(const json_t *value, const json_t *old, const struct field_path *path,
                     struct field_errors *errors)
{
    if (!check_equal(value, old)) {
        cleanup(json_release)
        json_t *none = json_null();
        field_error(errors, FIELD_INVALID, path, value ? value : none, "field is immutable");
    }
}
