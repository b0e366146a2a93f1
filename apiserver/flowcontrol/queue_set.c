// SPDX-License-Identifier: Apache-2.0
#include "apiserver/flowcontrol/queue_set.h"

#include <string.h>

#include "apiserver/flowcontrol/shuffle.h"
#include "common/alloc.h"

static const double guessed_seconds = 0.003; /* Upstream's. */

/* ---- lists ---- */

static void append(struct queued_list *list, struct queued *request)
{
    request->next = NULL;
    request->previous = list->last;
    if (list->last != NULL) {
        list->last->next = request;
    } else {
        list->first = request;
    }
    list->last = request;
    list->count++;
}

static void take_out(struct queued_list *list, struct queued *request)
{
    if (request->previous != NULL) {
        request->previous->next = request->next;
    } else {
        list->first = request->next;
    }
    if (request->next != NULL) {
        request->next->previous = request->previous;
    } else {
        list->last = request->previous;
    }
    list->count--;
}

static void append_waiting(struct queue_set *set, struct queued *request)
{
    request->next_waiting = NULL;
    request->previous_waiting = set->last_waiting;
    if (set->last_waiting != NULL) {
        set->last_waiting->next_waiting = request;
    } else {
        set->first_waiting = request;
    }
    set->last_waiting = request;
}

static void take_out_waiting(struct queue_set *set, struct queued *request)
{
    if (request->previous_waiting != NULL) {
        request->previous_waiting->next_waiting = request->next_waiting;
    } else {
        set->first_waiting = request->next_waiting;
    }
    if (request->next_waiting != NULL) {
        request->next_waiting->previous_waiting = request->previous_waiting;
    } else {
        set->last_waiting = request->previous_waiting;
    }
}

/* ---- virtual time ---- */

/* Lets virtual time go on as it went since the last change. */
static void advance(struct queue_set *set, int64_t now_ns)
{
    if (set->active_queues > 0 && now_ns > set->advanced_ns) {
        double wanted = (double)(set->seats_in_use + set->waiting_seats);
        double rate = (wanted < set->limit ? wanted : set->limit) / set->active_queues;
        set->virtual_now += rate * (double)(now_ns - set->advanced_ns) / 1e9;
    }
    set->advanced_ns = now_ns;
}

static void tell_demand(struct queue_set *set, int64_t now_ns)
{
    seat_demand_set(&set->demand, (double)(set->seats_in_use + set->waiting_seats), now_ns);
}

static bool is_active(const struct flow_queue *queue)
{
    return queue->waiting.count + queue->executing > 0;
}

/* ---- calling ---- */

/* A request wider than the limit is served alone. */
static bool has_room(const struct queue_set *set, unsigned seats)
{
    return set->options.exempt || set->seats_in_use + seats <= set->limit ||
           (set->seats_in_use == 0 && set->limit > 0);
}

static void begin(struct queue_set *set, struct queued *request, int64_t now_ns)
{
    request->state = QUEUED_EXECUTING;
    request->began_ns = now_ns;
    set->seats_in_use += request->seats;
    append(&set->executing, request);
}

/* No request begins before it arrived, whatever its queue has had too little of before. */
static void bound_next_start(struct flow_queue *queue)
{
    const struct queued *oldest = queue->waiting.first;
    if (oldest != NULL && queue->next_start < oldest->arrival) {
        queue->next_start = oldest->arrival;
    }
}

/* The queue whose next request would end first, from behind the one that was called last. */
static unsigned choose_queue(const struct queue_set *set)
{
    unsigned best = 0;
    double best_end = 0;
    bool found = false;
    for (unsigned i = 1; i <= set->queue_count; i++) {
        unsigned index = (set->robin + i) % set->queue_count;
        const struct flow_queue *queue = &set->queues[index];
        if (queue->waiting.count == 0) {
            continue;
        }
        double end = queue->next_start + guessed_seconds * queue->waiting.first->seats;
        if (!found || end < best_end) {
            found = true;
            best = index;
            best_end = end;
        }
    }
    return best;
}

static void leave_queue(struct queue_set *set, struct queued *request)
{
    struct flow_queue *queue = &set->queues[request->queue];
    take_out(&queue->waiting, request);
    take_out_waiting(set, request);
    queue->waiting_seats -= request->seats;
    set->waiting_seats -= request->seats;
    set->waiting_count--;
}

static void note_called(struct queue_set *set, struct queued *request)
{
    request->next_waiting = set->called;
    set->called = request;
}

/* Calls the request whose turn it is, if there is room for it. */
static struct queued *call_next(struct queue_set *set, int64_t now_ns)
{
    if (set->waiting_count == 0) {
        return NULL;
    }
    unsigned index =
        set->waiting_count == 1 ? (unsigned)set->first_waiting->queue : choose_queue(set);
    struct flow_queue *queue = &set->queues[index];
    struct queued *request = queue->waiting.first;
    if (!has_room(set, request->seats)) {
        return NULL;
    }
    set->robin = index;
    leave_queue(set, request);
    queue->executing++;
    queue->seats_in_use += request->seats;
    queue->next_start += guessed_seconds * request->seats;
    bound_next_start(queue);
    begin(set, request, now_ns);
    return request;
}

static void call_all(struct queue_set *set, int64_t now_ns)
{
    struct queued *request;
    while ((request = call_next(set, now_ns)) != NULL) {
        note_called(set, request);
    }
}

struct queued *queue_set_next_called(struct queue_set *set)
{
    struct queued *request = set->called;
    if (request != NULL) {
        set->called = request->next_waiting;
    }
    return request;
}

/* ---- arriving ---- */

/* That of the flow's hand where the least work waits; each begins to look elsewhere. */
static unsigned queue_of_flow(struct queue_set *set, uint64_t flow)
{
    unsigned hand[SHUFFLE_HAND_MAX], count = set->options.hand_size;
    shuffle_deal(flow, set->options.queues, count, hand);
    unsigned offset = set->arrivals++ % count, best = hand[offset];
    for (unsigned i = 1; i < count; i++) {
        unsigned index = hand[(offset + i) % count];
        if (set->queues[index].waiting_seats < set->queues[best].waiting_seats) {
            best = index;
        }
    }
    return best;
}

static enum arrival arrive_without_queues(struct queue_set *set, struct queued *request,
                                          int64_t now_ns)
{
    request->queue = -1;
    if (!has_room(set, request->seats)) {
        return ARRIVAL_CONCURRENCY_LIMIT;
    }
    begin(set, request, now_ns);
    tell_demand(set, now_ns);
    return ARRIVAL_EXECUTES;
}

static void enter_queue(struct queue_set *set, struct queued *request, unsigned index)
{
    struct flow_queue *queue = &set->queues[index];
    if (!is_active(queue)) {
        set->active_queues++;
        queue->next_start = set->virtual_now;
    }
    request->queue = (int)index;
    request->state = QUEUED_WAITING;
    request->arrival = set->virtual_now;
    append(&queue->waiting, request);
    append_waiting(set, request);
    queue->waiting_seats += request->seats;
    set->waiting_seats += request->seats;
    set->waiting_count++;
    bound_next_start(queue);
}

enum arrival queue_set_arrive(struct queue_set *set, struct queued *request, int64_t now_ns)
{
    request->arrived_ns = now_ns;
    if (set->options.exempt || set->options.queues == 0) {
        return arrive_without_queues(set, request, now_ns);
    }
    advance(set, now_ns);
    unsigned index = queue_of_flow(set, request->flow);
    if (set->queues[index].waiting.count >= set->options.queue_length_limit &&
        set->seats_in_use >= set->limit) {
        return ARRIVAL_QUEUE_FULL;
    }
    enter_queue(set, request, index);
    struct queued *called;
    while ((called = call_next(set, now_ns)) != NULL) {
        if (called != request) {
            note_called(set, called);
        }
    }
    tell_demand(set, now_ns);
    return request->state == QUEUED_EXECUTING ? ARRIVAL_EXECUTES : ARRIVAL_WAITS;
}

/* ---- leaving ---- */

void queue_set_leave(struct queue_set *set, struct queued *request, int64_t now_ns)
{
    advance(set, now_ns);
    take_out(&set->executing, request);
    set->seats_in_use -= request->seats;
    if (request->queue >= 0) {
        struct flow_queue *queue = &set->queues[request->queue];
        double took = (double)(now_ns - request->began_ns) / 1e9;
        queue->executing--;
        queue->seats_in_use -= request->seats;
        queue->next_start -= (guessed_seconds - took) * request->seats;
        bound_next_start(queue);
        set->active_queues -= !is_active(queue);
    }
    call_all(set, now_ns);
    tell_demand(set, now_ns);
}

void queue_set_expire(struct queue_set *set, int64_t arrived_before_ns, int64_t now_ns)
{
    advance(set, now_ns);
    struct queued *request;
    while ((request = set->first_waiting) != NULL && request->arrived_ns < arrived_before_ns) {
        leave_queue(set, request);
        request->state = QUEUED_TIMED_OUT;
        bound_next_start(&set->queues[request->queue]);
        set->active_queues -= !is_active(&set->queues[request->queue]);
        note_called(set, request);
    }
    call_all(set, now_ns); /* One that is narrower than the one before it may find room. */
    tell_demand(set, now_ns);
}

/* ---- the set ---- */

void queue_set_configure(struct queue_set *set, const struct queue_set_options *options,
                         int64_t now_ns)
{
    if (set->demand.began_ns == 0) {
        set->demand.began_ns = set->demand.changed_ns = now_ns;
    }
    advance(set, now_ns);
    set->options = *options;
    if (options->queues > set->queue_count) {
        set->queues = reallocate(set->queues, options->queues * sizeof *set->queues);
        memset(set->queues + set->queue_count, 0,
               (options->queues - set->queue_count) * sizeof *set->queues);
        set->queue_count = options->queues;
    }
    call_all(set, now_ns);
}

void queue_set_limit(struct queue_set *set, unsigned limit, int64_t now_ns)
{
    advance(set, now_ns);
    set->limit = limit;
    call_all(set, now_ns);
}

void queue_set_clear(struct queue_set *set)
{
    free(set->queues);
    set->queues = NULL;
    set->queue_count = 0;
}
