// SPDX-License-Identifier: Apache-2.0
/* What the files about pods share. */
#ifndef APISERVER_REGISTRY_KINDS_POD_H
#define APISERVER_REGISTRY_KINDS_POD_H

#include "apiserver/registry/registry.h"

/* Puts a condition in the place of the one of its type; its times are set here. Consumes it. */
void pod_set_condition(json_t *status, json_t *condition);
/* Answers with a Status that says nothing but success. */
void pod_answer_success(struct request *request, struct response *response, int status);

/* pods/eviction: eviction.c */
void pod_serve_eviction(struct registry *registry, struct request *request,
                        struct response *response);

/* pod_create.c, of a pod that is created: what its labels are where only their keys are named; and
 * profiles that annotations name, with a warning. */
void pod_merge_label_keys(json_t *pod);
void pod_take_profiles(struct write *write);

#endif
