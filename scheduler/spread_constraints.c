// SPDX-License-Identifier: Apache-2.0
#include "scheduler/spread_constraints.h"

#include <string.h>

#include "common/alloc.h"
#include "common/json.h"
#include "common/node_match.h"
#include "common/selector.h"
#include "scheduler/profile.h"

/* ---- parsing ---- */

/* The pod's labels of these keys, as far as it has them: pods must agree in them to count. */
static json_t *labels_of_keys(const json_t *keys, const json_t *labels)
{
    json_t *found = json_object();
    size_t i;
    const json_t *key;
    json_array_foreach (keys, i, key) {
        json_t *value = json_object_get(labels, json_string_value(key));
        if (value != NULL) {
            json_object_set(found, json_string_value(key), value);
        }
    }
    return found;
}

/* Without a selector no pod counts, and with an empty one none but the pod itself, as upstream has
 * it. */
static void find_group(struct node_cache *cache, const struct pod_class *class, const json_t *json,
                       struct spread_constraint *constraint)
{
    cleanup(json_release)
    json_t *agreed = labels_of_keys(json_object_get(json, "matchLabelKeys"), class->labels);
    const json_t *label_selector = json_object_get(json, "labelSelector");
    struct selector *selector = selector_from_object(label_selector, NULL);
    if (selector == NULL) {
        return; /* Broken; it can't have been stored. */
    }
    bool is_everything = selector_is_everything(selector) && json_object_size(agreed) == 0;
    constraint->matches_self = selector_matches_object(selector, class->labels);
    if (is_everything || !json_is_object(label_selector)) {
        selector_free(selector);
        return;
    }
    struct selector **selectors = allocate_zero(2, sizeof(struct selector *));
    selectors[0] = selector;
    selectors[1] = selector_from_map(agreed);
    cleanup(free_char)
    char *selected = json_text(label_selector);
    cleanup(free_char)
    char *agreed_text = json_text(agreed);
    cleanup(free_char)
    char *key = format("%s\f%s\f%s", class->namespace, selected, agreed_text);
    constraint->group = node_cache_group(cache, class->namespace, key, selectors, 2);
    constraint->group->awaited += constraint->is_required;
}

/* A constraint of the profile is about the pods among which the class is to be spread. */
static void share_group(struct pod_class *class, struct spread_constraint *constraint)
{
    constraint->group = class->group;
    constraint->group->references++;
    constraint->group->awaited += constraint->is_required;
    for (size_t i = 0; i < class->group_count; i++) {
        constraint->matches_self = constraint->matches_self || class->groups[i] == class->group;
    }
}

static bool honors(const json_t *json, const char *policy, const char *otherwise)
{
    const char *text = json_get_string(json, policy);
    return strcmp(text != NULL ? text : otherwise, "Honor") == 0;
}

static void parse(const json_t *json, struct spread_constraint *constraint)
{
    const char *key = json_get_string(json, "topologyKey");
    const char *action = json_get_string(json, "whenUnsatisfiable");
    constraint->topology_key = key != NULL ? key : "";
    constraint->is_of_nodes = strcmp(constraint->topology_key, "kubernetes.io/hostname") == 0;
    constraint->is_required = action == NULL || strcmp(action, "ScheduleAnyway") != 0;
    constraint->max_skew = json_get_int(json, "maxSkew", 1);
    constraint->min_domains = json_get_int(json, "minDomains", 1);
    constraint->honors_affinity = honors(json, "nodeAffinityPolicy", "Honor");
    constraint->honors_taints = honors(json, "nodeTaintsPolicy", "Ignore");
}

struct spread_constraints *spread_constraints_of(struct node_cache *cache, struct pod_class *class)
{
    const json_t *list = json_object_get(class->spec, "topologySpreadConstraints");
    bool is_own = json_array_size(list) > 0;
    if (!is_own && class->group != NULL) {
        list = profile_of(class)->default_constraints;
    }
    size_t count = json_array_size(list);
    if (class->spread == NULL && count > 0) {
        node_cache_know_class(cache, class);
        class->spread =
            allocate_zero(1, sizeof *class->spread + count * sizeof *class->spread->list);
        class->spread->count = count;
        for (size_t i = 0; i < count; i++) {
            struct spread_constraint *constraint = &class->spread->list[i];
            parse(json_array_get(list, i), constraint);
            if (is_own) {
                find_group(cache, class, json_array_get(list, i), constraint);
            } else {
                share_group(class, constraint);
            }
        }
    }
    return class->spread;
}

/* ---- life ---- */

static void rest(struct spread_constraint *constraint)
{
    free(steal(constraint->places));
    constraint->place_count = 0;
    free(steal(constraint->pods));
    map_free(&constraint->domains, NULL);
    constraint->domains = MAP_INIT;
}

void spread_constraints_rest(struct spread_constraints *constraints)
{
    for (size_t i = 0; constraints != NULL && i < constraints->count; i++) {
        rest(&constraints->list[i]);
    }
}

void spread_constraints_free(struct node_cache *cache, struct spread_constraints *constraints)
{
    spread_constraints_rest(constraints);
    for (size_t i = 0; constraints != NULL && i < constraints->count; i++) {
        struct spread_group *group = constraints->list[i].group;
        if (group != NULL) {
            group->awaited -= constraints->list[i].is_required;
            node_cache_group_unref(cache, group);
        }
    }
    free(constraints);
}

/* ---- domains ---- */

static int32_t domain_of(struct spread_constraint *constraint, const char *value)
{
    uintptr_t number = (uintptr_t)map_get(&constraint->domains, value);
    if (number == 0) {
        number = constraint->domains.count + 1;
        map_set(&constraint->domains, value, (void *)number);
    }
    return (int32_t)number - 1;
}

static bool has_all_keys(const struct pod_class *class, bool is_required, const struct node *node)
{
    for (size_t i = 0; i < class->spread->count; i++) {
        const struct spread_constraint *other = &class->spread->list[i];
        if (other->is_required == is_required &&
            json_get_string(node->labels, other->topology_key) == NULL) {
            return false;
        }
    }
    return true;
}

/* The constraint's policies include the node. */
static bool is_included(const struct pod_class *class, const struct spread_constraint *constraint,
                        const struct node *node)
{
    const json_t *spec = class->spec;
    if (constraint->honors_affinity &&
        !node_match_required(json_object_get(spec, "nodeSelector"),
                             json_path(spec, "affinity", "nodeAffinity"), node->name,
                             node->labels)) {
        return false;
    }
    return !constraint->honors_taints ||
           node_match_untolerated(json_object_get(spec, "tolerations"), node->taints, "NoSchedule",
                                  "NoExecute") == NULL;
}

static void find_place(const struct pod_class *class, struct spread_constraint *constraint,
                       const struct node *node)
{
    struct spread_place *place = &constraint->places[node->index];
    if (place->node_generation != node->generation) {
        const char *value = json_get_string(node->labels, constraint->topology_key);
        place->node_generation = node->generation;
        place->domain = value != NULL ? domain_of(constraint, value) : -1;
        place->has_all_keys = has_all_keys(class, constraint->is_required, node);
        place->counts = place->has_all_keys && is_included(class, constraint, node);
    }
}

/* Domains keep their numbers after their last node is gone, until these are too many. */
static void find_places(const struct node_cache *cache, const struct pod_class *class,
                        struct spread_constraint *constraint)
{
    size_t slots = cache->node_slots;
    if (constraint->domains.count > 2 * slots + 64) {
        rest(constraint);
    }
    if (constraint->place_count < slots) {
        size_t count = slots + slots / 2;
        constraint->places = reallocate(constraint->places, count * sizeof *constraint->places);
        memset(constraint->places + constraint->place_count, 0,
               (count - constraint->place_count) * sizeof *constraint->places);
        constraint->place_count = count;
    }
    for (size_t i = 0; i < slots; i++) {
        if (cache->nodes[i] != NULL && cache->nodes[i]->exists) {
            find_place(class, constraint, cache->nodes[i]);
        }
    }
}

static void find_least(struct spread_constraint *constraint)
{
    int64_t least = INT64_MAX, present = 0;
    for (size_t i = 0; i < constraint->domains.count; i++) {
        if (constraint->pods[i] >= 0) {
            present++;
            least = constraint->pods[i] < least ? constraint->pods[i] : least;
        }
    }
    constraint->least = present == 0 || present < constraint->min_domains ? 0 : least;
}

void spread_constraint_count(const struct node_cache *cache, const struct pod_class *class,
                             struct spread_constraint *constraint)
{
    find_places(cache, class, constraint);
    size_t domains = constraint->domains.count;
    constraint->pods = reallocate(constraint->pods, (domains + 1) * sizeof *constraint->pods);
    for (size_t i = 0; i < domains; i++) {
        constraint->pods[i] = -1;
    }
    for (size_t i = 0; i < cache->node_slots; i++) {
        const struct node *node = cache->nodes[i];
        if (node != NULL && node->exists && constraint->places[i].counts) {
            int64_t *pods = &constraint->pods[constraint->places[i].domain];
            *pods = (*pods > 0 ? *pods : 0) + spread_group_pods(constraint->group, node);
        }
    }
    find_least(constraint);
}

void spread_constraint_imagine(struct spread_constraint *constraint, const struct placed_pod *pod,
                               int change)
{
    const struct spread_place *place = &constraint->places[pod->node->index];
    const struct pod_class *class = pod->class;
    for (size_t i = 0; place->counts && i < class->group_count; i++) {
        if (class->groups[i] == constraint->group) {
            int64_t *pods = &constraint->pods[place->domain];
            bool was_least = *pods == constraint->least;
            *pods += change;
            if (was_least || *pods < constraint->least) {
                find_least(constraint);
            }
            return;
        }
    }
}
