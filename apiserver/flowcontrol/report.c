// SPDX-License-Identifier: Apache-2.0
/* What flow control tells of itself: metrics, and tables for people who look for trouble. */
#include <string.h>

#include "apiserver/flowcontrol/internal.h"
#include "common/alloc.h"
#include "common/timestamp.h"

static const double duration_bounds[duration_buckets - 1] = {0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5,
                                                             1, 2,     5,    10,   15,  30};
static const double length_bounds[length_buckets - 1] = {0, 10, 25, 50, 100, 250, 500, 1000};

/* ---- histograms ---- */

static void add(struct flow_histogram *histogram, const double *bounds, size_t count, double value,
                uint64_t amount)
{
    size_t bucket = 0;
    while (bucket < count && value > bounds[bucket]) {
        bucket++;
    }
    atomic_fetch_add_explicit(&histogram->counts[bucket], 1, memory_order_relaxed);
    if (amount > 0) {
        atomic_fetch_add_explicit(&histogram->sum, amount, memory_order_relaxed);
    }
}

void flow_histogram_add_duration(struct flow_histogram *histogram, int64_t nanoseconds)
{
    add(histogram, duration_bounds, duration_buckets - 1, (double)nanoseconds / 1e9,
        (uint64_t)nanoseconds / 1000);
}

void flow_histogram_add_length(struct flow_histogram *histogram, size_t length)
{
    add(histogram, length_bounds, length_buckets - 1, (double)length, length);
}

static void print_histogram(struct buffer *out, const char *name, const char *labels,
                            struct flow_histogram *histogram, const double *bounds, size_t count,
                            double unit)
{
    uint64_t sum = 0;
    for (size_t i = 0; i <= count; i++) {
        sum += atomic_load(&histogram->counts[i]);
        if (i < count) {
            buffer_addf(out, "%s_bucket{%s,le=\"%g\"} %llu\n", name, labels, bounds[i],
                        (unsigned long long)sum);
        } else {
            buffer_addf(out, "%s_bucket{%s,le=\"+Inf\"} %llu\n", name, labels,
                        (unsigned long long)sum);
        }
    }
    buffer_addf(out, "%s_sum{%s} %g\n%s_count{%s} %llu\n", name, labels,
                (double)atomic_load(&histogram->sum) / unit, name, labels, (unsigned long long)sum);
}

/* ---- metrics ---- */

static void print_head(struct buffer *out, const char *name, const char *type, const char *help)
{
    buffer_addf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static char *labels_of(const struct flow_stats *stats)
{
    return format("flow_schema=\"%s\",priority_level=\"%s\"", stats->schema, stats->level);
}

/* Calls 'print' for the stats of each pair of schema and level. */
static void for_each_flow(struct flowcontrol *flowcontrol, struct buffer *out,
                          void (*print)(struct buffer *out, const char *labels,
                                        struct flow_stats *stats))
{
    size_t at = 0;
    const char *key;
    void *value;
    while (map_next(&flowcontrol->stats, &at, &key, &value)) {
        cleanup(free_char)
        char *labels = labels_of(value);
        print(out, labels, value);
    }
}

static void print_rejected(struct buffer *out, const char *labels, struct flow_stats *stats)
{
    const struct {
        const char *reason;
        uint64_t count;
    } reasons[] = {
        {"queue-full", atomic_load(&stats->queue_full)},
        {"concurrency-limit", atomic_load(&stats->concurrency_limit)},
        {"time-out", atomic_load(&stats->timed_out)},
        {"cancelled", atomic_load(&stats->cancelled)},
    };
    for (size_t i = 0; i < array_length(reasons); i++) {
        if (reasons[i].count > 0) {
            buffer_addf(out,
                        "apiserver_flowcontrol_rejected_requests_total{%s,reason=\"%s\"} %llu\n",
                        labels, reasons[i].reason, (unsigned long long)reasons[i].count);
        }
    }
}

static void print_dispatched(struct buffer *out, const char *labels, struct flow_stats *stats)
{
    buffer_addf(out, "apiserver_flowcontrol_dispatched_requests_total{%s} %llu\n", labels,
                (unsigned long long)atomic_load(&stats->dispatched));
}

static void print_waiting(struct buffer *out, const char *labels, struct flow_stats *stats)
{
    buffer_addf(out, "apiserver_flowcontrol_current_inqueue_requests{%s} %lld\n", labels,
                (long long)atomic_load(&stats->waiting));
}

static void print_executing(struct buffer *out, const char *labels, struct flow_stats *stats)
{
    buffer_addf(out, "apiserver_flowcontrol_current_executing_requests{%s} %lld\n", labels,
                (long long)atomic_load(&stats->executing));
}

static void print_seats(struct buffer *out, const char *labels, struct flow_stats *stats)
{
    buffer_addf(out, "apiserver_flowcontrol_current_executing_seats{%s} %lld\n", labels,
                (long long)atomic_load(&stats->seats));
}

static void print_waited(struct buffer *out, const char *labels, struct flow_stats *stats)
{
    cleanup(free_char)
    char *served = format("%s,execute=\"true\"", labels);
    cleanup(free_char)
    char *refused = format("%s,execute=\"false\"", labels);
    const char *name = "apiserver_flowcontrol_request_wait_duration_seconds";
    print_histogram(out, name, served, &stats->waited, duration_bounds, duration_buckets - 1, 1e6);
    print_histogram(out, name, refused, &stats->waited_in_vain, duration_bounds,
                    duration_buckets - 1, 1e6);
}

static void print_executed(struct buffer *out, const char *labels, struct flow_stats *stats)
{
    print_histogram(out, "apiserver_flowcontrol_request_execution_seconds", labels,
                    &stats->executed, duration_bounds, duration_buckets - 1, 1e6);
}

static void print_queue_length(struct buffer *out, const char *labels, struct flow_stats *stats)
{
    print_histogram(out, "apiserver_flowcontrol_request_queue_length_after_enqueue", labels,
                    &stats->queue_length, length_bounds, length_buckets - 1, 1);
}

static const struct {
    const char *name, *type, *help;
    void (*print)(struct buffer *out, const char *labels, struct flow_stats *stats);
} flow_metrics[] = {
    {"rejected_requests_total", "counter", "Number of requests that were turned away.",
     print_rejected},
    {"dispatched_requests_total", "counter", "Number of requests that were let in.",
     print_dispatched},
    {"current_inqueue_requests", "gauge", "Number of requests that wait.", print_waiting},
    {"current_executing_requests", "gauge", "Number of requests that are served.", print_executing},
    {"current_executing_seats", "gauge", "Seats of the requests that are served.", print_seats},
    {"request_wait_duration_seconds", "histogram", "How long requests waited.", print_waited},
    {"request_execution_seconds", "histogram", "How long requests were served.", print_executed},
    {"request_queue_length_after_enqueue", "histogram",
     "How many waited in the queue of a request that had to wait.", print_queue_length},
};

static double nominal(const struct priority_level *level)
{
    return level->nominal;
}

static double least(const struct priority_level *level)
{
    return level->least;
}

static double most(const struct priority_level *level)
{
    return level->most;
}

static double current(const struct priority_level *level)
{
    return level->current;
}

static double high_watermark(const struct priority_level *level)
{
    return level->demand.high_watermark;
}

static double average(const struct priority_level *level)
{
    return level->demand.average;
}

static double deviation(const struct priority_level *level)
{
    return level->demand.deviation;
}

static double smoothed(const struct priority_level *level)
{
    return level->smoothed;
}

static double target(const struct priority_level *level)
{
    return level->target;
}

static const struct {
    const char *name, *help;
    double (*value)(const struct priority_level *level);
} level_metrics[] = {
    {"nominal_limit_seats", "Seats by the level's share.", nominal},
    {"lower_limit_seats", "Seats that the level never lends.", least},
    {"upper_limit_seats", "Seats with all that the level may borrow.", most},
    {"current_limit_seats", "Seats that the level has now.", current},
    {"demand_seats_high_watermark", "Most seats wanted in the last period.", high_watermark},
    {"demand_seats_average", "Seats wanted on average in the last period.", average},
    {"demand_seats_stdev", "Deviation of the seats wanted in the last period.", deviation},
    {"demand_seats_smoothed", "Seats wanted, smoothed over periods.", smoothed},
    {"target_seats", "Seats that the level is to get if it can.", target},
};

static void render_levels(struct flowcontrol *flowcontrol, struct buffer *out)
{
    for (size_t i = 0; i < array_length(level_metrics); i++) {
        cleanup(free_char)
        char *name = format("apiserver_flowcontrol_%s", level_metrics[i].name);
        print_head(out, name, "gauge", level_metrics[i].help);
        for (size_t at = 0; at < flowcontrol->level_count; at++) {
            const struct priority_level *level = flowcontrol->levels[at];
            buffer_addf(out, "%s{priority_level=\"%s\"} %g\n", name, level->name,
                        level_metrics[i].value(level));
        }
    }
    print_head(out, "apiserver_flowcontrol_seat_fair_frac", "gauge",
               "What each level gets of its target, within its bounds.");
    buffer_addf(out, "apiserver_flowcontrol_seat_fair_frac %g\n", flowcontrol->fair_fraction);
}

static void render_in_flight(struct flowcontrol *flowcontrol, struct buffer *out)
{
    print_head(out, "apiserver_current_inflight_requests", "gauge",
               "Number of requests that are served, by what limits them.");
    buffer_addf(out,
                "apiserver_current_inflight_requests{request_kind=\"readOnly\"} %d\n"
                "apiserver_current_inflight_requests{request_kind=\"mutating\"} %d\n",
                atomic_load(&flowcontrol->in_flight),
                atomic_load(&flowcontrol->mutating_in_flight));
    print_head(out, "apiserver_dropped_requests_total", "counter",
               "Number of requests that were turned away, by what limits them.");
    buffer_addf(out,
                "apiserver_dropped_requests_total{request_kind=\"readOnly\"} %llu\n"
                "apiserver_dropped_requests_total{request_kind=\"mutating\"} %llu\n",
                (unsigned long long)atomic_load(&flowcontrol->turned_away),
                (unsigned long long)atomic_load(&flowcontrol->mutating_turned_away));
}

void flowcontrol_render_metrics(struct flowcontrol *flowcontrol, struct buffer *out)
{
    if (!flowcontrol->options.enabled) {
        render_in_flight(flowcontrol, out);
        return;
    }
    pthread_rwlock_rdlock(&flowcontrol->config_lock);
    for (size_t i = 0; i < array_length(flow_metrics); i++) {
        cleanup(free_char)
        char *name = format("apiserver_flowcontrol_%s", flow_metrics[i].name);
        print_head(out, name, flow_metrics[i].type, flow_metrics[i].help);
        for_each_flow(flowcontrol, out, flow_metrics[i].print);
    }
    render_levels(flowcontrol, out);
    pthread_rwlock_unlock(&flowcontrol->config_lock);
}
