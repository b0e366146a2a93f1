// SPDX-License-Identifier: Apache-2.0
/* What the files of flow control share among themselves. */
#ifndef APISERVER_FLOWCONTROL_INTERNAL_H
#define APISERVER_FLOWCONTROL_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "apiserver/flowcontrol/flow_schema.h"
#include "apiserver/flowcontrol/flowcontrol.h"
#include "apiserver/flowcontrol/keeper.h"
#include "apiserver/flowcontrol/queue_set.h"
#include "common/map.h"

enum { duration_buckets = 14, length_buckets = 9, flow_stats_max = 4096 };

/* How many values were up to each bound, and the sum. */
struct flow_histogram {
    atomic_uint_fast64_t counts[duration_buckets]; /* The last: all above. */
    atomic_uint_fast64_t sum;                      /* Microseconds, or requests. */
};

/* What requests of a schema at a level have seen. Made once, freed at the end. */
struct flow_stats {
    char *schema, *level;
    atomic_uint_fast64_t dispatched, queue_full, concurrency_limit, timed_out, cancelled;
    atomic_int_fast64_t waiting, executing, seats;
    struct flow_histogram waited, waited_in_vain, executed, queue_length;
};

/* What a PriorityLevelConfiguration says. */
struct level_settings {
    struct queue_set_options queues;
    int64_t shares, lendable_percent, borrowing_percent; /* The last -1: no limit. */
};

struct priority_level {
    char *name;
    char uid[FLOW_UID_SIZE];
    pthread_mutex_t lock; /* Guards the next six. */
    struct queue_set set;
    size_t tickets;
    bool closed; /* Nobody waits any more. */
    uint64_t dispatched, rejected, timed_out;
    /* The rest by the configuration's lock. */
    bool defined; /* Else it only serves what it has yet. */
    struct level_settings settings;
    unsigned nominal, least, most, current; /* Seats. */
    struct seat_demand_summary demand;
    double smoothed, target;
};

/* A request that was let in, or waits. */
struct ticket {
    struct queued queued;
    struct priority_level *level; /* NULL: counted by 'in_flight' instead. */
    struct flow_stats *stats;
    atomic_int *in_flight;
    struct turn *turn;
    const struct request *request; /* Outlives the ticket. */
    enum flow_distinguisher distinguisher;
    char schema_uid[FLOW_UID_SIZE], level_uid[FLOW_UID_SIZE];
    char *schema; /* Its name; the stats'. */
};

/* What is known of stored objects of one kind. */
struct followed {
    struct cache_observer observer;
    struct flowcontrol *flowcontrol;
    struct map objects; /* struct object by name; guarded by 'objects_lock'. */
};

struct flowcontrol {
    struct registry *registry;
    struct flowcontrol_options options;
    unsigned seats;               /* Of the server. */
    pthread_rwlock_t config_lock; /* Guards the schemas, the levels and the map of stats. */
    struct flow_schema **schemas; /* In the order of matching; the last matches all. */
    size_t schema_count;
    struct priority_level **levels;
    size_t level_count, level_capacity;
    struct map stats; /* struct flow_stats by "schema/level". */
    double fair_fraction;
    pthread_mutex_t objects_lock; /* Guards what is followed, and 'changed'. */
    struct followed schema_objects, level_objects;
    pthread_mutex_t ticker_lock; /* Guards 'stopping' and 'waiters_came'. */
    pthread_cond_t ticker_wanted;
    bool stopping, waiters_came, ticks;
    pthread_t ticker;
    struct keeper *keeper;
    atomic_int in_flight, mutating_in_flight; /* Without Priority and Fairness. */
    atomic_uint_fast64_t turned_away, mutating_turned_away;
};

/* ---- levels.c: which levels there are and how many seats each has ---- */

/* With the configuration's lock for writing, as are all of these. */
struct priority_level *levels_find(const struct flowcontrol *flowcontrol, const char *name);
/* Sets what a level is like; makes it if need be. */
void levels_define(struct flowcontrol *flowcontrol, const char *name, const char *uid,
                   const struct level_settings *settings);
struct level_settings level_settings_of(const json_t *object);
/* Gives each its nominal seats, and drops those that are neither defined nor used. */
void levels_divide(struct flowcontrol *flowcontrol, int64_t now_ns);
/* Lends and borrows by the demand of the last period. */
void levels_adjust(struct flowcontrol *flowcontrol, int64_t now_ns);
void levels_free(struct flowcontrol *flowcontrol);
/* Those whose wait has ended, taken from the set under the level's lock, to be woken without it. */
struct queued *level_take_called(struct priority_level *level);
void level_wake(struct queued *called);

/* ---- config.c: what is stored becomes what counts ---- */

void config_follow(struct flowcontrol *flowcontrol);
/* Makes schemas and levels of what is stored now. */
void config_apply(struct flowcontrol *flowcontrol);
/* The stored objects of a kind, in no order. The caller's. */
json_t *config_trees(struct flowcontrol *flowcontrol, struct followed *followed);
void config_free(struct flowcontrol *flowcontrol);

/* ---- report.c ---- */

void flow_histogram_add_duration(struct flow_histogram *histogram, int64_t nanoseconds);
void flow_histogram_add_length(struct flow_histogram *histogram, size_t length);

/* ---- in_flight.c ---- */

enum admittance in_flight_admit(struct flowcontrol *flowcontrol, const struct request *request,
                                struct turn *turn, struct error *error);

/* 429 with Retry-After: 1. */
bool flowcontrol_refuse(struct error *error);
/* Neither limit counts it: it may last. */
bool flowcontrol_is_command(const struct request *request);

#endif
