// SPDX-License-Identifier: Apache-2.0
/*
 * Measures how fast changes reach many watchers: opens WATCHERS watches of the default namespace's
 * config maps, changes some config maps CHANGES times in all, and prints how many events a second
 * the watchers received together, from the first change until the last event, and how much of a
 * processor the server took for one meanwhile, and of its memory for an open watch.
 *
 *   fanout URL CA-FILE TOKEN WATCHERS CHANGES SERVER-PID
 *
 * The watchers read in one thread, on libcurl's multi interface; each writer has its own, so that
 * changes come as fast as the server takes them. Nothing takes longer than a minute.
 */
#include <curl/curl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { WRITERS = 8, PAYLOAD_BYTES = 1000, TIME_LIMIT_S = 60 };

struct bench {
    const char *url, *ca_file;
    int watchers, changes;
    CURLM *multi;
    struct curl_slist *headers; /* The token, and the type of a merge patch. */
    struct curl_slist *create_headers;
    atomic_int started; /* Changes sent. */
    int64_t events;     /* Lines received by all watchers. */
};

/* Changes one config map again and again, so that the writers never conflict. */
struct writer {
    struct bench *bench;
    CURL *handle;
    int number;
    pthread_t thread;
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

/* Seconds of processor time that a process has taken. */
static double processor_seconds(const char *pid)
{
    char path[64], line[1024];
    snprintf(path, sizeof path, "/proc/%s/stat", pid);
    FILE *file = fopen(path, "r");
    const char *rest = file && fgets(line, sizeof line, file) ? strrchr(line, ')') : NULL;
    unsigned long user, system;
    if (rest == NULL || sscanf(rest, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
                               &system) != 2) {
        fail(path, "can't be read");
    }
    fclose(file);
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

/* Memory of a process that is its own, in bytes. */
static double memory_bytes(const char *pid)
{
    char path[64], line[256];
    unsigned long kilobytes = 0;
    snprintf(path, sizeof path, "/proc/%s/smaps_rollup", pid);
    FILE *file = fopen(path, "r");
    while (file != NULL && kilobytes == 0 && fgets(line, sizeof line, file) != NULL) {
        sscanf(line, "Pss: %lu kB", &kilobytes);
    }
    if (kilobytes == 0) {
        fail(path, "can't be read");
    }
    fclose(file);
    return (double)kilobytes * 1024;
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

static void *write_changes(void *argument)
{
    static const char format[] = "{\"data\":{\"change\":\"%d\",\"payload\":\"%0*d\"}}";
    struct writer *writer = argument;
    int change;
    while ((change = atomic_fetch_add(&writer->bench->started, 1)) < writer->bench->changes) {
        long status = 0;
        snprintf(writer->body, sizeof writer->body, format, change, PAYLOAD_BYTES, 0);
        CURLcode code = curl_easy_perform(writer->handle);
        curl_easy_getinfo(writer->handle, CURLINFO_RESPONSE_CODE, &status);
        if (code != CURLE_OK || status != 200) {
            fail("a change failed", curl_easy_strerror(code));
        }
    }
    return NULL;
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
    curl_easy_setopt(writer->handle, CURLOPT_NOSIGNAL, 1L);
}

/* Reads until all watchers together have seen so many events. */
static void read_until(struct bench *bench, int64_t events)
{
    double deadline = now() + TIME_LIMIT_S;
    while (bench->events < events) {
        int running, left;
        curl_multi_perform(bench->multi, &running);
        CURLMsg *ended = curl_multi_info_read(bench->multi, &left);
        if (ended != NULL) {
            fail("a watch ended", curl_easy_strerror(ended->data.result));
        }
        /* Not for long: libcurl may hold what came with the last record. */
        curl_multi_poll(bench->multi, NULL, 0, 5, NULL);
        if (now() > deadline) {
            fail("events are missing", "the time is over");
        }
    }
}

int main(int argc, char **argv)
{
    if (argc != 7) {
        fail("usage", "fanout URL CA-FILE TOKEN WATCHERS CHANGES SERVER-PID");
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
    double memory = memory_bytes(argv[6]);
    CURL **watches = calloc((size_t)bench.watchers, sizeof *watches);
    for (int i = 0; i < bench.watchers; i++) {
        watches[i] = new_handle(&bench, url, bench.headers);
        curl_easy_setopt(watches[i], CURLOPT_WRITEFUNCTION, count_events);
        curl_easy_setopt(watches[i], CURLOPT_WRITEDATA, &bench);
        curl_multi_add_handle(bench.multi, watches[i]);
    }
    /* A watch begins with what there is; when that has come, it is open. */
    read_until(&bench, (int64_t)bench.watchers * WRITERS);
    memory = (memory_bytes(argv[6]) - memory) / bench.watchers;
    int64_t before = bench.events, expected = (int64_t)bench.watchers * bench.changes;
    double start = now(), processor = processor_seconds(argv[6]);
    for (int i = 0; i < WRITERS; i++) {
        if (pthread_create(&writers[i].thread, NULL, write_changes, &writers[i]) != 0) {
            fail("a writer", "no thread");
        }
    }
    read_until(&bench, before + expected);
    double seconds = now() - start;
    processor = processor_seconds(argv[6]) - processor;
    printf("%.0f events/s, %lld events in %.2f s, %.1f us CPU an event, "
           "%.0f kB a watcher\n",
           (double)expected / seconds, (long long)expected, seconds,
           processor * 1e6 / (double)expected, memory / 1024);
    for (int i = 0; i < bench.watchers; i++) {
        curl_multi_remove_handle(bench.multi, watches[i]);
        curl_easy_cleanup(watches[i]);
    }
    for (int i = 0; i < WRITERS; i++) {
        pthread_join(writers[i].thread, NULL);
        curl_easy_cleanup(writers[i].handle);
    }
    free(watches);
    curl_multi_cleanup(bench.multi);
    curl_slist_free_all(bench.headers);
    curl_slist_free_all(bench.create_headers);
    return 0;
}
