// SPDX-License-Identifier: Apache-2.0
#include "scheduler/volume_plan.h"

#include <string.h>

#include "common/alloc.h"
#include "common/json.h"

/* ---- may the pod be tried ---- */

static char *refuse_claim(const struct cycle *cycle, const struct pod_claim *named)
{
    const struct claim *claim = named->claim;
    if (!claim->exists) {
        return named->is_ephemeral ? format("waiting for ephemeral volume controller to create the "
                                            "persistentvolumeclaim \"%s\"",
                                            claim->name)
                                   : format("persistentvolumeclaim \"%s\" not found", claim->name);
    }
    if (claim->is_lost) {
        return format("persistentvolumeclaim \"%s\" bound to non-existent persistentvolume \"%s\"",
                      claim->name, claim->volume_name);
    }
    if (claim->is_deleting) {
        return format("persistentvolumeclaim \"%s\" is being deleted", claim->name);
    }
    if (named->is_ephemeral && strcmp(claim->owner_uid, cycle->uid) != 0) {
        return format("PVC %s was not created for pod %s (pod is not owner)", claim->key,
                      cycle->key);
    }
    return NULL;
}

static bool is_immediate(const struct volumes *volumes, const struct claim *claim)
{
    return !claim_is_bound(claim) &&
           (claim->volume_name[0] != '\0' || !volumes_claim_is_late(volumes, claim));
}

/* ---- which volumes a claim may get ---- */

static bool is_pre_bound(const struct volume *volume)
{
    return volume->assumed != NULL || volume->claim_key[0] != '\0';
}

/* But for the node. */
static bool suits(const struct volume *volume, const struct claim *claim)
{
    const struct volume_shape *has = &volume->shape, *wanted = &claim->shape;
    if (volume->is_deleting || strcmp(has->class_name, wanted->class_name) != 0 ||
        quantity_compare(&has->size, &wanted->size) < 0 || has->is_block != wanted->is_block) {
        return false;
    }
    if (is_pre_bound(volume)) {
        return volume_is_for(volume, claim);
    }
    return volume->is_available && (wanted->modes & ~has->modes) == 0 &&
           strcmp(has->attributes_class, wanted->attributes_class) == 0 && !claim->is_unmatchable &&
           (claim->selector == NULL || selector_matches_object(claim->selector, volume->labels));
}

/* Who names the claim comes first, then the smallest. */
static int compare_volumes(const void *a, const void *b)
{
    const struct volume *volume = *(struct volume *const *)a, *other = *(struct volume *const *)b;
    if (is_pre_bound(volume) != is_pre_bound(other)) {
        return is_pre_bound(volume) ? -1 : 1;
    }
    int order = quantity_compare(&volume->shape.size, &other->shape.size);
    return order != 0 ? order : strcmp(volume->name, other->name);
}

static void find_volumes(const struct volumes *volumes, struct volume_search *search)
{
    size_t capacity = 0;
    const char *name;
    void *volume;
    for (size_t at = 0; map_next(&volumes->volumes, &at, &name, &volume);) {
        if (suits(volume, search->claim)) {
            search->volumes =
                grow(search->volumes, search->count, &capacity, sizeof(struct volume *));
            search->volumes[search->count++] = volume;
        }
    }
    if (search->count > 1) {
        qsort(search->volumes, search->count, sizeof(struct volume *), compare_volumes);
    }
}

void volume_searches_clear(struct pod_volumes *pod_volumes)
{
    for (size_t i = 0; i < pod_volumes->search_count; i++) {
        free(pod_volumes->searches[i].volumes);
    }
    free(steal(pod_volumes->searches));
    pod_volumes->search_count = 0;
}

static int compare_searches(const void *a, const void *b)
{
    const struct volume_search *search = a, *other = b;
    return quantity_compare(&search->claim->shape.size, &other->claim->shape.size);
}

static const char *selected_node(const struct claim *claim)
{
    return claim->assumed_node != NULL ? claim->assumed_node : claim->selected_node;
}

/* For the small claims first, so that these don't take what larger ones need. */
static void search_all(const struct volumes *volumes, struct pod_volumes *pod_volumes)
{
    volume_searches_clear(pod_volumes);
    for (size_t i = 0; i < pod_volumes->claim_count; i++) {
        struct claim *claim = pod_volumes->claims[i].claim;
        if (claim_is_bound(claim)) {
            continue;
        }
        if (pod_volumes->searches == NULL) {
            pod_volumes->searches =
                allocate_zero(pod_volumes->claim_count, sizeof *pod_volumes->searches);
        }
        struct volume_search *search = &pod_volumes->searches[pod_volumes->search_count++];
        search->claim = claim;
        if (selected_node(claim)[0] == '\0') {
            find_volumes(volumes, search);
        }
    }
    if (pod_volumes->search_count > 1) {
        qsort(pod_volumes->searches, pod_volumes->search_count, sizeof *pod_volumes->searches,
              compare_searches);
    }
}

char *volume_plan_prepare(const struct cycle *cycle)
{
    struct pod_volumes *pod_volumes = cycle->class->volumes;
    struct volumes *volumes = cycle->cache->volumes;
    if (pod_volumes == NULL) {
        return NULL;
    }
    pod_volumes_know(volumes, pod_volumes);
    for (size_t i = 0; i < pod_volumes->claim_count; i++) {
        char *why = refuse_claim(cycle, &pod_volumes->claims[i]);
        if (why != NULL) {
            return why;
        }
    }
    for (size_t i = 0; i < pod_volumes->claim_count; i++) {
        if (is_immediate(volumes, pod_volumes->claims[i].claim)) {
            return duplicate("pod has unbound immediate PersistentVolumeClaims");
        }
    }
    search_all(volumes, pod_volumes);
    return NULL;
}

/* ---- a node ---- */

static unsigned judge_bound(const struct volumes *volumes, const struct pod_volumes *pod_volumes,
                            const struct node *node)
{
    for (size_t i = 0; i < pod_volumes->claim_count; i++) {
        const struct claim *claim = pod_volumes->claims[i].claim;
        if (!claim_is_bound(claim)) {
            continue;
        }
        const struct volume *volume = map_get(&volumes->volumes, claim->volume_name);
        if (volume == NULL) {
            return REASON_NO_VOLUME;
        }
        if (!volume_reaches(volume, node)) {
            return REASON_NODE_CONFLICT;
        }
    }
    return 0;
}

/* One of the terms holds: each names labels, and the values that are allowed. */
static bool allows_topology(const json_t *terms, const struct node *node)
{
    size_t i, n;
    const json_t *term, *expression;
    json_array_foreach (terms, i, term) {
        const json_t *expressions = json_object_get(term, "matchLabelExpressions");
        bool all = json_array_size(expressions) > 0;
        json_array_foreach (expressions, n, expression) {
            const char *key = json_get_string(expression, "key");
            const char *value = key != NULL ? json_get_string(node->labels, key) : NULL;
            all = all && value != NULL &&
                  json_array_has_string(json_object_get(expression, "values"), value);
        }
        if (all) {
            return true;
        }
    }
    return json_array_size(terms) == 0;
}

static bool has_room(const struct volumes *volumes, const struct storage_class *class,
                     const struct claim *claim, const struct node *node)
{
    const char *key;
    void *value;
    if (map_get(&volumes->drivers, class->provisioner) == NULL) {
        return true;
    }
    int64_t size = quantity_value(&claim->shape.size);
    for (size_t at = 0; map_next(&volumes->capacities, &at, &key, &value);) {
        const struct storage_capacity *capacity = value;
        if (capacity->limit >= size && strcmp(capacity->class_name, class->name) == 0 &&
            capacity->topology != NULL &&
            selector_matches_object(capacity->topology, node->labels)) {
            return true;
        }
    }
    return false;
}

static unsigned judge_making(const struct volumes *volumes, const struct claim *claim,
                             const struct node *node)
{
    const struct storage_class *class = map_get(&volumes->classes, claim->shape.class_name);
    if (class == NULL || class->provisioner[0] == '\0' ||
        strcmp(class->provisioner, "kubernetes.io/no-provisioner") == 0 ||
        !allows_topology(class->topologies, node)) {
        return REASON_BIND_CONFLICT;
    }
    return has_room(volumes, class, claim, node) ? 0 : REASON_NO_SPACE;
}

static void add_to_plan(struct volume_plan *plan, struct claim *claim, const char *volume_name)
{
    if (plan != NULL) {
        plan->list[plan->count++] =
            (struct planned_claim){claim, volume_name != NULL ? duplicate(volume_name) : NULL};
    }
}

/* Found for one of the searches before. */
static bool is_taken(struct volume *const *chosen, size_t count, const struct volume *volume)
{
    for (size_t i = 0; i < count; i++) {
        if (chosen[i] == volume) {
            return true;
        }
    }
    return false;
}

static struct volume *choose_volume(const struct volume_search *search,
                                    struct volume *const *chosen, size_t chosen_count,
                                    const struct node *node)
{
    for (size_t i = 0; i < search->count; i++) {
        struct volume *volume = search->volumes[i];
        if (is_taken(chosen, chosen_count, volume)) {
            continue;
        }
        if (volume_reaches(volume, node)) {
            return volume;
        }
        if (is_pre_bound(volume)) {
            return NULL;
        }
    }
    return NULL;
}

static bool is_selected_elsewhere(const struct pod_volumes *pod_volumes, const struct node *node)
{
    for (size_t i = 0; i < pod_volumes->search_count; i++) {
        const char *selected = selected_node(pod_volumes->searches[i].claim);
        if (selected[0] != '\0' && strcmp(selected, node->name) != 0) {
            return true;
        }
    }
    return false;
}

static unsigned judge_late(const struct volumes *volumes, const struct pod_volumes *pod_volumes,
                           const struct node *node, struct volume_plan *plan)
{
    size_t count = 0;
    unsigned reasons = 0;
    if (is_selected_elsewhere(pod_volumes, node)) {
        return REASON_BIND_CONFLICT;
    }
    struct volume **chosen =
        allocate_zero(pod_volumes->search_count, sizeof(struct volume *)); /* A handful. */
    for (size_t i = 0; i < pod_volumes->search_count && reasons == 0; i++) {
        const struct volume_search *search = &pod_volumes->searches[i];
        struct volume *volume = choose_volume(search, chosen, count, node);
        if (volume != NULL) {
            chosen[count++] = volume;
        } else {
            reasons = judge_making(volumes, search->claim, node);
        }
        add_to_plan(plan, search->claim, volume != NULL ? volume->name : NULL);
    }
    free(chosen);
    return reasons;
}

unsigned volume_plan_judge(const struct cycle *cycle, const struct node *node,
                           struct volume_plan *plan)
{
    const struct pod_volumes *pod_volumes = cycle->class->volumes;
    const struct volumes *volumes = cycle->cache->volumes;
    if (pod_volumes == NULL) {
        return 0;
    }
    unsigned reasons = judge_bound(volumes, pod_volumes, node);
    if (pod_volumes->search_count > 0) {
        reasons |= judge_late(volumes, pod_volumes, node, plan);
    }
    return reasons;
}

/* ---- plans ---- */

static void plan_free(struct volume_plan *plan)
{
    for (size_t i = 0; i < plan->count; i++) {
        free(plan->list[i].volume_name);
    }
    free(plan->list);
    free(plan->pod_key);
    free(plan);
}

static void assume(const struct volumes *volumes, const struct volume_plan *plan,
                   const struct node *node)
{
    for (size_t i = 0; i < plan->count; i++) {
        const struct planned_claim *planned = &plan->list[i];
        if (planned->volume_name == NULL) {
            free(planned->claim->assumed_node);
            planned->claim->assumed_node = duplicate(node->name);
            continue;
        }
        struct volume *volume = map_get(&volumes->volumes, planned->volume_name);
        if (volume != NULL) {
            volume->assumed = planned->claim;
        }
    }
}

bool volume_plan_reserve(const struct cycle *cycle, const struct node *node)
{
    struct pod_volumes *pod_volumes = cycle->class->volumes;
    struct volumes *volumes = cycle->cache->volumes;
    if (pod_volumes == NULL || pod_volumes->search_count == 0) {
        return true;
    }
    struct volume_plan *former = volume_plan_take(volumes, cycle->key);
    if (former != NULL) {
        volume_plan_end(volumes, former);
    }
    struct volume_plan *plan = allocate_struct(struct volume_plan);
    plan->pod_key = duplicate(cycle->key);
    plan->list = allocate_zero(pod_volumes->search_count, sizeof *plan->list);
    if (volume_plan_judge(cycle, node, plan) != 0) {
        plan_free(plan);
        return false;
    }
    assume(volumes, plan, node);
    map_set(&volumes->plans, plan->pod_key, plan);
    return true;
}

struct volume_plan *volume_plan_take(struct volumes *volumes, const char *pod_key)
{
    return map_remove(&volumes->plans, pod_key);
}

void volume_plan_end(struct volumes *volumes, struct volume_plan *plan)
{
    for (size_t i = 0; i < plan->count; i++) {
        const struct planned_claim *planned = &plan->list[i];
        struct volume *volume =
            planned->volume_name != NULL ? map_get(&volumes->volumes, planned->volume_name) : NULL;
        if (planned->volume_name == NULL) {
            free(steal(planned->claim->assumed_node));
        } else if (volume != NULL && volume->assumed == planned->claim) {
            volume->assumed = NULL;
        }
    }
    plan_free(plan);
}

void volume_plans_clear(struct volumes *volumes)
{
    const char *key;
    void *plan;
    for (size_t at = 0; map_next(&volumes->plans, &at, &key, &plan);) {
        plan_free(plan);
    }
    map_free(&volumes->plans, NULL);
}
