// SPDX-License-Identifier: Apache-2.0
/*
 * The requests of one priority level: those that are served, those that wait in queues, and whose
 * turn it is.
 *
 * Fair queueing: each queue has a virtual time at which its next request would begin if all queues
 * that have something to do were served at once, bit by bit and evenly; the queue whose next
 * request would end first comes first. The set's own virtual time runs at the rate at which a queue
 * gets seats. How long a request takes is guessed (3 ms) when it is called, and put right when it
 * leaves.
 *
 * A request's flow picks its hand of queues (shuffle.h), and it goes where least work waits. A set
 * without queues turns away what finds no seat.
 *
 * Plain data without locks or clocks: callers bring both. Costs are constant, but for calling a
 * request that has waited, which looks at each queue.
 */
#ifndef APISERVER_FLOWCONTROL_QUEUE_SET_H
#define APISERVER_FLOWCONTROL_QUEUE_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "apiserver/flowcontrol/seats.h"

enum queued_state {
    QUEUED_WAITING,
    QUEUED_EXECUTING,
    QUEUED_TIMED_OUT, /* It waited too long, or the set was closed: it is in no queue any more. */
};

/* One request; embedded in what the caller keeps of it. */
struct queued {
    uint64_t flow; /* Hash of whose it is. */
    unsigned seats;
    /* The rest is the set's. */
    enum queued_state state;
    int queue; /* -1: none. */
    int64_t arrived_ns, began_ns;
    double arrival;                 /* Virtual seconds. */
    struct queued *next, *previous; /* In its queue, or among those that are served. */
    struct queued *next_waiting, *previous_waiting; /* Of all queues, by arrival. */
};

struct queued_list {
    struct queued *first, *last;
    size_t count;
};

struct flow_queue {
    struct queued_list waiting;
    uint64_t waiting_seats; /* Of those that wait … */
    uint64_t seats_in_use;  /* … and of those that were called. */
    size_t executing;
    double next_start; /* Virtual seconds. */
};

struct queue_set_options {
    bool exempt;     /* Everything is served at once. */
    unsigned queues; /* 0: nothing waits. */
    unsigned hand_size, queue_length_limit;
};

struct queue_set {
    struct queue_set_options options;
    unsigned limit; /* Seats. */
    struct flow_queue *queues;
    unsigned queue_count; /* Not less than options.queues: others may still have requests. */
    struct queued_list executing;
    struct queued *first_waiting, *last_waiting; /* By arrival. */
    size_t waiting_count;
    uint64_t waiting_seats, seats_in_use;
    unsigned active_queues; /* With requests that wait or are served. */
    unsigned robin;         /* The queue that was called last, so that ties go round. */
    unsigned arrivals;
    double virtual_now;
    int64_t advanced_ns;   /* When 'virtual_now' was right. */
    struct queued *called; /* Linked by 'next_waiting'; see queue_set_next_called(). */
    struct seat_demand demand;
};

enum arrival {
    ARRIVAL_EXECUTES,
    ARRIVAL_WAITS,
    ARRIVAL_QUEUE_FULL,
    ARRIVAL_CONCURRENCY_LIMIT, /* No seat, and no queues. */
};

void queue_set_configure(struct queue_set *set, const struct queue_set_options *options,
                         int64_t now_ns);
/* More seats may call requests, as may all functions below. */
void queue_set_limit(struct queue_set *set, unsigned limit, int64_t now_ns);
/* The request stays the set's until it leaves, has timed out, or is not taken. */
enum arrival queue_set_arrive(struct queue_set *set, struct queued *request, int64_t now_ns);
/* Of a request that is being served. */
void queue_set_leave(struct queue_set *set, struct queued *request, int64_t now_ns);
/* Times out what arrived before then. */
void queue_set_expire(struct queue_set *set, int64_t arrived_before_ns, int64_t now_ns);
/* Takes the next of those whose wait has ended, in the one way or the other; NULL: no more. */
struct queued *queue_set_next_called(struct queue_set *set);
/* No request is in it. */
void queue_set_clear(struct queue_set *set);

#endif
