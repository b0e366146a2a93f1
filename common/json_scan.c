// SPDX-License-Identifier: Apache-2.0
/* What is found in encoded text without making a tree of it; see json.h. */
#include <string.h>

#include "common/alloc.h"
#include "common/json.h"
#include "common/json_read.h"

/* ---- one step ---- */

/* A place in a text that is known to be valid JSON; every step checks the end all the same. */
struct scanner {
    const char *at, *end;
    bool stops;   /* Once it has met every path. */
    size_t depth; /* Of the object that it reads for paths; 0: the outermost. */
};

static void skip_space(struct scanner *scanner)
{
    while (scanner->at < scanner->end && (*scanner->at == ' ' || *scanner->at == '\n' ||
                                          *scanner->at == '\t' || *scanner->at == '\r')) {
        scanner->at++;
    }
}

/* Behind the first quote from 'at' on that has no odd number of backslashes before it. */
static const char *behind_quote(const char *at, const char *end)
{
    while (at < end && (at = memchr(at, '"', (size_t)(end - at))) != NULL) {
        const char *escape = at;
        while (escape[-1] == '\\') { /* The opening quote ends this. */
            escape--;
        }
        at++;
        if ((at - escape) % 2 != 0) {
            return at;
        }
    }
    return end;
}

/* Most strings are short and without escapes: their end is found without a call. */
static inline const char *behind_string(const char *quote, const char *end)
{
    const char *at = quote + 1;
#ifdef __x86_64__
    enum { looks = 4 };
    for (int i = 0; i < looks && end - at >= (ptrdiff_t)sizeof(__m128i); i++) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)at);
        __m128i quotes = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('"'));
        __m128i escapes = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\'));
        int mask = _mm_movemask_epi8(_mm_or_si128(quotes, escapes));
        if (mask != 0) {
            at += __builtin_ctz((unsigned)mask);
            if (*at == '"') {
                return at + 1;
            }
            break;
        }
        at += sizeof(__m128i);
    }
#endif
    return behind_quote(at, end);
}

const char *json_string_end(const char *quote, const char *end)
{
    return behind_string(quote, end);
}

/* Stands at the opening quote; ends behind the closing one. */
static void skip_string(struct scanner *scanner)
{
    scanner->at = behind_string(scanner->at, scanner->end);
}

/* Stands at an opening bracket; ends behind the closing one. */
static void skip_container(struct scanner *scanner)
{
    static const signed char nesting[256] = {['{'] = 1, ['['] = 1, ['}'] = -1, [']'] = -1};
    const char *at = scanner->at, *end = scanner->end;
    ptrdiff_t depth = 0;
    do {
        if (*at == '"') {
            at = behind_string(at, end);
        } else {
            depth += nesting[(unsigned char)*at++];
        }
    } while (depth > 0 && at < end);
    scanner->at = at;
}

/* A number or a word takes the space behind it along. */
static void skip_value(struct scanner *scanner)
{
    skip_space(scanner);
    if (scanner->at == scanner->end) {
        return;
    }
    if (*scanner->at == '"') {
        skip_string(scanner);
    } else if (*scanner->at == '{' || *scanner->at == '[') {
        skip_container(scanner);
    } else {
        while (scanner->at < scanner->end && *scanner->at != ',' && *scanner->at != '}' &&
               *scanner->at != ']') {
            scanner->at++;
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
    struct scanner scanner = {.at = object.text, .end = object.text + object.length};
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
    struct scanner scanner = {.at = array.text, .end = array.text + array.length};
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

enum { scan_paths_max = 32 }; /* A bit each. */

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

/* A bit for each of the paths, of which these are the next characters, that may go on with a key.
 */
static uint32_t candidates(const char next[static scan_paths_max], char first_of_key)
{
    if (first_of_key == '\0') {
        return 0; /* As where there is no path. */
    }
#ifdef __x86_64__
    const __m128i *halves = (const __m128i *)next, wanted = _mm_set1_epi8(first_of_key);
    int low = _mm_movemask_epi8(_mm_cmpeq_epi8(_mm_loadu_si128(halves), wanted));
    int high = _mm_movemask_epi8(_mm_cmpeq_epi8(_mm_loadu_si128(halves + 1), wanted));
    return (uint32_t)low | (uint32_t)high << 16;
#else
    uint32_t bits = 0;
    for (size_t i = 0; i < scan_paths_max; i++) {
        bits |= (uint32_t)(next[i] == first_of_key) << i;
    }
    return bits;
#endif
}

/* The scalars of an object and what is in it, up to its end. */
static void skip_rest(struct scanner *scanner)
{
    struct json_span key;
    while (next_key(scanner, &key)) {
        skip_value(scanner);
    }
}

/* Reads one object, up to its end. 'wanted' are the paths that may lie in it, 'steps[i]' how far
 * path i has been followed. */
static void scan_object(struct scanner *scanner, const char *const *paths, const size_t *steps,
                        const size_t *wanted, size_t wanted_count, struct json_span *spans)
{
    struct json_span key;
    size_t met = 0; /* How many of them members of this object were on. */
    char next[scan_paths_max] = {0};
    if (!enter(scanner, '{')) {
        return;
    }
    for (size_t i = 0; i < wanted_count; i++) {
        next[i] = paths[wanted[i]][steps[i]];
    }
    while (!(scanner->stops && met == wanted_count) && next_key(scanner, &key)) {
        size_t below[scan_paths_max], below_steps[scan_paths_max], below_count = 0;
        size_t here[scan_paths_max], here_count = 0;
        for (uint32_t left = candidates(next, key.text[0]); left != 0; left &= left - 1) {
            size_t i = (size_t)__builtin_ctz(left), path = wanted[i];
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
        met += below_count + here_count;
        if (below_count > 0 && here_count == 0 && begins_with(scanner, '{')) {
            scanner->depth++;
            scan_object(scanner, paths, below_steps, below, below_count, spans);
            if (--scanner->depth == 0 && scanner->stops && met == wanted_count) {
                break;
            }
            skip_rest(scanner);
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

static void scan(struct scanner *scanner, const char *const *paths, size_t count,
                 struct json_span *spans)
{
    size_t wanted[scan_paths_max], steps[scan_paths_max] = {0};
    if (count > scan_paths_max) {
        abort(); /* The caller's mistake: paths are constants of the program. */
    }
    for (size_t i = 0; i < count; i++) {
        wanted[i] = i;
        spans[i] = (struct json_span){0};
    }
    scan_object(scanner, paths, steps, wanted, count, spans);
}

void json_scan(const char *text, size_t length, const char *const *paths, size_t count,
               struct json_span *spans)
{
    struct scanner scanner = {.at = text, .end = text + length};
    scan(&scanner, paths, count, spans);
}

void json_scan_until_met(const char *text, size_t length, const char *const *paths, size_t count,
                         struct json_span *spans)
{
    struct scanner scanner = {.at = text, .end = text + length, .stops = true};
    scan(&scanner, paths, count, spans);
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
    struct scanner scanner = {.at = text, .end = text + length};
    struct duplicates duplicates = {found, argument};
    scan_duplicates(&scanner, NULL, &duplicates);
}
