// SPDX-License-Identifier: Apache-2.0
/*
 * A fiber keeps its stack and context when its function has returned, and runs the next one's: to
 * begin is then no more than to switch. So the function that stands at the bottom of each stack
 * never returns.
 *
 * swapcontext() asks the kernel for the signal mask each time, for half a microsecond. All threads
 * that run fibers have one mask, so only the way onto a new stack is taken by contexts, and all
 * others by jumps.
 */
#undef _FORTIFY_SOURCE /* Else longjmp() ends the program where it leads to another stack. */
#include "common/fiber.h"

#include <pthread.h>
#include <setjmp.h>
#include <stddef.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "common/alloc.h"
#include "common/stack_size.h"

#if defined(__has_feature)
#define HAS_FEATURE(name) __has_feature(name)
#else
#define HAS_FEATURE(name) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || HAS_FEATURE(address_sanitizer)
#define TELLS_ADDRESS_SANITIZER 1
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(__SANITIZE_THREAD__) || HAS_FEATURE(thread_sanitizer)
#define TELLS_THREAD_SANITIZER 1
#include <sanitizer/tsan_interface.h>
#endif

enum { most_kept = 256 };

/* One side of a switch: a fiber, or the thread that runs it. */
struct side {
    bool was_left; /* It is to be found in 'place'; else it is a fiber that has not begun. */
    jmp_buf place;
    ucontext_t context;
    const void *stack; /* What the sanitizers want to know of the stack … */
    size_t stack_size;
    void *fake_stack;
    void *shadow; /* … and of the thread. */
};

struct fiber {
    void (*run)(void *argument);
    void *argument;
    struct completion *awaited; /* NULL: none. */
    void (*wake)(void *argument);
    void *wake_argument;
    bool ended, refused;
    struct side own, runner;
    struct fiber *next_kept;
};

static _Thread_local struct fiber *current;

/* Fibers without a function. */
static struct {
    pthread_mutex_t lock;
    struct fiber *first;
    size_t count;
} kept = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* ---- switching ---- */

/* What is known of a side once it has been left for the other. */
static void arrive(struct side *side, struct side *left)
{
#ifdef TELLS_ADDRESS_SANITIZER
    __sanitizer_finish_switch_fiber(side->fake_stack, &left->stack, &left->stack_size);
#else
    (void)side;
    (void)left;
#endif
}

#if defined(TELLS_ADDRESS_SANITIZER) || defined(TELLS_THREAD_SANITIZER)
/* Jumps look to the sanitizers as if the stack had been left for good. */
static void leave(struct side *from, struct side *to)
{
    swapcontext(&from->context, &to->context);
}
#else
static void leave(struct side *from, struct side *to)
{
    from->was_left = true;
    if (_setjmp(from->place) != 0) {
        return; /* Somebody has come back. */
    }
    if (to->was_left) {
        _longjmp(to->place, 1);
    }
    setcontext(&to->context);
}
#endif

static void switch_sides(struct side *from, struct side *to)
{
#ifdef TELLS_ADDRESS_SANITIZER
    __sanitizer_start_switch_fiber(&from->fake_stack, to->stack, to->stack_size);
#endif
#ifdef TELLS_THREAD_SANITIZER
    __tsan_switch_to_fiber(to->shadow, 0);
#endif
    leave(from, to);
    arrive(from, to);
}

/* The bottom of each stack. */
static void begin(void)
{
    struct fiber *fiber = current;
    arrive(&fiber->own, &fiber->runner);
    for (;;) {
        fiber->run(fiber->argument);
        fiber->ended = true;
        switch_sides(&fiber->own, &fiber->runner);
    }
}

/* ---- making ---- */

static void prepare(ucontext_t *context, void *stack, size_t size)
{
    getcontext(context);
    context->uc_stack.ss_sp = stack;
    context->uc_stack.ss_size = size;
    makecontext(context, begin, 0);
}

/* A stack with a page below it that nobody may touch, with the fiber itself on top. */
static struct fiber *make(void)
{
    size_t guard = (size_t)sysconf(_SC_PAGESIZE);
    char *memory = mmap(NULL, guard + SMALL_STACK_BYTES, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        return NULL;
    }
    mprotect(memory, guard, PROT_NONE);
    size_t room = (sizeof(struct fiber) + 63) & ~(size_t)63;
    struct fiber *fiber = (struct fiber *)(memory + guard + SMALL_STACK_BYTES - room);
    fiber->own.stack = memory + guard;
    fiber->own.stack_size = SMALL_STACK_BYTES - room;
#ifdef TELLS_THREAD_SANITIZER
    fiber->own.shadow = __tsan_create_fiber(0);
#endif
    prepare(&fiber->own.context, memory + guard, fiber->own.stack_size);
    return fiber;
}

static void destroy(struct fiber *fiber)
{
#ifdef TELLS_THREAD_SANITIZER
    __tsan_destroy_fiber(fiber->own.shadow);
#endif
    size_t guard = (size_t)sysconf(_SC_PAGESIZE);
    munmap((char *)fiber->own.context.uc_stack.ss_sp - guard, guard + SMALL_STACK_BYTES);
}

struct fiber *fiber_new(void (*run)(void *argument), void *argument)
{
    pthread_mutex_lock(&kept.lock);
    struct fiber *fiber = kept.first;
    if (fiber != NULL) {
        kept.first = fiber->next_kept;
        kept.count--;
    }
    pthread_mutex_unlock(&kept.lock);
    fiber = fiber != NULL ? fiber : make();
    if (fiber != NULL) {
        fiber->run = run;
        fiber->argument = argument;
        fiber->ended = fiber->refused = false;
    }
    return fiber;
}

void fiber_free(struct fiber *fiber)
{
    pthread_mutex_lock(&kept.lock);
    bool keeps = kept.count < most_kept;
    if (keeps) {
        fiber->next_kept = kept.first;
        kept.first = fiber;
        kept.count++;
    }
    pthread_mutex_unlock(&kept.lock);
    if (!keeps) {
        destroy(fiber);
    }
}

/* ---- running ---- */

bool fiber_run(struct fiber *fiber)
{
    struct fiber *before = current;
#ifdef TELLS_THREAD_SANITIZER
    fiber->runner.shadow = __tsan_get_current_fiber();
#endif
    fiber->awaited = NULL;
    current = fiber;
    switch_sides(&fiber->runner, &fiber->own);
    current = before;
    return fiber->ended;
}

bool fiber_refuses_to_block(void)
{
    if (current != NULL) {
        current->refused = true;
    }
    return current != NULL;
}

bool fiber_was_refused(const struct fiber *fiber)
{
    return fiber->refused;
}

/* ---- completions ---- */

enum { NOT_YET, PARKED, HAPPENED };

void completion_init(struct completion *completion)
{
    completion->fiber = current;
    atomic_init(&completion->state, NOT_YET);
    if (current == NULL) {
        sem_init(&completion->happened, 0, 0);
    }
}

void completion_wait(struct completion *completion)
{
    struct fiber *fiber = completion->fiber;
    if (fiber == NULL) {
        while (sem_wait(&completion->happened) != 0) {
            continue; /* Interrupted by a signal. */
        }
        sem_destroy(&completion->happened);
        return;
    }
    while (atomic_load(&completion->state) != HAPPENED) {
        fiber->awaited = completion;
        switch_sides(&fiber->own, &fiber->runner);
    }
}

void completion_signal(struct completion *completion)
{
    struct fiber *fiber = completion->fiber;
    if (fiber == NULL) {
        sem_post(&completion->happened);
    } else if (atomic_exchange(&completion->state, HAPPENED) == PARKED) {
        fiber->wake(fiber->wake_argument);
    }
}

bool fiber_waits(const struct fiber *fiber)
{
    return atomic_load(&fiber->awaited->state) != HAPPENED;
}

bool fiber_park(struct fiber *fiber, void (*wake)(void *argument), void *argument)
{
    int state = NOT_YET;
    fiber->wake = wake;
    fiber->wake_argument = argument;
    return atomic_compare_exchange_strong(&fiber->awaited->state, &state, PARKED);
}
