// SPDX-License-Identifier: Apache-2.0
/*
 * Logging to standard error, one line an event: time, level, component, message.
 *
 *     2026-01-31T12:00:00.123Z info  apiserver  serving on https://127.0.0.1:6443
 *
 * Control characters in a message are printed as \xNN, so that no client can forge a line.
 * Thread-safe: a line is written with one write(2). Secrets never enter a message.
 */
#ifndef COMMON_LOG_H
#define COMMON_LOG_H

#include <stdbool.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERROR };

/* Called once by main before other threads start. 'component' is kept, borrowed. */
void log_setup(const char *component, enum log_level least);
bool log_enabled(enum log_level level);
void log_write(enum log_level level, const char *text, ...) __attribute__((format(printf, 2, 3)));

#define log_debug(...)                                                                             \
    do {                                                                                           \
        if (log_enabled(LOG_DEBUG)) {                                                              \
            log_write(LOG_DEBUG, __VA_ARGS__);                                                     \
        }                                                                                          \
    } while (0)
#define log_info(...) log_write(LOG_INFO, __VA_ARGS__)
#define log_warning(...) log_write(LOG_WARNING, __VA_ARGS__)
#define log_error(...) log_write(LOG_ERROR, __VA_ARGS__)

#endif
