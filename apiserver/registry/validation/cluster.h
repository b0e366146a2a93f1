// SPDX-License-Identifier: Apache-2.0
/* Rules of namespaces, nodes and what is told or decided about others: events, leases, disruption
 * budgets, autoscalers, and the status of workloads. Each is a kind's hook (registry/kinds.h). */
#ifndef APISERVER_REGISTRY_VALIDATION_CLUSTER_H
#define APISERVER_REGISTRY_VALIDATION_CLUSTER_H

#include "apiserver/registry/registry.h"

/* cluster.c */
void validate_namespace(const struct write *write, struct field_errors *errors);
void validate_lease(const struct write *write, struct field_errors *errors);
void validate_disruption_budget(const struct write *write, struct field_errors *errors);
/* nodes.c */
void validate_node(const struct write *write, struct field_errors *errors);
/* events.c */
void validate_event(const struct write *write, struct field_errors *errors);
/* autoscalers.c */
void validate_autoscaler(const struct write *write, struct field_errors *errors);

#endif
