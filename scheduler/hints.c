// SPDX-License-Identifier: Apache-2.0
#include "scheduler/hints.h"

#include "scheduler/nominations.h"
#include "scheduler/profile.h"

/* ---- the node where it happened ---- */

static bool local_filters_accept(const struct cycle *cycle, const struct node *node)
{
    const struct plugin *const *filters = profile_filters(cycle->class);
    for (size_t i = 0; filters[i] != NULL; i++) {
        if (filters[i]->is_local && !filters[i]->fits(cycle, node)) {
            return false;
        }
    }
    return true;
}

/* Pods that a pod of that class may preempt. Returns whether there are any. */
static bool imagine_lesser(const struct pod_class *class, struct node *node, int change)
{
    bool any = false;
    for (const struct placed_pod *pod = node->pods; pod != NULL; pod = pod->next) {
        if (pod->class->priority < class->priority) {
            node_cache_imagine(node, pod->class, change);
            any = true;
        }
    }
    return any;
}

static void imagine_nominated(const struct pod_class *class, struct node *node, int change)
{
    for (const struct nomination *nominated = node->nominated; nominated != NULL;
         nominated = nominated->next) {
        if (nominated->class->priority >= class->priority) {
            node_cache_imagine(node, nominated->class, change);
        }
    }
}

/* The local filters accepted the node already when the pod that left stood there. */
static bool accepted_before(const struct cycle *cycle, const struct cluster_change *change)
{
    if (change->event != EVENT_POD_LEFT || change->pod == NULL) {
        return false;
    }
    node_cache_imagine(change->node, change->pod, 1);
    bool accepted = local_filters_accept(cycle, change->node);
    node_cache_imagine(change->node, change->pod, -1);
    return accepted;
}

static bool accept_without_lesser(const struct cycle *cycle, struct node *node)
{
    const struct pod_class *class = cycle->class;
    if (class->never_preempts || profile_of(class)->never_preempts ||
        !imagine_lesser(class, node, -1)) {
        return false;
    }
    bool accept = local_filters_accept(cycle, node);
    imagine_lesser(class, node, 1);
    return accept;
}

/* The local filters accept the node now, perhaps only if pods make way, for a pod of the class that
 * is not nominated for it. */
static bool could_fit(struct node_cache *cache, struct pod_class *class,
                      const struct cluster_change *change)
{
    struct cycle cycle = {.cache = cache, .class = class, .key = "", .uid = ""};
    struct node *node = change->node;
    if (!node->exists || !plugin_static_result(&cycle, node)->fits) {
        return false;
    }
    imagine_nominated(class, node, 1);
    bool could = local_filters_accept(&cycle, node) ? !accepted_before(&cycle, change)
                                                    : accept_without_lesser(&cycle, node);
    imagine_nominated(class, node, -1);
    return could;
}

static void help_nominated(struct queue *queue, const struct node *node)
{
    for (const struct nomination *nominated = node->nominated; nominated != NULL;
         nominated = nominated->next) {
        struct queued_pod *pod = map_get(&queue->pods, nominated->key);
        if (pod != NULL && pod->part == QUEUE_UNSCHEDULABLE) {
            pod->is_helped = true;
        }
    }
}

/* ---- elsewhere ---- */

static uint32_t helped_plugins(const struct pod_class *class, const struct cluster_change *change)
{
    uint32_t helped = 0;
    for (size_t i = 0; plugins[i] != NULL; i++) {
        const struct plugin *plugin = plugins[i];
        if (!plugin->is_static && !plugin->is_local && (plugin->events & change->event) != 0 &&
            (plugin->may_help == NULL || plugin->may_help(class, change))) {
            helped |= UINT32_C(1) << i;
        }
    }
    return helped;
}

void hints_note(struct queue *queue, struct node_cache *cache, const struct cluster_change *change)
{
    bool frees = (change->event & (EVENT_NODE | EVENT_POD_LEFT)) != 0 && change->node != NULL;
    queue->hinted_events |= change->event;
    for (struct pod_class *class = queue->parked_classes; class != NULL;
         class = class->next_parked) {
        class->is_helped = class->is_helped || (frees && could_fit(cache, class, change));
        class->helped_plugins |= helped_plugins(class, change);
    }
    if (frees) {
        help_nominated(queue, change->node);
    }
}
