// SPDX-License-Identifier: Apache-2.0
/* What a path and method ask for, as upstream's RequestInfoFactory reads them. */
#include <string.h>

#include "apiserver/http/server.h"
#include "common/alloc.h"

enum { parts_max = 64 };

static int hex_value(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* Decodes %XX in place; false for what is none, and for NUL. */
static bool decode_segment(char *text)
{
    char *to = text;
    for (const char *from = text; *from != '\0'; from++) {
        if (*from != '%') {
            *to++ = *from;
            continue;
        }
        int high = hex_value(from[1]), low = high < 0 ? -1 : hex_value(from[2]);
        if (low < 0 || high * 16 + low == 0) {
            return false;
        }
        *to++ = (char)(high * 16 + low);
        from += 2;
    }
    *to = '\0';
    return true;
}

static void free_parts(char **parts)
{
    for (size_t i = 0; parts != NULL && parts[i] != NULL; i++) {
        free(parts[i]);
    }
    free(parts);
}

/* The decoded segments of a path, NULL-terminated; NULL for one that can't be. */
static char **split(const char *path, size_t *count, struct error *error)
{
    char **parts = allocate_zero(parts_max + 1, sizeof(char *));
    *count = 0;
    for (const char *at = path; *at == '/';) {
        at++;
        size_t length = strcspn(at, "/");
        if (length == 0 && at[length] == '\0') {
            break; /* A slash at the end. */
        }
        char *part = duplicate_bytes(at, length);
        bool good = length > 0 && *count < parts_max && decode_segment(part) &&
                    strcmp(part, ".") != 0 && strcmp(part, "..") != 0;
        if (!good) {
            free(part);
            free_parts(parts);
            error_bad_request(error, "the path of the request is not valid");
            return NULL;
        }
        parts[(*count)++] = part;
        at += length;
    }
    return parts;
}

static void set(char **text, const char *value)
{
    free(*text);
    *text = duplicate(value);
}

static void start_info(struct request_info *info, const char *method)
{
    *info = (struct request_info){
        .verb = duplicate(method),
        .prefix = duplicate(""),
        .group = duplicate(""),
        .version = duplicate(""),
        .namespace = duplicate(""),
        .plural = duplicate(""),
        .subresource = duplicate(""),
        .name = duplicate(""),
    };
    for (char *c = info->verb; *c != '\0'; c++) {
        *c = (char)(*c >= 'A' && *c <= 'Z' ? *c + 32 : *c);
    }
}

static const char *verb_of_method(const char *method)
{
    static const char *const verbs[][2] = {{"POST", "create"}, {"GET", "get"},
                                           {"HEAD", "get"},    {"PUT", "update"},
                                           {"PATCH", "patch"}, {"DELETE", "delete"}};
    for (size_t i = 0; i < array_length(verbs); i++) {
        if (strcmp(verbs[i][0], method) == 0) {
            return verbs[i][1];
        }
    }
    return "";
}

static const char *parameter(const struct parameter *parameters, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(parameters[i].name, name) == 0) {
            return parameters[i].value;
        }
    }
    return NULL;
}

/* Namespace, resource, name, subresource from what follows the version. */
static void take_resource(struct request_info *info, char **parts, size_t count)
{
    bool namespaced = count > 0 && strcmp(parts[0], "namespaces") == 0;
    if (namespaced && count > 1) {
        set(&info->namespace, parts[1]);
        bool own =
            count > 2 && (strcmp(parts[2], "status") == 0 || strcmp(parts[2], "finalize") == 0);
        if (count > 2 && !own) {
            parts += 2;
            count -= 2;
        }
    }
    if (count > 0) {
        set(&info->plural, parts[0]);
    }
    if (count > 1) {
        set(&info->name, parts[1]);
    }
    if (count > 2) {
        set(&info->subresource, parts[2]);
    }
    if (strcmp(info->plural, "namespaces") == 0) {
        set(&info->namespace, ""); /* A namespace is in no namespace. */
    }
    size_t kept = 0;
    info->parts = allocate_zero(count + 1, sizeof(char *));
    for (; kept < count; kept++) {
        info->parts[kept] = duplicate(parts[kept]);
    }
}

/* The name that a field selector "metadata.name=x" alone asks for. */
static void take_selected_name(struct request_info *info, const char *selector)
{
    static const char key[] = "metadata.name=";
    if (selector != NULL && strncmp(selector, key, sizeof key - 1) == 0 &&
        strpbrk(selector + sizeof key - 1, ",=!\\") == NULL) {
        set(&info->name, selector + sizeof key - 1);
    }
}

static void finish_verb(struct request_info *info, const struct parameter *parameters,
                        size_t parameter_count, bool watch_path)
{
    const char *watch = parameter(parameters, parameter_count, "watch");
    bool watching = watch != NULL && strcmp(watch, "false") != 0 && strcmp(watch, "0") != 0;
    bool get = strcmp(info->verb, "get") == 0;
    if (watch_path) {
        set(&info->verb, "watch");
    } else if (get && info->name[0] == '\0') {
        set(&info->verb, watching ? "watch" : "list");
        take_selected_name(info, parameter(parameters, parameter_count, "fieldSelector"));
    } else if (strcmp(info->verb, "delete") == 0 && info->name[0] == '\0') {
        set(&info->verb, "deletecollection");
    }
}

bool request_info_parse(const char *method, const char *path, const struct parameter *parameters,
                        size_t parameter_count, struct request_info *info, struct error *error)
{
    size_t count, at = 1;
    char **parts = split(path, &count, error);
    start_info(info, method);
    if (parts == NULL) {
        return false;
    }
    bool core = count > 0 && strcmp(parts[0], "api") == 0;
    bool grouped = count > 0 && strcmp(parts[0], "apis") == 0;
    size_t before = core ? 2 : 3; /* Parts up to and with the version. */
    if ((core || grouped) && count > before) {
        set(&info->prefix, parts[0]);
        set(&info->group, core ? "" : parts[at++]);
        set(&info->version, parts[at++]);
        set(&info->verb, verb_of_method(method));
        bool watch_path = strcmp(parts[at], "watch") == 0 && count > at + 1;
        at += watch_path;
        info->is_resource_request = true;
        take_resource(info, parts + at, count - at);
        finish_verb(info, parameters, parameter_count, watch_path);
    }
    free_parts(parts);
    return true;
}

void request_info_clear(struct request_info *info)
{
    char *const texts[] = {info->verb,      info->prefix, info->group,       info->version,
                           info->namespace, info->plural, info->subresource, info->name};
    for (size_t i = 0; i < array_length(texts); i++) {
        free(texts[i]);
    }
    free_parts(info->parts);
    *info = (struct request_info){0};
}
