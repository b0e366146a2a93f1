// SPDX-License-Identifier: Apache-2.0
/*
 * Measures how fast changes reach many watchers: opens WATCHERS watches of the default namespace's
 * config maps, changes some config maps CHANGES times in all, and prints how many events a second
 * the watchers received together, from the first change until the last event.
 *
 *   fanout URL CA-FILE TOKEN WATCHERS CHANGES
 *
 * All of it runs in one thread on libcurl's multi interface. Nothing takes longer than a minute.
 */
#include <curl/curl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { WRITERS = 8, PAYLOAD_BYTES = 1000, TIME_LIMIT_S = 60 };

struct bench {
    const char *url, *ca_file;
    int watchers, changes;
    CURLM *multi;
    struct curl_slist *headers; /* The token, and the type of a merge patch. */
    struct curl_slist *create_headers;
    int started, done; /* Changes sent, and those answered. */
    int64_t events;    /* Lines received by all watchers. */
};

/* Changes one config map again and again, so that the writers never conflict. */
struct writer {
    struct bench *bench;
    CURL *handle;
    int number;
    char url[512], body[PAYLOAD_BYTES + 256];
};

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "fanout: %s: %s\n", what, why);
    exit(1);
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* Each event is a line. */
static size_t count_events(char *data, size_t size, size_t count, void *closure)
{
    struct bench *bench = closure;
    const char *end = data + size * count;
    for (const char *p = data; (p = memchr(p, '\n', (size_t)(end - p))) != NULL; p++) {
        bench->events++;
    }
    return size * count;
}

static size_t discard(char *data, size_t size, size_t count, void *closure)
{
    (void)data;
    (void)closure;
    return size * count;
}

static CURL *new_handle(struct bench *bench, const char *url, struct curl_slist *headers)
{
    CURL *handle = curl_easy_init();
    if (handle == NULL) {
        fail("curl", "no memory");
    }
    curl_easy_setopt(handle, CURLOPT_URL, url);
    curl_easy_setopt(handle, CURLOPT_CAINFO, bench->ca_file);
    curl_easy_setopt(handle, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, discard);
    curl_easy_setopt(handle, CURLOPT_TIMEOUT, (long)TIME_LIMIT_S);
    return handle;
}

static void create(struct writer *writer)
{
    struct bench *bench = writer->bench;
    char url[512], body[64];
    snprintf(url, sizeof url, "%s/api/v1/namespaces/default/configmaps", bench->url);
    snprintf(body, sizeof body, "{\"metadata\":{\"name\":\"fanout-%d\"}}", writer->number);
    CURL *handle = new_handle(bench, url, bench->create_headers);
    curl_easy_setopt(handle, CURLOPT_POSTFIELDS, body);
    CURLcode code = curl_easy_perform(handle);
    long status = 0;
    curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &status);
    if (code != CURLE_OK || (status != 201 && status != 409)) {
        fail("a config map was not created", curl_easy_strerror(code));
    }
    curl_easy_cleanup(handle);
}

static void change(struct writer *writer)
{
    static const char format[] = "{\"data\":{\"change\":\"%d\",\"payload\":\"%0*d\"}}";
    snprintf(writer->body, sizeof writer->body, format, writer->bench->started++, PAYLOAD_BYTES, 0);
    curl_multi_add_handle(writer->bench->multi, writer->handle);
}

static void prepare(struct bench *bench, struct writer *writer, int number)
{
    *writer = (struct writer){.bench = bench, .number = number};
    create(writer);
    snprintf(writer->url, sizeof writer->url, "%s/api/v1/namespaces/default/configmaps/fanout-%d",
             bench->url, number);
    writer->handle = new_handle(bench, writer->url, bench->headers);
    curl_easy_setopt(writer->handle, CURLOPT_CUSTOMREQUEST, "PATCH");
    curl_easy_setopt(writer->handle, CURLOPT_POSTFIELDS, writer->body);
    curl_easy_setopt(writer->handle, CURLOPT_PRIVATE, writer);
}

/* What ended: an answered change, after which the writer makes the next one. A watch must not end.
 */
static void take_ended(struct bench *bench)
{
    int left;
    CURLMsg *message;
    while ((message = curl_multi_info_read(bench->multi, &left)) != NULL) {
        struct writer *writer = NULL;
        long status = 0;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&writer);
        curl_easy_getinfo(message->easy_handle, CURLINFO_RESPONSE_CODE, &status);
        if (message->data.result != CURLE_OK || writer == NULL || status != 200) {
            fail(writer ? "a change failed" : "a watch ended",
                 curl_easy_strerror(message->data.result));
        }
        bench->done++;
        curl_multi_remove_handle(bench->multi, writer->handle);
        if (bench->started < bench->changes) {
            change(writer);
        }
    }
}

static void run_until(struct bench *bench, int64_t events, int done)
{
    double deadline = now() + TIME_LIMIT_S;
    while (bench->events < events || bench->done < done) {
        int running;
        curl_multi_perform(bench->multi, &running);
        take_ended(bench);
        curl_multi_poll(bench->multi, NULL, 0, 1000, NULL);
        if (now() > deadline) {
            fail("events are missing", "the time is over");
        }
    }
}

int main(int argc, char **argv)
{
    if (argc != 6) {
        fail("usage", "fanout URL CA-FILE TOKEN WATCHERS CHANGES");
    }
    struct bench bench = {
        .url = argv[1], .ca_file = argv[2], .watchers = atoi(argv[4]), .changes = atoi(argv[5])};
    char token[512], url[512];
    struct writer writers[WRITERS];
    curl_global_init(CURL_GLOBAL_DEFAULT);
    bench.multi = curl_multi_init();
    snprintf(token, sizeof token, "Authorization: Bearer %s", argv[3]);
    bench.headers = curl_slist_append(NULL, token);
    bench.headers = curl_slist_append(bench.headers, "Content-Type: application/merge-patch+json");
    bench.create_headers = curl_slist_append(NULL, token);
    bench.create_headers =
        curl_slist_append(bench.create_headers, "Content-Type: application/json");
    for (int i = 0; i < WRITERS; i++) {
        prepare(&bench, &writers[i], i);
    }
    snprintf(url, sizeof url, "%s/api/v1/namespaces/default/configmaps?watch=true", bench.url);
    CURL **watches = calloc((size_t)bench.watchers, sizeof *watches);
    for (int i = 0; i < bench.watchers; i++) {
        watches[i] = new_handle(&bench, url, bench.headers);
        curl_easy_setopt(watches[i], CURLOPT_WRITEFUNCTION, count_events);
        curl_easy_setopt(watches[i], CURLOPT_WRITEDATA, &bench);
        curl_multi_add_handle(bench.multi, watches[i]);
    }
    /* A watch begins with what there is; when that has come, it is open. */
    run_until(&bench, (int64_t)bench.watchers * WRITERS, 0);
    int64_t before = bench.events, expected = (int64_t)bench.watchers * bench.changes;
    double start = now();
    for (int i = 0; i < WRITERS && bench.started < bench.changes; i++) {
        change(&writers[i]);
    }
    run_until(&bench, before + expected, bench.changes);
    double seconds = now() - start;
    printf("%.0f events/s, %lld events in %.2f s\n", (double)expected / seconds,
           (long long)expected, seconds);
    for (int i = 0; i < bench.watchers; i++) {
        curl_multi_remove_handle(bench.multi, watches[i]);
        curl_easy_cleanup(watches[i]);
    }
    for (int i = 0; i < WRITERS; i++) {
        curl_easy_cleanup(writers[i].handle);
    }
    free(watches);
    curl_multi_cleanup(bench.multi);
    curl_slist_free_all(bench.headers);
    curl_slist_free_all(bench.create_headers);
    return 0;
}
