// SPDX-License-Identifier: Apache-2.0
#include "apiserver/health.h"

#include <string.h>

#include "apiserver/auth/policy.h"
#include "apiserver/flowcontrol/flowcontrol.h"
#include "common/alloc.h"
#include "common/log.h"

static bool check_ping(struct registry *registry, struct error *error)
{
    (void)registry;
    (void)error;
    return true;
}

static bool check_store(struct registry *registry, struct error *error)
{
    return store_healthy(registry->store, error);
}

static bool check_cache(struct registry *registry, struct error *error)
{
    return cache_follows(registry->cache) ||
           error_unavailable(error, "the cache does not follow the store");
}

static bool check_policy(struct registry *registry, struct error *error)
{
    return policy_is_there(registry->policy) || error_unavailable(error, "not finished");
}

static bool check_flowcontrol(struct registry *registry, struct error *error)
{
    return flowcontrol_is_there(registry->flowcontrol) || error_unavailable(error, "not finished");
}

static bool check_shutdown(struct registry *registry, struct error *error)
{
    return !atomic_load(&registry->stopping) ||
           error_unavailable(error, "process is shutting down");
}

enum { IN_HEALTHZ = 1, IN_LIVEZ = 2, IN_READYZ = 4, IN_ALL = 7 };

static const struct {
    const char *name;
    bool (*check)(struct registry *registry, struct error *error);
    int where;
} checks[] = {
    {"ping", check_ping, IN_ALL},
    {"log", check_ping, IN_ALL},
    {"etcd", check_store, IN_ALL},
    {"etcd-readiness", check_store, IN_READYZ},
    {"informer-sync", check_cache, IN_READYZ},
    {"poststarthook/rbac/bootstrap-roles", check_policy, IN_ALL},
    {"poststarthook/priority-and-fairness-config-producer", check_flowcontrol, IN_ALL},
    {"shutdown", check_shutdown, IN_READYZ},
};

static bool is_excluded(const struct request *request, const char *name)
{
    for (size_t i = 0; i < request->parameter_count; i++) {
        const struct parameter *parameter = &request->parameters[i];
        if (strcmp(parameter->name, "exclude") == 0 && strcmp(parameter->value, name) == 0) {
            return true;
        }
    }
    return false;
}

bool health_may_block(const struct registry *registry, const struct request *request)
{
    (void)registry;
    static const char *const roots[] = {"/healthz", "/livez", "/readyz"};
    for (size_t i = 0; i < array_length(roots); i++) {
        if (strncmp(request->path, roots[i], strlen(roots[i])) == 0) {
            return true;
        }
    }
    return false;
}

/* Runs a check, but the same one only once a request: asking a store that is down takes time. */
static bool passes(struct registry *registry, size_t index, size_t *last_run, bool *last_passed)
{
    if (*last_run == SIZE_MAX || checks[*last_run].check != checks[index].check) {
        cleanup(error_clear)
        struct error error = ERROR_INIT;
        *last_run = index;
        *last_passed = checks[index].check(registry, &error);
        if (!*last_passed) {
            log_warning("the check %s fails: %s", checks[index].name, error.message);
        }
    }
    return *last_passed;
}

/* Tells which of the checks to exclude are none. */
static void warn_of_unmatched(const struct request *request, int where, struct buffer *report)
{
    const char *before = "warn: some health checks cannot be excluded: no matches for ";
    for (size_t i = 0; i < request->parameter_count; i++) {
        const struct parameter *parameter = &request->parameters[i];
        bool known = strcmp(parameter->name, "exclude") != 0;
        for (size_t check = 0; check < array_length(checks); check++) {
            known |= (checks[check].where & where) != 0 &&
                     strcmp(checks[check].name, parameter->value) == 0;
        }
        if (!known) {
            buffer_addf(report, "%s\"%s\"", before, parameter->value);
            before = ",";
        }
    }
    if (before[0] == ',') {
        buffer_add_char(report, '\n');
    }
}

/* Runs all checks of a root but those excluded; a line each goes to 'report'. */
static bool run_checks(struct registry *registry, const struct request *request, int where,
                       struct buffer *report)
{
    bool healthy = true, last_passed = true;
    size_t last_run = SIZE_MAX;
    for (size_t i = 0; i < array_length(checks); i++) {
        const char *name = checks[i].name;
        if ((checks[i].where & where) == 0) {
            continue;
        }
        if (is_excluded(request, name)) {
            buffer_addf(report, "[+]%s excluded: ok\n", name);
        } else if (passes(registry, i, &last_run, &last_passed)) {
            buffer_addf(report, "[+]%s ok\n", name);
        } else {
            buffer_addf(report, "[-]%s failed: reason withheld\n", name);
            healthy = false;
        }
    }
    warn_of_unmatched(request, where, report);
    return healthy;
}

static void answer(struct response *response, int status, const char *text)
{
    response_set_text(response, status, "text/plain; charset=utf-8", text);
    response_add_header(response, "X-Content-Type-Options", "nosniff");
}

/* /readyz/etcd and the like: one check alone, with its reason when it fails. */
static void serve_one(struct registry *registry, const char *name, int where,
                      struct response *response)
{
    for (size_t i = 0; i < array_length(checks); i++) {
        if ((checks[i].where & where) == 0 || strcmp(checks[i].name, name) != 0) {
            continue;
        }
        cleanup(error_clear)
        struct error error = ERROR_INIT;
        if (checks[i].check(registry, &error)) {
            answer(response, 200, "ok");
        } else {
            cleanup(free_char)
            char *text = format("internal server error: %s\n", error.message);
            answer(response, 500, text);
        }
        return;
    }
    answer(response, 404, "404 page not found\n");
}

void health_serve(struct registry *registry, struct request *request, struct response *response)
{
    const char *root = request->path + 1;
    const char *slash = strchr(root, '/');
    size_t length = slash ? (size_t)(slash - root) : strlen(root);
    int where = strncmp(root, "readyz", length) == 0  ? IN_READYZ
                : strncmp(root, "livez", length) == 0 ? IN_LIVEZ
                                                      : IN_HEALTHZ;
    if (slash != NULL && slash[1] != '\0') {
        serve_one(registry, slash + 1, where, response);
        return;
    }
    cleanup(buffer_free)
    struct buffer report = BUFFER_INIT;
    bool healthy = run_checks(registry, request, where, &report);
    bool verbose = !healthy || request_parameter(request, "verbose") != NULL;
    buffer_addf(&report, "%.*s check %s\n", (int)length, root, healthy ? "passed" : "failed");
    answer(response, healthy ? 200 : 500, verbose ? buffer_text(&report) : "ok");
}
