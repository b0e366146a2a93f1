// SPDX-License-Identifier: Apache-2.0
/*
 * A request and its response, as everything behind the HTTP layer sees them.
 *
 * The HTTP layer (server.h) reads a request from the wire, refuses what is malformed, finds out who
 * asks and what for, and calls a handler. The handler fills a response: a status with bytes, or
 * with a body that is produced piece by piece (a long list, a watch). The HTTP layer sends it,
 * compressed if that was asked for.
 *
 * Threads: a request belongs to one thread at a time. It is handed over, with its response, between
 * an HTTP thread and a worker; nobody locks anything.
 */
#ifndef APISERVER_HTTP_REQUEST_H
#define APISERVER_HTTP_REQUEST_H

#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "apiserver/http/media.h"
#include "common/buffer.h"
#include "common/error.h"
#include "common/schema.h"

/* Who asks. */
struct user {
    char *name; /* "system:anonymous" without credentials. */
    char *uid;  /* "" when unknown. */
    char **groups;
    size_t group_count;
    json_t *extra;        /* Object of lists of strings, or NULL. To be copied, never referenced. */
    atomic_uint *holders; /* NULL: there is one. */
};

bool user_in_group(const struct user *user, const char *group);
void user_clear(struct user *user);
/* Lets others hold the same user; nobody changes it from then on. */
void user_share(struct user *user);
/* One more hold of a user that is shared, for any thread; ends with user_clear(). */
struct user user_hold(const struct user *user);

/* One "name=value" of the query, decoded. */
struct parameter {
    char *name, *value;
};

/* What a request asks for, taken from its method and path, as upstream's RequestInfo:
 *   /api/v1/namespaces/a/pods/b/status   GET → get pods/status "b" in namespace "a"
 *   /apis/apps/v1/deployments            GET → list deployments in all namespaces
 *   /api/v1/watch/namespaces/a/pods      GET → watch
 *   /healthz                             not a resource request
 * As upstream: a namespace itself has 'plural' "namespaces" and both 'name' and 'namespace' set; a
 * list or watch with the field selector metadata.name=x has 'name' "x". Strings are never NULL, ""
 * when they say nothing. */
struct request_info {
    bool is_resource_request;
    char *verb;   /* get, list, watch, create, update, patch, delete, deletecollection; for others
                   * the method in lower case. */
    char *prefix; /* "api" or "apis". */
    char *group, *version, *namespace, *plural, *subresource, *name;
    char **parts; /* What follows the version and namespace, decoded, NULL-terminated; NULL when
                   * it is not a resource request. */
};

struct audit_event;

struct request {
    const char *method; /* "GET". */
    const char *uri;    /* As sent, with the query; borrowed. */
    char *path;         /* As sent, still encoded, without the query. */
    struct parameter *parameters;
    size_t parameter_count;
    /* Headers that matter; "" when absent. */
    const char *accept, *content_type, *user_agent, *if_none_match;
    const char *remote_address; /* "127.0.0.1:40404"; borrowed. */
    const char *audit_id;       /* As the client calls the request, or made here; borrowed. */
    struct audit_event *audit;  /* What is recorded of it, see audit/audit.h; NULL: nothing. */
    char *body;                 /* NUL-terminated behind 'body_length'; NULL when there was none. */
    size_t body_length;
    int64_t received_ns; /* timestamp_monotonic() when the headers were there. */
    struct user user;
    struct request_info info;
    /* Filled by the handler before it looks at anything else: a reference, dropped by
     * request_clear(), and the resource, or NULL. */
    struct scheme *scheme;
    const struct resource *resource;
    const struct resource_subresource *subresource;
    struct media media; /* What the answer is to look like; filled by the handler. */
};

/* The first parameter of that name; NULL when absent. Borrowed. */
const char *request_parameter(const struct request *request, const char *name);
/* A boolean parameter as upstream reads it: absent is false; "", "true", "1" … are true; "false"
 * and "0" false. */
bool request_parameter_bool(const struct request *request, const char *name);
/* Whether JSON is to be indented: ?pretty=…, else curl, wget and browsers. */
bool request_wants_pretty(const struct request *request);
void request_clear(struct request *request);

/* ---- responses ---- */

/* A body that is produced piece by piece. */
struct body;

enum {
    BODY_END = -1,  /* There is no more. */
    BODY_WAIT = -2, /* Nothing now. body_wake() will be called when there is. Of streams only. */
    BODY_FAIL = -3, /* The connection must be cut: the client sees an incomplete answer. */
};

struct body_class {
    /* Writes up to 'size' bytes (at least 1 when it returns > 0) and returns how many, or one of
     * the values above. Called from a thread of the HTTP layer, one call at a time; must not block.
     * 'size' may be as small as 256. */
    ssize_t (*read)(struct body *body, char *out, size_t size);
    /* The last call: the response is sent, or the client is gone. */
    void (*close)(struct body *body);
};

/* Embedded at the beginning of a producer's own struct. */
struct body {
    const struct body_class *class;
    /* Set by the HTTP layer before the first read; called through body_wake(). */
    void (*wake)(void *argument);
    void *wake_argument;
    bool stream; /* A watch: it may wait, each piece is sent at once, never compressed. */
};

/* Tells the HTTP layer that a body that answered BODY_WAIT has something to read, or is to end.
 * From any thread, any number of times, also early or needlessly, but never after close() has
 * begun: the producer sees to that with its own lock. Cheap, does not block. */
void body_wake(struct body *body);

struct response {
    int status;
    const char *content_type;  /* Static, or in 'texts'. */
    struct buffer bytes;       /* The body, unless 'body' is set. */
    struct body *body;         /* Owned. */
    struct parameter *headers; /* More headers. */
    size_t header_count, header_capacity;
};

/* Adds a header; control characters in the value are dropped, so that nobody injects lines. */
void response_add_header(struct response *response, const char *name, const char *value);
/* Adds "Warning: 299 - "text"", each text once, quoted as RFC 7234 wants it. */
void response_add_warning(struct response *response, const char *text);
/* Makes it a Status object of this error, in JSON or, if the request asks so, YAML; adds
 * Retry-After when the error says so. What the response held is dropped, but warnings stay. */
void response_set_error(struct response *response, const struct request *request,
                        const struct error *error);
/* Makes it a JSON (or YAML, as the request asks) body of this tree. */
void response_set_json(struct response *response, const struct request *request, int status,
                       const json_t *json);
void response_set_text(struct response *response, int status, const char *content_type,
                       const char *text);
void response_clear(struct response *response);

#endif
