// SPDX-License-Identifier: Apache-2.0
/*
 * The pods that wait for a node, in four parts: active (tried as soon as it is their turn: higher
 * priority first, then whoever came first), backing off (to be tried after a time that doubles with
 * each attempt, 1 to 10 s, or as soon as no other is active), unschedulable (until something
 * happens that may help, or five minutes have gone by), and gated.
 *
 * After an error, such as a refused binding, a pod always waits out its time, because haste would
 * only repeat the error.
 *
 * Threads: everything here is guarded by the scheduler's lock.
 */
#ifndef SCHEDULER_QUEUE_H
#define SCHEDULER_QUEUE_H

#include "common/heap.h"
#include "common/map.h"
#include "scheduler/pod_class.h"

enum queue_part { QUEUE_ACTIVE, QUEUE_BACKOFF, QUEUE_UNSCHEDULABLE, QUEUE_GATED, QUEUE_PARTS };

/* Why a pod comes into a part. */
enum queue_cause {
    CAUSE_POD_ADD,
    CAUSE_POD_UPDATE,
    CAUSE_ATTEMPT_FAILED,
    CAUSE_BACKOFF_COMPLETE,
    CAUSE_NO_OTHER, /* It was backing off when no other was active. */
    CAUSE_TIMEOUT,
    CAUSE_POD_LEFT,
    CAUSE_POD_CAME,
    CAUSE_NODE,
    CAUSE_NODE_LEFT,
    CAUSE_VOLUME,
    CAUSE_FORCED,
    QUEUE_CAUSES
};

struct queued_pod {
    char *key, *uid;
    struct pod_class *class; /* A reference. */
    enum queue_part part;
    int attempts;
    int64_t added;         /* When it was first seen, monotonic: its place among equals. */
    int64_t tried;         /* When it last left the queue, monotonic. */
    int64_t retry_at;      /* Not before, monotonic. */
    int64_t parked;        /* Since when it is unschedulable, monotonic. */
    uint32_t plugins;      /* Which plugins rejected it; a bit each, by their place in the table. */
    bool is_error;         /* Its last attempt ended with an error. */
    bool is_helped;        /* Something happened for it alone. */
    struct heap_node node; /* In the heap of its part. */
    struct queued_pod *older, *newer; /* Among those that are unschedulable. */
};

struct queue {
    struct map pods; /* All, by key. */
    struct heap active, backoff, error_backoff;
    struct queued_pod *oldest, *newest; /* Unschedulable, in the order in which they were parked. */
    struct pod_class *parked_classes;   /* Theirs. */
    size_t counts[QUEUE_PARTS];
    uint64_t incoming[QUEUE_PARTS][QUEUE_CAUSES]; /* How many came into each part, and why. */
    int64_t initial_backoff, max_backoff;         /* Nanoseconds; 0: 1 and 10 s. */
    int64_t (*clock)(void);                       /* NULL: timestamp_monotonic(). */
    unsigned pending_events;                      /* Noted, not yet acted upon. */
    unsigned hinted_events; /* Of these it is known whom they help; see hints.h. */
};

void queue_clear(struct queue *queue);

/* A pod that waits, new or changed. 'uid' and 'class' replace what was known. */
void queue_put(struct queue *queue, const char *key, const char *uid, struct pod_class *class);
void queue_remove(struct queue *queue, const char *key);
/* The next to be tried; it leaves the queue and is the caller's until given back or freed. NULL
 * when none is active. */
struct queued_pod *queue_pop(struct queue *queue);
void queued_pod_free(struct queued_pod *pod);

/* Gives a pod back that fitted nowhere because of these plugins. */
void queue_park(struct queue *queue, struct queued_pod *pod, uint32_t rejecting_plugins);
/* Gives a pod back after an error, to be tried again after a while. */
void queue_back_off(struct queue *queue, struct queued_pod *pod);

/* Lets a pod that is unschedulable be tried again, whatever rejected it. */
void queue_activate(struct queue *queue, const char *key);

/* Something happened that may help. Acted upon by queue_wake(). */
static inline void queue_note_event(struct queue *queue, unsigned event)
{
    queue->pending_events |= event;
}
/* Moves what noted events and the time let be tried again. Returns when to call it again
 * (monotonic; INT64_MAX: only an event can help). */
int64_t queue_wake(struct queue *queue, int64_t now);

#endif
