// SPDX-License-Identifier: Apache-2.0
#include "common/cached_object.h"

#include <string.h>

#include "common/alloc.h"
#include "common/timestamp.h"

enum part {
    PART_NAMESPACE,
    PART_NAME,
    PART_UID,
    PART_OWNER_UID,
    PART_OWNER_KIND,
    PART_OWNER_NAME,
    PART_COUNT
};

enum span {
    SPAN_NAME,
    SPAN_NAMESPACE,
    SPAN_UID,
    SPAN_VERSION,
    SPAN_GENERATION,
    SPAN_CREATION,
    SPAN_DELETION,
    SPAN_LABELS,
    SPAN_OWNERS,
    SPAN_COUNT
};

static const char *const span_paths[SPAN_COUNT] = {
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "metadata.resourceVersion",
    "metadata.generation",
    "metadata.creationTimestamp",
    "metadata.deletionTimestamp",
    "metadata.labels",
    "metadata.ownerReferences",
};

enum owner_span { OWNER_CONTROLLER, OWNER_UID, OWNER_KIND, OWNER_NAME, OWNER_COUNT };

static bool find_controller(void *argument, struct json_span owner)
{
    static const char *const paths[OWNER_COUNT] = {"controller", "uid", "kind", "name"};
    struct json_span spans[OWNER_COUNT];
    json_scan(owner.text, owner.length, paths, OWNER_COUNT, spans);
    if (spans[OWNER_CONTROLLER].length != 4 ||
        memcmp(spans[OWNER_CONTROLLER].text, "true", 4) != 0) {
        return true;
    }
    memcpy(argument, spans, sizeof spans);
    return false;
}

static int64_t number_of(struct json_span span)
{
    const char *text = span.text;
    return text == NULL ? 0 : strtoll(text[0] == '"' ? text + 1 : text, NULL, 10);
}

static int64_t time_of(struct json_span span)
{
    int64_t time = 0;
    cleanup(free_char)
    char *text = json_span_value(span);
    return text != NULL && timestamp_parse(text, &time) ? time : 0;
}

/* Copies a text behind '*at' and moves that on. */
static const char *put(char **at, const char *text, size_t length)
{
    char *start = memcpy(*at, text, length);
    start[length] = '\0';
    *at += length + 1;
    return start;
}

static struct cached_object *build(const char *text, size_t length, const struct json_span *spans,
                                   const char *const parts[static PART_COUNT])
{
    size_t size = length + 1 + strlen(parts[PART_NAMESPACE]) + 1;
    for (size_t i = 0; i < PART_COUNT; i++) {
        size += strlen(parts[i]) + 1;
    }
    struct cached_object *object = allocate(sizeof *object + size);
    *object = (struct cached_object){0}; /* What stands behind it is written once. */
    char *at = object->memory;
    const char *copies[PART_COUNT] = {0};
    for (size_t i = 0; i < PART_COUNT; i++) {
        if (i != PART_NAME || parts[PART_NAMESPACE][0] == '\0') {
            copies[i] = put(&at, parts[i], strlen(parts[i]));
        }
    }
    object->references = 1;
    object->namespace = copies[PART_NAMESPACE];
    object->uid = copies[PART_UID];
    object->owner_uid = copies[PART_OWNER_UID];
    object->owner_kind = copies[PART_OWNER_KIND];
    object->owner_name = copies[PART_OWNER_NAME];
    if (object->namespace[0] == '\0') {
        object->key = object->name = copies[PART_NAME];
    } else {
        object->key = at;
        object->name = at + strlen(object->namespace) + 1;
        put(&at, object->namespace, strlen(object->namespace));
        at[-1] = '/';
        put(&at, parts[PART_NAME], strlen(parts[PART_NAME]));
    }
    object->text = put(&at, text, length);
    object->length = (uint32_t)length;
    if (spans[SPAN_LABELS].text != NULL) {
        object->labels = (struct json_span){object->text + (spans[SPAN_LABELS].text - text),
                                            spans[SPAN_LABELS].length};
    }
    return object;
}

struct cached_object *cached_object_new(const struct cached_object_class *class, const char *text,
                                        size_t length)
{
    struct json_span spans[SPAN_COUNT];
    struct json_span owner[OWNER_COUNT] = {0};
    json_scan_until_met(text, length, span_paths, SPAN_COUNT, spans);
    if (spans[SPAN_NAME].text == NULL || length > UINT32_MAX) {
        return NULL;
    }
    json_scan_elements(spans[SPAN_OWNERS], find_controller, owner);
    const struct json_span part_spans[PART_COUNT] = {
        [PART_NAMESPACE] = spans[SPAN_NAMESPACE],
        [PART_NAME] = spans[SPAN_NAME],
        [PART_UID] = spans[SPAN_UID],
        [PART_OWNER_UID] = owner[OWNER_UID],
        [PART_OWNER_KIND] = owner[OWNER_KIND],
        [PART_OWNER_NAME] = owner[OWNER_NAME],
    };
    char *values[PART_COUNT];
    const char *parts[PART_COUNT];
    for (size_t i = 0; i < PART_COUNT; i++) {
        values[i] = json_span_value(part_spans[i]);
        parts[i] = values[i] != NULL ? values[i] : "";
    }
    struct cached_object *object = build(text, length, spans, parts);
    for (size_t i = 0; i < PART_COUNT; i++) {
        free(values[i]);
    }
    object->resource_version = number_of(spans[SPAN_VERSION]);
    object->generation = number_of(spans[SPAN_GENERATION]);
    object->creation = time_of(spans[SPAN_CREATION]);
    object->is_deleting = spans[SPAN_DELETION].text != NULL && spans[SPAN_DELETION].text[0] == '"';
    object->class = class;
    object->digest = class->digest != NULL ? class->digest(object) : NULL;
    return object;
}

struct cached_object *cached_object_strip(struct cached_object *object)
{
    size_t size = (size_t)(object->text - (char *)object); /* The text stands last. */
    struct cached_object *stripped = allocate(size + 1);
    memcpy(stripped, object, size);
    ((char *)stripped)[size] = '\0';
    const char **pointers[] = {&stripped->key,        &stripped->namespace, &stripped->name,
                               &stripped->uid,        &stripped->owner_uid, &stripped->owner_kind,
                               &stripped->owner_name, &stripped->text};
    for (size_t i = 0; i < array_length(pointers); i++) {
        *pointers[i] = (const char *)stripped + (*pointers[i] - (const char *)object);
    }
    stripped->references = 1;
    stripped->length = 0;
    stripped->labels = (struct json_span){0};
    object->borrows_digest = true;
    return stripped;
}

struct cached_object *cached_object_ref(const struct cached_object *object)
{
    struct cached_object *shared = (struct cached_object *)object;
    atomic_fetch_add_explicit(&shared->references, 1, memory_order_relaxed);
    return shared;
}

void cached_object_unref(const struct cached_object *object)
{
    struct cached_object *shared = (struct cached_object *)object;
    if (shared != NULL &&
        atomic_fetch_sub_explicit(&shared->references, 1, memory_order_acq_rel) == 1) {
        if (shared->digest != NULL && !shared->borrows_digest &&
            shared->class->digest_free != NULL) {
            shared->class->digest_free(shared->digest);
        }
        free(shared);
    }
}

void cached_object_release(struct cached_object **object)
{
    cached_object_unref(*object);
}

json_t *cached_object_tree(const struct cached_object *object)
{
    return json_parse(object->text, object->length, NULL);
}

json_t *cached_object_labels(const struct cached_object *object)
{
    json_t *labels = object->labels.text != NULL
                         ? json_loadb(object->labels.text, object->labels.length, 0, NULL)
                         : NULL;
    return labels != NULL ? labels : json_object();
}

const char *cached_object_label(const void *object, const char *key, size_t *length)
{
    const struct cached_object *cached = object;
    struct json_span value = json_scan_member(cached->labels, key);
    if (value.text == NULL || value.length < 2) {
        return NULL;
    }
    *length = value.length - 2; /* Values of labels need no escapes. */
    return value.text + 1;
}

char *cached_object_label_value(const struct cached_object *object, const char *key)
{
    size_t length;
    const char *value = cached_object_label(object, key, &length);
    return value != NULL ? duplicate_bytes(value, length) : NULL;
}

char *cached_object_value(const struct cached_object *object, const char *path)
{
    struct json_span span;
    json_scan(object->text, object->length, &path, 1, &span);
    return json_span_value(span);
}

void cached_list_add(struct cached_list *list, const struct cached_object *object)
{
    list->items = grow(list->items, list->count, &list->capacity, sizeof(struct cached_object *));
    list->items[list->count++] = cached_object_ref(object);
}

void cached_list_free(struct cached_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        cached_object_unref(list->items[i]);
    }
    free(list->items);
    *list = CACHED_LIST_INIT;
}
