// SPDX-License-Identifier: Apache-2.0
/*
 * Accept headers are read as upstream reads them (goautoneg and its negotiation package): clauses
 * in the order of their q-values, the more specific first among equals, and the first clause that
 * matches something on offer decides, with the form its parameters ask for.
 */
#include "apiserver/http/media.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/alloc.h"

/* More clauses than any client sends; what follows them is not looked at. */
enum { CLAUSES_MAX = 32 };

/* A piece of the header; not NUL-terminated. */
struct slice {
    const char *text;
    size_t length;
};

struct clause {
    struct slice type;       /* "application/json" */
    struct slice parameters; /* "as=Table;v=v1" */
    double quality;
};

static struct slice trim(struct slice slice)
{
    while (slice.length > 0 && strchr(" \t", slice.text[0]) != NULL) {
        slice.text++;
        slice.length--;
    }
    while (slice.length > 0 && strchr(" \t", slice.text[slice.length - 1]) != NULL) {
        slice.length--;
    }
    return slice;
}

/* Takes what stands before 'separator' off the front of 'rest'. */
static struct slice next_part(struct slice *rest, char separator)
{
    const char *end = rest->length > 0 ? memchr(rest->text, separator, rest->length) : NULL;
    size_t length = end ? (size_t)(end - rest->text) : rest->length;
    struct slice part = {rest->text, length};
    size_t taken = length + (end != NULL);
    rest->text += taken;
    rest->length -= taken;
    return trim(part);
}

static bool slice_is(struct slice slice, const char *text)
{
    return slice.length == strlen(text) && strncasecmp(slice.text, text, slice.length) == 0;
}

static struct slice unquote(struct slice slice)
{
    if (slice.length >= 2 && slice.text[0] == '"' && slice.text[slice.length - 1] == '"') {
        slice.text++;
        slice.length -= 2;
    }
    return slice;
}

/* The value of a clause's parameter; its text is NULL when absent. */
static struct slice clause_parameter(const struct clause *clause, const char *name)
{
    struct slice rest = clause->parameters;
    while (rest.length > 0) {
        struct slice value = next_part(&rest, ';');
        struct slice key = next_part(&value, '=');
        if (slice_is(key, name)) {
            return unquote(trim(value));
        }
    }
    return (struct slice){0};
}

static double clause_quality(const struct clause *clause)
{
    struct slice quality = clause_parameter(clause, "q");
    char text[16] = "1";
    if (quality.text != NULL && quality.length < sizeof text) {
        memcpy(text, quality.text, quality.length);
        text[quality.length] = '\0';
    }
    char *end;
    double value = strtod(text, &end);
    return end == text || *end != '\0' ? 1 : value;
}

/* How exact a clause is: 0 for a type of any kind, 1 for any subtype, 2 for one type. */
static int exactness(const struct clause *clause)
{
    if (clause->type.length > 0 && clause->type.text[0] == '*') {
        return 0;
    }
    return clause->type.length > 1 && clause->type.text[clause->type.length - 1] == '*' ? 1 : 2;
}

static bool comes_before(const struct clause *a, const struct clause *b)
{
    return a->quality != b->quality ? a->quality > b->quality : exactness(a) > exactness(b);
}

/* Splits a header into clauses, the preferred one first; those with q=0 are left out. */
static size_t parse_accept(const char *accept, struct clause clauses[static CLAUSES_MAX])
{
    size_t count = 0;
    struct slice rest = {accept, strlen(accept)};
    while (rest.length > 0 && count < CLAUSES_MAX) {
        struct slice part = next_part(&rest, ',');
        struct clause clause = {.type = next_part(&part, ';')};
        clause.parameters = part;
        clause.quality = clause_quality(&clause);
        if (clause.type.length == 0 || clause.quality <= 0) {
            continue;
        }
        size_t at = count++;
        for (; at > 0 && comes_before(&clause, &clauses[at - 1]); at--) {
            clauses[at] = clauses[at - 1];
        }
        clauses[at] = clause;
    }
    return count;
}

static bool clause_matches(const struct clause *clause, const char *type)
{
    const char *slash = strchr(type, '/');
    switch (exactness(clause)) {
    case 0:
        return true;
    case 1:
        return slash != NULL && clause->type.length == (size_t)(slash - type) + 2 &&
               strncasecmp(clause->type.text, type, clause->type.length - 1) == 0;
    default:
        return slice_is(clause->type, type);
    }
}

static const struct {
    const char *type;
    enum media_encoding encoding;
} encodings[] = {{"application/json", MEDIA_JSON}, {"application/yaml", MEDIA_YAML}};

static bool not_acceptable(struct error *error)
{
    return error_set(
        error, 406, "NotAcceptable",
        "only the following media types are accepted: application/json, application/yaml");
}

static bool read_transform(const struct clause *clause, struct media *media)
{
    static const struct {
        const char *kind;
        enum media_transform transform;
    } transforms[] = {{"Table", MEDIA_TABLE},
                      {"PartialObjectMetadata", MEDIA_PARTIAL},
                      {"PartialObjectMetadataList", MEDIA_PARTIAL_LIST}};

    struct slice kind = clause_parameter(clause, "as");
    media->transform = MEDIA_OBJECT;
    if (kind.text == NULL || kind.length == 0) {
        return true;
    }
    if (!slice_is(clause_parameter(clause, "g"), "meta.k8s.io")) {
        return false;
    }
    struct slice version = clause_parameter(clause, "v");
    if (!slice_is(version, "v1") && !slice_is(version, "v1beta1")) {
        return false;
    }
    for (size_t i = 0; i < array_length(transforms); i++) {
        if (slice_is(kind, transforms[i].kind)) {
            media->transform = transforms[i].transform;
            memcpy(media->transform_version, version.text, version.length);
            media->transform_version[version.length] = '\0';
            return true;
        }
    }
    return false;
}

bool media_negotiate(const char *accept, struct media *media, struct error *error)
{
    *media = (struct media){.encoding = MEDIA_JSON};
    if (accept[0] == '\0') {
        return true;
    }
    struct clause clauses[CLAUSES_MAX];
    size_t count = parse_accept(accept, clauses);
    for (size_t i = 0; i < count; i++) {
        for (size_t at = 0; at < array_length(encodings); at++) {
            if (clause_matches(&clauses[i], encodings[at].type) &&
                read_transform(&clauses[i], media)) {
                media->encoding = encodings[at].encoding;
                media->pretty = slice_is(clause_parameter(&clauses[i], "pretty"), "1");
                return true;
            }
        }
    }
    *media = (struct media){.encoding = MEDIA_JSON};
    return not_acceptable(error);
}

static bool discovery_form(const struct clause *clause, enum media_encoding encoding,
                           enum media_discovery *form)
{
    struct slice kind = clause_parameter(clause, "as");
    if (kind.text == NULL || kind.length == 0) {
        *form = MEDIA_DISCOVERY_PLAIN;
        return true;
    }
    struct slice version = clause_parameter(clause, "v");
    *form = slice_is(version, "v2") ? MEDIA_DISCOVERY_V2 : MEDIA_DISCOVERY_V2BETA1;
    return encoding == MEDIA_JSON && slice_is(kind, "APIGroupDiscoveryList") &&
           slice_is(clause_parameter(clause, "g"), "apidiscovery.k8s.io") &&
           (slice_is(version, "v2") || slice_is(version, "v2beta1"));
}

bool media_negotiate_discovery(const char *accept, enum media_discovery *form,
                               enum media_encoding *encoding, struct error *error)
{
    *form = MEDIA_DISCOVERY_PLAIN;
    *encoding = MEDIA_JSON;
    if (accept[0] == '\0') {
        return true;
    }
    struct clause clauses[CLAUSES_MAX];
    size_t count = parse_accept(accept, clauses);
    for (size_t i = 0; i < count; i++) {
        for (size_t at = 0; at < array_length(encodings); at++) {
            if (clause_matches(&clauses[i], encodings[at].type) &&
                discovery_form(&clauses[i], encodings[at].encoding, form)) {
                *encoding = encodings[at].encoding;
                return true;
            }
        }
    }
    *form = MEDIA_DISCOVERY_PLAIN;
    return not_acceptable(error);
}

int media_choose(const char *accept, const char *const *offered)
{
    if (accept[0] == '\0') {
        return 0;
    }
    struct clause clauses[CLAUSES_MAX];
    size_t count = parse_accept(accept, clauses);
    for (size_t i = 0; i < count; i++) {
        for (int at = 0; offered[at] != NULL; at++) {
            if (clause_matches(&clauses[i], offered[at])) {
                return at;
            }
        }
    }
    return -1;
}

enum media_body media_body(const char *content_type)
{
    static const struct {
        const char *type;
        enum media_body body;
    } bodies[] = {
        {"application/json", MEDIA_BODY_JSON},
        {"application/yaml", MEDIA_BODY_YAML},
        {"application/vnd.kubernetes.protobuf", MEDIA_BODY_PROTOBUF},
        {"application/json-patch+json", MEDIA_BODY_JSON_PATCH},
        {"application/merge-patch+json", MEDIA_BODY_MERGE_PATCH},
        {"application/strategic-merge-patch+json", MEDIA_BODY_STRATEGIC_PATCH},
        {"application/apply-patch+yaml", MEDIA_BODY_APPLY_YAML},
    };
    struct slice rest = {content_type, strlen(content_type)};
    struct slice type = next_part(&rest, ';');
    if (type.length == 0) {
        return MEDIA_BODY_JSON;
    }
    for (size_t i = 0; i < array_length(bodies); i++) {
        if (slice_is(type, bodies[i].type)) {
            return bodies[i].body;
        }
    }
    return MEDIA_BODY_UNKNOWN;
}

static void new_line(struct buffer *out, size_t depth)
{
    size_t length = 1 + 2 * depth;
    char *place = buffer_reserve(out, length);
    memset(place, ' ', length);
    place[0] = '\n';
    out->length += length;
    out->bytes[out->length] = '\0';
}

/* Where the string that starts at 'at' ends, its closing quote included. */
static size_t string_end(const char *json, size_t at, size_t length)
{
    for (at++; at < length && json[at] != '"'; at++) {
        at += json[at] == '\\';
    }
    return at + 1 < length ? at + 1 : length;
}

static size_t skip_space(const char *json, size_t at, size_t length)
{
    while (at < length && strchr(" \t\r\n", json[at]) != NULL) {
        at++;
    }
    return at;
}

void media_indent_json(const char *json, size_t length, struct buffer *out)
{
    size_t depth = 0;
    for (size_t at = skip_space(json, 0, length); at < length;) {
        char c = json[at];
        size_t next = skip_space(json, at + 1, length);
        if (c == '"') {
            size_t end = string_end(json, at, length);
            buffer_add(out, json + at, end - at);
            at = skip_space(json, end, length);
            continue;
        }
        bool opens = c == '{' || c == '[';
        if (opens && next < length && json[next] == c + 2) {
            buffer_add(out, c == '{' ? "{}" : "[]", 2);
            at = skip_space(json, next + 1, length);
            continue;
        }
        if ((c == '}' || c == ']') && depth > 0) {
            new_line(out, --depth);
        }
        buffer_add_char(out, c);
        if (opens || c == ',') {
            depth += opens;
            new_line(out, depth);
        } else if (c == ':') {
            buffer_add_char(out, ' ');
        }
        at = next;
    }
}
