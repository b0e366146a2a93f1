// SPDX-License-Identifier: Apache-2.0
#include "common/service.h"

#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "common/alloc.h"
#include "common/health_server.h"
#include "common/json_memory.h"
#include "common/leader_election.h"
#include "common/log.h"

enum {
    own_flags_max = 64,
    arenas_max = 2, /* Many threads that wait most of the time need no heap each. */
};

/* One a process: what the callbacks of leader election and of the health server reach. */
struct running {
    const struct service_program *program;
    struct service service;
    struct service_options options;
    struct leader_election *election;
    struct health_server *health;
    atomic_bool ready; /* It works, or waits for its turn to. */
    sigset_t signals;

    pthread_mutex_t lock; /* Guards what follows. */
    pthread_cond_t changed;
    bool leads, stopping;
};

/* ---- flags ---- */

static bool parse_flags(const struct service_program *program, struct service_options *options,
                        int count, char **arguments, struct error *error)
{
    const struct flag common[] = {
        {"", FLAG_TEXT, NULL, "API server"},
        {"kubeconfig", FLAG_TEXT, &options->kubeconfig,
         "File that says how to reach the API server; without it, as a pod does."},
        {"master", FLAG_TEXT, &options->master, "Address of the API server, before the file's."},
        {"kube-api-qps", FLAG_NUMBER, &options->qps,
         "Requests a second that may go to the API server; 0: as many as it takes."},
        {"kube-api-burst", FLAG_NUMBER, &options->burst,
         "Requests that may go at once beyond that rate."},
        {"", FLAG_TEXT, NULL, "Health and log"},
        {"healthz-bind-address", FLAG_TEXT, &options->health_address,
         "Address and port of /healthz, /readyz and /metrics; empty: none."},
        {"verbose", FLAG_BOOLEAN, &options->verbose, "Log in detail."},
        {NULL, FLAG_TEXT, NULL, NULL},
    };
    const struct flag election[] = {
        {"", FLAG_TEXT, NULL, "Leader election"},
        {"leader-elect", FLAG_BOOLEAN, &options->leader_elect,
         "Work only while holding the lease, so that one of several processes works."},
        {"leader-elect-resource-name", FLAG_TEXT, &options->lease_name, "Name of the lease."},
        {"leader-elect-resource-namespace", FLAG_TEXT, &options->lease_namespace,
         "Namespace of the lease."},
        {"leader-elect-lease-duration", FLAG_DURATION, &options->lease_duration,
         "How long others wait without a renewal before they take over."},
        {"leader-elect-renew-deadline", FLAG_DURATION, &options->renew_deadline,
         "How long the leader works without a renewal before it gives up."},
        {"leader-elect-retry-period", FLAG_DURATION, &options->retry_period,
         "How often the lease is renewed or tried."},
        {NULL, FLAG_TEXT, NULL, NULL},
    };
    const struct flag *parts[] = {program->flags, common, program->lease != NULL ? election : NULL};
    struct flag all[own_flags_max + array_length(common) + array_length(election)] = {0};
    size_t total = 0;
    for (size_t i = 0; i < array_length(parts); i++) {
        for (const struct flag *flag = parts[i]; flag != NULL && flag->name != NULL; flag++) {
            all[total++] = *flag;
        }
    }
    return flags_parse(program->name, program->summary, all, count, arguments, error);
}

/* Flags that were given stand above what a configuration says: they are read once more after it. */
static bool read_options(const struct service_program *program, struct service_options *options,
                         int count, char **arguments, struct error *error)
{
    return parse_flags(program, options, count, arguments, error) &&
           (program->configure == NULL ||
            (program->configure(options, error) &&
             parse_flags(program, options, count, arguments, error))) &&
           (program->check == NULL || program->check(error));
}

/* ---- signals ---- */

/* Blocked in all threads; one takes them with sigwait(). */
static void block_signals(sigset_t *signals)
{
    sigemptyset(signals);
    sigaddset(signals, SIGINT);
    sigaddset(signals, SIGTERM);
    pthread_sigmask(SIG_BLOCK, signals, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static void set_and_wake(struct running *running, bool *flag)
{
    pthread_mutex_lock(&running->lock);
    *flag = true;
    pthread_cond_broadcast(&running->changed);
    pthread_mutex_unlock(&running->lock);
}

/* Whatever main waits for, the first list of informers included, ends with the signal. */
static void *take_signal(void *argument)
{
    struct running *running = argument;
    int received;
    sigwait(&running->signals, &received);
    log_info("stopping on signal %s", strsignal(received));
    set_and_wake(running, &running->stopping);
    informer_factory_stop(running->service.informers);
    return NULL;
}

/* Waits until this process leads (if 'leads') or is to stop; false: to stop. */
static bool wait_for(struct running *running, bool leads)
{
    pthread_mutex_lock(&running->lock);
    while (!running->stopping && !(leads && running->leads)) {
        pthread_cond_wait(&running->changed, &running->lock);
    }
    bool go_on = !running->stopping;
    pthread_mutex_unlock(&running->lock);
    return go_on;
}

/* ---- leadership ---- */

static void leadership_began(void *argument)
{
    struct running *running = argument;
    set_and_wake(running, &running->leads);
}

static void leadership_ended(void *argument)
{
    (void)argument;
    _exit(1);
}

static bool elect(struct running *running, struct error *error)
{
    const struct service_options *options = &running->options;
    struct leader_election_options election = {
        .name = options->lease_name,
        .namespace = options->lease_namespace,
        .lease_duration = options->lease_duration,
        .renew_deadline = options->renew_deadline,
        .retry_period = options->retry_period,
        .started = leadership_began,
        .lost = leadership_ended,
        .argument = running,
    };
    running->election = leader_election_start(running->service.client, &election, error);
    return running->election != NULL;
}

/* ---- the run ---- */

static bool is_ready(void *argument)
{
    struct running *running = argument;
    return atomic_load(&running->ready);
}

static bool open_client(struct running *running, struct error *error)
{
    struct service *service = &running->service;
    const struct service_options *options = &running->options;
    struct client_config config;
    if (!client_config_from_flags(&config, options->kubeconfig, options->master, error)) {
        return false;
    }
    service->config.server = duplicate(config.server);
    service->config.ca = config.ca != NULL ? duplicate(config.ca) : NULL;
    service->config.namespace = config.namespace != NULL ? duplicate(config.namespace) : NULL;
    struct client_options client = {
        .user_agent = running->program->name,
        .qps = options->qps,
        .burst = options->burst,
        .metrics = service->metrics,
    };
    service->loop = loop_new();
    service->client = client_new(service->loop, &config, &client, error);
    client_config_clear(&config);
    return service->client != NULL;
}

static bool open_service(struct running *running, struct error *error)
{
    struct service *service = &running->service;
    const char *address = running->options.health_address;
    service->metrics = metrics_new();
    if (!open_client(running, error)) {
        return false;
    }
    service->informers = informer_factory_new(service->client);
    service->events = event_recorder_new(service->client, running->program->event_source, NULL);
    if (address != NULL && *address != '\0') {
        running->health = health_server_start(address, service->metrics, is_ready, running, error);
        return running->health != NULL;
    }
    return true;
}

static void close_service(struct running *running)
{
    struct service *service = &running->service;
    event_recorder_free(service->events);
    leader_election_stop(running->election);
    health_server_stop(running->health);
    if (service->loop != NULL) {
        loop_stop(service->loop);
    }
    informer_factory_free(service->informers);
    client_free(service->client);
    loop_free(service->loop);
    metrics_free(service->metrics);
    client_config_clear(&service->config);
}

static bool is_stopping(struct running *running)
{
    pthread_mutex_lock(&running->lock);
    bool stopping = running->stopping;
    pthread_mutex_unlock(&running->lock);
    return stopping;
}

/* Works until a signal ends it. */
static bool work(struct running *running, struct error *error)
{
    if (running->program->lease != NULL && running->options.leader_elect) {
        if (!elect(running, error)) {
            return false;
        }
        atomic_store(&running->ready, true);
        log_info("waiting for lease %s/%s", running->options.lease_namespace,
                 running->options.lease_name);
        if (!wait_for(running, true)) {
            return true;
        }
    }
    if (!running->program->start(&running->service, error)) {
        return is_stopping(running);
    }
    atomic_store(&running->ready, true);
    wait_for(running, false);
    informer_factory_stop(running->service.informers); /* Handlers know what 'stop' frees. */
    running->program->stop(&running->service);
    return true;
}

static bool run(struct running *running, struct error *error)
{
    pthread_t signal_thread;
    bool succeeded = false;
    if (open_service(running, error)) {
        pthread_create(&signal_thread, NULL, take_signal, running);
        succeeded = work(running, error);
        pthread_kill(signal_thread, SIGINT); /* If none came from outside. */
        pthread_join(signal_thread, NULL);
    }
    close_service(running);
    return succeeded;
}

int service_main(const struct service_program *program, int count, char **arguments)
{
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    struct running running = {
        .program = program, .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    running.options = (struct service_options){
        .health_address = program->health_address,
        .burst = 100,
        .leader_elect = true,
        .lease_name = program->lease,
        .lease_namespace = "kube-system",
        .lease_duration = INT64_C(15000000000),
        .renew_deadline = INT64_C(10000000000),
        .retry_period = INT64_C(2000000000),
    };
    mallopt(M_ARENA_MAX, arenas_max);
    json_memory_use();
    block_signals(&running.signals);
    log_setup(program->component, LOG_INFO);
    if (!read_options(program, &running.options, count, arguments, &error)) {
        fprintf(stderr, "%s: %s\n", program->name, error.message);
        return 2;
    }
    log_setup(program->component, running.options.verbose ? LOG_DEBUG : LOG_INFO);
    bool succeeded = run(&running, &error);
    if (!succeeded) {
        fprintf(stderr, "%s: %s\n", program->name, error.message);
    }
    return succeeded ? 0 : 1;
}
