// SPDX-License-Identifier: Apache-2.0
#include "common/json.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/alloc.h"

void json_release(json_t **json)
{
    json_decref(*json);
}

/* The length of the string that begins with this quote. */
static size_t string_length(const char *text, size_t length)
{
    size_t i = 1;
    while (i < length && text[i] != '"') {
        i += text[i] == '\\' ? 2 : 1;
    }
    return i < length ? i + 1 : length;
}

static bool is_large_integer(const char *text, size_t length)
{
    cleanup(free_char)
    char *number = duplicate_bytes(text, length);
    errno = 0;
    strtoll(number, NULL, 10);
    return errno == ERANGE && strpbrk(number, ".eE") == NULL;
}

/* The text with an exponent behind each integer that is out of range, which makes it a real. */
static void mark_large_integers(const char *text, size_t length, struct buffer *out)
{
    for (size_t i = 0; i < length;) {
        size_t token = 1;
        bool large = false;
        if (text[i] == '"') {
            token = string_length(text + i, length - i);
        } else if (text[i] == '-' || (text[i] >= '0' && text[i] <= '9')) {
            while (i + token < length && text[i + token] != '\0' &&
                   strchr("0123456789+-.eE", text[i + token]) != NULL) {
                token++;
            }
            large = is_large_integer(text + i, token);
        }
        buffer_add(out, text + i, token);
        buffer_add_text(out, large ? "e0" : "");
        i += token;
    }
}

/* What a text holds, by its punctuation; anything for text that is no JSON. */
struct measures {
    size_t values, levels;
};

static struct measures measure(const char *text, size_t length)
{
    struct measures measures = {.values = 1};
    size_t level = 0;
    bool opened = false; /* Nothing has come since a container began. */
    for (size_t i = 0; i < length; i++) {
        switch (text[i]) {
        case '"':
            i += string_length(text + i, length - i) - 1;
            opened = false;
            break;
        case '{':
        case '[':
            level++;
            measures.levels = level > measures.levels ? level : measures.levels;
            measures.values++;
            opened = true;
            break;
        case '}':
        case ']':
            level -= level > 0;
            measures.values -= opened;
            opened = false;
            break;
        case ',':
            measures.values++;
            break;
        case ' ':
        case '\n':
        case '\r':
        case '\t':
            break;
        default:
            opened = false;
        }
    }
    return measures;
}

size_t json_count_values(const char *text, size_t length)
{
    return measure(text, length).values;
}

bool json_check_values(size_t values, struct error *error)
{
    return values <= JSON_VALUES_MAX ||
           error_set(error, 413, "RequestEntityTooLarge",
                     "Request entity too large: it holds more than %d values", JSON_VALUES_MAX);
}

/* Parses what has been measured. */
static json_t *parse(const char *text, size_t length, size_t flags, json_error_t *where)
{
    flags |= JSON_DECODE_ANY | JSON_ALLOW_NUL;
    json_t *json = json_loadb(text, length, flags, where);
    if (json == NULL && json_error_code(where) == json_error_numeric_overflow) {
        cleanup(buffer_free)
        struct buffer marked = BUFFER_INIT;
        mark_large_integers(text, length, &marked);
        json = json_loadb(marked.bytes, marked.length, flags, where);
    }
    return json;
}

static bool check_levels(size_t levels, struct error *error)
{
    return levels <= JSON_LEVELS_MAX || error_bad_request(error, "exceeded max depth");
}

static json_t *parsed(json_t *json, const json_error_t *where, struct error *error)
{
    if (json == NULL) {
        error_bad_request(error, "invalid JSON at line %d column %d: %s", where->line,
                          where->column, where->text);
    }
    return json;
}

json_t *json_parse(const char *text, size_t length, struct error *error)
{
    json_error_t where;
    if (!check_levels(measure(text, length).levels, error)) {
        return NULL;
    }
    return parsed(parse(text, length, 0, &where), &where, error);
}

json_t *json_parse_body(const char *text, size_t length, bool *has_duplicates, struct error *error)
{
    json_error_t where;
    struct measures measures = measure(text, length);
    *has_duplicates = false;
    if (!json_check_values(measures.values, error) || !check_levels(measures.levels, error)) {
        return NULL;
    }
    json_t *json = parse(text, length, JSON_REJECT_DUPLICATES, &where);
    if (json == NULL && json_error_code(&where) == json_error_duplicate_key) {
        *has_duplicates = true; /* Provided that the rest is right. */
        json = parse(text, length, 0, &where);
    }
    return parsed(json, &where, error);
}

/* ---- encoding ---- */

/* The letter of a two-character escape, or NUL when the character has none. */
static char short_escape(unsigned char c)
{
    switch (c) {
    case '"':
    case '\\':
        return (char)c;
    case '\b':
        return 'b';
    case '\f':
        return 'f';
    case '\n':
        return 'n';
    case '\r':
        return 'r';
    case '\t':
        return 't';
    default:
        return '\0';
    }
}

static void encode_string(const char *text, size_t length, struct buffer *buffer)
{
    static const char hex[] = "0123456789abcdef";
    buffer_add_char(buffer, '"');
    size_t plain = 0; /* Where the run of characters that need no escape began. */
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c >= 0x20 && c != '"' && c != '\\') {
            continue;
        }
        buffer_add(buffer, text + plain, i - plain);
        plain = i + 1;
        char letter = short_escape(c);
        if (letter != '\0') {
            char escape[2] = {'\\', letter};
            buffer_add(buffer, escape, 2);
        } else {
            char escape[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
            buffer_add(buffer, escape, 6);
        }
    }
    buffer_add(buffer, text + plain, length - plain);
    buffer_add_char(buffer, '"');
}

static void encode_real(double real, struct buffer *buffer)
{
    char text[40];
    if (!isfinite(real)) {
        buffer_add_literal(buffer, "null");
        return;
    }
    int digits = 1;
    do {
        snprintf(text, sizeof text, "%.*e", digits - 1, real);
    } while (strtod(text, NULL) != real && ++digits <= 17);
    /* As Go's encoding/json: plain notation in the range that people read. */
    double magnitude = fabs(real);
    if (magnitude == 0 || (magnitude >= 1e-6 && magnitude < 1e21)) {
        int exponent = magnitude == 0 ? 0 : atoi(strchr(text, 'e') + 1);
        int decimals = digits - 1 - exponent;
        snprintf(text, sizeof text, "%.*f", decimals > 0 ? decimals : 0, real);
    }
    buffer_add_text(buffer, text);
}

static void encode_object(const json_t *json, struct buffer *buffer)
{
    bool first = true;
    const char *key;
    json_t *value;
    buffer_add_char(buffer, '{');
    void *at = json_object_iter((json_t *)json);
    while (at != NULL) {
        key = json_object_iter_key(at);
        value = json_object_iter_value(at);
        if (!first) {
            buffer_add_char(buffer, ',');
        }
        first = false;
        encode_string(key, json_object_iter_key_len(at), buffer);
        buffer_add_char(buffer, ':');
        json_encode(value, buffer);
        at = json_object_iter_next((json_t *)json, at);
    }
    buffer_add_char(buffer, '}');
}

static void encode_array(const json_t *json, struct buffer *buffer)
{
    buffer_add_char(buffer, '[');
    for (size_t i = 0; i < json_array_size(json); i++) {
        if (i > 0) {
            buffer_add_char(buffer, ',');
        }
        json_encode(json_array_get(json, i), buffer);
    }
    buffer_add_char(buffer, ']');
}

void json_encode(const json_t *json, struct buffer *buffer)
{
    switch (json ? json_typeof(json) : JSON_NULL) {
    case JSON_OBJECT:
        encode_object(json, buffer);
        break;
    case JSON_ARRAY:
        encode_array(json, buffer);
        break;
    case JSON_STRING:
        encode_string(json_string_value(json), json_string_length(json), buffer);
        break;
    case JSON_INTEGER:
        buffer_add_int(buffer, json_integer_value(json));
        break;
    case JSON_REAL:
        encode_real(json_real_value(json), buffer);
        break;
    case JSON_TRUE:
        buffer_add_literal(buffer, "true");
        break;
    case JSON_FALSE:
        buffer_add_literal(buffer, "false");
        break;
    case JSON_NULL:
        buffer_add_literal(buffer, "null");
        break;
    }
}

char *json_text(const json_t *json)
{
    struct buffer buffer = BUFFER_INIT;
    json_encode(json, &buffer);
    return buffer_steal(&buffer);
}

/* ---- access ---- */

json_t *json_path_list(const json_t *json, const char *const *names)
{
    for (; *names != NULL && json != NULL; names++) {
        json = json_object_get(json, *names);
    }
    return (json_t *)json;
}

const char *json_get_string(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

json_int_t json_get_int(const json_t *object, const char *name, json_int_t otherwise)
{
    const json_t *value = json_object_get(object, name);
    return json_is_integer(value) ? json_integer_value(value) : otherwise;
}

bool json_get_bool(const json_t *object, const char *name, bool otherwise)
{
    const json_t *value = json_object_get(object, name);
    return json_is_boolean(value) ? json_is_true(value) : otherwise;
}

json_t *json_get_or_add_object(json_t *object, const char *name)
{
    json_t *member = json_object_get(object, name);
    if (!json_is_object(member)) {
        member = json_object();
        json_object_set_new(object, name, member);
    }
    return member;
}

bool json_array_has_string(const json_t *array, const char *text)
{
    for (size_t i = 0; i < json_array_size(array); i++) {
        const char *element = json_string_value(json_array_get(array, i));
        if (element != NULL && strcmp(element, text) == 0) {
            return true;
        }
    }
    return false;
}

bool json_has_nul(const json_t *string)
{
    return json_is_string(string) &&
           strlen(json_string_value(string)) != json_string_length(string);
}

char *json_without_nul(const json_t *string)
{
    if (!json_has_nul(string)) {
        return NULL;
    }
    size_t length = json_string_length(string);
    char *copy = duplicate_bytes(json_string_value(string), length);
    for (char *at = copy; (at = memchr(at, '\0', (size_t)(copy + length - at))) != NULL;) {
        *at = '\x01';
    }
    return copy;
}

/* ---- scanning ---- */

/* A place in a text that is known to be valid JSON; every step checks the end all the same. */
struct scanner {
    const char *at, *end;
};

static void skip_space(struct scanner *scanner)
{
    while (scanner->at < scanner->end && (*scanner->at == ' ' || *scanner->at == '\n' ||
                                          *scanner->at == '\t' || *scanner->at == '\r')) {
        scanner->at++;
    }
}

/* Stands at the opening quote; ends behind the closing one. */
static void skip_string(struct scanner *scanner)
{
    scanner->at++;
    while (scanner->at < scanner->end) {
        const char *quote = memchr(scanner->at, '"', (size_t)(scanner->end - scanner->at));
        if (quote == NULL) {
            scanner->at = scanner->end;
            return;
        }
        const char *backslash = quote;
        while (backslash > scanner->at && backslash[-1] == '\\') {
            backslash--;
        }
        scanner->at = quote + 1;
        if ((quote - backslash) % 2 == 0) {
            return;
        }
    }
}

static void skip_value(struct scanner *scanner)
{
    size_t depth = 0;
    skip_space(scanner);
    while (scanner->at < scanner->end) {
        switch (*scanner->at) {
        case '"':
            skip_string(scanner);
            break;
        case '{':
        case '[':
            depth++;
            scanner->at++;
            break;
        case '}':
        case ']':
            if (depth == 0) {
                return; /* A scalar ended where its container does. */
            }
            depth--;
            scanner->at++;
            break;
        case ',':
            if (depth == 0) {
                return;
            }
            scanner->at++;
            break;
        default:
            scanner->at++;
            continue;
        }
        if (depth == 0) {
            return;
        }
    }
}

static struct json_span scan_value(struct scanner *scanner)
{
    skip_space(scanner);
    const char *start = scanner->at;
    skip_value(scanner);
    const char *end = scanner->at;
    while (end > start &&
           (end[-1] == ' ' || end[-1] == '\n' || end[-1] == '\t' || end[-1] == '\r')) {
        end--;
    }
    return (struct json_span){start, (size_t)(end - start)};
}

/* Stands behind '{' or a member; reads the next key and stands before its value. */
static bool next_key(struct scanner *scanner, struct json_span *key)
{
    skip_space(scanner);
    if (scanner->at < scanner->end && *scanner->at == ',') {
        scanner->at++;
        skip_space(scanner);
    }
    if (scanner->at >= scanner->end || *scanner->at != '"') {
        return false;
    }
    const char *start = scanner->at + 1;
    skip_string(scanner);
    *key = (struct json_span){start, (size_t)(scanner->at - start - 1)};
    skip_space(scanner);
    if (scanner->at >= scanner->end || *scanner->at != ':') {
        return false;
    }
    scanner->at++;
    return true;
}

static bool begins_with(struct scanner *scanner, char opening)
{
    skip_space(scanner);
    return scanner->at < scanner->end && *scanner->at == opening;
}

static bool enter(struct scanner *scanner, char opening)
{
    bool enters = begins_with(scanner, opening);
    scanner->at += enters;
    return enters;
}

void json_scan_members(struct json_span object,
                       bool (*member)(void *argument, struct json_span key, struct json_span value),
                       void *argument)
{
    struct scanner scanner = {object.text, object.text + object.length};
    struct json_span key;
    if (object.text == NULL || !enter(&scanner, '{')) {
        return;
    }
    while (next_key(&scanner, &key)) {
        if (!member(argument, key, scan_value(&scanner))) {
            return;
        }
    }
}

struct member_search {
    const char *key;
    size_t key_length;
    struct json_span found;
};

static bool compare_member(void *argument, struct json_span key, struct json_span value)
{
    struct member_search *search = argument;
    if (key.length == search->key_length && memcmp(key.text, search->key, key.length) == 0) {
        search->found = value;
        return false;
    }
    return true;
}

struct json_span json_scan_member(struct json_span object, const char *key)
{
    struct member_search search = {key, strlen(key), {0}};
    json_scan_members(object, compare_member, &search);
    return search.found;
}

void json_scan_elements(struct json_span array,
                        bool (*element)(void *argument, struct json_span value), void *argument)
{
    struct scanner scanner = {array.text, array.text + array.length};
    if (array.text == NULL || !enter(&scanner, '[')) {
        return;
    }
    for (skip_space(&scanner); scanner.at < scanner.end && *scanner.at != ']';
         skip_space(&scanner)) {
        struct json_span value = scan_value(&scanner);
        if (value.length == 0 || !element(argument, value)) {
            return;
        }
        skip_space(&scanner);
        enter(&scanner, ',');
    }
}

enum { scan_paths_max = 32 };

/* How a key relates to the rest of a path: the whole of it, its first step, or nothing. */
enum path_match { PATH_NO, PATH_HERE, PATH_BELOW };

static enum path_match match_step(const char *path, struct json_span key)
{
    for (size_t i = 0; i < key.length; i++) {
        if (path[i] != key.text[i] || path[i] == '\0' || path[i] == '.') {
            return PATH_NO;
        }
    }
    char end = path[key.length];
    return end == '\0' ? PATH_HERE : end == '.' ? PATH_BELOW : PATH_NO;
}

/* Reads one object, up to its end. 'wanted' are the paths that may lie in it, 'steps[i]' how far
 * path i has been followed. */
static void scan_object(struct scanner *scanner, const char *const *paths, const size_t *steps,
                        const size_t *wanted, size_t wanted_count, struct json_span *spans)
{
    struct json_span key;
    if (!enter(scanner, '{')) {
        return;
    }
    while (next_key(scanner, &key)) {
        size_t below[scan_paths_max], below_steps[scan_paths_max], below_count = 0;
        size_t here[scan_paths_max], here_count = 0;
        for (size_t i = 0; i < wanted_count; i++) {
            size_t path = wanted[i];
            switch (match_step(paths[path] + steps[i], key)) {
            case PATH_HERE:
                here[here_count++] = path;
                break;
            case PATH_BELOW:
                below_steps[below_count] = steps[i] + key.length + 1;
                below[below_count++] = path;
                break;
            case PATH_NO:
                break;
            }
        }
        if (below_count > 0 && here_count == 0 && begins_with(scanner, '{')) {
            scan_object(scanner, paths, below_steps, below, below_count, spans);
            enter(scanner, '}');
            continue;
        }
        struct scanner inside = *scanner;
        struct json_span value = scan_value(scanner);
        for (size_t i = 0; i < here_count; i++) {
            spans[here[i]] = value;
        }
        if (below_count > 0) {
            scan_object(&inside, paths, below_steps, below, below_count, spans);
        }
    }
}

void json_scan(const char *text, size_t length, const char *const *paths, size_t count,
               struct json_span *spans)
{
    size_t wanted[scan_paths_max], steps[scan_paths_max] = {0};
    struct scanner scanner = {text, text + length};
    if (count > scan_paths_max) {
        abort(); /* The caller's mistake: paths are constants of the program. */
    }
    for (size_t i = 0; i < count; i++) {
        wanted[i] = i;
        spans[i] = (struct json_span){0};
    }
    scan_object(&scanner, paths, steps, wanted, count, spans);
}

char *json_span_value(struct json_span span)
{
    if (span.text == NULL) {
        return NULL;
    }
    if (span.length < 2 || span.text[0] != '"') {
        return duplicate_bytes(span.text, span.length);
    }
    if (memchr(span.text, '\\', span.length) == NULL) {
        return duplicate_bytes(span.text + 1, span.length - 2);
    }
    cleanup(json_release)
    json_t *value = json_loadb(span.text, span.length, JSON_DECODE_ANY, NULL);
    return value ? duplicate_bytes(json_string_value(value), json_string_length(value)) : NULL;
}

/* ---- duplicates ---- */

struct duplicates {
    void (*found)(void *argument, const char *path);
    void *argument;
};

static void scan_duplicates(struct scanner *scanner, const struct field_path *path,
                            const struct duplicates *duplicates);

/* The keys of one object; small objects are compared pairwise, which is quicker than hashing. */
struct seen_keys {
    struct seen_key {
        struct json_span span; /* In the text, or of 'decoded'. */
        char *decoded;         /* NULL for a key without escapes. */
    } * list;
    size_t count, capacity;
};

/* Two spellings of a key are one key. */
static struct seen_key decode_key(struct json_span key)
{
    if (memchr(key.text, '\\', key.length) == NULL) {
        return (struct seen_key){.span = key};
    }
    cleanup(json_release)
    json_t *name = json_loadb(key.text - 1, key.length + 2, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    if (name == NULL) {
        return (struct seen_key){.span = key};
    }
    size_t length = json_string_length(name);
    char *decoded = duplicate_bytes(json_string_value(name), length);
    return (struct seen_key){.span = {decoded, length}, .decoded = decoded};
}

static void seen_keys_free(struct seen_keys *seen)
{
    for (size_t i = 0; i < seen->count; i++) {
        free(seen->list[i].decoded);
    }
    free(seen->list);
}

static bool seen_before(const struct seen_keys *seen, struct json_span key)
{
    for (size_t i = 0; i < seen->count; i++) {
        const struct json_span *other = &seen->list[i].span;
        if (other->length == key.length && memcmp(other->text, key.text, key.length) == 0) {
            return true;
        }
    }
    return false;
}

enum {
    duplicates_keys_max = 512
}; /* Larger objects are maps of data; each key is looked at once. */

static void scan_object_duplicates(struct scanner *scanner, const struct field_path *path,
                                   const struct duplicates *duplicates)
{
    cleanup(seen_keys_free)
    struct seen_keys seen = {0};
    struct json_span text;
    scanner->at++;
    while (next_key(scanner, &text)) {
        struct seen_key key = decode_key(text);
        cleanup(free_char)
        char *name = duplicate_bytes(key.span.text, key.span.length);
        const struct field_path *here = FIELD(path, name);
        if (seen_before(&seen, key.span)) {
            cleanup(free_char)
            char *where = field_path_text(here);
            duplicates->found(duplicates->argument, where);
            free(key.decoded);
        } else if (seen.count < duplicates_keys_max) {
            seen.list = grow(seen.list, seen.count, &seen.capacity, sizeof *seen.list);
            seen.list[seen.count++] = key;
        } else {
            free(key.decoded);
        }
        scan_duplicates(scanner, here, duplicates);
    }
    enter(scanner, '}');
}

static void scan_duplicates(struct scanner *scanner, const struct field_path *path,
                            const struct duplicates *duplicates)
{
    skip_space(scanner);
    if (scanner->at >= scanner->end) {
        return;
    }
    if (*scanner->at == '{') {
        scan_object_duplicates(scanner, path, duplicates);
    } else if (*scanner->at == '[') {
        scanner->at++;
        for (size_t i = 0; scanner->at < scanner->end; i++) {
            skip_space(scanner);
            if (enter(scanner, ']')) {
                return;
            }
            scan_duplicates(scanner, FIELD_INDEX(path, i), duplicates);
            skip_space(scanner);
            enter(scanner, ',');
        }
    } else {
        skip_value(scanner);
    }
}

void json_duplicates(const char *text, size_t length,
                     void (*found)(void *argument, const char *path), void *argument)
{
    struct scanner scanner = {text, text + length};
    struct duplicates duplicates = {found, argument};
    scan_duplicates(&scanner, NULL, &duplicates);
}
