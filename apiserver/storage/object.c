// SPDX-License-Identifier: Apache-2.0
#include "apiserver/storage/object.h"

#include <string.h>

#include "common/alloc.h"

/* ---- classes ---- */

static const char *zero_of_path(const struct resource *resource, const char *path)
{
    const struct schema_field *field = schema_find_path(resource->schema, path);
    switch (field ? field->schema->type : SCHEMA_STRING) {
    case SCHEMA_BOOLEAN:
        return "false";
    case SCHEMA_INT32:
    case SCHEMA_INT64:
        return "0";
    default:
        return "";
    }
}

struct object_class *object_class_new(const struct resource *resource)
{
    struct object_class *class = allocate_struct(struct object_class);
    class->resource = resource;
    const char *const *labels = resource->selectable_fields;
    while (labels != NULL && labels[class->field_count] != NULL) {
        class->field_count++;
    }
    class->field_paths = allocate_zero(class->field_count, sizeof *class->field_paths);
    class->field_zeros = allocate_zero(class->field_count, sizeof *class->field_zeros);
    for (size_t i = 0; i < class->field_count; i++) {
        class->field_paths[i] = resource->selectable_paths[i] + 1; /* They begin with a dot. */
        class->field_zeros[i] = zero_of_path(resource, class->field_paths[i]);
    }
    return class;
}

void object_class_free(struct object_class *class)
{
    if (class != NULL) {
        free(class->field_paths);
        free(class->field_zeros);
        free(class);
    }
}

/* ---- canonical form ---- */

static void encode_member(const char *key, const json_t *value, bool *first, struct buffer *buffer)
{
    if (!*first) {
        buffer_add_char(buffer, ',');
    }
    *first = false;
    json_t *name = json_string_nocheck(key);
    json_encode(name, buffer);
    json_decref(name);
    buffer_add_char(buffer, ':');
    json_encode(value, buffer);
}

static void encode_metadata(const json_t *metadata, struct buffer *buffer)
{
    bool first = true;
    buffer_add_literal(buffer, "\"metadata\":{");
    for (void *at = json_object_iter((json_t *)metadata); at != NULL;
         at = json_object_iter_next((json_t *)metadata, at)) {
        const char *key = json_object_iter_key(at);
        if (strcmp(key, "resourceVersion") != 0 && strcmp(key, "selfLink") != 0) {
            encode_member(key, json_object_iter_value(at), &first, buffer);
        }
    }
    buffer_add_char(buffer, '}');
}

void object_encode(const json_t *tree, struct buffer *buffer)
{
    bool first = true;
    buffer_add_char(buffer, '{');
    encode_member("kind", json_object_get(tree, "kind"), &first, buffer);
    encode_member("apiVersion", json_object_get(tree, "apiVersion"), &first, buffer);
    buffer_add_char(buffer, ',');
    encode_metadata(json_object_get(tree, "metadata"), buffer);
    for (void *at = json_object_iter((json_t *)tree); at != NULL;
         at = json_object_iter_next((json_t *)tree, at)) {
        const char *key = json_object_iter_key(at);
        if (strcmp(key, "kind") != 0 && strcmp(key, "apiVersion") != 0 &&
            strcmp(key, "metadata") != 0) {
            encode_member(key, json_object_iter_value(at), &first, buffer);
        }
    }
    buffer_add_char(buffer, '}');
}

/* Where the members of metadata begin in canonical text, 0 if the text is not canonical so far. */
static size_t find_split(const char *value, size_t length)
{
    static const char kind[] = "{\"kind\":\"", version[] = "\",\"apiVersion\":\"",
                      metadata[] = "\",\"metadata\":{\"";
    const char *at = value, *end = value + length;
    const struct {
        const char *text;
        size_t length;
    } parts[] = {
        {kind, sizeof kind - 1}, {version, sizeof version - 1}, {metadata, sizeof metadata - 1}};
    for (size_t i = 0; i < array_length(parts); i++) {
        if ((size_t)(end - at) < parts[i].length ||
            memcmp(at, parts[i].text, parts[i].length) != 0) {
            return 0;
        }
        at += parts[i].length;
        if (i < 2) {
            const char *quote = memchr(at, '"', (size_t)(end - at));
            if (quote == NULL) {
                return 0;
            }
            at = quote;
        }
    }
    return (size_t)(at - value) - 1;
}

static bool normalise(const struct object_class *class, const char *key, const char *value,
                      size_t length, struct buffer *canonical, struct error *error)
{
    const char *prefix = class->resource->storage_prefix;
    cleanup(error_clear)
    struct error why = ERROR_INIT;
    cleanup(json_release)
    json_t *tree = json_parse(value, length, &why);
    if (tree == NULL) {
        return error_wrap(error, &why, "the stored value of %s%s", prefix, key);
    }
    if (!json_is_string(json_path(tree, "metadata", "name")) ||
        !json_is_string(json_object_get(tree, "kind")) ||
        !json_is_string(json_object_get(tree, "apiVersion"))) {
        return error_internal(error,
                              "the stored value of %s%s is no object with kind, apiVersion and "
                              "metadata.name",
                              prefix, key);
    }
    object_encode(tree, canonical);
    return true;
}

/* ---- objects ---- */

enum { scanned_fixed = 3, scanned_max = 24 };

static struct object_span span_in(const char *bytes, struct json_span span)
{
    if (span.text == NULL) {
        return (struct object_span){0};
    }
    if (span.length >= 2 && span.text[0] == '"') {
        return (struct object_span){(uint32_t)(span.text + 1 - bytes), (uint32_t)span.length - 2};
    }
    return (struct object_span){(uint32_t)(span.text - bytes), (uint32_t)span.length};
}

/* Finds metadata's parts and the selectable fields in one pass. False when resourceVersion stands
 * in the text, or metadata is missing: not canonical after all. */
static bool scan(struct object *object)
{
    const struct object_class *class = object->class;
    const char *paths[scanned_max] = {"metadata", "metadata.labels", "metadata.resourceVersion"};
    struct json_span spans[scanned_max];
    size_t count = scanned_fixed;
    for (size_t i = 0; i < class->field_count && count < scanned_max; i++) {
        paths[count++] = class->field_paths[i];
    }
    json_scan(object->bytes, object->length, paths, count, spans);
    if (spans[0].text == NULL || spans[2].text != NULL) {
        return false;
    }
    object->metadata_end = (uint32_t)(spans[0].text + spans[0].length - object->bytes);
    object->labels = span_in(object->bytes, spans[1]);
    for (size_t i = scanned_fixed; i < count; i++) {
        object->fields[i - scanned_fixed] = span_in(object->bytes, spans[i]);
    }
    return true;
}

static struct object *make(const struct object_class *class, const char *key, const char *bytes,
                           size_t length, size_t split, int64_t revision)
{
    size_t key_length = strlen(key);
    size_t head = sizeof(struct object) + class->field_count * sizeof(struct object_span);
    struct object *object = allocate(head + key_length + 1 + length + 1);
    *object = (struct object){
        .length = (uint32_t)length,
        .split = (uint32_t)split,
        .name_length = (uint16_t)key_length,
        .revision = revision,
        .class = class,
        .key = (char *)object + head,
        .bytes = (char *)object + head + key_length + 1,
    };
    atomic_init(&object->references, 1);
    memset(object->fields, 0, class->field_count * sizeof(struct object_span));
    memcpy(object->key, key, key_length + 1);
    memcpy(object->bytes, bytes, length);
    object->bytes[length] = '\0';
    const char *slash = class->resource->namespaced ? strchr(object->key, '/') : NULL;
    object->namespace_length = slash ? (uint16_t)(slash - object->key) : 0;
    return object;
}

struct object *object_new(const struct object_class *class, const char *key, const char *value,
                          size_t length, int64_t revision, struct error *error)
{
    size_t split = find_split(value, length);
    if (split > 0) {
        cleanup(object_release)
        struct object *object = make(class, key, value, length, split, revision);
        if (scan(object)) {
            return steal(object);
        }
    }
    cleanup(buffer_free)
    struct buffer canonical = BUFFER_INIT;
    if (!normalise(class, key, value, length, &canonical, error)) {
        return NULL;
    }
    struct object *object = make(class, key, canonical.bytes, canonical.length,
                                 find_split(canonical.bytes, canonical.length), revision);
    scan(object);
    return object;
}

struct object *object_ref(struct object *object)
{
    atomic_fetch_add_explicit(&object->references, 1, memory_order_relaxed);
    return object;
}

void object_unref(struct object *object)
{
    if (object == NULL ||
        atomic_fetch_sub_explicit(&object->references, 1, memory_order_acq_rel) != 1) {
        return;
    }
    struct object_rendition *rendition = atomic_load(&object->renditions);
    while (rendition != NULL) {
        struct object_rendition *next = rendition->next;
        free(rendition);
        rendition = next;
    }
    free(object);
}

void object_release(struct object **object)
{
    object_unref(*object);
}

json_t *object_tree(const struct object *object)
{
    json_t *tree = json_parse_known(object->bytes, object->length);
    if (tree == NULL) {
        abort(); /* The bytes were made by our encoder, or parsed when they came in. */
    }
    json_object_set_new(json_object_get(tree, "metadata"), "resourceVersion",
                        json_sprintf("%lld", (long long)object->revision));
    return tree;
}

static json_t *span_tree(struct json_span span)
{
    return span.length > 0 ? json_parse_known(span.text, span.length) : NULL;
}

json_t *object_labels(const struct object *object)
{
    return span_tree(
        (struct json_span){object->bytes + object->labels.start, object->labels.length});
}

json_t *object_member(const struct object *object, const char *name)
{
    return span_tree(json_scan_member((struct json_span){object->bytes, object->length}, name));
}

/* ---- selectors ---- */

const char *object_label(const void *argument, const char *key, size_t *length)
{
    const struct object *object = argument;
    if (object->labels.length == 0) {
        return NULL;
    }
    struct json_span value = json_scan_member(
        (struct json_span){object->bytes + object->labels.start, object->labels.length}, key);
    if (value.text == NULL || value.length < 2) {
        return NULL;
    }
    *length = value.length - 2;
    return value.text + 1;
}

const char *object_field(const void *argument, const char *path, size_t *length)
{
    const struct object *object = argument;
    const struct object_class *class = object->class;
    if (strcmp(path, "metadata.name") == 0) {
        const char *name = object_name(object);
        *length = strlen(name);
        return name;
    }
    if (strcmp(path, "metadata.namespace") == 0) {
        *length = object->namespace_length;
        return object->key;
    }
    for (size_t i = 0; i < class->field_count; i++) {
        if (strcmp(class->resource->selectable_fields[i], path) == 0) {
            struct object_span span = object->fields[i];
            *length = span.length > 0 ? span.length : strlen(class->field_zeros[i]);
            return span.length > 0 ? object->bytes + span.start : class->field_zeros[i];
        }
    }
    return NULL;
}

/* ---- writing out ---- */

enum { METADATA_MEMBER_LENGTH = sizeof "\"metadata\":{" - 1 };

/* Appends text[start, end) with the resourceVersion entered at 'split'. */
static void add_with_revision(const char *text, size_t start, size_t split, size_t end,
                              int64_t revision, struct buffer *out)
{
    buffer_reserve(out, end - start + 48);
    buffer_add(out, text + start, split - start);
    if (revision > 0) { /* A dry run's new object has none. */
        buffer_add_literal(out, "\"resourceVersion\":\"");
        buffer_add_int(out, revision);
        buffer_add_literal(out, "\",");
    }
    buffer_add(out, text + split, end - split);
}

void object_write(const struct object *object, int64_t revision, struct buffer *out)
{
    add_with_revision(object->bytes, 0, object->split, object->length, revision, out);
}

void object_write_item(const struct object *object, int64_t revision, struct buffer *out)
{
    buffer_add_char(out, '{');
    add_with_revision(object->bytes, object->split - METADATA_MEMBER_LENGTH, object->split,
                      object->length, revision, out);
}

void object_write_metadata(const struct object *object, int64_t revision, struct buffer *out)
{
    add_with_revision(object->bytes, object->split - 1, object->split, object->metadata_end,
                      revision, out);
}

void object_write_text(const char *text, size_t length, int64_t revision, bool item,
                       struct buffer *out)
{
    size_t split = find_split(text, length);
    if (item) {
        buffer_add_char(out, '{');
    }
    add_with_revision(text, item ? split - METADATA_MEMBER_LENGTH : 0, split, length, revision,
                      out);
}

/* ---- renditions ---- */

static const struct object_rendition *find_rendition(const struct object_rendition *list,
                                                     const void *form)
{
    while (list != NULL && list->form != form) {
        list = list->next;
    }
    return list;
}

const struct object_rendition *object_rendition(const struct object *object, const void *form,
                                                void (*make_form)(const struct object *object,
                                                                  const void *form,
                                                                  struct buffer *out))
{
    struct object *shared = (struct object *)object; /* Only the atomic list changes. */
    struct object_rendition *first = atomic_load(&shared->renditions);
    const struct object_rendition *known = find_rendition(first, form);
    if (known != NULL) {
        return known;
    }
    cleanup(buffer_free)
    struct buffer text = BUFFER_INIT;
    make_form(object, form, &text);
    struct object_rendition *rendition = allocate(sizeof *rendition + text.length + 1);
    rendition->form = form;
    rendition->length = text.length;
    memcpy(rendition->bytes, buffer_text(&text), text.length + 1);
    do {
        known = find_rendition(first, form);
        if (known != NULL) { /* Another thread was quicker. */
            free(rendition);
            return known;
        }
        rendition->next = first;
    } while (!atomic_compare_exchange_weak(&shared->renditions, &first, rendition));
    return rendition;
}
