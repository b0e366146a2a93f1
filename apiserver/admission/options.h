// SPDX-License-Identifier: Apache-2.0
#ifndef APISERVER_ADMISSION_OPTIONS_H
#define APISERVER_ADMISSION_OPTIONS_H

#include <stdint.h>

/* What plugins can be told by flags. */
struct admission_options {
    const char *enable, *disable; /* Names, separated by commas. */
    int64_t not_ready_toleration_seconds, unreachable_toleration_seconds;
    uint64_t enabled; /* A bit for each plugin of the table; set by admission_configure(). */
};

#endif
