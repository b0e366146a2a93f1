// SPDX-License-Identifier: Apache-2.0
/*
 * One walk over the text, which keeps for each open group what a repetition has to know: whether
 * there is something to repeat, and how often what is repeated may already be there.
 */
#include "common/regexp.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "common/alloc.h"

enum {
    repeat_max = 1000, /* Of one, and of all that stand within each other together. */
    depth_max = 1000,
    rune_max = 0x10ffff,
};

/* A group that is open: what stands in it so far. */
struct group {
    unsigned most;    /* How often its parts repeat at most, at least 1. */
    unsigned operand; /* The same of what came last; 0: there is nothing to repeat. */
};

struct parser {
    const char *text, *end; /* The whole. */
    const char *at;
    const char *last_repeat; /* Where the operator begins that came just now; NULL: none did. */
    const char *error;       /* NULL: all is well so far. */
    const char *error_from, *error_to;
    size_t depth;
    struct group groups[depth_max + 1];
};

static bool fail(struct parser *parser, const char *error, const char *from, const char *to)
{
    parser->error = error;
    parser->error_from = from;
    parser->error_to = to;
    return false;
}

static bool fail_whole(struct parser *parser, const char *error)
{
    return fail(parser, error, parser->text, parser->end);
}

static size_t left(const struct parser *parser)
{
    return (size_t)(parser->end - parser->at);
}

static bool looks_at(const struct parser *parser, const char *text)
{
    return left(parser) >= strlen(text) && memcmp(parser->at, text, strlen(text)) == 0;
}

/* The next character, which is not the end. */
static uint32_t take_rune(struct parser *parser)
{
    const unsigned char *at = (const unsigned char *)parser->at;
    size_t length = at[0] < 0x80 ? 1 : at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : 4;
    length = length > left(parser) ? left(parser) : length;
    uint32_t rune = length == 1 ? at[0] : at[0] & (0x7fU >> length);
    for (size_t i = 1; i < length; i++) {
        rune = rune << 6 | (at[i] & 0x3f);
    }
    parser->at += length;
    return rune;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_octal(char c)
{
    return c >= '0' && c <= '7';
}

static bool is_word(uint32_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static int hex_value(uint32_t c)
{
    return c >= '0' && c <= '9'   ? (int)(c - '0')
           : c >= 'a' && c <= 'f' ? (int)(c - 'a' + 10)
           : c >= 'A' && c <= 'F' ? (int)(c - 'A' + 10)
                                  : -1;
}

/* ---- what is there to repeat ---- */

static void push_operand(struct parser *parser, unsigned weight)
{
    struct group *group = &parser->groups[parser->depth];
    group->operand = weight;
    group->most = weight > group->most ? weight : group->most;
}

static bool open_group(struct parser *parser)
{
    if (parser->depth == depth_max) {
        return fail_whole(parser, "expression nests too deeply");
    }
    parser->groups[++parser->depth] = (struct group){.most = 1};
    return true;
}

static bool close_group(struct parser *parser)
{
    if (parser->depth == 0) {
        return fail_whole(parser, "unexpected )");
    }
    unsigned weight = parser->groups[parser->depth--].most;
    push_operand(parser, weight);
    parser->at++;
    return true;
}

/* The operator that begins at 'from', and how often it repeats; 1: that is not counted. */
static bool repeat(struct parser *parser, const char *from, unsigned times)
{
    struct group *group = &parser->groups[parser->depth];
    if (looks_at(parser, "?")) {
        parser->at++;
    }
    if (parser->last_repeat != NULL) {
        return fail(parser, "invalid nested repetition operator", parser->last_repeat, parser->at);
    }
    if (group->operand == 0) {
        return fail(parser, "missing argument to repetition operator", from, parser->at);
    }
    if (times > 1 && group->operand * times > repeat_max) {
        return fail(parser, "invalid repeat count", from, parser->at);
    }
    push_operand(parser, group->operand * times);
    parser->last_repeat = from;
    return true;
}

/* -1: too large. False: there is no number. */
static bool take_number(struct parser *parser, int *number)
{
    const char *from = parser->at;
    *number = 0;
    while (parser->at < parser->end && is_digit(*parser->at)) {
        *number = *number < 0 || *number > repeat_max ? -1 : *number * 10 + (*parser->at - '0');
        parser->at++;
    }
    return parser->at > from && (parser->at == from + 1 || *from != '0');
}

/* "{2}", "{2,}" or "{2,3}"; what is none of them is a brace. */
static bool parse_counted(struct parser *parser)
{
    const char *from = parser->at++;
    int least, most;
    bool is_one = take_number(parser, &least);
    most = least;
    if (is_one && looks_at(parser, ",")) {
        parser->at++;
        if (looks_at(parser, "}")) {
            most = -1;
        } else {
            is_one = take_number(parser, &most);
            least = most < 0 ? -1 : least;
        }
    }
    if (!is_one || !looks_at(parser, "}")) {
        parser->at = from + 1;
        parser->last_repeat = NULL;
        push_operand(parser, 1);
        return true;
    }
    parser->at++;
    if (least < 0 || least > repeat_max || most > repeat_max || (most >= 0 && least > most)) {
        return fail(parser, "invalid repeat count", from, parser->at);
    }
    unsigned times = most >= 0 ? (unsigned)most : (unsigned)least;
    return repeat(parser, from, times > 0 ? times : 1);
}

/* ---- escapes ---- */

static bool take_hex(struct parser *parser, uint32_t *rune)
{
    unsigned digits = 0, wanted = 2;
    *rune = 0;
    if (parser->at < parser->end && *parser->at == '{') {
        parser->at++;
        wanted = 0;
    }
    while (parser->at < parser->end && (wanted == 0 || digits < wanted)) {
        uint32_t c = take_rune(parser);
        if (wanted == 0 && c == '}') {
            return digits > 0;
        }
        int value = hex_value(c);
        *rune = *rune * 16 + (uint32_t)(value < 0 ? 0 : value);
        if (value < 0 || *rune > rune_max) {
            return false;
        }
        digits++;
    }
    return wanted != 0 && digits == wanted;
}

/* "\n", "\x41", "\012", "\." … at a backslash. */
static bool parse_escape(struct parser *parser, uint32_t *rune)
{
    static const char named[] = "afnrtv", values[] = "\a\f\n\r\t\v";
    const char *from = parser->at++;
    if (parser->at == parser->end) {
        return fail(parser, "trailing backslash at end of expression", parser->at, parser->at);
    }
    uint32_t c = take_rune(parser);
    const char *name = c < 0x80 && c != 0 ? strchr(named, (int)c) : NULL;
    if (c < 0x80 && !is_word(c)) {
        *rune = c;
        return true;
    }
    if (name != NULL) {
        *rune = (uint32_t)values[name - named];
        return true;
    }
    if (c == 'x' && take_hex(parser, rune)) {
        return true;
    }
    bool has_more = parser->at < parser->end && is_octal(*parser->at);
    if (c == '0' || (c > '0' && c < '8' && has_more)) { /* Else it refers back. */
        *rune = c - '0';
        for (int i = 0; i < 2 && parser->at < parser->end && is_octal(*parser->at); i++) {
            *rune = *rune * 8 + (uint32_t)(*parser->at++ - '0');
        }
        return true;
    }
    return fail(parser, "invalid escape sequence", from, parser->at);
}

static bool is_category(const char *name, size_t length)
{
    static const char *const kinds[] = {"Ccfos",    "Llmotu", "Mcen", "Ndlo",
                                        "Pcdefios", "Sckmo",  "Zlps"};
    for (size_t i = 0; i < array_length(kinds); i++) {
        if (kinds[i][0] == name[0]) {
            return length == 1 || (length == 2 && strchr(kinds[i] + 1, name[1]) != NULL);
        }
    }
    return false;
}

/* "Any", "Lu", "Greek", "Old_Italic". */
static bool is_unicode_class(const char *name, size_t length)
{
    if (length > 0 && name[0] == '^') {
        name++;
        length--;
    }
    if (length < 3) {
        return length > 0 && is_category(name, length);
    }
    for (size_t i = 0; i < length; i++) {
        if (!(name[i] >= 'A' && name[i] <= 'Z') &&
            (i == 0 || (!(name[i] >= 'a' && name[i] <= 'z') && name[i] != '_'))) {
            return false;
        }
    }
    return true;
}

/* At "\p" or "\P". */
static bool parse_unicode_class(struct parser *parser)
{
    const char *from = parser->at, *name = from + 2, *name_end;
    parser->at += 2;
    if (looks_at(parser, "{")) {
        name++;
        name_end = memchr(name, '}', (size_t)(parser->end - name));
        if (name_end == NULL) {
            return fail(parser, "invalid character class range", from, parser->end);
        }
        parser->at = name_end + 1;
    } else {
        if (parser->at < parser->end) {
            take_rune(parser);
        }
        name_end = parser->at;
    }
    return is_unicode_class(name, (size_t)(name_end - name)) ||
           fail(parser, "invalid character class range", from, parser->at);
}

static bool is_escape_of(const struct parser *parser, const char *letters)
{
    return left(parser) >= 2 && parser->at[0] == '\\' && parser->at[1] != '\0' &&
           strchr(letters, parser->at[1]) != NULL;
}

/* ---- classes ---- */

/* "[:alpha:]" within a class; false with no error when it is none. */
static bool parse_named_class(struct parser *parser)
{
    static const char *const names[] = {"alnum", "alpha", "ascii", "blank", "cntrl",
                                        "digit", "graph", "lower", "print", "punct",
                                        "space", "upper", "word",  "xdigit"};
    const char *from = parser->at, *name = from + 2;
    const char *to = memmem(name, (size_t)(parser->end - name), ":]", 2);
    if (to == NULL) {
        return false;
    }
    name += name < to && *name == '^';
    for (size_t i = 0; i < array_length(names); i++) {
        if (strlen(names[i]) == (size_t)(to - name) &&
            memcmp(names[i], name, strlen(names[i])) == 0) {
            parser->at = to + 2;
            return true;
        }
    }
    return fail(parser, "invalid character class range", from, to + 2);
}

static bool take_class_rune(struct parser *parser, const char *class, uint32_t *rune)
{
    if (parser->at == parser->end) {
        return fail(parser, "missing closing ]", class, parser->end);
    }
    if (*parser->at == '\\') {
        return parse_escape(parser, rune);
    }
    *rune = take_rune(parser);
    return true;
}

/* A character, or a range. */
static bool parse_range(struct parser *parser, const char *class)
{
    const char *from = parser->at;
    uint32_t low, high;
    if (!take_class_rune(parser, class, &low)) {
        return false;
    }
    if (left(parser) < 2 || parser->at[0] != '-' || parser->at[1] == ']') {
        return true;
    }
    parser->at++;
    return take_class_rune(parser, class, &high) &&
           (high >= low || fail(parser, "invalid character class range", from, parser->at));
}

static bool parse_class(struct parser *parser)
{
    const char *from = parser->at++;
    parser->at += looks_at(parser, "^");
    bool is_first = true;
    while (is_first || !looks_at(parser, "]")) {
        is_first = false;
        if (left(parser) > 2 && looks_at(parser, "[:")) {
            if (parse_named_class(parser)) {
                continue;
            }
            if (parser->error != NULL) {
                return false;
            }
        }
        if (is_escape_of(parser, "pP")) {
            if (!parse_unicode_class(parser)) {
                return false;
            }
        } else if (is_escape_of(parser, "dDsSwW")) {
            parser->at += 2;
        } else if (!parse_range(parser, from)) {
            return false;
        }
    }
    parser->at++;
    push_operand(parser, 1);
    return true;
}

/* ---- groups ---- */

/* "(?P<name>" or "(?<name>". */
static bool parse_named_group(struct parser *parser)
{
    const char *from = parser->at;
    const char *name = from + (from[2] == 'P' ? 4 : 3);
    const char *to = memchr(from, '>', left(parser));
    if (to == NULL) {
        return fail(parser, "invalid named capture", from, parser->end);
    }
    bool fits = name < to;
    for (const char *at = name; at < to; at++) {
        fits = fits && (*at == '_' || is_word((unsigned char)*at));
    }
    parser->at = to + 1;
    return fits ? open_group(parser) : fail(parser, "invalid named capture", from, parser->at);
}

/* "(?i)", "(?i-s:", "(?:" … */
static bool parse_flags(struct parser *parser)
{
    const char *from = parser->at;
    bool is_negative = false, has_flag = false;
    if ((left(parser) > 4 && looks_at(parser, "(?P<")) ||
        (left(parser) > 3 && looks_at(parser, "(?<"))) {
        return parse_named_group(parser);
    }
    parser->at += 2;
    while (parser->at < parser->end) {
        uint32_t c = take_rune(parser);
        if (c < 0x80 && c != 0 && strchr("imsU", (int)c) != NULL) {
            has_flag = true;
        } else if (c == '-' && !is_negative) {
            is_negative = true;
            has_flag = false;
        } else if ((c == ':' || c == ')') && (!is_negative || has_flag)) {
            return c == ')' || open_group(parser);
        } else {
            break;
        }
    }
    return fail(parser, "invalid or unsupported Perl syntax", from, parser->at);
}

/* ---- the whole ---- */

/* "\Q…\E": each character as it stands. */
static void skip_quoted(struct parser *parser)
{
    const char *from = parser->at + 2;
    const char *to = memmem(from, (size_t)(parser->end - from), "\\E", 2);
    parser->at = to != NULL ? to + 2 : parser->end;
    if ((to != NULL ? to : parser->end) > from) {
        push_operand(parser, 1);
    }
}

static bool parse_backslash(struct parser *parser)
{
    uint32_t ignored;
    if (is_escape_of(parser, "Q")) {
        skip_quoted(parser);
        return true;
    }
    if (is_escape_of(parser, "C")) {
        return fail(parser, "invalid escape sequence", parser->at, parser->at + 2);
    }
    bool parsed = true;
    if (is_escape_of(parser, "AbBzdDsSwW")) {
        parser->at += 2;
    } else if (is_escape_of(parser, "pP")) {
        parsed = parse_unicode_class(parser);
    } else {
        parsed = parse_escape(parser, &ignored);
    }
    push_operand(parser, 1);
    return parsed;
}

static bool parse_one(struct parser *parser)
{
    const char *from = parser->at;
    switch (*from) {
    case '*':
    case '+':
    case '?':
        parser->at++;
        return repeat(parser, from, 1);
    case '{':
        return parse_counted(parser);
    default:
        parser->last_repeat = NULL;
    }
    switch (*from) {
    case '(':
        if (looks_at(parser, "(?")) {
            return parse_flags(parser);
        }
        parser->at++;
        return open_group(parser);
    case ')':
        return close_group(parser);
    case '|':
        parser->groups[parser->depth].operand = 0;
        parser->at++;
        return true;
    case '[':
        return parse_class(parser);
    case '\\':
        return parse_backslash(parser);
    default:
        take_rune(parser);
        push_operand(parser, 1);
        return true;
    }
}

char *regexp_check(const char *text, size_t length)
{
    struct parser *parser = allocate_struct(struct parser);
    parser->text = parser->at = text;
    parser->end = text + length;
    parser->groups[0].most = 1;
    bool parsed = true;
    while (parsed && parser->at < parser->end) {
        parsed = parse_one(parser);
    }
    if (parsed && parser->depth > 0) {
        fail_whole(parser, "missing closing )");
    }
    char *message = NULL;
    if (parser->error != NULL) {
        message = format("error parsing regexp: %s: `%.*s`", parser->error,
                         (int)(parser->error_to - parser->error_from), parser->error_from);
    }
    free(parser);
    return message;
}
