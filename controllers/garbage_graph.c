// SPDX-License-Identifier: Apache-2.0
#include "controllers/garbage_graph.h"

#include <pthread.h>
#include <string.h>

#include "common/alloc.h"
#include "common/json.h"
#include "common/map.h"

/* One owner reference. It is in the list of its owner's dependents and in that of its dependent's
 * owners. */
struct edge {
    struct node *owner, *dependent;
    struct edge *previous, *next; /* Of the owner's dependents. */
    struct edge *next_owner;      /* Of the dependent's owners. */
    bool blocks;                  /* blockOwnerDeletion */
    bool is_absent;               /* The server has no such owner. */
    bool is_checked;              /* It was asked for; absent or not. */
    uint16_t kind_at, name_at;    /* In 'text'. */
    char text[];                  /* API version, kind and name, each with its NUL. */
};

struct node {
    struct cached_object *object; /* NULL: virtual, or gone. */
    const struct api_resource *resource;
    char *uid; /* Of one without an object. */
    struct edge *owners, *dependents;
    uint32_t blocking; /* How many dependents block its deletion. */
    bool is_gone, is_deleting;
    bool is_foreground, is_orphaning; /* Its finalizers say so. */
};

struct garbage_graph {
    pthread_mutex_t lock; /* Guards all. */
    struct map nodes;     /* By uid, the nodes' own. */
};

/* A reference as it was read. */
struct reference {
    const char *uid, *api_version, *kind, *name;
    bool blocks;
};

static const char *node_uid(const struct node *node)
{
    return node->object != NULL ? node->object->uid : node->uid;
}

static const char *edge_kind(const struct edge *edge)
{
    return edge->text + edge->kind_at;
}

static const char *edge_name(const struct edge *edge)
{
    return edge->text + edge->name_at;
}

static const char *edge_namespace(const struct edge *edge)
{
    return edge->dependent->object->namespace;
}

/* ---- effects and places ---- */

static void look_at(struct garbage_effects *effects, const char *uid)
{
    effects->uids = grow(effects->uids, effects->count, &effects->capacity, sizeof(char *));
    effects->uids[effects->count++] = duplicate(uid);
}

static void complain(struct garbage_effects *effects, const struct edge *edge)
{
    const struct node *dependent = edge->dependent;
    effects->complaints = grow(effects->complaints, effects->complaint_count,
                               &effects->complaint_capacity, sizeof *effects->complaints);
    effects->complaints[effects->complaint_count++] = (struct garbage_complaint){
        .dependent = cached_object_ref(dependent->object),
        .resource = dependent->resource,
        .message = format("ownerRef [%s/%s, namespace: %s, name: %s, uid: %s] does not exist in "
                          "namespace \"%s\"",
                          edge->text, edge_kind(edge), edge_namespace(edge), edge_name(edge),
                          node_uid(edge->owner), edge_namespace(edge)),
    };
}

void garbage_effects_free(struct garbage_effects *effects)
{
    for (size_t i = 0; i < effects->count; i++) {
        free(effects->uids[i]);
    }
    for (size_t i = 0; i < effects->complaint_count; i++) {
        cached_object_unref(effects->complaints[i].dependent);
        free(effects->complaints[i].message);
    }
    free(effects->uids);
    free(effects->complaints);
    *effects = GARBAGE_EFFECTS_INIT;
}

void garbage_place_clear(struct garbage_place *place)
{
    free(place->api_version);
    free(place->kind);
    free(place->namespace);
    free(place->name);
    free(place->uid);
    *place = GARBAGE_PLACE_INIT;
}

static struct garbage_place place_of(const struct node *node)
{
    return (struct garbage_place){
        .resource = node->resource,
        .api_version = duplicate(node->resource->group_version),
        .kind = duplicate(node->resource->kind),
        .namespace = duplicate(node->object->namespace),
        .name = duplicate(node->object->name),
        .uid = duplicate(node->object->uid),
    };
}

/* ---- references that fit, or not ---- */

static bool same_names(const struct edge *edge, const char *api_version, const char *kind,
                       const char *name)
{
    return strcmp(edge_name(edge), name) == 0 && strcmp(edge_kind(edge), kind) == 0 &&
           strcmp(edge->text, api_version) == 0;
}

static bool is_elsewhere(const struct edge *edge)
{
    const char *namespace = edge->owner->object->namespace;
    return namespace[0] != '\0' && strcmp(namespace, edge_namespace(edge)) != 0;
}

/* The reference names the observed owner rightly. */
static bool fits(const struct edge *edge)
{
    const struct node *owner = edge->owner;
    return same_names(edge, owner->resource->group_version, owner->resource->kind,
                      owner->object->name) &&
           !is_elsewhere(edge);
}

/* ---- edges ---- */

static bool does_block(const struct edge *edge)
{
    return edge->blocks && edge->owner != edge->dependent;
}

static struct edge *edge_new(struct node *owner, struct node *dependent,
                             const struct reference *reference)
{
    size_t version = strlen(reference->api_version) + 1, kind = strlen(reference->kind) + 1;
    size_t name = strlen(reference->name) + 1;
    struct edge *edge = allocate_zero(1, sizeof *edge + version + kind + name);
    edge->owner = owner;
    edge->dependent = dependent;
    edge->blocks = reference->blocks;
    edge->kind_at = (uint16_t)version;
    edge->name_at = (uint16_t)(version + kind);
    memcpy(edge->text, reference->api_version, version);
    memcpy(edge->text + version, reference->kind, kind);
    memcpy(edge->text + version + kind, reference->name, name);
    return edge;
}

static void link_edge(struct edge *edge)
{
    struct node *owner = edge->owner;
    edge->next = owner->dependents;
    if (edge->next != NULL) {
        edge->next->previous = edge;
    }
    owner->dependents = edge;
    owner->blocking += does_block(edge);
}

static void drop_if_unused(struct garbage_graph *graph, struct node *node)
{
    if (node->object == NULL && node->dependents == NULL) {
        map_remove(&graph->nodes, node->uid);
        free(node->uid);
        free(node);
    }
}

/* Takes the reference away; an owner that waited for nothing else is looked at. */
static void remove_edge(struct garbage_graph *graph, struct edge *edge,
                        struct garbage_effects *effects)
{
    struct node *owner = edge->owner;
    *(edge->previous != NULL ? &edge->previous->next : &owner->dependents) = edge->next;
    if (edge->next != NULL) {
        edge->next->previous = edge->previous;
    }
    if (does_block(edge) && --owner->blocking == 0 && owner->is_foreground) {
        look_at(effects, node_uid(owner));
    }
    free(edge);
    drop_if_unused(graph, owner);
}

static void remove_edges(struct garbage_graph *graph, struct edge *edges,
                         struct garbage_effects *effects)
{
    while (edges != NULL) {
        struct edge *next = edges->next_owner;
        remove_edge(graph, edges, effects);
        edges = next;
    }
}

/* A new reference to an owner that was never observed: what is known of one just like it holds for
 * it too. */
static void judge_unseen(struct edge *edge, struct garbage_effects *effects)
{
    const struct edge *other = edge->next;
    if (other != NULL && same_names(other, edge->text, edge_kind(edge), edge_name(edge)) &&
        strcmp(edge_namespace(other), edge_namespace(edge)) == 0) {
        edge->is_absent = other->is_absent;
        edge->is_checked = other->is_checked;
    }
    if (edge->is_absent) {
        look_at(effects, node_uid(edge->dependent));
    } else if (!edge->is_checked) {
        look_at(effects, node_uid(edge->owner));
    }
}

static void judge(struct edge *edge, struct garbage_effects *effects)
{
    const struct node *owner = edge->owner;
    if (owner->object == NULL && !owner->is_gone) {
        judge_unseen(edge, effects);
    } else if (owner->is_gone || owner->is_foreground || !fits(edge)) {
        look_at(effects, node_uid(edge->dependent));
        if (owner->object != NULL && is_elsewhere(edge)) {
            complain(effects, edge);
        }
    }
}

static struct node *owner_node(struct garbage_graph *graph, const char *uid)
{
    struct node *node = map_get(&graph->nodes, uid);
    if (node == NULL) {
        node = allocate_struct(struct node);
        node->uid = duplicate(uid);
        map_set(&graph->nodes, node->uid, node);
    }
    return node;
}

static struct edge *find_edge(struct edge *edges, const struct reference *reference)
{
    while (edges != NULL &&
           (strcmp(node_uid(edges->owner), reference->uid) != 0 ||
            !same_names(edges, reference->api_version, reference->kind, reference->name))) {
        edges = edges->next_owner;
    }
    return edges;
}

/* ---- owner references as they come ---- */

/* False for what is no reference. */
static bool read_reference(const json_t *json, struct reference *reference)
{
    *reference = (struct reference){
        .uid = json_get_string(json, "uid"),
        .api_version = json_get_string(json, "apiVersion"),
        .kind = json_get_string(json, "kind"),
        .name = json_get_string(json, "name"),
        .blocks = json_get_bool(json, "blockOwnerDeletion", false),
    };
    return reference->uid != NULL && reference->api_version != NULL && reference->kind != NULL &&
           reference->name != NULL && strlen(reference->api_version) < UINT16_MAX / 4 &&
           strlen(reference->kind) < UINT16_MAX / 4;
}

static bool owners_are(struct edge *edges, const json_t *references)
{
    size_t i;
    const json_t *json;
    json_array_foreach (references, i, json) {
        struct reference reference;
        if (!read_reference(json, &reference)) {
            continue;
        }
        if (edges == NULL || find_edge(edges, &reference) != edges ||
            edges->blocks != reference.blocks) {
            return false;
        }
        edges = edges->next_owner;
    }
    return edges == NULL;
}

/* The new references are made before the old ones are removed, so that an owner in both stays. */
static void set_owners(struct garbage_graph *graph, struct node *node, const json_t *references,
                       struct garbage_effects *effects)
{
    size_t i;
    const json_t *json;
    struct edge *old = node->owners, **last = &node->owners;
    if (owners_are(old, references)) {
        return;
    }
    node->owners = NULL;
    json_array_foreach (references, i, json) {
        struct reference reference;
        if (!read_reference(json, &reference)) {
            continue;
        }
        const struct edge *known = find_edge(old, &reference);
        struct edge *edge = edge_new(owner_node(graph, reference.uid), node, &reference);
        link_edge(edge);
        if (known != NULL) {
            edge->is_absent = known->is_absent;
            edge->is_checked = known->is_checked;
        } else {
            judge(edge, effects);
        }
        *last = edge;
        last = &edge->next_owner;
    }
    remove_edges(graph, old, effects);
}

/* ---- what informers tell ---- */

/* What was unknown is known now: references that do not fit it are looked at. */
static void judge_dependents(struct node *node, struct garbage_effects *effects)
{
    for (struct edge *edge = node->dependents; edge != NULL; edge = edge->next) {
        edge->is_absent = edge->is_checked = false;
        if (!fits(edge)) {
            look_at(effects, node_uid(edge->dependent));
            if (is_elsewhere(edge)) {
                complain(effects, edge);
            }
        }
    }
}

static void begin_deletion(struct node *node, bool was_foreground, bool was_orphaning,
                           struct garbage_effects *effects)
{
    if (node->is_orphaning && !was_orphaning) {
        look_at(effects, node_uid(node));
    } else if (node->is_foreground && !was_foreground) {
        for (const struct edge *edge = node->dependents; edge != NULL; edge = edge->next) {
            look_at(effects, node_uid(edge->dependent));
        }
        look_at(effects, node_uid(node));
    }
}

static json_t *parse_span(struct json_span span)
{
    return span.text != NULL ? json_loadb(span.text, span.length, 0, NULL) : NULL;
}

static void observe(struct garbage_graph *graph, struct node *node, const json_t *owners,
                    const json_t *finalizers, struct garbage_effects *effects)
{
    bool was_foreground = node->is_foreground, was_orphaning = node->is_orphaning;
    node->is_deleting = node->object->is_deleting;
    node->is_foreground =
        node->is_deleting && json_array_has_string(finalizers, "foregroundDeletion");
    node->is_orphaning = node->is_deleting && json_array_has_string(finalizers, "orphan");
    set_owners(graph, node, owners, effects);
    begin_deletion(node, was_foreground, was_orphaning, effects);
}

void garbage_graph_observe(struct garbage_graph *graph, const struct api_resource *resource,
                           struct cached_object *kept, const char *text, size_t length,
                           struct garbage_effects *effects)
{
    static const char *const paths[] = {"metadata.ownerReferences", "metadata.finalizers"};
    struct json_span spans[array_length(paths)];
    json_scan(text, length, paths, array_length(paths), spans);
    cleanup(json_release)
    json_t *owners = parse_span(spans[0]);
    cleanup(json_release)
    json_t *finalizers = parse_span(spans[1]);
    if (kept->uid[0] == '\0') {
        return;
    }
    pthread_mutex_lock(&graph->lock);
    struct node *node = owner_node(graph, kept->uid);
    bool is_first = node->object == NULL;
    map_set(&graph->nodes, kept->uid, node);
    cached_object_unref(node->object);
    node->object = cached_object_ref(kept);
    node->resource = resource;
    node->is_gone = false;
    if (is_first) {
        free(steal(node->uid));
        judge_dependents(node, effects);
    }
    observe(graph, node, owners, finalizers, effects);
    pthread_mutex_unlock(&graph->lock);
}

static void forget(struct garbage_graph *graph, struct node *node, struct garbage_effects *effects)
{
    remove_edges(graph, steal(node->owners), effects);
    for (const struct edge *edge = node->dependents; edge != NULL; edge = edge->next) {
        look_at(effects, node_uid(edge->dependent));
    }
    node->uid = duplicate(node->object->uid);
    map_set(&graph->nodes, node->uid, node);
    cached_object_unref(steal(node->object));
    node->is_gone = true;
    node->is_deleting = node->is_foreground = node->is_orphaning = false;
    drop_if_unused(graph, node);
}

void garbage_graph_forget(struct garbage_graph *graph, const char *uid,
                          struct garbage_effects *effects)
{
    pthread_mutex_lock(&graph->lock);
    struct node *node = map_get(&graph->nodes, uid);
    if (node != NULL && node->object != NULL) {
        forget(graph, node, effects);
    }
    pthread_mutex_unlock(&graph->lock);
}

/* ---- what workers find out ---- */

/* The owner is asked for again as long as some reference names it in another way. */
static void check_edges(struct garbage_graph *graph, const struct garbage_place *owner,
                        const char *namespace, bool absent, struct garbage_effects *effects)
{
    pthread_mutex_lock(&graph->lock);
    struct node *node = map_get(&graph->nodes, owner->uid);
    bool is_open = false;
    for (struct edge *edge = node != NULL ? node->dependents : NULL; edge; edge = edge->next) {
        if (!edge->is_checked && same_names(edge, owner->api_version, owner->kind, owner->name) &&
            (namespace == NULL || strcmp(namespace, edge_namespace(edge)) == 0)) {
            edge->is_checked = true;
            edge->is_absent = absent;
            if (absent) {
                look_at(effects, node_uid(edge->dependent));
            }
        }
        is_open = is_open || !edge->is_checked;
    }
    if (node != NULL && node->object == NULL && !node->is_gone && is_open) {
        look_at(effects, owner->uid);
    }
    pthread_mutex_unlock(&graph->lock);
}

void garbage_graph_absent(struct garbage_graph *graph, const struct garbage_place *owner,
                          bool any_namespace, struct garbage_effects *effects)
{
    check_edges(graph, owner, any_namespace ? NULL : owner->namespace, true, effects);
}

void garbage_graph_ignore(struct garbage_graph *graph, const struct garbage_place *owner,
                          struct garbage_effects *effects)
{
    check_edges(graph, owner, "", false, effects);
}

/* ---- what there is to do ---- */

static enum garbage_task virtual_task(const struct node *node, struct garbage_place *place)
{
    const struct edge *edge = node->is_gone ? NULL : node->dependents;
    while (edge != NULL && edge->is_checked) {
        edge = edge->next;
    }
    if (edge == NULL) {
        return GARBAGE_NOTHING;
    }
    *place = (struct garbage_place){
        .api_version = duplicate(edge->text),
        .kind = duplicate(edge_kind(edge)),
        .namespace = duplicate(edge_namespace(edge)),
        .name = duplicate(edge_name(edge)),
        .uid = duplicate(node->uid),
    };
    return GARBAGE_VERIFY;
}

static bool is_solid(const struct edge *edge)
{
    return edge->owner->object != NULL && !edge->owner->is_foreground && fits(edge);
}

static enum garbage_task observed_task(const struct node *node)
{
    if (node->is_orphaning) {
        return GARBAGE_ORPHAN;
    }
    if (node->is_foreground) {
        return node->blocking == 0 ? GARBAGE_FINISH_FOREGROUND : GARBAGE_NOTHING;
    }
    for (const struct edge *edge = node->is_deleting ? NULL : node->owners; edge != NULL;
         edge = edge->next_owner) {
        if (!is_solid(edge)) {
            return GARBAGE_CHECK_OWNERS;
        }
    }
    return GARBAGE_NOTHING;
}

enum garbage_task garbage_graph_task(struct garbage_graph *graph, const char *uid,
                                     struct garbage_place *place)
{
    enum garbage_task task = GARBAGE_NOTHING;
    *place = GARBAGE_PLACE_INIT;
    pthread_mutex_lock(&graph->lock);
    const struct node *node = map_get(&graph->nodes, uid);
    if (node != NULL && node->object == NULL) {
        task = virtual_task(node, place);
    } else if (node != NULL) {
        task = observed_task(node);
        *place = place_of(node);
    }
    pthread_mutex_unlock(&graph->lock);
    return task;
}

static enum garbage_owner owner_state(const struct node *owner, const struct edge *edge)
{
    if (owner == NULL || (edge == NULL && !owner->is_gone)) {
        return OWNER_UNKNOWN;
    }
    if (owner->is_gone || edge->is_absent) {
        return OWNER_ABSENT;
    }
    if (owner->object == NULL || !fits(edge)) {
        return OWNER_UNKNOWN;
    }
    return owner->is_foreground ? OWNER_WAITING : OWNER_SOLID;
}

enum garbage_owner garbage_graph_owner(struct garbage_graph *graph, const char *uid,
                                       const json_t *json)
{
    struct reference reference;
    if (!read_reference(json, &reference)) {
        return OWNER_UNKNOWN;
    }
    pthread_mutex_lock(&graph->lock);
    const struct node *owner = map_get(&graph->nodes, reference.uid);
    const struct node *dependent = map_get(&graph->nodes, uid);
    enum garbage_owner state =
        owner_state(owner, dependent ? find_edge(dependent->owners, &reference) : NULL);
    pthread_mutex_unlock(&graph->lock);
    return state;
}

struct garbage_place *garbage_graph_dependents(struct garbage_graph *graph, const char *uid,
                                               size_t *count)
{
    struct garbage_place *places = NULL;
    size_t capacity = 0;
    *count = 0;
    pthread_mutex_lock(&graph->lock);
    const struct node *node = map_get(&graph->nodes, uid);
    for (const struct edge *edge = node != NULL ? node->dependents : NULL; edge != NULL;
         edge = edge->next) {
        places = grow(places, *count, &capacity, sizeof *places);
        places[(*count)++] = place_of(edge->dependent);
    }
    pthread_mutex_unlock(&graph->lock);
    return places;
}

bool garbage_graph_has_dependents(struct garbage_graph *graph, const char *uid, bool *one_waits)
{
    *one_waits = false;
    pthread_mutex_lock(&graph->lock);
    const struct node *node = map_get(&graph->nodes, uid);
    const struct edge *edge = node != NULL ? node->dependents : NULL;
    bool any = edge != NULL;
    for (; edge != NULL && !*one_waits; edge = edge->next) {
        *one_waits = edge->dependent->is_foreground;
    }
    pthread_mutex_unlock(&graph->lock);
    return any;
}

size_t garbage_graph_count(struct garbage_graph *graph)
{
    pthread_mutex_lock(&graph->lock);
    size_t count = graph->nodes.count;
    pthread_mutex_unlock(&graph->lock);
    return count;
}

/* ---- life ---- */

struct garbage_graph *garbage_graph_new(void)
{
    struct garbage_graph *graph = allocate_struct(struct garbage_graph);
    pthread_mutex_init(&graph->lock, NULL);
    graph->nodes.borrows_keys = true;
    return graph;
}

static void node_free(void *argument)
{
    struct node *node = argument;
    while (node->owners != NULL) {
        struct edge *next = node->owners->next_owner;
        free(node->owners);
        node->owners = next;
    }
    cached_object_unref(node->object);
    free(node->uid);
    free(node);
}

void garbage_graph_free(struct garbage_graph *graph)
{
    if (graph != NULL) {
        map_free(&graph->nodes, node_free);
        pthread_mutex_destroy(&graph->lock);
        free(graph);
    }
}
