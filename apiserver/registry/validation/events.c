// SPDX-License-Identifier: Apache-2.0
/*
 * Events of both groups, as they are stored: with the names of the core group, which stand in
 * upstream's paths as well. What is posted as events.k8s.io/v1 is held to more.
 */
#include <string.h>

#include "apiserver/registry/validation/check.h"
#include "apiserver/registry/validation/cluster.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/names.h"

enum { text_max = 128, message_max = 1024 };

static bool has_value(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    return value != NULL && !json_is_null(value) && !check_is(object, name, "0001-01-01T00:00:00Z");
}

/* ---- every event ---- */

static void check_length(const json_t *event, const char *name, size_t most,
                         struct field_errors *errors)
{
    if (strlen(check_text(event, name)) > most) {
        cleanup(free_char)
        char *message = format("can have at most %zu characters", most);
        check_invalid_text("", message, FIELD(NULL, name), errors);
    }
}

/* Those with a time say who did what. */
static void validate_new_style(const json_t *event, struct field_errors *errors)
{
    static const char *const texts[] = {"reportingInstance", "action", "reason"};
    const char *reporter = check_text(event, "reportingComponent");
    const struct field_path *path = FIELD(NULL, "reportingController");
    if (reporter[0] == '\0') {
        field_error(errors, FIELD_REQUIRED, path, NULL, NULL);
    }
    cleanup(free_char)
    char *message = names_check_qualified(reporter);
    check_invalid_text(reporter, message, path, errors);
    for (size_t i = 0; i < array_length(texts); i++) {
        if (check_text(event, texts[i])[0] == '\0') {
            field_error(errors, FIELD_REQUIRED, FIELD(NULL, texts[i]), NULL, NULL);
        }
        check_length(event, texts[i], text_max, errors);
    }
    check_length(event, "message", message_max, errors);
}

/* An event is where its object is; what has no namespace has its events in "default", or with
 * those of the system. */
static void validate_place(const struct write *write, bool new_style, struct field_errors *errors)
{
    const char *of = check_text(json_object_get(write->object, "involvedObject"), "namespace");
    const char *in = write->namespace;
    bool right = of[0] != '\0'
                     ? new_style || strcmp(of, in) == 0
                     : strcmp(in, "default") == 0 || (new_style && strcmp(in, "kube-system") == 0);
    check_invalid_text(of, right ? NULL : "does not match event.namespace",
                       FIELD(FIELD(NULL, "involvedObject"), "namespace"), errors);
}

/* ---- those of events.k8s.io ---- */

static void validate_series(const json_t *series, struct field_errors *errors)
{
    if (series != NULL && json_get_int(series, "count", 0) < 2) {
        check_invalid_text("", "should be at least 2", FIELD(NULL, "series.count"), errors);
    }
    if (series != NULL && !has_value(series, "lastObservedTime")) {
        field_error(errors, FIELD_REQUIRED, FIELD(NULL, "series.lastObservedTime"), NULL, NULL);
    }
}

static void validate_strictly(const json_t *event, struct field_errors *errors)
{
    static const char *const unset[] = {"firstTimestamp", "lastTimestamp"};
    const json_t *source = json_object_get(event, "source");
    const char *type = check_text(event, "type");
    validate_series(json_object_get(event, "series"), errors);
    if (!has_value(event, "eventTime")) {
        field_error(errors, FIELD_REQUIRED, FIELD(NULL, "eventTime"), NULL, NULL);
    }
    if (strcmp(type, "Normal") != 0 && strcmp(type, "Warning") != 0) {
        cleanup(free_char)
        char *message = format("has invalid value: %s", type);
        check_invalid_text("", message, FIELD(NULL, "type"), errors);
    }
    for (size_t i = 0; i < array_length(unset); i++) {
        check_invalid_text("", has_value(event, unset[i]) ? "needs to be unset" : NULL,
                           FIELD(NULL, unset[i]), errors);
    }
    if (json_get_int(event, "count", 0) != 0) {
        check_invalid_text("", "needs to be unset", FIELD(NULL, "count"), errors);
    }
    if (check_text(source, "component")[0] != '\0' || check_text(source, "host")[0] != '\0') {
        check_invalid_text("", "needs to be unset", FIELD(NULL, "source"), errors);
    }
}

static void validate_what_stays(const json_t *event, const json_t *live,
                                struct field_errors *errors)
{
    static const struct {
        const char *member, *shown; /* Upstream's name of it, where it is another. */
    } stays[] = {
        {"involvedObject", NULL},
        {"reason", NULL},
        {"message", NULL},
        {"source", NULL},
        {"firstTimestamp", NULL},
        {"lastTimestamp", NULL},
        {"count", NULL},
        {"type", NULL},
        {"eventTime", NULL},
        {"action", NULL},
        {"related", NULL},
        {"reportingComponent", "reportingController"},
        {"reportingInstance", NULL},
    };
    const json_t *series = json_object_get(event, "series");
    if (!check_equal(series, json_object_get(live, "series"))) {
        validate_series(series, errors);
    }
    for (size_t i = 0; i < array_length(stays); i++) {
        const char *member = stays[i].member;
        if (check_text(event, member)[0] != '\0' || check_text(live, member)[0] != '\0' ||
            !json_is_string(json_object_get(event, member))) {
            check_immutable(json_object_get(event, member), json_object_get(live, member),
                            FIELD(NULL, stays[i].shown ? stays[i].shown : member), errors);
        }
    }
}

void validate_event(const struct write *write, struct field_errors *errors)
{
    bool new_style = has_value(write->object, "eventTime");
    if (new_style) {
        validate_new_style(write->object, errors);
    }
    validate_place(write, new_style, errors);
    if (strcmp(write->resource->group, "events.k8s.io") != 0) {
        return;
    }
    if (write->live == NULL) {
        validate_strictly(write->object, errors);
    } else {
        validate_what_stays(write->object, write->live, errors);
    }
}
