// SPDX-License-Identifier: Apache-2.0
#include "apiserver/faults.h"

#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"

enum fault fault_choose(const struct request *request, int64_t percent)
{
    const char *user = request->user.name;
    bool reads = strcmp(request->method, "GET") == 0;
    if (percent <= 0 || user == NULL || strncmp(user, "system:", 7) != 0 ||
        strcmp(user, "system:anonymous") == 0 || random() % 100 >= percent) {
        return FAULT_NONE;
    }
    enum fault fault = (enum fault)(FAULT_CONFLICT + random() % FAULT_CUT_AFTER);
    return fault == FAULT_CONFLICT && reads ? FAULT_INTERNAL : fault;
}

static ssize_t fail(struct body *body, char *out, size_t size)
{
    (void)body;
    (void)out;
    (void)size;
    return BODY_FAIL;
}

static void close_body(struct body *body)
{
    free(body);
}

void fault_cut(struct response *response)
{
    static const struct body_class cut = {.read = fail, .close = close_body};
    response_clear(response);
    *response = (struct response){.status = 200, .content_type = "application/json"};
    response->body = allocate_struct(struct body);
    response->body->class = &cut;
}

void fault_answer(enum fault fault, const struct request *request, struct response *response)
{
    cleanup(error_clear)
    struct error error = ERROR_INIT;
    if (fault == FAULT_CUT) {
        fault_cut(response);
        return;
    }
    if (fault == FAULT_CONFLICT) {
        error_set(&error, 409, "Conflict", "a conflict, on purpose");
    } else if (fault == FAULT_TOO_MANY) {
        error_set(&error, 429, "TooManyRequests", "too many requests, on purpose");
        error.retry_after_seconds = 1;
    } else {
        error_internal(&error, "an internal error, on purpose");
    }
    response_set_error(response, request, &error);
}
