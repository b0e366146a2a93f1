// SPDX-License-Identifier: Apache-2.0
/* Pools of threads for requests that wait for disk or network. */
#include "apiserver/http/internal.h"
#include "common/alloc.h"

enum { stack_size_bytes = 512 << 10 };

struct workers {
    void (*work)(struct exchange *exchange);
    pthread_mutex_t lock; /* Guards the queue. */
    pthread_cond_t wanted;
    struct exchange *first, **last;
    bool stopping;
    unsigned count;
    pthread_t threads[];
};

static struct exchange *take(struct workers *workers)
{
    pthread_mutex_lock(&workers->lock);
    while (workers->first == NULL && !workers->stopping) {
        pthread_cond_wait(&workers->wanted, &workers->lock);
    }
    struct exchange *exchange = workers->first;
    if (exchange != NULL) {
        workers->first = exchange->next_in_queue;
        if (workers->first == NULL) {
            workers->last = &workers->first;
        }
    }
    pthread_mutex_unlock(&workers->lock);
    return exchange;
}

static void *worker_main(void *argument)
{
    struct workers *workers = argument;
    struct exchange *exchange;
    while ((exchange = take(workers)) != NULL) {
        workers->work(exchange);
        MHD_resume_connection(exchange->connection);
    }
    return NULL;
}

struct workers *workers_start(void (*work)(struct exchange *exchange), unsigned count,
                              struct error *error)
{
    struct workers *workers = allocate_zero(1, sizeof *workers + count * sizeof(pthread_t));
    workers->work = work;
    workers->last = &workers->first;
    pthread_mutex_init(&workers->lock, NULL);
    pthread_cond_init(&workers->wanted, NULL);
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, stack_size_bytes);
    for (; workers->count < count; workers->count++) {
        if (pthread_create(&workers->threads[workers->count], &attributes, worker_main, workers) !=
            0) {
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
    pthread_mutex_lock(&workers->lock);
    bool taken = !workers->stopping;
    if (taken) {
        exchange->state = EXCHANGE_WORKING;
        MHD_suspend_connection(exchange->connection);
        exchange->next_in_queue = NULL;
        *workers->last = exchange;
        workers->last = &exchange->next_in_queue;
        pthread_cond_signal(&workers->wanted);
    }
    pthread_mutex_unlock(&workers->lock);
    return taken;
}

void workers_stop(struct workers *workers)
{
    if (workers == NULL) {
        return;
    }
    pthread_mutex_lock(&workers->lock);
    workers->stopping = true;
    pthread_cond_broadcast(&workers->wanted);
    pthread_mutex_unlock(&workers->lock);
    for (unsigned i = 0; i < workers->count; i++) {
        pthread_join(workers->threads[i], NULL);
    }
    workers->count = 0;
}

void workers_free(struct workers *workers)
{
    if (workers == NULL) {
        return;
    }
    pthread_mutex_destroy(&workers->lock);
    pthread_cond_destroy(&workers->wanted);
    free(workers);
}
