// SPDX-License-Identifier: Apache-2.0
/*
 * One item a key, in a map, for as long as anything is known of the key. Items that are ready stand
 * in a linked list; those with a time in a heap, which the workers themselves look at before they
 * sleep, so that no thread of its own is needed.
 */
#include "common/work_queue.h"

#include <pthread.h>
#include <string.h>

#include "common/alloc.h"
#include "common/heap.h"
#include "common/map.h"
#include "common/timestamp.h"

enum { first_delay_ms = 5, last_delay_ms = 1000000 };

struct item {
    char *key;
    bool ready;   /* In the list. */
    bool held;    /* By a worker. */
    bool again;   /* Added while held. */
    int failures; /* In a row. */
    int64_t due;  /* Monotonic, while it is delayed. */
    struct heap_node node;
    int64_t since; /* When it became ready, or was taken. */
    struct item *next;
};

struct work_queue_metrics {
    struct metric *depth, *adds, *retries, *queue_duration, *work_duration;
};

struct work_queue {
    const char *name;
    const struct work_queue_metrics *metrics;
    pthread_mutex_t lock; /* Guards all that follows. */
    pthread_cond_t changed;
    struct map items;
    struct item *first, *last;
    size_t ready_count;
    struct heap delayed;
    bool stopped;
};

/* ---- delayed items ---- */

static struct item *item_of_node(const struct heap_node *node)
{
    return container_of(node, struct item, node);
}

static bool is_due_before(const struct heap_node *a, const struct heap_node *b)
{
    return item_of_node(a)->due < item_of_node(b)->due;
}

static struct item *first_delayed(const struct work_queue *queue)
{
    struct heap_node *first = heap_first(&queue->delayed);
    return first != NULL ? item_of_node(first) : NULL;
}

/* ---- items ---- */

static struct item *item_of(struct work_queue *queue, const char *key)
{
    struct item *item = map_get(&queue->items, key);
    if (item == NULL) {
        item = allocate_struct(struct item);
        item->key = duplicate(key);
        map_set(&queue->items, key, item);
    }
    return item;
}

static void item_free(void *argument)
{
    struct item *item = argument;
    free(item->key);
    free(item);
}

/* Nothing is known of it any more. */
static void drop_if_idle(struct work_queue *queue, struct item *item)
{
    if (!item->ready && !item->held && !item->again && item->failures == 0 &&
        !heap_holds(&item->node)) {
        map_remove(&queue->items, item->key);
        item_free(item);
    }
}

static void observe_depth(struct work_queue *queue)
{
    if (queue->metrics != NULL) {
        metric_set(queue->metrics->depth, (double)queue->ready_count, metric_labels(queue->name));
    }
}

static void make_ready(struct work_queue *queue, struct item *item)
{
    if (item->ready || item->again) {
        return;
    }
    if (queue->metrics != NULL) {
        metric_add(queue->metrics->adds, 1, metric_labels(queue->name));
    }
    if (item->held) {
        item->again = true;
        return;
    }
    item->ready = true;
    item->since = timestamp_monotonic();
    item->next = NULL;
    *(queue->last != NULL ? &queue->last->next : &queue->first) = item;
    queue->last = item;
    queue->ready_count++;
    observe_depth(queue);
    pthread_cond_signal(&queue->changed);
}

static void delay(struct work_queue *queue, struct item *item, int64_t delay_ms)
{
    int64_t due = timestamp_monotonic() + delay_ms * 1000000;
    if (heap_holds(&item->node) && item->due <= due) {
        return;
    }
    heap_remove(&queue->delayed, &item->node);
    item->due = due;
    heap_insert(&queue->delayed, &item->node);
    if (first_delayed(queue) == item) {
        pthread_cond_signal(&queue->changed); /* Somebody is to sleep for a shorter time. */
    }
}

void work_queue_add(struct work_queue *queue, const char *key)
{
    pthread_mutex_lock(&queue->lock);
    make_ready(queue, item_of(queue, key));
    pthread_mutex_unlock(&queue->lock);
}

void work_queue_add_after(struct work_queue *queue, const char *key, int64_t delay_ms)
{
    pthread_mutex_lock(&queue->lock);
    if (delay_ms <= 0) {
        make_ready(queue, item_of(queue, key));
    } else {
        delay(queue, item_of(queue, key), delay_ms);
    }
    pthread_mutex_unlock(&queue->lock);
}

void work_queue_add_rate_limited(struct work_queue *queue, const char *key)
{
    pthread_mutex_lock(&queue->lock);
    struct item *item = item_of(queue, key);
    int64_t delay_ms = first_delay_ms;
    for (int i = 0; i < item->failures && delay_ms < last_delay_ms; i++) {
        delay_ms *= 2;
    }
    item->failures++;
    delay(queue, item, delay_ms < last_delay_ms ? delay_ms : last_delay_ms);
    if (queue->metrics != NULL) {
        metric_add(queue->metrics->retries, 1, metric_labels(queue->name));
    }
    pthread_mutex_unlock(&queue->lock);
}

void work_queue_forget(struct work_queue *queue, const char *key)
{
    pthread_mutex_lock(&queue->lock);
    struct item *item = map_get(&queue->items, key);
    if (item != NULL) {
        item->failures = 0;
        drop_if_idle(queue, item);
    }
    pthread_mutex_unlock(&queue->lock);
}

int work_queue_failures(struct work_queue *queue, const char *key)
{
    pthread_mutex_lock(&queue->lock);
    const struct item *item = map_get(&queue->items, key);
    int failures = item != NULL ? item->failures : 0;
    pthread_mutex_unlock(&queue->lock);
    return failures;
}

/* ---- workers ---- */

static void wake_due(struct work_queue *queue)
{
    int64_t now = timestamp_monotonic();
    for (struct item *item; (item = first_delayed(queue)) != NULL && item->due <= now;) {
        heap_remove(&queue->delayed, &item->node);
        make_ready(queue, item);
    }
}

static void wait_for_change(struct work_queue *queue)
{
    const struct item *first = first_delayed(queue);
    if (first == NULL) {
        pthread_cond_wait(&queue->changed, &queue->lock);
        return;
    }
    struct timespec until = {first->due / 1000000000, first->due % 1000000000};
    pthread_cond_timedwait(&queue->changed, &queue->lock, &until);
}

static struct item *take_first(struct work_queue *queue)
{
    struct item *item = queue->first;
    int64_t now = timestamp_monotonic();
    queue->first = item->next;
    if (queue->first == NULL) {
        queue->last = NULL;
    }
    queue->ready_count--;
    if (queue->metrics != NULL) {
        metric_observe(queue->metrics->queue_duration, (double)(now - item->since) * 1e-9,
                       metric_labels(queue->name));
    }
    observe_depth(queue);
    item->ready = false;
    item->held = true;
    item->since = now;
    return item;
}

char *work_queue_get(struct work_queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    for (wake_due(queue); !queue->stopped && queue->first == NULL; wake_due(queue)) {
        wait_for_change(queue);
    }
    char *key = queue->stopped ? NULL : duplicate(take_first(queue)->key);
    pthread_mutex_unlock(&queue->lock);
    return key;
}

void work_queue_done(struct work_queue *queue, const char *key)
{
    pthread_mutex_lock(&queue->lock);
    struct item *item = map_get(&queue->items, key);
    if (item != NULL && item->held) {
        if (queue->metrics != NULL) {
            metric_observe(queue->metrics->work_duration,
                           (double)(timestamp_monotonic() - item->since) * 1e-9,
                           metric_labels(queue->name));
        }
        bool again = item->again;
        item->held = false;
        item->again = false;
        if (again) {
            make_ready(queue, item);
        }
        drop_if_idle(queue, item);
    }
    pthread_mutex_unlock(&queue->lock);
}

void work_queue_stop(struct work_queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    queue->stopped = true;
    pthread_cond_broadcast(&queue->changed);
    pthread_mutex_unlock(&queue->lock);
}

size_t work_queue_length(struct work_queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    wake_due(queue);
    size_t count = queue->ready_count;
    pthread_mutex_unlock(&queue->lock);
    return count;
}

/* ---- life ---- */

struct work_queue_metrics *work_queue_metrics_new(struct metrics *metrics)
{
    static const char *const labels[] = {"name", NULL};
    static const double bounds[] = {1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1, 10, 100};
    struct work_queue_metrics *queues = allocate_struct(struct work_queue_metrics);
    queues->depth = metrics_gauge(metrics, "workqueue_depth", "Current depth of workqueue", labels);
    queues->adds = metrics_counter(metrics, "workqueue_adds_total",
                                   "Total number of adds handled by workqueue", labels);
    queues->retries = metrics_counter(metrics, "workqueue_retries_total",
                                      "Total number of retries handled by workqueue", labels);
    queues->queue_duration =
        metrics_histogram(metrics, "workqueue_queue_duration_seconds",
                          "How long in seconds an item stays in workqueue before being requested.",
                          labels, bounds, array_length(bounds));
    queues->work_duration =
        metrics_histogram(metrics, "workqueue_work_duration_seconds",
                          "How long in seconds processing an item from workqueue takes.", labels,
                          bounds, array_length(bounds));
    return queues;
}

void work_queue_metrics_free(struct work_queue_metrics *metrics)
{
    free(metrics);
}

struct work_queue *work_queue_new(const char *name, const struct work_queue_metrics *metrics)
{
    struct work_queue *queue = allocate_struct(struct work_queue);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    queue->name = name;
    queue->metrics = metrics;
    pthread_mutex_init(&queue->lock, NULL);
    pthread_cond_init(&queue->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    queue->delayed = HEAP_INIT(is_due_before);
    return queue;
}

void work_queue_free(struct work_queue *queue)
{
    if (queue == NULL) {
        return;
    }
    map_free(&queue->items, item_free);
    heap_clear(&queue->delayed);
    pthread_cond_destroy(&queue->changed);
    pthread_mutex_destroy(&queue->lock);
    free(queue);
}
