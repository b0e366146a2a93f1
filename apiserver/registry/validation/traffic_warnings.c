// SPDX-License-Identifier: Apache-2.0
/* Warnings about what leads traffic and who receives it: what has no effect, and addresses and
 * networks that are not in canonical form. */
#include <string.h>

#include "apiserver/registry/kinds/service_families.h"
#include "apiserver/registry/validation/check.h"
#include "apiserver/registry/validation/warnings.h"
#include "common/alloc.h"
#include "common/ip.h"
#include "common/json.h"

void warn_about_address(struct write *write, const json_t *value, const struct field_path *path)
{
    const char *text = json_string_value(value);
    struct ip_network address;
    char canonical[INET6_ADDRSTRLEN];
    if (text == NULL || !ip_parse(text, &address)) {
        return;
    }
    ip_unmap(&address);
    ip_format(&address, canonical);
    cleanup(free_char)
    char *where = field_path_text(path);
    if (address.family == AF_INET && strcmp(text, canonical) != 0) {
        write_warn(write,
                   "%s: non-standard IP address \"%s\" will be considered invalid in a future "
                   "Kubernetes release: use \"%s\"",
                   where, text, canonical);
    } else if (strcmp(text, canonical) != 0) {
        write_warn(write, "%s: IPv6 address \"%s\" should be in RFC 5952 canonical format (\"%s\")",
                   where, text, canonical);
    }
}

static char *network_text(const struct ip_network *network)
{
    char text[INET6_ADDRSTRLEN];
    ip_format(network, text);
    return format("%s/%d", text, network->bits);
}

/* "10.0.0.1/8": the address of such a network, as one of its own. */
static struct ip_network host_of(const char *text)
{
    struct ip_network host = {0};
    cleanup(free_char)
    char *address = format("%.*s", (int)strcspn(text, "/"), text);
    ip_parse(address, &host);
    ip_unmap(&host);
    return host;
}

void warn_about_network(struct write *write, const json_t *value, const struct field_path *path)
{
    const char *text = json_string_value(value);
    struct ip_network network;
    if (text == NULL || !ip_network_parse(text, &network)) {
        return;
    }
    struct ip_network host = host_of(text);
    bool odd = ip_unmap(&network) || ip_has_leading_zeros(text);
    bool ambiguous =
        host.family == network.family && memcmp(host.bytes, network.bytes, sizeof host.bytes) != 0;
    cleanup(free_char)
    char *where = field_path_text(path);
    cleanup(free_char)
    char *canonical = network_text(&network);
    cleanup(free_char)
    char *single = network_text(&host);
    if (ambiguous) {
        write_warn(write,
                   "%s: CIDR value \"%s\" is ambiguous in this context (should be \"%s\" or "
                   "\"%s\"?)",
                   where, text, canonical, single);
    }
    if (odd) {
        write_warn(write,
                   "%s: non-standard CIDR value \"%s\" will be considered invalid in a future "
                   "Kubernetes release: use \"%s\"",
                   where, text, canonical);
    }
    if (!ambiguous && !odd && network.family == AF_INET6 && strcmp(text, canonical) != 0) {
        write_warn(write,
                   "%s: IPv6 CIDR value \"%s\" should be in RFC 5952 canonical format (\"%s\")",
                   where, text, canonical);
    }
}

/* ---- services ---- */

static void warn_about_addresses(struct write *write, const json_t *spec, const char *list)
{
    const json_t *addresses = json_object_get(spec, list);
    const struct field_path *path = FIELD(FIELD(NULL, "spec"), list);
    for (size_t i = 0; i < json_array_size(addresses); i++) {
        warn_about_address(write, json_array_get(addresses, i), FIELD_INDEX(path, i));
    }
}

void warn_about_service(struct write *write)
{
    const json_t *spec = json_object_get(write->object, "spec");
    const json_t *annotations = json_path(write->object, "metadata", "annotations");
    if (check_has(annotations, "service.kubernetes.io/topology-aware-hints")) {
        write_warn(write, "annotation service.kubernetes.io/topology-aware-hints is deprecated, "
                          "please use service.kubernetes.io/topology-mode instead");
    }
    warn_about_addresses(write, spec, "clusterIPs");
    if (service_is_headless(spec)) {
        if (check_text(spec, "loadBalancerIP")[0] != '\0') {
            write_warn(write, "spec.loadBalancerIP is ignored for headless services");
        }
        if (json_array_size(json_object_get(spec, "externalIPs")) > 0) {
            write_warn(write, "spec.externalIPs is ignored for headless services");
        }
        if (!check_is(spec, "sessionAffinity", "None")) {
            write_warn(write, "spec.SessionAffinity is ignored for headless services");
        }
    }
    warn_about_addresses(write, spec, "externalIPs");
    warn_about_address(write, json_object_get(spec, "loadBalancerIP"),
                       FIELD(FIELD(NULL, "spec"), "loadBalancerIP"));
    const json_t *sources = json_object_get(spec, "loadBalancerSourceRanges");
    const struct field_path *path = FIELD(FIELD(NULL, "spec"), "loadBalancerSourceRanges");
    for (size_t i = 0; i < json_array_size(sources); i++) {
        warn_about_network(write, json_array_get(sources, i), FIELD_INDEX(path, i));
    }
    bool named = check_is(spec, "type", "ExternalName");
    if (named && json_array_size(json_object_get(spec, "externalIPs")) > 0) {
        write_warn(write, "spec.externalIPs is ignored when spec.type is \"ExternalName\"");
    }
    if (!named && check_text(spec, "externalName")[0] != '\0') {
        write_warn(write, "spec.externalName is ignored when spec.type is not \"ExternalName\"");
    }
}

/* ---- policies and ingresses ---- */

static void warn_about_peers(struct write *write, const json_t *rules, const char *list,
                             const struct field_path *path)
{
    for (size_t i = 0; i < json_array_size(rules); i++) {
        const json_t *peers = json_object_get(json_array_get(rules, i), list);
        const struct field_path *peers_path = FIELD(FIELD_INDEX(path, i), list);
        for (size_t j = 0; j < json_array_size(peers); j++) {
            const json_t *block = json_object_get(json_array_get(peers, j), "ipBlock");
            const json_t *except = json_object_get(block, "except");
            const struct field_path *here = FIELD(FIELD_INDEX(peers_path, j), "ipBlock");
            warn_about_network(write, json_object_get(block, "cidr"), FIELD(here, "cidr"));
            for (size_t k = 0; k < json_array_size(except); k++) {
                warn_about_network(write, json_array_get(except, k),
                                   FIELD_INDEX(FIELD(here, "except"), k));
            }
        }
    }
}

void warn_about_network_policy(struct write *write)
{
    const json_t *spec = json_object_get(write->object, "spec");
    const struct field_path *path = FIELD(NULL, "spec");
    warn_about_peers(write, json_object_get(spec, "ingress"), "from", FIELD(path, "ingress"));
    warn_about_peers(write, json_object_get(spec, "egress"), "to", FIELD(path, "egress"));
}

void warn_about_ingress(struct write *write)
{
    static const char class[] = "kubernetes.io/ingress.class";
    if (check_has(json_path(write->object, "metadata", "annotations"), class)) {
        write_warn(write,
                   "annotation \"%s\" is deprecated, please use 'spec.ingressClassName' instead",
                   class);
    }
}

/* ---- who receives traffic ---- */

void warn_about_endpoints(struct write *write)
{
    static const char *const lists[] = {"addresses", "notReadyAddresses"};
    const json_t *subsets = json_object_get(write->object, "subsets");
    const struct field_path *path = FIELD(NULL, "subsets");
    for (size_t i = 0; i < json_array_size(subsets); i++) {
        for (size_t list = 0; list < array_length(lists); list++) {
            const json_t *addresses = json_object_get(json_array_get(subsets, i), lists[list]);
            const struct field_path *here = FIELD(FIELD_INDEX(path, i), lists[list]);
            for (size_t j = 0; j < json_array_size(addresses); j++) {
                warn_about_address(write, json_object_get(json_array_get(addresses, j), "ip"),
                                   FIELD(FIELD_INDEX(here, j), "ip"));
            }
        }
    }
}

void warn_about_endpoint_slice(struct write *write)
{
    const json_t *endpoints = json_object_get(write->object, "endpoints");
    const char *manager = check_text(json_path(write->object, "metadata", "labels"),
                                     "endpointslice.kubernetes.io/managed-by");
    const struct field_path *path = FIELD(NULL, "endpoints");
    if (write->live == NULL && check_is(write->object, "addressType", "FQDN")) {
        write_warn(write, "spec.addressType: FQDN endpoints are deprecated");
    }
    /* The controllers write addresses as they should be. */
    if (strcmp(manager, "endpointslice-controller.k8s.io") == 0 ||
        strcmp(manager, "endpointslicemirroring-controller.k8s.io") == 0) {
        return;
    }
    for (size_t i = 0; i < json_array_size(endpoints); i++) {
        const json_t *addresses = json_object_get(json_array_get(endpoints, i), "addresses");
        const struct field_path *here = FIELD(FIELD_INDEX(path, i), "addresses");
        for (size_t j = 0; j < json_array_size(addresses); j++) {
            warn_about_address(write, json_array_get(addresses, j), FIELD_INDEX(here, j));
        }
    }
}

void warn_about_node(struct write *write)
{
    const json_t *spec = json_object_get(write->object, "spec");
    const json_t *ranges = json_object_get(spec, "podCIDRs");
    const struct field_path *path = FIELD(FIELD(NULL, "spec"), "podCIDRs");
    if (check_has(spec, "configSource")) {
        write_warn(write, "spec.configSource: the feature is removed");
    }
    if (check_text(spec, "externalID")[0] != '\0') {
        write_warn(write, "spec.externalID: this field is deprecated, and is unused by Kubernetes");
    }
    for (size_t i = 0; i < json_array_size(ranges); i++) {
        warn_about_network(write, json_array_get(ranges, i), FIELD_INDEX(path, i));
    }
}
