// SPDX-License-Identifier: Apache-2.0
#include "controllers/autoscaler_behavior.h"

#include <math.h>
#include <string.h>

#include "common/alloc.h"
#include "common/json.h"

static const int64_t second = 1000000000;

/* ---- reading ---- */

static enum autoscaler_select read_select(const json_t *rules)
{
    const char *text = json_get_string(rules, "selectPolicy");
    if (text == NULL) {
        return AUTOSCALER_MAX;
    }
    return strcmp(text, "Disabled") == 0 ? AUTOSCALER_DISABLED
           : strcmp(text, "Min") == 0    ? AUTOSCALER_MIN
                                         : AUTOSCALER_MAX;
}

static void read_rules(struct autoscaler_rules *rules, const json_t *tree)
{
    const json_t *policies = json_object_get(tree, "policies");
    rules->select = read_select(tree);
    rules->window_seconds =
        (int32_t)json_get_int(tree, "stabilizationWindowSeconds", rules->window_seconds);
    if (!json_is_array(policies)) {
        return;
    }
    rules->policy_count = 0;
    size_t i;
    const json_t *policy;
    json_array_foreach (policies, i, policy) {
        const char *type = json_get_string(policy, "type");
        if (rules->policy_count < AUTOSCALER_POLICIES_MAX && type != NULL) {
            rules->policies[rules->policy_count++] = (struct autoscaler_policy){
                .is_percent = strcmp(type, "Percent") == 0,
                .value = (int32_t)json_get_int(policy, "value", 0),
                .period_seconds = (int32_t)json_get_int(policy, "periodSeconds", 0),
            };
        }
    }
}

void autoscaler_behavior_read(struct autoscaler_behavior *behavior, const json_t *tree,
                              int32_t down_window_seconds)
{
    *behavior = (struct autoscaler_behavior){
        .up = {.policies = {{false, 4, 15}, {true, 100, 15}}, .policy_count = 2},
        .down = {.policies = {{true, 100, 15}},
                 .policy_count = 1,
                 .window_seconds = down_window_seconds},
    };
    read_rules(&behavior->up, json_object_get(tree, "scaleUp"));
    read_rules(&behavior->down, json_object_get(tree, "scaleDown"));
}

/* ---- history ---- */

void autoscaler_history_free(struct autoscaler_history *history)
{
    free(history->recommendations.entries);
    free(history->ups.entries);
    free(history->downs.entries);
    *history = (struct autoscaler_history){0};
}

/* In the place of an entry before 'outdated', if there is one. */
static void note(struct autoscaler_log *log, int32_t number, int64_t outdated, int64_t now)
{
    struct autoscaler_entry entry = {number, now};
    for (size_t i = log->count; i-- > 0;) {
        if (log->entries[i].time < outdated) {
            log->entries[i] = entry;
            return;
        }
    }
    log->entries = grow(log->entries, log->count, &log->capacity, sizeof *log->entries);
    log->entries[log->count++] = entry;
}

void autoscaler_history_begin(struct autoscaler_history *history, int32_t current, int64_t now)
{
    if (history->recommendations.count == 0) {
        note(&history->recommendations, current, INT64_MIN, now);
    }
}

static int64_t longest_period(const struct autoscaler_rules *rules)
{
    int32_t longest = 0;
    for (size_t i = 0; i < rules->policy_count; i++) {
        int32_t period = rules->policies[i].period_seconds;
        longest = period > longest ? period : longest;
    }
    return longest * second;
}

void autoscaler_history_note(struct autoscaler_history *history,
                             const struct autoscaler_behavior *behavior, int32_t before,
                             int32_t after, int64_t now)
{
    if (behavior != NULL && after > before) {
        note(&history->ups, after - before, now - longest_period(&behavior->up), now);
    } else if (behavior != NULL) {
        note(&history->downs, before - after, now - longest_period(&behavior->down), now);
    }
}

/* ---- stabilisation ---- */

static const char stable_reason[] = "ReadyForNewScale";
static const char stable_message[] = "recommended size matches current size";

static void tell_up(struct autoscaler_decision *decision)
{
    decision->stable_reason = "ScaleUpStabilized";
    decision->stable_message = "recent recommendations were lower than current one, applying the "
                               "lowest recent recommendation";
}

static void tell_down(struct autoscaler_decision *decision)
{
    decision->stable_reason = "ScaleDownStabilized";
    decision->stable_message = "recent recommendations were higher than current one, applying the "
                               "highest recent recommendation";
}

/* The highest recommendation of the window. */
static int32_t stabilize(struct autoscaler_history *history, int32_t desired, int64_t window,
                         int64_t now)
{
    const struct autoscaler_log *log = &history->recommendations;
    int32_t highest = desired;
    for (size_t i = 0; i < log->count; i++) {
        const struct autoscaler_entry *entry = &log->entries[i];
        if (entry->time >= now - window && entry->number > highest) {
            highest = entry->number;
        }
    }
    note(&history->recommendations, desired, now - window, now);
    return highest;
}

/* The number there is, brought between the lowest recommendation of one window and the highest of
 * the other. */
static int32_t stabilize_both(struct autoscaler_history *history,
                              const struct autoscaler_behavior *behavior, int32_t current,
                              int32_t desired, int64_t now)
{
    const struct autoscaler_log *log = &history->recommendations;
    int64_t up = now - behavior->up.window_seconds * second;
    int64_t down = now - behavior->down.window_seconds * second;
    int32_t lowest = desired, highest = desired, number = current;
    for (size_t i = 0; i < log->count; i++) {
        const struct autoscaler_entry *entry = &log->entries[i];
        if (entry->time > up && entry->number < lowest) {
            lowest = entry->number;
        }
        if (entry->time > down && entry->number > highest) {
            highest = entry->number;
        }
    }
    number = number < lowest ? lowest : number;
    number = number > highest ? highest : number;
    note(&history->recommendations, desired, up < down ? up : down, now);
    return number;
}

/* ---- limits ---- */

static int64_t changed_since(const struct autoscaler_log *log, int64_t start)
{
    int64_t sum = 0;
    for (size_t i = 0; i < log->count; i++) {
        sum += log->entries[i].time > start ? log->entries[i].number : 0;
    }
    return sum;
}

static int32_t clamp(double number)
{
    return number >= INT32_MAX ? INT32_MAX : number <= INT32_MIN ? INT32_MIN : (int32_t)number;
}

/* What one policy allows, from the number at the beginning of its period. */
static int32_t allowed(const struct autoscaler_policy *policy, bool is_up, int64_t start)
{
    if (!policy->is_percent) {
        return clamp((double)start + (is_up ? policy->value : -policy->value));
    }
    double part = (double)policy->value / 100;
    /* Upwards rounded up, so that a small part of a small number is a step as well. */
    return is_up ? clamp(ceil((double)start * (1 + part))) : clamp((double)start * (1 - part));
}

/* The furthest that the number may go in one direction. */
static int32_t limit_of(const struct autoscaler_history *history,
                        const struct autoscaler_rules *rules, bool is_up, int32_t current,
                        int64_t now)
{
    /* The greatest change goes furthest up, or down. */
    bool takes_greatest = (rules->select == AUTOSCALER_MAX) == is_up;
    int32_t limit = takes_greatest ? INT32_MIN : INT32_MAX;
    if (rules->select == AUTOSCALER_DISABLED) {
        return current;
    }
    for (size_t i = 0; i < rules->policy_count; i++) {
        const struct autoscaler_policy *policy = &rules->policies[i];
        int64_t since = now - policy->period_seconds * second;
        int64_t start =
            current - changed_since(&history->ups, since) + changed_since(&history->downs, since);
        int32_t one = allowed(policy, is_up, start);
        limit = takes_greatest ? (one > limit ? one : limit) : (one < limit ? one : limit);
    }
    return limit;
}

static void tell_limit(struct autoscaler_decision *decision, int32_t replicas, const char *reason,
                       const char *message)
{
    decision->is_limited = decision->replicas != replicas;
    decision->replicas = replicas;
    decision->limit_reason = reason;
    decision->limit_message = message;
}

static void tell_range(struct autoscaler_decision *decision)
{
    tell_limit(decision, decision->replicas, "DesiredWithinRange",
               "the desired count is within the acceptable range");
}

static void limit_up(struct autoscaler_decision *decision, int32_t rate_limit, int32_t max)
{
    int32_t most = max > rate_limit ? rate_limit : max;
    if (decision->replicas <= most) {
        tell_range(decision);
    } else if (max > rate_limit) {
        tell_limit(decision, most, "ScaleUpLimit",
                   "the desired replica count is increasing faster than the maximum scale rate");
    } else {
        tell_limit(decision, most, "TooManyReplicas",
                   "the desired replica count is more than the maximum replica count");
    }
}

static void limit_down(struct autoscaler_decision *decision, int32_t rate_limit, int32_t min)
{
    int32_t least = min < rate_limit ? rate_limit : min;
    if (decision->replicas >= least) {
        tell_range(decision);
    } else if (min < rate_limit) {
        tell_limit(decision, least, "ScaleDownLimit",
                   "the desired replica count is decreasing faster than the maximum scale rate");
    } else {
        tell_limit(decision, least, "TooFewReplicas",
                   "the desired replica count is less than the minimum replica count");
    }
}

/* ---- the decision ---- */

static struct autoscaler_decision decide_plainly(struct autoscaler_history *history,
                                                 struct autoscaler_limits limits, int32_t current,
                                                 int32_t desired, int64_t down_window, int64_t now)
{
    struct autoscaler_decision decision = {.stable_reason = stable_reason,
                                           .stable_message = stable_message};
    int32_t rate_limit = current > INT32_MAX / 2 ? INT32_MAX : current > 2 ? 2 * current : 4;
    decision.replicas = stabilize(history, desired, down_window, now);
    if (decision.replicas != desired) {
        tell_down(&decision);
    }
    if (decision.replicas < limits.min) {
        limit_down(&decision, INT32_MIN, limits.min);
    } else {
        limit_up(&decision, rate_limit, limits.max);
    }
    return decision;
}

static struct autoscaler_decision decide_by_rules(struct autoscaler_history *history,
                                                  const struct autoscaler_behavior *behavior,
                                                  struct autoscaler_limits limits, int32_t current,
                                                  int32_t desired, int64_t now)
{
    struct autoscaler_decision decision = {.stable_reason = stable_reason,
                                           .stable_message = stable_message};
    decision.replicas = stabilize_both(history, behavior, current, desired, now);
    if (decision.replicas != desired) {
        (desired >= current ? tell_up : tell_down)(&decision);
    }
    if (decision.replicas > current) {
        int32_t limit = limit_of(history, &behavior->up, true, current, now);
        limit_up(&decision, limit < current ? current : limit, limits.max);
    } else if (decision.replicas < current) {
        int32_t limit = limit_of(history, &behavior->down, false, current, now);
        limit_down(&decision, limit > current ? current : limit, limits.min);
    } else {
        tell_range(&decision);
    }
    return decision;
}

struct autoscaler_decision autoscaler_decide(struct autoscaler_history *history,
                                             const struct autoscaler_behavior *behavior,
                                             struct autoscaler_limits limits, int32_t current,
                                             int32_t desired, int64_t down_window, int64_t now)
{
    return behavior != NULL ? decide_by_rules(history, behavior, limits, current, desired, now)
                            : decide_plainly(history, limits, current, desired, down_window, now);
}
