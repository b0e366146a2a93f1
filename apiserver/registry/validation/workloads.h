// SPDX-License-Identifier: Apache-2.0
/* Rules of the kinds that make pods. Each is a kind's hook (registry/kinds.h): it looks at the
 * whole object on create and update, and at the status when that is written. */
#ifndef APISERVER_REGISTRY_VALIDATION_WORKLOADS_H
#define APISERVER_REGISTRY_VALIDATION_WORKLOADS_H

#include "apiserver/registry/registry.h"

/* workloads.c */
void validate_deployment(const struct write *write, struct field_errors *errors);
void validate_replica_set(const struct write *write, struct field_errors *errors);
void validate_stateful_set(const struct write *write, struct field_errors *errors);
void validate_daemon_set(const struct write *write, struct field_errors *errors);
void validate_replication_controller(const struct write *write, struct field_errors *errors);
void validate_pod_template_object(const struct write *write, struct field_errors *errors);
void validate_controller_revision(const struct write *write, struct field_errors *errors);
/* workload_status.c: what a status update brings. */
void validate_deployment_status(const struct write *write, struct field_errors *errors);
void validate_replica_status(const struct write *write, struct field_errors *errors);
void validate_stateful_set_status(const struct write *write, struct field_errors *errors);
void validate_daemon_set_status(const struct write *write, struct field_errors *errors);
/* jobs.c */
void validate_job(const struct write *write, struct field_errors *errors);
/* A JobSpec, its selector left aside. */
void validate_job_spec(const json_t *spec, const struct field_path *path,
                       struct field_errors *errors);
/* job_policies.c: what failures and successes mean. */
void validate_pod_failure_policy(const json_t *spec, const struct field_path *path,
                                 struct field_errors *errors);
void validate_success_policy(const json_t *spec, const struct field_path *path,
                             struct field_errors *errors);
/* Counts the indexes in "1,3-5", in rising order and below 'completions'. False with the reason in
 * '*why', the caller's. */
bool check_job_indexes(const char *text, json_int_t completions, json_int_t *total, char **why);
/* job_status.c */
void validate_job_status(const struct write *write, struct field_errors *errors);
/* cron_jobs.c */
void validate_cron_job(const struct write *write, struct field_errors *errors);

/* The selector must choose the template's own labels, else its controller would make pods for ever.
 */
void validate_selector_matches(const json_t *selector, const json_t *template,
                               const struct field_path *path, struct field_errors *errors);

#endif
