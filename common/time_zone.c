// SPDX-License-Identifier: Apache-2.0
/* The files' form is RFC 9636 (TZif), the rule at their end that of POSIX' variable TZ. */
#include "common/time_zone.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "common/alloc.h"

static const char zone_folder[] = "/usr/share/zoneinfo", machine_zone[] = "/etc/localtime";

enum {
    file_max = 256 * 1024,
    header_size = 44,
    day_seconds = 86400,
    default_change = 7200, /* Two o'clock. */
};

struct change {
    int64_t time;
    int offset;
};

/* When summer time begins or ends, by the calendar. */
struct rule {
    char form;            /* 'M': week and weekday of a month; 'J': day from 1, without leap days;
                           * 'n': day from 0. */
    int month, week, day; /* 'week' 5: the last. */
    int seconds;          /* Of that day, on the wall clock. */
};

struct time_zone {
    size_t count;
    struct change *changes;
    int first_offset; /* Before the first change. */
    bool has_rule, has_summer;
    int offset, summer_offset; /* By the rule. */
    struct rule begin, end;    /* Of summer time. */
};

void time_zone_free(struct time_zone *zone)
{
    if (zone != NULL) {
        free(zone->changes);
        free(zone);
    }
}

void time_zone_release(struct time_zone **zone)
{
    time_zone_free(*zone);
}

/* ---- the rule ---- */

static bool skip_name(const char **text)
{
    const char *start = *text;
    if (**text == '<') {
        *text += strcspn(*text, ">");
        *text += **text == '>';
        return (*text)[-1] == '>';
    }
    while (isalpha((unsigned char)**text)) {
        (*text)++;
    }
    return *text - start >= 3;
}

static bool parse_number(const char **text, int *number)
{
    char *end;
    long value = isdigit((unsigned char)**text) ? strtol(*text, &end, 10) : -1;
    if (value < 0 || value > 1000) {
        return false;
    }
    *text = end;
    *number = (int)value;
    return true;
}

/* [+-]hours[:minutes[:seconds]] */
static bool parse_seconds(const char **text, int *seconds)
{
    int sign = **text == '-' ? -1 : 1, part;
    *text += **text == '-' || **text == '+';
    if (!parse_number(text, &part)) {
        return false;
    }
    *seconds = part * 3600;
    for (int unit = 60; unit > 0 && **text == ':'; unit /= 60) {
        (*text)++;
        if (!parse_number(text, &part)) {
            return false;
        }
        *seconds += part * unit;
    }
    *seconds *= sign;
    return true;
}

/* ",M3.5.0/2" */
static bool parse_rule(const char **text, struct rule *rule)
{
    *rule = (struct rule){.form = 'n', .seconds = default_change};
    if (**text != ',') {
        return false;
    }
    (*text)++;
    if (**text == 'M' || **text == 'J') {
        rule->form = *(*text)++;
    }
    if (rule->form == 'M' &&
        (!parse_number(text, &rule->month) || *(*text)++ != '.' ||
         !parse_number(text, &rule->week) || *(*text)++ != '.' || rule->month < 1 ||
         rule->month > 12 || rule->week < 1 || rule->week > 5)) {
        return false;
    }
    if (!parse_number(text, &rule->day)) {
        return false;
    }
    if (**text == '/') {
        (*text)++;
        return parse_seconds(text, &rule->seconds);
    }
    return true;
}

static bool parse_rules(struct time_zone *zone, const char *text)
{
    int west;
    if (!skip_name(&text) || !parse_seconds(&text, &west)) {
        return false;
    }
    zone->offset = -west;
    zone->has_rule = true;
    if (*text == '\0') {
        return true;
    }
    zone->summer_offset = zone->offset + 3600;
    if (!skip_name(&text)) {
        return false;
    }
    if (*text != ',') {
        if (!parse_seconds(&text, &west)) {
            return false;
        }
        zone->summer_offset = -west;
    }
    zone->has_summer = true;
    return parse_rule(&text, &zone->begin) && parse_rule(&text, &zone->end) && *text == '\0';
}

static bool is_leap(int year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

/* Seconds from the beginning of the year until the rule's moment, on the wall clock. */
static int64_t rule_seconds(const struct rule *rule, int year)
{
    static const int before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365};
    bool leap = is_leap(year);
    int64_t day = rule->day;
    if (rule->form == 'J') {
        day = rule->day - 1 + (leap && rule->day >= 60);
    } else if (rule->form == 'M') {
        struct tm first = {.tm_year = year - 1900, .tm_mon = rule->month - 1, .tm_mday = 1};
        timegm(&first); /* For its weekday. */
        int start = before[rule->month - 1] + (leap && rule->month > 2);
        int end = before[rule->month] + (leap && rule->month > 1);
        day = start + (rule->day + 7 - first.tm_wday) % 7 + (rule->week - 1) * 7;
        day -= day >= end ? 7 : 0;
    }
    return day * day_seconds + rule->seconds;
}

static int offset_by_rule(const struct time_zone *zone, int64_t time)
{
    time_t standard = (time_t)(time + zone->offset);
    struct tm local;
    if (!zone->has_summer || gmtime_r(&standard, &local) == NULL) {
        return zone->offset;
    }
    struct tm january = {.tm_year = local.tm_year, .tm_mday = 1};
    int64_t year = timegm(&january);
    int64_t begin = year + rule_seconds(&zone->begin, local.tm_year + 1900) - zone->offset;
    int64_t end = year + rule_seconds(&zone->end, local.tm_year + 1900) - zone->summer_offset;
    bool is_summer = begin < end ? time >= begin && time < end : time >= begin || time < end;
    return is_summer ? zone->summer_offset : zone->offset;
}

/* ---- the file ---- */

static uint32_t read_32(const unsigned char *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static int64_t read_64(const unsigned char *at)
{
    return (int64_t)((uint64_t)read_32(at) << 32 | read_32(at + 4));
}

/* The counts in a header, in their order. */
struct counts {
    size_t ut, standard, leaps, times, types, characters;
};

static bool read_header(const unsigned char *at, size_t length, struct counts *counts)
{
    if (length < header_size || memcmp(at, "TZif", 4) != 0 || at[4] < '2') {
        return false;
    }
    *counts = (struct counts){read_32(at + 20), read_32(at + 24), read_32(at + 28),
                              read_32(at + 32), read_32(at + 36), read_32(at + 40)};
    return counts->ut <= file_max && counts->standard <= file_max && counts->leaps <= file_max &&
           counts->times <= file_max && counts->types <= 256 && counts->types > 0 &&
           counts->characters <= file_max;
}

static size_t data_size(const struct counts *counts, size_t time_size)
{
    return counts->times * (time_size + 1) + counts->types * 6 + counts->characters +
           counts->leaps * (time_size + 4) + counts->standard + counts->ut;
}

static bool read_changes(struct time_zone *zone, const unsigned char *data,
                         const struct counts *counts)
{
    const unsigned char *kinds = data + counts->times * 8, *types = kinds + counts->times;
    zone->changes = allocate_zero(counts->times + 1, sizeof *zone->changes);
    zone->count = counts->times;
    zone->first_offset = (int32_t)read_32(types);
    for (size_t i = 0; i < counts->times; i++) {
        if (kinds[i] >= counts->types) {
            return false;
        }
        zone->changes[i] =
            (struct change){read_64(data + i * 8), (int32_t)read_32(types + (size_t)kinds[i] * 6)};
    }
    return true;
}

/* The rule stands between two line feeds; an empty one says nothing. */
static bool read_rule(struct time_zone *zone, const unsigned char *text, size_t length)
{
    const unsigned char *end =
        length > 0 && text[0] == '\n' ? memchr(text + 1, '\n', length - 1) : NULL;
    if (end == NULL) {
        return false;
    }
    cleanup(free_char)
    char *rule = duplicate_bytes(text + 1, (size_t)(end - text) - 1);
    return rule[0] == '\0' || parse_rules(zone, rule);
}

struct time_zone *time_zone_parse(const void *bytes, size_t length)
{
    /* The first part has times of 32 bits, for readers of old; all stands in the second again. */
    const unsigned char *at = bytes;
    struct counts counts;
    if (!read_header(at, length, &counts) || data_size(&counts, 4) > length - header_size) {
        return NULL;
    }
    size_t skipped = header_size + data_size(&counts, 4);
    at += skipped;
    length -= skipped;
    if (!read_header(at, length, &counts) || data_size(&counts, 8) > length - header_size) {
        return NULL;
    }
    size_t size = data_size(&counts, 8);
    struct time_zone *zone = allocate_struct(struct time_zone);
    if (!read_changes(zone, at + header_size, &counts) ||
        !read_rule(zone, at + header_size + size, length - header_size - size)) {
        time_zone_free(zone);
        return NULL;
    }
    return zone;
}

static struct time_zone *read_file(const char *path)
{
    cleanup(close_stream)
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return NULL;
    }
    char *bytes = allocate(file_max);
    size_t length = fread(bytes, 1, file_max, file);
    struct time_zone *zone = time_zone_parse(bytes, length);
    free(bytes);
    return zone;
}

/* Leads out of the folder of zones. */
static bool is_stray(const char *name)
{
    return name[0] == '\0' || name[0] == '/' || strstr(name, "..") != NULL;
}

struct time_zone *time_zone_load(const char *name, struct error *error)
{
    const char *variable = name == NULL ? getenv("TZ") : NULL;
    struct time_zone *zone = NULL;
    if (variable != NULL && variable[0] != '\0') {
        name = variable + (variable[0] == ':');
    }
    if (name != NULL && !is_stray(name)) {
        cleanup(free_char)
        char *path = format("%s/%s", zone_folder, name);
        zone = read_file(path);
    } else if (name == NULL) {
        zone = read_file(machine_zone);
    }
    if (zone == NULL && (name == NULL || name == variable || strcmp(name, "UTC") == 0)) {
        zone = allocate_struct(struct time_zone); /* Without changes and rule: UTC. */
    }
    if (zone == NULL) {
        error_bad_request(error, "unknown time zone %s", name);
    }
    return zone;
}

/* ---- asking ---- */

int time_zone_offset(const struct time_zone *zone, int64_t time)
{
    size_t low = 0, high = zone->count; /* Of the changes after 'time', the first. */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (zone->changes[middle].time > time) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    if (low == zone->count && zone->has_rule) {
        return offset_by_rule(zone, time);
    }
    return low > 0 ? zone->changes[low - 1].offset : zone->first_offset;
}

struct tm time_zone_local(const struct time_zone *zone, int64_t time)
{
    struct tm local = {0};
    time_t shifted = (time_t)(time + time_zone_offset(zone, time));
    gmtime_r(&shifted, &local);
    return local;
}
