// SPDX-License-Identifier: Apache-2.0
#include "apiserver/http/request.h"

#include <string.h>

#include "apiserver/http/server.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/yaml.h"

bool user_in_group(const struct user *user, const char *group)
{
    for (size_t i = 0; i < user->group_count; i++) {
        if (strcmp(user->groups[i], group) == 0) {
            return true;
        }
    }
    return false;
}

void user_clear(struct user *user)
{
    for (size_t i = 0; i < user->group_count; i++) {
        free(user->groups[i]);
    }
    free(user->groups);
    free(user->name);
    free(user->uid);
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
    return value != NULL && strcmp(value, "false") != 0 && strcmp(value, "0") != 0;
}

static void clear_parameters(struct parameter *parameters, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(parameters[i].name);
        free(parameters[i].value);
    }
    free(parameters);
}

void request_clear(struct request *request)
{
    clear_parameters(request->parameters, request->parameter_count);
    free(request->path);
    free(request->remote_address);
    free(request->body);
    user_clear(&request->user);
    request_info_clear(&request->info);
    scheme_unref(request->scheme);
    *request = (struct request){0};
}

/* ---- responses ---- */

void body_wake(struct body *body)
{
    body->wake(body->wake_argument);
}

void response_add_header(struct response *response, const char *name, const char *value)
{
    response->headers = grow(response->headers, response->header_count, &response->header_capacity,
                             sizeof *response->headers);
    char *clean = duplicate(value), *to = clean;
    for (const char *from = value; *from != '\0'; from++) {
        if ((unsigned char)*from >= 0x20 && *from != 0x7f) {
            *to++ = *from;
        }
    }
    *to = '\0';
    response->headers[response->header_count++] = (struct parameter){duplicate(name), clean};
}

enum { warning_length_max = 1024, warnings_max = 64 };

void response_add_warning(struct response *response, const char *text)
{
    cleanup(buffer_free)
    struct buffer value = BUFFER_INIT;
    buffer_add_literal(&value, "299 - \"");
    for (const char *c = text; *c != '\0' && value.length < warning_length_max; c++) {
        if (*c == '"' || *c == '\\') {
            buffer_add_char(&value, '\\');
        }
        buffer_add_char(&value, *c);
    }
    buffer_add_char(&value, '"');
    size_t warnings = 0;
    for (size_t i = 0; i < response->header_count; i++) {
        bool warning = strcmp(response->headers[i].name, "Warning") == 0;
        warnings += warning;
        if (warning && strcmp(response->headers[i].value, value.bytes) == 0) {
            return;
        }
    }
    if (warnings < warnings_max) {
        response_add_header(response, "Warning", value.bytes);
    }
}

static bool wants_yaml(const struct request *request)
{
    return request->media.encoding == MEDIA_YAML ||
           strncmp(request->accept, "application/yaml", 16) == 0;
}

void response_set_json(struct response *response, const struct request *request, int status,
                       const json_t *json)
{
    buffer_reset(&response->bytes);
    response->status = status;
    if (wants_yaml(request)) {
        response->content_type = "application/yaml";
        yaml_encode(json, &response->bytes);
    } else {
        response->content_type = "application/json";
        json_encode(json, &response->bytes);
        buffer_add_char(&response->bytes, '\n');
    }
}

void response_set_error(struct response *response, const struct request *request,
                        const struct error *error)
{
    cleanup(json_release)
    json_t *status = error_to_status(error);
    if (response->body != NULL) {
        response->body->class->close(response->body);
        response->body = NULL;
    }
    response_set_json(response, request, error->code, status);
    if (error->retry_after_seconds > 0) {
        char seconds[16];
        snprintf(seconds, sizeof seconds, "%d", error->retry_after_seconds);
        response_add_header(response, "Retry-After", seconds);
    }
}

void response_set_text(struct response *response, int status, const char *content_type,
                       const char *text)
{
    buffer_reset(&response->bytes);
    buffer_add_text(&response->bytes, text);
    response->status = status;
    response->content_type = content_type;
}

void response_clear(struct response *response)
{
    if (response->body != NULL) {
        response->body->class->close(response->body);
    }
    buffer_free(&response->bytes);
    clear_parameters(response->headers, response->header_count);
    *response = (struct response){0};
}
