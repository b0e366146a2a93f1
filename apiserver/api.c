// SPDX-License-Identifier: Apache-2.0
#include "apiserver/api.h"

#include <string.h>

#include "apiserver/auth/authz.h"
#include "apiserver/auth/impersonation.h"
#include "apiserver/auth/service_accounts.h"
#include "apiserver/faults.h"
#include "apiserver/flowcontrol/flowcontrol.h"
#include "apiserver/health.h"
#include "apiserver/registry/kinds.h"
#include "apiserver/views/discovery.h"
#include "apiserver/views/openapi.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/timestamp.h"
#include "common/version.h"

/* ---- paths that are no resources ---- */

static bool is_path(const char *path, const char *root)
{
    size_t length = strlen(root);
    return strncmp(path, root, length) == 0 && (path[length] == '\0' || path[length] == '/');
}

static void serve_version(struct request *request, struct response *response)
{
    cleanup(json_release)
    json_t *version = json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "major", "1", "minor",
        "34", "emulationMajor", "1", "emulationMinor", "34", "minCompatibilityMajor", "1",
        "minCompatibilityMinor", "33", "gitVersion", version_git_version, "gitCommit",
        version_git_commit, "gitTreeState", "clean", "buildDate", "1970-01-01T00:00:00Z",
        "goVersion", "none", "compiler", "gcc", "platform", "linux/amd64");
    response_set_json(response, request, 200, version);
}

static void report_table(void *argument, const struct resource *resource, size_t objects,
                         size_t watchers)
{
    (void)watchers;
    struct buffer *out = argument;
    buffer_addf(out, "apiserver_storage_objects{resource=\"%s%s%s\"} %zu\n", resource->plural,
                resource->group[0] ? "." : "", resource->group, objects);
}

static void report_watchers(void *argument, const struct resource *resource, size_t objects,
                            size_t watchers)
{
    (void)objects;
    struct buffer *out = argument;
    buffer_addf(out,
                "apiserver_longrunning_requests{verb=\"WATCH\",group=\"%s\",version=\"%s\","
                "resource=\"%s\"} %zu\n",
                resource->group, resource->version, resource->plural, watchers);
}

static void serve_metrics(struct api *api, struct response *response)
{
    struct buffer text = BUFFER_INIT;
    metrics_render(api->metrics, &text);
    buffer_add_literal(&text, "# HELP apiserver_storage_objects Number of stored objects by "
                              "resource.\n# TYPE apiserver_storage_objects gauge\n");
    cache_statistics(api->registry->cache, report_table, &text);
    buffer_add_literal(&text, "# HELP apiserver_longrunning_requests Number of open watches by "
                              "resource.\n# TYPE apiserver_longrunning_requests gauge\n");
    cache_statistics(api->registry->cache, report_watchers, &text);
    if (api->flowcontrol != NULL) {
        flowcontrol_render_metrics(api->flowcontrol, &text);
    }
    response->status = 200;
    response->content_type = "text/plain; version=0.0.4; charset=utf-8";
    response->bytes = text;
}

static void serve_not_found(struct request *request, struct response *response)
{
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    error_set(&error, 404, "NotFound", "the server could not find the requested resource");
    response_set_error(response, request, &error);
}

/* What others need to verify tokens of service accounts. */
static bool serve_issuer(struct api *api, struct request *request, struct response *response)
{
    struct service_accounts *accounts = authn_service_accounts(api->registry->authn);
    return accounts != NULL && service_accounts_serve(accounts, request, response);
}

static bool serve_flowcontrol(struct api *api, struct request *request, struct response *response)
{
    return api->flowcontrol != NULL && flowcontrol_serve(api->flowcontrol, request, response);
}

static void serve_path(struct api *api, struct request *request, struct response *response)
{
    const char *path = request->path;
    if (strcmp(request->method, "GET") != 0 && strcmp(request->method, "HEAD") != 0) {
        cleanup(error_clear)
        struct error error = ERROR_INIT;
        error_set(&error, 405, "MethodNotAllowed",
                  "the server does not allow this method on the requested resource");
        response_set_error(response, request, &error);
    } else if (strcmp(path, "/version") == 0) {
        serve_version(request, response);
    } else if (strcmp(path, "/metrics") == 0) {
        serve_metrics(api, response);
    } else if (is_path(path, "/healthz") || is_path(path, "/livez") || is_path(path, "/readyz")) {
        health_serve(api->registry, request, response);
    } else if (is_path(path, "/openapi")) {
        openapi_serve(api->openapi, request, response);
    } else if (!serve_flowcontrol(api, request, response) &&
               !serve_issuer(api, request, response) && !discovery_serve(request, response)) {
        serve_not_found(request, response);
    }
}

/* ---- resources ---- */

static const struct {
    const char *name;
    enum verb verb;
} verbs[] = {
    {"get", VERB_GET},       {"list", VERB_LIST},
    {"watch", VERB_WATCH},   {"create", VERB_CREATE},
    {"update", VERB_UPDATE}, {"patch", VERB_PATCH},
    {"delete", VERB_DELETE}, {"deletecollection", VERB_DELETE_COLLECTION},
};

static unsigned verb_bit(const char *name)
{
    for (size_t i = 0; i < array_length(verbs); i++) {
        if (strcmp(verbs[i].name, name) == 0) {
            return verbs[i].verb;
        }
    }
    return 0;
}

/* Whether the verb goes with the path: objects are created in a collection and changed by name, and
 * collections that span namespaces can only be read. HEAD is authorized as get, but upstream routes
 * it to nothing. */
static bool is_routed(const struct request *request)
{
    const struct request_info *info = &request->info;
    bool named = info->name[0] != '\0';
    bool spans_namespaces = request->resource->namespaced && info->namespace[0] == '\0';
    if (strcmp(request->method, "HEAD") == 0) {
        return false;
    }
    switch (verb_bit(info->verb)) {
    case VERB_CREATE:
        return info->subresource[0] != '\0' || (!named && !spans_namespaces);
    case VERB_UPDATE:
    case VERB_PATCH:
        return named;
    case VERB_DELETE_COLLECTION:
        return !spans_namespaces;
    default:
        return true;
    }
}

/* Finds the resource and subresource; 404 or 405 when they or the verb are not there. */
static bool find_resource(struct request *request, struct error *error)
{
    const struct request_info *info = &request->info;
    bool named_in_path = info->parts[0] != NULL && info->parts[1] != NULL;
    if (request->resource == NULL ||
        (request->resource->namespaced && info->namespace[0] == '\0' && named_in_path)) {
        return error_set(error, 404, "NotFound",
                         "the server could not find the requested resource");
    }
    unsigned allowed = request->resource->verbs;
    if (info->subresource[0] != '\0') {
        request->subresource = resource_subresource_find(request->resource, info->subresource);
        if (request->subresource == NULL) {
            return error_set(error, 404, "NotFound",
                             "the server could not find the requested resource");
        }
        allowed = request->subresource->verbs;
    }
    if ((allowed & verb_bit(info->verb)) == 0 || !is_routed(request)) {
        return error_set(error, 405, "MethodNotAllowed",
                         "the server does not allow this method on the requested resource");
    }
    return true;
}

static bool negotiate(struct request *request, struct error *error)
{
    return media_negotiate(request->accept, &request->media, error);
}

static void serve_resource(struct api *api, struct request *request, struct response *response)
{
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    if (!find_resource(request, &error) || !negotiate(request, &error)) {
        response_set_error(response, request, &error);
        return;
    }
    const struct kind *kind = kind_find(request->resource);
    if (kind->deprecation != NULL) {
        response_add_warning(response, kind->deprecation);
    }
    if (request->resource->virtual && kind->serve_virtual != NULL) {
        kind->serve_virtual(api->registry, request, response);
    } else if (request->resource->virtual) {
        serve_not_found(request, response);
    } else {
        registry_serve(api->registry, request, response);
    }
}

/* ---- the handler ---- */

static enum authorization authorize(void *argument, const struct request *request, bool block,
                                    struct error *error)
{
    const struct api *api = argument;
    if (request->audit == NULL) {
        return authz_check_request(api->registry->authz, request, block, NULL, error);
    }
    cleanup(buffer_free)
    struct buffer reason = BUFFER_INIT;
    enum authorization result =
        authz_check_request(api->registry->authz, request, block, &reason, error);
    if (result == AUTHORIZATION_REFUSED && error->code == 500) {
        audit_annotate(request, "authorization.k8s.io/reason", "internal error");
    } else if (result != AUTHORIZATION_BLOCKS) {
        audit_annotate(request, "authorization.k8s.io/decision",
                       result == AUTHORIZATION_GRANTED ? "allow" : "forbid");
        audit_annotate(request, "authorization.k8s.io/reason", buffer_text(&reason));
    }
    return result;
}

static bool may_impersonate(void *argument, const struct authz_attributes *attributes,
                            struct error *error)
{
    const struct api *api = argument;
    return authz_check(api->registry->authz, attributes, error);
}

static enum authentication authenticate(void *argument, const struct credentials *credentials,
                                        bool block, struct request *request, struct error *error)
{
    struct api *api = argument;
    const char *wanted = credentials_header(credentials, "Impersonate-User");
    if (!block && authz_workers(api->registry->authz) > 0 && wanted != NULL) {
        return AUTHENTICATION_BLOCKS; /* Whether one may has to be asked for. */
    }
    if (!block && audit_workers(api->auditor) > 0) {
        return AUTHENTICATION_BLOCKS; /* Somebody else has to be told first. */
    }
    enum authentication result =
        authn_authenticate(api->registry->authn, credentials, block, &request->user, error);
    if (result == AUTHENTICATION_REFUSED) {
        audit_unknown_user(api->auditor, request, credentials);
    }
    if (result != AUTHENTICATION_DONE) {
        return result;
    }
    if (!audit_received(api->auditor, request, credentials, error) ||
        !impersonate(credentials, &request->user, may_impersonate, api, error)) {
        return AUTHENTICATION_REFUSED;
    }
    if (wanted != NULL && wanted[0] != '\0') {
        audit_impersonated(request);
    }
    return AUTHENTICATION_DONE;
}

/* Fills in what the request is about, as it is now and will be until it is answered. */
static void identify(const struct api *api, struct request *request)
{
    const struct request_info *info = &request->info;
    if (request->scheme != NULL) {
        return;
    }
    request->scheme = scheme_ref(api->registry->scheme);
    if (info->is_resource_request) {
        request->resource =
            scheme_resource_find(request->scheme, info->group, info->version, info->plural);
    }
}

static enum waits waits(void *argument, struct request *request)
{
    const struct api *api = argument;
    identify(api, request);
    if (!request->info.is_resource_request) {
        return health_may_block(api->registry, request) ? WAITS_FOR_ANYTHING : WAITS_FOR_NOTHING;
    }
    return registry_waits(api->registry, request);
}

static void serve(void *argument, struct request *request, struct response *response)
{
    struct api *api = argument;
    enum fault fault = fault_choose(request, api->registry->fault_percent);
    identify(api, request);
    if (fault != FAULT_NONE && fault != FAULT_CUT_AFTER) {
        fault_answer(fault, request, response);
    } else if (request->info.is_resource_request) {
        serve_resource(api, request, response);
    } else {
        serve_path(api, request, response);
    }
    if (fault == FAULT_CUT_AFTER) {
        fault_cut(response);
    }
}

static void answering(void *argument, struct request *request, const struct response *response)
{
    (void)argument;
    audit_answering(request, response);
}

static void count(struct api *api, const struct request *request, int status, size_t bytes)
{
    const struct request_info *info = &request->info;
    bool known = request->resource != NULL;
    char code[16], verb[24];
    snprintf(code, sizeof code, "%d", status);
    size_t i = 0;
    for (; i < sizeof verb - 1 && info->verb != NULL && info->verb[i] != '\0'; i++) {
        verb[i] = (char)(info->verb[i] >= 'a' && info->verb[i] <= 'z' ? info->verb[i] - 32
                                                                      : info->verb[i]);
    }
    verb[i] = '\0';
    /* Labels only of what exists, so that no client makes up series. */
    const char *group = known ? info->group : "", *version = known ? info->version : "",
               *resource = known ? info->plural : "",
               *subresource = request->subresource ? info->subresource : "";
    double seconds = (double)(timestamp_monotonic() - request->received_ns) / 1e9;
    metric_add(api->request_total, 1,
               metric_labels(verb, group, version, resource, subresource, code));
    if (strcmp(verb, "WATCH") != 0) {
        metric_observe(api->request_duration, seconds,
                       metric_labels(verb, group, version, resource, subresource));
        metric_observe(api->response_sizes, (double)bytes,
                       metric_labels(verb, group, version, resource, subresource));
    }
}

static void served(void *argument, struct request *request, int status, size_t bytes)
{
    audit_completed(request);
    if (status != 0) {
        count(argument, request, status, bytes);
    }
}

static enum admittance admit(void *argument, const struct request *request, struct turn *turn,
                             struct error *error)
{
    const struct api *api = argument;
    return flowcontrol_admit(api->flowcontrol, request, turn, error);
}

static void note(void *argument, const struct turn *turn, struct response *response)
{
    const struct api *api = argument;
    flowcontrol_note(api->flowcontrol, turn, response);
}

static void leave(void *argument, struct turn *turn)
{
    const struct api *api = argument;
    flowcontrol_leave(api->flowcontrol, turn);
}

struct handler api_handler(struct api *api)
{
    bool limited = api->flowcontrol != NULL;
    return (struct handler){
        .authenticate = authenticate,
        .authorize = authorize,
        .waits = waits,
        .serve = serve,
        .answering = answering,
        .served = served,
        .argument = api,
        .admit = limited ? admit : NULL,
        .note = limited ? note : NULL,
        .leave = limited ? leave : NULL,
    };
}

void api_set_up(struct api *api, struct registry *registry)
{
    static const char *const total_labels[] = {"verb",        "group", "version", "resource",
                                               "subresource", "code",  NULL};
    static const char *const labels[] = {"verb",     "group",       "version",
                                         "resource", "subresource", NULL};
    static const double seconds[] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
                                     0.5,   1,      2.5,   5,    10,    30,   60};
    static const double sizes[] = {1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9};
    *api = (struct api){.registry = registry,
                        .flowcontrol = registry->flowcontrol,
                        .metrics = metrics_new(),
                        .started_ns = timestamp_monotonic()};
    api->request_total =
        metrics_counter(api->metrics, "apiserver_request_total",
                        "Number of requests by verb, resource and status code.", total_labels);
    api->request_duration = metrics_histogram(api->metrics, "apiserver_request_duration_seconds",
                                              "How long requests took, in seconds, watches aside.",
                                              labels, seconds, array_length(seconds));
    api->response_sizes = metrics_histogram(api->metrics, "apiserver_response_sizes",
                                            "Size of answers in bytes, watches aside.", labels,
                                            sizes, array_length(sizes));
    api->openapi = openapi_new(registry->scheme);
}

void api_clear(struct api *api)
{
    openapi_free(api->openapi);
    metrics_free(api->metrics);
}
