// SPDX-License-Identifier: Apache-2.0
/*
 * epoll does the waiting: for curl's sockets, which it tells of through a callback, and for an
 * eventfd that a posted task signals; the next timer says for how long. So a round costs what has
 * happened in it, however many transfers there are. Timers stand in a binary heap, which thousands
 * of simulated containers ask for.
 */
#include "common/loop.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <string.h>

#include "common/alloc.h"
#include "common/log.h"
#include "common/timestamp.h"

enum { longest_wait_ms = 60000, events_max = 64 };

struct task {
    loop_task run;
    void *argument;
};

struct transfer {
    CURL *easy;
    loop_transfer_done done;
    void *argument;
    struct transfer *previous, *next;
    bool is_held; /* Curl did not take it yet. */
};

struct loop {
    pthread_t thread;
    int epoll_file, wake_file;
    CURLM *multi;     /* This and all down to the lock is the thread's own. */
    int64_t curl_due; /* When curl wants to be called, monotonic; INT64_MAX: not by itself. */
    struct heap timers;
    struct transfer *transfers;
    bool has_held; /* Some of them are. */

    pthread_mutex_t lock; /* Guards what follows. */
    struct task *tasks;
    size_t task_count, task_capacity;
    bool stopping, stopped;
};

/* ---- timers ---- */

static struct loop_timer *timer_of(const struct heap_node *node)
{
    return container_of(node, struct loop_timer, node);
}

static bool is_due_before(const struct heap_node *a, const struct heap_node *b)
{
    return timer_of(a)->due < timer_of(b)->due;
}

/* The next timer, NULL when none is set. */
static struct loop_timer *first_timer(const struct loop *loop)
{
    struct heap_node *first = heap_first(&loop->timers);
    return first != NULL ? timer_of(first) : NULL;
}

void loop_timer_cancel(struct loop *loop, struct loop_timer *timer)
{
    heap_remove(&loop->timers, &timer->node);
}

void loop_timer_set(struct loop *loop, struct loop_timer *timer, int64_t delay_ms, loop_task task,
                    void *argument)
{
    loop_timer_cancel(loop, timer);
    timer->task = task;
    timer->argument = argument;
    timer->due = timestamp_monotonic() + (delay_ms > 0 ? delay_ms : 0) * 1000000;
    heap_insert(&loop->timers, &timer->node);
}

static void run_timers(struct loop *loop)
{
    int64_t now = timestamp_monotonic();
    for (struct loop_timer *timer; (timer = first_timer(loop)) != NULL && timer->due <= now;) {
        loop_timer_cancel(loop, timer);
        timer->task(timer->argument);
    }
}

/* ---- tasks ---- */

static void wake(struct loop *loop)
{
    uint64_t one = 1;
    ssize_t ignored = write(loop->wake_file, &one, sizeof one); /* It can't be full. */
    (void)ignored;
}

bool loop_post(struct loop *loop, loop_task task, void *argument)
{
    pthread_mutex_lock(&loop->lock);
    bool accepted = !loop->stopped;
    if (accepted) {
        loop->tasks =
            grow(loop->tasks, loop->task_count, &loop->task_capacity, sizeof(struct task));
        loop->tasks[loop->task_count++] = (struct task){task, argument};
    }
    bool first = loop->task_count == 1;
    pthread_mutex_unlock(&loop->lock);
    if (accepted && first) {
        wake(loop);
    }
    return accepted;
}

struct waiting_call {
    loop_task task;
    void *argument;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool is_done;
};

static void run_waiting_call(void *argument)
{
    struct waiting_call *call = argument;
    call->task(call->argument);
    pthread_mutex_lock(&call->lock);
    call->is_done = true;
    pthread_cond_signal(&call->changed);
    pthread_mutex_unlock(&call->lock);
}

void loop_call(struct loop *loop, loop_task task, void *argument)
{
    struct waiting_call call = {task, argument, PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER,
                                false};
    if (!loop_post(loop, run_waiting_call, &call)) {
        task(argument);
        return;
    }
    pthread_mutex_lock(&call.lock);
    while (!call.is_done) {
        pthread_cond_wait(&call.changed, &call.lock);
    }
    pthread_mutex_unlock(&call.lock);
}

/* Runs what was posted; what is posted meanwhile waits for the next round. */
static void run_tasks(struct loop *loop)
{
    pthread_mutex_lock(&loop->lock);
    struct task *tasks = steal(loop->tasks);
    size_t count = loop->task_count;
    loop->task_count = 0;
    loop->task_capacity = 0;
    pthread_mutex_unlock(&loop->lock);
    for (size_t i = 0; i < count; i++) {
        tasks[i].run(tasks[i].argument);
    }
    free(tasks);
}

bool loop_is_current(const struct loop *loop)
{
    return pthread_equal(loop->thread, pthread_self());
}

/* ---- transfers ---- */

void loop_transfer(struct loop *loop, CURL *easy, loop_transfer_done done, void *argument)
{
    struct transfer *transfer = allocate_struct(struct transfer);
    *transfer = (struct transfer){
        .easy = easy, .done = done, .argument = argument, .next = loop->transfers};
    if (loop->transfers != NULL) {
        loop->transfers->previous = transfer;
    }
    loop->transfers = transfer;
    curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer);
    /* Within one of curl's callbacks, such as a watch's event, it takes none. */
    transfer->is_held = curl_multi_add_handle(loop->multi, easy) == CURLM_RECURSIVE_API_CALL;
    loop->has_held = loop->has_held || transfer->is_held;
}

static void add_held_transfers(struct loop *loop)
{
    if (!loop->has_held) {
        return;
    }
    loop->has_held = false;
    for (struct transfer *transfer = loop->transfers; transfer != NULL; transfer = transfer->next) {
        if (transfer->is_held) {
            transfer->is_held = false;
            curl_multi_add_handle(loop->multi, transfer->easy);
        }
    }
}

/* Takes it off the loop. */
static void transfer_remove(struct loop *loop, struct transfer *transfer)
{
    curl_multi_remove_handle(loop->multi, transfer->easy);
    curl_easy_setopt(transfer->easy, CURLOPT_PRIVATE, NULL);
    if (transfer->previous != NULL) {
        transfer->previous->next = transfer->next;
    } else {
        loop->transfers = transfer->next;
    }
    if (transfer->next != NULL) {
        transfer->next->previous = transfer->previous;
    }
    free(transfer);
}

void loop_transfer_cancel(struct loop *loop, CURL *easy)
{
    struct transfer *transfer = NULL;
    curl_easy_getinfo(easy, CURLINFO_PRIVATE, &transfer);
    if (transfer != NULL) {
        transfer_remove(loop, transfer);
    }
}

static void transfer_end(struct loop *loop, struct transfer *transfer, CURLcode result)
{
    struct transfer ended = *transfer;
    transfer_remove(loop, transfer);
    ended.done(ended.argument, result);
}

/* curl says for which events of a socket it waits. */
static int watch_socket(CURL *easy, curl_socket_t socket, int what, void *argument, void *known)
{
    struct loop *loop = argument;
    struct epoll_event event = {.data.fd = socket};
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        epoll_ctl(loop->epoll_file, EPOLL_CTL_DEL, socket, NULL);
        return 0;
    }
    event.events = (what & CURL_POLL_IN ? EPOLLIN : 0) | (what & CURL_POLL_OUT ? EPOLLOUT : 0);
    epoll_ctl(loop->epoll_file, known != NULL ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, socket, &event);
    curl_multi_assign(loop->multi, socket, loop);
    return 0;
}

static int set_curl_timer(CURLM *multi, long timeout_ms, void *argument)
{
    struct loop *loop = argument;
    (void)multi;
    loop->curl_due =
        timeout_ms < 0 ? INT64_MAX : timestamp_monotonic() + (int64_t)timeout_ms * 1000000;
    return 0;
}

static void end_finished_transfers(struct loop *loop)
{
    int left;
    for (CURLMsg *message; (message = curl_multi_info_read(loop->multi, &left)) != NULL;) {
        struct transfer *transfer = NULL;
        CURLcode result = message->data.result;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
        if (message->msg == CURLMSG_DONE && transfer != NULL) {
            transfer_end(loop, transfer, result);
        }
    }
}

static void run_socket(struct loop *loop, const struct epoll_event *event)
{
    int running, mask = (event->events & EPOLLIN ? CURL_CSELECT_IN : 0) |
                        (event->events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
                        (event->events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0);
    curl_multi_socket_action(loop->multi, event->data.fd, mask, &running);
}

static void run_curl_timer(struct loop *loop)
{
    int running;
    if (loop->curl_due <= timestamp_monotonic()) {
        loop->curl_due = INT64_MAX;
        curl_multi_socket_action(loop->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    }
}

/* ---- the thread ---- */

static int wait_ms(struct loop *loop)
{
    int64_t due = loop->curl_due;
    pthread_mutex_lock(&loop->lock);
    bool has_work = loop->task_count > 0 || loop->stopping;
    pthread_mutex_unlock(&loop->lock);
    const struct loop_timer *timer = first_timer(loop);
    if (timer != NULL && timer->due < due) {
        due = timer->due;
    }
    if (has_work) {
        return 0;
    }
    if (due == INT64_MAX) {
        return longest_wait_ms;
    }
    int64_t left = due - timestamp_monotonic();
    int64_t wait = left <= 0 ? 0 : left / 1000000 + 1;
    return (int)(wait < longest_wait_ms ? wait : longest_wait_ms);
}

static void wait_for_work(struct loop *loop)
{
    struct epoll_event events[events_max];
    int count = epoll_wait(loop->epoll_file, events, events_max, wait_ms(loop));
    for (int i = 0; i < count; i++) {
        if (events[i].data.fd == loop->wake_file) {
            uint64_t ignored;
            ssize_t got = read(loop->wake_file, &ignored, sizeof ignored);
            (void)got;
        } else {
            run_socket(loop, &events[i]);
        }
    }
    run_curl_timer(loop);
    add_held_transfers(loop);
    end_finished_transfers(loop);
}

static bool is_stopping(struct loop *loop)
{
    pthread_mutex_lock(&loop->lock);
    bool stopping = loop->stopping;
    pthread_mutex_unlock(&loop->lock);
    return stopping;
}

/* From here on nothing is accepted; false when something was posted before. */
static bool close_tasks(struct loop *loop)
{
    pthread_mutex_lock(&loop->lock);
    loop->stopped = loop->task_count == 0;
    bool stopped = loop->stopped;
    pthread_mutex_unlock(&loop->lock);
    return stopped;
}

static void *loop_main(void *argument)
{
    struct loop *loop = argument;
    while (!is_stopping(loop)) {
        run_tasks(loop);
        run_timers(loop);
        wait_for_work(loop);
    }
    do {
        run_tasks(loop);
        while (loop->transfers != NULL) {
            // Each takes itself off the list. NOLINTNEXTLINE(clang-analyzer-unix.Malloc)
            transfer_end(loop, loop->transfers, CURLE_ABORTED_BY_CALLBACK);
        }
        for (struct loop_timer *timer; (timer = first_timer(loop)) != NULL;) {
            loop_timer_cancel(loop, timer);
        }
    } while (!close_tasks(loop));
    return NULL;
}

/* Signals are for the program's own threads, and none may come of a connection that breaks. */
static void start_thread(struct loop *loop)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_mutex_lock(&loop->lock); /* The thread waits for it, and then knows its own id. */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&loop->thread, NULL, loop_main, loop);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_mutex_unlock(&loop->lock);
    if (failed != 0) {
        log_error("an event loop's thread can't be started: %s", strerror(failed));
        abort();
    }
}

struct loop *loop_new(void)
{
    struct loop *loop = allocate_struct(struct loop);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    struct epoll_event event = {.events = EPOLLIN};
    loop->epoll_file = epoll_create1(EPOLL_CLOEXEC);
    loop->wake_file = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (loop->epoll_file < 0 || loop->wake_file < 0) {
        log_error("an event loop can't be made: %s", strerror(errno));
        abort();
    }
    event.data.fd = loop->wake_file;
    epoll_ctl(loop->epoll_file, EPOLL_CTL_ADD, loop->wake_file, &event);
    loop->curl_due = INT64_MAX;
    loop->multi = curl_multi_init();
    curl_multi_setopt(loop->multi, CURLMOPT_SOCKETFUNCTION, watch_socket);
    curl_multi_setopt(loop->multi, CURLMOPT_SOCKETDATA, loop);
    curl_multi_setopt(loop->multi, CURLMOPT_TIMERFUNCTION, set_curl_timer);
    curl_multi_setopt(loop->multi, CURLMOPT_TIMERDATA, loop);
    curl_multi_setopt(loop->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
    curl_multi_setopt(loop->multi, CURLMOPT_MAXCONNECTS, 256L);
    loop->timers = HEAP_INIT(is_due_before);
    pthread_mutex_init(&loop->lock, NULL);
    start_thread(loop);
    return loop;
}

void loop_stop(struct loop *loop)
{
    pthread_mutex_lock(&loop->lock);
    bool first = !loop->stopping;
    loop->stopping = true;
    pthread_mutex_unlock(&loop->lock);
    if (!first) {
        return;
    }
    wake(loop);
    pthread_join(loop->thread, NULL);
}

void loop_free(struct loop *loop)
{
    if (loop == NULL) {
        return;
    }
    loop_stop(loop);
    curl_multi_cleanup(loop->multi);
    close(loop->epoll_file);
    close(loop->wake_file);
    heap_clear(&loop->timers);
    free(loop->tasks);
    pthread_mutex_destroy(&loop->lock);
    free(loop);
}
