// SPDX-License-Identifier: Apache-2.0
/*
 * Command-line flags, in the forms that Kubernetes' programs take: --name=value, --name value, and
 * --name for booleans.
 */
#ifndef COMMON_FLAGS_H
#define COMMON_FLAGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

enum flag_type {
    FLAG_TEXT,     /* const char **: borrowed from the command line. */
    FLAG_LIST,     /* struct flag_list *: the values of a flag that may be given several times. */
    FLAG_BOOLEAN,  /* bool * */
    FLAG_SWITCH,   /* struct flag_switch *: a boolean that may also not be given. */
    FLAG_NUMBER,   /* int64_t * */
    FLAG_DECIMAL,  /* double * */
    FLAG_DURATION, /* int64_t *, nanoseconds: "5m" */
};

struct flag_switch {
    bool is_on, is_given;
};

enum { FLAG_LIST_MAX = 16 };

struct flag_list {
    const char *values[FLAG_LIST_MAX + 1]; /* Borrowed from the command line; NULL-terminated. */
    size_t count;
};

struct flag {
    const char *name; /* Without the dashes. NULL ends a table; a name of "" is a heading. */
    enum flag_type type;
    void *value;      /* Holds the default before, which --help shows. */
    const char *help; /* One sentence. */
};

/* Sets the values. --help prints 'summary' and the flags, --version the version; both end the
 * process. An unknown flag, a missing or wrong value, or a stray argument is an error (400) that
 * says what to do. */
bool flags_parse(const char *program, const char *summary, const struct flag *flags, int count,
                 char **arguments, struct error *error);

#endif
