// SPDX-License-Identifier: Apache-2.0
/*
 * A client of the Kubernetes API.
 *
 * Requests run on an event loop: many in flight over kept-alive connections, no thread each. Those
 * beyond the limits wait in the order in which they came: 'in_flight' at once, and what
 * --kube-api-qps and --kube-api-burst let pass. An answer that carries Retry-After (429 or 5xx) is
 * tried again after that time, up to ten times; a GET also after its connection broke. Other
 * requests are never repeated by themselves, because nobody knows whether they took effect.
 *
 * A failure is a 'struct error' made of the server's Status, with its code, reason and details; a
 * server that can't be reached is 503.
 *
 *     struct client *client = client_new(loop, &config, &options, &error);
 *     cleanup(json_release) json_t *pod = client_get(client, &pods, "default", "web", &error);
 *
 * Threads: everything may be called from any thread, except that the blocking functions are not
 * for the loop's own. Callbacks run on the loop's thread and must not block.
 */
#ifndef COMMON_CLIENT_H
#define COMMON_CLIENT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/buffer.h"
#include "common/client_config.h"
#include "common/error.h"
#include "common/loop.h"
#include "common/metrics.h"

struct client;

struct client_options {
    const char *user_agent; /* "coracle-scheduler"; its version is added. */
    int64_t in_flight;      /* 0: 32. */
    int64_t qps;            /* Requests a second; 0 or less: no limit. */
    int64_t burst;
    struct metrics *metrics; /* For rest_client_requests_total; NULL: none. */
};

/* Takes over what is in 'config'. 400 when a certificate or key can't be used. */
struct client *client_new(struct loop *loop, struct client_config *config,
                          const struct client_options *options, struct error *error);
/* Ends what is under way: 'done' is called with 503, before this returns, and at once for whatever
 * comes later. Not from the loop's thread. */
void client_close(struct client *client);
/* Closes and frees it. */
void client_free(struct client *client);
struct loop *client_loop(const struct client *client);

/* From now on a request that may change something is only sent before this moment (monotonic
 * nanoseconds; INT64_MAX: always) and fails with 503 after it: whoever lost its leadership can't
 * act any more, even if it was frozen just before sending. Requests marked 'unfenced' always go. */
void client_fence(struct client *client, int64_t until);

/* ---- tokens of other users ---- */

struct client_token_source {
    /* Is to get a token and to call client_set_token() or client_token_failed(), now or later. On
     * the loop's thread; not again before it was answered. */
    void (*ask)(void *argument);
    void *argument;
};

/* A client of the same server that speaks as somebody else: its only credentials are the tokens of
 * 'source'. It is asked when there is something to send and no token, or one that the server
 * refused (401) or that is to be renewed. Queue and limits are those of
 * 'base', which outlives it: a client like this is a few hundred bytes. */
struct client *client_new_for_tokens(struct client *base, const struct client_token_source *source);
/* On the loop's thread. The token lasts for 'valid_ms'; after 'renew_ms' the next is asked for,
 * while this one is still in use. */
void client_set_token(struct client *client, const char *token, int64_t renew_ms, int64_t valid_ms);
/* Fails what waits for a token; what comes later asks again. On the loop's thread. */
void client_token_failed(struct client *client, const struct error *error);

/* ---- paths ---- */

struct api_resource {
    const char *group_version; /* "v1", "apps/v1" */
    const char *plural;
    const char *kind;
    bool namespaced;
};

/* "/apis/apps/v1/namespaces/default/deployments/web/scale"; 'namespace', 'name' and 'subresource'
 * may each be NULL or "". The caller's. */
char *client_path(const struct api_resource *resource, const char *namespace, const char *name,
                  const char *subresource);

/* The same path with a query; 'parameters' are names and values in turn, ended by NULL; those whose
 * value is "" are left out. Consumes 'path'; the caller's. */
char *client_path_with(char *path, const char *const *parameters);

/* ---- requests ---- */

struct client_request {
    const char *method;
    char *path;               /* With its query. Consumed. */
    struct buffer body;       /* Consumed. */
    const char *content_type; /* Static. NULL: application/json */
    const char *accept;       /* Static. NULL: application/json */
    /* Whom to impersonate (user and group), borrowed until the answer; NULL: nobody. */
    const char *user, *group;
    bool unfenced;
};

struct client_response {
    int code;           /* 0: there was none. */
    struct buffer body; /* What the callback leaves in it is freed. */
    struct error error; /* Set for anything but 2xx. */
};

typedef void (*client_done)(void *argument, struct client_response *response);

/* Sends it; 'done' is called once, on the loop's thread. */
void client_send(struct client *client, struct client_request request, client_done done,
                 void *argument);

/* One of several requests that are sent together and waited for. */
struct client_call {
    struct client_request request;
    bool wants_text;    /* Of the answer, which then is not parsed: 'result' is just true. */
    json_t *result;     /* The answer, NULL if it failed. The caller's. */
    struct buffer text; /* The caller's. */
    struct error error; /* The caller's. */
};

/* Sends all and waits for all. */
void client_call_all(struct client *client, struct client_call *calls, size_t count);
/* One, blocking. The answer's tree, the caller's; NULL with an error. */
json_t *client_call(struct client *client, struct client_request request, struct error *error);

/* ---- the verbs, blocking; answers are the caller's ---- */

json_t *client_get(struct client *client, const struct api_resource *resource,
                   const char *namespace, const char *name, struct error *error);
json_t *client_create(struct client *client, const struct api_resource *resource,
                      const char *namespace, const json_t *object, struct error *error);
/* PUT; namespace and name are the object's. 'subresource' may be NULL. */
json_t *client_update(struct client *client, const struct api_resource *resource,
                      const char *subresource, const json_t *object, struct error *error);

extern const char client_json_patch[], client_merge_patch[], client_strategic_merge_patch[];

json_t *client_patch(struct client *client, const struct api_resource *resource,
                     const char *namespace, const char *name, const char *subresource,
                     const char *patch_type, const json_t *patch, struct error *error);
/* 'options' (borrowed) is a DeleteOptions or NULL. */
bool client_delete(struct client *client, const struct api_resource *resource,
                   const char *namespace, const char *name, const json_t *options,
                   struct error *error);
/* DeleteOptions with preconditions.uid, and a propagationPolicy unless that is NULL. */
json_t *client_delete_options(const char *uid, const char *propagation_policy);
/* DELETE without its query, of that object and no namesake: with client_delete_options(uid). */
struct client_request client_delete_request(const struct api_resource *resource,
                                            const char *namespace, const char *name,
                                            const char *uid);
struct client_request client_create_request(const struct api_resource *resource,
                                            const char *namespace, const json_t *object);
struct client_request client_update_request(const struct api_resource *resource,
                                            const char *subresource, const json_t *object);
struct client_request client_patch_request(const struct api_resource *resource,
                                           const char *namespace, const char *name,
                                           const char *subresource, const char *patch_type,
                                           const json_t *patch);

/* ---- watches ---- */

struct client_watch;

struct client_watch_handler {
    /* One event, as the JSON text of the server's line. False ends the watch; 'ended' follows. */
    bool (*event)(void *argument, const char *line, size_t length);
    /* The last call, also after client_watch_stop(). 'error' is not set when the server closed the
     * stream in order. The watch is gone. */
    void (*ended)(void *argument, const struct error *error);
};

/* Starts a GET whose answer is a stream of lines, beside the limits on requests. 'path' is
 * consumed. 'idle_ms': how long nothing at all may come before the connection counts as dead. From
 * the loop's thread. */
struct client_watch *client_watch_start(struct client *client, char *path, const char *accept,
                                        int64_t idle_ms, const struct client_watch_handler *handler,
                                        void *argument);
/* Ends it, and calls 'ended'. From the loop's thread, not from 'event'. */
void client_watch_stop(struct client_watch *watch);

#endif
