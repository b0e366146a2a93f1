// SPDX-License-Identifier: Apache-2.0
/* Times and durations in the forms of the API. */
#ifndef COMMON_TIMESTAMP_H
#define COMMON_TIMESTAMP_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

enum { TIMESTAMP_SIZE = 40 }; /* Room for any text made here. */

/* Nanoseconds since 1970, UTC. */
int64_t timestamp_now(void);
/* Nanoseconds of a clock that never jumps, for time-outs and intervals. */
int64_t timestamp_monotonic(void);
/* The time of day so many nanoseconds from now, for pthread_cond_timedwait() and its like. */
struct timespec timestamp_after(int64_t nanoseconds);
/* "2026-01-31T12:00:00Z" */
void timestamp_format(int64_t nanoseconds, char text[static TIMESTAMP_SIZE]);
/* "2026-01-31T12:00:00.123456Z" */
void timestamp_format_micro(int64_t nanoseconds, char text[static TIMESTAMP_SIZE]);
/* RFC 3339 with any offset and any number of decimals. */
bool timestamp_parse(const char *text, int64_t *nanoseconds);
/* The same time, of any year up to 9999, in UTC as the two functions above print it; "" for the
 * first moment of the year 1, which is Go's zero time. False when the text is no time. */
bool timestamp_canonical(const char *text, bool micro, char canonical[static TIMESTAMP_SIZE]);
/* Go's time.Duration: "1h30m", "300ms", "-1.5h". */
bool duration_parse(const char *text, int64_t *nanoseconds);
void duration_format(int64_t nanoseconds, char text[static TIMESTAMP_SIZE]);
/* As kubectl shows an age: "5s", "3m20s", "4h12m", "6d3h", "2y45d" (duration.HumanDuration). */
void duration_format_human(int64_t nanoseconds, char text[static TIMESTAMP_SIZE]);

#endif
