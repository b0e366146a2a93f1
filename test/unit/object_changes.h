// SPDX-License-Identifier: Apache-2.0
/* For tables of cases: changes of an object, written as paths and values; see
 * test/validation/README.md. */
#ifndef TEST_UNIT_OBJECT_CHANGES_H
#define TEST_UNIT_OBJECT_CHANGES_H

#include <ctype.h>
#include <string.h>

#include "common/alloc.h"
#include "common/json.h"

/* Takes the next step of a path: up to a dot, or what stands in brackets. */
static inline char *next_step(const char **path)
{
    const char *start = *path;
    size_t length = strcspn(start, start[0] == '[' ? "]" : ".[");
    char *step = duplicate_bytes(start + (start[0] == '['), length - (start[0] == '['));
    *path = start + length + (start[0] == '[');
    *path += **path == '.';
    return step;
}

static inline bool is_number(const char *text)
{
    return text[0] != '\0' && text[strspn(text, "0123456789")] == '\0';
}

static inline json_t *child_of(json_t *parent, const char *step)
{
    return json_is_array(parent) ? json_array_get(parent, strtoul(step, NULL, 10))
                                 : json_object_get(parent, step);
}

static inline bool put(json_t *parent, const char *step, json_t *value)
{
    if (json_is_array(parent)) {
        size_t index = strtoul(step, NULL, 10);
        return is_number(step) &&
               (index == json_array_size(parent) ? json_array_append(parent, value) == 0
                                                 : json_array_set(parent, index, value) == 0);
    }
    return json_is_object(parent) && json_object_set(parent, step, value) == 0;
}

/* Sets the value at the path, making what is absent on the way; NULL removes it. False when the
 * path leads nowhere. */
static inline bool change(json_t *object, const char *path, json_t *value)
{
    json_t *at = object;
    for (;;) {
        cleanup(free_char)
        char *step = next_step(&path);
        if (path[0] == '\0') {
            if (value != NULL) {
                return put(at, step, value);
            }
            return child_of(at, step) != NULL &&
                   (json_is_array(at) ? json_array_remove(at, strtoul(step, NULL, 10))
                                      : json_object_del(at, step)) == 0;
        }
        json_t *child = child_of(at, step);
        if (child == NULL) {
            cleanup(json_release)
            json_t *made = isdigit((unsigned char)path[0]) ? json_array() : json_object();
            if (value == NULL || !put(at, step, made)) {
                return false;
            }
            child = made; /* Its parent holds it. */
        }
        at = child;
    }
}

static inline bool apply_changes(json_t *object, const json_t *changes, const json_t *removals)
{
    const char *path;
    json_t *value;
    json_object_foreach ((json_t *)changes, path, value) {
        cleanup(json_release)
        json_t *copy = json_deep_copy(value);
        if (!change(object, path, copy)) {
            print_error("cannot set %s\n", path);
            return false;
        }
    }
    for (size_t i = 0; i < json_array_size(removals); i++) {
        if (!change(object, json_string_value(json_array_get(removals, i)), NULL)) {
            print_error("cannot remove %s\n", json_string_value(json_array_get(removals, i)));
            return false;
        }
    }
    return true;
}

#endif
