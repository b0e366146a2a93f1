// SPDX-License-Identifier: Apache-2.0
#include "scheduler/affinity.h"

#include <string.h>

#include "common/alloc.h"
#include "common/buffer.h"
#include "common/json.h"
#include "common/selector.h"

/* ---- terms ---- */

static void term_clear(struct affinity_term *term)
{
    json_decref(term->namespaces);
    selector_free(term->namespace_selector);
    selector_free(term->selector);
}

/* Without namespaces and without a selector of them, the pod's own is meant. */
static json_t *namespaces_of(const json_t *json, const struct pod_class *class)
{
    json_t *list = json_object_get(json, "namespaces");
    if (json_array_size(list) == 0 && !json_is_object(json_object_get(json, "namespaceSelector"))) {
        return json_pack("[s]", class->namespace);
    }
    return list != NULL ? json_incref(list) : json_array();
}

static struct affinity_term parse_term(const json_t *json, const struct pod_class *class)
{
    const json_t *selector = json_object_get(json, "namespaceSelector");
    return (struct affinity_term){
        .namespaces = namespaces_of(json, class),
        .namespace_selector =
            json_is_object(selector) ? selector_from_object(selector, NULL) : NULL,
        .selector = selector_from_object(json_object_get(json, "labelSelector"), NULL),
    };
}

static void add_text(struct buffer *key, const json_t *json)
{
    cleanup(free_char)
    char *text = json_is_null(json) || json == NULL ? duplicate("") : json_text(json);
    buffer_addf(key, "%s\n", text);
}

static void add_term_key(struct buffer *key, const json_t *json, const struct pod_class *class)
{
    cleanup(json_release)
    json_t *namespaces = namespaces_of(json, class);
    add_text(key, namespaces);
    add_text(key, json_object_get(json, "namespaceSelector"));
    add_text(key, json_object_get(json, "labelSelector"));
}

static bool term_selects(const struct node_cache *cache, const struct affinity_term *term,
                         const struct pod_class *class)
{
    bool in_namespace = json_array_has_string(term->namespaces, class->namespace) ||
                        (term->namespace_selector != NULL &&
                         selector_matches_object(term->namespace_selector,
                                                 map_get(&cache->namespaces, class->namespace)));
    return in_namespace && term->selector != NULL &&
           selector_matches_object(term->selector, class->labels);
}

/* ---- classes in sets ---- */

bool affinity_has_class(const struct affinity_set *set, const struct pod_class *class)
{
    for (size_t i = 0; i < class->set_count; i++) {
        if (class->sets[i] == set) {
            return true;
        }
    }
    return false;
}

static void join_if_selected(const struct node_cache *cache, struct affinity_set *set,
                             struct pod_class *class)
{
    for (size_t i = 0; i < set->term_count; i++) {
        if (!term_selects(cache, &set->terms[i], class)) {
            return;
        }
    }
    class->sets =
        grow(class->sets, class->set_count, &class->set_capacity, sizeof(struct affinity_set *));
    class->sets[class->set_count++] = set;
}

static void leave(struct pod_class *class, void *set)
{
    for (size_t i = 0; i < class->set_count; i++) {
        if (class->sets[i] == set) {
            class->sets[i] = class->sets[--class->set_count];
            return;
        }
    }
}

struct joining {
    const struct node_cache *cache;
    struct affinity_set *set;
    size_t members; /* Classes in the set. */
};

static void offer(struct pod_class *class, void *argument)
{
    struct joining *joining = argument;
    if (class->is_known) {
        size_t before = class->set_count;
        join_if_selected(joining->cache, joining->set, class);
        joining->members += class->set_count - before;
    }
}

/* ---- counting ---- */

static void count(struct tally *tally, const struct affinity_counts *counts,
                  const struct node *node, int64_t change)
{
    int32_t domain = topology_domain(counts->topology, node->index);
    if (domain >= 0) {
        tally_add(tally, domain, change);
    }
}

static void count_use(const struct affinity_use *use, const struct node *node, int sign)
{
    struct affinity_counts *counts = use->counts;
    struct tally *tally = use->kind == AFFINITY_REQUIRES  ? &counts->requires
                          : use->kind == AFFINITY_FORBIDS ? &counts->forbids
                          : use->kind == AFFINITY_PREFERS ? &counts->prefers
                                                          : NULL;
    if (tally != NULL) {
        count(tally, counts, node, use->weight * sign);
    }
}

void affinity_count_pod(const struct placed_pod *placed, int sign)
{
    const struct pod_class *class = placed->class;
    for (size_t i = 0; i < class->set_count; i++) {
        for (size_t n = 0; n < class->sets[i]->count; n++) {
            struct affinity_counts *counts = class->sets[i]->counts[n];
            count(&counts->members, counts, placed->node, sign);
        }
    }
    for (size_t i = 0; class->affinity != NULL && i < class->affinity->count; i++) {
        count_use(&class->affinity->list[i], placed->node, sign);
    }
}

static void count_members(const struct node_cache *cache, const struct affinity_set *set,
                          struct affinity_counts *counts)
{
    for (size_t i = 0; i < cache->node_slots; i++) {
        const struct node *node = cache->nodes[i];
        const struct placed_pod *pod = node != NULL ? node->pods : NULL;
        for (; pod != NULL; pod = pod->next) {
            if (affinity_has_class(set, pod->class)) {
                count(&counts->members, counts, node, 1);
            }
        }
    }
}

/* ---- topologies ---- */

static struct topology *topology_ref(struct node_cache *cache, const char *key)
{
    struct topology *topology = map_get(&cache->topologies, key);
    if (topology == NULL) {
        topology = topology_new(key);
        map_set(&cache->topologies, key, topology);
        for (size_t i = 0; i < cache->node_slots; i++) {
            if (cache->nodes[i] != NULL) {
                topology_update(topology, cache->nodes[i]);
            }
        }
    }
    topology->references++;
    return topology;
}

static void topology_unref(struct node_cache *cache, struct topology *topology)
{
    if (--topology->references == 0) {
        map_remove(&cache->topologies, topology->key);
        topology_free(topology);
    }
}

static bool is_outdated(const struct node_cache *cache, const struct node *node)
{
    const char *key;
    void *topology;
    for (size_t at = 0; map_next(&cache->topologies, &at, &key, &topology);) {
        if (topology_is_outdated(topology, node)) {
            return true;
        }
    }
    return false;
}

void affinity_node_changed(struct node_cache *cache, const struct node *node)
{
    const char *key;
    void *topology;
    if (!is_outdated(cache, node)) {
        return;
    }
    for (const struct placed_pod *pod = node->pods; pod != NULL; pod = pod->next) {
        affinity_count_pod(pod, -1);
    }
    for (size_t at = 0; map_next(&cache->topologies, &at, &key, &topology);) {
        topology_update(topology, node);
    }
    for (const struct placed_pod *pod = node->pods; pod != NULL; pod = pod->next) {
        affinity_count_pod(pod, 1);
    }
}

/* ---- sets ---- */

static struct affinity_counts *counts_of(struct node_cache *cache, struct affinity_set *set,
                                         const char *topology_key)
{
    for (size_t i = 0; i < set->count; i++) {
        if (strcmp(set->counts[i]->topology->key, topology_key) == 0) {
            set->counts[i]->references++;
            return set->counts[i];
        }
    }
    struct affinity_counts *counts = allocate_struct(struct affinity_counts);
    counts->references = 1;
    counts->topology = topology_ref(cache, topology_key);
    count_members(cache, set, counts);
    set->counts = grow(set->counts, set->count, &set->capacity, sizeof(struct affinity_counts *));
    set->counts[set->count++] = counts;
    return counts;
}

static void counts_unref(struct node_cache *cache, struct affinity_set *set,
                         struct affinity_counts *counts)
{
    if (--counts->references > 0) {
        return;
    }
    for (size_t i = 0; i < set->count; i++) {
        if (set->counts[i] == counts) {
            set->counts[i] = set->counts[--set->count];
            break;
        }
    }
    topology_unref(cache, counts->topology);
    tally_clear(&counts->members);
    tally_clear(&counts->requires);
    tally_clear(&counts->forbids);
    tally_clear(&counts->prefers);
    free(counts);
}

/* The set of these terms, each a PodAffinityTerm; the caller's reference. */
static struct affinity_set *set_of(struct node_cache *cache, const struct pod_class *class,
                                   const json_t *const *terms, size_t count)
{
    cleanup(buffer_free)
    struct buffer key = BUFFER_INIT;
    for (size_t i = 0; i < count; i++) {
        add_term_key(&key, terms[i], class);
    }
    struct affinity_set *set = map_get(&cache->affinity_sets, buffer_text(&key));
    if (set == NULL) {
        set = allocate_struct(struct affinity_set);
        set->key = duplicate(buffer_text(&key));
        set->terms = allocate_zero(count, sizeof *set->terms);
        set->term_count = count;
        for (size_t i = 0; i < count; i++) {
            set->terms[i] = parse_term(terms[i], class);
        }
        map_set(&cache->affinity_sets, set->key, set);
        struct joining joining = {cache, set, 0};
        pod_classes_each(offer, &joining);
    }
    set->references++;
    return set;
}

static void set_free(struct affinity_set *set)
{
    for (size_t i = 0; i < set->term_count; i++) {
        term_clear(&set->terms[i]);
    }
    free(set->terms);
    free(set->counts);
    free(set->key);
    free(set);
}

static void set_unref(struct node_cache *cache, struct affinity_set *set)
{
    if (--set->references == 0) {
        pod_classes_each(leave, set);
        map_remove(&cache->affinity_sets, set->key);
        set_free(set);
    }
}

/* ---- the terms of a class ---- */

static void add_use(struct node_cache *cache, struct pod_class *class, enum affinity_kind kind,
                    int64_t weight, struct affinity_set *set, const json_t *term)
{
    const char *topology_key = json_get_string(term, "topologyKey");
    struct class_affinity *affinity = class->affinity;
    affinity->list =
        grow(affinity->list, affinity->count, &affinity->capacity, sizeof *affinity->list);
    affinity->list[affinity->count++] = (struct affinity_use){
        kind, weight, set, counts_of(cache, set, topology_key != NULL ? topology_key : "")};
    set->awaited += kind == AFFINITY_ASKS;
}

static void add_required(struct node_cache *cache, struct pod_class *class, const json_t *list,
                         enum affinity_kind kind)
{
    size_t i;
    json_t *term;
    json_array_foreach (list, i, term) {
        const json_t *const terms[] = {term};
        add_use(cache, class, kind, 1, set_of(cache, class, terms, 1), term);
    }
}

/* All required terms must select the same pod. */
static void add_asked(struct node_cache *cache, struct pod_class *class, const json_t *list)
{
    size_t i, count = json_array_size(list);
    json_t *term;
    const json_t **terms = allocate_zero(count + 1, sizeof(json_t *));
    json_array_foreach (list, i, term) {
        terms[i] = term;
    }
    for (i = 0; i < count; i++) {
        add_use(cache, class, AFFINITY_ASKS, 1, set_of(cache, class, terms, count), terms[i]);
    }
    free(terms);
}

static void add_preferred(struct node_cache *cache, struct pod_class *class, const json_t *list,
                          int sign)
{
    size_t i;
    json_t *weighted;
    json_array_foreach (list, i, weighted) {
        const json_t *const terms[] = {json_object_get(weighted, "podAffinityTerm")};
        add_use(cache, class, AFFINITY_PREFERS, json_get_int(weighted, "weight", 0) * sign,
                set_of(cache, class, terms, 1), terms[0]);
        class->affinity->has_preferences = true;
    }
}

static void parse(struct node_cache *cache, struct pod_class *class)
{
    static const char required[] = "requiredDuringSchedulingIgnoredDuringExecution";
    static const char preferred[] = "preferredDuringSchedulingIgnoredDuringExecution";
    const json_t *affinity = json_path(class->spec, "affinity", "podAffinity");
    const json_t *anti = json_path(class->spec, "affinity", "podAntiAffinity");
    if (affinity == NULL && anti == NULL) {
        return;
    }
    class->affinity = allocate_struct(struct class_affinity);
    add_asked(cache, class, json_object_get(affinity, required));
    add_required(cache, class, json_object_get(affinity, required), AFFINITY_REQUIRES);
    add_required(cache, class, json_object_get(anti, required), AFFINITY_FORBIDS);
    add_preferred(cache, class, json_object_get(affinity, preferred), 1);
    add_preferred(cache, class, json_object_get(anti, preferred), -1);
}

void affinity_know_class(struct node_cache *cache, struct pod_class *class)
{
    const char *key;
    void *set;
    for (size_t at = 0; map_next(&cache->affinity_sets, &at, &key, &set);) {
        join_if_selected(cache, set, class);
    }
    parse(cache, class); /* New sets are offered to the class as to all others. */
}

void affinity_forget_class(struct node_cache *cache, struct pod_class *class)
{
    struct class_affinity *affinity = steal(class->affinity);
    for (size_t i = 0; affinity != NULL && i < affinity->count; i++) {
        struct affinity_use *use = &affinity->list[i];
        use->set->awaited -= use->kind == AFFINITY_ASKS;
        counts_unref(cache, use->set, use->counts);
        set_unref(cache, use->set);
    }
    if (affinity != NULL) {
        free(affinity->list);
        free(affinity);
    }
    free(steal(class->sets));
    class->set_count = class->set_capacity = 0;
}

/* ---- namespaces ---- */

static bool asks_for_namespaces(const struct affinity_set *set)
{
    for (size_t i = 0; i < set->term_count; i++) {
        if (set->terms[i].namespace_selector != NULL) {
            return true;
        }
    }
    return false;
}

bool affinity_put_namespace(struct node_cache *cache, const char *name, json_t *labels)
{
    const json_t *old = map_get(&cache->namespaces, name);
    if (labels == NULL ? old == NULL : old != NULL && json_equal(old, labels)) {
        return false;
    }
    json_decref(labels == NULL ? map_remove(&cache->namespaces, name)
                               : map_set(&cache->namespaces, name, json_incref(labels)));
    const char *key;
    void *set;
    for (size_t at = 0; map_next(&cache->affinity_sets, &at, &key, &set);) {
        if (asks_for_namespaces(set)) {
            cache->namespaces_changed = true;
            cache->changed++;
            cache->freed++;
            return true;
        }
    }
    return false;
}

static void find_members_anew(struct node_cache *cache, struct affinity_set *set)
{
    struct joining joining = {cache, set, 0};
    pod_classes_each(leave, set);
    pod_classes_each(offer, &joining);
    for (size_t i = 0; i < set->count; i++) {
        tally_clear(&set->counts[i]->members);
        count_members(cache, set, set->counts[i]);
    }
}

void affinity_refresh(struct node_cache *cache)
{
    const char *key;
    void *set;
    if (!cache->namespaces_changed) {
        return;
    }
    cache->namespaces_changed = false;
    for (size_t at = 0; map_next(&cache->affinity_sets, &at, &key, &set);) {
        if (asks_for_namespaces(set)) {
            find_members_anew(cache, set);
        }
    }
}

/* ---- the end ---- */

static void release_labels(void *labels)
{
    json_decref(labels);
}

static void set_release(void *argument)
{
    struct affinity_set *set = argument;
    for (size_t i = 0; i < set->count; i++) {
        tally_clear(&set->counts[i]->members);
        tally_clear(&set->counts[i]->requires);
        tally_clear(&set->counts[i]->forbids);
        tally_clear(&set->counts[i]->prefers);
        free(set->counts[i]);
    }
    set_free(set);
}

static void topology_release(void *topology)
{
    topology_free(topology);
}

void affinity_free_all(struct node_cache *cache)
{
    map_free(&cache->affinity_sets, set_release);
    map_free(&cache->topologies, topology_release);
    map_free(&cache->namespaces, release_labels);
}
