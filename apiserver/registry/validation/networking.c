// SPDX-License-Identifier: Apache-2.0
/* Network policies, classes of Ingresses, and where cluster addresses come from. */
#include "apiserver/registry/validation/networking.h"

#include <string.h>

#include "apiserver/registry/validation/check.h"
#include "apiserver/registry/validation/selectors.h"
#include "common/alloc.h"
#include "common/ip.h"
#include "common/json.h"
#include "common/names.h"

static const struct field_path spec_path = {.name = "spec"};

/* ---- network policies ---- */

static void validate_policy_port(const json_t *port, const struct field_path *path,
                                 struct field_errors *errors)
{
    const json_t *number = json_object_get(port, "port");
    const json_t *last = json_object_get(port, "endPort");
    const char *message = NULL;
    if (number != NULL) {
        check_port(number, FIELD(path, "port"), errors);
    }
    if (last == NULL) {
        return;
    }
    if (number == NULL) {
        message = "may not be specified when `port` is not specified";
    } else if (json_is_string(number)) {
        message = "may not be specified when `port` is non-numeric";
    } else if (json_integer_value(last) < json_integer_value(number)) {
        message = "must be greater than or equal to `port`";
    }
    check_message(last, message, FIELD(path, "endPort"), errors);
}

static void validate_ip_block(const json_t *block, const struct field_path *path,
                              struct field_errors *errors)
{
    const json_t *except = json_object_get(block, "except");
    struct ip_network whole, part;
    if (!ip_network_parse(check_text(block, "cidr"), &whole)) {
        return; /* The schema's rules have found that. */
    }
    for (size_t i = 0; i < json_array_size(except); i++) {
        const json_t *value = json_array_get(except, i);
        if (ip_network_parse(json_string_value(value), &part) &&
            (!ip_network_contains(&whole, &part) || whole.bits == part.bits)) {
            field_error(errors, FIELD_INVALID, FIELD_INDEX(FIELD(path, "except"), i), value,
                        "must be a strict subset of `cidr`");
        }
    }
}

static void validate_peer(const json_t *peer, const struct field_path *path,
                          struct field_errors *errors)
{
    const json_t *pods = json_object_get(peer, "podSelector");
    const json_t *namespaces = json_object_get(peer, "namespaceSelector");
    const json_t *block = json_object_get(peer, "ipBlock");
    validate_label_selector(pods, FIELD(path, "podSelector"), errors);
    validate_label_selector(namespaces, FIELD(path, "namespaceSelector"), errors);
    if (block != NULL) {
        validate_ip_block(block, FIELD(path, "ipBlock"), errors);
    }
    if (pods == NULL && namespaces == NULL && block == NULL) {
        field_error(errors, FIELD_REQUIRED, path, NULL, "must specify a peer");
    } else if (block != NULL && (pods != NULL || namespaces != NULL)) {
        field_error(errors, FIELD_FORBIDDEN, path, NULL,
                    "may not specify both ipBlock and another peer");
    }
}

static void validate_policy_rules(const json_t *rules, const char *peers,
                                  const struct field_path *path, struct field_errors *errors)
{
    for (size_t i = 0; i < json_array_size(rules); i++) {
        const json_t *rule = json_array_get(rules, i);
        const json_t *ports = json_object_get(rule, "ports");
        const json_t *list = json_object_get(rule, peers);
        const struct field_path *here = FIELD_INDEX(path, i);
        for (size_t at = 0; at < json_array_size(ports); at++) {
            validate_policy_port(json_array_get(ports, at), FIELD_INDEX(FIELD(here, "ports"), at),
                                 errors);
        }
        for (size_t at = 0; at < json_array_size(list); at++) {
            validate_peer(json_array_get(list, at), FIELD_INDEX(FIELD(here, peers), at), errors);
        }
    }
}

void validate_network_policy(const struct write *write, struct field_errors *errors)
{
    const json_t *spec = json_object_get(write->object, "spec");
    const json_t *types = json_object_get(spec, "policyTypes");
    validate_label_selector(json_object_get(spec, "podSelector"), FIELD(&spec_path, "podSelector"),
                            errors);
    validate_policy_rules(json_object_get(spec, "ingress"), "from", FIELD(&spec_path, "ingress"),
                          errors);
    validate_policy_rules(json_object_get(spec, "egress"), "to", FIELD(&spec_path, "egress"),
                          errors);
    if (json_array_size(types) > 2) {
        field_error(errors, FIELD_INVALID, FIELD(&spec_path, "policyTypes"), types,
                    "may not specify more than two policyTypes");
    }
}

/* ---- classes of Ingresses ---- */

static void validate_class_parameters(const json_t *parameters, const struct field_path *path,
                                      struct field_errors *errors)
{
    const json_t *group = json_object_get(parameters, "apiGroup");
    const json_t *namespace = json_object_get(parameters, "namespace");
    const struct field_path *here = FIELD(path, "namespace");
    if (group != NULL) {
        check_message(group, names_check_dns_subdomain(json_string_value(group)),
                      FIELD(path, "apiGroup"), errors);
    }
    if (check_is(parameters, "scope", "Namespace")) {
        if (namespace == NULL) {
            field_error(errors, FIELD_REQUIRED, here, NULL,
                        "`parameters.scope` is set to 'Namespace'");
        } else {
            check_message(namespace, names_check_dns_label(json_string_value(namespace)), here,
                          errors);
        }
    } else if (check_is(parameters, "scope", "Cluster") && namespace != NULL) {
        field_error(errors, FIELD_FORBIDDEN, here, NULL, "`parameters.scope` is set to 'Cluster'");
    }
}

void validate_ingress_class(const struct write *write, struct field_errors *errors)
{
    const json_t *spec = json_object_get(write->object, "spec");
    const json_t *controller = json_object_get(spec, "controller");
    const json_t *parameters = json_object_get(spec, "parameters");
    if (json_string_length(controller) > 0) {
        check_domain_prefixed_path(controller, FIELD(&spec_path, "controller"), errors);
    }
    if (parameters != NULL) {
        validate_class_parameters(parameters, FIELD(&spec_path, "parameters"), errors);
    }
}

/* ---- addresses of the cluster ---- */

void validate_ip_address(const struct write *write, struct field_errors *errors)
{
    static const char *const segments[] = {"resource", "name", "namespace"};
    const json_t *metadata = json_object_get(write->object, "metadata");
    const json_t *parent = json_path(write->object, "spec", "parentRef");
    const struct field_path *path = FIELD(&spec_path, "parentRef");
    if (write->live == NULL) {
        struct ip_network address;
        char canonical[INET6_ADDRSTRLEN] = "";
        const char *name = check_text(metadata, "name");
        const char *message = names_check_ip(name);
        if (ip_parse(name, &address)) {
            message = ip_has_leading_zeros(name) ? "must not have leading 0s"
                      : ip_unmap(&address)       ? "must not be an IPv4-mapped IPv6 address"
                                                 : NULL;
            ip_format(&address, canonical);
        }
        if (strcmp(name, canonical) != 0) {
            cleanup(free_char)
            char *form = format("must be in canonical form (\"%s\")", canonical);
            check_message(json_object_get(metadata, "name"), message ? message : form,
                          FIELD(FIELD(NULL, "metadata"), "name"), errors);
        }
    }
    check_subdomain(json_object_get(parent, "group"), FIELD(path, "group"), errors);
    for (size_t i = 0; i < array_length(segments); i++) {
        const json_t *value = json_object_get(parent, segments[i]);
        if (json_string_length(value) > 0) {
            check_message(value, names_check_path_segment(json_string_value(value)),
                          FIELD(path, segments[i]), errors);
        }
    }
}

static int family_at(const json_t *cidrs, size_t at)
{
    struct ip_network network;
    const char *text = json_string_value(json_array_get(cidrs, at));
    return text != NULL && ip_network_parse(text, &network) ? network.family : 0;
}

/* A network begins with its first address and is written in one way only. */
static void validate_canonical(const json_t *value, const struct field_path *path,
                               struct field_errors *errors)
{
    const char *text = json_string_value(value), *slash = text ? strchr(text, '/') : NULL;
    struct ip_network network, address;
    if (slash == NULL || !ip_network_parse(text, &network)) {
        return; /* The schema's rules have found that. */
    }
    char canonical[INET6_ADDRSTRLEN];
    ip_format(&network, canonical);
    cleanup(free_char)
    char *first = duplicate_bytes(text, (size_t)(slash - text));
    cleanup(free_char)
    char *form = format("%s/%d", canonical, network.bits);
    struct ip_network unmapped = network;
    if (ip_has_leading_zeros(text)) {
        field_error(errors, FIELD_INVALID, path, value,
                    "must not have leading 0s in IP or prefix length");
    } else if (ip_unmap(&unmapped)) {
        field_error(errors, FIELD_INVALID, path, value,
                    "must not have an IPv4-mapped IPv6 address");
    } else if (ip_parse(first, &address) && memcmp(address.bytes, network.bytes, 16) != 0) {
        field_error(errors, FIELD_INVALID, path, value,
                    "must not have bits set beyond the prefix length");
    } else if (strcmp(form, text) != 0) {
        field_error(errors, FIELD_INVALID, path, value, "must be in canonical form (\"%s\")", form);
    }
}

static void validate_cidrs(const json_t *cidrs, const struct field_path *path,
                           struct field_errors *errors)
{
    size_t count = json_array_size(cidrs);
    if (count > 2) {
        field_error(errors, FIELD_INVALID, path, cidrs, "may only hold up to 2 values");
        return;
    }
    for (size_t i = 0; i < count; i++) {
        validate_canonical(json_array_get(cidrs, i), FIELD_INDEX(path, i), errors);
    }
    if (count == 2 && family_at(cidrs, 0) != 0 && family_at(cidrs, 0) == family_at(cidrs, 1)) {
        field_error(errors, FIELD_INVALID, path, cidrs,
                    "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and "
                    "2001:db8::/64");
    }
}

/* A second network may come, of the other family; nothing else changes. */
static void validate_cidrs_update(const json_t *cidrs, const json_t *live,
                                  const struct field_path *path, struct field_errors *errors)
{
    size_t count = json_array_size(cidrs), before = json_array_size(live);
    if (count != before && !(before == 1 && count == 2)) {
        field_error(errors, FIELD_INVALID, path, cidrs, "field is immutable");
        return;
    }
    for (size_t i = 0; i < before; i++) {
        check_immutable(json_array_get(cidrs, i), json_array_get(live, i), FIELD_INDEX(path, i),
                        errors);
    }
    if (count != before) {
        validate_cidrs(cidrs, path, errors);
    }
}

void validate_service_cidr(const struct write *write, struct field_errors *errors)
{
    const json_t *cidrs = json_path(write->object, "spec", "cidrs");
    const struct field_path *path = FIELD(&spec_path, "cidrs");
    if (write->subresource[0] != '\0') {
        return;
    }
    if (json_array_size(cidrs) == 0 && write->live == NULL) {
        field_error(errors, FIELD_REQUIRED, path, NULL, "at least one CIDR required");
    } else if (write->live == NULL) {
        validate_cidrs(cidrs, path, errors);
    } else {
        validate_cidrs_update(cidrs, json_path(write->live, "spec", "cidrs"), path, errors);
    }
}
