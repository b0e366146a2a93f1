// SPDX-License-Identifier: Apache-2.0
/* Containers, of each of the three kinds: names, ports, resources, and what each kind can't have.
 */
#include <ctype.h>
#include <string.h>

#include "apiserver/registry/validation/check.h"
#include "apiserver/registry/validation/pods.h"
#include "apiserver/registry/validation/resources.h"
#include "common/alloc.h"
#include "common/json.h"

const char *const pod_container_lists[] = {"containers", "initContainers", "ephemeralContainers",
                                           NULL};

/* ---- ports ---- */

static void validate_port_number(const json_t *number, const struct field_path *path,
                                 struct field_errors *errors)
{
    if (number != NULL) {
        check_port(number, path, errors);
    }
}

static void validate_ports(const json_t *container, const struct field_path *path,
                           struct field_errors *errors)
{
    const json_t *ports = json_object_get(container, "ports");
    const struct field_path *list = FIELD(path, "ports");
    struct map names = {.borrows_keys = true};
    for (size_t i = 0; i < json_array_size(ports); i++) {
        const json_t *port = json_array_get(ports, i);
        const struct field_path *here = FIELD_INDEX(list, i);
        const char *name = check_text(port, "name");
        if (name[0] != '\0' && map_set(&names, name, &names) != NULL) {
            check_duplicate_text(name, FIELD(here, "name"), errors);
        }
        if (json_get_int(port, "containerPort", 0) == 0) {
            field_error(errors, FIELD_REQUIRED, FIELD(here, "containerPort"), NULL, NULL);
        } else {
            validate_port_number(json_object_get(port, "containerPort"),
                                 FIELD(here, "containerPort"), errors);
        }
        validate_port_number(json_object_get(port, "hostPort"), FIELD(here, "hostPort"), errors);
    }
    map_free(&names, NULL);
}

/* No two may want the same port of the node. */
static void validate_host_ports(const json_t *container, struct map *taken,
                                const struct field_path *path, struct field_errors *errors)
{
    const json_t *ports = json_object_get(container, "ports");
    const struct field_path *list = FIELD(path, "ports");
    for (size_t i = 0; i < json_array_size(ports); i++) {
        const json_t *port = json_array_get(ports, i);
        json_int_t number = json_get_int(port, "hostPort", 0);
        if (number == 0) {
            continue;
        }
        cleanup(free_char)
        char *key = format("%s/%s/%" JSON_INTEGER_FORMAT, check_text(port, "protocol"),
                           check_text(port, "hostIP"), number);
        if (map_set(taken, key, taken) != NULL) {
            check_duplicate_text(key, FIELD(FIELD_INDEX(list, i), "hostPort"), errors);
        }
    }
}

/* On the node's network, a port of a container is that port of the node. */
static void validate_host_network(const struct pod_view *view, const json_t *container,
                                  const struct field_path *path, struct field_errors *errors)
{
    const json_t *ports = json_object_get(container, "ports");
    const struct field_path *list = FIELD(path, "ports");
    for (size_t i = 0; i < json_array_size(ports); i++) {
        const json_t *port = json_array_get(ports, i);
        json_int_t on_node = json_get_int(port, "hostPort", 0);
        if ((pod_view_is_pod(view) || on_node != 0) &&
            on_node != json_get_int(port, "containerPort", 0)) {
            cleanup(json_release)
            json_t *shown = json_integer(on_node);
            field_error(errors, FIELD_INVALID, FIELD(FIELD_INDEX(list, i), "hostPort"), shown,
                        "must match `containerPort` when `hostNetwork` is true");
        }
    }
}

/* ---- resources ---- */

static void validate_resize_policy(const struct pod_view *view, const json_t *container,
                                   const struct field_path *path, struct field_errors *errors)
{
    const json_t *rules = json_object_get(container, "resizePolicy");
    const struct field_path *list = FIELD(path, "resizePolicy");
    struct map seen = MAP_INIT;
    for (size_t i = 0; i < json_array_size(rules); i++) {
        const json_t *rule = json_array_get(rules, i);
        const char *resource = check_text(rule, "resourceName");
        const char *policy = check_text(rule, "restartPolicy");
        if (map_set(&seen, resource, &seen) != NULL) {
            check_duplicate_text(resource, FIELD_INDEX(list, i), errors);
        }
        if (check_is(view->spec, "restartPolicy", "Never") && strcmp(policy, "NotRequired") != 0) {
            check_invalid_text(policy, "must be 'NotRequired' when `restartPolicy` is 'Never'",
                               list, errors);
        }
    }
    map_free(&seen, NULL);
}

/* ---- what all have in common ---- */

static void validate_common(const struct pod_view *view, const json_t *container,
                            const struct field_path *path, struct field_errors *errors)
{
    validate_ports(container, path, errors);
    validate_env(container, path, errors);
    validate_mounts(view, container, path, errors);
    validate_resource_requirements(json_object_get(container, "resources"),
                                   validate_container_resource_name, &view->claims,
                                   FIELD(path, "resources"), errors);
    validate_resize_policy(view, container, path, errors);
    validate_container_security_context(view, container, path, errors);
    const char *image = check_text(container, "image");
    size_t length = strlen(image);
    if (pod_view_is_pod(view) && length > 0 &&
        (isspace((unsigned char)image[0]) || isspace((unsigned char)image[length - 1]))) {
        field_error(errors, FIELD_INVALID, FIELD(path, "image"),
                    json_object_get(container, "image"),
                    "must not have leading or trailing whitespace");
    }
}

static void forbid(const json_t *container, const char *const *fields, const char *why,
                   const struct field_path *path, struct field_errors *errors)
{
    for (; *fields != NULL; fields++) {
        const json_t *value = json_object_get(container, *fields);
        bool empty = json_is_object(value) && json_object_size(value) == 0 &&
                     strcmp(*fields, "resources") == 0; /* A default. */
        if (value != NULL && !empty) {
            field_error(errors, FIELD_FORBIDDEN, FIELD(path, *fields), NULL, "%s", why);
        }
    }
}

/* ---- each kind ---- */

static void validate_regular(const struct pod_view *view, struct map *names,
                             const struct field_path *path, struct field_errors *errors)
{
    static const char *const forbidden[] = {"restartPolicy", NULL};
    const json_t *containers = json_object_get(view->spec, "containers");
    const struct field_path *list = FIELD(path, "containers");
    bool host_network = json_get_bool(view->spec, "hostNetwork", false);
    struct map host_ports = MAP_INIT;
    for (size_t i = 0; i < json_array_size(containers); i++) {
        const json_t *container = json_array_get(containers, i);
        const struct field_path *here = FIELD_INDEX(list, i);
        validate_common(view, container, here, errors);
        validate_probes(view, container, here, errors);
        forbid(container, forbidden, "may not be set for non-init containers", here, errors);
        validate_host_ports(container, &host_ports, here, errors);
        if (host_network) {
            validate_host_network(view, container, here, errors);
        }
        map_set(names, check_text(container, "name"), names);
    }
    map_free(&host_ports, NULL);
}

static void validate_init(const struct pod_view *view, struct map *names,
                          const struct field_path *path, struct field_errors *errors)
{
    static const char *const forbidden[] = {"lifecycle", "livenessProbe", "readinessProbe",
                                            "startupProbe", NULL};
    static const char *const policies[] = {"Always", NULL};
    const json_t *containers = json_object_get(view->spec, "initContainers");
    const struct field_path *list = FIELD(path, "initContainers");
    for (size_t i = 0; i < json_array_size(containers); i++) {
        const json_t *container = json_array_get(containers, i);
        const struct field_path *here = FIELD_INDEX(list, i);
        const char *name = check_text(container, "name");
        const char *policy = json_get_string(container, "restartPolicy");
        struct map host_ports = MAP_INIT; /* They run one by one. */
        validate_common(view, container, here, errors);
        if (policy != NULL && strcmp(policy, "Always") != 0) {
            check_not_supported(policy, policies, FIELD(here, "restartPolicy"), errors);
        }
        if (policy != NULL && strcmp(policy, "Always") == 0) {
            validate_probes(view, container, here, errors);
        } else {
            forbid(container, forbidden,
                   "may not be set for init containers without restartPolicy=Always", here, errors);
        }
        /* Doubles among init containers are found by the schema. */
        if (map_get(names, name) != NULL) {
            check_duplicate_text(name, FIELD(here, "name"), errors);
        }
        validate_host_ports(container, &host_ports, FIELD_INDEX(list, 0), errors);
        map_free(&host_ports, NULL);
    }
    for (size_t i = 0; i < json_array_size(containers); i++) {
        map_set(names, check_text(json_array_get(containers, i), "name"), names);
    }
}

static void validate_sub_paths(const json_t *container, const struct field_path *path,
                               struct field_errors *errors)
{
    static const char *const forbidden[] = {"subPath", "subPathExpr", NULL};
    const json_t *mounts = json_object_get(container, "volumeMounts");
    const struct field_path *list = FIELD(path, "volumeMounts");
    for (size_t i = 0; i < json_array_size(mounts); i++) {
        forbid(json_array_get(mounts, i), forbidden, "cannot be set for an Ephemeral Container",
               FIELD_INDEX(list, i), errors);
    }
}

static void validate_ephemeral(const struct pod_view *view, const struct map *names,
                               const struct field_path *path, struct field_errors *errors)
{
    static const char *const forbidden[] = {
        "lifecycle", "livenessProbe", "ports",        "readinessProbe",     "resizePolicy",
        "resources", "restartPolicy", "startupProbe", "restartPolicyRules", NULL};
    const json_t *containers = json_object_get(view->spec, "ephemeralContainers");
    const struct field_path *list = FIELD(path, "ephemeralContainers");
    for (size_t i = 0; i < json_array_size(containers); i++) {
        const json_t *container = json_array_get(containers, i);
        const struct field_path *here = FIELD_INDEX(list, i);
        const char *name = check_text(container, "name");
        const char *target = check_text(container, "targetContainerName");
        validate_common(view, container, here, errors);
        if (map_get(names, name) != NULL) {
            check_duplicate_text(name, FIELD(here, "name"), errors);
        }
        if (target[0] != '\0' && map_get(names, target) == NULL) {
            field_error(errors, FIELD_NOT_FOUND, FIELD(here, "targetContainerName"),
                        json_object_get(container, "targetContainerName"), NULL);
        }
        forbid(container, forbidden, "cannot be set for an Ephemeral Container", here, errors);
        validate_sub_paths(container, here, errors);
    }
}

void validate_containers(const struct pod_view *view, const struct field_path *path,
                         struct field_errors *errors)
{
    struct map names = {.borrows_keys = true};
    validate_regular(view, &names, path, errors);
    validate_init(view, &names, path, errors);
    validate_ephemeral(view, &names, path, errors);
    map_free(&names, NULL);
}
