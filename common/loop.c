// SPDX-License-Identifier: Apache-2.0
/*
 * epoll does the waiting: for files of others, for curl's sockets, which it tells of through a
 * callback, and for an eventfd that a posted task signals; the next timer says for how long. So a
 * round costs what has happened in it, however many connections there are. Timers stand in a binary
 * heap, which thousands of simulated containers ask for.
 */
#include "common/loop.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
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

/* A connection that is made, or was and stays with the loop. */
struct connect {
    CURL *easy;
    loop_connected done;
    void *argument;
    struct connect *previous, *next;
};

struct loop {
    pthread_t thread;
    int epoll_file;
    struct loop_file wake_file;
    CURLM *multi;     /* This and all down to the lock is the thread's own. */
    int64_t curl_due; /* When curl wants to be called, monotonic; INT64_MAX: not by itself. */
    struct heap timers;
    struct connect *connects;
    struct epoll_event events[events_max]; /* Of this round; NULL: of a file that was forgotten. */
    int event_count;

    pthread_mutex_t lock; /* Guards what follows. */
    struct task *tasks;
    size_t task_count, task_capacity;
    bool stopping, stopped;
    atomic_bool sleeps; /* Set under the lock, when there is nothing to run. */
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
    ssize_t ignored = write(loop->wake_file.file, &one, sizeof one); /* It can't be full. */
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
    if (accepted && first && atomic_load(&loop->sleeps)) {
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

/* ---- files ---- */

void loop_file_watch(struct loop *loop, struct loop_file *file, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = file};
    epoll_ctl(loop->epoll_file, file->is_watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, file->file,
              &event);
    file->is_watched = true;
}

void loop_file_forget(struct loop *loop, struct loop_file *file)
{
    if (!file->is_watched) {
        return;
    }
    file->is_watched = false;
    epoll_ctl(loop->epoll_file, EPOLL_CTL_DEL, file->file, NULL);
    for (int i = 0; i < loop->event_count; i++) {
        if (loop->events[i].data.ptr == file) {
            loop->events[i].data.ptr = NULL;
        }
    }
}

/* ---- connecting ---- */

void loop_connect(struct loop *loop, CURL *easy, loop_connected done, void *argument)
{
    struct connect *connect = allocate_struct(struct connect);
    *connect =
        (struct connect){.easy = easy, .done = done, .argument = argument, .next = loop->connects};
    if (loop->connects != NULL) {
        loop->connects->previous = connect;
    }
    loop->connects = connect;
    curl_easy_setopt(easy, CURLOPT_PRIVATE, connect);
    curl_multi_add_handle(loop->multi, easy);
}

/* Takes it off the loop. */
static void connect_remove(struct loop *loop, struct connect *connect)
{
    curl_multi_remove_handle(loop->multi, connect->easy);
    curl_easy_setopt(connect->easy, CURLOPT_PRIVATE, NULL);
    if (connect->previous != NULL) {
        connect->previous->next = connect->next;
    } else {
        loop->connects = connect->next;
    }
    if (connect->next != NULL) {
        connect->next->previous = connect->previous;
    }
    free(connect);
}

void loop_disconnect(struct loop *loop, CURL *easy)
{
    struct connect *connect = NULL;
    curl_easy_getinfo(easy, CURLINFO_PRIVATE, &connect);
    if (connect != NULL) {
        connect_remove(loop, connect);
    }
}

static void connect_end(struct loop *loop, struct connect *connect, CURLcode result)
{
    struct connect ended = *connect;
    if (result != CURLE_OK) {
        connect_remove(loop, connect);
    }
    ended.done(ended.argument, result);
}

/* A socket of curl's. */
struct curl_file {
    struct loop *loop;
    struct loop_file file;
};

static void run_socket(void *argument, uint32_t events)
{
    const struct curl_file *socket = argument;
    int running, mask = (events & EPOLLIN ? CURL_CSELECT_IN : 0) |
                        (events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
                        (events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0);
    curl_multi_socket_action(socket->loop->multi, socket->file.file, mask, &running);
}

/* curl says for which events of a socket it waits. */
static int watch_socket(CURL *easy, curl_socket_t socket, int what, void *argument, void *known)
{
    struct loop *loop = argument;
    struct curl_file *file = known;
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (file != NULL) {
            loop_file_forget(loop, &file->file);
            free(file);
        }
        return 0;
    }
    if (file == NULL) {
        file = allocate_struct(struct curl_file);
        file->loop = loop;
        file->file = (struct loop_file){.ready = run_socket, .argument = file, .file = socket};
        curl_multi_assign(loop->multi, socket, file);
    }
    loop_file_watch(loop, &file->file,
                    (what & CURL_POLL_IN ? EPOLLIN : 0) | (what & CURL_POLL_OUT ? EPOLLOUT : 0));
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

static void end_connecting(struct loop *loop)
{
    int left;
    for (CURLMsg *message; (message = curl_multi_info_read(loop->multi, &left)) != NULL;) {
        struct connect *connect = NULL;
        CURLcode result = message->data.result;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &connect);
        if (message->msg == CURLMSG_DONE && connect != NULL) {
            connect_end(loop, connect, result);
        }
    }
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
    atomic_store(&loop->sleeps, !has_work);
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

static void was_woken(void *argument, uint32_t events)
{
    struct loop *loop = argument;
    uint64_t ignored;
    ssize_t got = read(loop->wake_file.file, &ignored, sizeof ignored);
    (void)got;
    (void)events;
}

static void wait_for_work(struct loop *loop)
{
    loop->event_count = epoll_wait(loop->epoll_file, loop->events, events_max, wait_ms(loop));
    atomic_store(&loop->sleeps, false);
    for (int i = 0; i < loop->event_count; i++) {
        const struct loop_file *file = loop->events[i].data.ptr;
        if (file != NULL) {
            file->ready(file->argument, loop->events[i].events);
        }
    }
    loop->event_count = 0;
    run_curl_timer(loop);
    end_connecting(loop);
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

/* Answers and events come in swarms. A thread that the first of them had take the processor from
 * those who make the others would wake up for each; as one for batches it finds several at once.
 * It is as quick as before where a processor is free. */
static void let_others_finish(void)
{
    static const struct sched_param unused = {0};
    if (sched_getscheduler(0) == SCHED_OTHER) {      /* Nobody has chosen otherwise. */
        sched_setscheduler(0, SCHED_BATCH, &unused); /* If it may not, so be it. */
    }
}

static void *loop_main(void *argument)
{
    struct loop *loop = argument;
    let_others_finish();
    while (!is_stopping(loop)) {
        run_tasks(loop);
        run_timers(loop);
        wait_for_work(loop);
    }
    do {
        run_tasks(loop);
        while (loop->connects != NULL) {
            // Each takes itself off the list. NOLINTNEXTLINE(clang-analyzer-unix.Malloc)
            connect_end(loop, loop->connects, CURLE_ABORTED_BY_CALLBACK);
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
    loop->epoll_file = epoll_create1(EPOLL_CLOEXEC);
    loop->wake_file = (struct loop_file){
        .ready = was_woken, .argument = loop, .file = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    if (loop->epoll_file < 0 || loop->wake_file.file < 0) {
        log_error("an event loop can't be made: %s", strerror(errno));
        abort();
    }
    loop_file_watch(loop, &loop->wake_file, EPOLLIN);
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
    close(loop->wake_file.file);
    heap_clear(&loop->timers);
    free(loop->tasks);
    pthread_mutex_destroy(&loop->lock);
    free(loop);
}
