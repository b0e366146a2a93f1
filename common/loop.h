// SPDX-License-Identifier: Apache-2.0
/*
 * An event loop: one thread that runs HTTP transfers, timers and tasks.
 *
 * Everything that waits (requests to the API server, watches, back-off, periodic work) waits here,
 * so that a process needs no thread for each of them. Callbacks run one after another on the
 * loop's thread and must not block: they parse, keep what they got, and wake others.
 *
 * Threads: loop_post(), loop_call() and loop_stop() may be called from any thread; all else only
 * from callbacks of the loop, which own what they touch without locks.
 */
#ifndef COMMON_LOOP_H
#define COMMON_LOOP_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/heap.h"

struct loop;

typedef void (*loop_task)(void *argument);

/* Starts the thread. */
struct loop *loop_new(void);
/* Runs the tasks posted so far, ends all transfers (their 'done' is called with
 * CURLE_ABORTED_BY_CALLBACK), drops the timers and ends the thread. The loop itself stays, so that
 * late loop_post() calls are harmless. Not from the loop's thread. */
void loop_stop(struct loop *loop);
/* Only after loop_stop(), when nobody can call any more. */
void loop_free(struct loop *loop);

/* Runs the task on the loop's thread, in the order of posting. False when the loop has stopped, and
 * the task will not run. */
bool loop_post(struct loop *loop, loop_task task, void *argument);
/* Runs the task on the loop's thread and waits until it has; when the loop has stopped, on the
 * caller's. Not from the loop's own thread. */
void loop_call(struct loop *loop, loop_task task, void *argument);
/* The caller is a callback of the loop. */
bool loop_is_current(const struct loop *loop);

/* A timer, embedded in what it belongs to. Zeroed before its first use. */
struct loop_timer {
    loop_task task;
    void *argument;
    int64_t due; /* Monotonic nanoseconds. */
    struct heap_node node;
};

/* Calls the task once, after that time, replacing what the timer was set to before. */
void loop_timer_set(struct loop *loop, struct loop_timer *timer, int64_t delay_ms, loop_task task,
                    void *argument);
void loop_timer_cancel(struct loop *loop, struct loop_timer *timer);
static inline bool loop_timer_is_set(const struct loop_timer *timer)
{
    return heap_holds(&timer->node);
}

typedef void (*loop_transfer_done)(void *argument, CURLcode result);

/* Starts a transfer of a prepared easy handle (its CURLOPT_PRIVATE is the loop's). 'done' is called
 * once when it ends; the handle is then the caller's again. */
void loop_transfer(struct loop *loop, CURL *easy, loop_transfer_done done, void *argument);
/* Ends a transfer without calling 'done'. Not from one of its own curl callbacks: those end it by
 * their return value. */
void loop_transfer_cancel(struct loop *loop, CURL *easy);

#endif
