// SPDX-License-Identifier: Apache-2.0
/* CronJobs: schedules, time zones, and the jobs they start. */
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "apiserver/registry/validation/check.h"
#include "apiserver/registry/validation/workloads.h"
#include "common/alloc.h"
#include "common/cron_schedule.h"
#include "common/json.h"

static const struct field_path spec_path = {.name = "spec"};

/* The controller adds eleven characters, and jobs have names of 63. */
enum { NAME_MAX_BYTES = 52, ZONE_PART_MAX = 14 };

/* ---- time zones ---- */

static const char zone_folder[] = "/usr/share/zoneinfo";

/* Parts of known characters, none of which leads elsewhere. */
static bool is_zone_name(const char *text)
{
    static const char accepted[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz.-_0123456789+";
    for (;;) {
        size_t length = strcspn(text, "/");
        if (length == 0 || length > ZONE_PART_MAX || text[0] == '-' ||
            strspn(text, accepted) < length || (length == 1 && text[0] == '.') ||
            (length == 2 && memcmp(text, "..", 2) == 0)) {
            return false;
        }
        if (text[length] == '\0') {
            return true;
        }
        text += length + 1;
    }
}

/* Where the system has no zones at all, every name that could be one is let through. */
static bool is_known_zone(const char *text)
{
    struct stat status;
    cleanup(free_char)
    char *path = format("%s/%s", zone_folder, text);
    return strcmp(text, "UTC") == 0 || stat(zone_folder, &status) != 0 ||
           (stat(path, &status) == 0 && S_ISREG(status.st_mode));
}

static void validate_zone(const json_t *zone, struct field_errors *errors)
{
    const char *text = json_string_value(zone);
    const struct field_path *path = FIELD(&spec_path, "timeZone");
    if (text == NULL) {
        return;
    }
    if (text[0] == '\0') {
        field_error(errors, FIELD_INVALID, path, zone, "timeZone must be nil or non-empty string");
    } else if (strcasecmp(text, "Local") == 0) {
        field_error(errors, FIELD_INVALID, path, zone,
                    "timeZone must be an explicit time zone as defined in "
                    "https://www.iana.org/time-zones");
        if (strcmp(text, "Local") != 0) {
            field_error(errors, FIELD_INVALID, path, zone, "unknown time zone %s", text);
        }
    } else if (!is_zone_name(text) || !is_known_zone(text)) {
        field_error(errors, FIELD_INVALID, path, zone, "unknown time zone %s", text);
    }
}

/* ---- schedules ---- */

/* A zone in the schedule is tolerated where there was one before. */
static void validate_schedule(const json_t *spec, const json_t *live, struct field_errors *errors)
{
    const json_t *schedule = json_object_get(spec, "schedule");
    const char *text = check_text(spec, "schedule");
    const struct field_path *path = FIELD(&spec_path, "schedule");
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    struct cron_schedule parsed;
    bool has_zone = strstr(text, "TZ") != NULL;
    bool had_zone = strstr(check_text(live, "schedule"), "TZ") != NULL;
    if (text[0] == '\0') {
        return; /* Reported as missing. */
    }
    if (!cron_schedule_parse(text, &parsed, &error)) {
        field_error(errors, FIELD_INVALID, path, schedule, "%s", error.message);
    }
    if (has_zone && !had_zone) {
        field_error(errors, FIELD_INVALID, path, schedule,
                    "cannot use TZ or CRON_TZ in schedule, use timeZone field instead");
    } else if (has_zone && check_has(spec, "timeZone")) {
        field_error(errors, FIELD_INVALID, path, schedule,
                    "cannot use both timeZone field and TZ or CRON_TZ in schedule");
    }
}

/* ---- the whole ---- */

static void validate_job_template(const json_t *template, struct field_errors *errors)
{
    static const char *const supported[] = {"nil", "false", NULL};
    const json_t *spec = json_object_get(template, "spec");
    const json_t *selector = json_object_get(spec, "selector");
    const json_t *manual = json_object_get(spec, "manualSelector");
    const struct field_path *path = FIELD(FIELD(&spec_path, "jobTemplate"), "spec");
    validate_job_spec(spec, path, errors);
    check_message(selector, selector ? "`selector` will be auto-generated" : NULL,
                  FIELD(path, "selector"), errors);
    if (json_is_true(manual)) {
        field_error_not_supported(errors, FIELD(path, "manualSelector"), manual, supported);
    }
}

void validate_cron_job(const struct write *write, struct field_errors *errors)
{
    const json_t *spec = json_object_get(write->object, "spec");
    const json_t *live = json_object_get(write->live, "spec");
    const json_t *name = json_path(write->object, "metadata", "name");
    const json_t *zone = json_object_get(spec, "timeZone");
    if (write->subresource[0] != '\0') {
        return;
    }
    if (live == NULL && json_string_length(name) > NAME_MAX_BYTES) {
        field_error(errors, FIELD_INVALID, FIELD(FIELD(NULL, "metadata"), "name"), name,
                    "must be no more than %d characters", NAME_MAX_BYTES);
    }
    validate_schedule(spec, live, errors);
    if (live == NULL || !check_equal(zone, json_object_get(live, "timeZone"))) {
        validate_zone(zone, errors);
    }
    validate_job_template(json_object_get(spec, "jobTemplate"), errors);
}
