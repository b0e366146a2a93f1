// SPDX-License-Identifier: Apache-2.0
/* What a node's agent, a scheduler or a controller writes of the state of a pod. */
#include <string.h>

#include "apiserver/registry/validation/check.h"
#include "apiserver/registry/validation/networking.h"
#include "apiserver/registry/validation/pods.h"
#include "common/alloc.h"
#include "common/ip.h"
#include "common/json.h"
#include "common/names.h"

static const struct field_path status_path = {.name = "status"};

/* ---- conditions and names ---- */

static void validate_conditions(const json_t *conditions, struct field_errors *errors)
{
    static const char *const own[] = {"PodScheduled", "Ready", "Initialized", NULL};
    const struct field_path *path = FIELD(&status_path, "conditions");
    for (size_t i = 0; i < json_array_size(conditions); i++) {
        const json_t *condition = json_array_get(conditions, i);
        const struct field_path *here = FIELD_INDEX(path, i);
        const json_t *generation = json_object_get(condition, "observedGeneration");
        const char *type = check_text(condition, "type");
        if (json_integer_value(generation) < 0) {
            field_error(errors, FIELD_INVALID, FIELD(here, "observedGeneration"), generation,
                        "must be a non-negative integer");
        }
        if (!check_one_of(type, own)) {
            cleanup(free_char)
            char *message = names_check_qualified(type);
            check_invalid_text(type, message, FIELD(here, "Type"), errors);
        }
    }
}

static void validate_nomination(const json_t *pod, const json_t *live, struct field_errors *errors)
{
    const json_t *status = json_object_get(pod, "status");
    const char *now = check_text(status, "nominatedNodeName");
    const char *before = check_text(json_object_get(live, "status"), "nominatedNodeName");
    if (now[0] != '\0' && strcmp(now, before) != 0) {
        check_invalid_text(now, names_check_dns_subdomain(now),
                           FIELD(&status_path, "nominatedNodeName"), errors);
    }
}

/* ---- containers ---- */

static bool has_ended(const json_t *status)
{
    return json_path(status, "state", "terminated") != NULL;
}

static const json_t *named(const json_t *list, const char *name)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (check_is(json_array_get(list, i), "name", name)) {
            return json_array_get(list, i);
        }
    }
    return NULL;
}

/* Whether the container is started again after this end. */
static bool starts_again(const json_t *spec, const json_t *container, const json_t *ended)
{
    const char *own = check_text(container, "restartPolicy");
    const char *policy = own[0] != '\0' ? own : check_text(spec, "restartPolicy");
    json_int_t code = json_get_int(json_path(ended, "state", "terminated"), "exitCode", 0);
    return strcmp(policy, "Never") != 0 && (strcmp(policy, "OnFailure") != 0 || code != 0);
}

static bool may_start(const json_t *spec, const char *list, const json_t *ended)
{
    const json_t *container = named(json_object_get(spec, list), check_text(ended, "name"));
    return strcmp(list, "ephemeralContainers") != 0 && starts_again(spec, container, ended);
}

/* What has ended stays so unless it is started again. */
static void validate_states(const json_t *pod, const json_t *live, const char *statuses,
                            const char *list, struct field_errors *errors)
{
    const json_t *now = json_path(pod, "status", statuses);
    const json_t *before = json_path(live, "status", statuses);
    const json_t *spec = json_object_get(live, "spec");
    const struct field_path *path = FIELD(&status_path, statuses);
    for (size_t i = 0; i < json_array_size(before); i++) {
        const json_t *old = json_array_get(before, i);
        const json_t *new = named(now, check_text(old, "name"));
        if (has_ended(old) && new != NULL && !has_ended(new) && !may_start(spec, list, old)) {
            field_error(errors, FIELD_FORBIDDEN, FIELD(FIELD_INDEX(path, i), "state"), NULL,
                        "may not be transitioned to non-terminated state");
        }
    }
}

/* ---- addresses ---- */

/* 'member' is podIPs or hostIPs: two at most, of different families. What was there may stay. */
static void validate_addresses(const json_t *pod, const json_t *live, const char *member,
                               struct field_errors *errors)
{
    const json_t *list = json_path(pod, "status", member);
    if (check_equal(list, json_path(live, "status", member))) {
        return;
    }
    const struct field_path *path = FIELD(&status_path, member);
    size_t count = json_array_size(list), valid = 0, sixes = 0;
    for (size_t i = 0; i < count; i++) {
        const json_t *ip = json_object_get(json_array_get(list, i), "ip");
        const char *text = json_string_value(ip) ? json_string_value(ip) : "";
        const char *message = names_check_ip(text);
        struct ip_network address;
        check_invalid_text(text, message, FIELD_INDEX(path, i), errors);
        if (message == NULL && ip_parse(text, &address)) {
            valid++;
            sixes += strchr(text, ':') != NULL;
        }
    }
    if (count > 1 && valid == count && (count > 2 || sixes != 1)) {
        field_error(errors, FIELD_INVALID, path, list,
                    "may specify no more than one IP for each IP family");
    }
}

/* ---- claims ---- */

static void validate_claims(const json_t *pod, struct field_errors *errors)
{
    const json_t *claims = json_path(pod, "status", "resourceClaimStatuses");
    const json_t *known = json_path(pod, "spec", "resourceClaims");
    const struct field_path *path = FIELD(&status_path, "resourceClaimStatuses");
    for (size_t i = 0; i < json_array_size(claims); i++) {
        const char *name = check_text(json_array_get(claims, i), "name");
        if (named(known, name) == NULL) {
            check_invalid_text(name, "must match the name of an entry in `spec.resourceClaims`",
                               FIELD(FIELD_INDEX(path, i), "name"), errors);
        }
    }
}

/* ---- the whole ---- */

void validate_pod_status(const json_t *pod, const json_t *live, struct field_errors *errors)
{
    const json_t *status = json_object_get(pod, "status");
    const json_t *generation = json_object_get(status, "observedGeneration");
    const char *class = check_text(status, "qosClass");
    const char *class_before = check_text(json_object_get(live, "status"), "qosClass");
    validate_conditions(json_object_get(status, "conditions"), errors);
    validate_nomination(pod, live, errors);
    if (json_integer_value(generation) < 0) {
        field_error(errors, FIELD_INVALID, FIELD(&status_path, "observedGeneration"), generation,
                    "must be a non-negative integer");
    }
    if (strcmp(class, class_before) != 0) {
        check_invalid_text(class, "field is immutable", FIELD(&status_path, "qosClass"), errors);
    }
    validate_states(pod, live, "containerStatuses", "containers", errors);
    validate_states(pod, live, "initContainerStatuses", "initContainers", errors);
    validate_states(pod, live, "ephemeralContainerStatuses", "ephemeralContainers", errors);
    validate_claims(pod, errors);
    validate_addresses(pod, live, "podIPs", errors);
    validate_addresses(pod, live, "hostIPs", errors);
}
