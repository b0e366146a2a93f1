// SPDX-License-Identifier: Apache-2.0
#include "common/timestamp.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define NANOSECONDS_A_SECOND INT64_C(1000000000)

static int64_t read_clock(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * NANOSECONDS_A_SECOND + now.tv_nsec;
}

int64_t timestamp_now(void)
{
    return read_clock(CLOCK_REALTIME);
}

int64_t timestamp_monotonic(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

struct timespec timestamp_after(int64_t nanoseconds)
{
    int64_t then = timestamp_now() + nanoseconds;
    return (struct timespec){.tv_sec = then / 1000000000, .tv_nsec = then % 1000000000};
}

/* ---- points in time ---- */

/* Splits so that 0 <= *rest < 10^9, also before 1970. */
static int64_t whole_seconds(int64_t nanoseconds, int64_t *rest)
{
    int64_t seconds = nanoseconds / NANOSECONDS_A_SECOND;
    *rest = nanoseconds % NANOSECONDS_A_SECOND;
    if (*rest < 0) {
        *rest += NANOSECONDS_A_SECOND;
        seconds--;
    }
    return seconds;
}

/* Writes "2026-01-31T12:00:00" and returns its length. */
static size_t format_seconds(int64_t seconds, char text[static TIMESTAMP_SIZE])
{
    struct tm parts;
    time_t time = (time_t)seconds;
    gmtime_r(&time, &parts);
    int year = parts.tm_year + 1900;
    for (int i = 3; i >= 0; i--, year /= 10) {
        text[i] = (char)('0' + year % 10);
    }
    const int numbers[] = {parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min,
                           parts.tm_sec};
    char *at = text + 4;
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        *at++ = "--T::"[i];
        *at++ = (char)('0' + numbers[i] / 10);
        *at++ = (char)('0' + numbers[i] % 10);
    }
    *at = '\0';
    return (size_t)(at - text);
}

void timestamp_format(int64_t nanoseconds, char text[static TIMESTAMP_SIZE])
{
    int64_t rest;
    size_t length = format_seconds(whole_seconds(nanoseconds, &rest), text);
    memcpy(text + length, "Z", 2);
}

void timestamp_format_micro(int64_t nanoseconds, char text[static TIMESTAMP_SIZE])
{
    int64_t rest;
    size_t length = format_seconds(whole_seconds(nanoseconds, &rest), text);
    snprintf(text + length, TIMESTAMP_SIZE - length, ".%06" PRId64 "Z", rest / 1000);
}

/* Reads exactly 'digits' digits and the character behind them ('\0': whatever it is). */
static bool read_number(const char **text, int digits, char behind, int *number)
{
    *number = 0;
    for (int i = 0; i < digits; i++, (*text)++) {
        if (**text < '0' || **text > '9') {
            return false;
        }
        *number = *number * 10 + (**text - '0');
    }
    if (behind != '\0' && *(*text)++ != behind) {
        return false;
    }
    return true;
}

static bool is_calendar_day(int year, int month, int day)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month >= 1 && month <= 12 && day >= 1 &&
           day <= days[month - 1] + (month == 2 && leap ? 1 : 0);
}

/* From 1970-01-01 to that day. Years begin with March here, so that a leap day ends one; their 400
 * take 146,097 days. */
static int64_t days_of(int year, int month, int day)
{
    int64_t of_march = (month + 9) % 12, years = year + 400 - (month < 3);
    return years * 365 + years / 4 - years / 100 + years / 400 + (153 * of_march + 2) / 5 + day -
           1 - 719468 - 146097;
}

/* ".123456789…" in nanoseconds; further digits are dropped. */
static bool read_decimals(const char **text, int64_t *nanoseconds)
{
    int64_t unit = NANOSECONDS_A_SECOND / 10;
    *nanoseconds = 0;
    if (**text != '.' && **text != ',') {
        return true;
    }
    (*text)++;
    if (**text < '0' || **text > '9') {
        return false;
    }
    for (; **text >= '0' && **text <= '9'; (*text)++) {
        *nanoseconds += (**text - '0') * unit;
        unit /= 10;
    }
    return true;
}

/* "Z" or "+01:00", in seconds east. */
static bool read_offset(const char *text, int *offset)
{
    int hours, minutes;
    char sign = *text++;
    *offset = 0;
    if (sign == 'Z') {
        return *text == '\0';
    }
    if ((sign != '+' && sign != '-') || !read_number(&text, 2, ':', &hours) ||
        !read_number(&text, 2, '\0', &minutes) || *text != '\0' || hours > 24 || minutes > 60) {
        return false;
    }
    *offset = (hours * 60 + minutes) * (sign == '-' ? -60 : 60);
    return true;
}

/* Splits a time into seconds since 1970 and nanoseconds. */
static bool parse_time(const char *text, int64_t *seconds, int64_t *rest)
{
    int year, month, day, hour, minute, second, offset;
    if (!read_number(&text, 4, '-', &year) || !read_number(&text, 2, '-', &month) ||
        !read_number(&text, 2, 'T', &day) || !read_number(&text, 2, ':', &hour) ||
        !read_number(&text, 2, ':', &minute) || !read_number(&text, 2, '\0', &second) ||
        !read_decimals(&text, rest) || !read_offset(text, &offset)) {
        return false;
    }
    if (!is_calendar_day(year, month, day) || hour > 23 || minute > 59 || second > 59) {
        return false;
    }
    *seconds = days_of(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - offset;
    return true;
}

bool timestamp_parse(const char *text, int64_t *nanoseconds)
{
    int64_t seconds, rest;
    return parse_time(text, &seconds, &rest) &&
           !__builtin_mul_overflow(seconds, NANOSECONDS_A_SECOND, nanoseconds) &&
           !__builtin_add_overflow(*nanoseconds, rest, nanoseconds);
}

/* A time that parses has the form that is printed. */
static bool is_canonical(const char *text, bool micro)
{
    size_t length = strlen(text);
    return micro ? length == 27 && text[19] == '.' && text[26] == 'Z'
                 : length == 20 && text[19] == 'Z';
}

bool timestamp_canonical(const char *text, bool micro, char canonical[static TIMESTAMP_SIZE])
{
    static const int64_t year_one = -62135596800, year_10000 = 253402300800;
    int64_t seconds, rest;
    if (!parse_time(text, &seconds, &rest) || seconds < year_one || seconds >= year_10000) {
        return false;
    }
    /* Decimals that are not printed don't count: what is printed must read back the same. */
    if (seconds == year_one && rest < (micro ? 1000 : NANOSECONDS_A_SECOND)) {
        canonical[0] = '\0';
        return true;
    }
    if (is_canonical(text, micro)) {
        memcpy(canonical, text, strlen(text) + 1);
        return true;
    }
    size_t length = format_seconds(seconds, canonical);
    if (micro) {
        snprintf(canonical + length, TIMESTAMP_SIZE - length, ".%06" PRId64 "Z", rest / 1000);
    } else {
        memcpy(canonical + length, "Z", 2);
    }
    return true;
}

/* ---- durations ---- */

/* The unit that the text begins with; its length goes to '*length'. 0: none. */
static int64_t duration_unit(const char *text, size_t *length)
{
    static const struct {
        const char *name;
        int64_t nanoseconds;
    } units[] = {
        {"ns", 1},
        {"us", 1000},
        {"µs", 1000},
        {"μs", 1000}, /* The micro sign and the Greek letter. */
        {"ms", 1000000},
        {"s", NANOSECONDS_A_SECOND},
        {"m", 60 * NANOSECONDS_A_SECOND},
        {"h", 3600 * NANOSECONDS_A_SECOND},
    };
    *length = strcspn(text, ".0123456789");
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (strlen(units[i].name) == *length && strncmp(text, units[i].name, *length) == 0) {
            return units[i].nanoseconds;
        }
    }
    return 0;
}

/* "1.5h" in nanoseconds. */
static bool read_duration_part(const char **text, uint64_t *nanoseconds)
{
    uint64_t whole = 0, decimals = 0;
    double scale = 1;
    const char *start = *text;
    for (; **text >= '0' && **text <= '9'; (*text)++) {
        if (__builtin_mul_overflow(whole, 10, &whole) ||
            __builtin_add_overflow(whole, (uint64_t)(**text - '0'), &whole)) {
            return false;
        }
    }
    bool any = *text > start;
    if (**text == '.') {
        for ((*text)++; **text >= '0' && **text <= '9'; (*text)++) {
            any = true;
            if (decimals < UINT64_MAX / 20) { /* Further digits are below a nanosecond. */
                decimals = decimals * 10 + (uint64_t)(**text - '0');
                scale *= 10;
            }
        }
    }
    size_t length;
    uint64_t unit = (uint64_t)duration_unit(*text, &length);
    *text += length;
    return any && unit > 0 && !__builtin_mul_overflow(whole, unit, nanoseconds) &&
           !__builtin_add_overflow(
               *nanoseconds, (uint64_t)((double)decimals * ((double)unit / scale)), nanoseconds);
}

bool duration_parse(const char *text, int64_t *nanoseconds)
{
    uint64_t total = 0;
    bool negative = *text == '-';
    if (*text == '-' || *text == '+') {
        text++;
    }
    if (strcmp(text, "0") == 0) {
        *nanoseconds = 0;
        return true;
    }
    if (*text == '\0') {
        return false;
    }
    while (*text != '\0') {
        uint64_t part;
        if (!read_duration_part(&text, &part) || __builtin_add_overflow(total, part, &total)) {
            return false;
        }
    }
    if (total > (uint64_t)INT64_MAX + (negative ? 1 : 0)) {
        return false;
    }
    *nanoseconds = negative ? (int64_t)(0 - total) : (int64_t)total;
    return true;
}

/* A number of 'unit'-ths with the decimals that it needs: 1500000 of 10^6 is "1.5". */
static int print_decimals(char *text, size_t size, uint64_t value, uint64_t unit)
{
    int length = snprintf(text, size, "%" PRIu64, value / unit);
    uint64_t rest = value % unit;
    if (rest > 0) {
        text[length++] = '.';
        for (; rest > 0; rest %= unit) {
            rest *= 10;
            text[length++] = (char)('0' + rest / unit);
        }
        text[length] = '\0';
    }
    return length;
}

/* Less than a second: the largest of ns, µs and ms that shows no leading zero. */
static void format_below_second(uint64_t value, char *text, size_t size)
{
    uint64_t unit = value < 1000 ? 1 : value < 1000000 ? 1000 : 1000000;
    int length = print_decimals(text, size, value, unit);
    snprintf(text + length, size - (size_t)length, "%s",
             unit == 1      ? "ns"
             : unit == 1000 ? "µs"
                            : "ms");
}

void duration_format(int64_t nanoseconds, char text[static TIMESTAMP_SIZE])
{
    uint64_t value = nanoseconds < 0 ? 0 - (uint64_t)nanoseconds : (uint64_t)nanoseconds;
    size_t size = TIMESTAMP_SIZE;
    if (nanoseconds < 0) {
        *text++ = '-';
        size--;
    }
    if (value == 0) {
        memcpy(text, "0s", 3);
        return;
    }
    if (value < (uint64_t)NANOSECONDS_A_SECOND) {
        format_below_second(value, text, size);
        return;
    }
    uint64_t minutes = value / (60 * (uint64_t)NANOSECONDS_A_SECOND);
    int length = 0;
    if (minutes >= 60) {
        length = snprintf(text, size, "%" PRIu64 "h", minutes / 60);
    }
    if (minutes > 0) {
        length += snprintf(text + length, size - (size_t)length, "%" PRIu64 "m", minutes % 60);
    }
    length += print_decimals(text + length, size - (size_t)length,
                             value % (60 * (uint64_t)NANOSECONDS_A_SECOND),
                             (uint64_t)NANOSECONDS_A_SECOND);
    snprintf(text + length, size - (size_t)length, "s");
}

/* "6d3h", or "6d" when the second number is zero. */
static void print_two(char *text, int64_t large, char large_unit, int64_t small, char small_unit)
{
    int length = snprintf(text, TIMESTAMP_SIZE, "%" PRId64 "%c", large, large_unit);
    if (small != 0) {
        snprintf(text + length, TIMESTAMP_SIZE - (size_t)length, "%" PRId64 "%c", small,
                 small_unit);
    }
}

void duration_format_human(int64_t nanoseconds, char text[static TIMESTAMP_SIZE])
{
    int64_t seconds = nanoseconds / NANOSECONDS_A_SECOND;
    int64_t minutes = seconds / 60, hours = minutes / 60, days = hours / 24;
    /* A clock that runs a little behind shall not show a negative age. */
    if (seconds < -1) {
        memcpy(text, "<invalid>", 10);
    } else if (seconds < 0) {
        memcpy(text, "0s", 3);
    } else if (seconds < 2 * 60) {
        print_two(text, seconds, 's', 0, 's');
    } else if (minutes < 10) {
        print_two(text, minutes, 'm', seconds % 60, 's');
    } else if (minutes < 3 * 60) {
        print_two(text, minutes, 'm', 0, 's');
    } else if (hours < 8) {
        print_two(text, hours, 'h', minutes % 60, 'm');
    } else if (hours < 48) {
        print_two(text, hours, 'h', 0, 'm');
    } else if (hours < 24 * 8) {
        print_two(text, days, 'd', hours % 24, 'h');
    } else if (hours < 24 * 365 * 2) {
        print_two(text, days, 'd', 0, 'h');
    } else if (hours < 24 * 365 * 8) {
        print_two(text, days / 365, 'y', days % 365, 'd');
    } else {
        print_two(text, days / 365, 'y', 0, 'd');
    }
}
