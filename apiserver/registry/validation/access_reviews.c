// SPDX-License-Identifier: Apache-2.0
/* Reviews of authorization.k8s.io: questions whether somebody may do something. */
#include <string.h>

#include "apiserver/registry/validation/access.h"
#include "apiserver/registry/validation/check.h"
#include "apiserver/registry/validation/selectors.h"
#include "common/alloc.h"
#include "common/json.h"

static bool is_given(const json_t *object, const char *name)
{
    return json_is_object(json_object_get(object, name));
}

static bool is_empty_list(const json_t *list)
{
    return json_array_size(list) == 0;
}

typedef void requirement_check(const json_t *requirement, const struct field_path *path,
                               struct field_errors *errors);

static void check_selector(const json_t *attributes, const char *name, requirement_check *check,
                           struct field_errors *errors)
{
    const struct field_path *path = FIELD(FIELD(FIELD(NULL, "spec"), "resourceAttributes"), name);
    const struct field_path *list = FIELD(path, "requirements");
    const json_t *selector = json_object_get(attributes, name);
    const json_t *requirements = json_object_get(selector, "requirements");
    bool has_text = check_text(selector, "rawSelector")[0] != '\0';
    bool has_list = json_array_size(requirements) > 0;
    if (!json_is_object(selector)) {
        return;
    }
    if (has_text && has_list) {
        field_error(errors, FIELD_INVALID, FIELD(path, "rawSelector"),
                    json_object_get(selector, "rawSelector"),
                    "may not specified at the same time as requirements");
    } else if (!has_text && !has_list) {
        field_error(errors, FIELD_REQUIRED, list, NULL,
                    "when spec.resourceAttributes.%s is specified, requirements or rawSelector is "
                    "required",
                    name);
    }
    for (size_t i = 0; i < json_array_size(requirements); i++) {
        check(json_array_get(requirements, i), FIELD_INDEX(list, i), errors);
    }
}

/* What upstream checks of all three kinds; 'names_user': the spec says who. */
static void check_spec(const json_t *spec, bool names_user, struct field_errors *errors)
{
    const struct field_path *path = FIELD(NULL, "spec");
    bool resource = is_given(spec, "resourceAttributes");
    bool other = is_given(spec, "nonResourceAttributes");
    if (resource && other) {
        field_error(errors, FIELD_INVALID, FIELD(path, "nonResourceAttributes"),
                    json_object_get(spec, "nonResourceAttributes"),
                    "cannot be specified in combination with resourceAttributes");
    } else if (!resource && !other) {
        field_error(errors, FIELD_INVALID, FIELD(path, "resourceAttributes"), NULL,
                    "exactly one of nonResourceAttributes or resourceAttributes must be "
                    "specified");
    }
    if (names_user && check_text(spec, "user")[0] == '\0' &&
        is_empty_list(json_object_get(spec, "groups"))) {
        cleanup(json_release)
        json_t *nobody = json_string("");
        field_error(errors, FIELD_INVALID, FIELD(path, "user"), nobody,
                    "at least one of user or group must be specified");
    }
    check_selector(json_object_get(spec, "resourceAttributes"), "fieldSelector",
                   validate_asked_field, errors);
    check_selector(json_object_get(spec, "resourceAttributes"), "labelSelector",
                   validate_asked_label, errors);
}

/* A review is about nothing that has a name. */
static void check_metadata(const json_t *review, const char *namespace, struct field_errors *errors)
{
    const json_t *metadata = json_object_get(review, "metadata");
    const char *key;
    const json_t *value;
    json_object_foreach ((json_t *)metadata, key, value) {
        bool expected = strcmp(key, "creationTimestamp") == 0 ||
                        strcmp(key, "managedFields") == 0 ||
                        (namespace != NULL && strcmp(key, "namespace") == 0);
        if (!expected && !(json_is_string(value) && json_string_length(value) == 0)) {
            field_error(errors, FIELD_INVALID, FIELD(NULL, "metadata"), metadata,
                        namespace != NULL ? "must be empty except for namespace" : "must be empty");
            return;
        }
    }
}

static void check_local(const json_t *review, const char *namespace, struct field_errors *errors)
{
    const struct field_path *path = FIELD(NULL, "spec");
    const json_t *spec = json_object_get(review, "spec");
    const json_t *given = json_path(spec, "resourceAttributes", "namespace");
    if (is_given(spec, "resourceAttributes") &&
        strcmp(json_is_string(given) ? json_string_value(given) : "", namespace) != 0) {
        field_error(errors, FIELD_INVALID, FIELD(FIELD(path, "resourceAttributes"), "namespace"),
                    given, "must match metadata.namespace");
    }
    if (is_given(spec, "nonResourceAttributes")) {
        field_error(errors, FIELD_INVALID, FIELD(path, "nonResourceAttributes"),
                    json_object_get(spec, "nonResourceAttributes"),
                    "disallowed on this kind of request");
    }
}

void validate_access_review(const json_t *review, bool names_user, const char *namespace,
                            struct field_errors *errors)
{
    check_spec(json_object_get(review, "spec"), names_user, errors);
    check_metadata(review, namespace, errors);
    if (namespace != NULL) {
        check_local(review, namespace, errors);
    }
}
