// SPDX-License-Identifier: Apache-2.0
/*
 * What a path asks for, as upstream's RequestInfoFactory reads it:
 *
 *   /api/{version}/…          the core group
 *   /apis/{group}/{version}/… any other
 *   …/watch/…                 the old form of a watch
 *   …/namespaces/{namespace}/{plural}/{name}/{subresource}
 *
 * Segments are decoded one by one after the path was split, so that an encoded slash stays within
 * its name. Unlike upstream, whose multiplexer redirects, a path with an empty segment, "." or
 * ".." leads nowhere: two spellings of one path are a hole in any access rule.
 */
#include <string.h>
#include <strings.h>

#include "apiserver/http/server.h"
#include "apiserver/http/uri.h"
#include "common/alloc.h"

/* The decoded segments of a path. */
struct segments {
    char **items; /* NULL-terminated. */
    size_t count;
};

static void free_segments(struct segments *segments)
{
    for (size_t i = 0; i < segments->count; i++) {
        free(segments->items[i]);
    }
    free(segments->items);
}

static bool no_such_path(struct error *error)
{
    return error_set(error, 404, "NotFound", "the server could not find the requested resource");
}

static bool split(const char *path, struct segments *segments, struct error *error)
{
    if (path[0] != '/') {
        return error_bad_request(error, "the path must start with a slash");
    }
    size_t capacity = 0;
    for (path++; *path != '\0';) {
        size_t length = strcspn(path, "/");
        segments->items =
            grow(segments->items, segments->count + 1, &capacity, sizeof *segments->items);
        char *segment = uri_decode(path, length, false);
        if (segment == NULL) {
            return error_bad_request(error, "the path is not properly encoded");
        }
        segments->items[segments->count++] = segment;
        segments->items[segments->count] = NULL;
        if (length == 0 || strcmp(segment, ".") == 0 || strcmp(segment, "..") == 0) {
            return no_such_path(error);
        }
        path += length + (path[length] == '/');
    }
    return true;
}

static bool is_one_of(const char *text, const char *const *words)
{
    for (; *words != NULL; words++) {
        if (strcmp(text, *words) == 0) {
            return true;
        }
    }
    return false;
}

static char *lower_case(const char *text)
{
    char *lower = duplicate(text);
    for (char *c = lower; *c != '\0'; c++) {
        if (*c >= 'A' && *c <= 'Z') {
            *c = (char)(*c - 'A' + 'a');
        }
    }
    return lower;
}

static const char *verb_of(const char *method)
{
    static const struct {
        const char *method, *verb;
    } verbs[] = {{"POST", "create"}, {"GET", "get"},     {"HEAD", "get"},
                 {"PUT", "update"},  {"PATCH", "patch"}, {"DELETE", "delete"}};
    for (size_t i = 0; i < array_length(verbs); i++) {
        if (strcmp(method, verbs[i].method) == 0) {
            return verbs[i].verb;
        }
    }
    return "";
}

static const char *find_parameter(const struct parameter *parameters, size_t count,
                                  const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(parameters[i].name, name) == 0) {
            return parameters[i].value;
        }
    }
    return NULL;
}

/* As metav1.Convert_Slice_string_To_bool: everything but "false" and "0" is true. */
static bool is_true(const char *value)
{
    return value != NULL && strcasecmp(value, "false") != 0 && strcmp(value, "0") != 0;
}

/* The one name that a field selector leaves, "" when it leaves several. */
static char *selected_name(const char *selector)
{
    static const char field[] = "metadata.name=";
    while (selector != NULL && *selector != '\0') {
        size_t length = strcspn(selector, ",");
        if (length >= sizeof field - 1 && strncmp(selector, field, sizeof field - 1) == 0) {
            const char *value = selector + sizeof field - 1;
            value += *value == '=';
            char *name = duplicate_bytes(value, (size_t)(selector + length - value));
            if (name[0] != '\0' && strpbrk(name, "/%\\") == NULL) {
                return name;
            }
            free(name);
        }
        selector += length + (selector[length] == ',');
    }
    return duplicate("");
}

static void replace(char **text, char *with)
{
    free(*text);
    *text = with;
}

/* A get without a name is a list or a watch, a delete without one is of the collection. */
static void adjust_collection_verb(struct request_info *info, const struct parameter *parameters,
                                   size_t count)
{
    if (info->name[0] != '\0') {
        return;
    }
    if (strcmp(info->verb, "get") == 0) {
        bool watch = is_true(find_parameter(parameters, count, "watch"));
        replace(&info->verb, duplicate(watch ? "watch" : "list"));
        replace(&info->name, selected_name(find_parameter(parameters, count, "fieldSelector")));
    } else if (strcmp(info->verb, "delete") == 0) {
        replace(&info->verb, duplicate("deletecollection"));
    }
}

/* What a path says, borrowed from its segments; "" where it says nothing. */
struct found {
    const char *verb; /* NULL: it is no resource request. */
    const char *prefix, *group, *version, *namespace, *plural, *subresource, *name;
    char **parts;
    size_t part_count;
};

/* Takes what follows the version apart. 'parts' is NULL-terminated and holds at least one. */
static bool find_resource(char **parts, const char *method, struct found *found,
                          struct error *error)
{
    static const char *const special_verbs[] = {"proxy", "watch", NULL};
    static const char *const namespace_subresources[] = {"status", "finalize", NULL};

    found->verb = verb_of(method);
    if (is_one_of(parts[0], special_verbs)) {
        if (parts[1] == NULL) {
            found->verb = NULL;
            return error_bad_request(error, "unable to determine kind and namespace from the path");
        }
        found->verb = *parts++;
    }
    if (strcmp(parts[0], "namespaces") == 0 && parts[1] != NULL) {
        found->namespace = parts[1];
        if (parts[2] != NULL && !is_one_of(parts[2], namespace_subresources)) {
            parts += 2;
        }
    }
    size_t count = 0;
    while (parts[count] != NULL) {
        count++;
    }
    found->parts = parts;
    found->part_count = count;
    found->plural = parts[0];
    found->name = count >= 2 ? parts[1] : "";
    if (count >= 3 && strcmp(found->verb, "proxy") != 0) {
        found->subresource = parts[2];
    }
    return true;
}

static bool find(const char *path, const char *method, struct segments *segments,
                 struct found *found, struct error *error)
{
    if (!split(path, segments, error)) {
        return false;
    }
    bool core = segments->count >= 3 && strcmp(segments->items[0], "api") == 0;
    bool grouped = segments->count >= 4 && strcmp(segments->items[0], "apis") == 0;
    if (!core && !grouped) {
        return true;
    }
    char **parts = segments->items;
    found->prefix = *parts++;
    if (grouped) {
        found->group = *parts++;
    }
    found->version = *parts++;
    return find_resource(parts, method, found, error);
}

/* The parts, which are the last segments, are taken over from these. */
static void keep(const struct found *found, const char *method, struct segments *segments,
                 struct request_info *info)
{
    *info = (struct request_info){
        .is_resource_request = found->verb != NULL,
        .verb = found->verb != NULL ? duplicate(found->verb) : lower_case(method),
        .prefix = duplicate(found->prefix),
        .group = duplicate(found->group),
        .version = duplicate(found->version),
        .namespace = duplicate(found->namespace),
        .plural = duplicate(found->plural),
        .subresource = duplicate(found->subresource),
        .name = duplicate(found->name),
    };
    if (found->parts != NULL) {
        info->parts = allocate_zero(found->part_count + 1, sizeof *info->parts);
        memcpy(info->parts, found->parts, found->part_count * sizeof *info->parts);
        segments->count -= found->part_count;
    }
}

bool request_info_parse(const char *method, const char *path, const struct parameter *parameters,
                        size_t parameter_count, struct request_info *info, struct error *error)
{
    cleanup(free_segments)
    struct segments segments = {0};
    struct found found = {.prefix = "",
                          .group = "",
                          .version = "",
                          .namespace = "",
                          .plural = "",
                          .subresource = "",
                          .name = ""};
    bool parsed = find(path, method, &segments, &found, error);
    keep(&found, method, &segments, info);
    if (info->is_resource_request) {
        adjust_collection_verb(info, parameters, parameter_count);
    }
    return parsed;
}

void request_info_clear(struct request_info *info)
{
    char *texts[] = {info->verb,      info->prefix, info->group,       info->version,
                     info->namespace, info->plural, info->subresource, info->name};
    for (size_t i = 0; i < array_length(texts); i++) {
        free(texts[i]);
    }
    for (char **part = info->parts; part != NULL && *part != NULL; part++) {
        free(*part);
    }
    free(info->parts);
    *info = (struct request_info){0};
}
