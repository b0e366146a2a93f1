// SPDX-License-Identifier: Apache-2.0
#include "controllers/autoscaler_calculator.h"

#include <math.h>

#include "common/alloc.h"

enum role { ROLE_READY, ROLE_UNREADY, ROLE_MISSING, ROLE_IGNORED, ROLE_STRAY };

/* The pods by what they count as, and the metrics that are taken for true or assumed. */
struct count {
    const struct autoscaler_scene *scene;
    enum role *roles;
    size_t of[ROLE_STRAY + 1];
    int64_t assumed_missing; /* Percent of the request, or an amount. */
    bool counts_missing, counts_unready;
};

/* ---- helpers ---- */

static bool is_within(const struct autoscaler_scene *scene, double ratio)
{
    return 1.0 - scene->tolerance <= ratio && ratio <= 1.0 + scene->tolerance;
}

static int32_t round_up(double replicas)
{
    double whole = ceil(replicas);
    return whole >= INT32_MAX ? INT32_MAX : whole <= 0 ? 0 : (int32_t)whole;
}

static int64_t add(int64_t a, int64_t b)
{
    int64_t sum;
    return __builtin_add_overflow(a, b, &sum) ? INT64_MAX : sum;
}

static double ratio_of(int64_t value, int64_t target)
{
    return (double)value / (double)target;
}

/* ---- what a pod counts as ---- */

/* A young pod's numbers count once a whole window of them is about a ready pod; an older one's
 * unless it has never been ready. */
static bool starts_up(const struct autoscaler_scene *scene, const struct autoscaler_pod *pod)
{
    if (!pod->has_condition || pod->start_time == 0) {
        return true;
    }
    if (pod->start_time + scene->cpu_initialization_period > scene->now) {
        return pod->is_unready || pod->metric_time < pod->ready_since + pod->metric_window;
    }
    return pod->is_unready && pod->start_time + scene->initial_readiness_delay > pod->ready_since;
}

static enum role role_of(const struct autoscaler_scene *scene, const struct autoscaler_pod *pod)
{
    if (!pod->is_listed) {
        return pod->has_metric ? ROLE_STRAY : ROLE_IGNORED;
    }
    if (pod->is_deleting || pod->phase == POD_SUCCEEDED || pod->phase == POD_FAILED) {
        return ROLE_IGNORED;
    }
    if (pod->phase == POD_PENDING) {
        return ROLE_UNREADY;
    }
    if (!pod->has_metric) {
        return ROLE_MISSING;
    }
    return scene->is_cpu && starts_up(scene, pod) ? ROLE_UNREADY : ROLE_READY;
}

static void count_clear(struct count *count)
{
    free(count->roles);
}

/* False when there is nothing to count. */
static bool begin(struct count *count, const struct autoscaler_scene *scene, struct error *error)
{
    size_t listed = 0;
    *count = (struct count){.scene = scene};
    count->roles = allocate_zero(scene->pod_count + 1, sizeof *count->roles);
    for (size_t i = 0; i < scene->pod_count; i++) {
        count->roles[i] = role_of(scene, &scene->pods[i]);
        count->of[count->roles[i]]++;
        listed += scene->pods[i].is_listed;
    }
    if (listed == 0) {
        return error_internal(error,
                              "no pods returned by selector while calculating replica count");
    }
    return count->of[ROLE_READY] + count->of[ROLE_STRAY] > 0 ||
           error_internal(error,
                          "did not receive metrics for targeted pods (pods might be unready)");
}

/* How many numbers take part. */
static size_t measured(const struct count *count)
{
    return count->of[ROLE_READY] + count->of[ROLE_STRAY] +
           (count->counts_missing ? count->of[ROLE_MISSING] : 0) +
           (count->counts_unready ? count->of[ROLE_UNREADY] : 0);
}

/* Whether the pod's number takes part. */
static bool takes_part(const struct count *count, size_t i)
{
    switch (count->roles[i]) {
    case ROLE_READY:
    case ROLE_STRAY:
        return true;
    case ROLE_MISSING:
        return count->counts_missing;
    case ROLE_UNREADY:
        return count->counts_unready;
    default:
        return false;
    }
}

/* ---- the step, the same for both kinds of averages ---- */

/* What of the target is used by those that take part. */
typedef bool (*measure_function)(const struct count *count, int64_t target, double *ratio,
                                 struct autoscaler_proposal *proposal, struct error *error);

/* Assumes something of pods that can't be counted. False: there is none, or it does not matter. */
static bool assume(struct count *count, double ratio, int64_t missing_when_down)
{
    count->counts_unready = count->of[ROLE_UNREADY] > 0 && ratio > 1.0;
    if (!count->counts_unready && count->of[ROLE_MISSING] == 0) {
        return false;
    }
    count->counts_missing = ratio != 1.0;
    count->assumed_missing = ratio < 1.0 ? missing_when_down : 0;
    return true;
}

static bool propose(struct count *count, measure_function measure, int64_t target,
                    int64_t missing_when_down, struct autoscaler_proposal *proposal,
                    struct error *error)
{
    const struct autoscaler_scene *scene = count->scene;
    struct autoscaler_proposal second;
    double ratio, assumed;
    if (!measure(count, target, &ratio, proposal, error)) {
        return false;
    }
    proposal->replicas = scene->current;
    if (!assume(count, ratio, missing_when_down)) {
        if (!is_within(scene, ratio)) {
            proposal->replicas = round_up(ratio * (double)count->of[ROLE_READY]);
        }
        return true;
    }
    if (!measure(count, target, &assumed, &second, error)) {
        return false;
    }
    int32_t replicas = round_up(assumed * (double)measured(count));
    bool turned = (ratio < 1.0 && assumed > 1.0) || (ratio > 1.0 && assumed < 1.0) ||
                  (assumed < 1.0 && replicas > scene->current) ||
                  (assumed > 1.0 && replicas < scene->current);
    if (!is_within(scene, assumed) && !turned) {
        proposal->replicas = replicas;
    }
    return true;
}

/* ---- what is measured ---- */

/* A pod of which only the metric is known has no request and is left out. */
static bool measure_utilization(const struct count *count, int64_t target, double *ratio,
                                struct autoscaler_proposal *proposal, struct error *error)
{
    int64_t used = 0, requested = 0, matched = 0;
    for (size_t i = 0; i < count->scene->pod_count; i++) {
        const struct autoscaler_pod *pod = &count->scene->pods[i];
        if (!takes_part(count, i) || !pod->is_listed) {
            continue;
        }
        int64_t assumed = (int64_t)((__int128)pod->request * count->assumed_missing / 100);
        used = add(used, count->roles[i] == ROLE_READY     ? pod->value
                         : count->roles[i] == ROLE_MISSING ? assumed
                                                           : 0);
        requested = add(requested, pod->request);
        matched++;
    }
    if (requested == 0) {
        return error_internal(error, "no metrics returned matched known pods");
    }
    __int128 percent = (__int128)used * 100 / requested;
    proposal->utilization = percent > INT32_MAX ? INT32_MAX : (int32_t)percent;
    proposal->value = used / matched;
    *ratio = ratio_of(proposal->utilization, target);
    return true;
}

static bool measure_average(const struct count *count, int64_t target, double *ratio,
                            struct autoscaler_proposal *proposal, struct error *error)
{
    int64_t sum = 0, number = (int64_t)measured(count);
    (void)error;
    for (size_t i = 0; i < count->scene->pod_count; i++) {
        if (takes_part(count, i)) {
            sum = add(sum, count->roles[i] == ROLE_MISSING   ? count->assumed_missing
                           : count->roles[i] == ROLE_UNREADY ? 0
                                                             : count->scene->pods[i].value);
        }
    }
    proposal->utilization = 0;
    proposal->value = number > 0 ? sum / number : 0;
    *ratio = ratio_of(proposal->value, target);
    return true;
}

/* ---- the interface ---- */

bool autoscaler_by_utilization(const struct autoscaler_scene *scene, int32_t target_percent,
                               struct autoscaler_proposal *proposal, struct error *error)
{
    cleanup(count_clear)
    struct count count;
    return begin(&count, scene, error) &&
           propose(&count, measure_utilization, target_percent,
                   target_percent > 100 ? target_percent : 100, proposal, error);
}

bool autoscaler_by_average(const struct autoscaler_scene *scene, int64_t target,
                           struct autoscaler_proposal *proposal, struct error *error)
{
    cleanup(count_clear)
    struct count count;
    return begin(&count, scene, error) &&
           propose(&count, measure_average, target, target, proposal, error);
}

bool autoscaler_by_value(const struct autoscaler_scene *scene, int64_t value, int64_t target,
                         struct autoscaler_proposal *proposal, struct error *error)
{
    double ratio = ratio_of(value, target);
    size_t listed = 0, ready = 0;
    *proposal = (struct autoscaler_proposal){.replicas = scene->current, .value = value};
    if (scene->current == 0) { /* From nothing to as many as it takes. */
        proposal->replicas = round_up(ratio);
        return true;
    }
    if (is_within(scene, ratio)) {
        return true;
    }
    for (size_t i = 0; i < scene->pod_count; i++) {
        const struct autoscaler_pod *pod = &scene->pods[i];
        listed += pod->is_listed;
        ready += pod->is_listed && pod->phase == POD_RUNNING && pod->is_ready;
    }
    if (listed == 0) {
        return error_internal(error, "unable to calculate ready pods: no pods returned by selector "
                                     "while calculating replica count");
    }
    proposal->replicas = round_up(ratio * (double)ready);
    return true;
}

void autoscaler_by_share(int32_t present, double tolerance, int64_t value, int64_t target,
                         struct autoscaler_proposal *proposal)
{
    const struct autoscaler_scene scene = {.tolerance = tolerance};
    *proposal = (struct autoscaler_proposal){.replicas = present};
    if (!is_within(&scene, (double)value / ((double)target * (double)present))) {
        proposal->replicas = round_up(ratio_of(value, target));
    }
    double share = present > 0 ? ceil((double)value / (double)present) : 0;
    proposal->value = share >= 9.2e18 ? INT64_MAX : (int64_t)share;
}
