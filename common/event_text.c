// SPDX-License-Identifier: Apache-2.0
#include "common/event_text.h"

#include <string.h>

#include "common/alloc.h"
#include "common/json.h"

/* 'name' has nothing to escape. */
static void add_name(struct buffer *text, const char *name)
{
    if (text->bytes[text->length - 1] != '{') {
        buffer_add_char(text, ',');
    }
    buffer_add_char(text, '"');
    buffer_add_text(text, name);
    buffer_add_literal(text, "\":");
}

static void add_text(struct buffer *text, const char *name, const char *value)
{
    add_name(text, name);
    json_encode_string(value, strlen(value), text);
}

/* The same unless there is nothing to say. */
static void add_known(struct buffer *text, const char *name, const char *value)
{
    if (value != NULL && *value != '\0') {
        add_text(text, name, value);
    }
}

static void begin_object(struct buffer *text, const char *name)
{
    add_name(text, name);
    buffer_add_char(text, '{');
}

static void end_object(struct buffer *text)
{
    buffer_add_char(text, '}');
}

static void add_object(struct buffer *text, const char *name, const struct event_target *target)
{
    begin_object(text, name);
    add_known(text, "kind", target->kind);
    add_known(text, "namespace", target->namespace);
    add_known(text, "name", target->name);
    add_known(text, "uid", target->uid);
    add_known(text, "apiVersion", target->api_version);
    add_known(text, "resourceVersion", target->resource_version);
    add_known(text, "fieldPath", target->field_path);
    end_object(text);
}

void event_text_write(struct buffer *text, const struct event_text *event)
{
    buffer_add_literal(text, "{\"kind\":\"Event\",\"apiVersion\":\"v1\"");
    begin_object(text, "metadata");
    add_text(text, "name", event->name);
    add_text(text, "namespace", event->namespace);
    end_object(text);
    add_object(text, "involvedObject", event->target);
    add_text(text, "type", event->type);
    add_text(text, "reason", event->reason);
    if (event->is_combined) {
        cleanup(free_char)
        char *message = format("(combined from similar events): %s", event->message);
        add_text(text, "message", message);
    } else {
        add_text(text, "message", event->message);
    }
    begin_object(text, "source");
    add_text(text, "component", event->component);
    add_known(text, "host", event->host);
    end_object(text);
    add_text(text, "firstTimestamp", event->first_time);
    add_text(text, "lastTimestamp", event->last_time);
    add_text(text, "reportingComponent", event->component);
    add_text(text, "reportingInstance", event->host != NULL ? event->host : "");
    if (event->target->related != NULL) {
        add_object(text, "related", event->target->related);
    }
    add_name(text, "count");
    buffer_add_int(text, event->count);
    end_object(text);
}
