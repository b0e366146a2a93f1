// SPDX-License-Identifier: Apache-2.0
#include "common/yaml.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <string.h>
#include <yaml.h>

#include "common/alloc.h"
#include "common/base64.h"
#include "common/json.h"
#include "common/map.h"

enum { levels_max = 100, expansion_factor = 10, expansion_min = 100000 };

struct loader {
    yaml_parser_t parser;
    yaml_event_t event; /* The present one; owned. */
    bool have_event;
    struct map anchors;      /* Name to tree. */
    size_t nodes, nodes_max; /* Nodes made, aliases expanded included. */
    void (*duplicate)(void *argument, const char *message);
    void *argument;
    struct error *error;
};

static json_t *load_node(struct loader *loader, int level);

/* ---- events ---- */

static bool next_event(struct loader *loader)
{
    if (loader->have_event) {
        yaml_event_delete(&loader->event);
        loader->have_event = false;
    }
    if (!yaml_parser_parse(&loader->parser, &loader->event)) {
        return error_bad_request(loader->error, "error converting YAML to JSON: yaml: line %zu: %s",
                                 loader->parser.problem_mark.line + 1,
                                 loader->parser.problem ? loader->parser.problem : "invalid YAML");
    }
    loader->have_event = true;
    return true;
}

static size_t line_of(const struct loader *loader)
{
    return loader->event.start_mark.line + 1;
}

static bool fail(const struct loader *loader, const char *why)
{
    return error_bad_request(loader->error, "error converting YAML to JSON: yaml: line %zu: %s",
                             line_of(loader), why);
}

/* ---- scalars ---- */

static bool is_one_of(const char *text, const char *const *words)
{
    for (; *words != NULL; words++) {
        if (strcmp(text, *words) == 0) {
            return true;
        }
    }
    return false;
}

static bool parse_integer(const char *text, json_int_t *number)
{
    char digits[64];
    size_t length = 0;
    for (const char *c = text; *c != '\0'; c++) {
        if (length == sizeof digits - 1) {
            return false;
        }
        if (*c != '_') {
            digits[length++] = *c;
        }
    }
    digits[length] = '\0';
    const char *start = digits + (digits[0] == '-' || digits[0] == '+');
    int base = 10;
    int letter = start[0] == '0' ? tolower((unsigned char)start[1]) : 0;
    if (start[0] == '0' && (letter == 'x' || letter == 'b' || letter == 'o')) {
        base = letter == 'x' ? 16 : letter == 'b' ? 2 : 8;
        memmove((char *)start, start + 2, strlen(start + 2) + 1);
    } else if (start[0] == '0' && start[1] != '\0') {
        base = 8;
    }
    if (!isxdigit((unsigned char)start[0])) {
        return false;
    }
    char *end;
    errno = 0;
    *number = strtoll(digits, &end, base);
    return *end == '\0' && errno == 0;
}

/* Digits with a point or an exponent. */
static bool parse_real(const char *text, double *number)
{
    const char *c = text + (text[0] == '-' || text[0] == '+');
    size_t digits = strspn(c, "0123456789");
    c += digits;
    if (*c == '.') {
        size_t decimals = strspn(++c, "0123456789");
        digits += decimals;
        c += decimals;
    }
    if (digits > 0 && (*c == 'e' || *c == 'E')) {
        c++;
        c += *c == '-' || *c == '+';
        size_t exponent = strspn(c, "0123456789");
        digits = exponent ? digits : 0;
        c += exponent;
    }
    if (digits == 0 || *c != '\0') {
        return false;
    }
    *number = strtod(text, NULL);
    return isfinite(*number);
}

static json_t *plain_scalar(const char *text, size_t length)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
    static const char *const trues[] = {"true", "True", "TRUE", "y",  "Y",  "yes",
                                        "Yes",  "YES",  "on",   "On", "ON", NULL};
    static const char *const falses[] = {"false", "False", "FALSE", "n",   "N",   "no",
                                         "No",    "NO",    "off",   "Off", "OFF", NULL};
    json_int_t integer;
    double real;
    if (is_one_of(text, nulls)) {
        return json_null();
    }
    if (is_one_of(text, trues)) {
        return json_true();
    }
    if (is_one_of(text, falses)) {
        return json_false();
    }
    if (parse_integer(text, &integer)) {
        return json_integer(integer);
    }
    if (parse_real(text, &real)) {
        /* 1.0 becomes 1 on its way through Go's JSON. */
        bool whole = fabs(real) < 1e15 && real == floor(real);
        return whole ? json_integer((json_int_t)real) : json_real(real);
    }
    return json_stringn(text, length);
}

static bool is_infinite(const char *text)
{
    static const char *const words[] = {".inf",  ".Inf",  ".INF",  "+.inf", "+.Inf",
                                        "+.INF", "-.inf", "-.Inf", "-.INF", ".nan",
                                        ".NaN",  ".NAN",  NULL};
    return is_one_of(text, words);
}

static json_t *binary_scalar(const char *text, size_t length)
{
    size_t decoded_length;
    cleanup(free_char)
    char *decoded = base64_decode(text, length, &decoded_length);
    return decoded ? json_stringn(decoded, decoded_length) : NULL;
}

/* A tag of YAML's own types asks for the meaning that a plain scalar has, and a scalar that has
 * none but text is an error; other tags make a string. */
static bool is_resolved(const yaml_event_t *event)
{
    static const char *const tags[] = {YAML_INT_TAG, YAML_FLOAT_TAG, YAML_BOOL_TAG, YAML_NULL_TAG,
                                       NULL};
    const char *tag = (const char *)event->data.scalar.tag;
    return tag ? is_one_of(tag, tags) : event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
}

static json_t *load_scalar(struct loader *loader)
{
    const yaml_event_t *event = &loader->event;
    const char *text = (const char *)event->data.scalar.value;
    size_t length = event->data.scalar.length;
    const char *tag = (const char *)event->data.scalar.tag;
    bool resolved = is_resolved(event);
    if (resolved && is_infinite(text)) {
        fail(loader, "a number must be finite");
        return NULL;
    }
    bool binary = tag != NULL && strcmp(tag, "tag:yaml.org,2002:binary") == 0;
    json_t *scalar = resolved ? plain_scalar(text, length)
                     : binary ? binary_scalar(text, length)
                              : json_stringn(text, length);
    if (tag != NULL && resolved && json_is_string(scalar)) {
        json_decref(scalar);
        fail(loader, "a value is not of the type that its tag says");
        return NULL;
    }
    if (scalar == NULL) {
        fail(loader,
             binary ? "!!binary value contains invalid base64 data" : "the text is not UTF-8");
    }
    return scalar;
}

/* ---- containers ---- */

static void remember(struct loader *loader, const char *anchor, json_t *tree)
{
    if (anchor != NULL) {
        json_decref(map_set(&loader->anchors, anchor, json_incref(tree)));
    }
}

/* The number of nodes and, in '*depth', of levels. */
static size_t measure(const json_t *tree, int *depth)
{
    size_t count = 1;
    int below = 0, deepest = 0;
    const char *key;
    json_t *value;
    for (size_t i = 0; i < json_array_size(tree); i++) {
        count += measure(json_array_get(tree, i), &below);
        deepest = below > deepest ? below : deepest;
    }
    json_object_foreach ((json_t *)tree, key, value) {
        count += measure(value, &below);
        deepest = below > deepest ? below : deepest;
    }
    *depth = deepest + 1;
    return count;
}

static json_t *load_alias(struct loader *loader, int level)
{
    int depth = 0;
    const json_t *tree = map_get(&loader->anchors, (const char *)loader->event.data.alias.anchor);
    if (tree == NULL) {
        fail(loader, "unknown anchor referenced");
        return NULL;
    }
    loader->nodes += measure(tree, &depth);
    if (level + depth > levels_max) {
        fail(loader, "exceeded max depth");
        return NULL;
    }
    if (loader->nodes > loader->nodes_max) {
        fail(loader, "document contains excessive aliasing");
        return NULL;
    }
    return json_deep_copy(tree);
}

/* The text of a key; numbers and booleans read as the text of their value. The caller's. */
static char *load_key(struct loader *loader, int level)
{
    bool merges = loader->event.type == YAML_SCALAR_EVENT && is_resolved(&loader->event) &&
                  strcmp((const char *)loader->event.data.scalar.value, "<<") == 0;
    cleanup(json_release)
    json_t *key = load_node(loader, level);
    if (key == NULL) {
        return NULL;
    }
    if (json_is_string(key) && strlen(json_string_value(key)) == json_string_length(key)) {
        return duplicate(merges ? "<<" : json_string_value(key));
    }
    if (json_is_number(key) || json_is_boolean(key)) {
        return json_text(key);
    }
    fail(loader, "a key must be a string, a number or a boolean");
    return NULL;
}

/* "<<": members of other maps, which own members override. */
static bool merge_map(struct loader *loader, json_t *object, const json_t *merged)
{
    if (json_is_array(merged)) {
        for (size_t i = 0; i < json_array_size(merged); i++) {
            if (!merge_map(loader, object, json_array_get(merged, i))) {
                return false;
            }
        }
        return true;
    }
    return json_is_object(merged)
               ? json_object_update_missing(object, (json_t *)merged) == 0
               : fail(loader, "map merge requires map or sequence of maps as the "
                              "value");
}

static void tell_duplicate(struct loader *loader, size_t line, const char *key)
{
    if (loader->duplicate != NULL) {
        cleanup(free_char)
        char *message = format("line %zu: key \"%s\" already set in map", line, key);
        loader->duplicate(loader->argument, message);
    }
}

static json_t *load_map(struct loader *loader, int level)
{
    cleanup(free_char)
    char *anchor = loader->event.data.mapping_start.anchor
                       ? duplicate((const char *)loader->event.data.mapping_start.anchor)
                       : NULL;
    cleanup(json_release)
    json_t *object = json_object(), *merged = json_array();
    while (next_event(loader)) {
        if (loader->event.type == YAML_MAPPING_END_EVENT) {
            if (!merge_map(loader, object, merged)) {
                return NULL;
            }
            remember(loader, anchor, object);
            return steal(object);
        }
        size_t line = line_of(loader);
        bool plain = loader->event.type == YAML_SCALAR_EVENT &&
                     loader->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
        cleanup(free_char)
        char *key = load_key(loader, level);
        json_t *value = key != NULL && next_event(loader) ? load_node(loader, level) : NULL;
        if (value == NULL) {
            return NULL;
        }
        if (plain && strcmp(key, "<<") == 0) {
            json_array_append_new(merged, value);
            continue;
        }
        if (json_object_get(object, key) != NULL) {
            tell_duplicate(loader, line, key);
        }
        if (json_object_set_new(object, key, value) != 0) {
            fail(loader, "the text is not UTF-8");
            return NULL;
        }
    }
    return NULL;
}

static json_t *load_list(struct loader *loader, int level)
{
    cleanup(free_char)
    char *anchor = loader->event.data.sequence_start.anchor
                       ? duplicate((const char *)loader->event.data.sequence_start.anchor)
                       : NULL;
    cleanup(json_release)
    json_t *list = json_array();
    while (next_event(loader)) {
        if (loader->event.type == YAML_SEQUENCE_END_EVENT) {
            remember(loader, anchor, list);
            return steal(list);
        }
        json_t *element = load_node(loader, level);
        if (element == NULL) {
            return NULL;
        }
        json_array_append_new(list, element);
    }
    return NULL;
}

/* The tree of the node that begins with the present event. */
static json_t *load_node(struct loader *loader, int level)
{
    if (level > levels_max) {
        fail(loader, "exceeded max depth");
        return NULL;
    }
    loader->nodes++;
    if (!json_check_values(loader->nodes, loader->error)) {
        return NULL;
    }
    switch (loader->event.type) {
    case YAML_SCALAR_EVENT: {
        json_t *scalar = load_scalar(loader);
        if (scalar != NULL) {
            remember(loader, (const char *)loader->event.data.scalar.anchor, scalar);
        }
        return scalar;
    }
    case YAML_MAPPING_START_EVENT:
        return load_map(loader, level + 1);
    case YAML_SEQUENCE_START_EVENT:
        return load_list(loader, level + 1);
    case YAML_ALIAS_EVENT:
        return load_alias(loader, level);
    default:
        fail(loader, "unexpected end");
        return NULL;
    }
}

/* ---- streams ---- */

static void release_anchor(void *tree)
{
    json_decref(tree);
}

static bool load_stream(struct loader *loader,
                        bool (*document)(void *argument, json_t *tree, size_t line), void *argument)
{
    while (next_event(loader)) {
        if (loader->event.type == YAML_STREAM_END_EVENT) {
            return true;
        }
        if (loader->event.type != YAML_DOCUMENT_START_EVENT) {
            continue;
        }
        size_t line = line_of(loader);
        json_t *tree = next_event(loader) ? load_node(loader, 0) : NULL;
        map_free(&loader->anchors, release_anchor);
        if (tree == NULL) {
            return false;
        }
        if (!document(argument, tree, line)) {
            return true;
        }
    }
    return false;
}

static bool load(const char *text, size_t length,
                 void (*duplicate_key)(void *argument, const char *message),
                 void *duplicate_argument,
                 bool (*document)(void *argument, json_t *tree, size_t line), void *argument,
                 struct error *error)
{
    struct loader loader = {
        .nodes_max = expansion_min + length * expansion_factor,
        .duplicate = duplicate_key,
        .argument = duplicate_argument,
        .error = error,
    };
    yaml_parser_initialize(&loader.parser);
    yaml_parser_set_input_string(&loader.parser, (const unsigned char *)text, length);
    bool loaded = load_stream(&loader, document, argument);
    if (loader.have_event) {
        yaml_event_delete(&loader.event);
    }
    map_free(&loader.anchors, release_anchor);
    yaml_parser_delete(&loader.parser);
    return loaded;
}

static bool take_first(void *argument, json_t *tree, size_t line)
{
    (void)line;
    *(json_t **)argument = tree;
    return false;
}

json_t *yaml_parse(const char *text, size_t length,
                   void (*duplicate_key)(void *argument, const char *message), void *argument,
                   struct error *error)
{
    json_t *tree = NULL;
    if (!load(text, length, duplicate_key, argument, take_first, &tree, error)) {
        return NULL;
    }
    return tree ? tree : json_null();
}

bool yaml_parse_stream(const char *text, size_t length,
                       bool (*document)(void *argument, json_t *tree, size_t line), void *argument,
                       struct error *error)
{
    return load(text, length, NULL, NULL, document, argument, error);
}

/* ---- encoding ---- */

/* Characters beyond ASCII that YAML takes for line breaks or does not allow unescaped: C1 controls,
 * U+2028, U+2029, U+FEFF, U+FFFE and U+FFFF. Returns the code point of the one that begins here and
 * its length, or 0. */
static unsigned special_character(const unsigned char *text, size_t *length)
{
    *length = 3;
    if (text[0] == 0x7f) {
        *length = 1;
        return 0x7f;
    }
    if (text[0] == 0xc2 && text[1] >= 0x80 && text[1] < 0xa0) {
        *length = 2;
        return text[1];
    }
    if (text[0] == 0xe2 && text[1] == 0x80 && (text[2] & 0xfe) == 0xa8) {
        return 0x2000U + 0x28U + (text[2] & 1U);
    }
    if (text[0] == 0xef && text[1] == 0xbb && text[2] == 0xbf) {
        return 0xfeff;
    }
    return text[0] == 0xef && text[1] == 0xbf && text[2] >= 0xbe ? 0xff00U | (text[2] + 0x40U) : 0;
}

static bool has_special_character(const char *text)
{
    size_t length;
    for (; *text != '\0'; text++) {
        if (special_character((const unsigned char *)text, &length) != 0) {
            return true;
        }
    }
    return false;
}

/* In double quotes: as in JSON, with more escapes. */
static void encode_quoted(const json_t *string, struct buffer *out)
{
    cleanup(free_char)
    char *text = json_text(string);
    for (const char *at = text; *at != '\0';) {
        size_t length;
        unsigned special = special_character((const unsigned char *)at, &length);
        if (special != 0) {
            buffer_addf(out, "\\u%04x", special);
            at += length;
        } else {
            buffer_add_char(out, *at++);
        }
    }
}

/* Whether a plain scalar with this text would read back as the same string. */
static bool is_plain(const char *text, size_t length)
{
    if (length == 0 || isspace((unsigned char)text[0]) ||
        isspace((unsigned char)text[length - 1]) || strchr("-?:,[]{}#&*!|>'\"%@`=<", text[0]) ||
        has_special_character(text)) {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        bool ends_key = c == ':' && (i + 1 == length || text[i + 1] == ' ');
        bool begins_comment = c == '#' && i > 0 && text[i - 1] == ' ';
        if (c < 0x20 || c == 0x7f || ends_key || begins_comment) {
            return false;
        }
    }
    if (isdigit((unsigned char)text[0]) || text[0] == '.' || text[0] == '+') {
        return false; /* Numbers and dates. */
    }
    json_t *read = plain_scalar(text, length);
    bool same = json_is_string(read);
    json_decref(read);
    return same;
}

static bool is_block(const char *text, size_t length)
{
    if (memchr(text, '\n', length) == NULL || text[0] == '\n' || text[0] == ' ' ||
        text[0] == '\t' || has_special_character(text)) {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        if (((unsigned char)text[i] < 0x20 && text[i] != '\n') || text[i] == 0x7f) {
            return false;
        }
    }
    return true;
}

static void indent(struct buffer *out, int spaces)
{
    for (int i = 0; i < spaces; i++) {
        buffer_add_char(out, ' ');
    }
}

static void encode_block(const char *text, size_t length, struct buffer *out, int spaces)
{
    bool ends = text[length - 1] == '\n';
    bool keeps = ends && length > 1 && text[length - 2] == '\n';
    buffer_add_text(out, keeps ? "|+\n" : ends ? "|\n" : "|-\n");
    for (const char *at = text; *at != '\0';) {
        size_t line = strcspn(at, "\n");
        if (line > 0) {
            indent(out, spaces);
        }
        buffer_add(out, at, line);
        buffer_add_char(out, '\n');
        at += line;
        at += *at == '\n';
    }
}

static void encode_text(const json_t *json, struct buffer *out, int spaces)
{
    const char *text = json_string_value(json);
    size_t length = json_string_length(json);
    if (strlen(text) == length && is_block(text, length)) {
        encode_block(text, length, out, spaces);
        return;
    }
    if (strlen(text) == length && is_plain(text, length)) {
        buffer_add(out, text, length);
    } else {
        encode_quoted(json, out);
    }
    buffer_add_char(out, '\n');
}

static int compare_keys(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void encode_value(const json_t *json, struct buffer *out, int spaces, bool in_list);

static void encode_map(const json_t *json, struct buffer *out, int spaces, bool in_list)
{
    size_t count = 0;
    const char **keys = allocate_zero(json_object_size(json), sizeof *keys);
    const char *key;
    json_t *value;
    json_object_foreach ((json_t *)json, key, value) {
        keys[count++] = key;
    }
    qsort(keys, count, sizeof *keys, compare_keys);
    for (size_t i = 0; i < count; i++) {
        if (i > 0 || !in_list) {
            indent(out, spaces);
        }
        if (is_plain(keys[i], strlen(keys[i]))) {
            buffer_add_text(out, keys[i]);
        } else {
            cleanup(json_release)
            json_t *quoted = json_string(keys[i]);
            encode_quoted(quoted, out);
        }
        buffer_add_char(out, ':');
        encode_value(json_object_get(json, keys[i]), out, spaces, false);
    }
    free(keys);
}

static void encode_list(const json_t *json, struct buffer *out, int spaces, bool in_list)
{
    for (size_t i = 0; i < json_array_size(json); i++) {
        if (i > 0 || !in_list) {
            indent(out, spaces);
        }
        buffer_add_char(out, '-');
        encode_value(json_array_get(json, i), out, spaces, true);
    }
}

/* What follows "key:" or "-", which stands at 'spaces'. */
static void encode_value(const json_t *json, struct buffer *out, int spaces, bool in_list)
{
    if (json_is_object(json) && json_object_size(json) > 0) {
        buffer_add_char(out, in_list ? ' ' : '\n');
        encode_map(json, out, spaces + 2, in_list);
    } else if (json_is_array(json) && json_array_size(json) > 0) {
        buffer_add_char(out, in_list ? ' ' : '\n');
        encode_list(json, out, in_list ? spaces + 2 : spaces, in_list);
    } else {
        buffer_add_char(out, ' ');
        if (json_is_string(json)) {
            encode_text(json, out, spaces + 2);
        } else {
            json_encode(json, out);
            buffer_add_char(out, '\n');
        }
    }
}

void yaml_encode(const json_t *json, struct buffer *out)
{
    if (json_is_object(json) && json_object_size(json) > 0) {
        encode_map(json, out, 0, false);
    } else if (json_is_array(json) && json_array_size(json) > 0) {
        encode_list(json, out, 0, false);
    } else if (json_is_string(json)) {
        encode_text(json, out, 2);
    } else {
        json_encode(json, out);
        buffer_add_char(out, '\n');
    }
}
