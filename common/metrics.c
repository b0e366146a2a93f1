// SPDX-License-Identifier: Apache-2.0
#include "common/metrics.h"

#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "common/alloc.h"
#include "common/map.h"
#include "common/timestamp.h"

/* Label values are told apart by their first bytes; the longest that mean anything, the names of
 * API groups, have 253. */
enum { series_max = 4096, labels_max = 8, label_value_max = 255 };

enum metric_type { COUNTER, GAUGE, HISTOGRAM };

struct series {
    char *values[labels_max];
    double value;     /* Of a histogram the sum. */
    uint64_t *counts; /* Of a histogram: one a bucket, and one for the rest. */
};

struct metric {
    struct metric *next;
    enum metric_type type;
    const char *name, *help;
    const char *const *labels;
    size_t label_count;
    const double *bounds;
    size_t bound_count;
    char *bound_texts; /* One behind the other, each with its end; the last is that of the rest. */
    pthread_mutex_t lock; /* Guards the series. */
    struct map series;
};

struct metrics {
    pthread_mutex_t lock; /* Guards the list. */
    struct metric *first, **last;
    int64_t started_ns;
};

struct metrics *metrics_new(void)
{
    struct metrics *metrics = allocate_struct(struct metrics);
    pthread_mutex_init(&metrics->lock, NULL);
    metrics->last = &metrics->first;
    metrics->started_ns = timestamp_now();
    return metrics;
}

static void series_free(void *value)
{
    struct series *series = value;
    for (size_t i = 0; i < labels_max; i++) {
        free(series->values[i]);
    }
    free(series->counts);
    free(series);
}

void metrics_free(struct metrics *metrics)
{
    if (metrics == NULL) {
        return;
    }
    while (metrics->first != NULL) {
        struct metric *next = metrics->first->next;
        map_free(&metrics->first->series, series_free);
        pthread_mutex_destroy(&metrics->first->lock);
        free(metrics->first->bound_texts);
        free(metrics->first);
        metrics->first = next;
    }
    pthread_mutex_destroy(&metrics->lock);
    free(metrics);
}

static struct metric *add_metric(struct metrics *metrics, enum metric_type type, const char *name,
                                 const char *help, const char *const *labels)
{
    struct metric *metric = allocate_struct(struct metric);
    metric->type = type;
    metric->name = name;
    metric->help = help;
    metric->labels = labels;
    while (labels[metric->label_count] != NULL && metric->label_count < labels_max) {
        metric->label_count++;
    }
    pthread_mutex_init(&metric->lock, NULL);
    pthread_mutex_lock(&metrics->lock);
    *metrics->last = metric;
    metrics->last = &metric->next;
    pthread_mutex_unlock(&metrics->lock);
    return metric;
}

struct metric *metrics_counter(struct metrics *metrics, const char *name, const char *help,
                               const char *const *labels)
{
    return add_metric(metrics, COUNTER, name, help, labels);
}

struct metric *metrics_gauge(struct metrics *metrics, const char *name, const char *help,
                             const char *const *labels)
{
    return add_metric(metrics, GAUGE, name, help, labels);
}

static char *write_bounds(const double *bounds, size_t count)
{
    struct buffer texts = BUFFER_INIT;
    for (size_t i = 0; i < count; i++) {
        buffer_addf(&texts, "%g", bounds[i]);
        buffer_add_char(&texts, '\0');
    }
    buffer_add_literal(&texts, "+Inf");
    return buffer_steal(&texts);
}

struct metric *metrics_histogram(struct metrics *metrics, const char *name, const char *help,
                                 const char *const *labels, const double *bounds, size_t count)
{
    struct metric *metric = add_metric(metrics, HISTOGRAM, name, help, labels);
    metric->bounds = bounds;
    metric->bound_count = count;
    metric->bound_texts = write_bounds(bounds, count);
    return metric;
}

/* The series of these label values, made when it is new. With the lock. */
static struct series *find_series(struct metric *metric, const char *const *values)
{
    char key[labels_max * (label_value_max + 1) + 1];
    size_t length = 0;
    for (size_t i = 0; i < metric->label_count; i++) {
        size_t part = strnlen(values[i], label_value_max);
        memcpy(key + length, values[i], part);
        length += part;
        key[length++] = '\x1f';
    }
    struct series *series = map_get_bytes(&metric->series, key, length);
    bool full = metric->series.count >= series_max;
    if (series == NULL && full) {
        series = map_get(&metric->series, "other");
    }
    if (series == NULL) {
        series = allocate_struct(struct series);
        for (size_t i = 0; i < metric->label_count; i++) {
            series->values[i] =
                full ? duplicate("other")
                     : duplicate_bytes(values[i], strnlen(values[i], label_value_max));
        }
        series->counts = allocate_zero(metric->bound_count + 1, sizeof *series->counts);
        key[length] = '\0';
        map_set(&metric->series, full ? "other" : key, series);
    }
    return series;
}

void metric_add(struct metric *metric, double amount, const char *const *values)
{
    pthread_mutex_lock(&metric->lock);
    find_series(metric, values)->value += amount;
    pthread_mutex_unlock(&metric->lock);
}

void metric_set(struct metric *metric, double value, const char *const *values)
{
    pthread_mutex_lock(&metric->lock);
    find_series(metric, values)->value = value;
    pthread_mutex_unlock(&metric->lock);
}

void metric_observe(struct metric *metric, double value, const char *const *values)
{
    size_t bucket = 0;
    while (bucket < metric->bound_count && value > metric->bounds[bucket]) {
        bucket++;
    }
    pthread_mutex_lock(&metric->lock);
    struct series *series = find_series(metric, values);
    series->value += value;
    series->counts[bucket]++;
    pthread_mutex_unlock(&metric->lock);
}

/* ---- rendering ---- */

static void add_label(const char *name, const char *value, bool is_first, struct buffer *out)
{
    buffer_add_char(out, is_first ? '{' : ',');
    buffer_add_text(out, name);
    buffer_add_literal(out, "=\"");
    for (size_t plain; *value != '\0'; value += plain) {
        plain = strcspn(value, "\"\\\n");
        buffer_add(out, value, plain);
        if (value[plain] != '\0') {
            buffer_add_char(out, '\\');
            buffer_add_char(out, value[plain] == '\n' ? 'n' : value[plain]);
            plain++;
        }
    }
    buffer_add_char(out, '"');
}

/* "{result=\"scheduled\"", or nothing without labels. */
static void add_labels(const struct metric *metric, const struct series *series, struct buffer *out)
{
    for (size_t i = 0; i < metric->label_count; i++) {
        add_label(metric->labels[i], series->values[i], i == 0, out);
    }
}

static void end_labels(const struct metric *metric, struct buffer *out)
{
    if (metric->label_count > 0) {
        buffer_add_char(out, '}');
    }
    buffer_add_char(out, ' ');
}

/* Most are small and whole, and "%.15g" prints these as they are. */
static void add_value(double value, struct buffer *out)
{
    if (value >= 0 && value < 1e15 && value == (double)(int64_t)value) {
        buffer_add_int(out, (int64_t)value);
    } else {
        buffer_addf(out, "%.15g", value);
    }
}

static void add_histogram(const struct metric *metric, const struct series *series,
                          struct buffer *out)
{
    cleanup(buffer_free)
    struct buffer labels = BUFFER_INIT;
    const char *bound = metric->bound_texts;
    uint64_t count = 0;
    add_labels(metric, series, &labels);
    for (size_t i = 0; i <= metric->bound_count; i++) {
        count += series->counts[i];
        buffer_add_text(out, metric->name);
        buffer_add_literal(out, "_bucket");
        buffer_add(out, buffer_text(&labels), labels.length);
        add_label("le", bound, metric->label_count == 0, out);
        buffer_add_literal(out, "} ");
        buffer_add_int(out, (int64_t)count);
        buffer_add_char(out, '\n');
        bound += strlen(bound) + 1;
    }
    buffer_add_text(out, metric->name);
    buffer_add_literal(out, "_sum");
    buffer_add(out, buffer_text(&labels), labels.length);
    end_labels(metric, out);
    buffer_addf(out, "%.9g\n", series->value);
    buffer_add_text(out, metric->name);
    buffer_add_literal(out, "_count");
    buffer_add(out, buffer_text(&labels), labels.length);
    end_labels(metric, out);
    buffer_add_int(out, (int64_t)count);
    buffer_add_char(out, '\n');
}

static void render_metric(struct metric *metric, struct buffer *out)
{
    static const char *const types[] = {"counter", "gauge", "histogram"};
    const char *key;
    void *value;
    buffer_addf(out, "# HELP %s %s\n# TYPE %s %s\n", metric->name, metric->help, metric->name,
                types[metric->type]);
    pthread_mutex_lock(&metric->lock);
    for (size_t at = 0; map_next(&metric->series, &at, &key, &value);) {
        const struct series *series = value;
        if (metric->type == HISTOGRAM) {
            add_histogram(metric, series, out);
            continue;
        }
        buffer_add_text(out, metric->name);
        add_labels(metric, series, out);
        end_labels(metric, out);
        add_value(series->value, out);
        buffer_add_char(out, '\n');
    }
    pthread_mutex_unlock(&metric->lock);
}

/* Newer kernels tell it as the folder's size; to read the folder costs something for each file. */
static int count_open_files(void)
{
    struct stat status;
    int count = 0;
    if (stat("/proc/self/fd", &status) == 0 && status.st_size > 0) {
        return (int)status.st_size;
    }
    DIR *folder = opendir("/proc/self/fd");
    while (folder != NULL && readdir(folder) != NULL) {
        count++;
    }
    if (folder != NULL) {
        closedir(folder);
    }
    return count > 2 ? count - 3 : 0; /* Without ".", ".." and the folder itself. */
}

static void add_process(const struct metrics *metrics, struct buffer *out)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    double seconds = (double)usage.ru_utime.tv_sec + (double)usage.ru_utime.tv_usec / 1e6 +
                     (double)usage.ru_stime.tv_sec + (double)usage.ru_stime.tv_usec / 1e6;
    long size = 0, resident = 0;
    cleanup(close_stream)
    FILE *statm = fopen("/proc/self/statm", "re");
    if (statm != NULL && fscanf(statm, "%ld %ld", &size, &resident) != 2) {
        resident = 0;
    }
    const struct {
        const char *name, *type, *help;
        double value;
    } values[] = {
        {"process_cpu_seconds_total", "counter", "CPU time used, in seconds.", seconds},
        {"process_resident_memory_bytes", "gauge", "Resident memory in bytes.",
         (double)resident * (double)sysconf(_SC_PAGESIZE)},
        {"process_virtual_memory_bytes", "gauge", "Virtual memory in bytes.",
         (double)size * (double)sysconf(_SC_PAGESIZE)},
        {"process_open_fds", "gauge", "Number of open files.", count_open_files()},
        {"process_start_time_seconds", "gauge", "When the process started, in seconds since 1970.",
         (double)metrics->started_ns / 1e9},
    };
    for (size_t i = 0; i < array_length(values); i++) {
        buffer_addf(out, "# HELP %s %s\n# TYPE %s %s\n%s %.15g\n", values[i].name, values[i].help,
                    values[i].name, values[i].type, values[i].name, values[i].value);
    }
}

void metrics_render(struct metrics *metrics, struct buffer *out)
{
    pthread_mutex_lock(&metrics->lock);
    struct metric *metric = metrics->first;
    pthread_mutex_unlock(&metrics->lock);
    for (; metric != NULL; metric = metric->next) {
        render_metric(metric, out);
    }
    add_process(metrics, out);
}
