// SPDX-License-Identifier: Apache-2.0
/*
 * How fast a target may follow what its metrics ask for.
 *
 * Two things keep it from fluttering. Of what was recommended within a window the highest counts
 * when pods are to go, and the lowest when pods are to come (stabilisation). And the number may
 * change by no more than its policies say, counted from what it was at the beginning of each
 * policy's period. Without a behaviour there is a window for going only, and a target at most
 * doubles, or reaches four.
 *
 * What was recommended and done is an autoscaler's history. It is kept in memory, as upstream keeps
 * it, and grows no longer than what the windows and periods still look at: an entry that is older
 * gives its place to the next.
 *
 * Times are nanoseconds. Threads: a history belongs to whoever calls.
 */
#ifndef CONTROLLERS_AUTOSCALER_BEHAVIOR_H
#define CONTROLLERS_AUTOSCALER_BEHAVIOR_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- what is allowed ---- */

struct autoscaler_policy {
    bool is_percent;
    int32_t value, period_seconds;
};

enum autoscaler_select { AUTOSCALER_MAX, AUTOSCALER_MIN, AUTOSCALER_DISABLED };

enum { AUTOSCALER_POLICIES_MAX = 32 }; /* Those beyond are left out. */

struct autoscaler_rules {
    enum autoscaler_select select;
    int32_t window_seconds;
    struct autoscaler_policy policies[AUTOSCALER_POLICIES_MAX];
    size_t policy_count;
};

struct autoscaler_behavior {
    struct autoscaler_rules up, down;
};

/* Reads spec.behavior; what is not there is as the API's defaults are, the window for going
 * 'down_window_seconds'. */
void autoscaler_behavior_read(struct autoscaler_behavior *behavior, const json_t *tree,
                              int32_t down_window_seconds);

/* ---- what was ---- */

struct autoscaler_entry {
    int32_t number; /* Recommended; or by how many pods the number changed. */
    int64_t time;
};

struct autoscaler_log {
    struct autoscaler_entry *entries;
    size_t count, capacity;
};

struct autoscaler_history {
    struct autoscaler_log recommendations, ups, downs;
};

void autoscaler_history_free(struct autoscaler_history *history);
/* The number that there is counts as recommended when there is nothing else yet. */
void autoscaler_history_begin(struct autoscaler_history *history, int32_t current, int64_t now);
/* The number was changed. 'behavior' NULL: nothing is to be known of it. */
void autoscaler_history_note(struct autoscaler_history *history,
                             const struct autoscaler_behavior *behavior, int32_t before,
                             int32_t after, int64_t now);

/* ---- the decision ---- */

struct autoscaler_limits {
    int32_t min, max;
};

/* Reasons and messages are the conditions', static. */
struct autoscaler_decision {
    int32_t replicas;
    const char *stable_reason, *stable_message; /* Of AbleToScale, which is True. */
    bool is_limited;                            /* ScalingLimited. */
    const char *limit_reason, *limit_message;
};

/* What becomes of a recommendation, which is noted. 'behavior' NULL: there is none, and the window
 * for going is 'down_window'. */
struct autoscaler_decision autoscaler_decide(struct autoscaler_history *history,
                                             const struct autoscaler_behavior *behavior,
                                             struct autoscaler_limits limits, int32_t current,
                                             int32_t desired, int64_t down_window, int64_t now);

#endif
