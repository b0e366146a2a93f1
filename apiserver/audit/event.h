// SPDX-License-Identifier: Apache-2.0
/* One audit event as it grows. Of use to apiserver/audit/ only. */
#ifndef APISERVER_AUDIT_EVENT_H
#define APISERVER_AUDIT_EVENT_H

#include "apiserver/audit/policy.h"
#include "apiserver/http/server.h"

struct auditor;

/* Trees are the event's own; NULL while there is nothing. */
struct audit_event {
    struct auditor *auditor;
    struct audit_choice choice;
    int64_t received_ns; /* Since 1970. */
    bool is_long_running;
    bool is_answered; /* There is a response. */
    bool is_over;     /* Nothing more is written. */
    json_t *head;     /* What is known from the beginning: all members up to the user agent. */
    json_t *impersonated_user, *source_ips, *user_agent, *object_ref;
    json_t *response_status, *request_object, *response_object, *annotations;
};

struct audit_event *audit_event_new(struct auditor *auditor, struct audit_choice choice,
                                    const struct request *request,
                                    const struct credentials *credentials);
void audit_event_free(struct audit_event *event);
/* As it is to be written; the caller's. */
json_t *audit_event_json(const struct audit_event *event, enum audit_stage stage);

/* A user as UserInfo. */
json_t *audit_user(const struct user *user);
/* Any bytes as a string: what is no UTF-8 is replaced. Also for tests. */
json_t *audit_text(const char *text);
/* Where a request comes from, by its headers and address: strings. */
json_t *audit_source_ips(const struct credentials *credentials, const char *remote_address);
/* Takes out metadata.managedFields, of a list's items as well. */
void audit_drop_managed_fields(json_t *object);

#endif
