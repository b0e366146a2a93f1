// SPDX-License-Identifier: Apache-2.0
/*
 * Events: what a program tells people about an object, shown by kubectl describe.
 *
 * Repeats are condensed as client-go's event correlator does: the same event again raises the count
 * of the first; ten different messages about one object within ten minutes become one "(combined
 * from similar events)"; and an object gets at most 25 events at once, then one in five minutes.
 * Events are a courtesy: what can't be written after some tries, or waits behind too many, is
 * dropped and counted.
 *
 * Threads: event_record() from any thread; it never blocks.
 */
#ifndef COMMON_EVENT_RECORDER_H
#define COMMON_EVENT_RECORDER_H

#include "common/cached_object.h"
#include "common/client.h"

struct event_recorder;

/* The object that an event is about; all borrowed, NULL where unknown. */
struct event_target {
    const char *api_version, *kind, *namespace, *name, *uid, *resource_version, *field_path;
    const char *host;                   /* Where it happened, when that is not the recorder's. */
    const struct event_target *related; /* Which other object it has to do with. */
    /* Whom to impersonate to write the event; the group is static. */
    const char *user, *group;
};

/* 'component' ("deployment-controller") and 'host' (NULL: none) are borrowed. */
struct event_recorder *event_recorder_new(struct client *client, const char *component,
                                          const char *host);
/* Waits for a moment until the events are written, then drops the rest, but for what is under way:
 * the end of that, which the client's end is at the latest, frees the recorder then. From another
 * thread than the loop's; nobody records any more. NULL is fine. */
void event_recorder_free(struct event_recorder *recorder);

/* 'type' is "Normal" or "Warning", 'reason' a CamelCase word. */
void event_record(struct event_recorder *recorder, const struct event_target *target,
                  const char *type, const char *reason, const char *text, ...)
    __attribute__((format(printf, 5, 6)));
/* About the object of this tree, which has kind and apiVersion. */
void event_record_about(struct event_recorder *recorder, const json_t *object, const char *type,
                        const char *reason, const char *text, ...)
    __attribute__((format(printf, 5, 6)));
/* Borrows all from the tree. */
struct event_target event_target_of(const json_t *object);
struct event_target event_target_of_cached(const struct api_resource *resource,
                                           const struct cached_object *object);

#endif
