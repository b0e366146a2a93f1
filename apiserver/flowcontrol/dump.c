// SPDX-License-Identifier: Apache-2.0
/* Tables of levels, queues and requests, as text, for people who look for trouble: those of
 * upstream, with columns padded to the same width. */
#include <string.h>

#include "apiserver/flowcontrol/internal.h"
#include "common/alloc.h"
#include "common/timestamp.h"

static const char root[] = "/debug/api_priority_and_fairness/";

enum { columns_max = 20 };

/* Rows of cells, kept until the widths are known. */
struct table {
    size_t columns;
    char **cells;
    size_t count, capacity;
};

static void add_cell(struct table *table, char *text)
{
    table->cells = grow(table->cells, table->count, &table->capacity, sizeof(char *));
    table->cells[table->count++] = text;
}

static void add_heads(struct table *table, const char *const *heads)
{
    for (; *heads != NULL; heads++) {
        add_cell(table, duplicate(*heads));
        table->columns++;
    }
}

static void add_number(struct table *table, uint64_t number)
{
    add_cell(table, format("%llu", (unsigned long long)number));
}

/* Each cell but the last of a row ends with a comma and is padded. */
static void print_table(const struct table *table, struct buffer *out)
{
    size_t widths[columns_max] = {0};
    for (size_t i = 0; i < table->count; i++) {
        size_t length = strlen(table->cells[i]), *width = &widths[i % table->columns];
        *width = length > *width ? length : *width;
    }
    for (size_t i = 0; i < table->count; i++) {
        size_t column = i % table->columns;
        if (column + 1 == table->columns) {
            buffer_addf(out, "%s\n", table->cells[i]);
        } else {
            int padding = (int)(widths[column] - strlen(table->cells[i])) + 1;
            buffer_addf(out, "%s,%*s", table->cells[i], padding, "");
        }
    }
}

static void table_clear(struct table *table)
{
    for (size_t i = 0; i < table->count; i++) {
        free(table->cells[i]);
    }
    free(table->cells);
}

/* ---- rows; with the level's lock ---- */

static void add_level(struct table *table, struct priority_level *level, bool details)
{
    (void)details;
    const struct queue_set *set = &level->set;
    add_cell(table, duplicate(level->name));
    add_number(table, set->active_queues);
    add_cell(table, duplicate(level->tickets == 0 ? "true" : "false"));
    add_cell(table, duplicate(level->defined ? "false" : "true"));
    add_number(table, set->waiting_count);
    add_number(table, set->executing.count);
    add_number(table, level->dispatched);
    add_number(table, level->rejected);
    add_number(table, level->timed_out);
    add_number(table, 0);
}

static void add_queues(struct table *table, struct priority_level *level, bool details)
{
    (void)details;
    const struct queue_set *set = &level->set;
    for (unsigned i = 0; i < set->queue_count; i++) {
        const struct flow_queue *queue = &set->queues[i];
        add_cell(table, duplicate(level->name));
        add_number(table, i);
        add_number(table, queue->waiting.count);
        add_number(table, queue->executing);
        add_number(table, queue->seats_in_use);
        add_cell(table, format("%.8fss", queue->next_start));
        add_number(table, queue->waiting_seats);
        add_number(table, queue->waiting_seats);
        add_cell(table, format("%.8fss", (double)queue->waiting_seats * 0.003));
    }
}

static char *time_text(int64_t monotonic_ns)
{
    char text[TIMESTAMP_SIZE];
    if (monotonic_ns == 0) {
        return duplicate("0001-01-01T00:00:00Z");
    }
    timestamp_format_micro(timestamp_now() - (timestamp_monotonic() - monotonic_ns), text);
    return duplicate(text);
}

static void add_details(struct table *table, const struct request *request)
{
    const struct request_info *info = &request->info;
    bool resource = info->is_resource_request;
    const char *const texts[] = {
        request->user.name,
        info->verb,
        request->path,
        resource ? info->namespace : "",
        resource ? info->name : "",
        resource ? info->version : "",
        resource ? info->plural : "",
        resource ? info->subresource : "",
    };
    for (size_t i = 0; i < array_length(texts); i++) {
        add_cell(table, duplicate(texts[i] ? texts[i] : ""));
    }
}

static void add_request(struct table *table, const struct priority_level *level,
                        const struct queued *queued, int place, bool details)
{
    const struct ticket *ticket = container_of(queued, struct ticket, queued);
    add_cell(table, duplicate(level->name));
    add_cell(table, duplicate(ticket->stats->schema));
    add_cell(table, format("%d", queued->queue));
    add_cell(table, format("%d", place));
    add_cell(table, duplicate(flow_distinguisher_of(ticket->distinguisher, ticket->request)));
    add_cell(table, time_text(queued->arrived_ns));
    add_number(table, queued->seats);
    add_cell(table, duplicate("0"));
    add_cell(table, duplicate("0s"));
    add_cell(table, time_text(queued->state == QUEUED_EXECUTING ? queued->began_ns : 0));
    if (details) {
        add_details(table, ticket->request);
    }
}

static void add_requests(struct table *table, struct priority_level *level, bool details)
{
    const struct queued *queued;
    for (queued = level->set.executing.first; queued != NULL; queued = queued->next) {
        add_request(table, level, queued, -1, details);
    }
    for (unsigned i = 0; i < level->set.queue_count; i++) {
        int place = 0;
        for (queued = level->set.queues[i].waiting.first; queued != NULL; queued = queued->next) {
            add_request(table, level, queued, place++, details);
        }
    }
}

/* ---- tables ---- */

static const char *const level_heads[] = {"PriorityLevelName",
                                          "ActiveQueues",
                                          "IsIdle",
                                          "IsQuiescing",
                                          "WaitingRequests",
                                          "ExecutingRequests",
                                          "DispatchedRequests",
                                          "RejectedRequests",
                                          "TimedoutRequests",
                                          "CancelledRequests",
                                          NULL};
static const char *const queue_heads[] = {
    "PriorityLevelName", "Index",           "PendingRequests", "ExecutingRequests", "SeatsInUse",
    "NextDispatchR",     "InitialSeatsSum", "MaxSeatsSum",     "TotalWorkSum",      NULL};
static const char *const request_heads[] = {"PriorityLevelName",
                                            "FlowSchemaName",
                                            "QueueIndex",
                                            "RequestIndexInQueue",
                                            "FlowDistingsher",
                                            "ArriveTime",
                                            "InitialSeats",
                                            "FinalSeats",
                                            "AdditionalLatency",
                                            "StartTime",
                                            NULL};
static const char *const detail_heads[] = {"UserName",  "Verb",        "APIPath",
                                           "Namespace", "Name",        "APIVersion",
                                           "Resource",  "SubResource", NULL};

static const struct {
    const char *name;
    const char *const *heads;
    void (*add)(struct table *table, struct priority_level *level, bool details);
} tables[] = {
    {"dump_priority_levels", level_heads, add_level},
    {"dump_queues", queue_heads, add_queues},
    {"dump_requests", request_heads, add_requests},
};

static void dump(struct flowcontrol *flowcontrol, size_t which, bool details, struct buffer *out)
{
    cleanup(table_clear)
    struct table table = {0};
    add_heads(&table, tables[which].heads);
    if (details) {
        add_heads(&table, detail_heads);
    }
    pthread_rwlock_rdlock(&flowcontrol->config_lock);
    for (size_t i = 0; i < flowcontrol->level_count; i++) {
        struct priority_level *level = flowcontrol->levels[i];
        pthread_mutex_lock(&level->lock);
        tables[which].add(&table, level, details);
        pthread_mutex_unlock(&level->lock);
    }
    pthread_rwlock_unlock(&flowcontrol->config_lock);
    print_table(&table, out);
}

bool flowcontrol_serve(struct flowcontrol *flowcontrol, const struct request *request,
                       struct response *response)
{
    if (!flowcontrol->options.enabled || strncmp(request->path, root, sizeof root - 1) != 0) {
        return false;
    }
    for (size_t i = 0; i < array_length(tables); i++) {
        if (strcmp(request->path + sizeof root - 1, tables[i].name) == 0) {
            const char *wanted = request_parameter(request, "includeRequestDetails");
            bool details = tables[i].add == add_requests && wanted != NULL && wanted[0] != '\0';
            response->status = 200;
            response->content_type = "text/plain; charset=utf-8";
            dump(flowcontrol, i, details, &response->bytes);
            return true;
        }
    }
    return false;
}
