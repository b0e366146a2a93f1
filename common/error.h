// SPDX-License-Identifier: Apache-2.0
/*
 * Errors: one type from the place where something goes wrong to the client that reads a Status.
 *
 * A function that can fail for a reason takes a 'struct error *' as its last argument, returns
 * false or NULL and fills it. The struct carries what a Kubernetes Status object carries: an HTTP
 * code, a reason, a message and details; error_to_status() renders it at the edge. Code that knows
 * nothing of HTTP uses error_internal() or error_bad_request().
 *
 *     cleanup(error_clear) struct error error = ERROR_INIT;
 *     if (!store_get(store, key, &value, &error)) {
 *         return error_wrap(out, &error, "reading %s", key);
 *     }
 *
 * Field errors of validation collect in a 'struct field_errors' with their paths and become one
 * Invalid error (422) with a cause for each, worded as apimachinery's field package words them.
 */
#ifndef COMMON_ERROR_H
#define COMMON_ERROR_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct error {
    int code;           /* HTTP status; 0 while nothing is wrong. */
    const char *reason; /* metav1.StatusReason such as "NotFound"; static; "" when it has none. */
    char *message;      /* For people. */
    /* Status.details; each NULL or absent where it says nothing. */
    char *group, *kind, *name, *uid;
    json_t *causes; /* Array of {reason, message, field}. */
    int retry_after_seconds;
    char *continue_token; /* Status.metadata.continue: how to go on with an expired list. */
};

#define ERROR_INIT ((struct error){0})

/* All of these fill 'error' (which may be NULL: the caller is not interested), dropping what it
 * held, and return false, so that "return error_internal(error, …)" reads well. */
bool error_set(struct error *error, int code, const char *reason, const char *text, ...)
    __attribute__((format(printf, 4, 5)));
bool error_internal(struct error *error, const char *text, ...)
    __attribute__((format(printf, 2, 3))); /* 500 InternalError */
bool error_bad_request(struct error *error, const char *text, ...)
    __attribute__((format(printf, 2, 3))); /* 400 BadRequest */
bool error_unavailable(struct error *error, const char *text, ...)
    __attribute__((format(printf, 2, 3))); /* 503 ServiceUnavailable */

/* The standard API errors about one object of a resource. 'group' is "" for core; 'plural' is the
 * resource name as in the URL. The messages are apimachinery's (api/errors). */
bool error_not_found(struct error *error, const char *group, const char *plural, const char *name);
bool error_already_exists(struct error *error, const char *group, const char *plural,
                          const char *name);
/* 409: Operation cannot be fulfilled on <plural>.<group> "<name>": <why> */
bool error_conflict(struct error *error, const char *group, const char *plural, const char *name,
                    const char *why, ...) __attribute__((format(printf, 5, 6)));
/* 403: <plural>.<group> "<name>" is forbidden: <why> */
bool error_forbidden(struct error *error, const char *group, const char *plural, const char *name,
                     const char *why, ...) __attribute__((format(printf, 5, 6)));
/* 405 */
bool error_method_not_supported(struct error *error, const char *group, const char *plural,
                                const char *action);
/* 410 Expired with the given text. */
bool error_expired(struct error *error, const char *text, ...)
    __attribute__((format(printf, 2, 3)));

/* "the object has been modified; please apply your changes to the latest version and try again" */
extern const char error_object_modified[];

/* Passes 'from' on to 'to' with context before its message; leaves 'from' empty. */
bool error_wrap(struct error *to, struct error *from, const char *text, ...)
    __attribute__((format(printf, 3, 4)));
/* Moves 'from' to 'to' unchanged; leaves 'from' empty. */
bool error_move(struct error *to, struct error *from);
void error_clear(struct error *error); /* Also fit for cleanup(). */
static inline bool error_is_set(const struct error *error)
{
    return error->code != 0;
}

/* What an answer of this HTTP status says: 'body' is a metav1.Status (else, or NULL, only the code
 * counts). Any length of text in it. Returns false. */
bool error_from_status(struct error *error, int code, const json_t *body);
/* A metav1.Status of this error, kind and apiVersion included. The caller's. */
json_t *error_to_status(const struct error *error);

/* ---- field errors ---- */

/* A path from the root of an object to a field, kept on the stack of the validating functions and
 * printed only when something is wrong. Root: FIELD_ROOT. */
struct field_path {
    const struct field_path *parent; /* NULL above the first step. */
    const char *name;                /* A field: ".name". NULL if this step is an index or key. */
    const char *key;                 /* A map key or list key: "[key]". */
    size_t index;                    /* An index: "[3]", when name and key are NULL. */
};

#define FIELD(parent_path, field_name)                                                             \
    (&(const struct field_path){.parent = (parent_path), .name = (field_name)})
#define FIELD_INDEX(parent_path, position)                                                         \
    (&(const struct field_path){.parent = (parent_path), .index = (position)})
#define FIELD_KEY(parent_path, map_key)                                                            \
    (&(const struct field_path){.parent = (parent_path), .key = (map_key)})

/* "spec.containers[0].name". NULL prints as "". The caller's. */
char *field_path_text(const struct field_path *path);

enum field_error_type {
    FIELD_REQUIRED,      /* FieldValueRequired:     "Required value" */
    FIELD_INVALID,       /* FieldValueInvalid:      "Invalid value: <value>" */
    FIELD_DUPLICATE,     /* FieldValueDuplicate:    "Duplicate value: <value>" */
    FIELD_NOT_SUPPORTED, /* FieldValueNotSupported: "Unsupported value: <value>" */
    FIELD_NOT_FOUND,     /* FieldValueNotFound:     "Not found: <value>" */
    FIELD_FORBIDDEN,     /* FieldValueForbidden:    "Forbidden" */
    FIELD_TOO_LONG,      /* FieldValueTooLong:      "Too long" */
    FIELD_TOO_MANY,      /* FieldValueTooMany:      "Too many" */
    FIELD_TYPE_INVALID,  /* FieldValueTypeInvalid:  "Invalid value: <value>" */
};

/* A growing list of field errors. */
struct field_errors {
    json_t *causes; /* Array as in Status.details.causes; NULL while empty. */
};

#define FIELD_ERRORS_INIT ((struct field_errors){0})

/* Adds one. 'value' (borrowed, may be NULL: none is shown) prints as upstream prints Go values:
 * strings quoted, numbers and booleans plain, the rest as JSON. 'detail' follows after ": " unless
 * it is NULL or empty. */
void field_error(struct field_errors *errors, enum field_error_type type,
                 const struct field_path *path, const json_t *value, const char *detail, ...)
    __attribute__((format(printf, 5, 6)));
/* Unsupported value: … supported values: "A", "B". 'supported' ends with NULL. */
void field_error_not_supported(struct field_errors *errors, const struct field_path *path,
                               const json_t *value, const char *const *supported);
bool field_errors_any(const struct field_errors *errors);
void field_errors_clear(struct field_errors *errors); /* Also fit for cleanup(). */
/* 422 Invalid: <Kind>.<group> "<name>" is invalid: <the one, or [all in brackets]>. Takes the
 * causes out of 'errors'. Returns false. */
bool error_invalid(struct error *error, const char *group, const char *kind, const char *name,
                   struct field_errors *errors);

#endif
