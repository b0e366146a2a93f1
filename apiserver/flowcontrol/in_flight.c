// SPDX-License-Identifier: Apache-2.0
/* Plain limits, without Priority and Fairness: nobody waits. */
#include <string.h>

#include "apiserver/flowcontrol/internal.h"
#include "common/alloc.h"

bool flowcontrol_is_command(const struct request *request)
{
    static const char *const commands[] = {"attach", "exec", "log", "portforward", "proxy"};
    for (size_t i = 0; i < array_length(commands); i++) {
        if (request->info.is_resource_request &&
            strcmp(request->info.subresource, commands[i]) == 0) {
            return true;
        }
    }
    return false;
}

static bool changes_something(const struct request *request)
{
    static const char *const reading[] = {"get", "list", "watch"};
    for (size_t i = 0; i < array_length(reading); i++) {
        if (strcmp(request->info.verb, reading[i]) == 0) {
            return false;
        }
    }
    return true;
}

enum admittance in_flight_admit(struct flowcontrol *flowcontrol, const struct request *request,
                                struct turn *turn, struct error *error)
{
    bool mutating = changes_something(request);
    int64_t limit =
        mutating ? flowcontrol->options.mutating_in_flight : flowcontrol->options.in_flight;
    if (limit == 0 || strcmp(request->info.verb, "watch") == 0) {
        return ADMITTANCE_NOW;
    }
    atomic_int *count = mutating ? &flowcontrol->mutating_in_flight : &flowcontrol->in_flight;
    if (atomic_fetch_add(count, 1) >= limit && !user_in_group(&request->user, "system:masters")) {
        atomic_fetch_sub(count, 1);
        atomic_fetch_add(mutating ? &flowcontrol->mutating_turned_away : &flowcontrol->turned_away,
                         1);
        flowcontrol_refuse(error);
        return ADMITTANCE_REFUSED;
    }
    struct ticket *ticket = allocate_struct(struct ticket);
    ticket->in_flight = count;
    turn->ticket = ticket;
    return ADMITTANCE_NOW;
}
