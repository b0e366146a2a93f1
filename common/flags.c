// SPDX-License-Identifier: Apache-2.0
#include "common/flags.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "common/buffer.h"
#include "common/timestamp.h"
#include "common/version.h"

static void add_default(struct buffer *text, const struct flag *flag)
{
    char duration[TIMESTAMP_SIZE];
    switch (flag->type) {
    case FLAG_TEXT:
        if (*(const char **)flag->value != NULL) {
            buffer_addf(text, " (default \"%s\")", *(const char **)flag->value);
        }
        break;
    case FLAG_LIST:
        break;
    case FLAG_BOOLEAN:
        if (*(bool *)flag->value) {
            buffer_add_literal(text, " (default true)");
        }
        break;
    case FLAG_SWITCH:
        if (((struct flag_switch *)flag->value)->is_on) {
            buffer_add_literal(text, " (default true)");
        }
        break;
    case FLAG_NUMBER:
        buffer_addf(text, " (default %lld)", (long long)*(int64_t *)flag->value);
        break;
    case FLAG_DECIMAL:
        buffer_addf(text, " (default %g)", *(double *)flag->value);
        break;
    case FLAG_DURATION:
        duration_format(*(int64_t *)flag->value, duration);
        buffer_addf(text, " (default %s)", duration);
        break;
    }
}

/* Breaks the text between words, and indents it. */
static void print_wrapped(const char *text)
{
    enum { indent = 8, width = 96 };
    size_t column = 0;
    while (*text != '\0') {
        size_t length = strcspn(text, " ");
        if (column > 0 && column + 1 + length > width) {
            printf("\n");
            column = 0;
        }
        printf("%*s%.*s", column == 0 ? indent : 1, "", (int)length, text);
        column += (column == 0 ? indent : 1) + length;
        text += length + (text[length] == ' ');
    }
    printf("\n");
}

static void print_flag(const struct flag *flag)
{
    static const char *const types[] = {
        [FLAG_TEXT] = " string",       [FLAG_LIST] = " string",
        [FLAG_BOOLEAN] = "",           [FLAG_SWITCH] = "",
        [FLAG_NUMBER] = " int",        [FLAG_DECIMAL] = " float",
        [FLAG_DURATION] = " duration",
    };
    cleanup(buffer_free)
    struct buffer text = BUFFER_INIT;
    buffer_add_text(&text, flag->help);
    add_default(&text, flag);
    printf("  --%s%s\n", flag->name, types[flag->type]);
    print_wrapped(buffer_text(&text));
}

static void print_help(const char *program, const char *summary, const struct flag *flags)
{
    printf("%s\n\nUsage:\n  %s [flags]\n", summary, program);
    for (const struct flag *flag = flags; flag->name != NULL; flag++) {
        if (flag->name[0] == '\0') {
            printf("\n%s:\n", flag->help);
        } else {
            print_flag(flag);
        }
    }
    printf("\n  --help\n        Print this and exit.\n  --version\n        Print the version and "
           "exit.\n");
}

static const struct flag *find(const struct flag *flags, const char *name, size_t length)
{
    for (; flags->name != NULL; flags++) {
        if (length > 0 && strlen(flags->name) == length &&
            strncmp(flags->name, name, length) == 0) {
            return flags;
        }
    }
    return NULL;
}

static bool add_to_list(struct flag_list *list, const char *value)
{
    if (list->count == FLAG_LIST_MAX) {
        return false;
    }
    list->values[list->count++] = value;
    return true;
}

static bool set(const struct flag *flag, const char *value, struct error *error)
{
    char *end;
    bool valid = true;
    switch (flag->type) {
    case FLAG_TEXT:
        *(const char **)flag->value = value;
        break;
    case FLAG_LIST:
        valid = add_to_list(flag->value, value);
        break;
    case FLAG_BOOLEAN:
        valid = strcmp(value, "true") == 0 || strcmp(value, "false") == 0;
        *(bool *)flag->value = strcmp(value, "true") == 0;
        break;
    case FLAG_SWITCH:
        valid = strcmp(value, "true") == 0 || strcmp(value, "false") == 0;
        *(struct flag_switch *)flag->value =
            (struct flag_switch){.is_on = strcmp(value, "true") == 0, .is_given = true};
        break;
    case FLAG_NUMBER:
        *(int64_t *)flag->value = strtoll(value, &end, 10);
        valid = value[0] != '\0' && *end == '\0';
        break;
    case FLAG_DECIMAL:
        *(double *)flag->value = strtod(value, &end);
        valid = value[0] != '\0' && *end == '\0' && isfinite(*(double *)flag->value);
        break;
    case FLAG_DURATION:
        valid = duration_parse(value, flag->value);
        break;
    }
    return valid ||
           error_bad_request(error, "invalid value \"%s\" for --%s; see --help", value, flag->name);
}

bool flags_parse(const char *program, const char *summary, const struct flag *flags, int count,
                 char **arguments, struct error *error)
{
    for (int i = 1; i < count; i++) {
        const char *argument = arguments[i];
        if (strncmp(argument, "--", 2) != 0 || argument[2] == '\0') {
            return error_bad_request(error, "unexpected argument \"%s\"; see --help", argument);
        }
        const char *name = argument + 2, *equals = strchr(name, '=');
        size_t length = equals ? (size_t)(equals - name) : strlen(name);
        if (strcmp(name, "help") == 0) {
            print_help(program, summary, flags);
            exit(0);
        }
        if (strcmp(name, "version") == 0) {
            printf("%s %s (%s)\n", program, version_git_version, version_git_commit);
            exit(0);
        }
        const struct flag *flag = find(flags, name, length);
        if (flag == NULL) {
            return error_bad_request(error, "unknown flag --%.*s; see --help", (int)length, name);
        }
        const char *value = equals ? equals + 1 : NULL;
        if (value == NULL && (flag->type == FLAG_BOOLEAN || flag->type == FLAG_SWITCH)) {
            value = "true";
        } else if (value == NULL && i + 1 < count) {
            value = arguments[++i];
        } else if (value == NULL) {
            return error_bad_request(error, "--%s needs a value; see --help", flag->name);
        }
        if (!set(flag, value, error)) {
            return false;
        }
    }
    return true;
}
