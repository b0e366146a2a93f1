// SPDX-License-Identifier: Apache-2.0
#include <limits.h>
#include <math.h>
#include <string.h>

#include "apiserver/flowcontrol/internal.h"
#include "common/alloc.h"
#include "common/json.h"

struct priority_level *levels_find(const struct flowcontrol *flowcontrol, const char *name)
{
    for (size_t i = 0; i < flowcontrol->level_count; i++) {
        if (strcmp(flowcontrol->levels[i]->name, name) == 0) {
            return flowcontrol->levels[i];
        }
    }
    return NULL;
}

static const char *text_or_empty(const char *text)
{
    return text ? text : "";
}

struct level_settings level_settings_of(const json_t *object)
{
    const json_t *spec = json_object_get(object, "spec");
    bool exempt = strcmp(text_or_empty(json_get_string(spec, "type")), "Exempt") == 0;
    const json_t *part = json_object_get(spec, exempt ? "exempt" : "limited");
    const json_t *response = json_object_get(part, "limitResponse");
    struct level_settings settings = {
        .queues = {.exempt = exempt},
        .shares = json_get_int(part, "nominalConcurrencyShares", exempt ? 0 : 30),
        .lendable_percent = json_get_int(part, "lendablePercent", 0),
        .borrowing_percent = json_get_int(part, "borrowingLimitPercent", -1),
    };
    if (strcmp(text_or_empty(json_get_string(response, "type")), "Queue") == 0) {
        const json_t *queuing = json_object_get(response, "queuing");
        settings.queues.queues = (unsigned)json_get_int(queuing, "queues", 64);
        settings.queues.hand_size = (unsigned)json_get_int(queuing, "handSize", 8);
        settings.queues.queue_length_limit =
            (unsigned)json_get_int(queuing, "queueLengthLimit", 50);
    }
    return settings;
}

void levels_define(struct flowcontrol *flowcontrol, const char *name, const char *uid,
                   const struct level_settings *settings)
{
    struct priority_level *level = levels_find(flowcontrol, name);
    if (level == NULL) {
        level = allocate_struct(struct priority_level);
        level->name = duplicate(name);
        pthread_mutex_init(&level->lock, NULL);
        flowcontrol->levels = grow(flowcontrol->levels, flowcontrol->level_count,
                                   &flowcontrol->level_capacity, sizeof(struct priority_level *));
        flowcontrol->levels[flowcontrol->level_count++] = level;
    }
    level->defined = true;
    level->settings = *settings;
    snprintf(level->uid, sizeof level->uid, "%s", uid);
}

static void level_free(struct priority_level *level)
{
    queue_set_clear(&level->set);
    pthread_mutex_destroy(&level->lock);
    free(level->name);
    free(level);
}

void levels_free(struct flowcontrol *flowcontrol)
{
    for (size_t i = 0; i < flowcontrol->level_count; i++) {
        level_free(flowcontrol->levels[i]);
    }
    free(flowcontrol->levels);
}

/* ---- waking ---- */

struct queued *level_take_called(struct priority_level *level)
{
    struct queued *first = NULL, *request;
    while ((request = queue_set_next_called(&level->set)) != NULL) {
        bool executes = request->state == QUEUED_EXECUTING;
        struct flow_stats *stats = container_of(request, struct ticket, queued)->stats;
        atomic_fetch_sub(&stats->waiting, 1);
        if (executes) {
            level->dispatched++;
            atomic_fetch_add(&stats->executing, 1);
            atomic_fetch_add(&stats->seats, request->seats);
            atomic_fetch_add(&stats->dispatched, 1);
        } else {
            level->timed_out++;
            level->tickets--;
            atomic_fetch_add(level->closed ? &stats->cancelled : &stats->timed_out, 1);
        }
        request->next_waiting = first;
        first = request;
    }
    return first;
}

void level_wake(struct queued *called)
{
    while (called != NULL) {
        struct queued *next = called->next_waiting;
        struct turn *turn = container_of(called, struct ticket, queued)->turn;
        turn->wake(turn); /* From here on the ticket is somebody else's. */
        called = next;
    }
}

/* ---- seats ---- */

/* Takes over settings and limit; wakes whoever finds a seat by it. */
static void put_to_work(struct priority_level *level, int64_t now_ns)
{
    pthread_mutex_lock(&level->lock);
    queue_set_configure(&level->set, &level->settings.queues, now_ns);
    queue_set_limit(&level->set, level->current, now_ns);
    struct queued *called = level_take_called(level);
    pthread_mutex_unlock(&level->lock);
    level_wake(called);
}

static bool is_used(struct priority_level *level)
{
    pthread_mutex_lock(&level->lock);
    bool used = level->tickets > 0;
    pthread_mutex_unlock(&level->lock);
    return used;
}

static void drop_unused(struct flowcontrol *flowcontrol)
{
    size_t kept = 0;
    for (size_t i = 0; i < flowcontrol->level_count; i++) {
        struct priority_level *level = flowcontrol->levels[i];
        if (level->defined || is_used(level)) {
            flowcontrol->levels[kept++] = level;
        } else {
            level_free(level);
        }
    }
    flowcontrol->level_count = kept;
}

static unsigned percent_of(unsigned seats, int64_t percent)
{
    return (unsigned)lround(seats * (double)percent / 100);
}

static void set_bounds(struct flowcontrol *flowcontrol, struct priority_level *level,
                       int64_t share_sum)
{
    const struct level_settings *settings = &level->settings;
    double share = share_sum > 0 ? (double)settings->shares / (double)share_sum : 0;
    bool is_new = level->most == 0;
    level->nominal = (unsigned)ceil(flowcontrol->seats * share);
    level->least = level->nominal - percent_of(level->nominal, settings->lendable_percent);
    level->most = level->nominal + (settings->borrowing_percent < 0
                                        ? flowcontrol->seats
                                        : percent_of(level->nominal, settings->borrowing_percent));
    if (is_new) {
        level->current = level->nominal;
        level->smoothed = level->nominal;
    }
    level->current = level->current < level->least ? level->least : level->current;
    level->current = level->current > level->most ? level->most : level->current;
}

void levels_divide(struct flowcontrol *flowcontrol, int64_t now_ns)
{
    int64_t share_sum = 0;
    drop_unused(flowcontrol);
    for (size_t i = 0; i < flowcontrol->level_count; i++) {
        share_sum += flowcontrol->levels[i]->settings.shares;
    }
    for (size_t i = 0; i < flowcontrol->level_count; i++) {
        set_bounds(flowcontrol, flowcontrol->levels[i], share_sum);
        put_to_work(flowcontrol->levels[i], now_ns);
    }
}

static struct seat_share share_of(struct priority_level *level, int64_t now_ns)
{
    pthread_mutex_lock(&level->lock);
    level->demand = seat_demand_finish(&level->set.demand, now_ns);
    pthread_mutex_unlock(&level->lock);
    level->smoothed = seat_demand_smooth(level->smoothed, &level->demand);
    double low = fmax(level->least, fmin(level->nominal, level->demand.high_watermark));
    level->target = fmax(low, level->smoothed);
    return (struct seat_share){.low = low, .high = level->most, .target = level->target};
}

void levels_adjust(struct flowcontrol *flowcontrol, int64_t now_ns)
{
    size_t count = flowcontrol->level_count;
    struct seat_share *shares = allocate_zero(count + 1, sizeof *shares);
    double total = 0;
    for (size_t i = 0; i < count; i++) {
        shares[i] = share_of(flowcontrol->levels[i], now_ns);
        total += flowcontrol->levels[i]->nominal;
    }
    flowcontrol->fair_fraction = seats_share(shares, count, total);
    for (size_t i = 0; i < count; i++) {
        struct priority_level *level = flowcontrol->levels[i];
        unsigned seats = (unsigned)lround(shares[i].seats);
        if (!level->settings.queues.exempt && seats != level->current) {
            level->current = seats;
            put_to_work(level, now_ns);
        }
    }
    free(shares);
}
