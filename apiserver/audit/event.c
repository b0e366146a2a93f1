// SPDX-License-Identifier: Apache-2.0
#include "apiserver/audit/event.h"

#include <arpa/inet.h>
#include <string.h>

#include "common/alloc.h"
#include "common/json.h"
#include "common/timestamp.h"

enum { user_agent_bytes_max = 1024 };

/* ---- texts ---- */

/* The length of the character here; 0: it is none. */
static size_t character_length(const char *text, size_t left)
{
    for (size_t length = 1; length <= 4 && length <= left; length++) {
        json_t *character = json_stringn(text, length);
        if (character != NULL) {
            json_decref(character);
            return length;
        }
    }
    return 0;
}

static json_t *text_of(const char *text, size_t length)
{
    json_t *string = json_stringn(text, length);
    if (string != NULL) {
        return string;
    }
    cleanup(buffer_free)
    struct buffer clean = BUFFER_INIT;
    for (size_t i = 0; i < length;) {
        size_t character = character_length(text + i, length - i);
        if (character > 0) {
            buffer_add(&clean, text + i, character);
        } else {
            buffer_add_literal(&clean, "\xef\xbf\xbd");
        }
        i += character > 0 ? character : 1;
    }
    return json_stringn(buffer_text(&clean), clean.length);
}

json_t *audit_text(const char *text)
{
    return text_of(text, strlen(text));
}

static json_t *user_agent_of(const char *text)
{
    if (strlen(text) <= user_agent_bytes_max) {
        return audit_text(text);
    }
    cleanup(free_char)
    char *cut = format("%.*s...TRUNCATED", user_agent_bytes_max, text);
    return audit_text(cut);
}

/* ---- who and where from ---- */

json_t *audit_user(const struct user *user)
{
    json_t *info = json_object();
    if (user->name != NULL && user->name[0] != '\0') {
        json_object_set_new(info, "username", audit_text(user->name));
    }
    if (user->uid != NULL && user->uid[0] != '\0') {
        json_object_set_new(info, "uid", audit_text(user->uid));
    }
    if (user->group_count > 0) {
        json_t *groups = json_array();
        for (size_t i = 0; i < user->group_count; i++) {
            json_array_append_new(groups, audit_text(user->groups[i]));
        }
        json_object_set_new(info, "groups", groups);
    }
    if (json_object_size(user->extra) > 0) {
        json_object_set_new(info, "extra", json_deep_copy(user->extra));
    }
    return info;
}

/* Adds an address as it is printed, unless the text is none or it is there already: anywhere, or as
 * the last. */
static void add_ip(json_t *ips, const char *text, size_t length, bool only_last)
{
    char address[INET6_ADDRSTRLEN], canonical[INET6_ADDRSTRLEN];
    unsigned char bytes[sizeof(struct in6_addr)];
    if (length >= sizeof address) {
        return;
    }
    memcpy(address, text, length);
    address[length] = '\0';
    int family = strchr(address, ':') != NULL ? AF_INET6 : AF_INET;
    if (inet_pton(family, address, bytes) != 1) {
        return;
    }
    inet_ntop(family, bytes, canonical, sizeof canonical);
    size_t count = json_array_size(ips);
    const char *last = json_string_value(json_array_get(ips, count - 1));
    bool is_there = only_last ? last != NULL && strcmp(last, canonical) == 0
                              : json_array_has_string(ips, canonical);
    if (!is_there) {
        json_array_append_new(ips, json_string(canonical));
    }
}

static void add_forwarded(json_t *ips, const char *list)
{
    while (list != NULL && *list != '\0') {
        size_t length = strcspn(list, ","), end = length;
        size_t begin = strspn(list, " \t");
        while (end > begin && strchr(" \t", list[end - 1]) != NULL) {
            end--;
        }
        if (begin < end) {
            cleanup(json_release)
            json_t *one = json_array();
            add_ip(one, list + begin, end - begin, true);
            json_array_extend(ips, one);
        }
        list += length + (list[length] == ',');
    }
}

json_t *audit_source_ips(const struct credentials *credentials, const char *remote_address)
{
    json_t *ips = json_array();
    const char *real = credentials_header(credentials, "X-Real-Ip");
    const char *colon = strrchr(remote_address, ':');
    add_forwarded(ips, credentials_header(credentials, "X-Forwarded-For"));
    if (real != NULL) {
        add_ip(ips, real, strlen(real), false);
    }
    if (colon != NULL) {
        size_t bracket = remote_address[0] == '[';
        add_ip(ips, remote_address + bracket, (size_t)(colon - remote_address) - 2 * bracket, true);
    }
    return ips;
}

/* ---- what about ---- */

static void add_reference(json_t *reference, const char *name, const char *value)
{
    if (value[0] != '\0') {
        json_object_set_new(reference, name, audit_text(value));
    }
}

static json_t *object_ref_of(const struct request_info *info)
{
    if (!info->is_resource_request) {
        return NULL;
    }
    json_t *reference = json_object();
    add_reference(reference, "resource", info->plural);
    add_reference(reference, "namespace", info->namespace);
    add_reference(reference, "name", info->name);
    add_reference(reference, "apiGroup", info->group);
    add_reference(reference, "apiVersion", info->version);
    add_reference(reference, "subresource", info->subresource);
    return reference;
}

/* Those whose answers go on for as long as anybody likes. */
static bool is_long_running(const struct request_info *info)
{
    static const char *const subresources[] = {"attach", "exec", "proxy", "log", "portforward"};
    for (size_t i = 0; i < array_length(subresources); i++) {
        if (info->is_resource_request && strcmp(info->subresource, subresources[i]) == 0) {
            return true;
        }
    }
    return strcmp(info->verb, "watch") == 0 || strcmp(info->verb, "proxy") == 0;
}

void audit_drop_managed_fields(json_t *object)
{
    json_t *items = json_object_get(object, "items");
    json_object_del(json_object_get(object, "metadata"), "managedFields");
    for (size_t i = 0; i < json_array_size(items); i++) {
        json_object_del(json_object_get(json_array_get(items, i), "metadata"), "managedFields");
    }
}

/* ---- the event ---- */

struct audit_event *audit_event_new(struct auditor *auditor, struct audit_choice choice,
                                    const struct request *request,
                                    const struct credentials *credentials)
{
    struct audit_event *event = allocate_struct(struct audit_event);
    event->auditor = auditor;
    event->choice = choice;
    event->received_ns = timestamp_now() - (timestamp_monotonic() - request->received_ns);
    event->is_long_running = is_long_running(&request->info);
    event->head = json_pack(
        "{s:s, s:s, s:s, s:o, s:s, s:o, s:o, s:o}", "kind", "Event", "apiVersion",
        "audit.k8s.io/v1", "level", audit_level_names[choice.level], "auditID",
        audit_text(request->audit_id), "stage", "", "requestURI", audit_text(request->uri), "verb",
        audit_text(request->info.verb), "user", audit_user(&request->user));
    event->source_ips = audit_source_ips(credentials, request->remote_address);
    event->user_agent = user_agent_of(request->user_agent);
    event->object_ref = object_ref_of(&request->info);
    return event;
}

void audit_event_free(struct audit_event *event)
{
    json_decref(event->head);
    json_decref(event->impersonated_user);
    json_decref(event->source_ips);
    json_decref(event->user_agent);
    json_decref(event->object_ref);
    json_decref(event->response_status);
    json_decref(event->request_object);
    json_decref(event->response_object);
    json_decref(event->annotations);
    free(event);
}

static void add(json_t *event, const char *name, json_t *value)
{
    if (value != NULL) {
        json_object_set(event, name, value);
    }
}

static void add_time(json_t *event, const char *name, int64_t nanoseconds)
{
    char text[TIMESTAMP_SIZE];
    timestamp_format_micro(nanoseconds, text);
    json_object_set_new(event, name, json_string(text));
}

/* In upstream's order. */
static json_t *ordered_reference(const json_t *reference)
{
    static const char *const names[] = {
        "resource",   "namespace",       "name",       "uid", "apiGroup",
        "apiVersion", "resourceVersion", "subresource"};
    json_t *ordered = reference ? json_object() : NULL;
    for (size_t i = 0; reference != NULL && i < array_length(names); i++) {
        add(ordered, names[i], json_object_get(reference, names[i]));
    }
    return ordered;
}

static json_t *sorted_annotations(const json_t *annotations)
{
    const char **names = allocate_zero(json_object_size(annotations) + 1, sizeof *names);
    const char *name;
    json_t *value, *sorted = json_object();
    size_t count = 0;
    json_object_foreach ((json_t *)annotations, name, value) {
        size_t i = count++;
        for (; i > 0 && strcmp(names[i - 1], name) > 0; i--) {
            names[i] = names[i - 1];
        }
        names[i] = name;
    }
    for (size_t i = 0; i < count; i++) {
        json_object_set(sorted, names[i], json_object_get(annotations, names[i]));
    }
    free(names);
    return sorted;
}

json_t *audit_event_json(const struct audit_event *event, enum audit_stage stage)
{
    json_t *json = json_copy(event->head);
    json_object_set_new(json, "stage", json_string(audit_stage_names[stage]));
    add(json, "impersonatedUser", event->impersonated_user);
    if (json_array_size(event->source_ips) > 0) {
        add(json, "sourceIPs", event->source_ips);
    }
    if (json_string_length(event->user_agent) > 0) {
        add(json, "userAgent", event->user_agent);
    }
    if (event->object_ref != NULL) {
        json_object_set_new(json, "objectRef", ordered_reference(event->object_ref));
    }
    add(json, "responseStatus", event->response_status);
    add(json, "requestObject", event->request_object);
    add(json, "responseObject", event->response_object);
    add_time(json, "requestReceivedTimestamp", event->received_ns);
    add_time(json, "stageTimestamp",
             stage == AUDIT_REQUEST_RECEIVED ? event->received_ns : timestamp_now());
    if (json_object_size(event->annotations) > 0) {
        json_object_set_new(json, "annotations", sorted_annotations(event->annotations));
    }
    return json;
}
