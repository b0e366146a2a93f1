// SPDX-License-Identifier: Apache-2.0
/* Webhook configurations, and how webhooks are reached. */
#include <string.h>

#include "apiserver/registry/validation/check.h"
#include "apiserver/registry/validation/extensions.h"
#include "apiserver/registry/validation/selectors.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/names.h"

enum { MATCH_CONDITIONS_MAX = 64 };

/* ---- how it is reached ---- */

static void invalid_part(const char *text, size_t length, const char *message,
                         const struct field_path *path, struct field_errors *errors)
{
    cleanup(free_char)
    char *part = duplicate_bytes(text, length);
    check_invalid_text(part, message, path, errors);
}

#define URL_FORM "; desired format: https://host[/path]"

static void validate_url(const char *url, const struct field_path *path,
                         struct field_errors *errors)
{
    size_t scheme = strcspn(url, ":/?#");
    bool has_scheme = url[scheme] == ':';
    const char *rest = has_scheme ? url + scheme + 1 : url;
    const char *host = strncmp(rest, "//", 2) == 0 ? rest + 2 : rest;
    size_t length = host > rest ? strcspn(host, "/?#") : 0;
    const char *user = memchr(host, '@', length);
    size_t name = user ? length - (size_t)(user + 1 - host) : length;
    const char *query = strchr(rest, '?'), *fragment = strchr(rest, '#');
    if (!has_scheme || scheme != 5 || strncmp(url, "https", 5) != 0) {
        invalid_part(url, has_scheme ? scheme : 0,
                     "'https' is the only allowed URL scheme" URL_FORM, path, errors);
    }
    if (name == 0) {
        check_invalid_text("", "host must be specified" URL_FORM, path, errors);
    }
    if (user != NULL) {
        invalid_part(host, (size_t)(user - host), "user information is not permitted in the URL",
                     path, errors);
    }
    if (fragment != NULL && fragment[1] != '\0') {
        check_invalid_text(fragment + 1, "fragments are not permitted in the URL", path, errors);
    }
    if (query != NULL && (fragment == NULL || query < fragment) && strcspn(query + 1, "#") > 0) {
        invalid_part(query + 1, strcspn(query + 1, "#"),
                     "query parameters are not permitted in the URL", path, errors);
    }
}

/* "/", or segments that are subdomains each. */
static void validate_service_path(const char *text, const struct field_path *path,
                                  struct field_errors *errors)
{
    size_t length = strlen(text), index = 0;
    if (length == 0 || strcmp(text, "/") == 0) {
        return;
    }
    if (strcmp(text, "//") == 0) {
        check_invalid_text(text, "segment[0] may not be empty", path, errors);
        return;
    }
    if (text[0] != '/') {
        check_invalid_text(text, "must start with a '/'", path, errors);
    }
    for (const char *at = text + 1; at <= text + length; index++) {
        size_t step = strcspn(at, "/");
        cleanup(free_char)
        char *segment = duplicate_bytes(at, step);
        const char *message = step > 0 ? names_check_dns_subdomain(segment) : NULL;
        cleanup(free_char)
        char *detail = step == 0 ? format("segment[%zu] may not be empty", index)
                       : message ? format("segment[%zu]: %s", index, message)
                                 : NULL;
        check_invalid_text(text, detail, path, errors);
        at += step + 1;
        if (at == text + length) {
            return; /* One slash may stand at the end. */
        }
    }
}

static void validate_service(const json_t *service, const struct field_path *path,
                             struct field_errors *errors)
{
    json_int_t port = json_get_int(service, "port", 443);
    if (port < 1 || port > 65535) {
        field_error(errors, FIELD_INVALID, FIELD(path, "port"), json_object_get(service, "port"),
                    "port is not valid: must be between 1 and 65535, inclusive");
    }
    validate_service_path(check_text(service, "path"), FIELD(path, "path"), errors);
}

void validate_webhook_client(const json_t *client, const char *when_neither,
                             const struct field_path *path, struct field_errors *errors)
{
    const json_t *url = json_object_get(client, "url");
    const json_t *service = json_object_get(client, "service");
    if ((url == NULL) == (service == NULL)) {
        field_error(errors, FIELD_REQUIRED, path, NULL, "%s", when_neither);
    } else if (url != NULL) {
        validate_url(json_string_value(url), FIELD(path, "url"), errors);
    } else {
        validate_service(service, FIELD(path, "service"), errors);
    }
}

/* ---- what it is asked about ---- */

/* "*" stands alone in the list. 'others' stands in upstream's message. */
static void validate_wildcard(const json_t *rule, const char *member, const char *others,
                              const struct field_path *path, struct field_errors *errors)
{
    const json_t *list = json_object_get(rule, member);
    if (json_array_size(list) > 1 && json_array_has_string(list, "*")) {
        field_error(errors, FIELD_INVALID, FIELD(path, member), list,
                    "if '*' is present, must not specify other %s", others);
    }
}

static void require_texts(const json_t *list, const struct field_path *path,
                          struct field_errors *errors)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (json_string_length(json_array_get(list, i)) == 0) {
            field_error(errors, FIELD_REQUIRED, FIELD_INDEX(path, i), NULL, NULL);
        }
    }
}

/* What a list of resources has named so far. */
struct named_resources {
    struct map whole;        /* "pods", where all of its subresources are named. */
    struct map subresources; /* "status", where it is named of all resources. */
    bool everything, any, plain;
};

static void validate_resource(const json_t *value, struct named_resources *seen,
                              const struct field_path *path, struct field_errors *errors)
{
    const char *text = json_string_value(value), *slash = strchr(text, '/');
    seen->everything = seen->everything || strcmp(text, "*/*") == 0;
    seen->any = seen->any || strcmp(text, "*") == 0;
    if (slash == NULL) {
        seen->plain = strcmp(text, "*") != 0; /* As upstream: the last one counts. */
        return;
    }
    cleanup(free_char)
    char *resource = duplicate_bytes(text, (size_t)(slash - text));
    if (map_get(&seen->whole, resource) != NULL) {
        field_error(errors, FIELD_INVALID, path, value, "if '%s/*' is present, must not specify %s",
                    resource, text);
    }
    if (map_get(&seen->subresources, slash + 1) != NULL) {
        field_error(errors, FIELD_INVALID, path, value, "if '*/%s' is present, must not specify %s",
                    slash + 1, text);
    }
    if (strcmp(slash + 1, "*") == 0) {
        map_set(&seen->whole, resource, seen);
    }
    if (strcmp(resource, "*") == 0) {
        map_set(&seen->subresources, slash + 1, seen);
    }
}

static void validate_resources(const json_t *list, const struct field_path *path,
                               struct field_errors *errors)
{
    struct named_resources seen = {.whole = MAP_INIT, .subresources = MAP_INIT};
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *value = json_array_get(list, i);
        if (json_string_length(value) > 0) {
            validate_resource(value, &seen, FIELD_INDEX(path, i), errors);
        }
    }
    if (json_array_size(list) > 1 && seen.everything) {
        field_error(errors, FIELD_INVALID, path, list,
                    "if '*/*' is present, must not specify other resources");
    }
    if (seen.any && seen.plain) {
        field_error(errors, FIELD_INVALID, path, list,
                    "if '*' is present, must not specify other resources without subresources");
    }
    map_free(&seen.whole, NULL);
    map_free(&seen.subresources, NULL);
}

void validate_webhook_rule(const json_t *rule, const struct field_path *path,
                           struct field_errors *errors)
{
    const json_t *resources = json_object_get(rule, "resources");
    validate_wildcard(rule, "operations", "operations", path, errors);
    validate_wildcard(rule, "apiGroups", "API groups", path, errors);
    validate_wildcard(rule, "apiVersions", "API versions", path, errors);
    require_texts(json_object_get(rule, "apiVersions"), FIELD(path, "apiVersions"), errors);
    require_texts(resources, FIELD(path, "resources"), errors);
    validate_resources(resources, FIELD(path, "resources"), errors);
}

static bool is_blank(const char *text)
{
    return text[strspn(text, " \t\r\n\v\f")] == '\0';
}

void validate_match_conditions(const json_t *conditions, const struct field_path *path,
                               struct field_errors *errors)
{
    size_t count = json_array_size(conditions);
    if (count > MATCH_CONDITIONS_MAX) {
        cleanup(json_release)
        json_t *shown = json_integer((json_int_t)count);
        field_error(errors, FIELD_TOO_MANY, path, shown, "must have at most %d items",
                    MATCH_CONDITIONS_MAX);
    }
    for (size_t i = 0; i < count; i++) {
        const json_t *condition = json_array_get(conditions, i);
        const char *name = check_text(condition, "name");
        const char *expression = check_text(condition, "expression");
        const struct field_path *here = FIELD_INDEX(path, i);
        cleanup(free_char)
        char *message = name[0] != '\0' ? names_check_qualified(name) : NULL;
        check_invalid_text(name, message, FIELD(here, "name"), errors);
        if (expression[0] != '\0' && is_blank(expression)) {
            field_error(errors, FIELD_REQUIRED, FIELD(here, "expression"), NULL, NULL);
        }
    }
}

/* ---- webhooks ---- */

static void validate_review_versions(const json_t *versions, const struct field_path *path,
                                     struct field_errors *errors)
{
    struct map seen = MAP_INIT;
    bool known = false;
    if (json_array_size(versions) == 0) {
        field_error(errors, FIELD_REQUIRED, path, NULL, "must specify one of v1, v1beta1");
        return;
    }
    for (size_t i = 0; i < json_array_size(versions); i++) {
        const char *version = json_string_value(json_array_get(versions, i));
        const struct field_path *here = FIELD_INDEX(path, i);
        known = known || strcmp(version, "v1") == 0 || strcmp(version, "v1beta1") == 0;
        check_invalid_text(version,
                           map_set(&seen, version, &seen) != NULL
                               ? "duplicate version"
                               : names_check_dns1035_label(version),
                           here, errors);
    }
    if (!known) {
        field_error(errors, FIELD_INVALID, path, versions,
                    "must include at least one of v1, v1beta1");
    }
    map_free(&seen, NULL);
}

/* "check.example.com" */
static void validate_name(const json_t *webhook, const struct field_path *path,
                          struct field_errors *errors)
{
    const char *name = check_text(webhook, "name"), *dot = strchr(name, '.');
    const char *message = name[0] != '\0' ? names_check_dns_subdomain(name) : NULL;
    check_invalid_text(name, message, path, errors);
    if (name[0] != '\0' && message == NULL && (dot == NULL || strchr(dot + 1, '.') == NULL)) {
        check_invalid_text(name,
                           "should be a domain with at least three segments separated by dots",
                           path, errors);
    }
}

static void validate_webhook(const json_t *webhook, const struct field_path *path,
                             struct field_errors *errors)
{
    static const char *const no_effects[] = {"None", "NoneOnDryRun", NULL};
    const char *effects = check_text(webhook, "sideEffects");
    const json_t *rules = json_object_get(webhook, "rules");
    const json_t *timeout = json_object_get(webhook, "timeoutSeconds");
    const struct field_path *rules_path = FIELD(path, "rules");
    json_int_t seconds = json_integer_value(timeout);
    validate_name(webhook, FIELD(path, "name"), errors);
    for (size_t i = 0; i < json_array_size(rules); i++) {
        validate_webhook_rule(json_array_get(rules, i), FIELD_INDEX(rules_path, i), errors);
    }
    if (effects[0] == '\0') {
        field_error(errors, FIELD_REQUIRED, FIELD(path, "sideEffects"), NULL,
                    "must specify one of None, NoneOnDryRun");
    } else if (!check_one_of(effects, no_effects)) {
        check_not_supported(effects, no_effects, FIELD(path, "sideEffects"), errors);
    }
    if (timeout != NULL && (seconds < 1 || seconds > 30)) {
        field_error(errors, FIELD_INVALID, FIELD(path, "timeoutSeconds"), timeout,
                    "the timeout value must be between 1 and 30 seconds");
    }
    validate_label_selector(json_object_get(webhook, "namespaceSelector"),
                            FIELD(path, "namespaceSelector"), errors);
    validate_label_selector(json_object_get(webhook, "objectSelector"),
                            FIELD(path, "objectSelector"), errors);
    validate_webhook_client(json_object_get(webhook, "clientConfig"),
                            "exactly one of url or service is required",
                            FIELD(path, "clientConfig"), errors);
    validate_match_conditions(json_object_get(webhook, "matchConditions"),
                              FIELD(path, "matchConditions"), errors);
    validate_review_versions(json_object_get(webhook, "admissionReviewVersions"),
                             FIELD(path, "admissionReviewVersions"), errors);
}

void validate_webhook_configuration(const struct write *write, struct field_errors *errors)
{
    const json_t *webhooks = json_object_get(write->object, "webhooks");
    const struct field_path *path = FIELD(NULL, "webhooks");
    for (size_t i = 0; i < json_array_size(webhooks); i++) {
        validate_webhook(json_array_get(webhooks, i), FIELD_INDEX(path, i), errors);
    }
}
