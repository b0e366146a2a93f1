// SPDX-License-Identifier: Apache-2.0
/* Kinds that are asked whether somebody may do something, and never stored. Answers come from the
 * authorizers in force. */
#include <string.h>

#include "apiserver/admission/admission.h"
#include "apiserver/auth/authz.h"
#include "apiserver/auth/rbac_rule.h"
#include "apiserver/registry/decode.h"
#include "apiserver/registry/kinds/all.h"
#include "common/alloc.h"
#include "common/json.h"

/* Reads a review, checks it and fills in its status; false with an error. */
typedef bool (*reviewer)(struct registry *registry, const struct request *request, json_t *review,
                         struct error *error);

static void serve(struct registry *registry, struct request *request, struct response *response,
                  reviewer review)
{
    const struct resource *resource = request->resource;
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    cleanup(json_release)
    json_t *object = decode_body(request, response, resource->schema, resource->group,
                                 resource->version, resource->kind, &error);
    cleanup(write_clear)
    struct write shown = {0};
    write_begin_body(&shown, registry, request, response, object, NULL);
    if (object == NULL || !admission_admit_body(&shown, &error) ||
        !admission_validate_body(&shown, &error) ||
        !review(registry, request, shown.object, &error)) {
        response_set_error(response, request, &error);
        return;
    }
    response_set_json(response, request, 201, shown.object);
}

/* ---- the question ---- */

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_get_string(object, name);
    return text != NULL ? text : "";
}

static bool is_given(const json_t *object, const char *name)
{
    return json_is_object(json_object_get(object, name));
}

static bool is_empty_list(const json_t *list)
{
    return json_array_size(list) == 0;
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
    if (names_user && text_of(spec, "user")[0] == '\0' &&
        is_empty_list(json_object_get(spec, "groups"))) {
        cleanup(json_release)
        json_t *nobody = json_string("");
        field_error(errors, FIELD_INVALID, FIELD(path, "user"), nobody,
                    "at least one of user or group must be specified");
    }
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

static bool check(const struct request *request, const json_t *review, bool names_user,
                  const char *namespace, struct error *error)
{
    cleanup(field_errors_clear)
    struct field_errors errors = FIELD_ERRORS_INIT;
    check_spec(json_object_get(review, "spec"), names_user, &errors);
    check_metadata(review, namespace, &errors);
    if (namespace != NULL) {
        check_local(review, namespace, &errors);
    }
    return !field_errors_any(&errors) ||
           error_invalid(error, request->resource->group, request->resource->kind, "", &errors);
}

/* ---- the answer ---- */

/* The user that a review speaks of; texts are borrowed from it, the list of groups is the caller's.
 */
static struct user user_of(const json_t *spec)
{
    const json_t *groups = json_object_get(spec, "groups");
    struct user user = {.name = (char *)text_of(spec, "user"), .uid = (char *)text_of(spec, "uid")};
    user.groups = allocate_zero(json_array_size(groups) + 1, sizeof *user.groups);
    user.extra = json_object_get(spec, "extra");
    for (size_t i = 0; i < json_array_size(groups); i++) {
        user.groups[user.group_count++] = (char *)json_string_value(json_array_get(groups, i));
    }
    return user;
}

/* The field selector of a question in one text; the caller's, or NULL. */
static char *field_selector_of(const json_t *attributes)
{
    const json_t *selector = json_object_get(attributes, "fieldSelector");
    const char *raw = json_get_string(selector, "rawSelector");
    if (raw != NULL && raw[0] != '\0') {
        return duplicate(raw);
    }
    struct buffer text = BUFFER_INIT;
    size_t i;
    const json_t *requirement;
    json_array_foreach (json_object_get(selector, "requirements"), i, requirement) {
        const json_t *values = json_object_get(requirement, "values");
        const char *value = json_string_value(json_array_get(values, 0));
        if (strcmp(text_of(requirement, "operator"), "In") == 0 && json_array_size(values) == 1 &&
            value != NULL) {
            buffer_addf(&text, "%s%s=%s", text.length > 0 ? "," : "", text_of(requirement, "key"),
                        value);
        }
    }
    return text.length > 0 ? buffer_steal(&text) : NULL;
}

static void decide(struct registry *registry, const struct user *user, json_t *review)
{
    const json_t *spec = json_object_get(review, "spec");
    const json_t *resource = json_object_get(spec, "resourceAttributes");
    const char *version = text_of(resource, "version");
    cleanup(free_char)
    char *field_selector = field_selector_of(resource);
    cleanup(buffer_free)
    struct buffer reason = BUFFER_INIT;
    struct authz_attributes attributes = {
        .user = user,
        .verb = text_of(json_is_object(resource) ? resource
                                                 : json_object_get(spec, "nonResourceAttributes"),
                        "verb"),
        .is_resource = json_is_object(resource),
        .group = text_of(resource, "group"),
        .version = version[0] != '\0' ? version : "*",
        .resource = text_of(resource, "resource"),
        .subresource = text_of(resource, "subresource"),
        .namespace = text_of(resource, "namespace"),
        .name = text_of(resource, "name"),
        .path = text_of(json_object_get(spec, "nonResourceAttributes"), "path"),
        .field_selector = field_selector,
        .label_selector =
            json_get_string(json_object_get(resource, "labelSelector"), "rawSelector"),
        .field_requirements = json_path(resource, "fieldSelector", "requirements"),
        .label_requirements = json_path(resource, "labelSelector", "requirements"),
    };
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    enum authz_decision decision = authz_decide(registry->authz, &attributes, &reason, &why);
    json_t *status = json_pack("{s:b}", "allowed", decision == AUTHZ_ALLOW);
    if (decision == AUTHZ_DENY) {
        json_object_set_new(status, "denied", json_true());
    }
    if (reason.length > 0) {
        json_object_set_new(status, "reason", json_string(buffer_text(&reason)));
    }
    if (error_is_set(&why)) {
        json_object_set_new(status, "evaluationError", json_string(why.message));
    }
    json_object_set_new(review, "metadata", json_pack("{s:n}", "creationTimestamp"));
    json_object_set_new(review, "status", status);
}

static bool review_self(struct registry *registry, const struct request *request, json_t *review,
                        struct error *error)
{
    if (!check(request, review, false, NULL, error)) {
        return false;
    }
    decide(registry, &request->user, review);
    return true;
}

static bool review_named(struct registry *registry, const struct request *request, json_t *review,
                         const char *namespace, struct error *error)
{
    if (!check(request, review, true, namespace, error)) {
        return false;
    }
    struct user user = user_of(json_object_get(review, "spec"));
    decide(registry, &user, review);
    free(user.groups);
    return true;
}

static bool review_anybody(struct registry *registry, const struct request *request, json_t *review,
                           struct error *error)
{
    return review_named(registry, request, review, NULL, error);
}

static bool review_local(struct registry *registry, const struct request *request, json_t *review,
                         struct error *error)
{
    if (!review_named(registry, request, review, request->info.namespace, error)) {
        return false;
    }
    json_object_set_new(json_object_get(review, "metadata"), "namespace",
                        json_string(request->info.namespace));
    return true;
}

/* ---- what all somebody may do ---- */

/* Rules of resources and of paths, each with empty lists for what it says nothing of. */
static void add_rule(json_t *status, const struct rbac_rule *rule)
{
    json_t *json = rbac_rule_json(rule);
    json_t *copy = json_deep_copy(json);
    json_object_del(json, "nonResourceURLs");
    json_object_del(copy, "resources");
    json_object_del(copy, "apiGroups");
    json_object_del(copy, "resourceNames");
    if (rule->resources.count > 0) {
        json_array_append(json_object_get(status, "resourceRules"), json);
    }
    if (rule->urls.count > 0) {
        json_array_append(json_object_get(status, "nonResourceRules"), copy);
    }
    json_decref(json);
    json_decref(copy);
}

static bool review_rules(struct registry *registry, const struct request *request, json_t *review,
                         struct error *error)
{
    const char *namespace = text_of(json_object_get(review, "spec"), "namespace");
    if (namespace[0] == '\0') {
        return error_bad_request(error, "no namespace on request");
    }
    cleanup(rbac_rules_clear)
    struct rbac_rules rules = RBAC_RULES_INIT;
    cleanup(buffer_free)
    struct buffer problems = BUFFER_INIT;
    bool complete = authz_rules_for(registry->authz, &request->user, namespace, &rules, &problems);
    json_t *status = json_pack("{s:[], s:[], s:b}", "resourceRules", "nonResourceRules",
                               "incomplete", !complete);
    for (size_t i = 0; i < rules.count; i++) {
        add_rule(status, &rules.list[i]);
    }
    if (problems.length > 0) {
        json_object_set_new(status, "evaluationError", json_string(buffer_text(&problems)));
    }
    json_object_set_new(review, "metadata", json_pack("{s:n}", "creationTimestamp"));
    json_object_set_new(review, "spec", json_object());
    json_object_set_new(review, "status", status);
    return true;
}

/* ---- the kinds ---- */

static void serve_self(struct registry *registry, struct request *request,
                       struct response *response)
{
    serve(registry, request, response, review_self);
}

static void serve_anybody(struct registry *registry, struct request *request,
                          struct response *response)
{
    serve(registry, request, response, review_anybody);
}

static void serve_local(struct registry *registry, struct request *request,
                        struct response *response)
{
    serve(registry, request, response, review_local);
}

static void serve_rules(struct registry *registry, struct request *request,
                        struct response *response)
{
    serve(registry, request, response, review_rules);
}

static const char group[] = "authorization.k8s.io";

const struct kind kind_self_subject_access_review = {
    .group = group,
    .plural = "selfsubjectaccessreviews",
    .serve_virtual = serve_self,
};
const struct kind kind_subject_access_review = {
    .group = group,
    .plural = "subjectaccessreviews",
    .serve_virtual = serve_anybody,
};
const struct kind kind_local_subject_access_review = {
    .group = group,
    .plural = "localsubjectaccessreviews",
    .serve_virtual = serve_local,
};
const struct kind kind_self_subject_rules_review = {
    .group = group,
    .plural = "selfsubjectrulesreviews",
    .serve_virtual = serve_rules,
};
