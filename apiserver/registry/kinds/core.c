// SPDX-License-Identifier: Apache-2.0
/* Small hooks of the core group. */
#include <string.h>

#include "apiserver/registry/kinds/all.h"
#include "apiserver/registry/kinds/defaults.h"
#include "common/alloc.h"
#include "common/base64.h"
#include "common/json.h"

/* ---- secrets ---- */

/* stringData is for writing only: its values go, encoded, into data. */
static void secret_fill_defaults(json_t *object)
{
    const char *key;
    json_t *value;
    json_t *texts = json_object_get(object, "stringData");
    if (json_object_size(texts) > 0) {
        json_t *data = json_get_or_add_object(object, "data");
        json_object_foreach (texts, key, value) {
            cleanup(free_char)
            char *encoded = base64_encode(json_string_value(value), json_string_length(value));
            json_object_set_new(data, key, json_string(encoded));
        }
    }
    json_object_del(object, "stringData");
}

/* What both config maps and secrets promise when they are marked immutable. */
static void validate_immutable_data(const struct write *write, struct field_errors *errors)
{
    static const char *const data[] = {"data", "binaryData"};
    if (write->live == NULL || !json_get_bool(write->live, "immutable", false)) {
        return;
    }
    if (!json_get_bool(write->object, "immutable", false)) {
        field_error(errors, FIELD_FORBIDDEN, FIELD(NULL, "immutable"), NULL,
                    "field is immutable when `immutable` is set");
    }
    for (size_t i = 0; i < array_length(data); i++) {
        const json_t *now = json_object_get(write->object, data[i]);
        const json_t *before = json_object_get(write->live, data[i]);
        bool equal = now && before ? json_equal(now, before)
                                   : json_object_size(now) + json_object_size(before) == 0;
        if (!equal) {
            field_error(errors, FIELD_FORBIDDEN, FIELD(NULL, data[i]), NULL,
                        "field is immutable when `immutable` is set");
        }
    }
}

enum { DATA_BYTES_MAX = 1024 * 1024 };

/* The bytes of all values, of base64 those that it stands for. */
static size_t data_size(const json_t *map, bool base64)
{
    size_t size = 0;
    const char *key;
    json_t *value;
    json_object_foreach ((json_t *)map, key, value) {
        const char *text = json_string_value(value);
        size_t length = json_string_length(value);
        size_t padding = 0;
        while (base64 && padding < length && text[length - padding - 1] == '=') {
            padding++;
        }
        size += base64 ? (length - padding) * 3 / 4 : length;
    }
    return size;
}

static void check_data_size(size_t size, const char *field, struct field_errors *errors)
{
    if (size > DATA_BYTES_MAX) {
        field_error(errors, FIELD_TOO_LONG, FIELD(NULL, field), NULL,
                    "may not be more than %d bytes", DATA_BYTES_MAX);
    }
}

static void validate_secret(const struct write *write, struct field_errors *errors)
{
    check_data_size(data_size(json_object_get(write->object, "data"), true), "data", errors);
    validate_immutable_data(write, errors);
}

static void validate_config_map(const struct write *write, struct field_errors *errors)
{
    size_t size = data_size(json_object_get(write->object, "data"), false) +
                  data_size(json_object_get(write->object, "binaryData"), true);
    check_data_size(size, "[]", errors); /* Of the whole object, as upstream has it. */
    validate_immutable_data(write, errors);
}

const struct kind kind_secret = {
    .group = "",
    .plural = "secrets",
    .fill_defaults = secret_fill_defaults,
    .validate = validate_secret,
};

const struct kind kind_config_map = {
    .group = "",
    .plural = "configmaps",
    .validate = validate_config_map,
};

/* ---- events: one stored object, two views ---- */

/* Members that core and events.k8s.io name differently. */
static const struct {
    const char *core, *events;
} event_names[] = {
    {"involvedObject", "regarding"},
    {"message", "note"},
    {"source", "deprecatedSource"},
    {"firstTimestamp", "deprecatedFirstTimestamp"},
    {"lastTimestamp", "deprecatedLastTimestamp"},
    {"count", "deprecatedCount"},
    {"reportingComponent", "reportingController"},
};

static void rename_member(json_t *object, const char *from, const char *to)
{
    json_t *value = json_object_get(object, from);
    if (value != NULL) {
        json_object_set(object, to, value);
        json_object_del(object, from);
    }
}

static void event_from_storage(json_t *object, const struct resource *resource)
{
    bool renamed = strcmp(resource->group, "events.k8s.io") == 0;
    for (size_t i = 0; renamed && i < array_length(event_names); i++) {
        rename_member(object, event_names[i].core, event_names[i].events);
    }
    /* Core events always tell who reports them; these have no word for nobody. */
    static const char *const reporters[] = {"reportingController", "reportingInstance"};
    for (size_t i = 0; renamed && i < array_length(reporters); i++) {
        if (json_string_length(json_object_get(object, reporters[i])) == 0) {
            json_object_del(object, reporters[i]);
        }
    }
}

static void event_to_storage(json_t *object, const struct resource *resource)
{
    bool renamed = strcmp(resource->group, "events.k8s.io") == 0;
    for (size_t i = 0; renamed && i < array_length(event_names); i++) {
        rename_member(object, event_names[i].events, event_names[i].core);
    }
}

const struct kind kind_event = {
    .group = "",
    .plural = "events",
    .expires = true,
    .from_storage = event_from_storage,
    .to_storage = event_to_storage,
};

/* ---- nodes ---- */

static void node_fill_defaults(json_t *object)
{
    json_t *status = json_object_get(object, "status");
    json_t *capacity = json_object_get(status, "capacity");
    if (capacity != NULL) {
        default_set(status, "allocatable", json_copy(capacity));
    }
    default_pair(json_object_get(object, "spec"), "podCIDR", "podCIDRs", NULL);
}

const struct kind kind_node = {
    .group = "",
    .plural = "nodes",
    .fill_defaults = node_fill_defaults,
    .created_with_status = true,
};

/* ---- limit ranges ---- */

static void drop_empty(json_t *object, const char *name)
{
    if (json_object_size(json_object_get(object, name)) == 0) {
        json_object_del(object, name);
    }
}

/* A container's limit is the largest allowed, and its request is that limit. */
static void limit_range_fill_defaults(json_t *object)
{
    const json_t *limits = json_path(object, "spec", "limits");
    for (size_t i = 0; i < json_array_size(limits); i++) {
        json_t *item = json_array_get(limits, i);
        const char *type = json_get_string(item, "type");
        if (type == NULL || strcmp(type, "Container") != 0) {
            continue;
        }
        json_t *limit = json_get_or_add_object(item, "default");
        json_t *request = json_get_or_add_object(item, "defaultRequest");
        default_update(limit, json_object_get(item, "max"));
        default_update(request, limit);
        default_update(request, json_object_get(item, "min"));
        drop_empty(item, "default");
        drop_empty(item, "defaultRequest");
    }
}

const struct kind kind_limit_range = {
    .group = "",
    .plural = "limitranges",
    .fill_defaults = limit_range_fill_defaults,
};
