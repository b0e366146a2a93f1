// SPDX-License-Identifier: Apache-2.0
/*
 * Waits for something to be so, and takes as little of the CPU as it can from what is measured:
 *
 *   await SECONDS metric URL NAME LEAST                the metric's value, looked at each 20 ms
 *   await SECONDS watch CA CERTIFICATE KEY URL TEXT COUNT    so many events that hold the text
 *
 * Ends with 1 when it has waited in vain.
 */
#include <curl/curl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/buffer.h"

enum { look_again_ms = 20 };

struct awaited {
    const char *text;
    long count; /* Still to come. */
    struct buffer line;
};

static size_t take_text(char *bytes, size_t size, size_t count, void *argument)
{
    buffer_add(argument, bytes, size * count);
    return size * count;
}

static bool has_metric(const struct buffer *text, const char *name, double least)
{
    for (const char *line = buffer_text(text); line != NULL; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, name, strlen(name)) == 0) {
            return strtod(line + strcspn(line, " \n"), NULL) >= least;
        }
    }
    return false;
}

static bool await_metric(CURL *easy, const char *name, double least, time_t end)
{
    struct buffer text = BUFFER_INIT;
    bool is_so = false;
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_text);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, &text);
    while (!is_so && time(NULL) <= end) {
        struct timespec pause = {.tv_nsec = look_again_ms * 1000000L};
        buffer_reset(&text);
        is_so = curl_easy_perform(easy) == CURLE_OK && has_metric(&text, name, least);
        if (!is_so) {
            nanosleep(&pause, NULL);
        }
    }
    buffer_free(&text);
    return is_so;
}

/* Each event is a line. Ends the transfer with the last of those awaited. */
static size_t take_events(char *bytes, size_t size, size_t count, void *argument)
{
    struct awaited *awaited = argument;
    const char *at = bytes, *end = bytes + size * count;
    for (const char *stop; (stop = memchr(at, '\n', (size_t)(end - at))) != NULL; at = stop + 1) {
        buffer_add(&awaited->line, at, (size_t)(stop - at));
        awaited->count -= strstr(buffer_text(&awaited->line), awaited->text) != NULL;
        buffer_reset(&awaited->line);
        if (awaited->count <= 0) {
            return 0;
        }
    }
    buffer_add(&awaited->line, at, (size_t)(end - at));
    return size * count;
}

static bool await_events(CURL *easy, const char *const *files, const char *text, long count,
                         long seconds)
{
    struct awaited awaited = {.text = text, .count = count};
    curl_easy_setopt(easy, CURLOPT_CAINFO, files[0]);
    curl_easy_setopt(easy, CURLOPT_SSLCERT, files[1]);
    curl_easy_setopt(easy, CURLOPT_SSLKEY, files[2]);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_events);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, &awaited);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT, seconds);
    curl_easy_perform(easy);
    buffer_free(&awaited.line);
    return awaited.count <= 0;
}

int main(int count, char **arguments)
{
    bool is_metric = count == 6 && strcmp(arguments[2], "metric") == 0;
    bool is_watch = count == 9 && strcmp(arguments[2], "watch") == 0;
    if (!is_metric && !is_watch) {
        fprintf(stderr, "await: see the head of its source\n");
        return 2;
    }
    long seconds = strtol(arguments[1], NULL, 10);
    CURL *easy = curl_easy_init();
    curl_easy_setopt(easy, CURLOPT_URL, arguments[is_metric ? 3 : 6]);
    bool is_so = is_metric ? await_metric(easy, arguments[4], strtod(arguments[5], NULL),
                                          time(NULL) + seconds)
                           : await_events(easy, (const char *const *)arguments + 3, arguments[7],
                                          strtol(arguments[8], NULL, 10), seconds);
    curl_easy_cleanup(easy);
    return is_so ? 0 : 1;
}
