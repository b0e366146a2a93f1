// SPDX-License-Identifier: Apache-2.0
#include "scheduler/queue.h"

#include <string.h>

#include "common/alloc.h"
#include "common/timestamp.h"
#include "scheduler/plugin.h"
#include "scheduler/spread_constraints.h"

static const int64_t second = INT64_C(1000000000);
enum { backoff_max_seconds = 10, parked_max_seconds = 300 };

/* ---- heaps ---- */

static struct queued_pod *pod_of_node(const struct heap_node *node)
{
    return container_of(node, struct queued_pod, node);
}

static bool is_before(const struct heap_node *node, const struct heap_node *other)
{
    const struct queued_pod *a = pod_of_node(node), *b = pod_of_node(other);
    if (a->part == QUEUE_BACKOFF && a->retry_at != b->retry_at) {
        return a->retry_at < b->retry_at;
    }
    if (a->class->priority != b->class->priority) {
        return a->class->priority > b->class->priority;
    }
    return a->added < b->added;
}

static struct queued_pod *first_of(const struct heap *heap)
{
    struct heap_node *first = heap_first(heap);
    return first != NULL ? pod_of_node(first) : NULL;
}

static struct heap *heap_of(struct queue *queue, const struct queued_pod *pod)
{
    return pod->part == QUEUE_ACTIVE    ? &queue->active
           : pod->part != QUEUE_BACKOFF ? NULL
           : pod->is_error              ? &queue->error_backoff
                                        : &queue->backoff;
}

/* ---- those that are unschedulable ---- */

static void list_append(struct queue *queue, struct queued_pod *pod)
{
    pod->older = queue->newest;
    pod->newer = NULL;
    *(pod->older != NULL ? &pod->older->newer : &queue->oldest) = pod;
    queue->newest = pod;
}

static void list_remove(struct queue *queue, struct queued_pod *pod)
{
    *(pod->older != NULL ? &pod->older->newer : &queue->oldest) = pod->newer;
    *(pod->newer != NULL ? &pod->newer->older : &queue->newest) = pod->older;
    pod->older = pod->newer = NULL;
}

static void list_class(struct queue *queue, struct pod_class *class)
{
    if (class->parked++ == 0) {
        class->previous_parked = NULL;
        class->next_parked = queue->parked_classes;
        if (class->next_parked != NULL) {
            class->next_parked->previous_parked = class;
        }
        queue->parked_classes = class;
    }
}

static void unlist_class(struct queue *queue, struct pod_class *class)
{
    if (--class->parked > 0) {
        return;
    }
    *(class->previous_parked != NULL ? &class->previous_parked->next_parked
                                     : &queue->parked_classes) = class->next_parked;
    if (class->next_parked != NULL) {
        class->next_parked->previous_parked = class->previous_parked;
    }
    class->is_helped = false;
    class->helped_plugins = 0;
}

/* ---- parts ---- */

static void leave_part(struct queue *queue, struct queued_pod *pod)
{
    struct heap *heap = heap_of(queue, pod);
    if (heap != NULL) {
        heap_remove(heap, &pod->node);
    } else if (pod->part == QUEUE_UNSCHEDULABLE) {
        list_remove(queue, pod);
        unlist_class(queue, pod->class);
        pod->is_helped = false;
    }
    queue->counts[pod->part]--; // NOLINT(clang-analyzer-core.NullDereference): there is a queue.
}

static void join_part(struct queue *queue, struct queued_pod *pod, enum queue_part part,
                      enum queue_cause cause)
{
    pod->part = part;
    queue->counts[part]++;
    queue->incoming[part][cause]++;
    struct heap *heap = heap_of(queue, pod);
    if (heap != NULL) {
        heap->is_before = is_before;
        heap_insert(heap, &pod->node);
    } else if (part == QUEUE_UNSCHEDULABLE) {
        list_append(queue, pod);
        list_class(queue, pod->class);
    }
}

static void move_to(struct queue *queue, struct queued_pod *pod, enum queue_part part,
                    enum queue_cause cause)
{
    leave_part(queue, pod);
    join_part(queue, pod, part, cause);
}

static int64_t now_of(const struct queue *queue)
{
    return queue->clock != NULL ? queue->clock() : timestamp_monotonic();
}

static bool may_be_tried(const struct pod_class *class)
{
    for (size_t i = 0; plugins[i] != NULL; i++) {
        if (plugins[i]->before_queue != NULL && plugins[i]->before_queue(class) != NULL) {
            return false;
        }
    }
    return true;
}

static enum queue_part part_now(const struct queued_pod *pod, int64_t now)
{
    return pod->retry_at > now ? QUEUE_BACKOFF : QUEUE_ACTIVE;
}

/* ---- pods ---- */

/* What was found out for the class's pods is dropped with the last that waits. */
static void waits_no_more(struct pod_class *class)
{
    if (--class->waiting == 0) {
        free(steal(class->static_results));
        class->static_result_count = 0;
        spread_constraints_rest(class->spread);
    }
    pod_class_unref(class);
}

static void set_class(struct queued_pod *pod, struct pod_class *class)
{
    pod_class_ref(class)->waiting++;
    if (pod->class != NULL) {
        waits_no_more(pod->class);
    }
    pod->class = class;
}

void queued_pod_free(struct queued_pod *pod)
{
    waits_no_more(pod->class);
    free(pod->key);
    free(pod->uid);
    free(pod);
}

void queue_put(struct queue *queue, const char *key, const char *uid, struct pod_class *class)
{
    struct queued_pod *pod = map_get(&queue->pods, key);
    enum queue_cause cause = CAUSE_POD_UPDATE;
    if (pod != NULL && strcmp(pod->uid, uid) != 0) {
        queue_remove(queue, key);
        pod = NULL;
    }
    if (pod != NULL && pod->class == class) {
        return; /* Its status changed, or what the scheduler doesn't look at. */
    }
    if (pod == NULL) {
        pod = allocate_struct(struct queued_pod);
        pod->key = duplicate(key);
        pod->uid = duplicate(uid);
        pod->added = now_of(queue);
        cause = CAUSE_POD_ADD;
        map_set(&queue->pods, key, pod);
    } else {
        leave_part(queue, pod);
    }
    set_class(pod, class);
    join_part(queue, pod, may_be_tried(class) ? part_now(pod, now_of(queue)) : QUEUE_GATED, cause);
}

void queue_remove(struct queue *queue, const char *key)
{
    struct queued_pod *pod = map_remove(&queue->pods, key);
    if (pod != NULL) {
        leave_part(queue, pod);
        queued_pod_free(pod);
    }
}

struct queued_pod *queue_pop(struct queue *queue)
{
    struct heap *heap = queue->active.count > 0 ? &queue->active : &queue->backoff;
    struct queued_pod *pod = first_of(heap);
    if (pod == NULL) {
        return NULL;
    }
    if (pod->part == QUEUE_BACKOFF) {
        move_to(queue, pod, QUEUE_ACTIVE, CAUSE_NO_OTHER);
    }
    leave_part(queue, pod);
    map_remove(&queue->pods, pod->key);
    pod->attempts++;
    pod->tried = now_of(queue);
    return pod;
}

/* A pod comes back; times to try again are whole seconds, so that within one the more important
 * goes first. One that was put in its place meanwhile is newer and stays. */
static bool take_back(struct queue *queue, struct queued_pod *pod, bool is_error)
{
    if (map_get(&queue->pods, pod->key) != NULL) {
        queued_pod_free(pod);
        return false;
    }
    int64_t backoff = queue->initial_backoff > 0 ? queue->initial_backoff : second;
    int64_t most = queue->max_backoff > 0 ? queue->max_backoff : backoff_max_seconds * second;
    for (int i = 1; i < pod->attempts && backoff < most; i++) {
        backoff *= 2;
    }
    backoff = backoff < most ? backoff : most;
    pod->is_error = is_error;
    pod->retry_at = (now_of(queue) + backoff) / second * second;
    map_set(&queue->pods, pod->key, pod);
    return true;
}

void queue_park(struct queue *queue, struct queued_pod *pod, uint32_t rejecting_plugins)
{
    if (take_back(queue, pod, false)) {
        pod->plugins = rejecting_plugins;
        pod->parked = now_of(queue);
        join_part(queue, pod, QUEUE_UNSCHEDULABLE, CAUSE_ATTEMPT_FAILED);
    }
}

void queue_back_off(struct queue *queue, struct queued_pod *pod)
{
    if (take_back(queue, pod, true)) {
        join_part(queue, pod, QUEUE_BACKOFF, CAUSE_ATTEMPT_FAILED);
    }
}

void queue_activate(struct queue *queue, const char *key)
{
    struct queued_pod *pod = map_get(&queue->pods, key);
    if (pod != NULL && pod->part == QUEUE_UNSCHEDULABLE) {
        move_to(queue, pod, part_now(pod, now_of(queue)), CAUSE_FORCED);
    }
}

/* ---- waking ---- */

/* The plugins (a bit each) to which one of these events may make a difference. */
static uint32_t plugins_helped_by(unsigned events)
{
    uint32_t helped = 0;
    for (size_t i = 0; plugins[i] != NULL; i++) {
        if ((plugins[i]->events & events) != 0) {
            helped |= UINT32_C(1) << i;
        }
    }
    return helped;
}

static enum queue_cause cause_of(unsigned events)
{
    return events & EVENT_NODE        ? CAUSE_NODE
           : events & EVENT_POD_LEFT  ? CAUSE_POD_LEFT
           : events & EVENT_NODE_LEFT ? CAUSE_NODE_LEFT
           : events & EVENT_VOLUME    ? CAUSE_VOLUME
                                      : CAUSE_POD_CAME;
}

/* A pod that no plugin rejected (there was no node to ask) is helped by whatever happens. */
static bool is_helped(const struct queued_pod *pod, uint32_t plugins_helped)
{
    const struct pod_class *class = pod->class;
    return pod->is_helped || class->is_helped || pod->plugins == 0 ||
           (pod->plugins & (plugins_helped | class->helped_plugins)) != 0;
}

static void wake_helped(struct queue *queue, int64_t now)
{
    uint32_t helped = plugins_helped_by(queue->pending_events);
    enum queue_cause cause = cause_of(queue->pending_events | queue->hinted_events);
    struct queued_pod *newer;
    for (struct queued_pod *pod = queue->oldest; pod != NULL; pod = newer) {
        newer = pod->newer;
        if (is_helped(pod, helped)) {
            move_to(queue, pod, part_now(pod, now), cause);
        }
    }
    for (struct pod_class *class = queue->parked_classes; class != NULL;
         class = class->next_parked) {
        class->is_helped = false;
        class->helped_plugins = 0;
    }
    queue->pending_events = queue->hinted_events = 0;
}

static void wake_those_backing_off(struct queue *queue, struct heap *heap, int64_t now,
                                   int64_t *next)
{
    struct queued_pod *first;
    while ((first = first_of(heap)) != NULL && first->retry_at <= now) {
        move_to(queue, first, QUEUE_ACTIVE, CAUSE_BACKOFF_COMPLETE);
    }
    if (first != NULL && first->retry_at < *next) {
        *next = first->retry_at;
    }
}

int64_t queue_wake(struct queue *queue, int64_t now)
{
    const int64_t patience = parked_max_seconds * second;
    int64_t next = INT64_MAX;
    if ((queue->pending_events | queue->hinted_events) != 0) {
        wake_helped(queue, now);
    }
    while (queue->oldest != NULL && queue->oldest->parked + patience <= now) {
        move_to(queue, queue->oldest, part_now(queue->oldest, now), CAUSE_TIMEOUT);
    }
    if (queue->oldest != NULL) {
        next = queue->oldest->parked + patience;
    }
    wake_those_backing_off(queue, &queue->backoff, now, &next);
    wake_those_backing_off(queue, &queue->error_backoff, now, &next);
    return next;
}

void queue_clear(struct queue *queue)
{
    const char *key;
    void *value;
    for (size_t at = 0; map_next(&queue->pods, &at, &key, &value);) {
        leave_part(queue, value);
        queued_pod_free(value);
    }
    map_free(&queue->pods, NULL);
    heap_clear(&queue->active);
    heap_clear(&queue->backoff);
    heap_clear(&queue->error_backoff);
    *queue = (struct queue){0};
}
