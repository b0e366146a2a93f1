// SPDX-License-Identifier: Apache-2.0
/* Pools of threads for requests that may block. Of the idle ones the one that worked
 * last gets the next request: its stack and what it keeps of memory are still in the caches. */
#include <semaphore.h>

#include "apiserver/http/internal.h"
#include "common/alloc.h"
#include "common/stack_size.h"

struct worker {
    struct workers *pool;
    pthread_t thread;
    struct worker *next_idle;
    struct exchange *given; /* NULL when it is woken to stop. */
    sem_t wanted;           /* Each worker has its own: waking one disturbs no other. */
};

struct workers {
    void (*work)(struct exchange *exchange);
    pthread_mutex_t lock;           /* Guards what follows but 'count'. */
    struct exchange *first, **last; /* Not empty only while nobody is idle. */
    struct worker *idle;
    bool stopping;
    unsigned count;
    struct worker each[];
};

static struct exchange *dequeue(struct workers *workers)
{
    struct exchange *exchange = workers->first;
    if (exchange != NULL) {
        workers->first = exchange->next_in_queue;
        if (workers->first == NULL) {
            workers->last = &workers->first;
        }
    }
    return exchange;
}

static struct exchange *take(struct worker *worker)
{
    struct workers *workers = worker->pool;
    pthread_mutex_lock(&workers->lock);
    struct exchange *exchange = dequeue(workers);
    bool waits = exchange == NULL && !workers->stopping;
    if (waits) {
        worker->given = NULL;
        worker->next_idle = workers->idle;
        workers->idle = worker;
    }
    pthread_mutex_unlock(&workers->lock);
    if (!waits) {
        return exchange;
    }
    while (sem_wait(&worker->wanted) != 0) {
        continue; /* Interrupted by a signal. */
    }
    return worker->given;
}

static void *worker_main(void *argument)
{
    struct worker *worker = argument;
    struct exchange *exchange;
    while ((exchange = take(worker)) != NULL) {
        worker->pool->work(exchange);
        MHD_resume_connection(exchange->connection);
    }
    return NULL;
}

struct workers *workers_start(void (*work)(struct exchange *exchange), unsigned count,
                              struct error *error)
{
    struct workers *workers = allocate_zero(1, sizeof *workers + count * sizeof(struct worker));
    workers->work = work;
    workers->last = &workers->first;
    pthread_mutex_init(&workers->lock, NULL);
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, SMALL_STACK_BYTES);
    for (; workers->count < count; workers->count++) {
        struct worker *worker = &workers->each[workers->count];
        worker->pool = workers;
        sem_init(&worker->wanted, 0, 0);
        if (pthread_create(&worker->thread, &attributes, worker_main, worker) != 0) {
            break;
        }
    }
    pthread_attr_destroy(&attributes);
    if (workers->count == 0) {
        error_internal(error, "no threads for the HTTP server");
        workers_free(workers);
        return NULL;
    }
    return workers;
}

bool workers_add(struct workers *workers, struct exchange *exchange)
{
    struct worker *worker = NULL;
    pthread_mutex_lock(&workers->lock);
    bool taken = !workers->stopping;
    if (taken) {
        exchange->state = EXCHANGE_WORKING;
        MHD_suspend_connection(exchange->connection);
        worker = workers->idle;
        if (worker != NULL) {
            workers->idle = worker->next_idle;
            worker->given = exchange;
        } else {
            exchange->next_in_queue = NULL;
            *workers->last = exchange;
            workers->last = &exchange->next_in_queue;
        }
    }
    pthread_mutex_unlock(&workers->lock);
    if (worker != NULL) {
        sem_post(&worker->wanted);
    }
    return taken;
}

void workers_stop(struct workers *workers)
{
    if (workers == NULL) {
        return;
    }
    pthread_mutex_lock(&workers->lock);
    workers->stopping = true;
    struct worker *idle = workers->idle;
    workers->idle = NULL;
    pthread_mutex_unlock(&workers->lock);
    while (idle != NULL) {
        struct worker *next = idle->next_idle; /* Read before it goes. */
        sem_post(&idle->wanted);
        idle = next;
    }
    for (unsigned i = 0; i < workers->count; i++) {
        pthread_join(workers->each[i].thread, NULL);
    }
    workers->count = 0;
}

void workers_free(struct workers *workers)
{
    if (workers == NULL) {
        return;
    }
    pthread_mutex_destroy(&workers->lock);
    free(workers);
}
