// SPDX-License-Identifier: Apache-2.0
#include "apiserver/http/request.h"

#include <string.h>
#include <strings.h>

#include "apiserver/http/server.h"
#include "apiserver/http/uri.h"
#include "common/alloc.h"

bool user_in_group(const struct user *user, const char *group)
{
    for (size_t i = 0; i < user->group_count; i++) {
        if (strcmp(user->groups[i], group) == 0) {
            return true;
        }
    }
    return false;
}

void user_share(struct user *user)
{
    user->holders = allocate_struct(atomic_uint);
    atomic_store(user->holders, 1);
}

struct user user_hold(const struct user *user)
{
    atomic_fetch_add(user->holders, 1);
    return *user;
}

void user_clear(struct user *user)
{
    if (user->holders != NULL && atomic_fetch_sub(user->holders, 1) > 1) {
        *user = (struct user){0};
        return;
    }
    free(user->holders);
    free(user->name);
    free(user->uid);
    for (size_t i = 0; i < user->group_count; i++) {
        free(user->groups[i]);
    }
    free(user->groups);
    json_decref(user->extra);
    *user = (struct user){0};
}

const char *request_parameter(const struct request *request, const char *name)
{
    for (size_t i = 0; i < request->parameter_count; i++) {
        if (strcmp(request->parameters[i].name, name) == 0) {
            return request->parameters[i].value;
        }
    }
    return NULL;
}

bool request_parameter_bool(const struct request *request, const char *name)
{
    const char *value = request_parameter(request, name);
    return value != NULL && strcasecmp(value, "false") != 0 && strcmp(value, "0") != 0;
}

/* As Go's strconv.ParseBool, and false for what it refuses. */
static bool parse_go_bool(const char *text)
{
    static const char *const trues[] = {"1", "t", "T", "true", "TRUE", "True"};
    for (size_t i = 0; i < array_length(trues); i++) {
        if (strcmp(text, trues[i]) == 0) {
            return true;
        }
    }
    return false;
}

bool request_wants_pretty(const struct request *request)
{
    static const char *const by_hand[] = {"curl", "Wget", "Mozilla/5.0"};
    const char *parameter = request_parameter(request, "pretty");
    if (parameter != NULL && parameter[0] != '\0') {
        return parse_go_bool(parameter);
    }
    for (size_t i = 0; request->user_agent != NULL && i < array_length(by_hand); i++) {
        if (strncmp(request->user_agent, by_hand[i], strlen(by_hand[i])) == 0) {
            return true;
        }
    }
    return request->media.pretty;
}

void request_clear(struct request *request)
{
    free(request->path);
    uri_free_parameters(request->parameters, request->parameter_count);
    free(request->body);
    user_clear(&request->user);
    request_info_clear(&request->info);
    if (request->scheme != NULL) {
        scheme_unref(request->scheme);
    }
    *request = (struct request){0};
}
