// SPDX-License-Identifier: Apache-2.0
/* Environment variables, and references to fields and resources of the pod. */
#include <string.h>

#include "apiserver/registry/validation/check.h"
#include "apiserver/registry/validation/pods.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/names.h"
#include "common/quantity.h"

/* ---- fields of the pod ---- */

/* What a path can name at all, in a volume or a variable. */
static const char *const known_paths[] = {"metadata.annotations",
                                          "metadata.labels",
                                          "metadata.name",
                                          "metadata.namespace",
                                          "metadata.uid",
                                          "spec.nodeName",
                                          "spec.restartPolicy",
                                          "spec.serviceAccountName",
                                          "spec.schedulerName",
                                          "status.phase",
                                          "status.hostIP",
                                          "status.hostIPs",
                                          "status.podIP",
                                          "status.podIPs",
                                          NULL};

static const char *const variable_paths[] = {"metadata.name",
                                             "metadata.namespace",
                                             "metadata.uid",
                                             "spec.nodeName",
                                             "spec.serviceAccountName",
                                             "status.hostIP",
                                             "status.hostIPs",
                                             "status.podIP",
                                             "status.podIPs",
                                             NULL};

/* "metadata.labels['app']": the map and the key within it. False when it isn't written so. */
static bool split_subscript(const char *text, char **map, char **key)
{
    const char *open = strstr(text, "['");
    size_t length = strlen(text);
    if (open == NULL || open == text || length < 2 || strcmp(text + length - 2, "']") != 0 ||
        open + 2 > text + length - 2) {
        return false;
    }
    *map = duplicate_bytes(text, (size_t)(open - text));
    *key = duplicate_bytes(open + 2, (size_t)(text + length - 2 - (open + 2)));
    return true;
}

static void validate_subscript(const char *map, char *key, const struct field_path *path,
                               struct field_errors *errors)
{
    if (strcmp(map, "metadata.annotations") != 0 && strcmp(map, "metadata.labels") != 0) {
        check_invalid_text(map, "does not support subscript", path, errors);
        return;
    }
    for (char *at = key; strcmp(map, "metadata.annotations") == 0 && *at != '\0'; at++) {
        *at = (char)(*at >= 'A' && *at <= 'Z' ? *at - 'A' + 'a' : *at);
    }
    cleanup(free_char)
    char *message = names_check_qualified(key);
    check_invalid_text(key, message, path, errors);
}

void validate_field_ref(const json_t *reference, const char *const *supported,
                        const struct field_path *path, struct field_errors *errors)
{
    const char *version = check_text(reference, "apiVersion");
    const char *text = check_text(reference, "fieldPath");
    const json_t *shown = json_object_get(reference, "fieldPath");
    const struct field_path *here = FIELD(path, "fieldPath");
    cleanup(free_char)
    char *map = NULL;
    cleanup(free_char)
    char *key = NULL;
    if (text[0] == '\0' || version[0] == '\0') {
        return; /* Reported where it is missing. */
    }
    if (strcmp(version, "v1") != 0) {
        field_error(errors, FIELD_INVALID, here, shown,
                    "error converting fieldPath: unsupported pod version: %s", version);
        return;
    }
    text = strcmp(text, "spec.host") == 0 ? "spec.nodeName" : text; /* Its old name. */
    bool subscripted = split_subscript(text, &map, &key);
    if (subscripted && strcmp(map, "metadata.annotations") != 0 &&
        strcmp(map, "metadata.labels") != 0) {
        field_error(errors, FIELD_INVALID, here, shown,
                    "error converting fieldPath: field label does not support subscript");
    } else if (subscripted) {
        validate_subscript(map, key, path, errors);
    } else if (!check_one_of(text, known_paths)) {
        field_error(errors, FIELD_INVALID, here, shown,
                    "error converting fieldPath: field label not supported: %s", text);
    } else if (!check_one_of(text, supported)) {
        field_error_not_supported(errors, here, shown, supported);
    }
}

/* ---- resources of a container ---- */

static const char *const resource_paths[] = {"limits.cpu",
                                             "limits.ephemeral-storage",
                                             "limits.memory",
                                             "requests.cpu",
                                             "requests.ephemeral-storage",
                                             "requests.memory",
                                             NULL};

static const char *const cpu_divisors[] = {"1m", "1", NULL};
static const char *const byte_divisors[] = {"1",   "1k",  "1M",  "1G",  "1T",  "1P",  "1E",
                                            "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei", NULL};

#define BYTE_DIVISORS "1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei"

static const struct divisor_rule {
    const char *resource; /* Behind "limits." or "requests.", or the beginning of it. */
    const char *const *divisors;
    const char *message;
} divisor_rules[] = {
    {"cpu", cpu_divisors, "only divisor's values 1m and 1 are supported with the cpu resource"},
    {"memory", byte_divisors,
     "only divisor's values " BYTE_DIVISORS " are supported with the memory resource"},
    {"ephemeral-storage", byte_divisors,
     "only divisor's values " BYTE_DIVISORS
     " are supported with the local ephemeral storage resource"},
    {"hugepages-", byte_divisors,
     "only divisor's values " BYTE_DIVISORS " are supported with the hugepages resource"},
};

/* What stands behind the first dot of "limits.cpu". */
static const char *resource_of(const char *text)
{
    return check_starts_with(text, "limits.")     ? text + strlen("limits.")
           : check_starts_with(text, "requests.") ? text + strlen("requests.")
                                                  : "";
}

static void validate_divisor(const json_t *reference, const struct field_path *path,
                             struct field_errors *errors)
{
    const char *resource = resource_of(check_text(reference, "resource"));
    const char *text = check_text(reference, "divisor");
    struct quantity divisor;
    char canonical[QUANTITY_SIZE];
    if (!quantity_parse(text, &divisor) || divisor.nano == 0) {
        return;
    }
    quantity_format(&divisor, canonical);
    for (size_t i = 0; i < array_length(divisor_rules); i++) {
        const struct divisor_rule *rule = &divisor_rules[i];
        if (resource[0] != '\0' && check_starts_with(resource, rule->resource) &&
            !check_one_of(canonical, rule->divisors)) {
            check_message(json_object_get(reference, "resource"), rule->message,
                          FIELD(path, "divisor"), errors);
        }
    }
}

void validate_resource_field_ref(const json_t *reference, bool in_volume,
                                 const struct field_path *path, struct field_errors *errors)
{
    const char *text = check_text(reference, "resource");
    if (in_volume && check_text(reference, "containerName")[0] == '\0') {
        field_error(errors, FIELD_REQUIRED, FIELD(path, "containerName"), NULL, NULL);
    } else if (text[0] != '\0' && !check_one_of(text, resource_paths) &&
               !check_starts_with(resource_of(text), "hugepages-")) {
        field_error_not_supported(errors, FIELD(path, "resource"),
                                  json_object_get(reference, "resource"), resource_paths);
    }
    validate_divisor(reference, path, errors);
}

/* ---- variables ---- */

static void validate_source(const json_t *variable, const json_t *source,
                            const struct field_path *path, struct field_errors *errors)
{
    static const char *const kinds[] = {"fieldRef", "resourceFieldRef", "configMapKeyRef",
                                        "secretKeyRef", "fileKeyRef"};
    size_t count = 0;
    for (size_t i = 0; i < array_length(kinds); i++) {
        count += check_has(source, kinds[i]);
    }
    if (check_has(source, "fieldRef")) {
        validate_field_ref(json_object_get(source, "fieldRef"), variable_paths,
                           FIELD(path, "fieldRef"), errors);
    }
    if (check_has(source, "resourceFieldRef")) {
        validate_resource_field_ref(json_object_get(source, "resourceFieldRef"), false,
                                    FIELD(path, "resourceFieldRef"), errors);
    }
    if (count == 0) {
        check_invalid_text("",
                           "must specify one of: `fieldRef`, `resourceFieldRef`, "
                           "`configMapKeyRef` or `secretKeyRef`",
                           path, errors);
    } else if (check_text(variable, "value")[0] != '\0') {
        check_invalid_text("", "may not be specified when `value` is not empty", path, errors);
    } else if (count > 1) {
        check_invalid_text("", "may not have more than one field specified at a time", path,
                           errors);
    }
}

static void validate_entry_names(const json_t *source, const struct field_path *path,
                                 struct field_errors *errors)
{
    static const char *const kinds[] = {"configMapKeyRef", "secretKeyRef", "configMapRef",
                                        "secretRef"};
    for (size_t i = 0; i < array_length(kinds); i++) {
        const json_t *reference = json_object_get(source, kinds[i]);
        const struct field_path *here = FIELD(path, kinds[i]);
        check_subdomain(json_object_get(reference, "name"), FIELD(here, "name"), errors);
    }
}

void validate_env(const json_t *container, const struct field_path *path,
                  struct field_errors *errors)
{
    const json_t *variables = json_object_get(container, "env");
    const json_t *sources = json_object_get(container, "envFrom");
    const struct field_path *env = FIELD(path, "env"), *env_from = FIELD(path, "envFrom");
    for (size_t i = 0; i < json_array_size(variables); i++) {
        const json_t *variable = json_array_get(variables, i);
        const struct field_path *here = FIELD_INDEX(env, i);
        const struct field_path *source_path = FIELD(here, "valueFrom");
        const json_t *source = json_object_get(variable, "valueFrom");
        if (source != NULL) {
            validate_source(variable, source, source_path, errors);
            validate_entry_names(source, source_path, errors);
        }
    }
    for (size_t i = 0; i < json_array_size(sources); i++) {
        const json_t *source = json_array_get(sources, i);
        int count = check_has(source, "configMapRef") + check_has(source, "secretRef");
        validate_entry_names(source, FIELD_INDEX(env_from, i), errors);
        if (count == 0) {
            check_invalid_text("", "must specify one of: `configMapRef` or `secretRef`", env_from,
                               errors);
        } else if (count > 1) {
            check_invalid_text("", "may not have more than one field specified at a time", env_from,
                               errors);
        }
    }
}
