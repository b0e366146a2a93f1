// SPDX-License-Identifier: Apache-2.0
#include "common/cron_schedule.h"

#include <ctype.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/alloc.h"
#include "common/buffer.h"

static const char *const month_names[] = {"jan", "feb", "mar", "apr", "may", "jun",
                                          "jul", "aug", "sep", "oct", "nov", "dec"};
static const char *const weekday_names[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat"};

/* One of the five fields. */
static const struct field {
    unsigned minimum, maximum;
    const char *const *names; /* Of the values from 'minimum' on. */
    size_t name_count;
    size_t offset; /* Of its bits in the schedule. */
} fields[] = {
    {0, 59, NULL, 0, offsetof(struct cron_schedule, minutes)},
    {0, 23, NULL, 0, offsetof(struct cron_schedule, hours)},
    {1, 31, NULL, 0, offsetof(struct cron_schedule, days)},
    {1, 12, month_names, array_length(month_names), offsetof(struct cron_schedule, months)},
    {0, 6, weekday_names, array_length(weekday_names), offsetof(struct cron_schedule, weekdays)},
};

enum { FIELD_COUNT = array_length(fields), NUMBER_MAX = 1000000000 };

/* ---- one range: "*", "5", "1-5", with "/2" behind ---- */

/* A copy of the text up to the separator, which '*rest' is put behind; NULL when there is none. */
static char *split(const char *text, char separator, const char **rest)
{
    const char *at = strchr(text, separator);
    *rest = at ? at + 1 : NULL;
    return at ? duplicate_bytes(text, (size_t)(at - text)) : duplicate(text);
}

static bool parse_number(const char *text, const char *range, unsigned *number, struct error *error)
{
    char *end;
    long long value = strtoll(text, &end, 10);
    bool is_number = (isdigit((unsigned char)text[0]) ||
                      ((text[0] == '-' || text[0] == '+') && isdigit((unsigned char)text[1]))) &&
                     *end == '\0';
    if (!is_number) {
        return error_bad_request(
            error, "failed to parse int from %s: strconv.Atoi: parsing \"%s\": invalid syntax",
            range, text);
    }
    if (value < 0) {
        return error_bad_request(error, "negative number (%lld) not allowed: %s", value, range);
    }
    *number = value > NUMBER_MAX ? NUMBER_MAX : (unsigned)value;
    return true;
}

static bool parse_value(const struct field *field, const char *text, const char *range,
                        unsigned *value, struct error *error)
{
    for (size_t i = 0; i < field->name_count; i++) {
        if (strcasecmp(field->names[i], text) == 0) {
            *value = field->minimum + (unsigned)i;
            return true;
        }
    }
    return parse_number(text, range, value, error);
}

static bool check_bounds(const struct field *field, unsigned start, unsigned end, unsigned step,
                         const char *range, struct error *error)
{
    if (start < field->minimum) {
        return error_bad_request(error, "beginning of range (%u) below minimum (%u): %s", start,
                                 field->minimum, range);
    }
    if (end > field->maximum) {
        return error_bad_request(error, "end of range (%u) above maximum (%u): %s", end,
                                 field->maximum, range);
    }
    if (start > end) {
        return error_bad_request(error, "beginning of range (%u) beyond end of range (%u): %s",
                                 start, end, range);
    }
    return step > 0 ||
           error_bad_request(error, "step of range should be a positive number: %s", range);
}

/* '*any': the range is all there is. */
static bool parse_range(const struct field *field, const char *range, uint64_t *bits, bool *any,
                        struct error *error)
{
    const char *step_text, *end_text;
    cleanup(free_char)
    char *span = split(range, '/', &step_text);
    cleanup(free_char)
    char *start_text = split(span, '-', &end_text);
    bool is_any = strcmp(start_text, "*") == 0 || strcmp(start_text, "?") == 0;
    unsigned start = field->minimum, end = field->maximum, step = 1;
    if (!is_any) {
        if (!parse_value(field, start_text, range, &start, error)) {
            return false;
        }
        end = start;
        if (end_text != NULL && strchr(end_text, '-') != NULL) {
            return error_bad_request(error, "too many hyphens: %s", range);
        }
        if (end_text != NULL && !parse_value(field, end_text, range, &end, error)) {
            return false;
        }
    }
    if (step_text != NULL) {
        if (strchr(step_text, '/') != NULL) {
            return error_bad_request(error, "too many slashes: %s", range);
        }
        if (!parse_number(step_text, range, &step, error)) {
            return false;
        }
        end = end_text == NULL ? field->maximum : end; /* "5/10" is "5-59/10". */
    }
    if (!check_bounds(field, start, end, step, range, error)) {
        return false;
    }
    *any = *any || (is_any && step == 1);
    for (unsigned value = start; value <= end && value < 64; value += step) {
        *bits |= UINT64_C(1) << value;
    }
    return true;
}

static bool parse_field(const struct field *field, const char *text, uint64_t *bits, bool *any,
                        struct error *error)
{
    cleanup(free_char)
    char *copy = duplicate(text);
    char *state = NULL;
    *bits = 0;
    *any = false;
    for (char *range = strtok_r(copy, ",", &state); range != NULL;
         range = strtok_r(NULL, ",", &state)) {
        if (!parse_range(field, range, bits, any, error)) {
            return false;
        }
    }
    return true;
}

/* ---- words ---- */

static const struct {
    const char *word, *fields;
} descriptors[] = {
    {"@yearly", "0 0 1 1 *"}, {"@annually", "0 0 1 1 *"}, {"@monthly", "0 0 1 * *"},
    {"@weekly", "0 0 * * 0"}, {"@daily", "0 0 * * *"},    {"@midnight", "0 0 * * *"},
    {"@hourly", "0 * * * *"},
};

/* Go's durations: "1h30m", "90s", "1.5h". Whole seconds, one at least. */
static bool parse_duration(const char *text, int64_t *seconds)
{
    static const struct {
        const char *unit;
        double seconds;
    } units[] = {{"ns", 1e-9}, {"us", 1e-6}, {"µs", 1e-6}, {"ms", 1e-3},
                 {"s", 1},     {"m", 60},    {"h", 3600}};
    double total = 0;
    bool negative = text[0] == '-';
    text += text[0] == '-' || text[0] == '+';
    if (strcmp(text, "0") == 0) {
        *seconds = 1;
        return true;
    }
    if (text[0] == '\0') {
        return false;
    }
    while (*text != '\0') {
        char *end;
        size_t length, i;
        if (!isdigit((unsigned char)*text) && *text != '.') {
            return false;
        }
        length = strspn(text, "0123456789.");
        cleanup(free_char)
        char *number = duplicate_bytes(text, length);
        double amount = strtod(number, &end);
        if (*end != '\0') {
            return false;
        }
        text += length;
        length = strcspn(text, "0123456789.");
        for (i = 0; i < array_length(units); i++) {
            if (strlen(units[i].unit) == length && memcmp(units[i].unit, text, length) == 0) {
                break;
            }
        }
        if (i == array_length(units)) {
            return false;
        }
        total += amount * units[i].seconds;
        text += length;
    }
    *seconds = negative || total < 1 ? 1 : total > 9e9 ? INT64_C(9000000000) : (int64_t)total;
    return total <= 9.3e9;
}

static bool parse_descriptor(const char *text, struct cron_schedule *schedule, struct error *error)
{
    static const char every[] = "@every ";
    for (size_t i = 0; i < array_length(descriptors); i++) {
        if (strcmp(text, descriptors[i].word) == 0) {
            return cron_schedule_parse(descriptors[i].fields, schedule, error);
        }
    }
    if (strncmp(text, every, strlen(every)) != 0) {
        return error_bad_request(error, "unrecognized descriptor: %s", text);
    }
    const char *duration = text + strlen(every);
    return parse_duration(duration, &schedule->every_seconds) ||
           error_bad_request(error, "failed to parse duration %s: time: invalid duration \"%s\"",
                             text, duration);
}

/* ---- the whole ---- */

static const char *skip_zone(const char *text)
{
    bool has_zone = strncmp(text, "TZ=", 3) == 0 || strncmp(text, "CRON_TZ=", 8) == 0;
    const char *space = has_zone ? strchr(text, ' ') : NULL;
    text = space ? space : text;
    return text + (has_zone ? strspn(text, " \t") : 0);
}

static bool parse_fields(char *const *texts, struct cron_schedule *schedule, struct error *error)
{
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        uint64_t *bits = (uint64_t *)(void *)((char *)schedule + fields[i].offset);
        bool any;
        if (!parse_field(&fields[i], texts[i], bits, &any, error)) {
            return false;
        }
        if (bits == &schedule->days) {
            schedule->any_day = any;
        } else if (bits == &schedule->weekdays) {
            schedule->any_weekday = any;
        }
    }
    return true;
}

bool cron_schedule_parse(const char *text, struct cron_schedule *schedule, struct error *error)
{
    *schedule = (struct cron_schedule){0};
    if (text[0] == '\0') {
        return error_bad_request(error, "empty spec string");
    }
    text = skip_zone(text);
    if (text[0] == '@') {
        return parse_descriptor(text, schedule, error);
    }
    cleanup(free_char)
    char *copy = duplicate(text);
    cleanup(buffer_free)
    struct buffer shown = BUFFER_INIT;
    char *texts[FIELD_COUNT], *state = NULL;
    size_t count = 0;
    for (char *part = strtok_r(copy, " \t\n\v\f\r", &state); part != NULL;
         part = strtok_r(NULL, " \t\n\v\f\r", &state)) {
        if (count < FIELD_COUNT) {
            texts[count] = part;
        }
        buffer_addf(&shown, "%s%s", count ? " " : "", part);
        count++;
    }
    if (count != FIELD_COUNT) {
        return error_bad_request(error, "expected exactly %d fields, found %zu: [%s]", FIELD_COUNT,
                                 count, buffer_text(&shown));
    }
    return parse_fields(texts, schedule, error);
}

char *cron_schedule_zone(const char *text)
{
    size_t length = strncmp(text, "TZ=", 3) == 0 ? 3 : strncmp(text, "CRON_TZ=", 8) == 0 ? 8 : 0;
    return length > 0 ? duplicate_bytes(text + length, strcspn(text + length, " ")) : NULL;
}

/* ---- times ---- */

static bool has(uint64_t set, int value)
{
    return (set >> value & 1) != 0;
}

static bool is_day(const struct cron_schedule *schedule, const struct tm *local)
{
    bool day = has(schedule->days, local->tm_mday);
    bool weekday = has(schedule->weekdays, local->tm_wday);
    if (!has(schedule->months, local->tm_mon + 1)) {
        return false;
    }
    return schedule->any_day || schedule->any_weekday ? day && weekday : day || weekday;
}

/* That many seconds on, but not past a moment at which the clocks change: from there, what they
 * show is to be looked at anew. */
static int64_t step(const struct time_zone *zone, int64_t time, int64_t seconds)
{
    int64_t low = time, high = time + seconds;
    int offset = time_zone_offset(zone, time);
    if (time_zone_offset(zone, high) == offset) {
        return high;
    }
    while (high - low > 1) {
        int64_t middle = low + (high - low) / 2;
        if (time_zone_offset(zone, middle) == offset) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return high;
}

bool cron_schedule_next(const struct cron_schedule *schedule, const struct time_zone *zone,
                        int64_t after, int64_t *next)
{
    const int64_t second = 1000000000;
    int64_t time = after / second;
    if (schedule->every_seconds > 0) {
        *next = (time + schedule->every_seconds) * second;
        return true;
    }
    struct tm local = time_zone_local(zone, ++time);
    int last_year = local.tm_year + 5;
    while (local.tm_year <= last_year) {
        int minutes = local.tm_hour * 60 + local.tm_min;
        if (!is_day(schedule, &local)) {
            time = step(zone, time, (24 * 60 - minutes) * 60 - local.tm_sec);
        } else if (!has(schedule->hours, local.tm_hour)) {
            time = step(zone, time, (60 - local.tm_min) * 60 - local.tm_sec);
        } else if (local.tm_sec != 0 || !has(schedule->minutes, local.tm_min)) {
            time = step(zone, time, 60 - local.tm_sec);
        } else {
            *next = time * second;
            return true;
        }
        local = time_zone_local(zone, time);
    }
    return false;
}
