// SPDX-License-Identifier: Apache-2.0
/* Probes and lifecycle hooks: what they do, and when. */
#include <string.h>

#include "apiserver/registry/validation/check.h"
#include "apiserver/registry/validation/pods.h"
#include "common/alloc.h"
#include "common/json.h"

/* ---- handlers ---- */

static void validate_exec(const struct pod_view *view, const json_t *action,
                          const struct field_path *path, struct field_errors *errors)
{
    (void)view;
    if (json_array_size(json_object_get(action, "command")) == 0) {
        field_error(errors, FIELD_REQUIRED, FIELD(path, "command"), NULL, NULL);
    }
}

static bool is_header_name(const char *text)
{
    static const char accepted[] =
        "-0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    return text[0] != '\0' && text[strspn(text, accepted)] == '\0';
}

static void validate_http(const struct pod_view *view, const json_t *action,
                          const struct field_path *path, struct field_errors *errors)
{
    (void)view;
    const json_t *headers = json_object_get(action, "httpHeaders");
    check_port(json_object_get(action, "port"), FIELD(path, "port"), errors);
    for (size_t i = 0; i < json_array_size(headers); i++) {
        const char *name = check_text(json_array_get(headers, i), "name");
        if (!is_header_name(name)) {
            check_invalid_text(name,
                               "a valid HTTP header must consist of alphanumeric characters or '-' "
                               "(e.g. 'X-Header-Name', regex used for validation is "
                               "'[-A-Za-z0-9]+')",
                               FIELD(path, "httpHeaders"), errors);
        }
    }
}

static void validate_tcp(const struct pod_view *view, const json_t *action,
                         const struct field_path *path, struct field_errors *errors)
{
    (void)view;
    check_port(json_object_get(action, "port"), FIELD(path, "port"), errors);
}

static void validate_sleep(const struct pod_view *view, const json_t *action,
                           const struct field_path *path, struct field_errors *errors)
{
    json_int_t seconds = json_get_int(action, "seconds", 0);
    json_int_t most = json_integer_value(view->grace_period);
    if (view->grace_period != NULL && (seconds < 0 || seconds > most)) {
        cleanup(json_release)
        json_t *shown = json_integer(seconds);
        field_error(errors, FIELD_INVALID, path, shown,
                    "must be non-negative and less than terminationGracePeriodSeconds "
                    "(%" JSON_INTEGER_FORMAT ")",
                    most);
    }
}

static const struct {
    const char *name;
    void (*validate)(const struct pod_view *view, const json_t *action,
                     const struct field_path *path, struct field_errors *errors);
} handlers[] = {
    {"exec", validate_exec}, {"httpGet", validate_http}, {"tcpSocket", validate_tcp},
    {"grpc", NULL},          {"sleep", validate_sleep},
};

/* Exactly one. */
static void validate_handler(const struct pod_view *view, const json_t *handler,
                             const struct field_path *path, struct field_errors *errors)
{
    bool found = false;
    for (size_t i = 0; i < array_length(handlers); i++) {
        const json_t *action = json_object_get(handler, handlers[i].name);
        const struct field_path *here = FIELD(path, handlers[i].name);
        if (action == NULL) {
            continue;
        }
        if (found) {
            field_error(errors, FIELD_FORBIDDEN, here, NULL,
                        "may not specify more than 1 handler type");
        } else if (handlers[i].validate != NULL) {
            handlers[i].validate(view, action, here, errors);
        }
        found = true;
    }
    if (!found) {
        field_error(errors, FIELD_REQUIRED, path, NULL, "must specify a handler type");
    }
}

/* ---- probes ---- */

static const struct {
    const char *name;
    bool one_success; /* One success is all that counts. */
    bool ends_pod;    /* Its failure ends the container, within a time of its own. */
} probes[] = {
    {"livenessProbe", true, true}, {"readinessProbe", false, false}, {"startupProbe", true, true}};

static void validate_probe(const struct pod_view *view, const json_t *probe, bool one_success,
                           bool ends_pod, const struct field_path *path,
                           struct field_errors *errors)
{
    const json_t *successes = json_object_get(probe, "successThreshold");
    const json_t *grace = json_object_get(probe, "terminationGracePeriodSeconds");
    const struct field_path *grace_path = FIELD(path, "terminationGracePeriodSeconds");
    validate_handler(view, probe, path, errors);
    if (grace != NULL && json_integer_value(grace) <= 0) {
        field_error(errors, FIELD_INVALID, grace_path, grace, "must be greater than 0");
    }
    if (grace != NULL && !ends_pod) {
        field_error(errors, FIELD_INVALID, grace_path, grace,
                    "must not be set for readinessProbes");
    }
    if (one_success && json_integer_value(successes) != 1) {
        field_error(errors, FIELD_INVALID, FIELD(path, "successThreshold"), successes, "must be 1");
    }
}

void validate_probes(const struct pod_view *view, const json_t *container,
                     const struct field_path *path, struct field_errors *errors)
{
    static const char *const hooks[] = {"postStart", "preStop"};
    const json_t *lifecycle = json_object_get(container, "lifecycle");
    const struct field_path *lifecycle_path = FIELD(path, "lifecycle");
    for (size_t i = 0; lifecycle != NULL && i < array_length(hooks); i++) {
        const json_t *handler = json_object_get(lifecycle, hooks[i]);
        if (handler != NULL) {
            validate_handler(view, handler, FIELD(lifecycle_path, hooks[i]), errors);
        }
    }
    for (size_t i = 0; i < array_length(probes); i++) {
        const json_t *probe = json_object_get(container, probes[i].name);
        if (probe != NULL) {
            validate_probe(view, probe, probes[i].one_success, probes[i].ends_pod,
                           FIELD(path, probes[i].name), errors);
        }
    }
}
