// SPDX-License-Identifier: Apache-2.0
#include "apiserver/registry/usage_reports.h"

#include <pthread.h>
#include <string.h>

#include "common/alloc.h"
#include "common/json.h"
#include "common/quantity.h"
#include "common/timestamp.h"

static const int64_t second = 1000000000;

enum { shortest_life_seconds = 15, longest_window_seconds = 600, classes_max = 4 };

struct usage_reports {
    pthread_mutex_t lock;
    struct map nodes;                          /* struct usage_report by the node's name. */
    int64_t swept;                             /* When reports were last looked through. */
    struct object_class *classes[classes_max]; /* Made once, then never changed. */
};

/* ---- one report ---- */

static bool parse_amount(const json_t *usage, const char *name, struct quantity *quantity,
                         struct error *error)
{
    const char *text = json_get_string(usage, name);
    if (text == NULL || !quantity_parse(text, quantity) || quantity->nano < 0) {
        return error_bad_request(error, "usage.%s must be a quantity, and not negative", name);
    }
    return true;
}

static bool parse_usage(const json_t *tree, struct usage *usage, struct error *error)
{
    const json_t *amounts = json_object_get(tree, "usage");
    struct quantity cpu = {0}, memory = {0};
    if (!parse_amount(amounts, "cpu", &cpu, error) ||
        !parse_amount(amounts, "memory", &memory, error)) {
        return false;
    }
    usage->cpu_nano = cpu.nano > INT64_MAX ? INT64_MAX : (int64_t)cpu.nano;
    usage->memory_bytes = quantity_value(&memory);
    return true;
}

static bool parse_window(const json_t *tree, int64_t *window_ns, struct error *error)
{
    const char *text = json_get_string(tree, "window");
    if (text == NULL || !duration_parse(text, window_ns) || *window_ns <= 0 ||
        *window_ns > longest_window_seconds * second) {
        return error_bad_request(error, "window must be a duration of up to %d s",
                                 longest_window_seconds);
    }
    return true;
}

/* Copies a text to '*at', moves that on, and returns the copy. */
static const char *put_text(char **at, const char *text)
{
    char *copy = *at;
    size_t size = strlen(text) + 1;
    memcpy(copy, text, size);
    *at += size;
    return copy;
}

/* Where its containers go there is room already. */
static bool parse_containers(struct pod_usage *pod, const json_t *containers, char *text,
                             struct error *error)
{
    size_t i;
    const json_t *container;
    json_array_foreach (containers, i, container) {
        struct container_usage *one = &pod->containers[pod->container_count++];
        one->name = put_text(&text, json_get_string(container, "name"));
        if (!parse_usage(container, &one->usage, error)) {
            return false;
        }
    }
    return true;
}

/* The bytes that the names of the containers take; 0 with an error for what has no name. */
static bool measure_names(const json_t *containers, size_t *size, struct error *error)
{
    size_t i;
    const json_t *container;
    *size = 0;
    if (json_array_size(containers) > USAGE_CONTAINERS_MAX) {
        return error_bad_request(error, "a pod has at most %d containers", USAGE_CONTAINERS_MAX);
    }
    json_array_foreach (containers, i, container) {
        const char *name = json_get_string(container, "name");
        if (name == NULL || name[0] == '\0' || strlen(name) > 63) {
            return error_bad_request(error, "a container must have a name");
        }
        *size += strlen(name) + 1;
    }
    return true;
}

static struct pod_usage *parse_pod(const json_t *tree, const char *key, const char *uid,
                                   struct error *error)
{
    const json_t *containers = json_object_get(tree, "containers");
    size_t names;
    if (!measure_names(containers, &names, error)) {
        return NULL;
    }
    size_t head =
        sizeof(struct pod_usage) + json_array_size(containers) * sizeof(struct container_usage);
    struct pod_usage *pod = allocate_zero(1, head + names + strlen(key) + strlen(uid) + 2);
    char *text = (char *)pod + head;
    pod->key = put_text(&text, key);
    pod->uid = put_text(&text, uid);
    if (!parse_containers(pod, containers, text, error)) {
        free(pod);
        return NULL;
    }
    return pod;
}

struct usage_report *usage_report_new(const json_t *tree,
                                      bool (*has_pod)(void *argument, const char *key,
                                                      const char *uid, struct error *error),
                                      void *argument, struct error *error)
{
    cleanup(usage_report_release)
    struct usage_report *report = allocate_struct(struct usage_report);
    atomic_init(&report->references, 1);
    report->pods.borrows_keys = true;
    if (!parse_window(tree, &report->window_ns, error) ||
        !parse_usage(tree, &report->usage, error)) {
        return NULL;
    }
    size_t i;
    const json_t *pod;
    json_array_foreach (json_object_get(tree, "pods"), i, pod) {
        const char *namespace = json_get_string(pod, "namespace");
        const char *name = json_get_string(pod, "name");
        const char *uid = json_get_string(pod, "uid");
        if (namespace == NULL || name == NULL || uid == NULL) {
            error_bad_request(error, "pods[%zu] must have namespace, name and uid", i);
            return NULL;
        }
        cleanup(error_clear)
        struct error why = ERROR_INIT;
        cleanup(free_char)
        char *key = format("%s/%s", namespace, name);
        struct pod_usage *usage =
            has_pod(argument, key, uid, &why) ? parse_pod(pod, key, uid, &why) : NULL;
        if (error_is_set(&why)) {
            error_move(error, &why);
            return NULL;
        }
        if (usage != NULL) {
            free(map_set(&report->pods, usage->key, usage));
        }
    }
    return steal(report);
}

const struct pod_usage *usage_report_pod(const struct usage_report *report, const char *key,
                                         const char *uid)
{
    const struct pod_usage *pod = map_get(&report->pods, key);
    return pod != NULL && strcmp(pod->uid, uid) == 0 ? pod : NULL;
}

void usage_report_unref(struct usage_report *report)
{
    if (report == NULL ||
        atomic_fetch_sub_explicit(&report->references, 1, memory_order_acq_rel) != 1) {
        return;
    }
    map_free(&report->pods, free);
    free(report);
}

void usage_report_release(struct usage_report **report)
{
    usage_report_unref(*report);
}

/* ---- all of them ---- */

struct usage_reports *usage_reports_new(void)
{
    struct usage_reports *reports = allocate_struct(struct usage_reports);
    pthread_mutex_init(&reports->lock, NULL);
    return reports;
}

static void unref(void *report)
{
    usage_report_unref(report);
}

void usage_reports_free(struct usage_reports *reports)
{
    if (reports == NULL) {
        return;
    }
    map_free(&reports->nodes, unref);
    for (size_t i = 0; i < classes_max && reports->classes[i] != NULL; i++) {
        object_class_free(reports->classes[i]);
    }
    pthread_mutex_destroy(&reports->lock);
    free(reports);
}

/* Now and then, so that what nobody asks for does not stay. */
static void sweep(struct usage_reports *reports, int64_t now)
{
    struct map young = MAP_INIT;
    const char *node;
    void *value;
    if (now - reports->swept < shortest_life_seconds * second) {
        return;
    }
    reports->swept = now;
    for (size_t at = 0; map_next(&reports->nodes, &at, &node, &value);) {
        struct usage_report *report = value;
        if (report->expires > now) {
            map_set(&young, node, report);
        } else {
            usage_report_unref(report);
        }
    }
    map_free(&reports->nodes, NULL);
    reports->nodes = young;
}

void usage_reports_put(struct usage_reports *reports, const char *node, struct usage_report *report,
                       int64_t now)
{
    int64_t life = 3 * report->window_ns;
    int64_t least = shortest_life_seconds * second;
    report->expires = now + (life > least ? life : least);
    report->received = timestamp_now();
    pthread_mutex_lock(&reports->lock);
    struct usage_report *former = map_set(&reports->nodes, node, report);
    sweep(reports, now);
    pthread_mutex_unlock(&reports->lock);
    usage_report_unref(former);
}

struct usage_report *usage_reports_get(struct usage_reports *reports, const char *node,
                                       size_t node_length, int64_t now)
{
    pthread_mutex_lock(&reports->lock);
    struct usage_report *report = map_get_bytes(&reports->nodes, node, node_length);
    if (report != NULL && report->expires > now) {
        atomic_fetch_add_explicit(&report->references, 1, memory_order_relaxed);
    } else {
        report = NULL;
    }
    pthread_mutex_unlock(&reports->lock);
    return report;
}

size_t usage_reports_count(struct usage_reports *reports)
{
    pthread_mutex_lock(&reports->lock);
    size_t count = reports->nodes.count;
    pthread_mutex_unlock(&reports->lock);
    return count;
}

const struct object_class *usage_reports_class(struct usage_reports *reports,
                                               const struct resource *resource)
{
    const struct object_class *class = NULL;
    pthread_mutex_lock(&reports->lock);
    for (size_t i = 0; i < classes_max && class == NULL; i++) {
        if (reports->classes[i] == NULL) {
            reports->classes[i] = object_class_new(resource);
        }
        class = reports->classes[i]->resource == resource ? reports->classes[i] : NULL;
    }
    pthread_mutex_unlock(&reports->lock);
    return class;
}
