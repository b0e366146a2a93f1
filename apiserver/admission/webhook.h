// SPDX-License-Identifier: Apache-2.0
/*
 * One admission webhook, compiled: which requests it is asked about, and how it is reached.
 *
 * Threads: immutable and reference-counted, free to share; asking it may block.
 */
#ifndef APISERVER_ADMISSION_WEBHOOK_H
#define APISERVER_ADMISSION_WEBHOOK_H

#include <jansson.h>
#include <stdatomic.h>

#include "common/error.h"
#include "common/selector.h"

struct registry;
struct fetcher;
struct webhook_credentials;

struct webhook {
    atomic_uint references;
    char *configuration; /* Name of the object that it stands in. */
    const char *name;    /* In 'json', as what follows here and is borrowed. */
    const json_t *rules;
    json_t *json;
    struct selector *namespace_selector, *object_selector; /* NULL: everything. */
    bool matches_equivalents, ignores_failures, is_reinvoked, has_side_effects;
    int timeout_seconds;
    struct fetcher *fetcher;                       /* Of an URL. */
    struct webhook_line *line;                     /* Of a service; NULL: of an URL. */
    const atomic_bool *stopping;                   /* Borrowed. */
    const struct webhook_credentials *credentials; /* Borrowed; may be NULL. */
    char *problem;                                 /* Why it can't be asked at all; NULL: it can. */
};

/* What a request is about, in one of the versions in which it could have been made. */
struct webhook_question {
    const char *operation; /* "CREATE" */
    const char *group, *version, *plural, *subresource;
    bool namespaced;
};

/* Of one element of a configuration's webhooks. Never fails: what is wrong with it is its problem.
 */
struct webhook *webhook_new(const char *configuration, const json_t *json,
                            const struct webhook_credentials *credentials,
                            const atomic_bool *stopping);
struct webhook *webhook_ref(struct webhook *webhook);
void webhook_unref(struct webhook *webhook);

/* What asks it at this address, which is where its service was found just now: the same as before,
 * with its connections, while that is so. The service goes by 'server_name' and 'port'. Until
 * webhook_hang_up(); NULL with 400 when its caBundle is none. */
struct fetcher *webhook_dial(const struct webhook *webhook, const char *server,
                             const char *server_name, int port, struct error *error);
void webhook_hang_up(const struct webhook *webhook, struct fetcher *fetcher, bool has_answered);
/* Which of its service's endpoints to ask: another one after each that has not answered. */
unsigned webhook_turn(const struct webhook *webhook);

/* One of its rules is about the request. */
bool webhook_has_rule_for(const struct webhook *webhook, const struct webhook_question *question);
/* Its selector of objects takes the old or the new one; each may be NULL. */
bool webhook_selects_object(const struct webhook *webhook, const json_t *object, const json_t *old);

/* Asks it and checks its answer: the AdmissionReview's response, the caller's. NULL with what went
 * wrong. Blocks for up to its timeout. */
json_t *webhook_ask(const struct webhook *webhook, struct registry *registry, const json_t *review,
                    bool is_mutating, struct error *error);

#endif
