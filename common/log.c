// SPDX-License-Identifier: Apache-2.0
#include "common/log.h"

#include <stdarg.h>
#include <time.h>
#include <unistd.h>

#include "common/alloc.h"
#include "common/buffer.h"

/* Set once by log_setup(), read by all threads. */
static const char *log_component = "-";
static enum log_level log_least = LOG_INFO;

void log_setup(const char *component, enum log_level least)
{
    log_component = component;
    log_least = least;
}

bool log_enabled(enum log_level level)
{
    return level >= log_least;
}

static void add_time(struct buffer *line)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    struct tm parts;
    gmtime_r(&now.tv_sec, &parts);
    char text[32];
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
    buffer_addf(line, "%s.%03ldZ ", text, now.tv_nsec / 1000000);
}

static void add_escaped(struct buffer *line, const char *text)
{
    for (const char *c = text; *c != '\0'; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f) {
            buffer_addf(line, "\\x%02x", (unsigned char)*c);
        } else {
            buffer_add_char(line, *c);
        }
    }
}

void log_write(enum log_level level, const char *text, ...)
{
    static const char *const names[] = {"debug", "info ", "warn ", "error"};
    if (!log_enabled(level)) {
        return;
    }
    va_list arguments;
    va_start(arguments, text);
    cleanup(free_char)
    char *message = format_list(text, arguments);
    va_end(arguments);
    cleanup(buffer_free)
    struct buffer line = BUFFER_INIT;
    add_time(&line);
    buffer_addf(&line, "%s %-10s ", names[level], log_component);
    add_escaped(&line, message);
    buffer_add_char(&line, '\n');
    ssize_t ignored = write(STDERR_FILENO, line.bytes, line.length);
    (void)ignored;
}
