// SPDX-License-Identifier: Apache-2.0
/* coracle-scheduler: gives pending pods a node. */
#include <stdlib.h>
#include <time.h>

#include "common/timestamp.h"
#include "scheduler/scheduler.h"

static struct scheduler_options options = {.scheduler_name = "default-scheduler"};

static bool check(struct error *error)
{
    return (options.percentage_of_nodes_to_score >= 0 &&
            options.percentage_of_nodes_to_score <= 100) ||
           error_bad_request(error, "--percentage-of-nodes-to-score must be between 0 and 100");
}

static bool start(struct service *service, struct error *error)
{
    srandom((unsigned)timestamp_now());
    service->state = scheduler_start(service, &options, error);
    return service->state != NULL;
}

static void stop(struct service *service)
{
    scheduler_stop(service->state);
}

int main(int count, char **arguments)
{
    const struct flag flags[] = {
        {"", FLAG_TEXT, NULL, "Scheduling"},
        {"scheduler-name", FLAG_TEXT, &options.scheduler_name,
         "Of the pods to schedule: those whose spec.schedulerName is this."},
        {"percentage-of-nodes-to-score", FLAG_NUMBER, &options.percentage_of_nodes_to_score,
         "How many of the nodes that fit are compared; 0: fewer the more nodes there are."},
        {NULL, FLAG_TEXT, NULL, NULL},
    };
    const struct service_program program = {
        .name = "coracle-scheduler",
        .component = "scheduler",
        .summary = "Gives each pending pod the node that fits it best.",
        .event_source = "default-scheduler",
        .lease = "kube-scheduler",
        .health_address = "127.0.0.1:10259",
        .flags = flags,
        .check = check,
        .start = start,
        .stop = stop,
    };
    return service_main(&program, count, arguments);
}
