// SPDX-License-Identifier: Apache-2.0
#include "apiserver/flowcontrol/flowcontrol.h"

#include <string.h>
#include <time.h>

#include "apiserver/flowcontrol/internal.h"
#include "common/alloc.h"
#include "common/timestamp.h"

static const int64_t adjustment_ns = INT64_C(10) * 1000000000; /* As upstream. */

enum { objects_a_seat = 100, list_seats_max = 10, list_part_of_level = 15 /* % */ };

/* ---- arriving ---- */

static int64_t wait_limit(const struct flowcontrol *flowcontrol)
{
    return flowcontrol->options.request_timeout_ns / 4;
}

/* How many objects a list may look at. */
static size_t objects_of_list(struct flowcontrol *flowcontrol, const struct request *request)
{
    const struct request_info *info = &request->info;
    struct registry *registry = flowcontrol->registry;
    const struct resource *resource =
        scheme_resource_find(registry->scheme, info->group, info->version, info->plural);
    struct cache_table *table = resource ? cache_table(registry->cache, resource) : NULL;
    size_t stored = table ? cache_count(table) : 0;
    const char *limit = request_parameter(request, "limit");
    long long limited = limit ? strtoll(limit, NULL, 10) : 0;
    bool selects = request_parameter(request, "labelSelector") != NULL ||
                   request_parameter(request, "fieldSelector") != NULL;
    return limited > 0 && !selects && (size_t)limited < stored ? (size_t)limited : stored;
}

static unsigned seats_of(struct flowcontrol *flowcontrol, const struct priority_level *level,
                         const struct request *request)
{
    const struct request_info *info = &request->info;
    if (!info->is_resource_request || strcmp(info->verb, "list") != 0 || info->name[0] != '\0') {
        return 1;
    }
    size_t seats = (objects_of_list(flowcontrol, request) + objects_a_seat - 1) / objects_a_seat;
    size_t most = (size_t)level->nominal * list_part_of_level / 100;
    most = most > list_seats_max ? list_seats_max : most;
    seats = seats > most ? most : seats;
    return seats > 0 ? (unsigned)seats : 1;
}

static const struct flow_schema *classify(const struct flowcontrol *flowcontrol,
                                          const struct request *request)
{
    for (size_t i = 0; i + 1 < flowcontrol->schema_count; i++) {
        if (flow_schema_matches(flowcontrol->schemas[i], request)) {
            return flowcontrol->schemas[i];
        }
    }
    return flowcontrol->schemas[flowcontrol->schema_count - 1];
}

static struct ticket *ticket_new(const struct flow_schema *schema, const struct request *request,
                                 struct turn *turn)
{
    struct ticket *ticket = allocate_struct(struct ticket);
    const char *flow = flow_distinguisher_of(schema->distinguisher, request);
    ticket->queued.flow =
        hash_bytes(schema->name, strlen(schema->name)) * 31 + hash_bytes(flow, strlen(flow));
    ticket->level = schema->level;
    ticket->stats = schema->stats;
    ticket->turn = turn;
    ticket->request = request;
    ticket->distinguisher = schema->distinguisher;
    memcpy(ticket->schema_uid, schema->uid, sizeof ticket->schema_uid);
    memcpy(ticket->level_uid, schema->level->uid, sizeof ticket->level_uid);
    return ticket;
}

static void count_executing(struct ticket *ticket)
{
    struct flow_stats *stats = ticket->stats;
    atomic_fetch_add(&stats->dispatched, 1);
    atomic_fetch_add(&stats->executing, 1);
    atomic_fetch_add(&stats->seats, ticket->queued.seats);
    flow_histogram_add_duration(&stats->waited, 0);
}

static bool begin_to_wait(struct ticket *ticket)
{
    struct priority_level *level = ticket->level;
    atomic_fetch_add(&ticket->stats->waiting, 1);
    flow_histogram_add_length(&ticket->stats->queue_length,
                              level->set.queues[ticket->queued.queue].waiting.count);
    ticket->turn->sleep(ticket->turn);
    return level->set.waiting_count == 1;
}

static enum arrival arrive(struct ticket *ticket, bool *first_to_wait)
{
    struct priority_level *level = ticket->level;
    struct queued *called = NULL;
    pthread_mutex_lock(&level->lock);
    enum arrival arrival = queue_set_arrive(&level->set, &ticket->queued, timestamp_monotonic());
    /* None of those that waited before finds room because one more has come. */
    if (arrival == ARRIVAL_EXECUTES || arrival == ARRIVAL_WAITS) {
        level->tickets++;
        level->dispatched += arrival == ARRIVAL_EXECUTES;
    } else {
        level->rejected++;
    }
    if (arrival == ARRIVAL_WAITS) {
        *first_to_wait = begin_to_wait(ticket); /* The last look at the ticket. */
        if (level->closed) {
            queue_set_expire(&level->set, INT64_MAX, timestamp_monotonic());
            called = level_take_called(level);
        }
    }
    pthread_mutex_unlock(&level->lock);
    level_wake(called);
    return arrival;
}

static void wake_ticker(struct flowcontrol *flowcontrol)
{
    pthread_mutex_lock(&flowcontrol->ticker_lock);
    flowcontrol->waiters_came = true;
    pthread_cond_signal(&flowcontrol->ticker_wanted);
    pthread_mutex_unlock(&flowcontrol->ticker_lock);
}

bool flowcontrol_refuse(struct error *error)
{
    error_set(error, 429, "TooManyRequests", "Too many requests, please try again later.");
    error->retry_after_seconds = 1;
    return false;
}

static enum admittance refuse(struct ticket *ticket, enum arrival arrival, struct error *error)
{
    atomic_fetch_add(arrival == ARRIVAL_QUEUE_FULL ? &ticket->stats->queue_full
                                                   : &ticket->stats->concurrency_limit,
                     1);
    ticket->level = NULL; /* It has no seat to give back. */
    flowcontrol_refuse(error);
    return ADMITTANCE_REFUSED;
}

/* With the configuration's lock. */
static enum admittance take_seat(struct flowcontrol *flowcontrol, const struct request *request,
                                 struct turn *turn, struct error *error)
{
    const struct flow_schema *schema = classify(flowcontrol, request);
    struct ticket *ticket = ticket_new(schema, request, turn);
    bool first_to_wait = false;
    ticket->queued.seats = seats_of(flowcontrol, ticket->level, request);
    turn->ticket = ticket;
    enum arrival arrival = arrive(ticket, &first_to_wait);
    switch (arrival) {
    case ARRIVAL_EXECUTES:
        count_executing(ticket);
        return ADMITTANCE_NOW;
    case ARRIVAL_WAITS:
        if (first_to_wait) {
            wake_ticker(flowcontrol);
        }
        return ADMITTANCE_WAIT;
    default:
        return refuse(ticket, arrival, error);
    }
}

/* Its wait is over. */
static enum admittance decided(struct ticket *ticket, struct error *error)
{
    int64_t waited = timestamp_monotonic() - ticket->queued.arrived_ns;
    if (ticket->queued.state == QUEUED_EXECUTING) {
        flow_histogram_add_duration(&ticket->stats->waited, waited);
        return ADMITTANCE_NOW;
    }
    flow_histogram_add_duration(&ticket->stats->waited_in_vain, waited);
    ticket->level = NULL;
    flowcontrol_refuse(error);
    return ADMITTANCE_REFUSED;
}

enum admittance flowcontrol_admit(struct flowcontrol *flowcontrol, const struct request *request,
                                  struct turn *turn, struct error *error)
{
    if (turn->ticket != NULL) {
        return decided(turn->ticket, error);
    }
    if (flowcontrol_is_command(request)) {
        return ADMITTANCE_NOW;
    }
    if (!flowcontrol->options.enabled) {
        return in_flight_admit(flowcontrol, request, turn, error);
    }
    pthread_rwlock_rdlock(&flowcontrol->config_lock);
    enum admittance admittance = take_seat(flowcontrol, request, turn, error);
    pthread_rwlock_unlock(&flowcontrol->config_lock);
    return admittance;
}

void flowcontrol_note(struct flowcontrol *flowcontrol, const struct turn *turn,
                      struct response *response)
{
    const struct ticket *ticket = turn->ticket;
    if (ticket != NULL && flowcontrol->options.enabled) {
        response_add_header(response, "X-Kubernetes-Pf-Flowschema-Uid", ticket->schema_uid);
        response_add_header(response, "X-Kubernetes-Pf-Prioritylevel-Uid", ticket->level_uid);
    }
}

/* ---- leaving ---- */

static void give_back(struct ticket *ticket)
{
    struct priority_level *level = ticket->level;
    struct flow_stats *stats = ticket->stats;
    int64_t now = timestamp_monotonic();
    atomic_fetch_sub(&stats->executing, 1);
    atomic_fetch_sub(&stats->seats, ticket->queued.seats);
    flow_histogram_add_duration(&stats->executed, now - ticket->queued.began_ns);
    pthread_mutex_lock(&level->lock);
    queue_set_leave(&level->set, &ticket->queued, now);
    struct queued *called = level_take_called(level);
    level->tickets--;
    pthread_mutex_unlock(&level->lock);
    level_wake(called);
}

void flowcontrol_leave(struct flowcontrol *flowcontrol, struct turn *turn)
{
    (void)flowcontrol;
    struct ticket *ticket = turn->ticket;
    if (ticket == NULL) {
        return;
    }
    turn->ticket = NULL;
    if (ticket->level != NULL) {
        give_back(ticket);
    } else if (ticket->in_flight != NULL) {
        atomic_fetch_sub(ticket->in_flight, 1);
    }
    free(ticket);
}

/* ---- as time goes by ---- */

/* Times out who has waited too long, all when 'closing'; returns when the next will have. */
static int64_t expire(struct flowcontrol *flowcontrol, struct priority_level *level, bool closing)
{
    int64_t now = timestamp_monotonic(), limit = wait_limit(flowcontrol);
    pthread_mutex_lock(&level->lock);
    level->closed |= closing;
    queue_set_expire(&level->set, level->closed ? INT64_MAX : now - limit, now);
    struct queued *called = level_take_called(level);
    const struct queued *oldest = level->set.first_waiting;
    int64_t next = oldest ? oldest->arrived_ns + limit + 1 : INT64_MAX;
    pthread_mutex_unlock(&level->lock);
    level_wake(called);
    return next;
}

static int64_t expire_all(struct flowcontrol *flowcontrol, bool closing)
{
    int64_t next = INT64_MAX;
    pthread_rwlock_rdlock(&flowcontrol->config_lock);
    for (size_t i = 0; i < flowcontrol->level_count; i++) {
        int64_t own = expire(flowcontrol, flowcontrol->levels[i], closing);
        next = own < next ? own : next;
    }
    pthread_rwlock_unlock(&flowcontrol->config_lock);
    return next;
}

/* Waits until that time, or until somebody begins to wait; false to stop. */
static bool wait_until(struct flowcontrol *flowcontrol, int64_t until_ns)
{
    struct timespec until = {.tv_sec = until_ns / 1000000000, .tv_nsec = until_ns % 1000000000};
    pthread_mutex_lock(&flowcontrol->ticker_lock);
    int waited = 0;
    while (!flowcontrol->stopping && !flowcontrol->waiters_came && waited == 0) {
        waited =
            pthread_cond_timedwait(&flowcontrol->ticker_wanted, &flowcontrol->ticker_lock, &until);
    }
    flowcontrol->waiters_came = false;
    bool go_on = !flowcontrol->stopping;
    pthread_mutex_unlock(&flowcontrol->ticker_lock);
    return go_on;
}

static void *tick(void *argument)
{
    struct flowcontrol *flowcontrol = argument;
    int64_t adjust = timestamp_monotonic() + adjustment_ns, next = adjust;
    while (wait_until(flowcontrol, next < adjust ? next : adjust)) {
        int64_t now = timestamp_monotonic();
        if (now >= adjust) {
            pthread_rwlock_wrlock(&flowcontrol->config_lock);
            levels_adjust(flowcontrol, now);
            pthread_rwlock_unlock(&flowcontrol->config_lock);
            adjust = now + adjustment_ns;
        }
        next = expire_all(flowcontrol, false);
    }
    return NULL;
}

/* ---- start and end ---- */

bool flowcontrol_check_options(const struct flowcontrol_options *options, struct error *error)
{
    static const int64_t most = 1 << 20;
    if (options->in_flight < 0 || options->in_flight > most) {
        return error_bad_request(error, "--max-requests-inflight must be between 0 and %lld",
                                 (long long)most);
    }
    if (options->mutating_in_flight < 0 || options->mutating_in_flight > most) {
        return error_bad_request(
            error, "--max-mutating-requests-inflight must be between 0 and %lld", (long long)most);
    }
    if (options->enabled && options->in_flight + options->mutating_in_flight == 0) {
        return error_bad_request(error, "--max-requests-inflight and "
                                        "--max-mutating-requests-inflight must not both be 0 with "
                                        "--enable-priority-and-fairness");
    }
    return options->request_timeout_ns > 0 ||
           error_bad_request(error, "--request-timeout must be above 0");
}

static void init_locks(struct flowcontrol *flowcontrol)
{
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_rwlock_init(&flowcontrol->config_lock, NULL);
    pthread_mutex_init(&flowcontrol->objects_lock, NULL);
    pthread_mutex_init(&flowcontrol->ticker_lock, NULL);
    pthread_cond_init(&flowcontrol->ticker_wanted, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

bool flowcontrol_start(struct registry *registry, const struct flowcontrol_options *options,
                       struct flowcontrol **result, struct error *error)
{
    struct flowcontrol *flowcontrol = allocate_struct(struct flowcontrol);
    flowcontrol->registry = registry;
    flowcontrol->options = *options;
    flowcontrol->seats = (unsigned)(options->in_flight + options->mutating_in_flight);
    init_locks(flowcontrol);
    *result = flowcontrol;
    if (!options->enabled) {
        return true;
    }
    bool kept = keeper_start(flowcontrol, error);
    flowcontrol->ticks = kept && pthread_create(&flowcontrol->ticker, NULL, tick, flowcontrol) == 0;
    if (kept && !flowcontrol->ticks) {
        error_internal(error, "no threads for flow control");
    }
    return flowcontrol->ticks;
}

void flowcontrol_end(struct flowcontrol *flowcontrol)
{
    if (flowcontrol == NULL) {
        return;
    }
    pthread_mutex_lock(&flowcontrol->ticker_lock);
    flowcontrol->stopping = true;
    pthread_cond_signal(&flowcontrol->ticker_wanted);
    pthread_mutex_unlock(&flowcontrol->ticker_lock);
    if (flowcontrol->ticks) {
        pthread_join(flowcontrol->ticker, NULL);
        flowcontrol->ticks = false;
    }
    keeper_stop(flowcontrol->keeper);
    expire_all(flowcontrol, true);
}

void flowcontrol_free(struct flowcontrol *flowcontrol)
{
    if (flowcontrol == NULL) {
        return;
    }
    config_free(flowcontrol);
    keeper_free(flowcontrol->keeper);
    pthread_cond_destroy(&flowcontrol->ticker_wanted);
    pthread_mutex_destroy(&flowcontrol->ticker_lock);
    pthread_mutex_destroy(&flowcontrol->objects_lock);
    pthread_rwlock_destroy(&flowcontrol->config_lock);
    free(flowcontrol);
}

bool flowcontrol_is_there(const struct flowcontrol *flowcontrol)
{
    return flowcontrol != NULL &&
           (!flowcontrol->options.enabled || keeper_is_done(flowcontrol->keeper));
}
