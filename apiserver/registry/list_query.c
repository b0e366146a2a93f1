// SPDX-License-Identifier: Apache-2.0
#include "apiserver/registry/list_query.h"

#include <errno.h>
#include <string.h>

#include "common/alloc.h"
#include "common/base64.h"
#include "common/json.h"

/* ---- parameters ---- */

static bool is_watch(const struct request *request)
{
    return strcmp(request->info.verb, "watch") == 0;
}

/* A whole number; 0 when it is not given. */
static bool parse_number(const struct request *request, const char *name, int64_t *number,
                         struct error *error)
{
    const char *text = request_parameter(request, name);
    char *end = NULL;
    errno = 0;
    *number = text && text[0] ? strtoll(text, &end, 10) : 0;
    if (end != NULL && (*end != '\0' || end == text || strchr(" \t\n\v\f\r", text[0]) != NULL)) {
        return error_bad_request(error, "strconv.ParseInt: parsing \"%s\": invalid syntax", text);
    }
    return errno != ERANGE ||
           error_bad_request(error, "strconv.ParseInt: parsing \"%s\": value out of range", text);
}

/* Zero and below mean no limit. The time-out is a watch's matter, but checked of every list. */
static bool parse_limits(const struct request *request, int64_t *limit, struct error *error)
{
    int64_t timeout;
    bool valid = parse_number(request, "limit", limit, error) &&
                 parse_number(request, "timeoutSeconds", &timeout, error);
    *limit = *limit > 0 ? *limit : 0;
    return valid;
}

bool list_query_parse_revision(const struct request *request, int64_t *revision,
                               struct error *error)
{
    const char *text = request_parameter(request, "resourceVersion");
    *revision = REVISION_UNSET;
    if (text == NULL || text[0] == '\0') {
        return true;
    }
    errno = 0;
    bool digits = text[strspn(text, "0123456789")] == '\0';
    *revision = digits ? strtoll(text, NULL, 10) : 0;
    if (!digits || errno == ERANGE) {
        return error_bad_request(error,
                                 "invalid resource version: resourceVersion: Invalid value: "
                                 "\"%s\": strconv.ParseUint: parsing \"%s\": %s",
                                 text, text, digits ? "value out of range" : "invalid syntax");
    }
    return true;
}

/* How resourceVersionMatch and sendInitialEvents may go together, as upstream's validation of
 * ListOptions has it. 'match' is what the client wrote. */
static void check_list(const struct list_query *query, const char *match,
                       struct field_errors *errors)
{
    const struct field_path *path = FIELD(NULL, "resourceVersionMatch");
    bool exact = strcmp(match, "Exact") == 0;
    if (match[0] != '\0') {
        if (query->revision == REVISION_UNSET) {
            field_error(errors, FIELD_FORBIDDEN, path, NULL,
                        "resourceVersionMatch is forbidden unless resourceVersion is provided");
        }
        if (query->continue_token != NULL) {
            field_error(errors, FIELD_FORBIDDEN, path, NULL,
                        "resourceVersionMatch is forbidden when continue is provided");
        }
        if (!exact && strcmp(match, "NotOlderThan") != 0) {
            static const char *const supported[] = {"Exact", "NotOlderThan", "", NULL};
            cleanup(json_release)
            json_t *value = json_string(match);
            field_error_not_supported(errors, path, value, supported);
        }
        if (exact && query->revision == 0) {
            field_error(errors, FIELD_FORBIDDEN, path, NULL,
                        "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"");
        }
    }
    if (query->initial_events != INITIAL_UNSET) {
        field_error(errors, FIELD_FORBIDDEN, FIELD(NULL, "sendInitialEvents"), NULL,
                    "sendInitialEvents is forbidden for list");
    }
}

static void check_watch(const struct list_query *query, const char *match,
                        struct field_errors *errors)
{
    const struct field_path *path = FIELD(NULL, "resourceVersionMatch");
    bool not_older = strcmp(match, "NotOlderThan") == 0;
    if (query->initial_events != INITIAL_UNSET && !not_older) {
        field_error(errors, FIELD_FORBIDDEN, path, NULL,
                    "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan");
    }
    if (match[0] == '\0') {
        return;
    }
    if (query->initial_events == INITIAL_UNSET) {
        field_error(errors, FIELD_FORBIDDEN, path, NULL,
                    "resourceVersionMatch is forbidden for watch unless sendInitialEvents is "
                    "provided");
    }
    if (!not_older) {
        static const char *const supported[] = {"NotOlderThan", NULL};
        cleanup(json_release)
        json_t *value = json_string(match);
        field_error_not_supported(errors, path, value, supported);
    }
    if (query->continue_token != NULL) {
        field_error(errors, FIELD_FORBIDDEN, path, NULL,
                    "resourceVersionMatch is forbidden when continue is provided");
    }
}

static bool parse_match(const struct request *request, struct list_query *query,
                        struct error *error)
{
    const char *match = request_parameter(request, "resourceVersionMatch");
    match = match ? match : "";
    if (request_parameter(request, "sendInitialEvents") != NULL) {
        query->initial_events =
            request_parameter_bool(request, "sendInitialEvents") ? INITIAL_YES : INITIAL_NO;
    }
    query->match = strcmp(match, "Exact") == 0          ? MATCH_EXACT
                   : strcmp(match, "NotOlderThan") == 0 ? MATCH_NOT_OLDER
                                                        : MATCH_UNSET;
    struct field_errors errors = FIELD_ERRORS_INIT;
    (is_watch(request) ? check_watch : check_list)(query, match, &errors);
    if (field_errors_any(&errors)) {
        return error_invalid(error, "meta.k8s.io", "ListOptions", "", &errors);
    }
    /* A watch from nowhere in particular begins with what there is. */
    if (is_watch(request) && query->initial_events == INITIAL_UNSET && query->revision <= 0) {
        query->initial_events = INITIAL_YES;
    }
    return true;
}

/* The keys of a field selector must be fields that this kind offers. */
static bool check_fields(const struct resource *resource, const struct selector *fields,
                         struct error *error)
{
    for (size_t i = 0; i < selector_key_count(fields); i++) {
        const char *key = selector_key(fields, i);
        bool known = strcmp(key, "metadata.name") == 0 ||
                     (resource->namespaced && strcmp(key, "metadata.namespace") == 0);
        for (size_t at = 0; !known && resource->selectable_fields != NULL &&
                            resource->selectable_fields[at] != NULL;
             at++) {
            known = strcmp(resource->selectable_fields[at], key) == 0;
        }
        if (!known) {
            return error_bad_request(error, "field label not supported: %s", key);
        }
    }
    return true;
}

bool list_query_parse(const struct request *request, struct list_query *query, struct error *error)
{
    *query = (struct list_query){0};
    const char *labels = request_parameter(request, "labelSelector");
    const char *fields = request_parameter(request, "fieldSelector");
    query->continue_token = request_parameter(request, "continue");
    if (query->continue_token != NULL && query->continue_token[0] == '\0') {
        query->continue_token = NULL;
    }
    query->labels = selector_parse_labels(labels ? labels : "", error);
    query->fields = query->labels ? selector_parse_fields(fields ? fields : "", error) : NULL;
    const struct resource *storage = scheme_storage_resource(request->scheme, request->resource);
    bool done = query->fields != NULL && check_fields(storage, query->fields, error) &&
                parse_limits(request, &query->limit, error) &&
                list_query_parse_revision(request, &query->revision, error) &&
                parse_match(request, query, error);
    /* As upstream's watch cache: whoever takes any revision gets everything at once. */
    if (query->revision == 0 && query->continue_token == NULL) {
        query->limit = 0;
    }
    return done;
}

void list_query_clear(struct list_query *query)
{
    selector_free(query->labels);
    selector_free(query->fields);
    *query = (struct list_query){0};
}

bool list_query_matches(const struct list_query *query, const struct object *object)
{
    return (selector_is_everything(query->labels) ||
            selector_matches(query->labels, object_label, object)) &&
           (selector_is_everything(query->fields) ||
            selector_matches(query->fields, object_field, object));
}

char *list_query_prefix(const struct request *request, const struct list_query *query)
{
    const char *namespace = request->info.namespace;
    if (namespace[0] == '\0') {
        namespace = selector_required_value(query->fields, "metadata.namespace");
    }
    bool one = request->resource->namespaced && namespace != NULL && namespace[0] != '\0';
    return one ? concatenate(namespace, "/") : duplicate("");
}

/* ---- continue tokens ---- */

char *list_position_encode(int64_t revision, const char *start, size_t length)
{
    cleanup(buffer_free)
    struct buffer json = BUFFER_INIT;
    buffer_addf(&json, "{\"v\":\"meta.k8s.io/v1\",\"rv\":%lld,\"start\":", (long long)revision);
    cleanup(json_release)
    json_t *key = json_stringn(start, length);
    json_encode(key, &json);
    buffer_add_char(&json, '}');
    return base64_encode_url(json.bytes, json.length);
}

/* A path that stays what it is when cleaned: no step in it is empty, "." or "..". */
static bool is_clean(const char *path, size_t length)
{
    size_t begin = length > 0 && path[0] == '/';
    for (size_t i = begin; i <= length; i++) {
        if (i < length && path[i] != '/') {
            continue;
        }
        size_t step = i - begin;
        const char *text = path + begin;
        if (step == 0 || (step == 1 && text[0] == '.') ||
            (step == 2 && text[0] == '.' && text[1] == '.')) {
            return false;
        }
        begin = i + 1;
    }
    return true;
}

static bool refuse_token(struct error *error, const char *why)
{
    return error_bad_request(error, "invalid continue token: continue key is not valid: %s", why);
}

static bool refuse_base64(const char *token, struct error *error)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    size_t at = strspn(token, alphabet);
    at = token[at] == '\0' && at > 0 ? at - 1 : at; /* One character too many. */
    cleanup(free_char)
    char *why = format("illegal base64 data at input byte %zu", at);
    return refuse_token(error, why);
}

static bool refuse_json(const char *text, struct error *error)
{
    const char *first = text + strspn(text, " \t\r\n");
    if (first[0] == '{' || (unsigned char)first[0] < ' ' || first[0] > '~') {
        return refuse_token(error, "unexpected end of JSON input");
    }
    cleanup(free_char)
    char *why = format("invalid character '%c' looking for beginning of value", first[0]);
    return refuse_token(error, why);
}

bool list_position_decode(const char *token, struct list_position *position, struct error *error)
{
    size_t length = 0;
    *position = (struct list_position){0};
    cleanup(free_char)
    char *text =
        strchr(token, '=') == NULL ? base64_decode_url(token, strlen(token), &length) : NULL;
    if (text == NULL) {
        return refuse_base64(token, error);
    }
    cleanup(json_release)
    json_t *json = json_loadb(text, length, JSON_ALLOW_NUL, NULL);
    if (!json_is_object(json)) {
        return refuse_json(text, error);
    }
    const char *version = json_get_string(json, "v");
    const json_t *start = json_object_get(json, "start");
    if (version == NULL || strcmp(version, "meta.k8s.io/v1") != 0) {
        return error_bad_request(error,
                                 "invalid continue token: continue key is not valid: server does "
                                 "not recognize this encoded version %s",
                                 version ? version : "");
    }
    position->revision = json_get_int(json, "rv", 0);
    if (position->revision == 0) {
        return refuse_token(error,
                            "incorrect encoded start resourceVersion (version meta.k8s.io/v1)");
    }
    if (json_string_length(start) == 0) {
        return refuse_token(error, "encoded start key empty (version meta.k8s.io/v1)");
    }
    const char *key = json_string_value(start);
    if (!is_clean(key, json_string_length(start))) {
        return refuse_token(error, key);
    }
    position->start_length = json_string_length(start) - (key[0] == '/');
    position->start = duplicate_bytes(key + (key[0] == '/'), position->start_length);
    return true;
}

void list_position_clear(struct list_position *position)
{
    free(position->start);
    *position = (struct list_position){0};
}

bool list_position_reached(const struct list_position *position, const char *key)
{
    if (position->start == NULL) {
        return true;
    }
    size_t length = strlen(key);
    size_t common = length < position->start_length ? length : position->start_length;
    int order = memcmp(key, position->start, common);
    return order > 0 || (order == 0 && length >= position->start_length);
}
