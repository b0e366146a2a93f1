// SPDX-License-Identifier: Apache-2.0
/*
 * JSON beside jansson: parsing with Kubernetes' limits, our own encoder, and a scanner that finds
 * values in encoded text without building a tree.
 *
 * Trees are jansson's; objects keep the order in which members were added.
 */
#ifndef COMMON_JSON_H
#define COMMON_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/buffer.h"
#include "common/error.h"

void json_release(json_t **json); /* For cleanup(). */

/* For a tree that never changes and that several threads are to refer to at a time: from now on it
 * is never freed, and its references are not counted, as those of "true" and "null" are not. (To
 * count them is no race in effect, but looks at the number without being atomic.) Before others
 * know it. */
void json_keep_forever(json_t *json);

/* What is read may be this deep, so that all that walks trees by recursion fits any stack, and the
 * body of a request may hold this many values (scalars, objects and arrays): a tree takes up to a
 * hundred times the memory of its text. */
enum { JSON_LEVELS_MAX = 500, JSON_VALUES_MAX = 100000 };

/* The values in a text, without making a tree of them. */
size_t json_count_values(const char *text, size_t length);
/* For more than JSON_VALUES_MAX: sets a 413 and is false. */
bool json_check_values(size_t values, struct error *error);

/* Parses one value that fills the whole text. Numbers outside int64 become reals; of duplicate
 * members the last one counts (json_duplicates() tells of them); more than JSON_LEVELS_MAX levels,
 * or text that is not UTF-8, is an error (400). The caller's. */
json_t *json_parse(const char *text, size_t length, struct error *error);
/* The same for a request's body, which holds no more than JSON_VALUES_MAX values (413). Says
 * whether json_duplicates() has something to tell, which most times it has not. */
json_t *json_parse_body(const char *text, size_t length, bool *has_duplicates, struct error *error);

/* The same for text that one of these two took in before: NULL when it is wrong all the same. */
json_t *json_parse_known(const char *text, size_t length);

/* Appends the shortest JSON text of a tree; reals in the shortest form that reads back the same,
 * so that 0.1 stays 0.1. Never fails. */
void json_encode(const json_t *json, struct buffer *buffer);
/* The same as a string, the caller's. */
char *json_text(const json_t *json);
/* Appends a string with its quotes. */
void json_encode_string(const char *text, size_t length, struct buffer *buffer);

/* Calls 'found' with the path ("spec.containers[0].name") of each member that stands more than
 * once in its object. 'text' has been parsed without error. */
void json_duplicates(const char *text, size_t length,
                     void (*found)(void *argument, const char *path), void *argument);

/* ---- access to trees: each borrowed, each NULL or the given default when absent or of another
 * type ---- */

/* Walks members by name: json_path(pod, "spec", "nodeName"). */
#define json_path(json, ...) json_path_list((json), (const char *const[]){__VA_ARGS__, NULL})
json_t *json_path_list(const json_t *json, const char *const *names);
#define json_path_string(json, ...) json_string_value(json_path((json), __VA_ARGS__))
const char *json_get_string(const json_t *object, const char *name); /* NULL when absent. */
json_int_t json_get_int(const json_t *object, const char *name, json_int_t otherwise);
bool json_get_bool(const json_t *object, const char *name, bool otherwise);
/* The member as an object, created when it is absent or null. Borrowed. */
json_t *json_get_or_add_object(json_t *object, const char *name);
/* The array holds this string. */
bool json_array_has_string(const json_t *array, const char *text);

/* A string may hold a NUL ("\\u0000"), which ends it for all that compares and checks text. */
bool json_has_nul(const json_t *string);
/* The text for checks: each NUL is made a character that no rule accepts. The caller's; NULL when
 * there is none and the text can be taken as it is. */
char *json_without_nul(const json_t *string);

/* ---- scanning encoded text ---- */

/* A part of some text; text is NULL when absent. Strings include their quotes. */
struct json_span {
    const char *text;
    size_t length;
};

/* The place behind the string that begins with the quote, or the end of the text if it does not end
 * before. */
const char *json_string_end(const char *quote, const char *end);
/* Finds the values at the given paths in one pass over valid, compact or spaced JSON. A path is
 * member names joined by '.', such as "metadata.labels" (names with dots can't be reached).
 * spans[i] is where paths[i] stands, or absent. Reads nothing behind 'length'. */
void json_scan(const char *text, size_t length, const char *const *paths, size_t count,
               struct json_span *spans);
/* The same for text in which no object has a member twice, such as a server's: it reads no further
 * than to where every path has been met, or that which leads to it. */
void json_scan_until_met(const char *text, size_t length, const char *const *paths, size_t count,
                         struct json_span *spans);
/* Calls 'member' for each member of the object at 'object'; key without quotes, still escaped.
 * Stops when it returns false. */
void json_scan_members(struct json_span object,
                       bool (*member)(void *argument, struct json_span key, struct json_span value),
                       void *argument);
/* The value of that member of the object, absent if there is none; 'key' as it stands in the text.
 */
struct json_span json_scan_member(struct json_span object, const char *key);
/* Calls 'element' for each element of the array at 'array'. Stops when it returns false. */
void json_scan_elements(struct json_span array,
                        bool (*element)(void *argument, struct json_span value), void *argument);
/* The value of a span: strings without quotes and escapes, others as they stand. NULL when absent.
 * The caller's. */
char *json_span_value(struct json_span span);

#endif
