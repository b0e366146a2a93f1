// SPDX-License-Identifier: Apache-2.0
#include "common/error.h"

#include <stdarg.h>
#include <string.h>

#include "common/alloc.h"
#include "common/buffer.h"
#include "common/json.h"

const char error_object_modified[] =
    "the object has been modified; please apply your changes to the latest version and try again";

static void fill(struct error *error, int code, const char *reason, char *message)
{
    if (error == NULL) {
        free(message);
        return;
    }
    error_clear(error);
    error->code = code;
    error->reason = reason;
    error->message = message;
}

static bool fill_list(struct error *error, int code, const char *reason, const char *text,
                      va_list arguments)
{
    fill(error, code, reason, format_list(text, arguments));
    return false;
}

bool error_set(struct error *error, int code, const char *reason, const char *text, ...)
{
    va_list arguments;
    va_start(arguments, text);
    fill_list(error, code, reason, text, arguments);
    va_end(arguments);
    return false;
}

bool error_internal(struct error *error, const char *text, ...)
{
    va_list arguments;
    va_start(arguments, text);
    fill_list(error, 500, "InternalError", text, arguments);
    va_end(arguments);
    return false;
}

bool error_bad_request(struct error *error, const char *text, ...)
{
    va_list arguments;
    va_start(arguments, text);
    fill_list(error, 400, "BadRequest", text, arguments);
    va_end(arguments);
    return false;
}

bool error_unavailable(struct error *error, const char *text, ...)
{
    va_list arguments;
    va_start(arguments, text);
    fill_list(error, 503, "ServiceUnavailable", text, arguments);
    va_end(arguments);
    return false;
}

bool error_expired(struct error *error, const char *text, ...)
{
    va_list arguments;
    va_start(arguments, text);
    fill_list(error, 410, "Expired", text, arguments);
    va_end(arguments);
    return false;
}

/* "deployments.apps", or "pods" in the core group. */
static char *qualified(const char *group, const char *name)
{
    return group[0] ? format("%s.%s", name, group) : duplicate(name);
}

static void add_details(struct error *error, const char *group, const char *kind, const char *name)
{
    if (error != NULL) {
        error->group = group[0] ? duplicate(group) : NULL;
        error->kind = kind[0] ? duplicate(kind) : NULL;
        error->name = name && name[0] ? duplicate(name) : NULL;
    }
}

bool error_not_found(struct error *error, const char *group, const char *plural, const char *name)
{
    cleanup(free_char)
    char *resource = qualified(group, plural);
    error_set(error, 404, "NotFound", "%s \"%s\" not found", resource, name);
    add_details(error, group, plural, name);
    return false;
}

bool error_already_exists(struct error *error, const char *group, const char *plural,
                          const char *name)
{
    cleanup(free_char)
    char *resource = qualified(group, plural);
    error_set(error, 409, "AlreadyExists", "%s \"%s\" already exists", resource, name);
    add_details(error, group, plural, name);
    return false;
}

bool error_conflict(struct error *error, const char *group, const char *plural, const char *name,
                    const char *why, ...)
{
    va_list arguments;
    va_start(arguments, why);
    cleanup(free_char)
    char *text = format_list(why, arguments);
    va_end(arguments);
    cleanup(free_char)
    char *resource = qualified(group, plural);
    error_set(error, 409, "Conflict", "Operation cannot be fulfilled on %s \"%s\": %s", resource,
              name, text);
    add_details(error, group, plural, name);
    return false;
}

bool error_forbidden(struct error *error, const char *group, const char *plural, const char *name,
                     const char *why, ...)
{
    va_list arguments;
    va_start(arguments, why);
    cleanup(free_char)
    char *text = format_list(why, arguments);
    va_end(arguments);
    cleanup(free_char)
    char *resource = qualified(group, plural);
    if (name != NULL && name[0] != '\0') {
        error_set(error, 403, "Forbidden", "%s \"%s\" is forbidden: %s", resource, name, text);
    } else {
        error_set(error, 403, "Forbidden", "%s is forbidden: %s", resource, text);
    }
    add_details(error, group, plural, name);
    return false;
}

bool error_method_not_supported(struct error *error, const char *group, const char *plural,
                                const char *action)
{
    cleanup(free_char)
    char *resource = qualified(group, plural);
    error_set(error, 405, "MethodNotAllowed", "%s is not supported on resources of kind \"%s\"",
              action, resource);
    add_details(error, group, plural, NULL);
    return false;
}

bool error_wrap(struct error *to, struct error *from, const char *text, ...)
{
    va_list arguments;
    va_start(arguments, text);
    cleanup(free_char)
    char *context = format_list(text, arguments);
    va_end(arguments);
    char *message = format("%s: %s", context, from->message ? from->message : "");
    free(from->message);
    from->message = message;
    return error_move(to, from);
}

bool error_move(struct error *to, struct error *from)
{
    if (to == NULL) {
        error_clear(from);
    } else if (to != from) {
        error_clear(to);
        *to = *from;
        *from = ERROR_INIT;
    }
    return false;
}

void error_clear(struct error *error)
{
    free(error->message);
    free(error->group);
    free(error->kind);
    free(error->name);
    free(error->uid);
    free(error->continue_token);
    json_decref(error->causes);
    *error = ERROR_INIT;
}

/* The reasons of metav1.StatusReason with the codes that stand for them. */
static const struct {
    int code;
    const char *reason;
} status_reasons[] = {
    {400, "BadRequest"},    {401, "Unauthorized"},          {403, "Forbidden"},
    {404, "NotFound"},      {405, "MethodNotAllowed"},      {406, "NotAcceptable"},
    {409, "Conflict"},      {409, "AlreadyExists"},         {410, "Expired"},
    {410, "Gone"},          {413, "RequestEntityTooLarge"}, {415, "UnsupportedMediaType"},
    {422, "Invalid"},       {429, "TooManyRequests"},       {500, "InternalError"},
    {500, "ServerTimeout"}, {503, "ServiceUnavailable"},    {504, "Timeout"},
};

static const char *known_reason(const char *reason, int code)
{
    for (size_t i = 0; i < array_length(status_reasons); i++) {
        if (reason != NULL ? strcmp(status_reasons[i].reason, reason) == 0
                           : status_reasons[i].code == code) {
            return status_reasons[i].reason;
        }
    }
    return "";
}

static char *copy_member(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text != NULL ? duplicate(text) : NULL;
}

bool error_from_status(struct error *error, int code, const json_t *body)
{
    const char *kind = json_string_value(json_object_get(body, "kind"));
    if (kind == NULL || strcmp(kind, "Status") != 0) {
        return error_set(error, code, known_reason(NULL, code),
                         "the server answered with HTTP status %d and no explanation", code);
    }
    const char *message = json_string_value(json_object_get(body, "message"));
    const char *reason = json_string_value(json_object_get(body, "reason"));
    const json_t *details = json_object_get(body, "details");
    error_set(error, code, known_reason(reason ? reason : "", code), "%s", message ? message : "");
    if (error != NULL) {
        error->group = copy_member(details, "group");
        error->kind = copy_member(details, "kind");
        error->name = copy_member(details, "name");
        error->uid = copy_member(details, "uid");
        error->causes = json_incref(json_object_get(details, "causes"));
        error->retry_after_seconds =
            (int)json_integer_value(json_object_get(details, "retryAfterSeconds"));
        error->continue_token = copy_member(json_object_get(body, "metadata"), "continue");
    }
    return false;
}

/* What a client sent may stand in a message, and be cut in the middle of a character: whatever is
 * not UTF-8 is no reason to answer nothing. */
static json_t *text_or_ascii(const char *text)
{
    json_t *json = json_string(text);
    if (json != NULL) {
        return json;
    }
    cleanup(free_char)
    char *ascii = duplicate(text);
    for (char *c = ascii; *c != '\0'; c++) {
        *c = *c & '\x80' ? '?' : *c;
    }
    return json_string(ascii);
}

json_t *error_to_status(const struct error *error)
{
    json_t *status = json_pack("{s:s, s:s, s:{}, s:s, s:o}", "kind", "Status", "apiVersion", "v1",
                               "metadata", "status", "Failure", "message",
                               text_or_ascii(error->message ? error->message : ""));
    if (error->continue_token != NULL) {
        json_object_set_new(json_object_get(status, "metadata"), "continue",
                            json_string(error->continue_token));
    }
    if (error->reason && error->reason[0]) {
        json_object_set_new(status, "reason", json_string(error->reason));
    }
    json_t *details = json_object();
    const struct {
        const char *key, *value;
    } texts[] = {
        {"name", error->name}, {"group", error->group}, {"kind", error->kind}, {"uid", error->uid}};
    for (size_t i = 0; i < array_length(texts); i++) {
        if (texts[i].value != NULL) {
            json_object_set_new(details, texts[i].key, text_or_ascii(texts[i].value));
        }
    }
    if (json_array_size(error->causes) > 0) {
        json_object_set(details, "causes", error->causes);
    }
    if (error->retry_after_seconds > 0) {
        json_object_set_new(details, "retryAfterSeconds", json_integer(error->retry_after_seconds));
    }
    if (json_object_size(details) > 0) {
        json_object_set(status, "details", details);
    }
    json_decref(details);
    json_object_set_new(status, "code", json_integer(error->code));
    return status;
}

/* ---- field errors ---- */

static void add_path(struct buffer *buffer, const struct field_path *path)
{
    if (path == NULL) {
        return;
    }
    add_path(buffer, path->parent);
    if (path->name != NULL) {
        if (buffer->length > 0) {
            buffer_add_char(buffer, '.');
        }
        buffer_add_text(buffer, path->name);
    } else if (path->key != NULL) {
        buffer_addf(buffer, "[%s]", path->key);
    } else {
        buffer_addf(buffer, "[%zu]", path->index);
    }
}

char *field_path_text(const struct field_path *path)
{
    struct buffer buffer = BUFFER_INIT;
    add_path(&buffer, path);
    return buffer_steal(&buffer);
}

static const struct {
    const char *reason, *text;
} field_error_types[] = {
    [FIELD_REQUIRED] = {"FieldValueRequired", "Required value"},
    [FIELD_INVALID] = {"FieldValueInvalid", "Invalid value"},
    [FIELD_DUPLICATE] = {"FieldValueDuplicate", "Duplicate value"},
    [FIELD_NOT_SUPPORTED] = {"FieldValueNotSupported", "Unsupported value"},
    [FIELD_NOT_FOUND] = {"FieldValueNotFound", "Not found"},
    [FIELD_FORBIDDEN] = {"FieldValueForbidden", "Forbidden"},
    [FIELD_TOO_LONG] = {"FieldValueTooLong", "Too long"},
    [FIELD_TOO_MANY] = {"FieldValueTooMany", "Too many"},
    [FIELD_TYPE_INVALID] = {"FieldValueTypeInvalid", "Invalid value"},
};

/* Nobody reads more, and one body can make many. */
enum { field_errors_max = 1000 };

static bool shows_value(enum field_error_type type)
{
    return type != FIELD_REQUIRED && type != FIELD_FORBIDDEN && type != FIELD_TOO_LONG;
}

static void add_value(struct buffer *buffer, const json_t *value)
{
    buffer_add_literal(buffer, ": ");
    json_encode(value, buffer);
}

void field_error(struct field_errors *errors, enum field_error_type type,
                 const struct field_path *path, const json_t *value, const char *detail, ...)
{
    if (json_array_size(errors->causes) >= field_errors_max) {
        return;
    }
    cleanup(buffer_free)
    struct buffer message = BUFFER_INIT;
    buffer_add_text(&message, field_error_types[type].text);
    if (value != NULL && shows_value(type)) {
        add_value(&message, value);
    }
    if (detail != NULL && detail[0] != '\0') {
        va_list arguments;
        va_start(arguments, detail);
        cleanup(free_char)
        char *text = format_list(detail, arguments);
        va_end(arguments);
        buffer_addf(&message, ": %s", text);
    }
    cleanup(free_char)
    char *field = field_path_text(path);
    if (errors->causes == NULL) {
        errors->causes = json_array();
    }
    json_array_append_new(errors->causes,
                          json_pack("{s:s, s:s, s:s}", "reason", field_error_types[type].reason,
                                    "message", buffer_text(&message), "field", field));
}

void field_error_not_supported(struct field_errors *errors, const struct field_path *path,
                               const json_t *value, const char *const *supported)
{
    cleanup(buffer_free)
    struct buffer list = BUFFER_INIT;
    for (size_t i = 0; supported[i] != NULL; i++) {
        buffer_addf(&list, "%s\"%s\"", i ? ", " : "", supported[i]);
    }
    field_error(errors, FIELD_NOT_SUPPORTED, path, value, "supported values: %s",
                buffer_text(&list));
}

bool field_errors_any(const struct field_errors *errors)
{
    return json_array_size(errors->causes) > 0;
}

void field_errors_clear(struct field_errors *errors)
{
    json_decref(errors->causes);
    *errors = FIELD_ERRORS_INIT;
}

bool error_invalid(struct error *error, const char *group, const char *kind, const char *name,
                   struct field_errors *errors)
{
    cleanup(buffer_free)
    struct buffer list = BUFFER_INIT;
    size_t count = json_array_size(errors->causes);
    for (size_t i = 0; i < count; i++) {
        json_t *cause = json_array_get(errors->causes, i);
        buffer_addf(&list, "%s%s: %s", i ? ", " : "",
                    json_string_value(json_object_get(cause, "field")),
                    json_string_value(json_object_get(cause, "message")));
    }
    cleanup(free_char)
    char *resource = qualified(group, kind);
    error_set(error, 422, "Invalid",
              count > 1 ? "%s \"%s\" is invalid: [%s]" : "%s \"%s\" is invalid: %s", resource,
              name ? name : "", buffer_text(&list));
    add_details(error, group, kind, name);
    if (error != NULL) {
        error->causes = steal(errors->causes);
    }
    field_errors_clear(errors);
    return false;
}
