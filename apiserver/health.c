// SPDX-License-Identifier: Apache-2.0
#include "apiserver/health.h"

#include <string.h>

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

/* Runs the checks that are asked for; a line each goes to 'report'. */
static bool run_checks(struct registry *registry, const struct request *request, int where,
                       const char *only, size_t *count, struct buffer *report)
{
    bool healthy = true, last_passed = true;
    size_t last_run = SIZE_MAX;
    *count = 0;
    for (size_t i = 0; i < array_length(checks); i++) {
        const char *name = checks[i].name;
        if ((checks[i].where & where) == 0 || (only != NULL && strcmp(only, name) != 0)) {
            continue;
        }
        (*count)++;
        if (is_excluded(request, name)) {
            buffer_addf(report, "[+]%s excluded: ok\n", name);
        } else if (passes(registry, i, &last_run, &last_passed)) {
            buffer_addf(report, "[+]%s ok\n", name);
        } else {
            buffer_addf(report, "[-]%s failed: reason withheld\n", name);
            healthy = false;
        }
    }
    return healthy;
}

void health_serve(struct registry *registry, struct request *request, struct response *response)
{
    const char *root = request->path + 1;
    const char *slash = strchr(root, '/');
    const char *only = slash != NULL && slash[1] != '\0' ? slash + 1 : NULL;
    size_t length = slash ? (size_t)(slash - root) : strlen(root), count;
    int where = strncmp(root, "readyz", length) == 0  ? IN_READYZ
                : strncmp(root, "livez", length) == 0 ? IN_LIVEZ
                                                      : IN_HEALTHZ;
    cleanup(buffer_free)
    struct buffer report = BUFFER_INIT;
    bool healthy = run_checks(registry, request, where, only, &count, &report);
    if (count == 0) {
        response_set_text(response, 404, "text/plain; charset=utf-8", "404 page not found\n");
    } else if (!healthy) {
        buffer_addf(&report, "%.*s check failed\n", (int)length, root);
        response_set_text(response, 500, "text/plain; charset=utf-8", buffer_text(&report));
    } else if (request_parameter(request, "verbose") != NULL) {
        buffer_addf(&report, "%.*s check passed\n", (int)length, root);
        response_set_text(response, 200, "text/plain; charset=utf-8", buffer_text(&report));
    } else {
        response_set_text(response, 200, "text/plain; charset=utf-8", "ok");
    }
}
