// SPDX-License-Identifier: Apache-2.0
/* Kinds that are asked whether somebody may do something, and never stored. Answers come from the
 * authorizers in force. */
#include <string.h>

#include "apiserver/admission/admission.h"
#include "apiserver/auth/authz.h"
#include "apiserver/auth/rbac_rule.h"
#include "apiserver/registry/decode.h"
#include "apiserver/registry/kinds/all.h"
#include "apiserver/registry/validation/access.h"
#include "common/alloc.h"
#include "common/json.h"

struct reviewer {
    /* False with an error when the review makes no sense: nobody is asked about it then. */
    bool (*check)(const struct request *request, const json_t *review, struct error *error);
    /* Fills in the status. */
    void (*answer)(struct registry *registry, const struct request *request, json_t *review);
};

static void serve(struct registry *registry, struct request *request, struct response *response,
                  const struct reviewer *reviewer)
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
        !reviewer->check(request, shown.object, &error) ||
        !admission_validate_body(&shown, &error)) {
        response_set_error(response, request, &error);
        return;
    }
    reviewer->answer(registry, request, shown.object);
    response_set_json(response, request, 201, shown.object);
}

/* ---- the question ---- */

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_get_string(object, name);
    return text != NULL ? text : "";
}

static bool check(const struct request *request, const json_t *review, bool names_user,
                  const char *namespace, struct error *error)
{
    cleanup(field_errors_clear)
    struct field_errors errors = FIELD_ERRORS_INIT;
    validate_access_review(review, names_user, namespace, &errors);
    return !field_errors_any(&errors) ||
           error_invalid(error, request->resource->group, request->resource->kind, "", &errors);
}

static bool check_self(const struct request *request, const json_t *review, struct error *error)
{
    return check(request, review, false, NULL, error);
}

static bool check_anybody(const struct request *request, const json_t *review, struct error *error)
{
    return check(request, review, true, NULL, error);
}

static bool check_local(const struct request *request, const json_t *review, struct error *error)
{
    return check(request, review, true, request->info.namespace, error);
}

static bool check_rules(const struct request *request, const json_t *review, struct error *error)
{
    (void)request;
    return text_of(json_object_get(review, "spec"), "namespace")[0] != '\0' ||
           error_bad_request(error, "no namespace on request");
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

static void review_self(struct registry *registry, const struct request *request, json_t *review)
{
    decide(registry, &request->user, review);
}

static void review_anybody(struct registry *registry, const struct request *request, json_t *review)
{
    (void)request;
    struct user user = user_of(json_object_get(review, "spec"));
    decide(registry, &user, review);
    free(user.groups);
}

static void review_local(struct registry *registry, const struct request *request, json_t *review)
{
    review_anybody(registry, request, review);
    json_object_set_new(json_object_get(review, "metadata"), "namespace",
                        json_string(request->info.namespace));
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

static void review_rules(struct registry *registry, const struct request *request, json_t *review)
{
    const char *namespace = text_of(json_object_get(review, "spec"), "namespace");
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
}

/* ---- the kinds ---- */

static void serve_self(struct registry *registry, struct request *request,
                       struct response *response)
{
    static const struct reviewer reviewer = {check_self, review_self};
    serve(registry, request, response, &reviewer);
}

static void serve_anybody(struct registry *registry, struct request *request,
                          struct response *response)
{
    static const struct reviewer reviewer = {check_anybody, review_anybody};
    serve(registry, request, response, &reviewer);
}

static void serve_local(struct registry *registry, struct request *request,
                        struct response *response)
{
    static const struct reviewer reviewer = {check_local, review_local};
    serve(registry, request, response, &reviewer);
}

static void serve_rules(struct registry *registry, struct request *request,
                        struct response *response)
{
    static const struct reviewer reviewer = {check_rules, review_rules};
    serve(registry, request, response, &reviewer);
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
