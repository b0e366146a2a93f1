// SPDX-License-Identifier: Apache-2.0
/* The arguments of plugins, each checked as upstream checks them. */
#include <inttypes.h>
#include <string.h>

#include "common/alloc.h"
#include "common/json.h"
#include "scheduler/configuration.h"
#include "scheduler/plugin.h"

#define OF_ANY_KIND                                                                                \
    {"apiVersion", JSON_STRING},                                                                   \
    {                                                                                              \
        "kind", JSON_STRING                                                                        \
    }

static char *joined(const char *path, const char *name)
{
    return format("%s.%s", path, name);
}

/* ---- resources ---- */

static bool read_resource(struct weighted_resources *resources, const json_t *json,
                          const char *path, struct error *error)
{
    static const struct configuration_member members[] = {
        {"name", JSON_STRING}, {"weight", JSON_INTEGER}, {NULL, 0}};
    if (!configuration_check(json, path, members, error)) {
        return false;
    }
    const char *name = json_get_string(json, "name");
    int64_t weight = json_get_int(json, "weight", 1);
    if (name == NULL || *name == '\0') {
        return error_bad_request(error, "%s.name: Required value", path);
    }
    if (weight < 1 || weight > 100) {
        return error_bad_request(error,
                                 "%s.weight: Invalid value: %" PRId64
                                 ": resource weight of %s not in valid range [1-100]",
                                 path, weight, name);
    }
    struct weighted_resource *resource = &resources->list[resources->count++];
    *resource = (struct weighted_resource){.kind = RESOURCE_EXTENDED, .weight = weight};
    if (strcmp(name, "cpu") == 0) {
        resource->kind = RESOURCE_CPU;
    } else if (strcmp(name, "memory") == 0) {
        resource->kind = RESOURCE_MEMORY;
    } else if (strcmp(name, "ephemeral-storage") == 0) {
        resource->kind = RESOURCE_EPHEMERAL_STORAGE;
    } else {
        resource->extended = resource_names_find(name);
    }
    return true;
}

/* Without any, those of the default profile stay. */
static bool read_resources(struct weighted_resources *resources, const json_t *list,
                           const char *path, struct error *error)
{
    size_t i;
    const json_t *json;
    if (json_array_size(list) > WEIGHTED_RESOURCES_MAX) {
        return error_bad_request(error, "%s: Too many: %zu: must have at most %d items", path,
                                 json_array_size(list), WEIGHTED_RESOURCES_MAX);
    }
    if (json_array_size(list) > 0) {
        resources->count = 0;
    }
    json_array_foreach (list, i, json) {
        cleanup(free_char)
        char *at = format("%s[%zu]", path, i);
        if (!read_resource(resources, json, at, error)) {
            return false;
        }
    }
    return true;
}

/* ---- NodeResourcesFit ---- */

static bool read_point(struct profile *profile, const json_t *json, const char *path,
                       struct error *error)
{
    static const struct configuration_member members[] = {
        {"utilization", JSON_INTEGER}, {"score", JSON_INTEGER}, {NULL, 0}};
    if (!configuration_check(json, path, members, error) ||
        !scheduler_configuration_check_range(json, path, "utilization", 0, 100, error) ||
        !scheduler_configuration_check_range(json, path, "score", 0, 10, error)) {
        return false;
    }
    struct shape_point point = {json_get_int(json, "utilization", 0),
                                json_get_int(json, "score", 0) * SCORE_MAX / 10};
    if (profile->shape_count > 0 &&
        profile->shape[profile->shape_count - 1].utilization >= point.utilization) {
        return error_bad_request(error,
                                 "%s.utilization: Invalid value: %" PRId64
                                 ": utilization values must be sorted in increasing order",
                                 path, point.utilization);
    }
    profile->shape[profile->shape_count++] = point;
    return true;
}

static bool read_shape(struct profile *profile, const json_t *json, const char *path,
                       struct error *error)
{
    static const struct configuration_member members[] = {{"shape", JSON_ARRAY}, {NULL, 0}};
    const json_t *shape = json_object_get(json, "shape"), *point;
    size_t i;
    if (json_is_object(json) && !configuration_check(json, path, members, error)) {
        return false;
    }
    if (json_array_size(shape) == 0 || json_array_size(shape) > SHAPE_POINTS_MAX) {
        return error_bad_request(
            error, "%s.shape: Required value: at least one point must be specified", path);
    }
    json_array_foreach (shape, i, point) {
        cleanup(free_char)
        char *at = format("%s.shape[%zu]", path, i);
        if (!read_point(profile, point, at, error)) {
            return false;
        }
    }
    return true;
}

static bool read_strategy(struct profile *profile, const json_t *json, const char *path,
                          struct error *error)
{
    static const struct configuration_member members[] = {{"type", JSON_STRING},
                                                          {"resources", JSON_ARRAY},
                                                          {"requestedToCapacityRatio", JSON_OBJECT},
                                                          {NULL, 0}};
    static const char *const names[] = {"LeastAllocated", "MostAllocated",
                                        "RequestedToCapacityRatio"};
    if (!json_is_object(json)) {
        return true;
    }
    cleanup(free_char)
    char *resources = joined(path, "resources");
    cleanup(free_char)
    char *ratio = joined(path, "requestedToCapacityRatio");
    if (!configuration_check(json, path, members, error) ||
        !read_resources(&profile->fit_resources, json_object_get(json, "resources"), resources,
                        error)) {
        return false;
    }
    const char *type = json_get_string(json, "type");
    size_t i = 0;
    while (type != NULL && i < array_length(names) && strcmp(names[i], type) != 0) {
        i++;
    }
    if (i == array_length(names)) {
        return error_bad_request(
            error,
            "%s.type: Unsupported value: \"%s\": supported values: "
            "\"LeastAllocated\", \"MostAllocated\", \"RequestedToCapacityRatio\"",
            path, type);
    }
    profile->strategy = (enum fit_strategy)i;
    return profile->strategy != REQUESTED_TO_CAPACITY_RATIO ||
           read_shape(profile, json_object_get(json, "requestedToCapacityRatio"), ratio, error);
}

static bool read_fit(struct profile *profile, const json_t *json, const char *path,
                     struct error *error)
{
    static const struct configuration_member members[] = {OF_ANY_KIND,
                                                          {"ignoredResources", JSON_ARRAY},
                                                          {"ignoredResourceGroups", JSON_ARRAY},
                                                          {"scoringStrategy", JSON_OBJECT},
                                                          {NULL, 0}};
    cleanup(free_char)
    char *strategy = joined(path, "scoringStrategy");
    profile->ignored_resources = json_object_get(json, "ignoredResources");
    profile->ignored_resource_groups = json_object_get(json, "ignoredResourceGroups");
    return configuration_check(json, path, members, error) &&
           configuration_check_texts(json, path, "ignoredResources", error) &&
           configuration_check_texts(json, path, "ignoredResourceGroups", error) &&
           read_strategy(profile, json_object_get(json, "scoringStrategy"), strategy, error);
}

static bool read_balanced(struct profile *profile, const json_t *json, const char *path,
                          struct error *error)
{
    static const struct configuration_member members[] = {
        OF_ANY_KIND, {"resources", JSON_ARRAY}, {NULL, 0}};
    cleanup(free_char)
    char *resources = joined(path, "resources");
    if (!configuration_check(json, path, members, error) ||
        !read_resources(&profile->balanced_resources, json_object_get(json, "resources"), resources,
                        error)) {
        return false;
    }
    for (size_t i = 0; i < profile->balanced_resources.count; i++) {
        int64_t weight = profile->balanced_resources.list[i].weight;
        if (weight != 1) {
            return error_bad_request(
                error, "%s[%zu].weight: Invalid value: %" PRId64 ": resource weight of must be 1",
                resources, i, weight);
        }
    }
    return true;
}

/* ---- where pods and nodes belong ---- */

static bool read_node_affinity(struct profile *profile, const json_t *json, const char *path,
                               struct error *error)
{
    static const struct configuration_member members[] = {
        OF_ANY_KIND, {"addedAffinity", JSON_OBJECT}, {NULL, 0}};
    static const struct configuration_member of_affinity[] = {
        {"requiredDuringSchedulingIgnoredDuringExecution", JSON_OBJECT},
        {"preferredDuringSchedulingIgnoredDuringExecution", JSON_ARRAY},
        {NULL, 0}};
    cleanup(free_char)
    char *at = joined(path, "addedAffinity");
    profile->added_affinity = json_object_get(json, "addedAffinity");
    return configuration_check(json, path, members, error) &&
           (!json_is_object(profile->added_affinity) ||
            configuration_check(profile->added_affinity, at, of_affinity, error));
}

static bool is_one_of(const char *text, const char *one, const char *other)
{
    return text != NULL && (strcmp(text, one) == 0 || strcmp(text, other) == 0);
}

static bool check_default_constraint(const json_t *json, const char *path, struct error *error)
{
    static const struct configuration_member members[] = {{"maxSkew", JSON_INTEGER},
                                                          {"topologyKey", JSON_STRING},
                                                          {"whenUnsatisfiable", JSON_STRING},
                                                          {"labelSelector", JSON_OBJECT},
                                                          {"minDomains", JSON_INTEGER},
                                                          {"nodeAffinityPolicy", JSON_STRING},
                                                          {"nodeTaintsPolicy", JSON_STRING},
                                                          {"matchLabelKeys", JSON_ARRAY},
                                                          {NULL, 0}};
    if (!configuration_check(json, path, members, error)) {
        return false;
    }
    const char *key = json_get_string(json, "topologyKey"),
               *action = json_get_string(json, "whenUnsatisfiable");
    int64_t skew = json_get_int(json, "maxSkew", 0);
    if (skew <= 0) {
        return error_bad_request(
            error, "%s.maxSkew: Invalid value: %" PRId64 ": not in valid range (0, inf)", path,
            skew);
    }
    if (key == NULL || *key == '\0') {
        return error_bad_request(error, "%s.topologyKey: Required value: can not be empty", path);
    }
    if (!is_one_of(action, "DoNotSchedule", "ScheduleAnyway")) {
        return error_bad_request(error,
                                 "%s.whenUnsatisfiable: Unsupported value: \"%s\": supported "
                                 "values: \"DoNotSchedule\", \"ScheduleAnyway\"",
                                 path, action != NULL ? action : "");
    }
    return json_is_object(json_object_get(json, "labelSelector"))
               ? error_bad_request(error,
                                   "%s.labelSelector: Forbidden: constraint must not define a "
                                   "selector, as they deduced for each pod",
                                   path)
               : true;
}

static bool read_spread(struct profile *profile, const json_t *json, const char *path,
                        struct error *error)
{
    static const struct configuration_member members[] = {OF_ANY_KIND,
                                                          {"defaultConstraints", JSON_ARRAY},
                                                          {"defaultingType", JSON_STRING},
                                                          {NULL, 0}};
    if (!configuration_check(json, path, members, error)) {
        return false;
    }
    const char *type = json_get_string(json, "defaultingType");
    const json_t *list = json_object_get(json, "defaultConstraints"), *constraint;
    if (type != NULL && !is_one_of(type, "System", "List")) {
        return error_bad_request(error,
                                 "%s.defaultingType: Unsupported value: \"%s\": supported values: "
                                 "\"System\", \"List\"",
                                 path, type);
    }
    bool is_list = type != NULL && strcmp(type, "List") == 0;
    if (!is_list && json_array_size(list) > 0) {
        return error_bad_request(error,
                                 "%s.defaultingType: Invalid value: \"System\": when "
                                 ".defaultConstraints are not empty",
                                 path);
    }
    size_t i;
    json_array_foreach (list, i, constraint) {
        cleanup(free_char)
        char *at = format("%s.defaultConstraints[%zu]", path, i);
        if (!check_default_constraint(constraint, at, error)) {
            return false;
        }
    }
    profile->default_constraints = is_list ? list : NULL;
    profile->spreads_by_list = is_list;
    return true;
}

static bool read_pod_affinity(struct profile *profile, const json_t *json, const char *path,
                              struct error *error)
{
    static const struct configuration_member members[] = {
        OF_ANY_KIND,
        {"hardPodAffinityWeight", JSON_INTEGER},
        {"ignorePreferredTermsOfExistingPods", JSON_TRUE},
        {NULL, 0}};
    profile->hard_pod_affinity_weight = json_get_int(json, "hardPodAffinityWeight", 1);
    profile->ignore_preferred_terms_of_existing_pods =
        json_get_bool(json, "ignorePreferredTermsOfExistingPods", false);
    return configuration_check(json, path, members, error) &&
           scheduler_configuration_check_range(json, path, "hardPodAffinityWeight", 0, 100, error);
}

/* ---- others ---- */

static bool read_preemption(struct profile *profile, const json_t *json, const char *path,
                            struct error *error)
{
    static const struct configuration_member members[] = {
        OF_ANY_KIND,
        {"minCandidateNodesPercentage", JSON_INTEGER},
        {"minCandidateNodesAbsolute", JSON_INTEGER},
        {NULL, 0}};
    profile->min_candidate_nodes_percentage = json_get_int(json, "minCandidateNodesPercentage", 10);
    profile->min_candidate_nodes_absolute = json_get_int(json, "minCandidateNodesAbsolute", 100);
    if (!configuration_check(json, path, members, error) ||
        !scheduler_configuration_check_range(json, path, "minCandidateNodesPercentage", 0, 100,
                                             error) ||
        !scheduler_configuration_check_range(json, path, "minCandidateNodesAbsolute", 0, INT32_MAX,
                                             error)) {
        return false;
    }
    return profile->min_candidate_nodes_percentage > 0 ||
           profile->min_candidate_nodes_absolute > 0 ||
           error_bad_request(error,
                             "%s: Invalid value: cannot have both minCandidateNodesPercentage and "
                             "minCandidateNodesAbsolute be zero",
                             path);
}

static bool read_volume_binding(struct profile *profile, const json_t *json, const char *path,
                                struct error *error)
{
    static const struct configuration_member members[] = {
        OF_ANY_KIND, {"bindTimeoutSeconds", JSON_INTEGER}, {"shape", JSON_ARRAY}, {NULL, 0}};
    profile->bind_timeout_s = json_get_int(json, "bindTimeoutSeconds", 600);
    return configuration_check(json, path, members, error) &&
           scheduler_configuration_check_range(json, path, "bindTimeoutSeconds", 0, INT32_MAX,
                                               error);
}

static const struct {
    const char *plugin, *kind;
    bool (*read)(struct profile *profile, const json_t *json, const char *path,
                 struct error *error);
} readers[] = {
    {"DefaultPreemption", "DefaultPreemptionArgs", read_preemption},
    {"InterPodAffinity", "InterPodAffinityArgs", read_pod_affinity},
    {"NodeAffinity", "NodeAffinityArgs", read_node_affinity},
    {"NodeResourcesBalancedAllocation", "NodeResourcesBalancedAllocationArgs", read_balanced},
    {"NodeResourcesFit", "NodeResourcesFitArgs", read_fit},
    {"PodTopologySpread", "PodTopologySpreadArgs", read_spread},
    {"VolumeBinding", "VolumeBindingArgs", read_volume_binding},
};

static bool read_arguments(struct profile *profile, const char *plugin, const json_t *json,
                           const char *path, struct error *error)
{
    for (size_t i = 0; i < array_length(readers); i++) {
        if (strcmp(readers[i].plugin, plugin) != 0) {
            continue;
        }
        const char *kind = json_get_string(json, "kind");
        return kind == NULL || strcmp(kind, readers[i].kind) == 0
                   ? readers[i].read(profile, json, path, error)
                   : error_bad_request(error, "%s.kind: Invalid value: \"%s\": must be %s", path,
                                       kind, readers[i].kind);
    }
    return scheduler_configuration_knows(plugin)
               ? error_bad_request(error, "%s: Forbidden: %s takes no arguments", path, plugin)
               : error_bad_request(error, "%s: plugin \"%s\" does not exist", path, plugin);
}

bool scheduler_configuration_arguments(struct profile *profile, const json_t *list,
                                       const char *path, struct error *error)
{
    static const struct configuration_member members[] = {
        {"name", JSON_STRING}, {"args", JSON_OBJECT}, {NULL, 0}};
    size_t i;
    const json_t *entry;
    json_array_foreach (list, i, entry) {
        cleanup(free_char)
        char *at = format("%s[%zu]", path, i);
        cleanup(free_char)
        char *arguments = joined(at, "args");
        if (!configuration_check(entry, at, members, error)) {
            return false;
        }
        const char *name = json_get_string(entry, "name");
        if (name == NULL) {
            return error_bad_request(error, "%s.name: Required value", at);
        }
        for (size_t n = 0; n < i; n++) {
            if (strcmp(json_get_string(json_array_get(list, n), "name"), name) == 0) {
                return error_bad_request(error, "%s: Duplicate value: \"%s\"", at, name);
            }
        }
        const json_t *json = json_object_get(entry, "args");
        if (json_is_object(json) && !read_arguments(profile, name, json, arguments, error)) {
            return false;
        }
    }
    return true;
}
