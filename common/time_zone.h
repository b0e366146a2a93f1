// SPDX-License-Identifier: Apache-2.0
/*
 * Time zones by their names ("Europe/Berlin"), from the system's database (/usr/share/zoneinfo).
 *
 * The C library knows only the one zone of a process; here any number can be had at once. Both
 * parts of a zone's file count: the changes it lists, and the rule for all times after them.
 *
 * Threads: immutable once loaded.
 */
#ifndef COMMON_TIME_ZONE_H
#define COMMON_TIME_ZONE_H

#include <stdint.h>
#include <time.h>

#include "common/error.h"

struct time_zone;

/* 'name' NULL: the machine's own, which is UTC if nothing else is set up. The caller's; NULL with
 * "unknown time zone <name>". */
struct time_zone *time_zone_load(const char *name, struct error *error);
/* Of the bytes of a zone's file; NULL when they are none. */
struct time_zone *time_zone_parse(const void *bytes, size_t length);
void time_zone_free(struct time_zone *zone);
void time_zone_release(struct time_zone **zone); /* For cleanup(). */

/* Seconds east of Greenwich at that time (seconds since 1970). */
int time_zone_offset(const struct time_zone *zone, int64_t time);
/* What clocks on the wall show then. */
struct tm time_zone_local(const struct time_zone *zone, int64_t time);

#endif
