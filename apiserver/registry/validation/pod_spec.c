// SPDX-License-Identifier: Apache-2.0
/* The spec of a pod as a whole, and what only pods or only templates must obey. */
#include <string.h>

#include "apiserver/registry/kinds/defaults.h"
#include "apiserver/registry/validation/check.h"
#include "apiserver/registry/validation/pod_update.h"
#include "apiserver/registry/validation/pods.h"
#include "apiserver/registry/validation/resources.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/names.h"
#include "common/quantity.h"

/* ---- names ---- */

/* What resolvers of Linux can take. */
enum { name_servers_max = 3, searches_max = 32, search_characters_max = 2048 };

/* A domain, with underscores and a dot at its end if it likes; "." is the root. */
static void validate_search(const json_t *search, const struct field_path *path,
                            struct field_errors *errors)
{
    cleanup(free_char)
    char *text = duplicate(json_string_value(search));
    size_t length = strlen(text);
    if (strcmp(text, ".") == 0) {
        return;
    }
    if (length > 0 && text[length - 1] == '.') {
        text[length - 1] = '\0';
    }
    cleanup(free_char)
    char *without = duplicate(text);
    for (char *at = without; *at != '\0'; at++) {
        *at = *at == '_' ? 'a' : *at; /* Stands wherever a letter can. */
    }
    if (names_check_dns_subdomain(without) != NULL) {
        check_invalid_text(
            text,
            length > 253 ? "must be no more than 253 bytes"
                         : "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric "
                           "characters, '-', '_', or '.', and must start and end with an "
                           "alphanumeric character or an underscore (e.g. 'example.com', regex "
                           "used for validation is '[a-z0-9_]([-_a-z0-9]*[a-z0-9_])?(\\."
                           "[a-z0-9_]([-_a-z0-9]*[a-z0-9_])?)*')",
            path, errors);
    }
}

static void validate_searches(const json_t *searches, const struct field_path *path,
                              struct field_errors *errors)
{
    size_t count = json_array_size(searches), characters = count ? count - 1 : 0;
    for (size_t i = 0; i < count; i++) {
        characters += json_string_length(json_array_get(searches, i));
        validate_search(json_array_get(searches, i), FIELD_INDEX(path, i), errors);
    }
    if (count > searches_max) {
        field_error(errors, FIELD_INVALID, path, searches,
                    "must not have more than %d search paths", searches_max);
    }
    if (characters > search_characters_max) {
        field_error(errors, FIELD_INVALID, path, searches,
                    "must not have more than %d characters (including spaces) in the search list",
                    search_characters_max);
    }
}

static void validate_dns(const json_t *spec, const struct field_path *path,
                         struct field_errors *errors)
{
    const json_t *config = json_object_get(spec, "dnsConfig");
    const json_t *servers = json_object_get(config, "nameservers");
    const json_t *options = json_object_get(config, "options");
    const struct field_path *here = FIELD(path, "dnsConfig");
    const struct field_path *servers_path = FIELD(here, "nameservers");
    const struct field_path *options_path = FIELD(here, "options");
    if (check_is(spec, "dnsPolicy", "None") && json_array_size(servers) == 0) {
        field_error(errors, FIELD_REQUIRED, config ? servers_path : here, NULL,
                    config ? "must provide at least one DNS nameserver when `dnsPolicy` is None"
                           : "must provide `dnsConfig` when `dnsPolicy` is None");
        return;
    }
    if (json_array_size(servers) > name_servers_max) {
        field_error(errors, FIELD_INVALID, servers_path, servers,
                    "must not have more than %d nameservers", name_servers_max);
    }
    for (size_t i = 0; i < json_array_size(servers); i++) {
        const json_t *server = json_array_get(servers, i);
        check_message(server, names_check_ip(json_string_value(server)),
                      FIELD_INDEX(servers_path, i), errors);
    }
    validate_searches(json_object_get(config, "searches"), FIELD(here, "searches"), errors);
    for (size_t i = 0; i < json_array_size(options); i++) {
        if (check_text(json_array_get(options, i), "name")[0] == '\0') {
            field_error(errors, FIELD_REQUIRED, FIELD_INDEX(options_path, i), NULL,
                        "must not be empty");
        }
    }
}

/* ---- claims and resources of the pod ---- */

static void validate_claims(struct pod_view *view, const struct field_path *path,
                            struct field_errors *errors)
{
    const json_t *claims = json_object_get(view->spec, "resourceClaims");
    const struct field_path *list = FIELD(path, "resourceClaims");
    for (size_t i = 0; i < json_array_size(claims); i++) {
        json_t *claim = json_array_get(claims, i);
        const json_t *name = json_object_get(claim, "resourceClaimName");
        const json_t *template = json_object_get(claim, "resourceClaimTemplateName");
        const struct field_path *here = FIELD_INDEX(list, i);
        map_set(&view->claims, check_text(claim, "name"), claim);
        if ((name != NULL) == (template != NULL)) {
            field_error(errors, FIELD_INVALID, here, claim, "%s",
                        name ? "at most one of `resourceClaimName` or "
                               "`resourceClaimTemplateName` may be specified"
                             : "must specify one of: `resourceClaimName`, "
                               "`resourceClaimTemplateName`");
        }
        check_subdomain(name, FIELD(here, "resourceClaimName"), errors);
        check_subdomain(template, FIELD(here, "resourceClaimTemplateName"), errors);
    }
}

static bool read_quantity(const json_t *amounts, const char *name, struct quantity *quantity)
{
    const char *text = json_get_string(amounts, name);
    *quantity = (struct quantity){0};
    return text != NULL && quantity_parse(text, quantity);
}

/* What the containers ask for together must fit into what the pod asks for, and the limit of each
 * into the pod's. */
static void validate_fit(const json_t *spec, const struct field_path *path,
                         struct field_errors *errors)
{
    static const char *const resources[] = {"cpu", "memory"};
    const json_t *requests = json_path(spec, "resources", "requests");
    const json_t *limits = json_path(spec, "resources", "limits");
    const json_t *containers = json_object_get(spec, "containers");
    for (size_t at = 0; at < array_length(resources); at++) {
        struct quantity together, most, limit;
        char text[QUANTITY_SIZE], has[QUANTITY_SIZE];
        read_quantity(requests, resources[at], &most);
        if (pod_effective_amount(spec, "requests", resources[at], &together) &&
            quantity_compare(&together, &most) > 0) {
            quantity_format(&together, text);
            quantity_format(&most, has);
            cleanup(free_char)
            char *message =
                format("must be greater than or equal to aggregate container requests of %s", text);
            check_invalid_text(has, message, FIELD_KEY(FIELD(path, "requests"), resources[at]),
                               errors);
        }
        bool limited = read_quantity(limits, resources[at], &most);
        for (size_t i = 0; limited && i < json_array_size(containers); i++) {
            const json_t *own = json_path(json_array_get(containers, i), "resources", "limits");
            const struct field_path *here =
                FIELD_KEY(FIELD_INDEX(FIELD(path, "containers"), i), resources[at]);
            if (read_quantity(own, resources[at], &limit) && quantity_compare(&limit, &most) > 0) {
                field_error(errors, FIELD_INVALID, FIELD(here, "limits"),
                            json_object_get(own, resources[at]),
                            "must be less than or equal to pod limits of %s",
                            check_text(limits, resources[at]));
            }
        }
    }
}

static void validate_pod_resources(const struct pod_view *view, const struct field_path *path,
                                   struct field_errors *errors)
{
    const json_t *resources = json_object_get(view->spec, "resources");
    const json_t *overhead = json_object_get(view->spec, "overhead");
    const struct field_path *here = FIELD(path, "resources");
    if (resources != NULL) {
        if (check_has(resources, "claims")) {
            field_error(errors, FIELD_FORBIDDEN, FIELD(here, "claims"), NULL,
                        "claims cannot be set for Resources at pod-level");
        }
        validate_resource_requirements(resources, validate_pod_resource_name, &view->claims, here,
                                       errors);
        validate_fit(view->spec, here, errors);
    }
    if (overhead != NULL) {
        cleanup(json_release)
        json_t *as_limits = json_pack("{s:O}", "limits", overhead);
        validate_resource_requirements(as_limits, validate_container_resource_name, NULL,
                                       FIELD(path, "overhead"), errors);
    }
}

/* ---- the whole ---- */

static void validate_spec(const json_t *spec, const json_t *metadata, const struct field_path *path,
                          struct field_errors *errors)
{
    const json_t *host_users = json_object_get(spec, "hostUsers");
    struct pod_view view = {
        .spec = spec,
        .metadata = metadata,
        .host_users = !json_is_false(host_users),
        .grace_period = json_object_get(spec, "terminationGracePeriodSeconds"),
        .volumes = {.borrows_keys = true},
        .claims = {.borrows_keys = true},
    };
    validate_volumes(&view, path, errors);
    validate_claims(&view, path, errors);
    validate_containers(&view, path, errors);
    validate_pod_resources(&view, path, errors);
    validate_pod_security_context(&view, path, errors);
    validate_scheduling(spec, pod_view_is_pod(&view), path, errors);
    validate_dns(spec, path, errors);
    validate_operating_system(spec, path, errors);
    map_free(&view.volumes, NULL);
    map_free(&view.claims, NULL);
}

/* ---- templates ---- */

void validate_pod_template_metadata(const json_t *template, const struct field_path *path,
                                    struct field_errors *errors)
{
    const json_t *metadata = json_object_get(template, "metadata");
    const json_t *annotations = json_object_get(metadata, "annotations");
    const struct field_path *annotations_path = FIELD(path, "annotations");
    names_validate_labels(json_object_get(metadata, "labels"), FIELD(path, "labels"), errors);
    names_validate_annotations(annotations, annotations_path, errors);
    validate_pod_annotations(annotations, json_object_get(template, "spec"), annotations_path,
                             errors);
}

void validate_pod_template(const json_t *template, const struct field_path *path,
                           struct field_errors *errors)
{
    const json_t *spec = json_object_get(template, "spec");
    const struct field_path *here = FIELD(path, "spec");
    validate_pod_template_metadata(template, path, errors);
    validate_spec(spec, NULL, here, errors);
    if (json_array_size(json_object_get(spec, "ephemeralContainers")) > 0) {
        field_error(errors, FIELD_FORBIDDEN, FIELD(here, "ephemeralContainers"), NULL,
                    "ephemeral containers not allowed in pod template");
    }
}

/* ---- pods ---- */

static void validate_any(const json_t *pod, struct field_errors *errors)
{
    const json_t *metadata = json_object_get(pod, "metadata");
    const json_t *spec = json_object_get(pod, "spec");
    validate_pod_annotations(json_object_get(metadata, "annotations"), spec,
                             FIELD(FIELD(NULL, "metadata"), "annotations"), errors);
    validate_spec(spec, metadata, FIELD(NULL, "spec"), errors);
}

static void validate_create(const json_t *pod, struct field_errors *errors)
{
    const json_t *spec = json_object_get(pod, "spec");
    const struct field_path *path = FIELD(NULL, "spec");
    if (json_array_size(json_object_get(spec, "ephemeralContainers")) > 0) {
        field_error(errors, FIELD_FORBIDDEN, FIELD(path, "ephemeralContainers"), NULL,
                    "cannot be set on create");
    }
    if (check_text(spec, "nodeName")[0] != '\0' &&
        json_array_size(json_object_get(spec, "schedulingGates")) > 0) {
        field_error(errors, FIELD_FORBIDDEN, FIELD(path, "nodeName"), NULL,
                    "cannot be set until all schedulingGates have been cleared");
    }
    validate_profile_annotations_match(pod, errors);
}

void validate_pod(const json_t *pod, const json_t *live, struct field_errors *errors)
{
    validate_any(pod, errors);
    if (live == NULL) {
        validate_create(pod, errors);
    } else {
        validate_pod_update(json_object_get(pod, "spec"), json_object_get(live, "spec"), errors);
    }
}

void validate_pod_ephemeral_containers(const json_t *pod, const json_t *live,
                                       struct field_errors *errors)
{
    validate_any(pod, errors);
    validate_ephemeral_update(pod, live, errors);
}

void validate_pod_resize(const json_t *pod, const json_t *live, struct field_errors *errors)
{
    validate_any(pod, errors);
    validate_resize_update(pod, live, errors);
}
