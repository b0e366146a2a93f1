// SPDX-License-Identifier: Apache-2.0
/*
 * Eviction: a delete of a pod that asks its PodDisruptionBudget first.
 *
 * A budget's status says how many pods may go. An eviction takes one of them by a conditional
 * update of the status, which is what keeps two at once from taking the same; and it leaves the
 * pod's name in disruptedPods, so that the disruption controller counts the pod as gone before it
 * is. What was taken is not given back when the delete fails: the controller notices after two
 * minutes.
 *
 * Pods that have ended, are ending or have not begun disrupt nobody and are simply deleted; so is
 * a pod that is not ready while the others suffice, on condition that it stays as it was seen.
 */
#include <string.h>
#include <time.h>

#include "apiserver/admission/admission.h"
#include "apiserver/registry/decode.h"
#include "apiserver/registry/kinds/all.h"
#include "apiserver/registry/kinds/pod.h"
#include "apiserver/registry/serve.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/schema_rules.h"
#include "common/selector.h"
#include "common/timestamp.h"

enum {
    attempts_max = 20,
    disrupted_pods_max = 2000, /* More evictions than this have not been noticed yet. */
    busy_retry_seconds = 10,
};

static const char refusal[] = "Cannot evict pod as it would violate the pod's disruption budget.";

struct eviction {
    struct registry *registry;
    struct request *request;
    struct response *response;
    bool dry_run;
    struct delete_options options; /* As the client gave them. */
};

/* ---- refusing ---- */

static bool refuse(struct error *error, int retry_after_seconds, char *why)
{
    error_set(error, 429, "TooManyRequests", "%s", refusal);
    error->retry_after_seconds = retry_after_seconds;
    error->causes = json_pack("[{s:s, s:s}]", "reason", "DisruptionBudget", "message", why);
    free(why);
    return false;
}

static bool refuse_as_busy(struct error *error, const char *budget)
{
    return refuse(
        error, busy_retry_seconds,
        format("The disruption budget %s is still being processed by the server.", budget));
}

/* ---- deleting ---- */

/* Tells in the status why the pod goes; the argument is the eviction's delete_options. */
static bool add_condition(struct write *write, void *argument, struct error *error)
{
    if (!write_check_preconditions(write, argument, error)) {
        return false;
    }
    write->object = object_tree(write->live_object);
    json_t *metadata = json_object_get(write->object, "metadata");
    json_object_del(metadata, "resourceVersion");
    json_t *condition =
        json_pack("{s:s, s:s, s:s, s:s}", "type", "DisruptionTarget", "status", "True", "reason",
                  "EvictionByEvictionAPI", "message", "Eviction API: evicting");
    json_int_t generation = json_get_int(metadata, "generation", 0);
    if (generation > 0) {
        json_object_set_new(condition, "observedGeneration", json_integer(generation));
    }
    pod_set_condition(json_get_or_add_object(write->object, "status"), condition);
    return true;
}

/* A precondition on the version is from now on that of the pod with its condition. */
static bool tell_in_status(const struct eviction *eviction, struct delete_options *options,
                           struct error *error)
{
    cleanup(write_clear)
    struct write write = {0};
    cleanup(object_release)
    struct object *object = NULL;
    const struct request *request = eviction->request;
    write_begin(&write, eviction->registry, NULL, NULL, request->resource, WRITE_UPDATE);
    write.subresource = "status";
    write_address(&write, request->info.namespace, request->info.name);
    if (!registry_update(&write, add_condition, options, &object, NULL, error)) {
        return false;
    }
    if (options->precondition_resource_version != NULL) {
        free(options->precondition_resource_version);
        options->precondition_resource_version = format("%lld", (long long)object->revision);
    }
    return true;
}

/* 'version' (NULL: any) is the one at which the pod must still be. */
static bool delete_pod(const struct eviction *eviction, const char *version, struct error *error)
{
    cleanup(write_clear)
    struct write write = {0};
    cleanup(object_release)
    struct object *object = NULL;
    bool gone;
    const struct delete_options *given = &eviction->options;
    const char *wanted = given->precondition_resource_version;
    cleanup(free_char)
    char *uid = given->precondition_uid ? duplicate(given->precondition_uid) : NULL;
    struct delete_options options = *given;
    options.precondition_resource_version = wanted    ? duplicate(wanted)
                                            : version ? duplicate(version)
                                                      : NULL;
    options.precondition_uid = uid;
    write_begin(&write, eviction->registry, eviction->request, eviction->response,
                eviction->request->resource, WRITE_DELETE);
    write.dry_run = eviction->dry_run;
    bool deleted = (eviction->dry_run || tell_in_status(eviction, &options, error)) &&
                   registry_delete(&write, &options, &object, &gone, error);
    free(options.precondition_resource_version);
    return deleted;
}

/* ---- the pod ---- */

static bool has_phase(const json_t *pod, const char *phase)
{
    const char *present = json_path_string(pod, "status", "phase");
    return present != NULL && strcmp(present, phase) == 0;
}

static bool disrupts_already(const json_t *pod)
{
    return has_phase(pod, "Succeeded") || has_phase(pod, "Failed") ||
           json_path(pod, "metadata", "deletionTimestamp") != NULL;
}

static bool is_ready(const json_t *pod)
{
    size_t i;
    const json_t *condition;
    json_array_foreach (json_path(pod, "status", "conditions"), i, condition) {
        const char *type = json_get_string(condition, "type");
        const char *status = json_get_string(condition, "status");
        if (type != NULL && status != NULL && strcmp(type, "Ready") == 0) {
            return strcmp(status, "True") == 0;
        }
    }
    return false;
}

/* ---- the budget ---- */

static bool covers(const json_t *budget, const struct object *pod)
{
    struct selector *selector = selector_from_object(json_path(budget, "spec", "selector"), NULL);
    bool matches = selector != NULL && selector_matches(selector, object_label, pod);
    selector_free(selector);
    return matches;
}

/* The budget that covers the pod, the caller's; NULL when there is none, and with an error when
 * there are several. */
static json_t *find_budget(const struct eviction *eviction, const struct object *pod,
                           struct error *error)
{
    const struct resource *budgets =
        registry_resource(eviction->registry, "policy", "poddisruptionbudgets");
    cleanup(free_char)
    char *prefix = format("%s/", eviction->request->info.namespace);
    struct snapshot *snapshot =
        cache_snapshot(cache_table(eviction->registry->cache, budgets), prefix);
    cleanup(json_release)
    json_t *found = NULL;
    bool several = false;
    for (size_t i = 0; i < snapshot->count; i++) {
        json_t *budget = object_tree(snapshot->objects[i]);
        if (!covers(budget, pod)) {
            json_decref(budget);
        } else {
            several = found != NULL;
            json_decref(found);
            found = budget;
        }
        if (several) {
            break;
        }
    }
    snapshot_free(snapshot);
    if (several) {
        error_set(error, 500, "",
                  "This pod has more than one PodDisruptionBudget, which the eviction subresource "
                  "does not support.");
        return NULL;
    }
    return steal(found);
}

static bool check_budget(const json_t *budget, const char *name, struct error *error)
{
    const json_t *status = json_object_get(budget, "status");
    json_int_t allowed = json_get_int(status, "disruptionsAllowed", 0);
    if (json_get_int(status, "observedGeneration", 0) <
        json_get_int(json_object_get(budget, "metadata"), "generation", 0)) {
        return refuse_as_busy(error, name);
    }
    if (allowed < 0) {
        return error_forbidden(error, "policy", "poddisruptionbudget", name,
                               "pdb disruptions allowed is negative");
    }
    if (json_object_size(json_object_get(status, "disruptedPods")) > disrupted_pods_max) {
        return error_forbidden(
            error, "policy", "poddisruptionbudget", name,
            "DisruptedPods map too big - too many evictions not confirmed by PDB "
            "controller");
    }
    if (allowed == 0) {
        return refuse(error, 0,
                      format("The disruption budget %s needs %lld healthy pods and has %lld "
                             "currently",
                             name, (long long)json_get_int(status, "desiredHealthy", 0),
                             (long long)json_get_int(status, "currentHealthy", 0)));
    }
    return true;
}

/* The last one is taken: the condition says so before the controller does. */
static void set_exhausted(json_t *status)
{
    size_t i;
    json_t *condition;
    char now[TIMESTAMP_SIZE];
    timestamp_format(timestamp_now(), now);
    json_array_foreach (json_object_get(status, "conditions"), i, condition) {
        const char *type = json_get_string(condition, "type");
        if (type != NULL && strcmp(type, "DisruptionAllowed") == 0) {
            json_object_set_new(condition, "status", json_string("False"));
            json_object_set_new(condition, "reason", json_string("InsufficientPods"));
            json_object_set_new(condition, "lastTransitionTime", json_string(now));
        }
    }
}

/* Takes one disruption for the pod whose name is the argument. */
static bool take_disruption(struct write *write, void *argument, struct error *error)
{
    const char *pod = argument;
    if (!check_budget(write->live, write->name, error)) {
        return false;
    }
    write->object = object_tree(write->live_object);
    json_object_del(json_object_get(write->object, "metadata"), "resourceVersion");
    json_t *status = json_get_or_add_object(write->object, "status");
    json_int_t left = json_get_int(status, "disruptionsAllowed", 0) - 1;
    char now[TIMESTAMP_SIZE];
    timestamp_format(timestamp_now(), now);
    json_object_set_new(status, "disruptionsAllowed", json_integer(left));
    json_object_set_new(json_get_or_add_object(status, "disruptedPods"), pod, json_string(now));
    if (left == 0) {
        set_exhausted(status);
    }
    return true;
}

static bool take_from_budget(const struct eviction *eviction, const json_t *budget,
                             struct error *error)
{
    const char *name = json_path_string(budget, "metadata", "name");
    cleanup(write_clear)
    struct write write = {0};
    cleanup(object_release)
    struct object *object = NULL;
    write_begin(&write, eviction->registry, NULL, NULL,
                registry_resource(eviction->registry, "policy", "poddisruptionbudgets"),
                WRITE_UPDATE);
    write.subresource = "status";
    write.dry_run = eviction->dry_run;
    write_address(&write, eviction->request->info.namespace, name);
    return registry_update(&write, take_disruption, eviction->request->info.name, &object, NULL,
                           error);
}

/* The pod serves nobody now, and the budget lets it go for that. */
static bool is_free_to_go(const json_t *pod, const json_t *budget)
{
    const char *policy = json_path_string(budget, "spec", "unhealthyPodEvictionPolicy");
    const json_t *status = json_object_get(budget, "status");
    json_int_t desired = json_get_int(status, "desiredHealthy", 0);
    return !is_ready(pod) &&
           ((policy != NULL && strcmp(policy, "AlwaysAllow") == 0) ||
            (desired > 0 && json_get_int(status, "currentHealthy", 0) >= desired));
}

static bool evict_within_budget(const struct eviction *eviction, const struct object *object,
                                const json_t *pod, struct error *error)
{
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    cleanup(json_release)
    json_t *budget = find_budget(eviction, object, &why);
    if (error_is_set(&why)) {
        return error_move(error, &why);
    }
    if (budget == NULL) {
        return delete_pod(eviction, NULL, error);
    }
    if (!is_free_to_go(pod, budget)) {
        return take_from_budget(eviction, budget, error) && delete_pod(eviction, NULL, error);
    }
    if (delete_pod(eviction, json_path_string(pod, "metadata", "resourceVersion"), &why)) {
        return true;
    }
    /* It has changed, and may have become ready: the client is to ask again. */
    bool is_ours = why.code == 409 && eviction->options.precondition_resource_version == NULL;
    return is_ours ? refuse_as_busy(error, json_path_string(budget, "metadata", "name"))
                   : error_move(error, &why);
}

/* ---- the request ---- */

/* Admission looks at the eviction before it touches budget or pod. */
static bool check_admission(const struct eviction *eviction, const json_t *pod, struct error *error)
{
    cleanup(write_clear)
    struct write write = {0};
    write_begin(&write, eviction->registry, eviction->request, eviction->response,
                eviction->request->resource, WRITE_CREATE);
    write.live = json_incref((json_t *)pod);
    return admission_validate(&write, error);
}

static bool evict(const struct eviction *eviction, struct error *error)
{
    const struct request *request = eviction->request;
    static const struct timespec pause = {.tv_nsec = 50 * 1000 * 1000};
    for (int attempt = 0;; attempt++) {
        cleanup(object_release)
        struct object *object = registry_get(eviction->registry, request->resource,
                                             request->info.namespace, request->info.name);
        if (object == NULL) {
            return error_not_found(error, "", "pods", request->info.name);
        }
        cleanup(json_release)
        json_t *pod = object_tree(object);
        if (!check_admission(eviction, pod, error)) {
            return false;
        }
        if (!disrupts_already(pod) && !has_phase(pod, "Pending")) {
            return evict_within_budget(eviction, object, pod, error);
        }
        /* A pending pod may become ready at any moment; then it is not free to go. */
        const char *version =
            disrupts_already(pod) ? NULL : json_path_string(pod, "metadata", "resourceVersion");
        cleanup(error_clear)
        struct error why = ERROR_INIT;
        if (delete_pod(eviction, version, &why)) {
            return true;
        }
        if (why.code != 409 || eviction->options.precondition_resource_version != NULL ||
            attempt == attempts_max) {
            return error_move(error, &why);
        }
        nanosleep(&pause, NULL); /* Until the cache shows what was too new for us. */
    }
}

static bool check_name(const json_t *body, const struct request *request, struct error *error)
{
    const char *name = json_path_string(body, "metadata", "name");
    return name == NULL || name[0] == '\0' || strcmp(name, request->info.name) == 0 ||
           error_bad_request(error, "name in URL does not match name in Eviction object");
}

/* Either version of it will do. */
static bool is_eviction(const struct request *request, json_t *body, struct error *error)
{
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    const char *kind = json_get_string(body, "kind");
    const char *version = json_get_string(body, "apiVersion");
    const char *slash = version ? strchr(version, '/') : NULL;
    if (kind != NULL && kind[0] != '\0' && strcmp(kind, "Eviction") != 0) {
        version = slash ? slash + 1 : version ? version : "v1";
        return error_bad_request(error,
                                 "%s in version \"%s\" cannot be handled as a Eviction: converting "
                                 "(%s.%s) to (policy.Eviction): unknown conversion",
                                 kind, version, version, kind);
    }
    return schema_prune(scheme_kind_schema(request->scheme, "policy", "v1", "Eviction"), body, NULL,
                        NULL, &why) ||
           error_bad_request(error,
                             "Eviction in version \"v1\" cannot be handled as a Eviction: %s",
                             why.message);
}

static bool is_dry_run(const json_t *body, const struct request *request)
{
    const char *dry_run = request_parameter(request, "dryRun");
    const json_t *options = json_object_get(body, "deleteOptions");
    return (dry_run != NULL && dry_run[0] != '\0') ||
           json_array_size(json_object_get(options, "dryRun")) > 0;
}

/* The body, as admission leaves it. */
static bool read_eviction(struct eviction *eviction, struct write *shown, struct error *error)
{
    struct request *request = eviction->request;
    cleanup(json_release)
    json_t *body = decode_body_any(request, error);
    if (body == NULL || !is_eviction(request, body, error) || !check_name(body, request, error) ||
        !serve_check_options(request, error)) {
        return false;
    }
    write_begin_body(shown, eviction->registry, request, eviction->response, body, NULL);
    shown->dry_run = is_dry_run(body, request);
    eviction->dry_run = shown->dry_run;
    return admission_admit_body(shown, error) && admission_validate_body(shown, error);
}

void pod_serve_eviction(struct registry *registry, struct request *request,
                        struct response *response)
{
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    struct eviction eviction = {.registry = registry, .request = request, .response = response};
    cleanup(write_clear)
    struct write shown = {0};
    bool done = read_eviction(&eviction, &shown, &error);
    const json_t *options = json_object_get(shown.object, "deleteOptions");
    done = done && delete_options_read(request, options, &eviction.options, &error) &&
           evict(&eviction, &error);
    delete_options_clear(&eviction.options);
    if (!done) {
        response_set_error(response, request, &error);
        return;
    }
    pod_answer_success(request, response, 201);
}
