// SPDX-License-Identifier: Apache-2.0
/* coracle-scheduler: gives pending pods a node. */
#include <stdlib.h>
#include <time.h>

#include "common/alloc.h"
#include "common/timestamp.h"
#include "scheduler/scheduler.h"

static struct {
    const char *file, *scheduler_name;
    int64_t percentage_of_nodes_to_score;
} options = {.scheduler_name = "default-scheduler"};
static struct scheduler_configuration configuration;

static bool configure(struct service_options *service, struct error *error)
{
    if (options.file == NULL || *options.file == '\0') {
        return true;
    }
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    json_t *json = configuration_read_yaml(options.file, error);
    if (json == NULL) {
        return false;
    }
    if (!scheduler_configuration_parse(&configuration, json, service, &why)) {
        return error_bad_request(error, "%s: %s", options.file, why.message);
    }
    options.percentage_of_nodes_to_score = configuration.percentage_of_nodes_to_score;
    return true;
}

static bool check(struct error *error)
{
    if (options.percentage_of_nodes_to_score < 0 || options.percentage_of_nodes_to_score > 100) {
        return error_bad_request(error, "--percentage-of-nodes-to-score must be between 0 and 100");
    }
    if (configuration.profile_count == 0) {
        scheduler_configuration_default(&configuration, options.scheduler_name);
    }
    configuration.percentage_of_nodes_to_score = options.percentage_of_nodes_to_score;
    return true;
}

static bool start(struct service *service, struct error *error)
{
    srandom((unsigned)timestamp_now());
    service->state = scheduler_start(service, &configuration, error);
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
        {"config", FLAG_TEXT, &options.file,
         "File with a KubeSchedulerConfiguration; flags that are given stand above it."},
        {"scheduler-name", FLAG_TEXT, &options.scheduler_name,
         "Of the pods to schedule: those whose spec.schedulerName is this; a file's profiles say "
         "so "
         "themselves."},
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
        .configure = configure,
        .check = check,
        .start = start,
        .stop = stop,
    };
    return service_main(&program, count, arguments);
}
