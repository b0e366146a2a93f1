// SPDX-License-Identifier: Apache-2.0
/*
 * Functions that wait without keeping their thread waiting.
 *
 * A fiber runs a function on a stack of its own. Where the function waits for a completion, its
 * thread gets the control back and does something else; once the completion is signalled, it is
 * told to go on. So a request that waits for the disk costs neither a thread nor the switches
 * between threads, and yet its code reads from top to bottom.
 *
 *     struct fiber *fiber = fiber_new(serve, request);
 *     while (!fiber_run(fiber)) {
 *         if (fiber_park(fiber, wake, request)) {
 *             return;                    // wake() sees to it that this thread comes back here.
 *         }
 *     }
 *     fiber_free(fiber);
 *
 * Whatever else blocks keeps the whole thread waiting, and may even wait for another fiber of the
 * same thread, that is for ever. So who is about to block in another way asks
 * fiber_refuses_to_block() first. Nor may a lock be held over a wait.
 *
 * Threads: a fiber runs on the thread that ran it first. Completions may be signalled from any.
 */
#ifndef COMMON_FIBER_H
#define COMMON_FIBER_H

#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>

struct fiber;

/* Makes a fiber that is going to run the function; NULL when there is no memory for its stack. */
struct fiber *fiber_new(void (*run)(void *argument), void *argument);
/* Runs it until the function returns (true) or waits (false). */
bool fiber_run(struct fiber *fiber);
/* After fiber_run() was false: has 'wake' called, from any thread, perhaps at once, when it is time
 * for fiber_run(). False when it is so already; then 'wake' is not called. */
bool fiber_park(struct fiber *fiber, void (*wake)(void *argument), void *argument);
/* What fiber_park() would say, for who has to prepare for it: a "true" may be out of date. */
bool fiber_waits(const struct fiber *fiber);
/* Only of a fiber whose function has returned. */
void fiber_free(struct fiber *fiber);

/* For who is about to block: true on a fiber, from which it is to return an error instead, before
 * anything has happened that can't be done again. Whoever runs the fiber begins anew elsewhere. */
bool fiber_refuses_to_block(void);
/* The function was refused to block. */
bool fiber_was_refused(const struct fiber *fiber);

/* Something that happens once, and that one waits for: on a fiber or a plain thread. */
struct completion {
    struct fiber *fiber; /* Who waits; NULL: a thread. */
    atomic_int state;
    sem_t happened; /* For a thread. */
};

/* To be called by who is going to wait. */
void completion_init(struct completion *completion);
void completion_wait(struct completion *completion);
/* It has happened. The completion may be gone when this returns. */
void completion_signal(struct completion *completion);

#endif
