// SPDX-License-Identifier: Apache-2.0
/*
 * The audit log: who asked for what, and what came of it, as Events of audit.k8s.io/v1.
 *
 * The policy decides when it is known who asks; a request that is to be recorded then carries its
 * event (request->audit) along the road, and whoever knows something adds it. Events are written
 * when the request has come, when the answer to a watch begins, and when an answer is complete.
 * Where request->audit is NULL, all that takes a request does nothing, so that nobody has to ask
 * whether there is an audit log.
 *
 * Threads: an event belongs to its request.
 */
#ifndef APISERVER_AUDIT_AUDIT_H
#define APISERVER_AUDIT_AUDIT_H

#include "apiserver/audit/options.h"
#include "apiserver/http/server.h"
#include "common/metrics.h"

struct auditor;

/* 400 for what does not go together. */
bool audit_check_options(const struct audit_options *options, struct error *error);
/* With options that have been checked, borrowed. '*auditor' stays NULL when nothing is to be
 * recorded. False with an error that names the file and what is wrong in it. */
bool audit_open(const struct audit_options *options, struct metrics *metrics,
                struct auditor **auditor, struct error *error);
/* Delivers what waits. NULL is fine. */
void audit_close(struct auditor *auditor);

/* ---- the stages of a request; the auditor may be NULL ---- */

/* How many workers there are to be for requests that wait until it is recorded that they have come;
 * 0: they don't. NULL is fine. */
unsigned audit_workers(const struct auditor *auditor);
/* It is known who asks. Waits when audit_workers() says so. False with an error when that can't be
 * recorded and must be. */
bool audit_received(struct auditor *auditor, struct request *request,
                    const struct credentials *credentials, struct error *error);
/* Nobody knows who asks. */
void audit_unknown_user(struct auditor *auditor, struct request *request,
                        const struct credentials *credentials);
/* request->user is from now on somebody else. */
void audit_impersonated(struct request *request);
/* The response is filled. */
void audit_answering(struct request *request, const struct response *response);
/* The answer is complete, or the client is gone; frees the event. */
void audit_completed(struct request *request);

/* ---- what is known of it ---- */

/* The object, or options, that the request brings. */
void audit_request_object(const struct request *request, const json_t *object);
void audit_request_patch(const struct request *request, const json_t *patch);
/* Each key counts once. */
void audit_annotate(const struct request *request, const char *key, const char *value);
/* The bodies of requests are recorded. */
bool audit_has_request_objects(const struct request *request);
/* The bodies of answers are recorded: they have to be there as a whole. */
bool audit_has_response_objects(const struct request *request);

#endif
