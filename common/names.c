// SPDX-License-Identifier: Apache-2.0
#include "common/names.h"

#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "common/buffer.h"
#include "common/ip.h"
#include "common/json.h"

enum {
    LABEL_MAX = 63,
    SUBDOMAIN_MAX = 253,
    PORT_NAME_MAX = 15,
    ANNOTATIONS_MAX = 256 * 1024,
};

#define REGEX_DNS_LABEL "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
#define REGEX_DNS_1035 "[a-z]([-a-z0-9]*[a-z0-9])?"
#define REGEX_NAME_PART "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
#define REGEX_IS "regex used for validation is '"

#define TOO_LONG_63 "must be no more than 63 bytes"
#define TOO_LONG_253 "must be no more than 253 bytes"

#define WRONG_SUBDOMAIN                                                                            \
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "   \
    "'.', and must start and end with an alphanumeric character (e.g. 'example.com', " REGEX_IS    \
        REGEX_DNS_LABEL "(\\." REGEX_DNS_LABEL ")*')"

#define NAME_PART_RULE                                                                             \
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "    \
    "alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', " REGEX_IS               \
        REGEX_NAME_PART "')"

/* ---- characters ---- */

static bool is_lower(char c)
{
    return c >= 'a' && c <= 'z';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_dns_edge(char c)
{
    return is_lower(c) || is_digit(c);
}

static bool is_dns_inner(char c)
{
    return is_dns_edge(c) || c == '-';
}

static bool is_name_edge(char c)
{
    return is_dns_edge(c) || (c >= 'A' && c <= 'Z');
}

static bool is_name_inner(char c)
{
    return is_name_edge(c) || c == '-' || c == '_' || c == '.';
}

/* Not empty, begins and ends with an edge character, and holds inner ones between. */
static bool has_shape(const char *text, size_t length, bool (*edge)(char), bool (*inner)(char))
{
    if (length == 0 || !edge(text[0]) || !edge(text[length - 1])) {
        return false;
    }
    for (size_t i = 1; i + 1 < length; i++) {
        if (!inner(text[i])) {
            return false;
        }
    }
    return true;
}

static bool is_dns_label(const char *text, size_t length)
{
    return has_shape(text, length, is_dns_edge, is_dns_inner);
}

static bool is_subdomain(const char *text, size_t length)
{
    const char *end = text + length;
    for (;;) {
        const char *dot = memchr(text, '.', (size_t)(end - text));
        if (!is_dns_label(text, (size_t)((dot ? dot : end) - text))) {
            return false;
        }
        if (dot == NULL) {
            return true;
        }
        text = dot + 1;
    }
}

/* ---- names ---- */

const char *names_check_dns_label(const char *text)
{
    size_t length = strlen(text);
    if (length > LABEL_MAX) {
        return TOO_LONG_63;
    }
    if (is_dns_label(text, length)) {
        return NULL;
    }
    if (is_subdomain(text, length)) {
        return "must not contain dots";
    }
    return "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', "
           "and must start and end with an alphanumeric character (e.g. 'my-name',  or "
           "'123-abc', " REGEX_IS REGEX_DNS_LABEL "')";
}

const char *names_check_dns_subdomain(const char *text)
{
    size_t length = strlen(text);
    if (length > SUBDOMAIN_MAX) {
        return TOO_LONG_253;
    }
    return is_subdomain(text, length) ? NULL : WRONG_SUBDOMAIN;
}

const char *names_check_dns1035_label(const char *text)
{
    size_t length = strlen(text);
    if (length > LABEL_MAX) {
        return TOO_LONG_63;
    }
    if (is_dns_label(text, length) && is_lower(text[0])) {
        return NULL;
    }
    return "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with "
           "an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or "
           "'abc-123', " REGEX_IS REGEX_DNS_1035 "')";
}

const char *names_check_label_value(const char *text)
{
    size_t length = strlen(text);
    if (length > LABEL_MAX) {
        return TOO_LONG_63;
    }
    if (length == 0 || has_shape(text, length, is_name_edge, is_name_inner)) {
        return NULL;
    }
    return "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' "
           "or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or "
           "'my_value',  or '12345', " REGEX_IS "(" REGEX_NAME_PART ")?')";
}

const char *names_check_path_segment(const char *text)
{
    if (strcmp(text, ".") == 0) {
        return "may not be '.'";
    }
    if (strcmp(text, "..") == 0) {
        return "may not be '..'";
    }
    if (strchr(text, '/') != NULL) {
        return "may not contain '/'";
    }
    if (strchr(text, '\x01') != NULL) { /* What a NUL is made for checks: json_without_nul(). */
        return "may not contain NUL";
    }
    return strchr(text, '%') != NULL ? "may not contain '%'" : NULL;
}

const char *names_check(const char *name_format, const char *text)
{
    static const struct {
        const char *format;
        const char *(*check)(const char *text);
    } checks[] = {
        {"subdomain", names_check_dns_subdomain},
        {"label", names_check_dns_label},
        {"label1035", names_check_dns1035_label},
        {"path-segment", names_check_path_segment},
    };
    for (size_t i = 0; i < array_length(checks); i++) {
        if (strcmp(name_format, checks[i].format) == 0) {
            return checks[i].check(text);
        }
    }
    return names_check_dns_subdomain(text);
}

/* ---- other texts ---- */

const char *names_check_port_name(const char *text)
{
    size_t length = strlen(text);
    bool has_letter = false;
    if (length > PORT_NAME_MAX) {
        return "must be no more than 15 bytes";
    }
    for (size_t i = 0; i < length; i++) {
        if (!is_dns_inner(text[i])) {
            length = 0;
            break;
        }
        has_letter = has_letter || is_lower(text[i]);
    }
    if (length == 0) {
        return "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)";
    }
    if (!has_letter) {
        return "must contain at least one letter (a-z)";
    }
    if (strstr(text, "--") != NULL) {
        return "must not contain consecutive hyphens";
    }
    if (text[0] == '-' || text[length - 1] == '-') {
        return "must not begin or end with a hyphen";
    }
    return NULL;
}

const char *names_check_config_key(const char *text)
{
    size_t length = strlen(text);
    if (length > SUBDOMAIN_MAX) {
        return TOO_LONG_253;
    }
    for (size_t i = 0; i < length; i++) {
        if (!is_name_inner(text[i])) {
            length = 0;
            break;
        }
    }
    if (length == 0) {
        return "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. "
               "'key.name',  or 'KEY_NAME',  or 'key-name', " REGEX_IS "[-._a-zA-Z0-9]+')";
    }
    if (text[0] != '.') {
        return NULL;
    }
    return strcmp(text, ".") == 0        ? "must not be '.'"
           : strcmp(text, "..") == 0     ? "must not be '..'"
           : strncmp(text, "..", 2) == 0 ? "must not start with '..'"
                                         : NULL;
}

const char *names_check_env_name(const char *text)
{
    if (text[0] == '\0') {
        return "environment variable name must be non-empty";
    }
    for (; *text != '\0'; text++) {
        if (*text < ' ' || *text > '~' || *text == '=') {
            return "a valid environment variable name must consist only of printable ASCII "
                   "characters other than '='";
        }
    }
    return NULL;
}

const char *names_check_ip(const char *text)
{
    struct ip_network address;
    return ip_parse(text, &address)
               ? NULL
               : "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
}

const char *names_check_cidr(const char *text)
{
    struct ip_network network;
    return ip_network_parse(text, &network)
               ? NULL
               : "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
}

/* ---- qualified names and the maps that have them as keys ---- */

/* What is wrong with one text; upstream reports all of it. */
struct complaints {
    const char *prefixes[3]; /* "name part ", … before each message. */
    const char *messages[3];
    size_t count;
};

static void complain(struct complaints *complaints, const char *prefix, const char *message)
{
    if (message != NULL) {
        complaints->prefixes[complaints->count] = prefix;
        complaints->messages[complaints->count++] = message;
    }
}

static void check_prefix(const char *text, size_t length, struct complaints *complaints)
{
    if (length == 0) {
        complain(complaints, "prefix part ", "must be non-empty");
    } else if (length > SUBDOMAIN_MAX) {
        complain(complaints, "prefix part ", TOO_LONG_253);
    } else if (!is_subdomain(text, length)) {
        complain(complaints, "prefix part ", WRONG_SUBDOMAIN);
    }
}

static void check_qualified(const char *text, struct complaints *complaints)
{
    const char *slash = strchr(text, '/');
    if (slash != NULL && strchr(slash + 1, '/') != NULL) {
        complain(complaints, "a valid label key ",
                 NAME_PART_RULE
                 " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')");
        return;
    }
    if (slash != NULL) {
        check_prefix(text, (size_t)(slash - text), complaints);
        text = slash + 1;
    }
    size_t length = strlen(text);
    if (length == 0) {
        complain(complaints, "name part ", "must be non-empty");
    } else if (length > LABEL_MAX) {
        complain(complaints, "name part ", TOO_LONG_63);
    }
    if (!has_shape(text, length, is_name_edge, is_name_inner)) {
        complain(complaints, "name part ", NAME_PART_RULE);
    }
}

char *names_check_qualified(const char *text)
{
    struct complaints complaints = {.count = 0};
    struct buffer all = BUFFER_INIT;
    check_qualified(text, &complaints);
    for (size_t i = 0; i < complaints.count; i++) {
        buffer_add_text(&all, i > 0 ? "; " : "");
        buffer_add_text(&all, complaints.prefixes[i]);
        buffer_add_text(&all, complaints.messages[i]);
    }
    return all.bytes;
}

/* One error for each complaint about 'checked', which is 'shown' or its lower-case form. */
static void validate_qualified(const char *checked, const char *shown,
                               const struct field_path *path, struct field_errors *errors)
{
    struct complaints complaints = {.count = 0};
    check_qualified(checked, &complaints);
    for (size_t i = 0; i < complaints.count; i++) {
        json_t *value = json_string(shown);
        field_error(errors, FIELD_INVALID, path, value, "%s%s", complaints.prefixes[i],
                    complaints.messages[i]);
        json_decref(value);
    }
}

void names_validate_labels(const json_t *labels, const struct field_path *path,
                           struct field_errors *errors)
{
    const char *key;
    json_t *value;
    json_object_foreach ((json_t *)labels, key, value) {
        validate_qualified(key, key, path, errors);
        cleanup(free_char)
        char *copy = json_without_nul(value);
        const char *text = copy ? copy : json_string_value(value);
        const char *wrong = text ? names_check_label_value(text) : NULL;
        if (wrong != NULL) {
            field_error(errors, FIELD_INVALID, path, value, "%s", wrong);
        }
    }
}

static void to_lower(char *text)
{
    for (; *text != '\0'; text++) {
        if (*text >= 'A' && *text <= 'Z') {
            *text = (char)(*text - 'A' + 'a');
        }
    }
}

void names_validate_annotations(const json_t *annotations, const struct field_path *path,
                                struct field_errors *errors)
{
    size_t total = 0;
    const char *key;
    json_t *value;
    json_object_foreach ((json_t *)annotations, key, value) {
        /* Qualified names but for the case of the prefix. */
        cleanup(free_char)
        char *lower = duplicate(key);
        to_lower(lower);
        validate_qualified(lower, key, path, errors);
        total += strlen(key) + json_string_length(value);
    }
    if (total > ANNOTATIONS_MAX) {
        field_error(errors, FIELD_TOO_LONG, path, NULL, "may not be more than %d bytes",
                    ANNOTATIONS_MAX);
    }
}
