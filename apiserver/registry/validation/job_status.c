// SPDX-License-Identifier: Apache-2.0
/*
 * The status of Jobs, which controllers of others may write as well (spec.managedBy): what one part
 * of it allows in another, and how it may change.
 *
 * What was wrong before may stay: a rule is asked when one of the parts that it is about changes.
 */
#include <string.h>

#include "apiserver/registry/validation/check.h"
#include "apiserver/registry/validation/workloads.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/map.h"
#include "common/timestamp.h"

static const struct field_path status_path = {.name = "status"};

/* What a status says of how the Job ends. */
struct outcome {
    bool complete, failed, failure_target, success_criteria_met, suspended;
};

/* A status beside the one before. */
struct status_change {
    const json_t *spec, *now, *was;
    struct outcome is, before;
    struct field_errors *errors;
};

static bool is_true(const json_t *status, const char *type)
{
    size_t i;
    const json_t *condition;
    json_array_foreach (json_object_get(status, "conditions"), i, condition) {
        if (check_is(condition, "type", type) && check_is(condition, "status", "True")) {
            return true;
        }
    }
    return false;
}

static struct outcome outcome_of(const json_t *status)
{
    return (struct outcome){.complete = is_true(status, "Complete"),
                            .failed = is_true(status, "Failed"),
                            .failure_target = is_true(status, "FailureTarget"),
                            .success_criteria_met = is_true(status, "SuccessCriteriaMet"),
                            .suspended = is_true(status, "Suspended")};
}

static bool is_finished(const struct outcome *outcome)
{
    return outcome->complete || outcome->failed;
}

/* A number that is absent is 0. */
static bool has_changed(const struct status_change *change, const char *member)
{
    const json_t *now = json_object_get(change->now, member);
    const json_t *was = json_object_get(change->was, member);
    if ((now == NULL || json_is_integer(now)) && (was == NULL || json_is_integer(was))) {
        return json_integer_value(now) != json_integer_value(was);
    }
    return !check_equal(now, was);
}

static void refuse(const struct status_change *change, const char *member, const char *message)
{
    field_error(change->errors, FIELD_INVALID, FIELD(&status_path, member),
                json_object_get(change->now, member), "%s", message);
}

/* Conditions are not shown. */
static void refuse_conditions(const struct status_change *change, const char *message)
{
    field_error(change->errors, FIELD_INVALID, FIELD(&status_path, "conditions"), NULL, "%s",
                message);
}

static void require(const struct status_change *change, const char *member, const char *message)
{
    field_error(change->errors, FIELD_REQUIRED, FIELD(&status_path, member), NULL, "%s", message);
}

/* ---- each part alone ---- */

static void check_pods(const struct status_change *change, const char *member, struct map *seen)
{
    const struct field_path *path = FIELD(FIELD(&status_path, "uncountedTerminatedPods"), member);
    const json_t *list = json_path(change->now, "uncountedTerminatedPods", member);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *uid = json_string_value(json_array_get(list, i));
        if (uid == NULL || uid[0] == '\0') {
            check_invalid_text("", "must not be empty", FIELD_INDEX(path, i), change->errors);
        } else if (map_get(seen, uid) != NULL) {
            check_duplicate_text(uid, FIELD_INDEX(path, i), change->errors);
        } else {
            map_set(seen, uid, (void *)(uintptr_t)uid);
        }
    }
}

static void check_parts(const struct status_change *change)
{
    static const char *const counters[] = {"active", "succeeded",   "failed",
                                           "ready",  "terminating", NULL};
    struct map seen = {0};
    check_counters(change->now, counters, change->errors);
    check_pods(change, "succeeded", &seen);
    check_pods(change, "failed", &seen);
    map_free(&seen, NULL);
}

/* ---- how it ends ---- */

static void check_conditions_agree(const struct status_change *change)
{
    const struct outcome *is = &change->is, *before = &change->before;
    bool complete_changed = is->complete != before->complete;
    bool failed_changed = is->failed != before->failed;
    bool target_changed = is->failure_target != before->failure_target;
    bool criteria_changed = is->success_criteria_met != before->success_criteria_met;
    bool has_success_policy = check_has(change->spec, "successPolicy");
    const struct {
        bool is_asked, is_wrong;
        const char *message;
    } rules[] = {
        {complete_changed || failed_changed, is->complete && is->failed,
         "cannot set Complete=True and Failed=true conditions"},
        {complete_changed || target_changed, is->complete && is->failure_target,
         "cannot set Complete=True and FailureTarget=true conditions"},
        {failed_changed || target_changed, is->failed && !is->failure_target,
         "cannot set Failed=True condition without the FailureTarget=true condition"},
        {complete_changed || criteria_changed, is->complete && !is->success_criteria_met,
         "cannot set Complete=True condition without the SuccessCriteriaMet=true condition"},
        {true, is->success_criteria_met && is->failed,
         "cannot set SuccessCriteriaMet=True and Failed=true conditions"},
        {true, is->success_criteria_met && is->failure_target,
         "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions"},
        {true, has_success_policy && !is->success_criteria_met && is->complete,
         "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True"},
        {true, before->failed && !is->failed, "cannot disable the terminal Failed=True condition"},
        {true, before->complete && !is->complete,
         "cannot disable the terminal Complete=True condition"},
        {true, before->failure_target && !is->failure_target,
         "cannot disable the terminal FailureTarget=True condition"},
        {true, before->success_criteria_met && !is->success_criteria_met,
         "cannot disable the SuccessCriteriaMet=True condition"},
        {true, before->complete && !before->success_criteria_met && is->success_criteria_met,
         "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions"},
    };
    for (size_t i = 0; i < array_length(rules); i++) {
        if (rules[i].is_asked && rules[i].is_wrong) {
            refuse_conditions(change, rules[i].message);
        }
    }
}

static bool is_before(const json_t *status, const char *one, const char *other)
{
    int64_t first, second;
    return timestamp_parse(check_text(status, one), &first) &&
           timestamp_parse(check_text(status, other), &second) && first < second;
}

static void check_times(const struct status_change *change)
{
    const struct outcome *is = &change->is;
    bool completed = check_has(change->now, "completionTime");
    bool completion_changed = has_changed(change, "completionTime");
    bool start_changed = has_changed(change, "startTime");
    bool complete_changed = is->complete != change->before.complete;
    if (complete_changed || completion_changed) {
        if (completed && !is->complete) {
            refuse(change, "completionTime",
                   "cannot set completionTime when there is no Complete=True condition");
        } else if (!completed && is->complete) {
            require(change, "completionTime", "completionTime is required for Complete jobs");
        }
    }
    if ((start_changed || completion_changed) &&
        is_before(change->now, "completionTime", "startTime")) {
        refuse(change, "completionTime", "completionTime cannot be set before startTime");
    }
    if (completed && check_has(change->was, "completionTime") && completion_changed) {
        refuse(change, "completionTime", "completionTime cannot be mutated");
    }
    /* Whoever resumes a Job lets its time begin anew. */
    bool resumes = change->before.suspended && !is->suspended;
    if (start_changed && check_has(change->was, "startTime") && !resumes &&
        !json_get_bool(change->spec, "suspend", false)) {
        require(change, "startTime", "startTime cannot be removed for unsuspended job");
    }
}

static void check_finished(const struct status_change *change)
{
    bool is_over = is_finished(&change->is);
    bool is_new = is_over != is_finished(&change->before);
    const json_t *pods = json_object_get(change->now, "uncountedTerminatedPods");
    bool was_never_to_run = json_get_bool(change->spec, "suspend", false) &&
                            check_has(change->spec, "completions") &&
                            json_get_int(change->spec, "completions", 0) == 0;
    if (!is_over) {
        return;
    }
    if ((is_new || has_changed(change, "active")) && json_get_int(change->now, "active", 0) > 0) {
        refuse(change, "active", "active>0 is invalid for finished job");
    }
    if ((is_new || has_changed(change, "startTime")) && !was_never_to_run &&
        !check_has(change->now, "startTime")) {
        require(change, "startTime", "startTime is required for finished job");
    }
    if ((is_new || has_changed(change, "uncountedTerminatedPods")) &&
        json_array_size(json_object_get(pods, "failed")) +
                json_array_size(json_object_get(pods, "succeeded")) >
            0) {
        refuse(change, "uncountedTerminatedPods",
               "uncountedTerminatedPods needs to be empty for finished job");
    }
    if ((is_new || has_changed(change, "terminating")) &&
        json_get_int(change->now, "terminating", 0) > 0) {
        refuse(change, "terminating", "terminating>0 is invalid for finished job");
    }
}

/* ---- pods and indexes ---- */

static void check_counts(const struct status_change *change)
{
    const json_t *spec = change->spec;
    bool may_shrink =
        check_is(spec, "completionMode", "Indexed") &&
        check_equal(json_object_get(spec, "completions"), json_object_get(spec, "parallelism"));
    if ((has_changed(change, "ready") || has_changed(change, "active")) &&
        json_get_int(change->now, "ready", 0) > json_get_int(change->now, "active", 0)) {
        refuse(change, "ready", "cannot set more ready pods than active");
    }
    if (json_get_int(change->now, "failed", 0) < json_get_int(change->was, "failed", 0)) {
        cleanup(json_release)
        json_t *shown = json_integer(json_get_int(change->now, "failed", 0));
        field_error(change->errors, FIELD_INVALID, FIELD(&status_path, "failed"), shown,
                    "cannot decrease the failed counter");
    }
    if (!may_shrink &&
        json_get_int(change->now, "succeeded", 0) < json_get_int(change->was, "succeeded", 0)) {
        cleanup(json_release)
        json_t *shown = json_integer(json_get_int(change->now, "succeeded", 0));
        field_error(change->errors, FIELD_INVALID, FIELD(&status_path, "succeeded"), shown,
                    "cannot decrease the succeeded counter");
    }
}

static void check_format(const struct status_change *change, const char *member)
{
    const char *text = check_text(change->now, member);
    json_int_t total;
    cleanup(free_char)
    char *why = NULL;
    if (text[0] != '\0' && check_has(change->spec, "completions") &&
        !check_job_indexes(text, json_get_int(change->spec, "completions", 0), &total, &why)) {
        cleanup(free_char)
        char *message = format("error parsing %s: %s", member, why);
        refuse(change, member, message);
    }
}

/* The interval at '*text' in "1,3-5", which is moved behind it; false at the end. */
static bool next_interval(const char **text, json_int_t *first, json_int_t *last)
{
    char *end;
    if (**text == '\0') {
        return false;
    }
    *first = *last = strtoll(*text, &end, 10);
    if (*end == '-') {
        *last = strtoll(end + 1, &end, 10);
    }
    *text = end + (*end == ',');
    return *end == ',' || *end == '\0';
}

/* Of well-formed ones: an index that stands in both; -1: none does. */
static json_int_t common_index(const char *one, const char *other)
{
    json_int_t first, last, other_first, other_last;
    bool more =
        next_interval(&one, &first, &last) && next_interval(&other, &other_first, &other_last);
    while (more) {
        if (first <= other_last && other_first <= last) {
            return first > other_first ? first : other_first;
        }
        more = first <= other_first ? next_interval(&one, &first, &last)
                                    : next_interval(&other, &other_first, &other_last);
    }
    return -1;
}

static void check_indexes(const struct status_change *change)
{
    const char *done = check_text(change->now, "completedIndexes");
    const char *failed = check_text(change->now, "failedIndexes");
    bool done_changed = has_changed(change, "completedIndexes");
    bool failed_changed = has_changed(change, "failedIndexes");
    bool counts_failures = check_has(change->spec, "backoffLimitPerIndex");
    if (done_changed) {
        check_format(change, "completedIndexes");
    }
    if (failed_changed && counts_failures) {
        check_format(change, "failedIndexes");
    }
    if (done_changed && done[0] != '\0' && !check_is(change->spec, "completionMode", "Indexed")) {
        refuse(change, "completedIndexes",
               "cannot set non-empty completedIndexes when non-indexed completion mode");
    }
    if (failed_changed && !counts_failures && check_has(change->now, "failedIndexes")) {
        refuse(change, "failedIndexes",
               "cannot set non-null failedIndexes when backoffLimitPerIndex is null");
    }
    json_int_t both = done_changed || failed_changed ? common_index(done, failed) : -1;
    if (both >= 0 && check_has(change->spec, "completions")) {
        cleanup(free_char)
        char *message = format("failedIndexes and completedIndexes overlap at index: "
                               "%" JSON_INTEGER_FORMAT,
                               both);
        refuse(change, "failedIndexes", message);
    }
}

void validate_job_status(const struct write *write, struct field_errors *errors)
{
    struct status_change change = {.spec = json_object_get(write->object, "spec"),
                                   .now = json_object_get(write->object, "status"),
                                   .was = json_object_get(write->live, "status"),
                                   .errors = errors};
    change.is = outcome_of(change.now);
    change.before = outcome_of(change.was);
    check_parts(&change);
    check_conditions_agree(&change);
    check_times(&change);
    check_finished(&change);
    check_counts(&change);
    check_indexes(&change);
}
