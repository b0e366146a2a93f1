// SPDX-License-Identifier: Apache-2.0
#include "apiserver/http/media.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/alloc.h"

/* One alternative of an Accept header. */
struct alternative {
    char type[64]; /* "application/json", in lower case. */
    char as[40], group[40], version[16];
    double quality;
};

enum { alternatives_max = 16 };

static void copy_trimmed(char *to, size_t size, const char *from, size_t length)
{
    while (length > 0 && (*from == ' ' || *from == '\t')) {
        from++;
        length--;
    }
    while (length > 0 && (from[length - 1] == ' ' || from[length - 1] == '\t')) {
        length--;
    }
    size_t part = length < size - 1 ? length : size - 1;
    memcpy(to, from, part);
    to[part] = '\0';
}

static void take_parameter(struct alternative *alternative, const char *name, const char *value)
{
    if (strcasecmp(name, "q") == 0) {
        alternative->quality = strtod(value, NULL);
    } else if (strcasecmp(name, "as") == 0) {
        copy_trimmed(alternative->as, sizeof alternative->as, value, strlen(value));
    } else if (strcasecmp(name, "g") == 0) {
        copy_trimmed(alternative->group, sizeof alternative->group, value, strlen(value));
    } else if (strcasecmp(name, "v") == 0) {
        copy_trimmed(alternative->version, sizeof alternative->version, value, strlen(value));
    }
}

static void parse_alternative(const char *text, size_t length, struct alternative *alternative)
{
    *alternative = (struct alternative){.quality = 1};
    const char *end = text + length;
    const char *semicolon = memchr(text, ';', length);
    const char *stop = semicolon ? semicolon : end;
    copy_trimmed(alternative->type, sizeof alternative->type, text, (size_t)(stop - text));
    while (stop < end) {
        const char *start = stop + 1;
        semicolon = memchr(start, ';', (size_t)(end - start));
        stop = semicolon ? semicolon : end;
        const char *equals = memchr(start, '=', (size_t)(stop - start));
        if (equals != NULL) {
            char name[16], value[64];
            copy_trimmed(name, sizeof name, start, (size_t)(equals - start));
            copy_trimmed(value, sizeof value, equals + 1, (size_t)(stop - equals - 1));
            take_parameter(alternative, name, value);
        }
    }
}

/* The alternatives by falling quality, equal ones as they stand. */
static size_t parse_accept(const char *accept, struct alternative *list)
{
    size_t count = 0;
    if (accept[0] == '\0') {
        accept = "*/*";
    }
    while (*accept != '\0' && count < alternatives_max) {
        size_t length = strcspn(accept, ",");
        struct alternative next;
        parse_alternative(accept, length, &next);
        size_t at = count;
        for (; at > 0 && list[at - 1].quality < next.quality; at--) {
            list[at] = list[at - 1];
        }
        list[at] = next;
        count += next.type[0] != '\0' && next.quality > 0;
        accept += length;
        accept += *accept == ',';
    }
    return count;
}

static bool accepts(const char *pattern, const char *type)
{
    size_t length = strlen(pattern);
    if (strcmp(pattern, "*/*") == 0 || strcmp(pattern, "*") == 0) {
        return true;
    }
    if (length > 2 && strcmp(pattern + length - 2, "/*") == 0) {
        return strncasecmp(pattern, type, length - 1) == 0;
    }
    return strcasecmp(pattern, type) == 0;
}

static bool choose_encoding(const char *type, enum media_encoding *encoding)
{
    if (accepts(type, "application/json")) {
        *encoding = MEDIA_JSON;
        return true;
    }
    *encoding = MEDIA_YAML;
    return accepts(type, "application/yaml");
}

static bool not_acceptable(struct error *error)
{
    return error_set(error, 406, "NotAcceptable",
                     "only the following media types are accepted: application/json, "
                     "application/yaml, application/json;stream=watch");
}

static bool choose_transform(const struct alternative *alternative, struct media *media)
{
    static const struct {
        const char *as;
        enum media_transform transform;
    } known[] = {{"Table", MEDIA_TABLE},
                 {"PartialObjectMetadata", MEDIA_PARTIAL},
                 {"PartialObjectMetadataList", MEDIA_PARTIAL_LIST}};
    media->transform = MEDIA_OBJECT;
    if (alternative->as[0] == '\0') {
        return true;
    }
    bool version =
        strcmp(alternative->version, "v1") == 0 || strcmp(alternative->version, "v1beta1") == 0;
    if (strcmp(alternative->group, "meta.k8s.io") != 0 || !version) {
        return false;
    }
    for (size_t i = 0; i < array_length(known); i++) {
        if (strcmp(known[i].as, alternative->as) == 0) {
            media->transform = known[i].transform;
            strcpy(media->transform_version, alternative->version);
            return true;
        }
    }
    return false;
}

bool media_negotiate(const char *accept, struct media *media, struct error *error)
{
    struct alternative list[alternatives_max + 1];
    size_t count = parse_accept(accept, list);
    *media = (struct media){0};
    for (size_t i = 0; i < count; i++) {
        if (choose_encoding(list[i].type, &media->encoding) && choose_transform(&list[i], media)) {
            return true;
        }
    }
    *media = (struct media){0};
    return not_acceptable(error);
}

bool media_negotiate_discovery(const char *accept, enum media_discovery *form,
                               enum media_encoding *encoding, struct error *error)
{
    struct alternative list[alternatives_max + 1];
    size_t count = parse_accept(accept, list);
    for (size_t i = 0; i < count; i++) {
        const struct alternative *alternative = &list[i];
        if (!choose_encoding(alternative->type, encoding)) {
            continue;
        }
        bool aggregated = strcmp(alternative->group, "apidiscovery.k8s.io") == 0 &&
                          strcmp(alternative->as, "APIGroupDiscoveryList") == 0;
        *form = !aggregated                                    ? MEDIA_DISCOVERY_PLAIN
                : strcmp(alternative->version, "v2") == 0      ? MEDIA_DISCOVERY_V2
                : strcmp(alternative->version, "v2beta1") == 0 ? MEDIA_DISCOVERY_V2BETA1
                                                               : MEDIA_DISCOVERY_PLAIN;
        if (alternative->as[0] == '\0' || *form != MEDIA_DISCOVERY_PLAIN) {
            return true;
        }
    }
    return not_acceptable(error);
}

int media_choose(const char *accept, const char *const *offered)
{
    struct alternative list[alternatives_max + 1];
    size_t count = parse_accept(accept, list);
    for (size_t i = 0; i < count; i++) {
        for (int at = 0; offered[at] != NULL; at++) {
            if (accepts(list[i].type, offered[at])) {
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
    } known[] = {
        {"", MEDIA_BODY_JSON},
        {"application/json", MEDIA_BODY_JSON},
        {"application/yaml", MEDIA_BODY_YAML},
        {"application/vnd.kubernetes.protobuf", MEDIA_BODY_PROTOBUF},
        {"application/json-patch+json", MEDIA_BODY_JSON_PATCH},
        {"application/merge-patch+json", MEDIA_BODY_MERGE_PATCH},
        {"application/strategic-merge-patch+json", MEDIA_BODY_STRATEGIC_PATCH},
        {"application/apply-patch+yaml", MEDIA_BODY_APPLY_YAML},
    };
    char type[64];
    copy_trimmed(type, sizeof type, content_type, strcspn(content_type, ";"));
    for (size_t i = 0; i < array_length(known); i++) {
        if (strcasecmp(known[i].type, type) == 0) {
            return known[i].body;
        }
    }
    return MEDIA_BODY_UNKNOWN;
}
