// SPDX-License-Identifier: Apache-2.0
/* Services; their families of addresses are in kinds/service_families.c. */
#include <ctype.h>
#include <string.h>

#include "apiserver/registry/kinds/service_families.h"
#include "apiserver/registry/validation/check.h"
#include "apiserver/registry/validation/networking.h"
#include "common/alloc.h"
#include "common/ip.h"
#include "common/json.h"
#include "common/names.h"

static const struct field_path spec_path = {.name = "spec"};
static const struct field_path ports_path = {.parent = &spec_path, .name = "ports"};

static const char ranges_annotation[] = "service.beta.kubernetes.io/load-balancer-source-ranges";
static const char hints_annotation[] = "service.kubernetes.io/topology-aware-hints";
static const char mode_annotation[] = "service.kubernetes.io/topology-mode";

static bool is_type(const json_t *spec, const char *type)
{
    return check_is(spec, "type", type);
}

static bool is_reachable_from_outside(const json_t *spec)
{
    return is_type(spec, "LoadBalancer") || is_type(spec, "NodePort") ||
           (is_type(spec, "ClusterIP") &&
            json_array_size(json_object_get(spec, "externalIPs")) > 0);
}

static bool needs_health_port(const json_t *spec)
{
    return is_type(spec, "LoadBalancer") && check_is(spec, "externalTrafficPolicy", "Local");
}

/* ---- names instead of addresses ---- */

static void validate_external_name(const json_t *spec, struct field_errors *errors)
{
    static const char *const unused[] = {"clusterIPs", "ipFamilies", "ipFamilyPolicy"};
    const char *name = check_text(spec, "externalName");
    const struct field_path *path = FIELD(&spec_path, "externalName");
    size_t length = strlen(name);
    for (size_t i = 0; i < array_length(unused); i++) {
        const json_t *value = json_object_get(spec, unused[i]);
        if (value != NULL && !(json_is_array(value) && json_array_size(value) == 0)) {
            field_error(errors, FIELD_FORBIDDEN, FIELD(&spec_path, unused[i]), NULL,
                        "may not be set for ExternalName services");
        }
    }
    /* A dot at its end says that it is complete. */
    cleanup(free_char)
    char *stem = duplicate_bytes(name, length - (length > 0 && name[length - 1] == '.'));
    if (stem[0] == '\0') {
        field_error(errors, FIELD_REQUIRED, path, NULL, NULL);
    } else {
        check_invalid_text(stem, names_check_dns_subdomain(stem), path, errors);
    }
}

/* ---- ports ---- */

static void validate_target_port(const json_t *port, const struct field_path *path,
                                 struct field_errors *errors)
{
    const json_t *target = json_object_get(port, "targetPort");
    if (target != NULL) {
        check_port(target, FIELD(path, "targetPort"), errors);
    }
}

static void validate_port(const json_t *port, bool one_of_several, struct map *names,
                          const struct field_path *path, struct field_errors *errors)
{
    const char *name = check_text(port, "name");
    const json_t *protocol = json_object_get(port, "appProtocol");
    if (name[0] == '\0' && one_of_several) {
        field_error(errors, FIELD_REQUIRED, FIELD(path, "name"), NULL, NULL);
    } else if (name[0] != '\0' && map_get(names, name) != NULL) {
        check_duplicate_text(name, FIELD(path, "name"), errors);
    }
    map_set(names, name, (void *)port);
    validate_target_port(port, path, errors);
    if (protocol != NULL) {
        cleanup(free_char)
        char *message = names_check_qualified(json_string_value(protocol));
        check_message(protocol, message, FIELD(path, "appProtocol"), errors);
    }
}

static void validate_node_port(const json_t *spec, const json_t *port, struct map *taken,
                               const struct field_path *path, struct field_errors *errors)
{
    const json_t *number = json_object_get(port, "nodePort");
    if (json_integer_value(number) == 0) {
        return;
    }
    cleanup(free_char)
    char *pair =
        format("%s %lld", check_text(port, "protocol"), (long long)json_integer_value(number));
    if (is_type(spec, "ClusterIP")) {
        field_error(errors, FIELD_FORBIDDEN, FIELD(path, "nodePort"), NULL,
                    "may not be used when `type` is 'ClusterIP'");
    }
    if (map_get(taken, pair) != NULL) {
        field_error(errors, FIELD_DUPLICATE, FIELD(path, "nodePort"), number, NULL);
    }
    map_set(taken, pair, (void *)port);
}

static void validate_ports(const json_t *spec, struct field_errors *errors)
{
    const json_t *ports = json_object_get(spec, "ports");
    size_t count = json_array_size(ports);
    struct map names = MAP_INIT, taken = MAP_INIT;
    if (count == 0 && !service_is_headless(spec) && !is_type(spec, "ExternalName")) {
        field_error(errors, FIELD_REQUIRED, &ports_path, NULL, NULL);
    }
    for (size_t i = 0; i < count; i++) {
        const json_t *port = json_array_get(ports, i);
        const struct field_path *path = FIELD_INDEX(&ports_path, i);
        validate_port(port, count > 1, &names, path, errors);
        validate_node_port(spec, port, &taken, path, errors);
    }
    map_free(&names, NULL);
    map_free(&taken, NULL);
}

/* ---- load balancers ---- */

static void validate_range(const char *text, size_t length, const struct field_path *path,
                           struct field_errors *errors)
{
    while (length > 0 && isspace((unsigned char)text[0])) {
        text++;
        length--;
    }
    while (length > 0 && isspace((unsigned char)text[length - 1])) {
        length--;
    }
    cleanup(free_char)
    char *range = duplicate_bytes(text, length);
    check_invalid_text(range, names_check_cidr(range), path, errors);
}

static void validate_source_ranges(const json_t *object, struct field_errors *errors)
{
    const json_t *spec = json_object_get(object, "spec");
    const json_t *ranges = json_object_get(spec, "loadBalancerSourceRanges");
    const json_t *annotations = json_path(object, "metadata", "annotations");
    const char *text = json_get_string(annotations, ranges_annotation);
    const struct field_path *annotations_path = FIELD(FIELD(NULL, "metadata"), "annotations");
    const struct field_path *path = json_array_size(ranges) > 0
                                        ? FIELD(&spec_path, "LoadBalancerSourceRanges")
                                        : FIELD_KEY(annotations_path, ranges_annotation);
    if (json_array_size(ranges) == 0 && text == NULL) {
        return;
    }
    if (!is_type(spec, "LoadBalancer")) {
        field_error(errors, FIELD_FORBIDDEN, path, NULL,
                    "may only be used when `type` is 'LoadBalancer'");
    }
    for (size_t i = 0; i < json_array_size(ranges); i++) {
        const char *range = json_string_value(json_array_get(ranges, i));
        validate_range(range, strlen(range), FIELD_INDEX(path, i), errors);
    }
    bool listed = json_array_size(ranges) == 0 && text[strspn(text, " \t\n")] != '\0';
    while (listed) {
        size_t length = strcspn(text, ",");
        validate_range(text, length, path, errors);
        listed = text[length] == ',';
        text += length + 1;
    }
}

static void validate_balancer(const json_t *object, const json_t *live, struct field_errors *errors)
{
    static const char *const only[] = {"allocateLoadBalancerNodePorts", "loadBalancerClass"};
    const json_t *spec = json_object_get(object, "spec");
    bool balances = is_type(spec, "LoadBalancer");
    validate_source_ranges(object, errors);
    for (size_t i = 0; !balances && i < array_length(only); i++) {
        if (check_has(spec, only[i])) {
            field_error(errors, FIELD_FORBIDDEN, FIELD(&spec_path, only[i]), NULL,
                        "may only be used when `type` is 'LoadBalancer'");
        }
    }
    if (balances && live != NULL && is_type(live, "LoadBalancer") &&
        !check_equal(json_object_get(spec, "loadBalancerClass"),
                     json_object_get(live, "loadBalancerClass"))) {
        const json_t *class = json_object_get(spec, "loadBalancerClass");
        cleanup(json_release)
        json_t *none = json_null();
        field_error(errors, FIELD_INVALID, FIELD(&spec_path, "loadBalancerClass"),
                    class ? class : none, "may not change once set");
    }
}

static void validate_status(const struct write *write, struct field_errors *errors)
{
    const json_t *points = json_path(write->object, "status", "loadBalancer", "ingress");
    const json_t *spec = json_object_get(write->object, "spec");
    const struct field_path *path = FIELD(FIELD(FIELD(NULL, "status"), "loadBalancer"), "ingress");
    static const char *const modes[] = {"Proxy", "VIP", NULL};
    if (json_array_size(points) > 0 && !is_type(spec, "LoadBalancer")) {
        field_error(errors, FIELD_FORBIDDEN, path, NULL,
                    "may only be used when `spec.type` is 'LoadBalancer'");
        return;
    }
    for (size_t i = 0; i < json_array_size(points); i++) {
        const json_t *point = json_array_get(points, i);
        const json_t *ip = json_object_get(point, "ip"), *host = json_object_get(point, "hostname");
        const char *mode = check_text(point, "ipMode");
        const struct field_path *here = FIELD_INDEX(path, i);
        struct ip_network address;
        if (json_string_length(ip) > 0) {
            check_message(ip, names_check_ip(json_string_value(ip)), FIELD(here, "ip"), errors);
        }
        if (json_string_length(ip) > 0 && !check_has(point, "ipMode")) {
            field_error(errors, FIELD_REQUIRED, FIELD(here, "ipMode"), NULL,
                        "must be specified when `ip` is set");
        } else if (check_has(point, "ipMode") && json_string_length(ip) == 0) {
            field_error(errors, FIELD_FORBIDDEN, FIELD(here, "ipMode"), NULL,
                        "may not be specified when `ip` is not set");
        } else if (check_has(point, "ipMode") && !check_one_of(mode, modes)) {
            check_not_supported(mode, modes, FIELD(here, "ipMode"), errors);
        }
        if (json_string_length(host) > 0) {
            const char *name = json_string_value(host);
            check_message(host, names_check_dns_subdomain(name), FIELD(here, "hostname"), errors);
            check_message(host,
                          ip_parse(name, &address) ? "must be a DNS name, not an IP address" : NULL,
                          FIELD(here, "hostname"), errors);
        }
    }
}

/* ---- traffic ---- */

static void validate_affinity(const json_t *spec, struct field_errors *errors)
{
    enum { timeout_max = 86400 };
    const json_t *timeout = json_path(spec, "sessionAffinityConfig", "clientIP", "timeoutSeconds");
    const struct field_path *path = FIELD(FIELD(&spec_path, "sessionAffinityConfig"), "clientIP");
    json_int_t seconds = json_integer_value(timeout);
    if (timeout != NULL && (seconds < 1 || seconds > timeout_max)) {
        field_error(errors, FIELD_INVALID, FIELD(path, "timeoutSeconds"), timeout,
                    "must be greater than 0 and less than %d", timeout_max);
    }
}

static void validate_external_traffic(const json_t *spec, const json_t *live,
                                      struct field_errors *errors)
{
    const json_t *port = json_object_get(spec, "healthCheckNodePort");
    const json_t *policy = json_object_get(spec, "externalTrafficPolicy");
    const struct field_path *path = FIELD(&spec_path, "healthCheckNodePort");
    if (policy != NULL && !is_reachable_from_outside(spec)) {
        field_error(errors, FIELD_INVALID, FIELD(&spec_path, "externalTrafficPolicy"), policy,
                    "may only be set for externally-accessible services");
    }
    if (!needs_health_port(spec) && json_integer_value(port) != 0) {
        field_error(errors, FIELD_INVALID, path, port,
                    "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is "
                    "'Local'");
    } else if (needs_health_port(spec) && live != NULL && needs_health_port(live) &&
               json_get_int(live, "healthCheckNodePort", 0) > 0 &&
               json_get_int(live, "healthCheckNodePort", 0) != json_integer_value(port)) {
        field_error(errors, FIELD_FORBIDDEN, path, NULL, "field is immutable");
    }
}

/* Told in the order in which upstream lists them. */
static void validate_distribution(const json_t *spec, struct field_errors *errors)
{
    static const char *const supported[] = {"PreferClose", "PreferSameZone", "PreferSameNode",
                                            NULL};
    const char *distribution = check_text(spec, "trafficDistribution");
    if (check_has(spec, "trafficDistribution") && !check_one_of(distribution, supported)) {
        check_not_supported(distribution, supported, FIELD(&spec_path, "trafficDistribution"),
                            errors);
    }
}

static void validate_topology(const json_t *object, struct field_errors *errors)
{
    const json_t *annotations = json_path((json_t *)object, "metadata", "annotations");
    const json_t *hints = json_object_get(annotations, hints_annotation);
    const json_t *mode = json_object_get(annotations, mode_annotation);
    if (hints != NULL && mode != NULL && !json_equal(hints, mode)) {
        field_error(errors, FIELD_INVALID,
                    FIELD_KEY(FIELD(FIELD(NULL, "metadata"), "annotations"), mode_annotation), mode,
                    "must match annotations[%s] when both are specified", hints_annotation);
    }
}

/* ---- what stays ---- */

/* The list is that of addresses or families; the first element stays, a second one may come, and go
 * when the policy says so. */
static void validate_change(const json_t *spec, const json_t *live, const char *list,
                            struct field_errors *errors)
{
    const json_t *now = json_object_get(spec, list), *was = json_object_get(live, list);
    size_t count = json_array_size(now), before = json_array_size(was);
    const struct field_path *path = FIELD(&spec_path, list);
    for (size_t i = 0; i < before && i < count; i++) {
        if ((i == 0 || count == before) &&
            !json_equal(json_array_get(now, i), json_array_get(was, i))) {
            field_error(errors, FIELD_INVALID, FIELD_INDEX(path, i), now,
                        "may not change once set");
        }
    }
    if (count < before && count == 0) {
        cleanup(json_release)
        json_t *none = json_array();
        field_error(errors, FIELD_INVALID, FIELD_INDEX(path, 0), now ? now : none, "%s",
                    strcmp(list, "clusterIPs") == 0 ? "primary clusterIP can not be unset"
                                                    : "primary ipFamily can not be unset");
    }
}

static void validate_update(const json_t *spec, const json_t *live, struct field_errors *errors)
{
    bool headless = service_is_headless(spec), was_headless = service_is_headless(live);
    if (is_type(spec, "ExternalName") || is_type(live, "ExternalName") ||
        (headless && was_headless)) {
        return;
    }
    validate_change(spec, live, "clusterIPs", errors);
    if (!headless && !was_headless) {
        validate_change(spec, live, "ipFamilies", errors);
    }
}

/* ---- the whole ---- */

void validate_service(const struct write *write, struct field_errors *errors)
{
    const json_t *spec = json_object_get(write->object, "spec");
    const json_t *live = json_object_get(write->live, "spec");
    const json_t *outside = json_object_get(spec, "externalIPs");
    if (write->subresource[0] != '\0') {
        validate_status(write, errors);
        return;
    }
    if (live != NULL) {
        validate_update(spec, live, errors);
    }
    if (is_type(spec, "ExternalName")) {
        validate_external_name(spec, errors);
    } else if (service_is_headless(spec) && !is_type(spec, "ClusterIP")) {
        field_error(errors, FIELD_INVALID, FIELD_INDEX(FIELD(&spec_path, "clusterIPs"), 0),
                    json_array_get(json_object_get(spec, "clusterIPs"), 0),
                    "may not be set to 'None' for %s services", check_text(spec, "type"));
    }
    validate_ports(spec, errors);
    names_validate_labels(json_object_get(spec, "selector"), FIELD(&spec_path, "selector"), errors);
    validate_affinity(spec, errors);
    for (size_t i = 0; i < json_array_size(outside); i++) {
        validate_non_special_ip(json_array_get(outside, i),
                                FIELD_INDEX(FIELD(&spec_path, "externalIPs"), i), errors);
    }
    validate_balancer(write->object, live, errors);
    validate_external_traffic(spec, live, errors);
    validate_distribution(spec, errors);
    validate_topology(write->object, errors);
}
