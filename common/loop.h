// SPDX-License-Identifier: Apache-2.0
/*
 * An event loop: one thread that makes connections, waits for them, and runs timers and tasks.
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
/* Runs the tasks posted so far, ends all connections (their 'done' is called with
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

/* A file descriptor that may become readable or writable, embedded in what it belongs to. Zeroed
 * before its first use. */
struct loop_file {
    void (*ready)(void *argument, uint32_t events); /* Of epoll. */
    void *argument;
    int file;
    bool is_watched;
};

/* Calls 'ready' whenever one of these events (of epoll, level-triggered) is there, or an error. */
void loop_file_watch(struct loop *loop, struct loop_file *file, uint32_t events);
/* Nothing is called any more. Before the descriptor is closed. */
void loop_file_forget(struct loop *loop, struct loop_file *file);

typedef void (*loop_connected)(void *argument, CURLcode result);

/* Has curl make a connection with an easy handle that only connects (CURLOPT_CONNECT_ONLY; its
 * CURLOPT_PRIVATE is the loop's). 'done' is called once; when it has succeeded, the handle and the
 * connection stay with the loop until loop_disconnect(), or until the loop stops, which calls
 * 'done' once more, with CURLE_ABORTED_BY_CALLBACK. */
void loop_connect(struct loop *loop, CURL *easy, loop_connected done, void *argument);
/* The handle is the caller's again; 'done' is not called. */
void loop_disconnect(struct loop *loop, CURL *easy);

#endif
