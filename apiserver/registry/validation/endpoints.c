// SPDX-License-Identifier: Apache-2.0
/* Endpoints and EndpointSlices. */
#include <string.h>

#include "apiserver/registry/validation/check.h"
#include "apiserver/registry/validation/networking.h"
#include "common/alloc.h"
#include "common/ip.h"
#include "common/json.h"
#include "common/names.h"

enum {
    slice_endpoints_max = 1000,
    slice_addresses_max = 100,
    slice_ports_max = 20000,
    slice_topology_max = 16,
    slice_hints_max = 8,
};

/* ---- shared ---- */

/* The API server's own may name an address of this machine: one that listens nowhere else is of use
 * to its neighbours. */
static bool is_own(const struct write *write)
{
    return strcmp(write->namespace, "default") == 0 && strcmp(write->name, "kubernetes") == 0;
}

static bool is_in(const struct ip_network *address, const char *four, const char *six)
{
    struct ip_network network;
    return ip_network_parse(address->family == AF_INET ? four : six, &network) &&
           ip_network_contains(&network, address);
}

void validate_non_special_ip(const json_t *value, const struct field_path *path,
                             struct field_errors *errors)
{
    static const struct {
        const char *four, *six, *message;
    } special[] = {
        {"127.0.0.0/8", "::1/128", "may not be in the loopback range (127.0.0.0/8, ::1/128)"},
        {"169.254.0.0/16", "fe80::/10",
         "may not be in the link-local range (169.254.0.0/16, fe80::/10)"},
        {"224.0.0.0/24", "ff02::/16",
         "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"},
    };
    const char *text = json_string_value(value);
    struct ip_network address;
    if (text == NULL || !ip_parse(text, &address)) {
        return;
    }
    if (is_in(&address, "0.0.0.0/32", "::/128")) {
        field_error(errors, FIELD_INVALID, path, value, "may not be unspecified (%s)", text);
    }
    for (size_t i = 0; i < array_length(special); i++) {
        if (is_in(&address, special[i].four, special[i].six)) {
            field_error(errors, FIELD_INVALID, path, value, "%s", special[i].message);
        }
    }
}

static void check_qualified(const json_t *value, const struct field_path *path,
                            struct field_errors *errors)
{
    if (value != NULL) {
        cleanup(free_char)
        char *message = names_check_qualified(json_string_value(value));
        check_message(value, message, path, errors);
    }
}

/* ---- Endpoints ---- */

static void validate_addresses(const json_t *addresses, bool any, const struct field_path *path,
                               struct field_errors *errors)
{
    for (size_t i = 0; i < json_array_size(addresses); i++) {
        const json_t *address = json_array_get(addresses, i);
        const json_t *node = json_object_get(address, "nodeName");
        if (node != NULL) {
            check_message(node, names_check_dns_subdomain(json_string_value(node)),
                          FIELD(FIELD_INDEX(path, i), "nodeName"), errors);
        }
        if (!any) {
            validate_non_special_ip(json_object_get(address, "ip"),
                                    FIELD(FIELD_INDEX(path, i), "ip"), errors);
        }
    }
}

static void validate_subset(const json_t *subset, bool any, const struct field_path *path,
                            struct field_errors *errors)
{
    const json_t *ready = json_object_get(subset, "addresses");
    const json_t *others = json_object_get(subset, "notReadyAddresses");
    const json_t *ports = json_object_get(subset, "ports");
    if (json_array_size(ready) == 0 && json_array_size(others) == 0) {
        field_error(errors, FIELD_REQUIRED, path, NULL,
                    "must specify `addresses` or `notReadyAddresses`");
    }
    validate_addresses(ready, any, FIELD(path, "addresses"), errors);
    validate_addresses(others, any, FIELD(path, "notReadyAddresses"), errors);
    for (size_t i = 0; i < json_array_size(ports); i++) {
        const json_t *port = json_array_get(ports, i);
        const struct field_path *here = FIELD_INDEX(FIELD(path, "ports"), i);
        if (json_array_size(ports) > 1 && check_text(port, "name")[0] == '\0') {
            field_error(errors, FIELD_REQUIRED, FIELD(here, "name"), NULL, NULL);
        }
        check_qualified(json_object_get(port, "appProtocol"), FIELD(here, "appProtocol"), errors);
    }
}

void validate_endpoints(const struct write *write, struct field_errors *errors)
{
    const json_t *subsets = json_object_get(write->object, "subsets");
    for (size_t i = 0; i < json_array_size(subsets); i++) {
        validate_subset(json_array_get(subsets, i), is_own(write),
                        FIELD_INDEX(FIELD(NULL, "subsets"), i), errors);
    }
}

/* ---- EndpointSlices ---- */

static void too_many(const json_t *list, size_t most, const struct field_path *path,
                     struct field_errors *errors)
{
    size_t count = json_is_object(list) ? json_object_size(list) : json_array_size(list);
    if (count > most) {
        cleanup(json_release)
        json_t *shown = json_integer((json_int_t)count);
        field_error(errors, FIELD_TOO_MANY, path, shown, "must have at most %zu items", most);
    }
}

static void validate_slice_address(const json_t *value, const char *type, bool any,
                                   const struct field_path *path, struct field_errors *errors)
{
    const char *text = json_string_value(value);
    struct ip_network address;
    if (strcmp(type, "FQDN") == 0) {
        /* A name of several parts; the last dot may be written. */
        size_t length = strlen(text);
        cleanup(free_char)
        char *name = duplicate_bytes(text, length - (length > 0 && text[length - 1] == '.'));
        const char *message = names_check_dns_subdomain(name);
        if (length == 0) {
            field_error(errors, FIELD_REQUIRED, path, NULL, NULL);
        } else if (message == NULL && strchr(name, '.') == NULL) {
            message = "should be a domain with at least two segments separated by dots";
        }
        check_message(value, length == 0 ? NULL : message, path, errors);
        return;
    }
    bool six = strcmp(type, "IPv6") == 0;
    if (six || strcmp(type, "IPv4") == 0) {
        bool right = ip_parse(text, &address) && (address.family == AF_INET6) == six;
        check_message(value,
                      right ? NULL
                      : six ? "must be a valid IPv6 address"
                            : "must be a valid IPv4 address",
                      path, errors);
        if (any) {
            return;
        }
        if (ip_parse(text, &address)) {
            validate_non_special_ip(value, path, errors);
        } else {
            check_message(value, "must be a valid IP address", path, errors);
        }
    }
}

static void validate_hints(const json_t *hints, const char *list, bool names_nodes,
                           const struct field_path *path, struct field_errors *errors)
{
    const json_t *names = json_object_get(hints, list);
    const struct field_path *here = FIELD(path, list);
    struct map seen = MAP_INIT;
    if (json_array_size(names) > slice_hints_max) {
        too_many(names, slice_hints_max, here, errors);
        return;
    }
    for (size_t i = 0; i < json_array_size(names); i++) {
        const json_t *name = json_object_get(json_array_get(names, i), "name");
        const char *text = json_string_value(name) ? json_string_value(name) : "";
        const struct field_path *name_path = FIELD(FIELD_INDEX(here, i), "name");
        if (map_get(&seen, text) != NULL) {
            check_duplicate_text(text, name_path, errors);
        } else {
            map_set(&seen, text, (void *)text);
            cleanup(free_char)
            char *qualified = names_nodes ? NULL : names_check_qualified(text);
            check_invalid_text(text, names_nodes ? names_check_dns_subdomain(text) : qualified,
                               name_path, errors);
        }
    }
    map_free(&seen, NULL);
}

static void validate_slice_endpoint(const json_t *endpoint, const char *type, bool any,
                                    const struct field_path *path, struct field_errors *errors)
{
    const json_t *addresses = json_object_get(endpoint, "addresses");
    const json_t *topology = json_object_get(endpoint, "deprecatedTopology");
    const json_t *hints = json_object_get(endpoint, "hints");
    const struct field_path *list_path = FIELD(path, "addresses");
    if (json_array_size(addresses) == 0) {
        field_error(errors, FIELD_REQUIRED, list_path, NULL, "must contain at least 1 address");
    }
    too_many(addresses, slice_addresses_max, list_path, errors);
    for (size_t i = 0; i < json_array_size(addresses); i++) {
        validate_slice_address(json_array_get(addresses, i), type, any, FIELD_INDEX(list_path, i),
                               errors);
    }
    const json_t *node = json_object_get(endpoint, "nodeName");
    if (node != NULL) {
        check_message(node, names_check_dns_subdomain(json_string_value(node)),
                      FIELD(path, "nodeName"), errors);
    }
    too_many(topology, slice_topology_max, FIELD(path, "deprecatedTopology"), errors);
    names_validate_labels(topology, FIELD(path, "deprecatedTopology"), errors);
    if (check_has(topology, "kubernetes.io/hostname")) {
        field_error(errors, FIELD_INVALID,
                    FIELD_KEY(FIELD(path, "deprecatedTopology"), "kubernetes.io/hostname"),
                    json_object_get(topology, "kubernetes.io/hostname"),
                    "should be moved to nodeName");
    }
    const json_t *host = json_object_get(endpoint, "hostname");
    if (host != NULL) {
        check_message(host, names_check_dns_label(json_string_value(host)), FIELD(path, "hostname"),
                      errors);
    }
    validate_hints(hints, "forZones", false, FIELD(path, "hints"), errors);
    validate_hints(hints, "forNodes", true, FIELD(path, "hints"), errors);
}

static void validate_slice_ports(const json_t *ports, const struct field_path *path,
                                 struct field_errors *errors)
{
    struct map seen = MAP_INIT;
    if (json_array_size(ports) > slice_ports_max) {
        too_many(ports, slice_ports_max, path, errors);
        return;
    }
    for (size_t i = 0; i < json_array_size(ports); i++) {
        const json_t *port = json_array_get(ports, i);
        const char *name = check_text(port, "name");
        const struct field_path *here = FIELD_INDEX(path, i);
        check_label(json_object_get(port, "name"), FIELD(here, "name"), errors);
        if (map_get(&seen, name) != NULL) {
            check_duplicate_text(name, FIELD(here, "name"), errors);
        }
        map_set(&seen, name, (void *)port);
        check_qualified(json_object_get(port, "appProtocol"), FIELD(here, "appProtocol"), errors);
    }
    map_free(&seen, NULL);
}

void validate_endpoint_slice(const struct write *write, struct field_errors *errors)
{
    const json_t *endpoints = json_object_get(write->object, "endpoints");
    const struct field_path *path = FIELD(NULL, "endpoints");
    if (json_array_size(endpoints) > slice_endpoints_max) {
        too_many(endpoints, slice_endpoints_max, path, errors);
    } else {
        for (size_t i = 0; i < json_array_size(endpoints); i++) {
            validate_slice_endpoint(json_array_get(endpoints, i),
                                    check_text(write->object, "addressType"), is_own(write),
                                    FIELD_INDEX(path, i), errors);
        }
    }
    validate_slice_ports(json_object_get(write->object, "ports"), FIELD(NULL, "ports"), errors);
}
