// SPDX-License-Identifier: Apache-2.0
#include "node/simulated_runtime.h"

#include <string.h>

#include "common/alloc.h"
#include "common/json.h"
#include "common/log.h"
#include "common/quantity.h"
#include "common/timestamp.h"
#include "node/pod_worker.h"

static const char annotation_prefix[] = "simulate.coracle.io/";

enum { killed_exit_code = 137 };
static const int64_t nanos = 1000000000;
static const struct runtime_usage least_usage = {1000000, 16 << 20};

struct simulated_runtime {
    struct runtime runtime;
    struct loop *loop;
};

struct simulated_container {
    struct loop *loop;
    struct container *container;
    struct simulation simulation;
    struct loop_timer start, ready, end;
    int end_code;
};

/* ---- what to simulate ---- */

static bool parse_duration_ms(const char *text, const char *endless, int64_t *ms)
{
    int64_t nanoseconds;
    if (endless != NULL && strcmp(text, endless) == 0) {
        *ms = -1;
        return true;
    }
    if (!duration_parse(text, &nanoseconds) || nanoseconds < 0) {
        return false;
    }
    *ms = nanoseconds / 1000000;
    return true;
}

static bool parse_count(const char *text, int64_t limit, int64_t *number)
{
    char *end;
    *number = strtoll(text, &end, 10);
    return *text != '\0' && *end == '\0' && *number >= 0 && *number <= limit;
}

/* 'divisor' nanos of the quantity are one of what is counted. */
static bool parse_amount(const char *text, int64_t *amount, int64_t divisor)
{
    struct quantity quantity;
    if (!quantity_parse(text, &quantity) || quantity.nano < 0 ||
        quantity.nano / divisor > INT64_MAX) {
        return false;
    }
    *amount = (int64_t)(quantity.nano / divisor);
    return true;
}

static bool parse_word(const char *name, const char *value, struct simulation *simulation)
{
    int64_t code;
    if (strcmp(name, "start") == 0) {
        return parse_duration_ms(value, NULL, &simulation->start_ms);
    }
    if (strcmp(name, "ready") == 0) {
        return parse_duration_ms(value, "never", &simulation->ready_ms);
    }
    if (strcmp(name, "run") == 0) {
        return parse_duration_ms(value, "forever", &simulation->run_ms);
    }
    if (strcmp(name, "stop") == 0) {
        return parse_duration_ms(value, NULL, &simulation->stop_ms);
    }
    if (strcmp(name, "times") == 0) {
        return parse_count(value, INT32_MAX, &simulation->times);
    }
    if (strcmp(name, "cpu") == 0) {
        return parse_amount(value, &simulation->usage.cpu_nano, 1);
    }
    if (strcmp(name, "memory") == 0) {
        return parse_amount(value, &simulation->usage.memory_bytes, nanos);
    }
    if (strcmp(name, "exit") == 0 && parse_count(value, 255, &code)) {
        simulation->exit_code = (int)code;
        return true;
    }
    return false;
}

bool simulation_parse(const char *text, struct simulation *simulation, struct error *error)
{
    cleanup(free_char)
    char *copy = duplicate(text);
    char *rest = copy;
    for (char *word; (word = strsep(&rest, " ,")) != NULL;) {
        char *equals = strchr(word, '=');
        if (*word == '\0') {
            continue;
        }
        if (equals != NULL) {
            *equals = '\0';
        }
        if (equals == NULL || !parse_word(word, equals + 1, simulation)) {
            return error_bad_request(error,
                                     "\"%s\" is nothing to simulate: start=, ready=, run=, "
                                     "exit=, times=, stop=, cpu= and memory= are",
                                     word);
        }
    }
    return true;
}

static int64_t probe_delay_ms(const json_t *spec, const char *probe)
{
    return json_get_int(json_object_get(spec, probe), "initialDelaySeconds", 0) * 1000;
}

static void apply_annotation(struct simulation *simulation, const json_t *pod, const char *name)
{
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    cleanup(free_char)
    char *key = format("%s%s", annotation_prefix, name);
    const char *text = json_get_string(json_path(pod, "metadata", "annotations"), key);
    if (text != NULL && !simulation_parse(text, simulation, &error)) {
        log_warning("pod %s: annotation %s: %s", json_path_string(pod, "metadata", "name"), key,
                    error.message);
    }
}

/* What it seems to use unless an annotation says it. */
static struct runtime_usage usual_usage(const json_t *spec)
{
    const json_t *requests = json_path(spec, "resources", "requests");
    const char *cpu = json_get_string(requests, "cpu"),
               *memory = json_get_string(requests, "memory");
    struct runtime_usage usage = least_usage;
    int64_t amount;
    if (cpu != NULL && parse_amount(cpu, &amount, 1)) {
        usage.cpu_nano = amount / 10;
    }
    if (memory != NULL && parse_amount(memory, &amount, nanos)) {
        usage.memory_bytes = amount / 2;
    }
    return usage;
}

static void prepare(struct runtime *runtime, struct container *container, const json_t *pod,
                    const json_t *spec)
{
    struct simulated_container *simulated = allocate_struct(struct simulated_container);
    const char *policy = json_path_string(pod, "spec", "restartPolicy");
    bool ends = policy != NULL && strcmp(policy, "Always") != 0;
    simulated->loop = container_of(runtime, struct simulated_runtime, runtime)->loop;
    simulated->container = container;
    simulated->simulation = (struct simulation){
        .ready_ms = probe_delay_ms(spec, "startupProbe") + probe_delay_ms(spec, "readinessProbe"),
        .run_ms = container->role == ROLE_INIT          ? 0
                  : ends && container->role == ROLE_APP ? 1000
                                                        : -1,
        .times = -1,
        .usage = usual_usage(spec),
    };
    apply_annotation(&simulated->simulation, pod, "all");
    apply_annotation(&simulated->simulation, pod, container->name);
    container->runtime_state = simulated;
}

static void adjust(struct runtime *runtime, struct container *container, const json_t *pod,
                   const json_t *spec)
{
    struct simulated_container *simulated = container->runtime_state;
    struct simulation fresh = {.usage = usual_usage(spec)};
    (void)runtime;
    apply_annotation(&fresh, pod, "all");
    apply_annotation(&fresh, pod, container->name);
    simulated->simulation.usage = fresh.usage;
}

static struct runtime_usage usage_of(struct runtime *runtime, const struct container *container)
{
    const struct simulated_container *simulated = container->runtime_state;
    (void)runtime;
    return simulated->simulation.usage;
}

/* ---- running ---- */

static void became_ready(void *argument)
{
    struct simulated_container *simulated = argument;
    container_is_ready(simulated->container, true);
}

static void ended(void *argument)
{
    struct simulated_container *simulated = argument;
    loop_timer_cancel(simulated->loop, &simulated->start);
    loop_timer_cancel(simulated->loop, &simulated->ready);
    container_exited(simulated->container, simulated->end_code);
}

/* Sets the timers of a container that has been running for so long. */
static void run_on(struct simulated_container *simulated, int64_t elapsed_ms)
{
    const struct simulation *simulation = &simulated->simulation;
    bool ends = simulation->run_ms >= 0 &&
                (simulation->times < 0 || simulated->container->restarts < simulation->times);
    if (simulation->ready_ms > elapsed_ms) {
        loop_timer_set(simulated->loop, &simulated->ready, simulation->ready_ms - elapsed_ms,
                       became_ready, simulated);
    } else if (simulation->ready_ms >= 0 && !simulated->container->is_ready) {
        became_ready(simulated);
    }
    if (ends) {
        simulated->end_code = simulation->exit_code;
        loop_timer_set(simulated->loop, &simulated->end, simulation->run_ms - elapsed_ms, ended,
                       simulated);
    }
}

static void begin(void *argument)
{
    struct simulated_container *simulated = argument;
    container_started(simulated->container);
    run_on(simulated, 0);
}

static void start(struct runtime *runtime, struct container *container)
{
    struct simulated_container *simulated = container->runtime_state;
    (void)runtime;
    loop_timer_set(simulated->loop, &simulated->start, simulated->simulation.start_ms, begin,
                   simulated);
}

static void resume_later(void *argument)
{
    struct simulated_container *simulated = argument;
    int64_t elapsed = timestamp_now() - simulated->container->started_at;
    run_on(simulated, elapsed / 1000000);
}

static void resume(struct runtime *runtime, struct container *container)
{
    struct simulated_container *simulated = container->runtime_state;
    (void)runtime;
    loop_timer_set(simulated->loop, &simulated->start, 0, resume_later, simulated);
}

static void stop(struct runtime *runtime, struct container *container, int64_t grace_seconds)
{
    struct simulated_container *simulated = container->runtime_state;
    int64_t grace_ms = grace_seconds * 1000;
    bool is_killed = simulated->simulation.stop_ms > grace_ms;
    (void)runtime;
    simulated->end_code = is_killed ? killed_exit_code : 0;
    loop_timer_set(simulated->loop, &simulated->end,
                   is_killed ? grace_ms : simulated->simulation.stop_ms, ended, simulated);
}

static void forget(struct runtime *runtime, struct container *container)
{
    struct simulated_container *simulated = container->runtime_state;
    (void)runtime;
    if (simulated != NULL) {
        loop_timer_cancel(simulated->loop, &simulated->start);
        loop_timer_cancel(simulated->loop, &simulated->ready);
        loop_timer_cancel(simulated->loop, &simulated->end);
        free(steal(container->runtime_state));
    }
}

struct runtime *simulated_runtime_new(struct loop *loop)
{
    struct simulated_runtime *simulated = allocate_struct(struct simulated_runtime);
    simulated->loop = loop;
    simulated->runtime = (struct runtime){prepare, start, resume, stop, adjust, usage_of, forget};
    return &simulated->runtime;
}

void simulated_runtime_free(struct runtime *runtime)
{
    if (runtime != NULL) {
        free(container_of(runtime, struct simulated_runtime, runtime));
    }
}
