// SPDX-License-Identifier: Apache-2.0
/*
 * The JSON text of an Event, written without a tree: a cluster at work has several of them to tell
 * for each pod.
 */
#ifndef COMMON_EVENT_TEXT_H
#define COMMON_EVENT_TEXT_H

#include "common/buffer.h"
#include "common/event_recorder.h"

/* All borrowed. */
struct event_text {
    const struct event_target *target;
    const char *name, *namespace;
    const char *type, *reason, *message;
    bool is_combined;             /* The message stands for others like it. */
    const char *component, *host; /* Who tells; 'host' may be NULL. */
    const char *first_time, *last_time;
    int count;
};

void event_text_write(struct buffer *text, const struct event_text *event);

#endif
