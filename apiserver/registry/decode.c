// SPDX-License-Identifier: Apache-2.0
#include "apiserver/registry/decode.h"

#include <string.h>

#include "apiserver/audit/audit.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/map.h"
#include "common/schema_rules.h"
#include "common/yaml.h"

char *decode_api_version(const char *group, const char *version)
{
    return group[0] ? format("%s/%s", group, version) : duplicate(version);
}

bool decode_field_validation(const struct request *request, enum field_validation *validation,
                             struct error *error)
{
    const char *text = request_parameter(request, "fieldValidation");
    if (text == NULL || text[0] == '\0' || strcmp(text, "Warn") == 0) {
        *validation = FIELDS_WARN;
    } else if (strcmp(text, "Ignore") == 0) {
        *validation = FIELDS_IGNORE;
    } else if (strcmp(text, "Strict") == 0) {
        *validation = FIELDS_STRICT;
    } else {
        struct field_errors errors = FIELD_ERRORS_INIT;
        cleanup(json_release)
        json_t *value = json_string(text);
        static const char *const supported[] = {"", "Ignore", "Strict", "Warn", NULL};
        field_error_not_supported(&errors, FIELD(NULL, "fieldValidation"), value, supported);
        const char *kind = strcmp(request->method, "POST") == 0  ? "CreateOptions"
                           : strcmp(request->method, "PUT") == 0 ? "UpdateOptions"
                                                                 : "PatchOptions";
        return error_invalid(error, "meta.k8s.io", kind, "", &errors);
    }
    return true;
}

/* ---- complaints about unknown and duplicate fields ---- */

enum { complaints_max = 100 };

/* Collected while decoding, told at the end. */
struct complaints {
    enum field_validation validation;
    char *list[complaints_max];
    size_t count;
};

static void complaints_clear(struct complaints *complaints)
{
    for (size_t i = 0; i < complaints->count; i++) {
        free(complaints->list[i]);
    }
    complaints->count = 0;
}

static void complain(struct complaints *complaints, char *text)
{
    if (complaints->count < complaints_max) {
        complaints->list[complaints->count++] = text;
    } else {
        free(text);
    }
}

static void unknown_field(void *argument, const char *path)
{
    complain(argument, format("unknown field \"%s\"", path));
}

static void duplicate_field(void *argument, const char *path)
{
    complain(argument, format("duplicate field \"%s\"", path));
}

static void duplicate_key(void *argument, const char *message)
{
    complain(argument, duplicate(message));
}

static char *join(const struct complaints *complaints)
{
    struct buffer text = BUFFER_INIT;
    buffer_add_literal(&text, "strict decoding error: ");
    for (size_t i = 0; i < complaints->count; i++) {
        buffer_addf(&text, "%s%s", i ? ", " : "", complaints->list[i]);
    }
    return buffer_steal(&text);
}

static void warn(const struct complaints *complaints, struct response *response)
{
    for (size_t i = 0; i < complaints->count && response != NULL; i++) {
        response_add_warning(response, complaints->list[i]);
    }
}

/* ---- bodies ---- */

static json_t *parse(const struct request *request, const struct schema *schema,
                     struct complaints *complaints, struct error *error)
{
    bool tell = complaints->validation != FIELDS_IGNORE, has_duplicates = false;
    struct protobuf_envelope envelope;
    json_t *tree = NULL;
    if (request->body_length == 0 && strcmp(request->method, "DELETE") != 0) {
        error_bad_request(error, "the body of the request was empty");
        return NULL;
    }
    switch (media_body(request->content_type)) {
    case MEDIA_BODY_YAML:
    case MEDIA_BODY_APPLY_YAML:
        return yaml_parse(request->body, request->body_length, tell ? duplicate_key : NULL,
                          complaints, error);
    case MEDIA_BODY_PROTOBUF:
        if (!protobuf_open(request->body, request->body_length, &envelope, error)) {
            return NULL;
        }
        tree = protobuf_decode(schema, envelope.raw, envelope.raw_length, error);
        if (tree != NULL && envelope.kind_length > 0) {
            json_object_set_new(tree, "kind", json_stringn(envelope.kind, envelope.kind_length));
            json_object_set_new(tree, "apiVersion",
                                json_stringn(envelope.api_version, envelope.api_version_length));
        }
        return tree;
    case MEDIA_BODY_JSON:
        tree = json_parse_body(request->body, request->body_length, &has_duplicates, error);
        if (tree != NULL && tell && has_duplicates) {
            json_duplicates(request->body, request->body_length, duplicate_field, complaints);
        }
        return tree;
    default:
        error_set(error, 415, "UnsupportedMediaType",
                  "the body of the request was in an unknown format - accepted media types "
                  "include: application/json, application/yaml, "
                  "application/vnd.kubernetes.protobuf");
        return NULL;
    }
}

/* What is no string is left for pruning to complain of. */
static void fill_in(json_t *tree, const char *name, const char *value)
{
    const json_t *given = json_object_get(tree, name);
    if (given == NULL || json_is_null(given) || json_is_string(given)) {
        json_object_set_new_nocheck(tree, name, json_string_nocheck(value));
    }
}

/* Upstream tells its own types: those of a version, and those that all versions are converted to.
 */
static char *internal_package(const char *group)
{
    bool core = group[0] == '\0' || strcmp(group, "events.k8s.io") == 0;
    return core ? duplicate("core") : duplicate_bytes(group, strcspn(group, "."));
}

/* Why an object of this kind and version can't be one of the expected kind; NULL: another version
 * of it could. */
static char *why_another(const struct request *request, const char *api_version,
                         const char *body_kind, const char *group, const char *kind)
{
    const char *slash = strchr(api_version, '/');
    const char *version = slash ? slash + 1 : api_version;
    cleanup(free_char)
    char *body_group = duplicate_bytes(api_version, slash ? (size_t)(slash - api_version) : 0);
    if (scheme_kind_schema(request->scheme, body_group, version, body_kind) == NULL) {
        return format("no kind \"%s\" is registered for version \"%s\" in scheme "
                      "\"pkg/api/legacyscheme/scheme.go:30\"",
                      body_kind, api_version);
    }
    cleanup(free_char)
    char *package = internal_package(group);
    return strcmp(body_kind, kind) != 0
               ? format("converting (%s.%s) to (%s.%s): unknown conversion", version, body_kind,
                        package, kind)
               : NULL;
}

/* The body is of another kind or version than the path. */
static bool is_another(const struct request *request, const char *api_version,
                       const char *body_kind, const char *expected, const char *group,
                       const char *kind, struct error *error)
{
    const char *slash = strchr(api_version, '/');
    cleanup(free_char)
    char *why = why_another(request, api_version, body_kind, group, kind);
    if (why == NULL) {
        return error_bad_request(
            error, "the API version in the data (%s) does not match the expected API version (%s)",
            api_version, expected);
    }
    return error_bad_request(error, "%s in version \"%s\" cannot be handled as a %s: %s", body_kind,
                             slash ? slash + 1 : api_version, kind, why);
}

static bool check_kind(const struct request *request, json_t *tree, const char *group,
                       const char *version, const char *kind, struct error *error)
{
    cleanup(free_char)
    char *expected = decode_api_version(group, version);
    const char *api_version = json_get_string(tree, "apiVersion");
    const char *body_kind = json_get_string(tree, "kind");
    api_version = api_version && api_version[0] ? api_version : expected;
    body_kind = body_kind && body_kind[0] ? body_kind : kind;
    if (strcmp(api_version, expected) != 0 || strcmp(body_kind, kind) != 0) {
        return is_another(request, api_version, body_kind, expected, group, kind, error);
    }
    fill_in(tree, "kind", kind);
    fill_in(tree, "apiVersion", expected);
    return true;
}

static bool cannot_be_handled(struct error *error, const char *version, const char *kind,
                              const char *why)
{
    return error_bad_request(error, "%s in version \"%s\" cannot be handled as a %s: %s", kind,
                             version, kind, why);
}

json_t *decode_body(const struct request *request, struct response *response,
                    const struct schema *schema, const char *group, const char *version,
                    const char *kind, struct error *error)
{
    cleanup(complaints_clear)
    struct complaints complaints = {0};
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    if (!decode_field_validation(request, &complaints.validation, error)) {
        return NULL;
    }
    cleanup(json_release)
    json_t *tree = parse(request, schema, &complaints, &why);
    if (tree == NULL) {
        error_move(error, &why);
        return NULL;
    }
    if (!json_is_object(tree)) {
        cannot_be_handled(error, version, kind, "the body is no object");
        return NULL;
    }
    if (!check_kind(request, tree, group, version, kind, error)) {
        return NULL;
    }
    bool tell = complaints.validation != FIELDS_IGNORE;
    if (!schema_prune(schema, tree, tell ? unknown_field : NULL, &complaints, &why)) {
        cannot_be_handled(error, version, kind, why.message);
        return NULL;
    }
    if (complaints.count > 0 && complaints.validation == FIELDS_STRICT) {
        cleanup(free_char)
        char *text = join(&complaints);
        cannot_be_handled(error, version, kind, text);
        return NULL;
    }
    warn(&complaints, response);
    audit_request_object(request, tree);
    return steal(tree);
}

json_t *decode_body_any(const struct request *request, struct error *error)
{
    struct complaints complaints = {.validation = FIELDS_IGNORE};
    if (media_body(request->content_type) == MEDIA_BODY_PROTOBUF) {
        struct protobuf_envelope envelope;
        if (!protobuf_open(request->body, request->body_length, &envelope, error)) {
            return NULL;
        }
        cleanup(free_char)
        char *version = duplicate_bytes(envelope.api_version, envelope.api_version_length);
        cleanup(free_char)
        char *kind = duplicate_bytes(envelope.kind, envelope.kind_length);
        char *slash = strchr(version, '/');
        if (slash != NULL) {
            *slash = '\0';
        }
        const struct schema *schema = scheme_kind_schema(request->scheme, slash ? version : "",
                                                         slash ? slash + 1 : version, kind);
        if (schema == NULL) {
            error_bad_request(error, "no kind \"%s\" is registered for version \"%.*s\"", kind,
                              (int)envelope.api_version_length, envelope.api_version);
            return NULL;
        }
        return parse(request, schema, &complaints, error);
    }
    cleanup(json_release)
    json_t *tree = parse(request, NULL, &complaints, error);
    if (tree != NULL && !json_is_object(tree)) {
        error_bad_request(error, "the body is no object");
        return NULL;
    }
    return steal(tree);
}

/* ---- what a patch has made ---- */

/* As Go prints a map of anything, but for the order of the members. */
static void add_go_text(const json_t *value, struct buffer *out)
{
    const char *key, *space = "";
    size_t i;
    json_t *member;
    if (json_is_object(value)) {
        buffer_add_literal(out, "map[");
        json_object_foreach ((json_t *)value, key, member) {
            buffer_addf(out, "%s%s:", space, key);
            add_go_text(member, out);
            space = " ";
        }
        buffer_add_char(out, ']');
    } else if (json_is_array(value)) {
        buffer_add_char(out, '[');
        json_array_foreach (value, i, member) {
            buffer_add_text(out, space);
            add_go_text(member, out);
            space = " ";
        }
        buffer_add_char(out, ']');
    } else if (json_is_string(value)) {
        buffer_add_text(out, json_string_value(value));
    } else if (json_is_null(value)) {
        buffer_add_literal(out, "<nil>");
    } else {
        json_encode(value, out);
    }
}

/* What upstream shows of a patch that went wrong: of a strategic merge the patch, as Go prints it,
 * of others what they made. The caller's. */
static json_t *shown_value(const struct request *request, const json_t *object)
{
    if (media_body(request->content_type) != MEDIA_BODY_STRATEGIC_PATCH) {
        cleanup(free_char)
        char *text = json_dumps(object, JSON_COMPACT | JSON_SORT_KEYS);
        return json_string(text ? text : "");
    }
    cleanup(json_release)
    json_t *patch = json_parse(request->body, request->body_length, NULL);
    cleanup(free_char)
    char *text = json_dumps(patch, JSON_COMPACT | JSON_SORT_KEYS);
    cleanup(json_release)
    json_t *sorted = text ? json_parse(text, strlen(text), NULL) : NULL;
    cleanup(buffer_free)
    struct buffer out = BUFFER_INIT;
    if (sorted != NULL) {
        add_go_text(sorted, &out);
    }
    return json_string(buffer_text(&out));
}

static bool refuse_patch(const struct request *request, const json_t *object, const char *why,
                         struct error *error)
{
    struct field_errors errors = FIELD_ERRORS_INIT;
    cleanup(json_release)
    json_t *value = shown_value(request, object);
    field_error(&errors, FIELD_INVALID, FIELD(NULL, "patch"), value, "%s", why);
    return error_invalid(error, "", "", "", &errors);
}

/* A strategic merge stays within its type; others are decoded again, by what they say they are. */
static char *why_unlike(const struct request *request, const struct body_type *type,
                        const json_t *object)
{
    const char *version = json_get_string(object, "apiVersion");
    const char *kind = json_get_string(object, "kind");
    cleanup(free_char)
    char *expected = decode_api_version(type->group, type->version);
    bool like = version == NULL || kind == NULL ||
                (strcmp(version, expected) == 0 && strcmp(kind, type->kind) == 0);
    return like || media_body(request->content_type) == MEDIA_BODY_STRATEGIC_PATCH
               ? NULL
               : why_another(request, version, kind, type->group, type->kind);
}

bool decode_patched(const struct request *request, struct response *response,
                    const struct body_type *type, json_t *object, struct error *error)
{
    cleanup(complaints_clear)
    struct complaints complaints = {0};
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    if (!decode_field_validation(request, &complaints.validation, error)) {
        return false;
    }
    bool tell = complaints.validation != FIELDS_IGNORE;
    bool merged = media_body(request->content_type) == MEDIA_BODY_STRATEGIC_PATCH;
    cleanup(free_char)
    char *unlike = why_unlike(request, type, object);
    if (unlike != NULL) {
        return refuse_patch(request, object, unlike, error);
    }
    bool (*prune)(const struct schema *, json_t *, void (*)(void *, const char *), void *,
                  struct error *) = merged ? schema_prune_merged : schema_prune;
    if (!prune(type->schema, object, tell ? unknown_field : NULL, &complaints, &why)) {
        return refuse_patch(request, object, why.message, error);
    }
    if (complaints.count > 0 && complaints.validation == FIELDS_STRICT) {
        cleanup(free_char)
        char *text = join(&complaints);
        return refuse_patch(request, object, text, error);
    }
    warn(&complaints, response);
    return true;
}
