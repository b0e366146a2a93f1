// SPDX-License-Identifier: Apache-2.0
#include "scheduler/scheduler_metrics.h"

#include <string.h>

#include "common/alloc.h"

enum { attempts_told_apart = 15 };

static const char *const part_names[QUEUE_PARTS] = {"active", "backoff", "unschedulable", "gated"};

static const char *const cause_names[QUEUE_CAUSES] = {
    [CAUSE_POD_ADD] = "UnschedulablePodAdd",
    [CAUSE_POD_UPDATE] = "UnschedulablePodUpdate",
    [CAUSE_ATTEMPT_FAILED] = "ScheduleAttemptFailure",
    [CAUSE_BACKOFF_COMPLETE] = "BackoffComplete",
    [CAUSE_NO_OTHER] = "PopFromBackoffQ",
    [CAUSE_TIMEOUT] = "UnschedulableTimeout",
    [CAUSE_POD_LEFT] = "AssignedPodDelete",
    [CAUSE_POD_CAME] = "AssignedPodAdd",
    [CAUSE_NODE] = "NodeUpdate",
    [CAUSE_NODE_LEFT] = "NodeDelete",
    [CAUSE_VOLUME] = "PersistentVolumeUpdate",
    [CAUSE_FORCED] = "ForceActivate",
};

struct scheduler_metrics {
    struct metric *attempts, *attempt_duration, *algorithm_duration, *extension_point_duration;
    struct metric *attempts_of_pods, *duration_of_pods, *pending, *incoming;
    struct metric *preemption_attempts, *preemption_victims;
    uint64_t shown[QUEUE_PARTS][QUEUE_CAUSES]; /* Of queue->incoming. */
};

/* Each the double of the one before, as upstream's. */
static const double durations[] = {0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128,
                                   0.256, 0.512, 1.024, 2.048, 4.096, 8.192, 16.384};
static const double short_durations[] = {0.0001, 0.0002, 0.0004, 0.0008, 0.0016, 0.0032,
                                         0.0064, 0.0128, 0.0256, 0.0512, 0.1024, 0.2048};
static const double long_durations[] = {0.01,   0.02,   0.04,   0.08,    0.16,    0.32,   0.64,
                                        1.28,   2.56,   5.12,   10.24,   20.48,   40.96,  81.92,
                                        163.84, 327.68, 655.36, 1310.72, 2621.44, 5242.88};
static const double victim_counts[] = {1, 2, 4, 8, 16, 32, 64};
static const double counts[] = {1, 2, 4, 8, 16};

static const char *const by_result[] = {"result", "profile", NULL};
static const char *const by_extension_point[] = {"extension_point", "status", "profile", NULL};
static const char *const by_attempts[] = {"attempts", NULL};
static const char *const by_queue[] = {"queue", NULL};
static const char *const by_queue_and_event[] = {"queue", "event", NULL};
static const char *const no_labels[] = {NULL};

struct scheduler_metrics *scheduler_metrics_new(struct metrics *metrics)
{
    struct scheduler_metrics *all = allocate_struct(struct scheduler_metrics);
    all->attempts =
        metrics_counter(metrics, "scheduler_schedule_attempts_total",
                        "Number of attempts to schedule pods, by the result.", by_result);
    all->attempt_duration =
        metrics_histogram(metrics, "scheduler_scheduling_attempt_duration_seconds",
                          "Scheduling attempt latency in seconds, binding included.", by_result,
                          durations, array_length(durations));
    all->algorithm_duration = metrics_histogram(
        metrics, "scheduler_scheduling_algorithm_duration_seconds",
        "Scheduling algorithm latency in seconds.", no_labels, durations, array_length(durations));
    all->extension_point_duration =
        metrics_histogram(metrics, "scheduler_framework_extension_point_duration_seconds",
                          "Latency for running all plugins of a specific extension point.",
                          by_extension_point, short_durations, array_length(short_durations));
    all->attempts_of_pods = metrics_histogram(metrics, "scheduler_pod_scheduling_attempts",
                                              "Number of attempts to successfully schedule a pod.",
                                              no_labels, counts, array_length(counts));
    all->duration_of_pods = metrics_histogram(
        metrics, "scheduler_pod_scheduling_sli_duration_seconds",
        "Latency from a pod's entry into the queue until it is bound, by the number of attempts.",
        by_attempts, long_durations, array_length(long_durations));
    all->pending = metrics_gauge(metrics, "scheduler_pending_pods",
                                 "Number of pending pods, by the queue type.", by_queue);
    all->incoming = metrics_counter(metrics, "scheduler_queue_incoming_pods_total",
                                    "Number of pods added to scheduling queues by event and queue "
                                    "type.",
                                    by_queue_and_event);
    all->preemption_attempts =
        metrics_counter(metrics, "scheduler_preemption_attempts_total",
                        "Total preemption attempts in the cluster till now.", no_labels);
    all->preemption_victims = metrics_histogram(metrics, "scheduler_preemption_victims",
                                                "Number of selected preemption victims.", no_labels,
                                                victim_counts, array_length(victim_counts));
    return all;
}

void scheduler_metrics_free(struct scheduler_metrics *metrics)
{
    free(metrics);
}

static double seconds(int64_t nanoseconds)
{
    return (double)nanoseconds * 1e-9;
}

void scheduler_metrics_decided(struct scheduler_metrics *metrics, const struct decider *decider,
                               const char *scheduler_name, bool found)
{
    metric_observe(metrics->algorithm_duration, seconds(decider->filter_ns + decider->score_ns),
                   metric_no_labels);
    metric_observe(metrics->extension_point_duration, seconds(decider->filter_ns),
                   metric_labels("Filter", found ? "Success" : "Unschedulable", scheduler_name));
    if (found) {
        metric_observe(metrics->extension_point_duration, seconds(decider->score_ns),
                       metric_labels("Score", "Success", scheduler_name));
    }
}

void scheduler_metrics_attempted(struct scheduler_metrics *metrics, const struct queued_pod *pod,
                                 const char *result, int64_t now)
{
    metric_add(metrics->attempts, 1, metric_labels(result, pod->class->scheduler_name));
    metric_observe(metrics->attempt_duration, seconds(now - pod->tried),
                   metric_labels(result, pod->class->scheduler_name));
    if (strcmp(result, "scheduled") == 0) {
        char number[16];
        snprintf(number, sizeof number, pod->attempts < attempts_told_apart ? "%d" : "%d+",
                 pod->attempts < attempts_told_apart ? pod->attempts : attempts_told_apart);
        metric_observe(metrics->attempts_of_pods, pod->attempts, metric_no_labels);
        metric_observe(metrics->duration_of_pods, seconds(now - pod->added), metric_labels(number));
    }
}

void scheduler_metrics_preempted(struct scheduler_metrics *metrics, size_t victims)
{
    metric_add(metrics->preemption_attempts, 1, metric_no_labels);
    if (victims > 0) {
        metric_observe(metrics->preemption_victims, (double)victims, metric_no_labels);
    }
}

void scheduler_metrics_show_queue(struct scheduler_metrics *metrics, const struct queue *queue)
{
    for (size_t part = 0; part < QUEUE_PARTS; part++) {
        metric_set(metrics->pending, (double)queue->counts[part], metric_labels(part_names[part]));
        for (size_t cause = 0; cause < QUEUE_CAUSES; cause++) {
            uint64_t news = queue->incoming[part][cause] - metrics->shown[part][cause];
            if (news > 0) {
                metric_add(metrics->incoming, (double)news,
                           metric_labels(part_names[part], cause_names[cause]));
                metrics->shown[part][cause] = queue->incoming[part][cause];
            }
        }
    }
}
