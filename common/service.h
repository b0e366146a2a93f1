// SPDX-License-Identifier: Apache-2.0
/*
 * What every process that lives off the API does before and after its work: flags, log, signals,
 * client, informers, health and metrics, leader election.
 *
 *     static bool start(struct service *service, struct error *error) { … }
 *     static void stop(struct service *service) { … }
 *
 *     int main(int count, char **arguments)
 *     {
 *         struct service_program program = {.name = "coracle-scheduler", …};
 *         return service_main(&program, count, arguments);
 *     }
 *
 * A process that loses its leadership ends at once with status 1, in the middle of whatever it
 * does; who supervises it starts it again.
 */
#ifndef COMMON_SERVICE_H
#define COMMON_SERVICE_H

#include "common/client.h"
#include "common/event_recorder.h"
#include "common/flags.h"
#include "common/informer.h"
#include "common/metrics.h"

/* What 'start' and 'stop' work with. All of it is there before 'start' and until after 'stop'. */
struct service {
    struct loop *loop;
    struct client *client;
    struct informer_factory *informers;
    struct event_recorder *events;
    struct metrics *metrics;
    struct client_config config; /* A copy of the server, CA and namespace; no credentials. */
    void *state;                 /* The program's own. */
};

/* What the flags that all services have say. */
struct service_options {
    const char *kubeconfig, *master, *health_address;
    int64_t qps, burst;
    bool leader_elect, verbose;
    const char *lease_name, *lease_namespace;
    int64_t lease_duration, renew_deadline, retry_period; /* Nanoseconds. */
};

struct service_program {
    const char *name;           /* "coracle-scheduler": of the program, and its user agent. */
    const char *component;      /* "scheduler": in the log. */
    const char *summary;        /* For --help. */
    const char *event_source;   /* "default-scheduler" */
    const char *lease;          /* "kube-scheduler"; NULL: the program needs no leader. */
    const char *health_address; /* Default of --healthz-bind-address. */
    const struct flag *flags;   /* The program's own, or NULL. */
    /* Reads a configuration file that a flag has named, and sets what it says of the service (texts
     * are borrowed for good); flags that were given stand above it. May be NULL. */
    bool (*configure)(struct service_options *options, struct error *error);
    /* Checks the flags, before anything is started. May be NULL. */
    bool (*check)(struct error *error);
    /* Begins the work, once this process leads, on the main thread. The program's informers are
     * added, started and waited for here. */
    bool (*start)(struct service *service, struct error *error);
    /* Ends it, on SIGINT or SIGTERM; the loop still runs, the informers are stopped. */
    void (*stop)(struct service *service);
};

/* Runs the program; returns the process's exit status: 0 after a signal, 1 when something failed, 2
 * for wrong flags. */
int service_main(const struct service_program *program, int count, char **arguments);

#endif
