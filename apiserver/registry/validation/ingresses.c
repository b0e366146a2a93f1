// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "apiserver/registry/validation/check.h"
#include "apiserver/registry/validation/networking.h"
#include "common/alloc.h"
#include "common/ip.h"
#include "common/json.h"
#include "common/names.h"

static const struct field_path spec_path = {.name = "spec"};

/* ---- hosts ---- */

static const char *check_wildcard(const char *host)
{
    bool right = check_starts_with(host, "*.") && names_check_dns_subdomain(host + 2) == NULL;
    return right ? NULL
                 : "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS "
                   "subdomain, which must consist of lower case alphanumeric characters, '-' or "
                   "'.' and end with an alphanumeric character (e.g. '*.example.com', regex used "
                   "for validation is "
                   "'\\*\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
}

static void validate_host(const json_t *host, const struct field_path *path,
                          struct field_errors *errors)
{
    const char *text = json_string_value(host);
    check_message(host, strchr(text, '*') ? check_wildcard(text) : names_check_dns_subdomain(text),
                  path, errors);
}

static void refuse_address(const json_t *host, const struct field_path *path,
                           struct field_errors *errors)
{
    struct ip_network address;
    check_message(host,
                  ip_parse(json_string_value(host), &address)
                      ? "must be a DNS name, not an IP address"
                      : NULL,
                  path, errors);
}

/* ---- backends ---- */

static void validate_resource(const json_t *resource, const struct field_path *path,
                              struct field_errors *errors)
{
    static const char *const segments[] = {"kind", "name"};
    const json_t *group = json_object_get(resource, "apiGroup");
    if (group != NULL) {
        check_message(group, names_check_dns_subdomain(json_string_value(group)),
                      FIELD(path, "apiGroup"), errors);
    }
    for (size_t i = 0; i < array_length(segments); i++) {
        const json_t *value = json_object_get(resource, segments[i]);
        if (json_string_length(value) > 0) {
            check_message(value, names_check_path_segment(json_string_value(value)),
                          FIELD(path, segments[i]), errors);
        }
    }
}

static void validate_backend(const json_t *backend, const struct field_path *path,
                             struct field_errors *errors)
{
    const json_t *resource = json_object_get(backend, "resource");
    const json_t *service = json_object_get(backend, "service");
    if ((resource != NULL) == (service != NULL)) {
        check_invalid_text("",
                           resource ? "cannot set both resource and service backends"
                                    : "resource or service backend is required",
                           path, errors);
        return;
    }
    if (resource != NULL) {
        validate_resource(resource, FIELD(path, "resource"), errors);
        return;
    }
    const json_t *port = json_object_get(service, "port");
    const json_t *name = json_object_get(port, "name");
    const struct field_path *port_path = FIELD(FIELD(path, "service"), "port");
    json_int_t number = json_get_int(port, "number", 0);
    if (json_string_length(name) > 0 && number != 0) {
        check_invalid_text("", "cannot set both port name & port number", path, errors);
    } else if (json_string_length(name) > 0) {
        check_port(name, FIELD(port_path, "name"), errors);
    } else if (number != 0) {
        check_port(json_object_get(port, "number"), FIELD(port_path, "number"), errors);
    } else {
        field_error(errors, FIELD_REQUIRED, path, NULL, "port name or number is required");
    }
}

/* ---- paths ---- */

static void validate_exact(const json_t *value, const char *text, const struct field_path *path,
                           struct field_errors *errors)
{
    static const char *const sequences[] = {"//", "/./", "/../", "%2f", "%2F"};
    static const char *const endings[] = {"/..", "/."};
    for (size_t i = 0; i < array_length(sequences); i++) {
        if (strstr(text, sequences[i]) != NULL) {
            field_error(errors, FIELD_INVALID, path, value, "must not contain '%s'", sequences[i]);
        }
    }
    for (size_t i = 0; i < array_length(endings); i++) {
        size_t length = strlen(text), tail = strlen(endings[i]);
        if (length >= tail && strcmp(text + length - tail, endings[i]) == 0) {
            field_error(errors, FIELD_INVALID, path, value, "cannot end with '%s'", endings[i]);
        }
    }
}

static void validate_path(const json_t *rule, const struct field_path *path,
                          struct field_errors *errors)
{
    const char *type = check_text(rule, "pathType"), *text = check_text(rule, "path");
    const json_t *value = json_object_get(rule, "path");
    const struct field_path *here = FIELD(path, "path");
    bool any = strcmp(type, "ImplementationSpecific") == 0;
    if (!check_has(rule, "pathType")) {
        field_error(errors, FIELD_REQUIRED, FIELD(path, "pathType"), NULL,
                    "pathType must be specified");
        return;
    }
    if (text[0] != '/' && (!any || text[0] != '\0')) {
        check_invalid_text(text, "must be an absolute path", here, errors);
    }
    if (!any) {
        validate_exact(value, text, here, errors);
    }
    validate_backend(json_object_get(rule, "backend"), FIELD(path, "backend"), errors);
}

static void validate_rule(const json_t *rule, const struct field_path *path,
                          struct field_errors *errors)
{
    const json_t *host = json_object_get(rule, "host");
    const json_t *paths = json_path(rule, "http", "paths");
    const struct field_path *paths_path = FIELD(FIELD(path, "http"), "paths");
    if (json_string_length(host) > 0) {
        refuse_address(host, FIELD(path, "host"), errors);
        validate_host(host, FIELD(path, "host"), errors);
    }
    for (size_t i = 0; i < json_array_size(paths); i++) {
        validate_path(json_array_get(paths, i), FIELD_INDEX(paths_path, i), errors);
    }
}

/* ---- the whole ---- */

static void validate_tls(const json_t *tls, const struct field_path *path,
                         struct field_errors *errors)
{
    for (size_t i = 0; i < json_array_size(tls); i++) {
        const json_t *one = json_array_get(tls, i);
        const json_t *hosts = json_object_get(one, "hosts");
        for (size_t at = 0; at < json_array_size(hosts); at++) {
            validate_host(json_array_get(hosts, at),
                          FIELD_INDEX(FIELD(FIELD_INDEX(path, i), "hosts"), at), errors);
        }
        check_subdomain(json_object_get(one, "secretName"),
                        FIELD(FIELD_INDEX(path, i), "secretName"), errors);
    }
}

static void validate_status(const json_t *status, struct field_errors *errors)
{
    const json_t *points = json_path(status, "loadBalancer", "ingress");
    const struct field_path *path = FIELD(FIELD(FIELD(NULL, "status"), "loadBalancer"), "ingress");
    for (size_t i = 0; i < json_array_size(points); i++) {
        const json_t *point = json_array_get(points, i);
        const json_t *ip = json_object_get(point, "ip"), *host = json_object_get(point, "hostname");
        const struct field_path *here = FIELD_INDEX(path, i);
        if (json_string_length(ip) > 0) {
            check_message(ip, names_check_ip(json_string_value(ip)), FIELD(here, "ip"), errors);
        }
        if (json_string_length(host) > 0) {
            check_subdomain(host, FIELD(here, "hostname"), errors);
            refuse_address(host, FIELD(here, "hostname"), errors);
        }
    }
}

void validate_ingress(const struct write *write, struct field_errors *errors)
{
    const json_t *spec = json_object_get(write->object, "spec");
    const json_t *rules = json_object_get(spec, "rules");
    const json_t *backend = json_object_get(spec, "defaultBackend");
    const json_t *class = json_object_get(spec, "ingressClassName");
    json_t *annotations = json_path(write->object, "metadata", "annotations");
    const json_t *annotation = json_object_get(annotations, "kubernetes.io/ingress.class");
    if (write->subresource[0] != '\0') {
        validate_status(json_object_get(write->object, "status"), errors);
        return;
    }
    if (json_array_size(rules) == 0 && backend == NULL) {
        cleanup(json_release)
        json_t *none = json_null();
        field_error(errors, FIELD_INVALID, &spec_path, rules ? rules : none,
                    "either `defaultBackend` or `rules` must be specified");
    }
    if (backend != NULL) {
        validate_backend(backend, FIELD(&spec_path, "defaultBackend"), errors);
    }
    for (size_t i = 0; i < json_array_size(rules); i++) {
        validate_rule(json_array_get(rules, i), FIELD_INDEX(FIELD(&spec_path, "rules"), i), errors);
    }
    validate_tls(json_object_get(spec, "tls"), FIELD(&spec_path, "tls"), errors);
    if (write->live == NULL && annotation != NULL && class != NULL &&
        !json_equal(annotation, class)) {
        field_error(errors, FIELD_INVALID,
                    FIELD(FIELD(NULL, "annotations"), "kubernetes.io/ingress.class"), annotation,
                    "must match `ingressClassName` when both are specified");
    }
}
