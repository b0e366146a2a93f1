// SPDX-License-Identifier: Apache-2.0
#include "apiserver/registry/kinds/defaults.h"

#include <string.h>

#include "apiserver/registry/kinds.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/timestamp.h"

const char default_when_present[] = "*";

void default_set(json_t *object, const char *name, json_t *value)
{
    if (json_object_get(object, name) == NULL) {
        json_object_set_new_nocheck(object, name, value);
    } else {
        json_decref(value);
    }
}

void default_update(json_t *into, const json_t *from)
{
    const char *name;
    json_t *value;
    json_object_foreach ((json_t *)from, name, value) {
        if (json_object_get(into, name) == NULL) {
            json_object_set(into, name, value);
        }
    }
}

void default_pair(json_t *object, const char *one, const char *many, const char *key)
{
    json_t *single = json_object_get(object, one);
    const json_t *list = json_object_get(object, many);
    json_t *first = json_array_get(list, 0);
    first = first && key ? json_object_get(first, key) : first;
    if (json_string_length(single) == 0 && first != NULL) {
        json_object_set(object, one, first);
    } else if (json_string_length(single) > 0 && (first == NULL || !json_equal(first, single))) {
        json_object_set_new(object, many,
                            key ? json_pack("[{s:O}]", key, single) : json_pack("[O]", single));
    }
}

static bool is_absent(const json_t *value)
{
    return value == NULL || (json_is_array(value) && json_array_size(value) == 0);
}

/* The text is one of those that 'words' joins. */
static bool is_among(const char *text, const char *words)
{
    size_t length = strlen(text);
    for (const char *word = words; word != NULL;) {
        size_t word_length = strcspn(word, "|");
        if (length == word_length && memcmp(text, word, length) == 0) {
            return true;
        }
        word = word[word_length] != '\0' ? word + word_length + 1 : NULL;
    }
    return false;
}

static bool applies(const struct conditional_default *row, const json_t *object)
{
    const json_t *member = row->when ? json_object_get(object, row->when) : NULL;
    if (row->when == NULL) {
        return true;
    }
    if (row->is == NULL || row->is == default_when_present) {
        return is_absent(member) == (row->is == NULL);
    }
    return json_is_string(member) && is_among(json_string_value(member), row->is);
}

static json_t *value_of(const struct conditional_default *row)
{
    if (row->value != NULL) {
        return json_parse_known(row->value, strlen(row->value));
    }
    char now[TIMESTAMP_SIZE];
    timestamp_format(timestamp_now(), now);
    return json_string(now);
}

/* Fills at the rest of the path below this value; as deep as that path is long. */
static void fill_row(const struct conditional_default *row, const char *path, json_t *value)
{
    for (size_t i = 0; i < json_array_size(value); i++) {
        fill_row(row, path, json_array_get(value, i));
    }
    if (!json_is_object(value)) {
        return;
    }
    if (path[0] != '\0') {
        size_t length = strcspn(path, ".");
        json_t *next = json_object_getn(value, path, length);
        fill_row(row, path + length + (path[length] == '.'), next);
    } else if (is_absent(json_object_get(value, row->member)) && applies(row, value)) {
        json_object_set_new_nocheck(value, row->member, value_of(row));
    }
}

static json_t *follow(json_t *object, const char *path)
{
    while (object != NULL && path[0] != '\0') {
        size_t length = strcspn(path, ".");
        object = json_object_getn(object, path, length);
        path += length + (path[length] == '.');
    }
    return object;
}

void kind_fill_defaults(const struct kind *kind, json_t *object)
{
    const struct conditional_default *row = kind->defaults;
    for (; row != NULL && row->member != NULL; row++) {
        fill_row(row, row->at, object);
    }
    json_t *pod = kind->pod_template ? follow(object, kind->pod_template) : NULL;
    if (pod != NULL) {
        pod_spec_fill_defaults(pod);
    }
    if (kind->fill_defaults != NULL) {
        kind->fill_defaults(object);
    }
}
