// SPDX-License-Identifier: Apache-2.0
#include "apiserver/registry/validation/resources.h"

#include <string.h>

#include "apiserver/registry/validation/check.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/names.h"
#include "common/quantity.h"

/* ---- names ---- */

static const char huge_pages[] = "hugepages-";

static const char *const container_resources[] = {"cpu", "memory", "ephemeral-storage", NULL};

/* What can stand in quotas besides. */
static const char *const other_resources[] = {"requests.cpu",
                                              "requests.memory",
                                              "requests.ephemeral-storage",
                                              "limits.cpu",
                                              "limits.memory",
                                              "limits.ephemeral-storage",
                                              "pods",
                                              "resourcequotas",
                                              "services",
                                              "replicationcontrollers",
                                              "secrets",
                                              "configmaps",
                                              "persistentvolumeclaims",
                                              "storage",
                                              "requests.storage",
                                              "services.nodeports",
                                              "services.loadbalancers",
                                              NULL};

static const char *const integer_resources[] = {"pods",
                                                "resourcequotas",
                                                "services",
                                                "replicationcontrollers",
                                                "secrets",
                                                "configmaps",
                                                "persistentvolumeclaims",
                                                "services.nodeports",
                                                "services.loadbalancers",
                                                NULL};

bool resource_is_native(const char *name)
{
    return strchr(name, '/') == NULL || strstr(name, "kubernetes.io/") != NULL;
}

bool resource_is_huge_page(const char *name)
{
    return check_starts_with(name, huge_pages);
}

bool resource_is_huge_page_request(const char *name)
{
    return check_starts_with(name, "requests.hugepages-");
}

static bool is_extended(const char *name)
{
    if (resource_is_native(name) || check_starts_with(name, "requests.")) {
        return false;
    }
    cleanup(free_char)
    char *in_quota = format("requests.%s", name);
    cleanup(free_char)
    char *message = names_check_qualified(in_quota);
    return message == NULL;
}

bool resource_is_integer(const char *name)
{
    return check_one_of(name, integer_resources) || is_extended(name);
}

bool resource_may_be_overcommitted(const char *name)
{
    return resource_is_native(name) && !resource_is_huge_page(name);
}

bool validate_resource_name(const char *name, const struct field_path *path,
                            struct field_errors *errors)
{
    cleanup(free_char)
    char *message = names_check_qualified(name);
    if (message == NULL && strchr(name, '/') == NULL && !check_one_of(name, container_resources) &&
        !check_one_of(name, other_resources) && !resource_is_huge_page(name) &&
        !resource_is_huge_page_request(name)) {
        message = duplicate("must be a standard resource type or fully qualified");
    }
    check_invalid_text(name, message, path, errors);
    return message == NULL;
}

void validate_container_resource_name(const char *name, const struct field_path *path,
                                      struct field_errors *errors)
{
    validate_resource_name(name, path, errors);
    if (strchr(name, '/') == NULL) {
        if (!check_one_of(name, container_resources) && !resource_is_huge_page(name)) {
            check_invalid_text(name, "must be a standard resource for containers", path, errors);
        }
    } else if (!resource_is_native(name) && !is_extended(name)) {
        check_invalid_text(name, "doesn't follow extended resource name standard", path, errors);
    }
}

void validate_pod_resource_name(const char *name, const struct field_path *path,
                                struct field_errors *errors)
{
    static const char *const supported[] = {"cpu", "hugepages-", "memory", NULL};
    if (validate_resource_name(name, path, errors) && strcmp(name, "cpu") != 0 &&
        strcmp(name, "memory") != 0 && !resource_is_huge_page(name)) {
        check_not_supported(name, supported, path, errors);
    }
}

/* ---- amounts ---- */

struct quantity resource_amount(const json_t *amount)
{
    struct quantity quantity = {0};
    const char *text = json_string_value(amount);
    return text != NULL && quantity_parse(text, &quantity) ? quantity : (struct quantity){0};
}

void validate_amount(const char *name, const json_t *amount, const struct field_path *path,
                     struct field_errors *errors)
{
    struct quantity quantity = resource_amount(amount);
    if (quantity.nano < 0) {
        field_error(errors, FIELD_INVALID, path, amount, "must be greater than or equal to 0");
    }
    if (resource_is_integer(name) && quantity_milli_value(&quantity) % 1000 != 0) {
        field_error(errors, FIELD_INVALID, path, amount, "must be an integer");
    }
}

/* Of "hugepages-2Mi" there can be whole pages only. */
static void validate_huge_pages(const char *name, const json_t *amount,
                                const struct field_path *path, struct field_errors *errors)
{
    if (!resource_is_huge_page(name)) {
        return;
    }
    struct quantity page, quantity = resource_amount(amount);
    if (!quantity_parse(name + strlen(huge_pages), &page) || page.nano <= 0 ||
        quantity.nano % page.nano != 0) {
        field_error(errors, FIELD_INVALID, path, amount,
                    "%s is not positive integer multiple of %s", json_string_value(amount), name);
    }
}

/* What a list of amounts holds that another rule asks about. */
struct contents {
    bool huge_pages, cpu_or_memory;
};

static void validate_amounts(const json_t *amounts, resource_name_check check_name,
                             struct contents *contents, const struct field_path *path,
                             struct field_errors *errors)
{
    const char *name;
    json_t *amount;
    json_object_foreach ((json_t *)amounts, name, amount) {
        const struct field_path *here = FIELD_KEY(path, name);
        check_name(name, here, errors);
        validate_amount(name, amount, here, errors);
        validate_huge_pages(name, amount, here, errors);
        contents->huge_pages = contents->huge_pages || resource_is_huge_page(name);
        contents->cpu_or_memory =
            contents->cpu_or_memory || strcmp(name, "cpu") == 0 || strcmp(name, "memory") == 0;
    }
}

static void validate_request(const char *name, const json_t *request, const json_t *limits,
                             const struct field_path *path, struct field_errors *errors)
{
    const json_t *limit = json_object_get(limits, name);
    const struct field_path *requests_path = FIELD(path, "requests");
    if (limit == NULL) {
        if (!resource_may_be_overcommitted(name)) {
            field_error(errors, FIELD_REQUIRED, FIELD(path, "limits"), NULL,
                        "Limit must be set for non overcommitable resources");
        }
        return;
    }
    struct quantity wanted = resource_amount(request), most = resource_amount(limit);
    int order = quantity_compare(&wanted, &most);
    if (order != 0 && !resource_may_be_overcommitted(name)) {
        field_error(errors, FIELD_INVALID, requests_path, request,
                    "must be equal to %s limit of %s", name, json_string_value(limit));
    } else if (order > 0) {
        field_error(errors, FIELD_INVALID, requests_path, request,
                    "must be less than or equal to %s limit of %s", name, json_string_value(limit));
    }
}

/* ---- claims ---- */

static char *claims_detail(const struct map *claims)
{
    struct buffer text = BUFFER_INIT;
    buffer_add_text(&text, "must be one of the names in pod.spec.resourceClaims");
    if (claims == NULL || claims->count == 0) {
        buffer_add_text(&text, " which is empty");
        return buffer_steal(&text);
    }
    cleanup(json_release)
    json_t *names = json_object(); /* For their order. */
    const char *name;
    void *claim;
    for (size_t at = 0; map_next(claims, &at, &name, &claim);) {
        json_object_set_new(names, name, json_null());
    }
    cleanup(free_char)
    char *sorted = json_dumps(names, JSON_SORT_KEYS | JSON_COMPACT);
    cleanup(json_release)
    json_t *in_order = json_loads(sorted, 0, NULL);
    const char *separator = ": ";
    json_t *value;
    json_object_foreach (in_order, name, value) {
        buffer_addf(&text, "%s%s", separator, name);
        separator = ", ";
    }
    return buffer_steal(&text);
}

static void validate_claims(const json_t *list, const struct map *claims,
                            const struct field_path *path, struct field_errors *errors)
{
    struct map seen = MAP_INIT; /* "claim/request", and "claim/" for all of one. */
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *claim = json_array_get(list, i);
        const char *name = check_text(claim, "name"), *request = check_text(claim, "request");
        const struct field_path *here = FIELD_INDEX(path, i);
        cleanup(free_char)
        char *all = format("%s/", name);
        cleanup(free_char)
        char *key = format("%s/%s", name, request);
        if (name[0] == '\0') {
            continue; /* Reported where it is missing. */
        }
        check_label(json_object_get(claim, "request"), FIELD(here, "request"), errors);
        if (map_get(&seen, all) != NULL) {
            check_duplicate_text(name, here, errors);
        } else if (map_set(&seen, key, &seen) != NULL) {
            check_duplicate_text(key, here, errors);
        }
        if (claims == NULL || map_get(claims, name) == NULL) {
            cleanup(free_char)
            char *detail = claims_detail(claims);
            field_error(errors, FIELD_NOT_FOUND, here, json_object_get(claim, "name"), "%s",
                        detail);
        }
    }
    map_free(&seen, NULL);
}

void validate_resource_requirements(const json_t *requirements, resource_name_check check_name,
                                    const struct map *claims, const struct field_path *path,
                                    struct field_errors *errors)
{
    const json_t *limits = json_object_get(requirements, "limits");
    const json_t *requests = json_object_get(requirements, "requests");
    struct contents contents = {0};
    validate_amounts(limits, check_name, &contents, FIELD(path, "limits"), errors);
    validate_amounts(requests, check_name, &contents, FIELD(path, "requests"), errors);
    const char *name;
    json_t *request;
    json_object_foreach ((json_t *)requests, name, request) {
        validate_request(name, request, limits, path, errors);
    }
    if (contents.huge_pages && !contents.cpu_or_memory) {
        field_error(errors, FIELD_FORBIDDEN, path, NULL, "HugePages require cpu or memory");
    }
    validate_claims(json_object_get(requirements, "claims"), claims, FIELD(path, "claims"), errors);
}
