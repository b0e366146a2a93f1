// SPDX-License-Identifier: Apache-2.0
/* Serving a request that is all there: its turn, and on what it is served (here, on a fiber or on a
 * worker), until its response is filled. */
#include <semaphore.h>

#include "apiserver/http/internal.h"
#include "common/alloc.h"
#include "common/fiber.h"

enum { fibers_max = 1024 };

/* ---- its turn ---- */

static void turn_sleep(struct turn *turn)
{
    struct exchange *exchange = container_of(turn, struct exchange, turn);
    exchange->state = EXCHANGE_WAITING;
    MHD_suspend_connection(exchange->connection);
}

static void turn_wake(struct turn *turn)
{
    struct exchange *exchange = container_of(turn, struct exchange, turn);
    exchange->state = EXCHANGE_CALLED;
    MHD_resume_connection(exchange->connection);
}

void exchange_await_turn(struct exchange *exchange)
{
    exchange->turn = (struct turn){.sleep = turn_sleep, .wake = turn_wake};
}

static void note_turn(struct exchange *exchange)
{
    const struct handler *handler = &exchange->server->handler;
    if (handler->note != NULL) {
        handler->note(handler->argument, &exchange->turn, &exchange->response);
    }
}

void exchange_leave_turn(struct exchange *exchange)
{
    const struct handler *handler = &exchange->server->handler;
    if (exchange->turn.ticket != NULL) {
        handler->leave(handler->argument, &exchange->turn);
    }
}

/* ---- serving ---- */

static void serve_request(void *argument)
{
    struct exchange *exchange = argument;
    const struct handler *handler = &exchange->server->handler;
    handler->serve(handler->argument, &exchange->request, &exchange->response);
}

static void finish_serving(struct exchange *exchange)
{
    note_turn(exchange);
    if (exchange->response.body != NULL && exchange->response.body->stream) {
        exchange_leave_turn(exchange);
    }
    exchange->state = EXCHANGE_SERVED;
}

void exchange_serve(struct exchange *exchange)
{
    serve_request(exchange);
    finish_serving(exchange);
}

static enum MHD_Result serve_on_worker(struct exchange *exchange)
{
    return workers_add(exchange->server->workers, exchange)
               ? MHD_YES
               : exchange_refuse_while_stopping(exchange);
}

/* Whether there may be one more: each keeps a stack, and none may be there when the server ends. */
static bool count_fiber_in(struct server *server)
{
    pthread_mutex_lock(&server->lock);
    bool counted = !server->closing && server->fibers < fibers_max;
    server->fibers += counted;
    pthread_mutex_unlock(&server->lock);
    return counted;
}

static void count_fiber_out(struct server *server)
{
    pthread_mutex_lock(&server->lock);
    if (--server->fibers == 0) {
        pthread_cond_signal(&server->idle);
    }
    pthread_mutex_unlock(&server->lock);
}

static enum MHD_Result end_fiber(struct exchange *exchange)
{
    bool refused = fiber_was_refused(exchange->fiber);
    fiber_free(exchange->fiber);
    exchange->fiber = NULL;
    count_fiber_out(exchange->server);
    if (refused) {
        response_clear(&exchange->response);
        exchange->response = (struct response){0};
        return serve_on_worker(exchange);
    }
    finish_serving(exchange);
    return exchange_answer(exchange);
}

static void resume(void *argument)
{
    struct exchange *exchange = argument;
    MHD_resume_connection(exchange->connection);
}

/* Serves as far as it goes. */
enum MHD_Result exchange_go_on(struct exchange *exchange)
{
    while (!fiber_run(exchange->fiber)) {
        if (fiber_waits(exchange->fiber)) {
            exchange->state = EXCHANGE_PARKED;
            MHD_suspend_connection(exchange->connection);
            if (!fiber_park(exchange->fiber, resume, exchange)) {
                MHD_resume_connection(exchange->connection);
            }
            return MHD_YES;
        }
    }
    return end_fiber(exchange);
}

static enum MHD_Result serve_on_fiber(struct exchange *exchange)
{
    if (!count_fiber_in(exchange->server)) {
        return serve_on_worker(exchange);
    }
    exchange->fiber = fiber_new(serve_request, exchange);
    if (exchange->fiber == NULL) {
        count_fiber_out(exchange->server);
        return serve_on_worker(exchange);
    }
    return exchange_go_on(exchange);
}

static enum admittance admit(struct exchange *exchange, struct error *error)
{
    const struct handler *handler = &exchange->server->handler;
    return handler->admit != NULL
               ? handler->admit(handler->argument, &exchange->request, &exchange->turn, error)
               : ADMITTANCE_NOW;
}

/* Serves the request if its turn has come. */
enum MHD_Result exchange_take_turn(struct exchange *exchange)
{
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    struct server *server = exchange->server;
    enum admittance admittance = admit(exchange, &error);
    if (admittance == ADMITTANCE_WAIT) {
        return MHD_YES; /* Another thread may have it by now. */
    }
    if (admittance == ADMITTANCE_REFUSED) {
        exchange_refuse(exchange, &error);
        note_turn(exchange);
        return exchange_answer(exchange);
    }
    switch (server->handler.waits(server->handler.argument, &exchange->request)) {
    case WAITS_FOR_NOTHING:
        exchange_serve(exchange);
        return exchange_answer(exchange);
    case WAITS_FOR_COMPLETIONS:
        return serve_on_fiber(exchange);
    default:
        return serve_on_worker(exchange);
    }
}

static void post(void *semaphore)
{
    sem_post(semaphore);
}

/* The connection was closed before its fiber could go on: what it has begun comes to its end, on
 * the one thread that it may run on. What it waits for has limits. */
void exchange_end_fiber(struct exchange *exchange)
{
    sem_t woken;
    sem_init(&woken, 0, 0);
    while (!fiber_run(exchange->fiber)) {
        if (fiber_park(exchange->fiber, post, &woken)) {
            while (sem_wait(&woken) != 0) {
                continue; /* Interrupted by a signal. */
            }
        }
    }
    sem_destroy(&woken);
    fiber_free(exchange->fiber);
    exchange->fiber = NULL;
    count_fiber_out(exchange->server);
}
