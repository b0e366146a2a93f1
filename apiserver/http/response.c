// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "apiserver/http/request.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/yaml.h"

/* As upstream, so that a client's header limit is not exceeded by what it asked for itself: all
 * warnings together; and each, once they would be more than that. */
enum { WARNING_LENGTH_MAX = 256, WARNINGS_LENGTH_MAX = 4096 };

void response_add_header(struct response *response, const char *name, const char *value)
{
    char *clean = duplicate(value);
    char *end = clean;
    for (const char *c = value; *c != '\0'; c++) {
        if ((unsigned char)*c >= 0x20 && *c != 0x7f) {
            *end++ = *c;
        }
    }
    *end = '\0';
    response->headers = grow(response->headers, response->header_count, &response->header_capacity,
                             sizeof *response->headers);
    response->headers[response->header_count++] =
        (struct parameter){.name = duplicate(name), .value = clean};
}

static bool is_warning(const struct parameter *header)
{
    return strcmp(header->name, "Warning") == 0;
}

static bool is_warned_of(const struct response *response, const char *value)
{
    for (size_t i = 0; i < response->header_count; i++) {
        if (is_warning(&response->headers[i]) && strcmp(response->headers[i].value, value) == 0) {
            return true;
        }
    }
    return false;
}

static size_t length_of_warnings(const struct response *response)
{
    size_t total = 0;
    for (size_t i = 0; i < response->header_count; i++) {
        total += is_warning(&response->headers[i]) ? strlen(response->headers[i].value) : 0;
    }
    return total;
}

/* The length of 'text', or where to cut it so that no character is split. */
static size_t cut_length(const char *text, size_t most)
{
    size_t length = strlen(text);
    if (length <= most) {
        return length;
    }
    while (most > 0 && ((unsigned char)text[most] & 0xc0) == 0x80) {
        most--;
    }
    return most;
}

static const char warning_begin[] = "299 - \"";

/* Cuts a warning, as it stands in the header, down to so many bytes of its text. */
static void cut_warning(char *value, size_t most)
{
    char *text = value + strlen(warning_begin), *end = text;
    if (strlen(text) <= most + 1) {
        return; /* With its closing quote. */
    }
    while (*end != '\0' && (size_t)(end - text) + (*end == '\\') < most) {
        end += *end == '\\' ? 2 : 1;
    }
    size_t kept = cut_length(text, (size_t)(end - text));
    text[kept] = '"';
    text[kept + 1] = '\0';
}

static void cut_warnings(struct response *response)
{
    for (size_t i = 0; i < response->header_count; i++) {
        if (is_warning(&response->headers[i])) {
            cut_warning(response->headers[i].value, WARNING_LENGTH_MAX);
        }
    }
}

void response_add_warning(struct response *response, const char *text)
{
    cleanup(buffer_free)
    struct buffer value = BUFFER_INIT;
    buffer_add_text(&value, warning_begin);
    size_t length = cut_length(text, WARNINGS_LENGTH_MAX);
    for (size_t i = 0; i < length; i++) {
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f) {
            continue;
        }
        if (text[i] == '"' || text[i] == '\\') {
            buffer_add_char(&value, '\\');
        }
        buffer_add_char(&value, text[i]);
    }
    buffer_add_char(&value, '"');
    if (length_of_warnings(response) + value.length > WARNINGS_LENGTH_MAX) {
        cut_warnings(response);
        cut_warning(value.bytes, WARNING_LENGTH_MAX);
    }
    if (!is_warned_of(response, buffer_text(&value)) &&
        length_of_warnings(response) + strlen(value.bytes) <= WARNINGS_LENGTH_MAX) {
        response_add_header(response, "Warning", buffer_text(&value));
    }
}

static void free_header(struct parameter *header)
{
    free(header->name);
    free(header->value);
}

static void drop_content(struct response *response)
{
    if (response->body != NULL) {
        response->body->class->close(response->body);
        response->body = NULL;
    }
    buffer_reset(&response->bytes);
    response->content_type = NULL;
}

static void drop_all_but_warnings(struct response *response)
{
    drop_content(response);
    size_t kept = 0;
    for (size_t i = 0; i < response->header_count; i++) {
        if (is_warning(&response->headers[i])) {
            response->headers[kept++] = response->headers[i];
        } else {
            free_header(&response->headers[i]);
        }
    }
    response->header_count = kept;
}

static void write_json(struct response *response, const struct request *request, const json_t *json)
{
    response->content_type = "application/json";
    if (!request_wants_pretty(request)) {
        json_encode(json, &response->bytes);
        return;
    }
    cleanup(buffer_free)
    struct buffer compact = BUFFER_INIT;
    json_encode(json, &compact);
    media_indent_json(buffer_text(&compact), compact.length, &response->bytes);
    buffer_add_char(&response->bytes, '\n');
}

static void write_tree(struct response *response, const struct request *request,
                       enum media_encoding encoding, const json_t *json)
{
    if (encoding == MEDIA_YAML) {
        response->content_type = "application/yaml";
        yaml_encode(json, &response->bytes);
    } else {
        write_json(response, request, json);
    }
}

void response_set_error(struct response *response, const struct request *request,
                        const struct error *error)
{
    drop_all_but_warnings(response);
    response->status = error->code;
    struct media media = {.encoding = MEDIA_JSON};
    if (request->accept != NULL && !media_negotiate(request->accept, &media, NULL)) {
        media.encoding = MEDIA_JSON;
    }
    cleanup(json_release)
    json_t *status = error_to_status(error);
    write_tree(response, request, media.encoding, status);
    if (error->retry_after_seconds > 0) {
        char seconds[16];
        snprintf(seconds, sizeof seconds, "%d", error->retry_after_seconds);
        response_add_header(response, "Retry-After", seconds);
    }
}

void response_set_json(struct response *response, const struct request *request, int status,
                       const json_t *json)
{
    drop_content(response);
    response->status = status;
    write_tree(response, request, request->media.encoding, json);
}

void response_set_text(struct response *response, int status, const char *content_type,
                       const char *text)
{
    drop_content(response);
    response->status = status;
    response->content_type = content_type;
    buffer_add_text(&response->bytes, text);
}

void response_clear(struct response *response)
{
    drop_content(response);
    buffer_free(&response->bytes);
    for (size_t i = 0; i < response->header_count; i++) {
        free_header(&response->headers[i]);
    }
    free(response->headers);
    *response = (struct response){0};
}
