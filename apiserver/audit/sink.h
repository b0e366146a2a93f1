// SPDX-License-Identifier: Apache-2.0
/*
 * A place that audit events go to: at once, or by batches from a thread of its own.
 *
 * An event that can't be delivered is counted and logged, never passed over. What waits in batches
 * is bounded in number and bytes: what comes beyond that is lost, and counted.
 *
 * Threads: audit_sink_write() from any thread.
 */
#ifndef APISERVER_AUDIT_SINK_H
#define APISERVER_AUDIT_SINK_H

#include <jansson.h>

#include "apiserver/audit/options.h"
#include "common/error.h"
#include "common/metrics.h"

struct audit_sink;

/* What knows how to bring events there. */
struct audit_target {
    const char *plugin; /* "log", "webhook": in metrics and messages. */
    /* The text of an event, the caller's; NULL: its JSON. */
    char *(*print)(const json_t *event);
    /* Any thread, or that of the batches. May call audit_sink_pause(). */
    bool (*deliver)(void *state, struct audit_sink *sink, char *const *events, size_t count,
                    struct error *error);
    void (*free)(void *state);
    void *state;
    bool waits; /* For somebody else's server. */
};

/* Takes over the target. The options have been checked and are borrowed; 'errors' counts what is
 * lost, by plugin. */
struct audit_sink *audit_sink_open(const struct audit_target *target,
                                   const struct audit_sink_options *options, struct metric *errors);
/* False when the event is lost. 'may_wait': in a blocking mode it is there after the call, even if
 * that has to wait; else, for a target that waits, it is brought there as soon as may be. */
bool audit_sink_write(struct audit_sink *sink, const json_t *event, bool may_wait);
/* It is in a blocking mode, and has to wait. */
bool audit_sink_waits(const struct audit_sink *sink);
/* Failing to record that a request has come is a reason to refuse it. */
bool audit_sink_is_strict(const struct audit_sink *sink);
/* For a target that tries again: false, at once, when the sink is being closed. */
bool audit_sink_pause(struct audit_sink *sink, int64_t nanoseconds);
/* Delivers what waits, once. NULL is fine. */
void audit_sink_close(struct audit_sink *sink);

/* ---- the targets there are ---- */

bool audit_log_target(const struct audit_options *options, struct audit_target *target,
                      struct error *error);
bool audit_webhook_target(const struct audit_options *options, struct audit_target *target,
                          struct error *error);

#endif
