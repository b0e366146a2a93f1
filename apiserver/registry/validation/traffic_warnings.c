// SPDX-License-Identifier: Apache-2.0
/* Warnings about services: what has no effect, and addresses that are not in canonical form. */
#include <string.h>

#include "apiserver/registry/kinds/service_families.h"
#include "apiserver/registry/validation/check.h"
#include "apiserver/registry/validation/warnings.h"
#include "common/alloc.h"
#include "common/ip.h"
#include "common/json.h"

static void warn_about_address(struct write *write, const json_t *value,
                               const struct field_path *path)
{
    const char *text = json_string_value(value);
    struct ip_network address;
    char canonical[INET6_ADDRSTRLEN];
    if (text == NULL || !ip_parse(text, &address)) {
        return;
    }
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
}
