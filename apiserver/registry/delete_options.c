// SPDX-License-Identifier: Apache-2.0
#include "apiserver/registry/delete_options.h"

#include <errno.h>
#include <string.h>

#include "apiserver/audit/audit.h"
#include "apiserver/registry/decode.h"
#include "apiserver/registry/validation/check.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/schema_rules.h"

/* ---- the body ---- */

/* A precondition that is misspelt must not count as none. */
static bool fits(const struct request *request, json_t *body, struct error *error)
{
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    const char *kind = json_get_string(body, "kind");
    const struct schema *schema = scheme_kind_schema(request->scheme, "", "v1", "DeleteOptions");
    if (kind != NULL && kind[0] != '\0' && strcmp(kind, "DeleteOptions") != 0) {
        return error_bad_request(error, "the body of a delete must be DeleteOptions, not %s", kind);
    }
    return schema_prune(schema, body, NULL, NULL, &why) ||
           error_bad_request(error,
                             "DeleteOptions in version \"v1\" cannot be handled as a "
                             "DeleteOptions: %s",
                             why.message);
}

json_t *delete_options_body(const struct request *request, struct error *error)
{
    if (request->body_length == 0) {
        return json_object();
    }
    cleanup(json_release)
    json_t *body = decode_body_any(request, error);
    if (body == NULL || !fits(request, body, error)) {
        return NULL;
    }
    audit_request_object(request, body);
    return steal(body);
}

/* ---- options ---- */

static bool read_grace_period(const struct request *request, const json_t *body,
                              struct delete_options *options, struct error *error)
{
    const char *text = request_parameter(request, "gracePeriodSeconds");
    const json_t *given = json_object_get(body, "gracePeriodSeconds");
    options->grace_period_seconds = -1;
    if (json_is_integer(given)) {
        options->grace_period_seconds = json_integer_value(given);
    } else if (text != NULL && text[0] != '\0') {
        char *end;
        errno = 0;
        options->grace_period_seconds = strtoll(text, &end, 10);
        if (*end != '\0' || errno != 0) {
            return error_bad_request(error, "strconv.ParseInt: parsing \"%s\": %s", text,
                                     *end != '\0' ? "invalid syntax" : "value out of range");
        }
    } else {
        return true;
    }
    if (options->grace_period_seconds < 0) {
        options->grace_period_seconds = 1; /* As upstream treats negative ones. */
    }
    return true;
}

static void read_propagation(const struct request *request, const json_t *body,
                             struct delete_options *options)
{
    const char *policy = json_get_string(body, "propagationPolicy");
    const json_t *orphan = json_object_get(body, "orphanDependents");
    policy = policy ? policy : request_parameter(request, "propagationPolicy");
    options->propagation_policy = policy && policy[0] ? duplicate(policy) : NULL;
    options->orphan_dependents_given = json_is_boolean(orphan);
    options->orphan_dependents = json_is_true(orphan);
    if (request_parameter(request, "orphanDependents") != NULL) {
        options->orphan_dependents_given = true;
        options->orphan_dependents = request_parameter_bool(request, "orphanDependents");
    }
}

static char *copy_member(const json_t *object, const char *name)
{
    const char *text = json_get_string(object, name);
    return text && text[0] ? duplicate(text) : NULL;
}

static bool are_all_known(const json_t *dry_run)
{
    size_t known = 0;
    for (size_t i = 0; i < json_array_size(dry_run); i++) {
        const char *value = json_string_value(json_array_get(dry_run, i));
        known += value != NULL && strcmp(value, "All") == 0;
    }
    return known == json_array_size(dry_run);
}

static bool validate(const struct delete_options *options, const json_t *dry_run,
                     struct error *error)
{
    static const char *const policies[] = {"Foreground", "Background", "Orphan", NULL};
    static const char *const shown[] = {"Foreground", "Background", "Orphan", "nil", NULL};
    static const char *const dry_runs[] = {"All", NULL};
    const char *policy = options->propagation_policy;
    const struct field_path *path = FIELD(NULL, "propagationPolicy");
    cleanup(field_errors_clear)
    struct field_errors errors = FIELD_ERRORS_INIT;
    cleanup(json_release)
    json_t *value = policy ? json_string(policy) : NULL;
    if (policy != NULL && options->orphan_dependents_given) {
        field_error(&errors, FIELD_INVALID, path, value,
                    "orphanDependents and deletionPropagation cannot be both set");
    }
    if (policy != NULL && !check_one_of(policy, policies)) {
        field_error_not_supported(&errors, path, value, shown);
    }
    if (!are_all_known(dry_run)) {
        field_error_not_supported(&errors, FIELD(NULL, "dryRun"), dry_run, dry_runs);
    }
    return !field_errors_any(&errors) ||
           error_invalid(error, "meta.k8s.io", "DeleteOptions", "", &errors);
}

bool delete_options_read(const struct request *request, const json_t *body,
                         struct delete_options *options, struct error *error)
{
    const json_t *preconditions = json_object_get(body, "preconditions");
    *options = (struct delete_options){.grace_period_seconds = -1};
    if (!read_grace_period(request, body, options, error)) {
        return false;
    }
    options->precondition_uid = copy_member(preconditions, "uid");
    options->precondition_resource_version = copy_member(preconditions, "resourceVersion");
    read_propagation(request, body, options);
    return validate(options, json_object_get(body, "dryRun"), error);
}

void delete_options_clear(struct delete_options *options)
{
    free(options->precondition_uid);
    free(options->precondition_resource_version);
    free(options->propagation_policy);
    *options = (struct delete_options){0};
}
