// SPDX-License-Identifier: Apache-2.0
/*
 * MutatingAdmissionWebhook and ValidatingAdmissionWebhook: what a cluster's own servers say to a
 * write. The mutating ones are asked one after another, and again (reinvocationPolicy) when
 * somebody has changed the object since; the validating ones all at once.
 */
#include <pthread.h>
#include <string.h>

#include "apiserver/admission/admission.h"
#include "apiserver/admission/webhook_list.h"
#include "apiserver/admission/webhook_review.h"
#include "apiserver/audit/audit.h"
#include "apiserver/patch/patch.h"
#include "apiserver/registry/serve.h"
#include "common/alloc.h"
#include "common/fiber.h"
#include "common/base64.h"
#include "common/json.h"
#include "common/log.h"
#include "common/schema_rules.h"
#include "common/stack_size.h"
#include "common/timestamp.h"

enum { parallel_max = 16 };

static const char group[] = "admissionregistration.k8s.io";

/* A webhook that is to be asked about a write. */
struct asking {
    const struct webhook *webhook;
    const struct resource *resource; /* In whose version. */
    enum webhook_type type;
    size_t round, position; /* Among those that are asked, from 0. */
    struct registry *registry;
    const char *operation;
    json_t *review, *response; /* NULL: none yet, or none came. */
    struct error error;        /* Why none came. */
    int64_t duration_ns;
    pthread_t thread;
    bool has_thread;
};

static void asking_clear(struct asking *asking)
{
    json_decref(asking->review);
    json_decref(asking->response);
    error_clear(&asking->error);
    asking->review = asking->response = NULL;
}

/* ---- whether it is asked ---- */

/* Nobody may lock the cluster out of mending its webhooks. Of a subresource that is no part of an
 * object its body is shown, once, and not what it changes. */
static bool is_covered(const struct write *write)
{
    bool is_exempt = strcmp(write->storage->group, group) == 0;
    return !is_exempt && (write->is_of_body || write->subresource[0] == '\0' ||
                          registry_subresource_is_part(write->subresource));
}

static bool has_rule(const struct webhook *webhook, const struct write *write,
                     const struct resource *resource)
{
    return webhook_has_rule_for(webhook,
                                &(struct webhook_question){.operation = webhook_operation(write),
                                                           .group = resource->group,
                                                           .version = resource->version,
                                                           .plural = resource->plural,
                                                           .subresource = write->subresource,
                                                           .namespaced = resource->namespaced});
}

/* The version of the resource in which a rule names it: the request's own, or an equivalent one. */
static const struct resource *matched_resource(const struct webhook *webhook,
                                               const struct write *write)
{
    const struct scheme *scheme = write->registry->scheme;
    if (has_rule(webhook, write, write->resource)) {
        return write->resource;
    }
    for (size_t i = 0; webhook->matches_equivalents && i < scheme_resource_count(scheme); i++) {
        const struct resource *resource = scheme_resource(scheme, i);
        if (!resource->virtual && strcmp(resource->plural, write->resource->plural) == 0 &&
            strcmp(resource->storage_prefix, write->resource->storage_prefix) == 0 &&
            has_rule(webhook, write, resource)) {
            return resource;
        }
    }
    return NULL;
}

/* The labels of a namespace that is being written are those that it will have. */
static bool selects_namespace(const struct webhook *webhook, const struct write *write,
                              bool *selects, struct error *error)
{
    const struct selector *selector = webhook->namespace_selector;
    bool is_namespace =
        strcmp(write->storage->plural, "namespaces") == 0 && write->storage->group[0] == '\0';
    *selects = selector == NULL || selector_is_everything(selector) ||
               (!write->storage->namespaced && !is_namespace);
    if (*selects) {
        return true;
    }
    if (is_namespace && write->object != NULL && !write->is_of_body &&
        write->subresource[0] == '\0') {
        *selects =
            selector_matches_object(selector, json_path(write->object, "metadata", "labels"));
        return true;
    }
    const char *name = is_namespace ? write->name : write->namespace;
    cleanup(object_release)
    struct object *namespace = registry_get(
        write->registry, registry_resource(write->registry, "", "namespaces"), "", name);
    if (namespace == NULL) {
        return error_not_found(error, "", "namespaces", name);
    }
    *selects = selector_matches(selector, object_label, namespace);
    return true;
}

/* Sets asking->resource when the webhook is to be asked. */
static bool match(const struct webhook *webhook, const struct write *write, enum webhook_type type,
                  struct asking *asking, struct error *error)
{
    *asking = (struct asking){.webhook = webhook,
                              .type = type,
                              .registry = write->registry,
                              .operation = webhook_operation(write)};
    const struct resource *resource = matched_resource(webhook, write);
    bool selects = false;
    if (resource == NULL || !webhook_selects_object(webhook, write->object, write->live)) {
        return true;
    }
    if (!selects_namespace(webhook, write, &selects, error)) {
        return false;
    }
    if (selects && write->dry_run && webhook->has_side_effects) {
        return error_bad_request(error, "admission webhook \"%s\" does not support dry run",
                                 webhook->name);
    }
    asking->resource = selects ? resource : NULL;
    return true;
}

/* ---- asking ---- */

static void *ask(void *argument)
{
    struct asking *asking = argument;
    int64_t begun = timestamp_monotonic();
    asking->response = webhook_ask(asking->webhook, asking->registry, asking->review,
                                   asking->type == WEBHOOKS_MUTATING, &asking->error);
    asking->duration_ns = timestamp_monotonic() - begun;
    return NULL;
}

static void count(const struct asking *asking, const char *error_type, int code)
{
    webhook_lists_count(asking->registry->webhooks, asking->webhook->name, asking->type,
                        asking->operation, asking->duration_ns, error_type, code);
}

static bool refuse(const struct asking *asking, struct error *error)
{
    const json_t *status = json_object_get(asking->response, "status");
    const char *message = json_get_string(status, "message");
    const char *reason = json_get_string(status, "reason");
    json_int_t code = json_get_int(status, "code", 400);
    const char *why = message != NULL && message[0] != '\0' ? message
                      : reason != NULL && reason[0] != '\0' ? reason
                                                            : NULL;
    cleanup(json_release)
    json_t *answer = status != NULL ? json_copy((json_t *)status) : json_object();
    cleanup(free_char)
    char *text = format("admission webhook \"%s\" denied the request%s%s", asking->webhook->name,
                        why ? ": " : " without explanation", why ? why : "");
    json_object_set_new(answer, "kind", json_string("Status"));
    json_object_set_new(answer, "message", json_string(text));
    json_object_set_new(answer, "status", json_string("Failure"));
    code = code < 400 || code > 599 ? 400 : code;
    count(asking, "no_error", (int)code);
    return error_from_status(error, (int)code, answer);
}

static void warn(struct response *response, const json_t *warnings)
{
    for (size_t i = 0; response != NULL && i < json_array_size(warnings); i++) {
        const char *text = json_string_value(json_array_get(warnings, i));
        if (text != NULL) {
            response_add_warning(response, text);
        }
    }
}

/* ---- for the audit log ---- */

static void annotate(const struct write *write, const struct asking *asking, const char *what,
                     const char *value)
{
    cleanup(free_char)
    char *key =
        format("%s.admission.k8s.io/round_%zu_index_%zu", what, asking->round, asking->position);
    audit_annotate(write->request, key, value);
}

/* Under the webhook's name, what it has to say itself. */
static void annotate_answer(const struct write *write, const struct asking *asking)
{
    json_t *annotations = json_object_get(asking->response, "auditAnnotations"), *value;
    const char *name;
    json_object_foreach (annotations, name, value) {
        cleanup(free_char)
        char *key = format("%s/%s", asking->webhook->name, name);
        if (json_is_string(value)) {
            audit_annotate(write->request, key, json_string_value(value));
        }
    }
}

static void annotate_failure(const struct write *write, const struct asking *asking)
{
    annotate(write, asking,
             asking->type == WEBHOOKS_MUTATING ? "failed-open.mutating.webhook"
                                               : "failed-open.validating.webhook",
             asking->webhook->name);
}

static json_t *decode_patch(const json_t *response, struct error *error)
{
    const char *text = json_get_string(response, "patch");
    size_t length = 0;
    cleanup(free_char)
    char *bytes = base64_decode(text, strlen(text), &length);
    if (bytes == NULL) {
        error_internal(error, "response.patch is not base64");
        return NULL;
    }
    return json_check_values(json_count_values(bytes, length), error)
               ? json_parse(bytes, length, error)
               : NULL;
}

/* Whether it has changed the object, and how. */
static void annotate_mutation(const struct write *write, const struct asking *asking, bool mutated)
{
    if (write->request == NULL || write->request->audit == NULL) {
        return;
    }
    cleanup(json_release)
    json_t *mutation = json_pack("{s:s, s:s, s:b}", "configuration", asking->webhook->configuration,
                                 "webhook", asking->webhook->name, "mutated", mutated);
    cleanup(free_char)
    char *text = json_text(mutation);
    annotate(write, asking, "mutation.webhook", text);
    if (!mutated || !audit_has_request_objects(write->request)) {
        return;
    }
    json_object_del(mutation, "mutated");
    json_object_set_new(mutation, "patch", decode_patch(asking->response, NULL));
    json_object_set_new(mutation, "patchType", json_string("JSONPatch"));
    cleanup(free_char)
    char *patch = json_text(mutation);
    annotate(write, asking, "patch.webhook", patch);
}

/* What came, or didn't come, of asking: false refuses the write. */
static bool judge(const struct write *write, const struct asking *asking, struct error *error)
{
    const struct webhook *webhook = asking->webhook;
    if (asking->response != NULL) {
        warn(write->response, json_object_get(asking->response, "warnings"));
        annotate_answer(write, asking);
        if (!json_get_bool(asking->response, "allowed", false)) {
            return refuse(asking, error);
        }
        count(asking, NULL, 0);
        return true;
    }
    if (webhook->ignores_failures) {
        log_warning("failed calling webhook, failing open %s: %s", webhook->name,
                    asking->error.message);
        annotate_failure(write, asking);
        count(asking, NULL, 0);
        return true;
    }
    count(asking, "calling_webhook_error", 0);
    return error_internal(error, "Internal error occurred: failed calling webhook \"%s\": %s",
                          webhook->name, asking->error.message);
}

/* ---- mutating ---- */

/* What no webhook may change: what tells the object from others, and what the server alone sets. */
static bool keep_identity(const json_t *before, json_t *after, struct error *error)
{
    static const char *const kept[] = {
        "uid",        "creationTimestamp", "resourceVersion",
        "generation", "deletionTimestamp", "deletionGracePeriodSeconds"};
    static const char *const same[] = {"name", "namespace", "generateName"};
    const json_t *old = json_object_get(before, "metadata");
    json_t *metadata = json_object_get(after, "metadata");
    if (!json_is_object(metadata)) {
        return error_internal(error, "Internal error occurred: the patch takes away the metadata");
    }
    for (size_t i = 0; i < array_length(same); i++) {
        const char *was = json_get_string(old, same[i]), *is = json_get_string(metadata, same[i]);
        if (strcmp(was ? was : "", is ? is : "") != 0) {
            return error_internal(error, "Internal error occurred: the patch changes metadata.%s",
                                  same[i]);
        }
    }
    for (size_t i = 0; i < array_length(kept); i++) {
        json_t *value = json_object_get(old, kept[i]);
        if (value != NULL) {
            json_object_set(metadata, kept[i], value);
        } else {
            json_object_del(metadata, kept[i]);
        }
    }
    return true;
}

/* The object as the response changes it, in the version in which the webhook saw it. */
static json_t *patched(const struct asking *asking, const struct schema *schema,
                       struct error *error)
{
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    cleanup(json_release)
    json_t *patch = decode_patch(asking->response, &why);
    json_t *object = json_deep_copy(json_path(asking->review, "request", "object"));
    bool applied =
        patch != NULL && patch_json(patch, &object, &why) &&
        (json_is_object(object) || error_internal(&why, "the patch does not leave an object")) &&
        schema_prune(schema, object, NULL, NULL, &why);
    if (applied) {
        return object;
    }
    json_decref(object);
    count(asking, "apiserver_internal_error", 500);
    error_internal(error, "Internal error occurred: %s", why.message);
    return NULL;
}

static void take_body(struct write *write, const struct asking *asking, const struct schema *schema,
                      json_t *body)
{
    json_object_set(body, "kind", json_object_get(write->object, "kind"));
    json_object_set(body, "apiVersion", json_object_get(write->object, "apiVersion"));
    schema_default(schema, body);
    annotate_mutation(write, asking, !json_equal(body, write->object));
    json_decref(write->object);
    write->object = json_incref(body);
}

static bool take_patch(struct write *write, const struct asking *asking, struct error *error)
{
    if (json_string_length(json_object_get(asking->response, "patch")) == 0) {
        annotate_mutation(write, asking, false);
        return true;
    }
    const struct schema *schema =
        write->is_of_body ? webhook_body_schema(write) : asking->resource->schema;
    cleanup(json_release)
    json_t *object = patched(asking, schema, error);
    if (object == NULL) {
        return false;
    }
    if (write->is_of_body) {
        take_body(write, asking, schema, object);
        return true;
    }
    serve_to_storage(write, asking->resource, object);
    json_object_set(object, "kind", json_object_get(write->object, "kind"));
    json_object_set(object, "apiVersion", json_object_get(write->object, "apiVersion"));
    if (!keep_identity(write->object, object, error)) {
        return false;
    }
    annotate_mutation(write, asking, !json_equal(object, write->object));
    json_decref(write->object);
    write->object = steal(object);
    write_restore_parts(write);
    write_fill_defaults(write);
    return true;
}

static bool mutate_by(struct write *write, const struct webhook *webhook, size_t round,
                      size_t position, bool *asked, struct error *error)
{
    cleanup(asking_clear)
    struct asking asking;
    *asked = false;
    if (!match(webhook, write, WEBHOOKS_MUTATING, &asking, error)) {
        return false;
    }
    if (asking.resource == NULL) {
        return true;
    }
    if (fiber_refuses_to_block()) {
        return error_unavailable(error, "no webhook can be asked here");
    }
    *asked = true;
    asking.round = round;
    asking.position = position;
    asking.review = webhook_review(write, asking.resource);
    ask(&asking);
    return judge(write, &asking, error) &&
           (write->object == NULL || take_patch(write, &asking, error));
}

static void free_trees(json_t **trees, size_t number)
{
    for (size_t i = 0; i < number; i++) {
        json_decref(trees[i]);
    }
    free(trees);
}

/* Both rounds; 'left' has the object as each webhook left it that wants to see later changes. */
static bool mutate_by_all(struct write *write, const struct webhooks *webhooks, json_t **left,
                          struct error *error)
{
    cleanup(json_release)
    json_t *before = json_deep_copy(write->object);
    for (size_t i = 0; i < webhooks->count; i++) {
        const struct webhook *webhook = webhooks->webhooks[i];
        bool asked;
        if (!mutate_by(write, webhook, 0, i, &asked, error)) {
            return false;
        }
        left[i] = asked && webhook->is_reinvoked ? json_deep_copy(write->object) : NULL;
    }
    if (write->object == NULL || json_equal(before, write->object)) {
        return true;
    }
    if (!write->is_of_body && !admission_admit_again(write, error)) {
        return false;
    }
    for (size_t i = 0; i < webhooks->count; i++) {
        bool asked;
        if (left[i] != NULL && !json_equal(left[i], write->object) &&
            !mutate_by(write, webhooks->webhooks[i], 1, i, &asked, error)) {
            return false;
        }
    }
    return true;
}

static bool mutate(struct write *write, struct error *error)
{
    cleanup(webhooks_clear)
    struct webhooks webhooks = webhooks_get(write->registry->webhooks, WEBHOOKS_MUTATING);
    if (webhooks.count == 0 || !is_covered(write)) {
        return true;
    }
    json_t **left = allocate_zero(webhooks.count, sizeof(json_t *));
    bool admitted = mutate_by_all(write, &webhooks, left, error);
    free_trees(left, webhooks.count);
    return admitted;
}

/* A delete is not shown to admit(), as it has no object to change, but mutating webhooks are asked
 * about it nevertheless. */
static bool mutate_delete(const struct write *write, struct error *error)
{
    struct write copy = *write;
    return write->operation != WRITE_DELETE || mutate(&copy, error);
}

/* ---- validating ---- */

/* Up to parallel_max at once. */
static bool validate_by(const struct write *write, struct asking *askings, size_t number,
                        struct error *error)
{
    pthread_attr_t attributes;
    bool allowed = true;
    if (fiber_refuses_to_block()) {
        for (size_t i = 0; i < number; i++) {
            asking_clear(&askings[i]);
        }
        return error_unavailable(error, "no webhook can be asked here");
    }
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, SMALL_STACK_BYTES);
    for (size_t i = 0; i < number; i++) {
        askings[i].review = webhook_review(write, askings[i].resource);
    }
    for (size_t i = 1; i < number; i++) {
        askings[i].has_thread =
            pthread_create(&askings[i].thread, &attributes, ask, &askings[i]) == 0;
    }
    for (size_t i = 0; i < number; i++) {
        if (askings[i].has_thread) {
            pthread_join(askings[i].thread, NULL);
        } else {
            ask(&askings[i]);
        }
    }
    for (size_t i = 0; i < number; i++) {
        struct error *first = allowed ? error : NULL; /* The one that the client hears of. */
        allowed = judge(write, &askings[i], first) && allowed;
        asking_clear(&askings[i]);
    }
    pthread_attr_destroy(&attributes);
    return allowed;
}

/* What can't be evaluated is refused at once rather than when it is to matter. */
static bool check_conditions(const struct write *write, struct error *error)
{
    const json_t *webhooks = json_object_get(write->object, "webhooks");
    for (size_t i = 0; strcmp(write->storage->group, group) == 0 && i < json_array_size(webhooks);
         i++) {
        const json_t *conditions = json_object_get(json_array_get(webhooks, i), "matchConditions");
        if (json_array_size(conditions) > 0) {
            return error_forbidden(error, write->resource->group, write->resource->plural,
                                   write->name,
                                   "webhooks[%zu].matchConditions: this server can't evaluate "
                                   "expressions yet",
                                   i);
        }
    }
    return true;
}

static bool validate(const struct write *write, struct error *error)
{
    if (!check_conditions(write, error)) {
        return false;
    }
    cleanup(webhooks_clear)
    struct webhooks webhooks = webhooks_get(write->registry->webhooks, WEBHOOKS_VALIDATING);
    struct asking askings[parallel_max];
    size_t number = 0, asked = 0;
    for (size_t i = 0; is_covered(write) && i < webhooks.count; i++) {
        if (!match(webhooks.webhooks[i], write, WEBHOOKS_VALIDATING, &askings[number], error)) {
            return false;
        }
        askings[number].position = asked;
        asked += askings[number].resource != NULL;
        number += askings[number].resource != NULL;
        if (number == parallel_max) {
            if (!validate_by(write, askings, number, error)) {
                return false;
            }
            number = 0;
        }
    }
    return number == 0 || validate_by(write, askings, number, error);
}

const struct admission_plugin admission_mutating_webhook = {
    .name = "MutatingAdmissionWebhook",
    .is_on_by_default = true,
    .sees_bodies = true,
    .admit = mutate,
    .validate = mutate_delete,
};

const struct admission_plugin admission_validating_webhook = {
    .name = "ValidatingAdmissionWebhook",
    .is_on_by_default = true,
    .sees_bodies = true,
    .validate = validate,
};
