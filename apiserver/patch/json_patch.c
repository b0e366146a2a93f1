// SPDX-License-Identifier: Apache-2.0
#include <ctype.h>
#include <string.h>

#include "apiserver/patch/patch.h"
#include "common/alloc.h"
#include "common/json.h"

/* Copies may add at most as many bytes as a request may have; else few operations that copy what
 * was copied before would make an object of any size. */
enum {
    operations_max = 10000,
    steps_max = 256,
    copied_max = 3 * 1024 * 1024,
    visited_max = 4 * 1000 * 1000, /* Values looked at to see how deep they are. */
};

/* What one patch may still do. */
struct budget {
    size_t copied, visited;
};

static bool does_not_apply(struct error *error)
{
    return error_set(error, 422, "Invalid",
                     "the server rejected our request due to an error in our request");
}

/* ---- pointers (RFC 6901) ---- */

struct pointer {
    char *steps[steps_max];
    size_t count;
};

static void pointer_clear(struct pointer *pointer)
{
    for (size_t i = 0; i < pointer->count; i++) {
        free(pointer->steps[i]);
    }
    pointer->count = 0;
}

static bool pointer_parse(const char *text, struct pointer *pointer)
{
    pointer->count = 0;
    while (*text == '/' && pointer->count < steps_max) {
        size_t length = strcspn(++text, "/");
        char *step = duplicate_bytes(text, length), *to = step;
        for (const char *from = step; *from != '\0'; from++) {
            bool escape = *from == '~' && (from[1] == '0' || from[1] == '1');
            *to++ = (char)(!escape ? *from : from[1] == '0' ? '~' : '/');
            from += escape;
        }
        *to = '\0';
        pointer->steps[pointer->count++] = step;
        text += length;
    }
    return *text == '\0';
}

/* The index that a step names in an array of 'size' elements; negative ones count from the end and
 * "-" is behind it. False when it is none. */
static bool step_index(size_t size, const char *step, size_t *index)
{
    if (strcmp(step, "-") == 0) {
        *index = size;
        return true;
    }
    bool negative = step[0] == '-';
    const char *digits = step + negative;
    if (!isdigit((unsigned char)digits[0]) || strspn(digits, "0123456789") != strlen(digits) ||
        strlen(digits) > 9) {
        return false;
    }
    size_t number = strtoul(digits, NULL, 10);
    *index = negative ? size - number : number;
    return !negative || number <= size;
}

static json_t *child(const json_t *container, const char *step)
{
    size_t index;
    if (json_is_object(container)) {
        return json_object_get(container, step);
    }
    return step_index(json_array_size(container), step, &index) ? json_array_get(container, index)
                                                                : NULL;
}

/* The value at the first 'count' steps; borrowed, NULL when there is none. */
static json_t *find(json_t *root, const struct pointer *pointer, size_t count)
{
    for (size_t i = 0; i < count && root != NULL; i++) {
        root = child(root, pointer->steps[i]);
    }
    return root;
}

/* ---- operations ---- */

/* The value stays within the levels that a tree may have when it stands at this one. */
static bool fits(const json_t *value, size_t level, struct budget *budget)
{
    const char *key;
    json_t *member;
    if (++budget->visited > visited_max || level > JSON_LEVELS_MAX) {
        return false;
    }
    for (size_t i = 0; i < json_array_size(value); i++) {
        if (!fits(json_array_get(value, i), level + 1, budget)) {
            return false;
        }
    }
    json_object_foreach ((json_t *)value, key, member) {
        if (!fits(member, level + 1, budget)) {
            return false;
        }
    }
    return true;
}

/* Consumes the value. */
static bool add(json_t **root, const struct pointer *pointer, json_t *value, bool replace,
                struct budget *budget)
{
    if (!fits(value, pointer->count, budget)) {
        json_decref(value);
        return false;
    }
    if (pointer->count == 0) {
        json_decref(*root);
        *root = value;
        return true;
    }
    json_t *parent = find(*root, pointer, pointer->count - 1);
    const char *last = pointer->steps[pointer->count - 1];
    size_t index;
    bool done = false;
    if (json_is_object(parent)) {
        done = (!replace || json_object_get(parent, last) != NULL) &&
               json_object_set(parent, last, value) == 0;
    } else if (json_is_array(parent) && replace) {
        done = step_index(json_array_size(parent), last, &index) &&
               json_array_set(parent, index, value) == 0;
    } else if (json_is_array(parent)) {
        size_t size = json_array_size(parent) + (strcmp(last, "-") == 0 ? 0 : 1);
        done = step_index(size, last, &index) && json_array_insert(parent, index, value) == 0;
    }
    json_decref(value);
    return done;
}

static bool remove_value(json_t *root, const struct pointer *pointer)
{
    json_t *parent = pointer->count ? find(root, pointer, pointer->count - 1) : NULL;
    const char *last = pointer->count ? pointer->steps[pointer->count - 1] : "";
    size_t index;
    if (json_is_object(parent)) {
        return json_object_del(parent, last) == 0;
    }
    return json_is_array(parent) && step_index(json_array_size(parent), last, &index) &&
           json_array_remove(parent, index) == 0;
}

static bool copy(json_t **root, const struct pointer *path, const json_t *source,
                 struct budget *budget)
{
    cleanup(buffer_free)
    struct buffer text = BUFFER_INIT;
    json_encode(source, &text);
    budget->copied += text.length;
    return budget->copied <= copied_max && add(root, path, json_deep_copy(source), false, budget);
}

static bool move(json_t **root, const struct pointer *path, const struct pointer *from,
                 json_t *source, struct budget *budget)
{
    json_incref(source);
    if (!remove_value(*root, from)) {
        json_decref(source);
        return false;
    }
    return add(root, path, source, false, budget);
}

/* Without a value, null is meant. */
static bool apply(json_t **root, const char *name, const struct pointer *path,
                  const struct pointer *from, const json_t *value, struct budget *budget)
{
    json_t *present = find(*root, path, path->count);
    json_t *source = from ? find(*root, from, from->count) : NULL;
    if (strcmp(name, "add") == 0) {
        return add(root, path, value ? json_deep_copy(value) : json_null(), false, budget);
    }
    if (strcmp(name, "replace") == 0) {
        return present != NULL &&
               add(root, path, value ? json_deep_copy(value) : json_null(), true, budget);
    }
    if (strcmp(name, "remove") == 0) {
        return remove_value(*root, path);
    }
    if (strcmp(name, "test") == 0) {
        const json_t *wanted = value ? value : json_null();
        return present ? json_equal(present, wanted) : json_is_null(wanted);
    }
    if (source == NULL) {
        return false;
    }
    return strcmp(name, "copy") == 0 ? copy(root, path, source, budget)
                                     : move(root, path, from, source, budget);
}

static bool is_operation(const char *name)
{
    static const char *const names[] = {"add", "remove", "replace", "move", "copy", "test"};
    for (size_t i = 0; name != NULL && i < array_length(names); i++) {
        if (strcmp(names[i], name) == 0) {
            return true;
        }
    }
    return false;
}

bool patch_json(const json_t *patch, json_t **object, struct error *error)
{
    if (!json_is_array(patch)) {
        return error_bad_request(error, "error decoding patch: a JSON patch must be an array");
    }
    if (json_array_size(patch) > operations_max) {
        return error_set(error, 413, "RequestEntityTooLarge",
                         "The allowed maximum operations in a JSON patch is %d, got %zu",
                         operations_max, json_array_size(patch));
    }
    struct budget budget = {0};
    for (size_t i = 0; i < json_array_size(patch); i++) {
        const json_t *operation = json_array_get(patch, i);
        const char *name = json_get_string(operation, "op");
        const char *path = json_get_string(operation, "path");
        const char *from = json_get_string(operation, "from");
        cleanup(pointer_clear)
        struct pointer to = {0}, source = {0};
        bool readable = is_operation(name) && path != NULL && pointer_parse(path, &to) &&
                        (from == NULL || pointer_parse(from, &source));
        if (!readable || !apply(object, name, &to, from ? &source : NULL,
                                json_object_get(operation, "value"), &budget)) {
            return does_not_apply(error);
        }
    }
    return true;
}
